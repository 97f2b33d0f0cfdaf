//! What a case has to do with: a running server, the store behind it, and people who call.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use nexo_core::{
    Clock, Delivery, DeliveryId, Dispatcher, Frames, Nexo, Run, Scope, Store, SystemClock,
    accounts::{AccountStore, NewUser, User},
    conformance::accounts::StoreWithAccounts,
    dispatch::webhook::{Guard, Loopback, WebhookDispatcher},
};
use serde_json::{Value, json};

use super::{
    Server,
    client::{Caller, PATIENCE},
};
use crate::{
    Accounts, Api, Authenticator, PasswordSettings, Passwords, Settings, Throttle, TokenSecrets,
    Tokens,
};

/// A password that is good enough.
pub(crate) const PASSWORD: &str = "Rye&Wheat1";

const TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

type Serve = Arc<dyn Fn(Api) -> BoxFuture<'static, Box<dyn Server>> + Send + Sync>;

/// What a case is handed: an empty store, and how to serve an API.
#[derive(Clone)]
pub struct Setup {
    store: Arc<dyn StoreWithAccounts>,
    serve: Serve,
}

impl Setup {
    /// Of an empty store, and the function that serves an API on a socket.
    pub fn new<S, F>(
        store: Arc<dyn StoreWithAccounts>,
        serve: impl Fn(Api) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: Server,
        F: Future<Output = S> + Send + 'static,
    {
        let serve: Serve = Arc::new(move |api| {
            let serving = serve(api);
            Box::pin(async move { Box::new(serving.await) as Box<dyn Server> })
        });
        Self { store, serve }
    }

    /// The store.
    pub(crate) fn store(&self) -> Arc<dyn StoreWithAccounts> {
        Arc::clone(&self.store)
    }

    /// Starts a server that limits nothing.
    pub(crate) async fn start(self) -> World {
        self.start_with(Settings::default(), Throttle::off()).await
    }

    /// Starts a server with these settings.
    pub(crate) async fn start_with(self, settings: Settings, throttle: Throttle) -> World {
        let api = self.api(Arc::new(webhooks()));
        self.serve(api.with_settings(settings).with_throttle(throttle)).await
    }

    /// Starts a server whose webhooks are reached in this way.
    pub(crate) async fn start_dispatching(self, dispatcher: impl Dispatcher) -> World {
        let api = self.api(Arc::new(dispatcher));
        self.serve(api).await
    }

    /// Starts a server with what its host serves besides.
    pub(crate) async fn start_serving(self, host: impl FnOnce(Api) -> Api) -> World {
        let api = self.api(Arc::new(webhooks()));
        self.serve(host(api)).await
    }

    /// Starts a server with somebody else's login.
    pub(crate) async fn start_embedded(
        self,
        login: impl Authenticator,
        settings: Settings,
    ) -> World {
        let nexo = self.nexo(Arc::new(webhooks()));
        let api = Api::new(nexo, Arc::new(login)).with_settings(settings);
        self.serve(api).await
    }

    fn api(&self, dispatcher: Arc<dyn Dispatcher>) -> Api {
        let store: Arc<dyn AccountStore> = self.store.clone();
        let accounts = Accounts::new(store, cheap_passwords(), tokens());
        Api::with_accounts(self.nexo(dispatcher), accounts)
    }

    fn nexo(&self, dispatcher: Arc<dyn Dispatcher>) -> Nexo {
        let store: Arc<dyn Store> = self.store.clone();
        let builder = Nexo::builder().store(store).webhooks(webhooks());
        builder.dispatcher("webhook", dispatcher).build()
    }

    async fn serve(self, api: Api) -> World {
        let document = api.openapi();
        let server = (self.serve)(api).await;
        let tokens = tokens();
        World { server, store: self.store, tokens, document, users: AtomicU32::default() }
    }
}

/// Calls agents on this machine, too.
fn webhooks() -> WebhookDispatcher {
    WebhookDispatcher::new(Guard::new().with_loopback(Loopback::Allowed))
}

fn tokens() -> Tokens {
    let secrets = TokenSecrets {
        access: "access-secret-of-the-suite-000000".into(),
        reset_password: "reset-secret-of-the-suite-0000000".into(),
        verification: "verify-secret-of-the-suite-000000".into(),
    };
    Tokens::new(&secrets, TOKEN_LIFETIME)
}

/// What a password costs is no matter of the wire.
fn cheap_passwords() -> Passwords {
    Passwords::new(PasswordSettings { memory_kib: 8, passes: 1, lanes: 1 })
}

/// A running server, and the store behind it.
pub(crate) struct World {
    server: Box<dyn Server>,
    pub(crate) store: Arc<dyn StoreWithAccounts>,
    pub(crate) tokens: Tokens,
    pub(crate) document: Value,
    users: AtomicU32,
}

impl World {
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Below which path the API is mounted.
    pub(crate) fn prefix(&self) -> &str {
        self.server.prefix()
    }

    /// Somebody who does not say who they are.
    pub(crate) fn nobody(&self) -> Caller {
        Caller::nobody(self.address(), self.prefix())
    }

    /// A partner's backend.
    pub(crate) fn partner(&self, app: &str, secret: &str) -> Caller {
        self.nobody().partner(app, secret)
    }

    /// A new user, who has signed in.
    pub(crate) async fn owner(&self) -> Caller {
        self.sign_up().await.1
    }

    /// A new user, who has signed in, and what the store knows about them.
    pub(crate) async fn sign_up(&self) -> (User, Caller) {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        let email = format!("user{number}@example.com");
        let body = json!({"email": email, "password": PASSWORD});
        self.nobody().post("/auth/register", body).await.is(201);
        let caller = self.sign_in(&email, PASSWORD).await;
        (self.user(&email).await, caller)
    }

    /// Signs in with a password.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Caller {
        let answer = self.log_in(email, password).await.ok();
        self.nobody().bearer(answer["access_token"].as_str().unwrap())
    }

    /// Sends the login form.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> super::client::Answer {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("username", email)
            .append_pair("password", password)
            .finish();
        let call = self.nobody().call("POST", "/auth/jwt/login");
        call.body("application/x-www-form-urlencoded", form).send().await
    }

    /// A new user who administers users.
    pub(crate) async fn superuser(&self) -> (User, Caller) {
        let user = NewUser {
            email: "root@example.com".into(),
            hashed_password: cheap_passwords().hash(PASSWORD.into()).await.unwrap(),
            is_superuser: true,
            is_verified: true,
            locale: "en".into(),
        };
        let user = self.store.create_user(user).await.unwrap();
        let caller = self.nobody().bearer(&self.tokens.access(&user, SystemClock.now()));
        (user, caller)
    }

    /// What the store knows about a user.
    pub(crate) async fn user(&self, email: &str) -> User {
        self.store.find_user_by_email(email).await.unwrap().expect("the user exists")
    }
}

/// An app of somebody's, for a case to work in.
pub(crate) struct App {
    pub(crate) owner: Caller,
    pub(crate) id: String,
}

impl App {
    /// A new app made of these members; its name need not be among them.
    pub(crate) async fn create(owner: &Caller, mut body: Value) -> Self {
        if body.get("name").is_none() {
            body["name"] = json!("Bakery desk");
        }
        let app = owner.post("/apps/", body).await.ok();
        Self { owner: owner.clone(), id: text(&app["id"]) }
    }

    /// A new user's app whose webhook is at this address.
    pub(crate) async fn with_webhook(world: &World, url: &str) -> Self {
        let body = json!({"webhook_url": url, "config_json": {"integration": {"mode": "webhook"}}});
        Self::create(&world.owner().await, body).await
    }

    /// A path below the app's own.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/apps/{}{rest}", self.id)
    }

    /// Creates a thread, and gives its id.
    pub(crate) async fn thread(&self, body: Value) -> String {
        let created = self.owner.post(&self.path("/threads"), body).await.ok();
        text(&created["thread"]["id"])
    }

    /// Creates a thread in which a customer has said something.
    pub(crate) async fn asked(&self, content: &str) -> String {
        let thread = self.thread(json!({})).await;
        self.say(&thread, content).await;
        thread
    }

    /// Says something as the customer.
    pub(crate) async fn say(&self, thread: &str, content: &str) -> Value {
        let path = self.path(&format!("/threads/{thread}/messages"));
        self.owner.post(&path, json!({"content": content})).await.ok()
    }

    /// All messages of a thread, as far as one page shows them.
    pub(crate) async fn messages(&self, thread: &str) -> Vec<Value> {
        let path = self.path(&format!("/threads/{thread}/messages?limit=200"));
        self.owner.get(&path).await.ok().as_array().unwrap().clone()
    }

    /// The third message of a thread, once it is there.
    pub(crate) async fn reply(&self, thread: &str) -> Value {
        self.message(thread, 3).await
    }

    /// The message with this `seq`, once it is there.
    pub(crate) async fn message(&self, thread: &str, seq: usize) -> Value {
        let stored = async {
            loop {
                match self.messages(thread).await.get(seq - 1) {
                    Some(message) => return message.clone(),
                    None => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, stored).await.expect("it was never stored")
    }

    /// The newest run of the app, and what was sent for it: this text, to nowhere.
    pub(crate) async fn delivered(&self, world: &World, text: &str) -> (String, String) {
        let runs = self.owner.get(&self.path("/runs")).await.ok();
        let run = runs["items"][0]["id"].as_str().unwrap().parse().unwrap();
        let run = world.store.get_run(&Scope::Everything, run).await.unwrap();
        let delivery = delivery(&run, text);
        let id = delivery.id.to_string();
        world.store.record_delivery(delivery).await.unwrap();
        (run.id.to_string(), id)
    }

    /// Has a thread answered, and waits for it.
    pub(crate) async fn run(&self, thread: &str) -> Value {
        let path = self.path(&format!("/threads/{thread}/run"));
        self.owner.call("POST", &path).send().await.ok()
    }

    /// The call that has a thread answered as a stream.
    pub(crate) fn stream(&self, thread: &str) -> super::client::Call {
        self.owner.call("GET", &self.path(&format!("/threads/{thread}/run/stream")))
    }
}

fn delivery(run: &Run, text: &str) -> Delivery {
    Delivery {
        id: DeliveryId::new(),
        app: run.app,
        run: run.id,
        agent: run.agent,
        replay: None,
        repeats: None,
        attempt: 1,
        url: format!("http://agent.example/{text}"),
        request_headers: vec![("x-text".into(), text.into())],
        request_body: text.into(),
        peer: None,
        status: Some(200),
        response_headers: Vec::new(),
        response_body: text.into(),
        response_bytes: text.len() as u64,
        frames: Frames::default(),
        error: None,
        error_detail: None,
        started_at: run.created_at,
        first_byte_after: None,
        ended_after: Duration::from_secs(1),
    }
}

/// The text that a value is.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
