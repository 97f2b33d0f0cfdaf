//! Where the requests of one group of rows go: a server, with an account and an app of their
//! own.

use std::{io, sync::Arc};

use nexo_bench::{
    account,
    client::{Client, text},
};
use serde_json::json;

use crate::{agent::Agent, drive::Call, lab::Lab, process::Process};

/// How many threads the requests go round.
pub(crate) const THREADS: usize = 256;
/// What customers say.
pub(crate) const SAID: &str = "Is the rye bread vegan?";
/// The same as a request's body.
pub(crate) const MESSAGE: &str = r#"{"content":"Is the rye bread vegan?"}"#;

/// How many set up a stage.
const HANDS: usize = 16;

/// Whom requests are sent to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `http://host:port`.
    pub(crate) server: String,
    /// Whom they are from.
    pub(crate) token: Option<String>,
    /// Who answers them, if that is a process whose needs are of interest.
    pub(crate) process: Option<Process>,
}

impl Target {
    /// A connection.
    pub(crate) async fn client(&self) -> io::Result<Client> {
        Client::connect(&self.server, self.token.as_deref()).await
    }
}

/// A server, with an account and an app.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) target: Target,
    pub(crate) app: String,
}

impl Stage {
    /// Registers an account and creates an app for it.
    pub(crate) async fn new(lab: &Lab) -> io::Result<Self> {
        let target = lab.target();
        let token = account::sign_up(&target.server, "load").await?;
        let target = Target { token: Some(token), ..target };
        let mut client = target.client().await?;
        let app = client.send("POST", "/apps/", r#"{"name":"load"}"#).await?.json()?;
        Ok(Self { target, app: text(&app["id"])? })
    }

    /// A path below the app.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/apps/{}/{rest}", self.app)
    }

    /// Creates so many threads, and gives the path of each.
    pub(crate) async fn threads(&self, count: usize) -> io::Result<Vec<String>> {
        self.many(count, |stage, mut client| async move {
            let path = stage.thread(&mut client).await?;
            Ok((path, client))
        })
        .await
    }

    /// The same, and a customer has spoken in each.
    pub(crate) async fn spoken_threads(&self, count: usize) -> io::Result<Vec<String>> {
        self.many(count, |stage, mut client| async move {
            let path = stage.thread(&mut client).await?;
            client.send("POST", &format!("{path}/messages"), MESSAGE).await?;
            Ok((path, client))
        })
        .await
    }

    async fn thread(&self, client: &mut Client) -> io::Result<String> {
        let created = client.send("POST", &self.path("threads"), "{}").await?.json()?;
        Ok(self.path(&format!("threads/{}", text(&created["thread"]["id"])?)))
    }

    /// Has something made so many times, by several at once.
    async fn many<M, F>(&self, count: usize, make: M) -> io::Result<Vec<String>>
    where
        M: Fn(Arc<Self>, Client) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<(String, Client)>> + Send,
    {
        let (stage, mut hands) = (Arc::new(self.clone()), Vec::with_capacity(HANDS));
        for hand in 0..HANDS {
            let (stage, make) = (Arc::clone(&stage), make.clone());
            hands.push(tokio::spawn(async move {
                let (mut client, mut made) = (stage.target.client().await?, Vec::new());
                for _ in (hand..count).step_by(HANDS) {
                    let (one, again) = make(Arc::clone(&stage), client).await?;
                    client = again;
                    made.push(one);
                }
                Ok::<_, io::Error>(made)
            }));
        }
        let mut made = Vec::with_capacity(count);
        for hand in hands {
            made.extend(hand.await.map_err(io::Error::other)??);
        }
        Ok(made)
    }

    /// From now on the agent answers, below this path.
    pub(crate) async fn use_agent(&self, agent: &Agent, path: &str) -> io::Result<()> {
        let config = json!({"integration": {"mode": "webhook"}});
        let url = format!("http://{}{path}", agent.address);
        let body = json!({"webhook_url": url, "config_json": config}).to_string();
        let path = format!("/apps/{}", self.app);
        let answer = self.target.client().await?.send("PATCH", &path, &body).await?;
        if answer.status == 200 { Ok(()) } else { Err(io::Error::other("the webhook was refused")) }
    }
}

/// The same request to each thread.
pub(crate) fn calls(
    method: &'static str,
    threads: &[String],
    rest: &str,
    body: &'static str,
) -> Vec<Call> {
    threads.iter().map(|thread| (method, format!("{thread}/{rest}"), body)).collect()
}
