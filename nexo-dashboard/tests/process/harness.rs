//! Starts servers, and talks to them.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, Response, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const PASSWORD: &str = "Correct#Horse";
const BINARY: &str = env!("CARGO_BIN_EXE_nexo-dashboard");

/// The web frameworks that the server was built with.
pub(crate) const FRAMEWORKS: &[&str] = &[
    #[cfg(feature = "axum")]
    "axum",
    #[cfg(feature = "actix")]
    "actix",
];

/// A directory that a server runs in, with `data` below it.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// A command of the binary here, with these settings and no others.
    pub(crate) fn command(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            // Each hash would take as long as a test.
            .env("PASSWORD_HASH_MEMORY_KIB", "8")
            .env("PASSWORD_HASH_PASSES", "1")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(settings.iter().copied());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        self.command(arguments, settings).stdin(Stdio::null()).output().unwrap()
    }

    /// What a server says that does not start.
    pub(crate) fn refusal(&self, settings: &[(&str, &str)]) -> String {
        let mut command = self.command(&["--port", "0"], settings);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let status = wait(&mut child);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }

    /// Starts a server on each web framework, one after the other, each in a place of its own.
    pub(crate) fn each(settings: &[(&str, &str)]) -> impl Iterator<Item = (Self, Server)> {
        FRAMEWORKS.iter().map(move |framework| {
            let home = Self::new();
            let server = home.start(&[settings, &[("HTTP_FRAMEWORK", framework)]].concat());
            (home, server)
        })
    }

    /// Starts a server on a free port, and waits until it listens.
    pub(crate) fn start(&self, settings: &[(&str, &str)]) -> Server {
        let log = self.path().join(format!("log-{}", rand::random::<u64>()));
        let mut command = self.command(&["--port", "0"], settings);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines
            .find_map(|line| line.split_once("listens on ").map(|(_, url)| url.trim().to_owned()));
        let url = url.unwrap_or_else(|| panic!("it did not start: {}", read(&log)));
        // Reads on, so that the server never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, url, log, client: Client::new() }
    }
}

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    log: PathBuf,
    client: Client,
}

impl Server {
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path).bearer_auth(token).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        let request = self.request(Method::POST, path).bearer_auth(token);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        answer(request.body(body.to_string()).send().await.unwrap()).await
    }

    pub(crate) async fn register(&self, email: &str) {
        let body = json!({"email": email, "password": PASSWORD});
        let (status, answer) = self.post("/auth/register", "", body).await;
        assert_eq!(status, 201, "{answer}");
    }

    /// Signs in; gives the status, and the token if there is one.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> (StatusCode, String) {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("username", email)
            .append_pair("password", password)
            .finish();
        let request = self.request(Method::POST, "/auth/jwt/login");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let (status, body) = answer(request.body(form).send().await.unwrap()).await;
        (status, body["access_token"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) async fn new_user(&self, email: &str) -> String {
        self.register(email).await;
        let (status, token) = self.log_in(email, PASSWORD).await;
        assert_eq!(status, 200);
        token
    }

    /// Makes an app whose simulator takes its time, and a thread; gives the thread's path.
    pub(crate) async fn new_thread(&self, token: &str, latency_ms: u64) -> String {
        let config = json!({"simulator": {"latency_ms": latency_ms}});
        let (status, app) =
            self.post("/apps/", token, json!({"name": "Desk", "config_json": config})).await;
        assert!(status.is_success(), "{app}");
        let app = app["id"].as_str().unwrap();
        let (status, thread) = self.post(&format!("/apps/{app}/threads"), token, json!({})).await;
        assert!(status.is_success(), "{thread}");
        format!("/apps/{app}/threads/{}", thread["thread"]["id"].as_str().unwrap())
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(started.elapsed() < PATIENCE, "the process did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
