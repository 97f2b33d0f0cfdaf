//! Messages: the endpoints for what is said in a thread.

use futures::{StreamExt, stream};
use nexo_core::{
    AppId, JsonObject, KeyedRequest, MAX_LISTED_BYTES, Message, MessageId, MessageRange,
    NewMessage, Once, Result, Role, Scope, ThreadId, Timestamp, Topic,
};
use serde_json::json;

use crate::{
    Api, ApiError,
    idempotency::Keyed,
    input::{Access, JsonBody, Partners, Path, Query, State, ThreadAccess},
    openapi::wire,
    output::{Json, List},
    request::{Named, Within},
    validate::{Content, Given, Int, Violation, fields},
};

wire! {
    /// A message, as shown.
    pub(crate) struct MessageRead {
        /// The message's id.
        id: MessageId,
        /// The thread it was said in.
        thread_id: ThreadId,
        /// Its number in the thread, from 1.
        seq: i64,
        /// `user`, `assistant`, `system` or `tool`.
        role: &'static str,
        /// What was said.
        content: Option<String>,
        /// Structured data beside the text.
        content_json: JsonObject,
        /// When it was stored.
        created_at: Timestamp,
    }
}

impl From<Message> for MessageRead {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            thread_id: message.thread,
            seq: message.seq,
            role: message.role.as_str(),
            content: message.content,
            content_json: message.content_json,
            created_at: message.created_at,
        }
    }
}

fields! {
    /// What is said.
    pub(crate) body MessageCreate as "MessageCreate" {
        /// The text.
        content: Option<Content>,
        /// Structured data beside the text.
        content_json: Given<JsonObject>,
    }
}

impl MessageCreate {
    pub(crate) fn into_message(self, api: &Api, role: Role) -> NewMessage {
        NewMessage {
            role,
            content: self.content.map(|content| content.0),
            content_json: self.content_json.0.unwrap_or_default(),
            to_deleted: api.settings().post_to_deleted,
        }
    }
}

fields! {
    /// Which messages to list.
    pub(crate) query MessagesQuery as "MessagesQuery" {
        /// Only those with a smaller `seq`; the newest of them.
        before_seq: Option<i64>,
        /// Only those with a greater `seq`; the oldest of them.
        after_seq: Option<i64>,
        /// How many at most.
        limit: Int<1, 200, 50>,
    }
}

impl MessagesQuery {
    fn range(&self) -> Result<MessageRange, ApiError> {
        match (self.before_seq, self.after_seq) {
            (before, None) => Ok(MessageRange::Newest { before }),
            (None, Some(after)) => Ok(MessageRange::After(after)),
            (Some(_), Some(after)) => Err(both_ways(after)),
        }
    }
}

fn both_ways(after: i64) -> ApiError {
    let reason = "before_seq and after_seq exclude each other";
    let loc = vec!["query".into(), "after_seq".into()];
    let violation = Violation::new("value_error", loc, format!("Value error, {reason}"));
    let violation = violation.with_input(after.to_string()).with_ctx(json!({ "reason": reason }));
    ApiError::invalid(vec![violation])
}

/// Lists messages of a thread, always in rising order of `seq`.
pub(crate) async fn list_messages(
    State(api): State,
    access: ThreadAccess<Partners>,
    Query(query): Query<MessagesQuery>,
) -> Result<List<MessageRead>, ApiError> {
    let ThreadAccess { scope, app, thread, .. } = access;
    let range = match query.range() {
        Ok(range) => range,
        Err(error) => {
            api.confirm(&Named { scope, app, within: Within::Thread(thread) }).await?;
            return Err(error);
        }
    };
    let mut page = Page { api, scope, app, thread, rest: Some((range, query.limit.get())) };
    let first = page.next().await?.unwrap_or_default();
    if page.rest.is_none() {
        return Ok(List::Whole(first));
    }
    let others =
        stream::unfold(
            page,
            |mut page| async move { Some((page.next().await.transpose()?, page)) },
        );
    Ok(List::Parts(stream::once(async { Ok(first) }).chain(others).boxed()))
}

/// A page of messages that is read as its reader takes it: one of long messages would fill the
/// memory of a server whose readers are slow.
struct Page {
    api: Api,
    scope: Scope,
    app: AppId,
    thread: ThreadId,
    /// What is still to be read.
    rest: Option<(MessageRange, u32)>,
}

impl Page {
    /// The next messages of the page, as many as one listing gives.
    async fn next(&mut self) -> Result<Option<Vec<MessageRead>>> {
        let Some((range, limit)) = self.rest.take() else { return Ok(None) };
        let (scope, app, thread) = (&self.scope, self.app, self.thread);
        let listed = self.api.store().list_messages(scope, app, thread, range, limit).await?;
        self.rest = rest(range, limit, &listed);
        Ok(Some(listed.into_iter().map(MessageRead::from).collect()))
    }
}

/// What of a page its first messages leave over, if there were too long for all of it.
fn rest(range: MessageRange, limit: u32, listed: &[Message]) -> Option<(MessageRange, u32)> {
    let last = listed.last()?.seq;
    let bytes: usize = listed.iter().map(Message::content_bytes).sum();
    let count = u32::try_from(listed.len()).unwrap_or(u32::MAX);
    let most = match range {
        MessageRange::Newest { before: Some(before) } => before.saturating_sub(last + 1),
        _ => i64::MAX,
    };
    let left = limit.saturating_sub(count).min(u32::try_from(most).unwrap_or(u32::MAX));
    (bytes >= MAX_LISTED_BYTES && left > 0).then_some((MessageRange::After(last), left))
}

/// Appends a message from the customer. It does not start a run.
pub(crate) async fn create_message(
    State(api): State,
    access: ThreadAccess<Partners>,
    Keyed(request): Keyed,
    JsonBody(body): JsonBody<MessageCreate>,
) -> Result<Once<Json<MessageRead>>, ApiError> {
    let message = body.into_message(&api, Role::User);
    append(&api, &access, message, request).await
}

/// Appends a message that a person writes in the agent's place.
pub(crate) async fn create_assistant_message(
    State(api): State,
    access: ThreadAccess<Partners>,
    Keyed(request): Keyed,
    JsonBody(body): JsonBody<MessageCreate>,
) -> Result<Once<Json<MessageRead>>, ApiError> {
    let mut message = body.into_message(&api, Role::Assistant);
    message.content_json = message.content_json.with("source", "dashboard_agent");
    append(&api, &access, message, request).await
}

async fn append(
    api: &Api,
    access: &ThreadAccess<Partners>,
    message: NewMessage,
    request: Option<KeyedRequest>,
) -> Result<Once<Json<MessageRead>>, ApiError> {
    let (store, scope, app, thread) = (api.store(), &access.scope, access.app, access.thread);
    let said = match request {
        Some(request) => store.append_message_once(scope, app, thread, message, request).await?,
        None => Once::first(store.append_message(scope, app, thread, message).await?),
    };
    if !said.replayed {
        api.tell(app, thread, Topic::Message);
    }
    Ok(said.map(|message| Json(message.into())))
}

/// Gets a message.
pub(crate) async fn get_message(
    State(api): State,
    access: Access,
    Path(message): Path<MessageId>,
) -> Result<Json<MessageRead>, ApiError> {
    Ok(Json(api.store().get_message(&access.scope, message).await?.into()))
}
