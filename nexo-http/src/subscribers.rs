//! Subscribers: the endpoints for end customers.

use nexo_core::{
    AppId, JsonObject, Subscriber, SubscriberId, SubscriberSummary as Summary, ThreadId,
    ThreadSummary as ThreadListed, Timestamp,
};

use crate::{
    ApiError,
    input::{AppAccess, Partners, Query, State, SubscriberAccess},
    openapi::wire,
    output::Json,
    pages::{Continued, Paged, cursor},
    threads::ThreadRead,
    validate::{Int, fields},
};

wire! {
    /// A subscriber, as shown.
    pub(crate) struct SubscriberRead {
        /// The subscriber's id.
        id: SubscriberId,
        /// The app they are a customer of.
        app_id: AppId,
        /// What the app calls them.
        customer_id: String,
        /// What people call them.
        display_name: Option<String>,
        /// Free-form data about them.
        metadata_json: JsonObject,
        /// When they first appeared.
        created_at: Timestamp,
        /// When they last created a thread or said something.
        last_seen_at: Option<Timestamp>,
        /// When they last said something.
        last_message_at: Option<Timestamp>,
    }
}

impl From<Subscriber> for SubscriberRead {
    fn from(subscriber: Subscriber) -> Self {
        Self {
            id: subscriber.id,
            app_id: subscriber.app,
            customer_id: subscriber.customer_id,
            display_name: subscriber.display_name,
            metadata_json: subscriber.metadata,
            created_at: subscriber.created_at,
            last_seen_at: subscriber.last_seen_at,
            last_message_at: subscriber.last_message_at,
        }
    }
}

wire! {
    /// A subscriber in a list.
    pub(crate) struct SubscriberSummary {
        /// The subscriber's id.
        id: SubscriberId,
        /// The app they are a customer of.
        app_id: AppId,
        /// What the app calls them.
        customer_id: String,
        /// What people call them.
        display_name: Option<String>,
        /// When they first appeared.
        created_at: Timestamp,
        /// When they last created a thread or said something.
        last_seen_at: Option<Timestamp>,
        /// When they last said something.
        last_message_at: Option<Timestamp>,
        /// How many threads they have.
        thread_count: u64,
        /// The start of the newest message in any of them.
        last_message_preview: Option<String>,
    }
}

impl Paged for SubscriberSummary {
    const NAME: &'static str = "SubscriberSummary";
}

impl From<Summary> for SubscriberSummary {
    fn from(summary: Summary) -> Self {
        let subscriber = summary.subscriber;
        Self {
            id: subscriber.id,
            app_id: subscriber.app,
            customer_id: subscriber.customer_id,
            display_name: subscriber.display_name,
            created_at: subscriber.created_at,
            last_seen_at: subscriber.last_seen_at,
            last_message_at: subscriber.last_message_at,
            thread_count: summary.thread_count,
            last_message_preview: summary.last_message_preview,
        }
    }
}

wire! {
    /// A subscriber's thread in a list.
    pub(crate) struct ThreadSummary {
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
        /// How many messages it has.
        message_count: u64,
        /// When its newest message was stored.
        last_message_at: Option<Timestamp>,
        /// The start of its newest message.
        last_message_preview: Option<String>,
    }
}

impl Paged for ThreadSummary {
    const NAME: &'static str = "ThreadSummary";
}

impl From<ThreadListed> for ThreadSummary {
    fn from(summary: ThreadListed) -> Self {
        let thread = ThreadRead::from(summary.thread);
        Self {
            id: thread.id,
            app_id: thread.app_id,
            subscriber_id: thread.subscriber_id,
            title: thread.title,
            customer_id: thread.customer_id,
            status: thread.status,
            created_at: thread.created_at,
            updated_at: thread.updated_at,
            message_count: summary.message_count,
            last_message_at: summary.last_message_at,
            last_message_preview: summary.last_message_preview,
        }
    }
}

fields! {
    /// Which subscribers to list.
    pub(crate) query SubscribersQuery as "SubscribersQuery" {
        /// How many at most.
        limit: Int<1, 200, 25>,
        /// Where to go on.
        cursor: Option<String>,
        /// Only those whose names contain this, not regarding case.
        q: Option<String>,
    }
}

fields! {
    /// Which threads of a subscriber to list.
    pub(crate) query SubscriberThreadsQuery as "SubscriberThreadsQuery" {
        /// How many at most.
        limit: Int<1, 200, 25>,
        /// Where to go on.
        cursor: Option<String>,
    }
}

/// Lists an app's subscribers: who spoke last comes first.
pub(crate) async fn list_subscribers(
    State(api): State,
    access: AppAccess<Partners>,
    Query(query): Query<SubscribersQuery>,
) -> Result<Json<Continued<SubscriberSummary>>, ApiError> {
    let (search, cursor) = (query.q.unwrap_or_default(), cursor(query.cursor));
    let (scope, app, limit) = (&access.scope, access.app, query.limit.get());
    let page = api.store().list_subscribers(scope, app, &search, cursor.as_ref(), limit).await?;
    Ok(Json(Continued::new(page)))
}

/// Gets a subscriber.
pub(crate) async fn get_subscriber(
    State(api): State,
    access: SubscriberAccess<Partners>,
) -> Result<Json<SubscriberRead>, ApiError> {
    let SubscriberAccess { scope, app, subscriber, .. } = access;
    Ok(Json(api.store().get_subscriber(&scope, app, subscriber).await?.into()))
}

/// Lists a subscriber's threads, the latest change first.
pub(crate) async fn list_subscriber_threads(
    State(api): State,
    access: SubscriberAccess<Partners>,
    Query(query): Query<SubscriberThreadsQuery>,
) -> Result<Json<Continued<ThreadSummary>>, ApiError> {
    let SubscriberAccess { scope, app, subscriber, .. } = access;
    let (cursor, limit, store) = (cursor(query.cursor), query.limit.get(), api.store());
    let page =
        store.list_subscriber_threads(&scope, app, subscriber, cursor.as_ref(), limit).await?;
    Ok(Json(Continued::new(page)))
}
