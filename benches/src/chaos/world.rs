//! What an experiment happens in: servers, agents, an app, and those who talk.

use std::{
    fmt::Display,
    future::Future,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nexo_bench::{
    account,
    client::{Answer, Client, text},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    agent::Agent,
    call::{Caller, Trouble},
    customer::Customer,
    fleet::Fleet,
    history::{History, Promise},
    judge::{Verdict, judge},
    lab::Lab,
    remains::Remains,
    script::Manner,
};

/// How long what is under way may take to end when nothing is done to the servers any more.
const PEACE: Duration = Duration::from_secs(90);
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What an experiment happens in.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) agent: Agent,
    pub(crate) history: Arc<History>,
    pub(crate) caller: Caller,
    pub(crate) app: String,
    /// Whether the servers know idempotency keys.
    pub(crate) knows_keys: bool,
    /// Where the servers' logs are.
    pub(crate) dir: PathBuf,
    is_quiet: AtomicBool,
}

impl World {
    /// Starts so many servers with these settings, and makes an app that agents of ours answer
    /// for.
    pub(crate) async fn new(
        lab: &Lab,
        name: &str,
        servers: usize,
        settings: &[(&'static str, &str)],
    ) -> io::Result<Self> {
        let lab = lab.room(name)?;
        let history = Arc::new(History::new(&lab.dir.join("history.jsonl"))?);
        let fleet = Fleet::start(&lab, servers, settings).await?;
        let agent = Agent::start(&history).await?;
        let caller = Caller::new(&account::sign_up(fleet.any(), name).await?);
        let app = create_app(fleet.any(), &caller, &agent).await?;
        let (dir, is_quiet) = (lab.dir, AtomicBool::new(false));
        let mut world =
            Self { dir, fleet, agent, history, caller, app, knows_keys: false, is_quiet };
        world.knows_keys = world.try_keys().await?;
        Ok(world)
    }

    /// Whether one key makes one message.
    async fn try_keys(&self) -> io::Result<bool> {
        let path = self.path(&self.create_thread().await?, "messages");
        let mut client = Client::connect(self.fleet.any(), Some(&self.caller.token)).await?;
        client = client.with_header("idempotency-key", &path);
        let body = json!({"content": "json but nobody is asked"}).to_string();
        let first = client.send("POST", &path, &body).await?.json()?;
        Ok(first["id"] == client.send("POST", &path, &body).await?.json()?["id"])
    }

    /// The path of something in a thread.
    pub(crate) fn path(&self, thread: &str, rest: &str) -> String {
        format!("/apps/{}/threads/{thread}/{rest}", self.app)
    }

    /// Makes a thread; only for when nothing is done to the servers.
    pub(crate) async fn create_thread(&self) -> io::Result<String> {
        let mut client = Client::connect(self.fleet.any(), Some(&self.caller.token)).await?;
        let path = format!("/apps/{}/threads", self.app);
        let created = client.send("POST", &path, "{}").await?.json()?;
        text(&created["thread"]["id"])
    }

    /// Has so many customers talk until [`World::judge`], each in a thread of its own.
    pub(crate) async fn talk(
        self: &Arc<Self>,
        customers: usize,
        manner: fn() -> Manner,
    ) -> io::Result<JoinSet<()>> {
        let mut talking = JoinSet::new();
        for number in 0..customers {
            let thread = self.create_thread().await?;
            self.history.thread(&thread);
            let customer = Customer { world: Arc::clone(self), thread, number, manner };
            talking.spawn(customer.talk());
        }
        Ok(talking)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::Relaxed)
    }

    /// Reads something, from one server or another, until it is there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        loop {
            match self.caller.call(self.fleet.any(), &[], ("GET", path, "")).await {
                Ok(answer) if answer.status == 200 => match answer.json() {
                    Ok(value) => return value,
                    Err(error) => {
                        self.history.wrong(Promise::Answers, format!("GET {path}: {error}"));
                    }
                },
                Ok(answer) => self.look_at(&answer, path),
                Err(Trouble::Refused | Trouble::Unknown(_)) => {}
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// A server in trouble may say that it is not available, or that another one works on a
    /// request with the same key, and nothing else.
    pub(crate) fn look_at(&self, answer: &Answer, path: &str) {
        if answer.status != 503 && !(answer.status == 409 && self.knows_keys) {
            let body = String::from_utf8_lossy(&answer.body);
            self.history.wrong(Promise::Answers, format!("{path}: {} {body}", answer.status));
        }
    }

    /// Does something to a server or the database, and writes it down.
    pub(crate) async fn fault<T>(
        &self,
        what: &str,
        to: impl Display,
        fault: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        self.history.note(what, json!({"to": to.to_string()}));
        let done = fault.await;
        self.history.note(&format!("{what}: done"), json!({"to": to.to_string()}));
        done
    }

    /// Has everybody come to an end, and judges what happened by what is left of it.
    pub(crate) async fn judge(&self, mut talking: JoinSet<()>) -> Verdict {
        self.is_quiet.store(true, Ordering::Relaxed);
        while talking.join_next().await.is_some() {}
        if timeout(PEACE, self.rest()).await.is_err() {
            self.history.wrong(Promise::Ends, format!("runs go on after {PEACE:?} of peace"));
        }
        let verdict = match timeout(PEACE, Remains::read(self)).await {
            Ok(Ok(remains)) => judge(&self.history.facts(), &remains, self.knows_keys),
            Ok(Err(error)) => Verdict::default().with(&format!("what is left is odd: {error}")),
            Err(_) => Verdict::default().with("what is left can't be read"),
        };
        self.history.flush();
        verdict
    }

    /// Waits until no run is under way.
    pub(crate) async fn rest(&self) {
        let path = format!("/apps/{}/runs?state=queued,running,waiting&limit=1", self.app);
        while self.get(&path).await["items"].as_array().is_none_or(|items| !items.is_empty()) {
            sleep(ASK_EVERY).await;
        }
    }
}

/// Makes an app that our agents answer for.
pub(crate) async fn create_app(server: &str, caller: &Caller, agent: &Agent) -> io::Result<String> {
    let mut client = Client::connect(server, Some(&caller.token)).await?;
    let app = client.send("POST", "/apps/", r#"{"name":"chaos"}"#).await?.json()?;
    let app = text(&app["id"])?;
    let config = json!({
        "integration": {"mode": "webhook"},
        "webhook": {"timeout_ms": 120_000},
        "greeting": false,
    });
    let url = format!("http://{}/", agent.address);
    let body = json!({"webhook_url": url, "config_json": config}).to_string();
    let answer = client.send("PATCH", &format!("/apps/{app}"), &body).await?;
    if answer.status == 200 { Ok(app) } else { Err(io::Error::other("the agent was refused")) }
}
