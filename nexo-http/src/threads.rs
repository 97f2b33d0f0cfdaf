//! Threads: the endpoints for conversations.

use nexo_core::{
    AppConfig, AppId, Greeting, Message, NewThread, Once, SubscriberId, Thread, ThreadChanges,
    ThreadFilter, ThreadId, ThreadStatus, Timestamp, Topic,
};

use crate::{
    Api, ApiError,
    apps::ActionResponse,
    idempotency::Keyed,
    input::{AppAccess, JsonBody, OwnThread, PartnerScope, Partners, Query, State},
    messages::MessageRead,
    openapi::wire,
    output::Json,
    pages::{Continued, Paged, cursor},
    validate::{Given, Int, Text, fields},
};

wire! {
    /// A thread, as shown.
    pub(crate) struct ThreadRead {
        /// The thread's id.
        id: ThreadId,
        /// The app it belongs to.
        app_id: AppId,
        /// The customer it is held with.
        subscriber_id: Option<SubscriberId>,
        /// Its title.
        title: Option<String>,
        /// What the app calls the customer.
        customer_id: Option<String>,
        /// `active`, `archived` or `deleted`.
        status: &'static str,
        /// When it was created.
        created_at: Timestamp,
        /// When a message came or a label changed.
        updated_at: Timestamp,
    }
}

impl Paged for ThreadRead {
    const NAME: &'static str = "ThreadRead";
}

impl From<Thread> for ThreadRead {
    fn from(thread: Thread) -> Self {
        Self {
            id: thread.id,
            app_id: thread.app,
            subscriber_id: thread.subscriber,
            title: thread.title,
            customer_id: thread.customer_id,
            status: thread.status.as_str(),
            created_at: thread.created_at,
            updated_at: thread.updated_at,
        }
    }
}

fields! {
    /// What a new thread is made of.
    pub(crate) body ThreadCreate as "ThreadCreate" {
        /// Its title.
        title: Option<Text<255>>,
        /// What the app calls the customer.
        customer_id: Option<Text<128>>,
    }
}

wire! {
    /// A new thread, and how it was greeted.
    pub(crate) struct ThreadCreateResponse {
        /// The thread.
        thread: ThreadRead,
        /// The greeting; null if the app wants none.
        initial_message: Option<MessageRead>,
    }
}

fields! {
    /// What to change about a thread.
    pub(crate) body ThreadUpdate as "ThreadUpdate" {
        /// A new title; null clears it.
        title: Given<Option<Text<255>>>,
        /// A new label.
        status: Given<ThreadStatus>,
    }
}

fields! {
    /// Which threads to list.
    pub(crate) query ThreadsQuery as "ThreadsQuery" {
        /// How many at most.
        limit: Int<1, 200, 25>,
        /// Where to go on.
        cursor: Option<String>,
        /// Only those created for exactly this customer.
        customer_id: Option<String>,
        /// Only those with this label, or one of several separated by commas.
        status: Option<String>,
    }
}

/// Lets partners read threads.
pub(crate) struct ReadThreads;

impl PartnerScope for ReadThreads {
    const NAME: &'static str = "threads:read";
}

/// Lets partners change threads.
pub(crate) struct WriteThreads;

impl PartnerScope for WriteThreads {
    const NAME: &'static str = "threads:write";
}

/// Lets partners delete threads.
pub(crate) struct DeleteThreads;

impl PartnerScope for DeleteThreads {
    const NAME: &'static str = "threads:delete";
}

/// Creates a thread and greets in it.
pub(crate) async fn create_thread(
    State(api): State,
    access: AppAccess<Partners>,
    Keyed(request): Keyed,
    JsonBody(body): JsonBody<ThreadCreate>,
) -> Result<Once<Json<ThreadCreateResponse>>, ApiError> {
    let (store, scope, app) = (api.store(), &access.scope, access.app);
    let config = AppConfig::read(&store.get_app(scope, app).await?.config);
    let thread = NewThread {
        title: body.title.map(|title| title.0),
        customer_id: body.customer_id.map(|customer| customer.0),
        greeting: greeting(&api, config.greeting),
    };
    let created = match request {
        Some(request) => store.create_thread_once(scope, app, thread, request).await?,
        None => Once::first(store.create_thread(scope, app, thread).await?),
    };
    if !created.replayed {
        tell_of(&api, &created.made);
    }
    Ok(created.map(|(thread, greeting)| {
        let initial_message = greeting.map(MessageRead::from);
        Json(ThreadCreateResponse { thread: thread.into(), initial_message })
    }))
}

/// Lets everybody know of a new thread.
fn tell_of(api: &Api, (thread, greeting): &(Thread, Option<Message>)) {
    api.tell(thread.app, thread.id, Topic::Thread);
    if greeting.is_some() {
        api.tell(thread.app, thread.id, Topic::Message);
    }
}

fn greeting(api: &Api, greeting: Greeting) -> Option<String> {
    match greeting {
        Greeting::Default => Some(api.settings().greeting.clone()),
        Greeting::Text(text) => Some(text),
        Greeting::None => None,
    }
}

/// Lists an app's threads, the latest change first.
pub(crate) async fn list_threads(
    State(api): State,
    access: AppAccess<Partners>,
    Query(query): Query<ThreadsQuery>,
) -> Result<Json<Continued<ThreadRead>>, ApiError> {
    let filter = ThreadFilter {
        customer_id: query.customer_id,
        statuses: query.status.map(|names| statuses(&names)),
    };
    let (cursor, limit) = (cursor(query.cursor), query.limit.get());
    let (scope, app) = (&access.scope, access.app);
    let page = api.store().list_threads(scope, app, &filter, cursor.as_ref(), limit).await?;
    Ok(Json(Continued::new(page)))
}

/// The labels of these names; unknown ones find nothing.
fn statuses(names: &str) -> Vec<ThreadStatus> {
    names.split(',').filter_map(|name| ThreadStatus::find(name.trim())).collect()
}

/// Gets a thread.
pub(crate) async fn get_thread(
    State(api): State,
    access: OwnThread<ReadThreads>,
) -> Result<Json<ThreadRead>, ApiError> {
    Ok(Json(api.store().get_thread(&access.scope, access.thread).await?.into()))
}

/// Changes a thread's title or label.
pub(crate) async fn update_thread(
    State(api): State,
    access: OwnThread<WriteThreads>,
    JsonBody(body): JsonBody<ThreadUpdate>,
) -> Result<Json<ThreadRead>, ApiError> {
    let changes = ThreadChanges {
        title: body.title.0.map(|title| title.map(|title| title.0)),
        status: body.status.0,
    };
    let thread = api.store().update_thread(&access.scope, access.thread, changes).await?;
    api.tell(thread.app, thread.id, Topic::Thread);
    Ok(Json(thread.into()))
}

/// Deletes a thread with its messages.
pub(crate) async fn delete_thread(
    State(api): State,
    access: OwnThread<DeleteThreads>,
) -> Result<Json<ActionResponse>, ApiError> {
    let thread = api.store().get_thread(&access.scope, access.thread).await?;
    api.store().delete_thread(&access.scope, thread.id).await?;
    api.tell(thread.app, thread.id, Topic::Thread);
    Ok(Json(ActionResponse { message: "ACTION_THREAD_DELETED" }))
}
