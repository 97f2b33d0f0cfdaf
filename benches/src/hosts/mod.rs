//! The same endpoints twice in each framework: as somebody writes them who knows it, and through
//! Nexo's table, which knows none; and the table without a framework.

pub mod actix;
pub mod axum;
pub mod hyper;

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use nexo_core::{
    App, AppId, BoxError, Hint, JsonObject, Message, MessageId, NewApp, NewMessage, NewThread,
    Nexo, OwnerId, Principal, Role, Scope, ThreadId, Timestamp, Topic,
};
use nexo_http::{Api, ApiError, Authenticator, Response};
use serde::{Deserialize, Serialize};

/// Names who calls, as the gateway in front of both versions says it.
pub const USER_HEADER: &str = "x-user";
/// Who owns the app of a [`World`].
pub const USER: &str = "bakery";

const PING: &str = "/ping";
const APP: &str = "/apps/{app_id}";
const MESSAGES: &str = "/apps/{app_id}/threads/{thread_id}/messages";

/// What is asked of both versions.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What it is called in a report.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// The path as it stands in the table.
    pub pattern: &'static str,
    /// The path, with ids.
    pub path: String,
    /// The body, in JSON.
    pub body: &'static str,
}

/// An app in memory with one thread, and the endpoints that work on it. Cheap to clone.
#[derive(Clone)]
pub struct World {
    nexo: Nexo,
    app: AppId,
    thread: ThreadId,
}

impl World {
    /// A new one. Has to be made within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Those of a store in memory, which has none to expect.
    pub async fn new() -> Result<Self, BoxError> {
        let nexo = Nexo::builder().build();
        let app = nexo.store().create_app(NewApp::new(USER.parse()?, "Bakery desk")).await?.id;
        let (scope, new) = (Scope::App(app), NewThread::default());
        let thread = nexo.store().create_thread(&scope, app, new).await?.0.id;
        Ok(Self { nexo, app, thread })
    }

    /// What can be asked: one that does nothing, so that what surrounds it is all there is; one
    /// that reads; and one that takes JSON and changes something.
    #[must_use]
    pub fn endpoints(&self) -> [Endpoint; 3] {
        let (app, thread) = (self.app, self.thread);
        let get =
            |name, pattern, path| Endpoint { name, method: Method::GET, pattern, path, body: "" };
        [
            get("GET ping", PING, PING.to_owned()),
            get("GET app", APP, format!("/apps/{app}")),
            Endpoint {
                name: "POST message",
                method: Method::POST,
                pattern: MESSAGES,
                path: format!("/apps/{app}/threads/{thread}/messages"),
                body: r#"{"content":"Is the rye bread vegan?"}"#,
            },
        ]
    }

    /// The neutral version, for any adapter.
    #[must_use]
    pub fn api(&self) -> Api {
        let api = Api::new(self.nexo.clone(), Arc::new(Gateway));
        api.with_get(PING, async |_| Response::json(StatusCode::OK, &Pong::default()))
    }

    /// What a native handler does to read an app, once its framework took the request apart.
    async fn read_app(&self, user: Option<&str>, app: AppId) -> Result<AppView, StatusCode> {
        let found = self.nexo.store().get_app(&scope(user)?, app).await;
        found.map(AppView::from).map_err(|_| StatusCode::NOT_FOUND)
    }

    /// What one does to append a message.
    async fn append(
        &self,
        user: Option<&str>,
        (app, thread): (AppId, ThreadId),
        body: MessageBody,
    ) -> Result<MessageView, StatusCode> {
        let mut message = NewMessage::new(Role::User, body.content);
        message.content_json = body.content_json.unwrap_or_default();
        let stored = self.nexo.store().append_message(&scope(user)?, app, thread, message).await;
        let stored = stored.map_err(|_| StatusCode::NOT_FOUND)?;
        self.nexo.hub().tell(Hint { app, thread, topic: Topic::Message });
        Ok(stored.into())
    }
}

/// Believes the header that the gateway sets.
#[derive(Debug)]
struct Gateway;

#[async_trait]
impl Authenticator for Gateway {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        Ok(principal(headers.get(USER_HEADER).and_then(|user| user.to_str().ok())))
    }
}

fn principal(user: Option<&str>) -> Option<Principal> {
    let owner: OwnerId = user?.parse().ok()?;
    Some(Principal::Owner { owner, admin: false })
}

fn scope(user: Option<&str>) -> Result<Scope, StatusCode> {
    principal(user).map(|it| it.scope()).ok_or(StatusCode::UNAUTHORIZED)
}

#[derive(Serialize)]
struct Pong {
    pong: bool,
}

impl Default for Pong {
    fn default() -> Self {
        Self { pong: true }
    }
}

/// An app as the API shows it.
#[derive(Serialize)]
struct AppView {
    id: AppId,
    user_id: OwnerId,
    name: String,
    description: Option<String>,
    webhook_url: Option<String>,
    webhook_secret: Option<&'static str>,
    config_json: JsonObject,
}

impl From<App> for AppView {
    fn from(app: App) -> Self {
        Self {
            id: app.id,
            user_id: app.owner,
            name: app.name,
            description: app.description,
            webhook_url: app.webhook_url,
            webhook_secret: app.webhook_secret.map(|_| "••••••"),
            config_json: app.config,
        }
    }
}

#[derive(Deserialize)]
struct MessageBody {
    content: String,
    content_json: Option<JsonObject>,
}

/// A message as the API shows it.
#[derive(Serialize)]
struct MessageView {
    id: MessageId,
    thread_id: ThreadId,
    seq: i64,
    role: &'static str,
    content: Option<String>,
    content_json: JsonObject,
    created_at: Timestamp,
}

impl From<Message> for MessageView {
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
