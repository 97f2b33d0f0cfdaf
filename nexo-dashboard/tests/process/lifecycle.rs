//! Starting, stopping, and being killed.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use futures::StreamExt;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    accounts::assert_private,
    harness::{Home, PASSWORD, Server, eventually},
};

const EMAIL: &str = "nora@example.com";

#[tokio::test]
async fn the_first_start_makes_secrets_for_the_owner_only_and_later_ones_keep_them() {
    let home = Home::new();
    let mut server = home.start(&[]);
    let token = server.new_user(EMAIL).await;
    let secrets = home.data().join("secrets.toml");
    let made = fs::read_to_string(&secrets).unwrap();

    assert_private(&home.data(), 0o700);
    for file in ["secrets.toml", "nexo.db", "nexo.db.lock"] {
        assert_private(&home.data().join(file), 0o600);
    }
    server.terminate();
    assert!(server.wait().success(), "{}", server.log());

    let server = home.start(&[]);
    assert_eq!(fs::read_to_string(&secrets).unwrap(), made);
    assert_eq!(server.get("/users/me", &token).await.0, 200);
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() {
    let home = Home::new();
    let _server = home.start(&[]);

    let said = home.refusal(&[]);

    assert!(said.contains("another server works on") && said.contains("nexo.db"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_has_another_name_is_refused() {
    let home = Home::new();
    home.start(&[]).kill();
    let data = home.data();
    fs::hard_link(data.join("nexo.db"), data.join("twin.db")).unwrap();

    let said = home.refusal(&[]);

    assert!(said.contains("another name") && said.contains("nexo.db"), "{said}");
}

#[tokio::test]
async fn a_killed_server_leaves_no_lock_behind() {
    let home = Home::new();

    home.start(&[]).kill();

    home.start(&[]);
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();

    let output = home.run(&["--port", &port], &[]);

    let said = crate::harness::said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains(&format!("127.0.0.1:{port} is taken")) && said.contains("PORT"),
        "{said}"
    );
}

#[tokio::test]
async fn other_secrets_than_those_of_the_database_are_refused_by_name() {
    let home = Home::new();
    home.start(&[]).kill();
    fs::remove_file(home.data().join("secrets.toml")).unwrap();

    let said = home.refusal(&[]);

    for name in ["ACCESS_SECRET_KEY", "RESET_PASSWORD_SECRET_KEY", "ENCRYPTION_KEYS"] {
        assert!(said.contains(name), "{said}");
    }
}

/// Begins a streamed run, and reads its first bytes.
async fn streamed_run(
    server: &Server,
    thread: &str,
    token: &str,
) -> impl futures::Stream<Item = String> + Unpin + use<> {
    let question = json!({"content": "Is it vegan?"});
    assert!(server.post(&format!("{thread}/messages"), token, question).await.0.is_success());
    let request = server.request(Method::GET, &format!("{thread}/run/stream"));
    let response = request.bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let pieces = response
        .bytes_stream()
        .map(|piece| String::from_utf8_lossy(&piece.expect("the stream is not cut")).into_owned());
    Box::pin(pieces)
}

pub(crate) async fn a_run_survives_termination(mut server: Server) -> (String, String) {
    let token = server.new_user(EMAIL).await;
    let thread = server.new_thread(&token, 1_500).await;
    let mut stream = streamed_run(&server, &thread, &token).await;

    server.terminate();
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        text.push_str(&piece);
    }

    assert!(text.contains("event: done") && text.contains("Echo:"), "{text}");
    assert!(server.wait().success(), "{}", server.log());
    (thread, token)
}

#[tokio::test]
async fn a_run_under_way_is_finished_before_the_server_ends() {
    for (home, server) in Home::each(&[]) {
        let (thread, token) = a_run_survives_termination(server).await;

        let server = home.start(&[]);
        let (_, messages) = server.get(&format!("{thread}/messages"), &token).await;
        let last = messages.as_array().unwrap().last().unwrap();
        assert_eq!(last["content"], "Echo: Is it vegan?");
    }
}

#[tokio::test]
async fn connections_on_which_nothing_goes_on_keep_no_server_from_ending() {
    for (_home, mut server) in Home::each(&[("HEADER_TIMEOUT_SECONDS", "3600")]) {
        let mut idle = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_ne!(idle.read(&mut [0; 64]).await.unwrap(), 0);

        server.terminate();

        assert!(server.wait().success(), "{}", server.log());
        assert!(!server.log().contains("still open"), "{}", server.log());
    }
}

#[tokio::test]
async fn a_run_that_outlasts_the_grace_goes_on_at_the_next_start() {
    let home = Home::new();
    let mut server = home.start(&[("SHUTDOWN_GRACE_SECONDS", "0")]);
    let token = server.new_user(EMAIL).await;
    let thread = server.new_thread(&token, 60_000).await;
    let mut stream = streamed_run(&server, &thread, &token).await;

    server.terminate();
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        text.push_str(&piece);
    }

    assert!(text.ends_with("retry: 200\n\n"), "a reader may come back at once: {text}");
    assert!(server.wait().success(), "{}", server.log());
    let server = home.start(&[]);
    let run = only_run(&server, &thread, &token).await;
    assert_eq!((&run["state"], &run["attempt"]), (&json!("running"), &json!(2)));
}

/// The one run of a thread, once a server carries it.
async fn only_run(server: &Server, thread: &str, token: &str) -> serde_json::Value {
    eventually("the run", async || {
        let (_, page) = server.get(&format!("{thread}/runs"), token).await;
        let run = page["items"][0].clone();
        (run["state"] != "queued").then_some(run)
    })
    .await
}

#[tokio::test]
async fn a_run_that_was_killed_with_its_server_goes_on_where_its_reader_comes_back() {
    let home = Home::new();
    let server = home.start(&[]);
    let token = server.new_user(EMAIL).await;
    let thread = server.new_thread(&token, 400).await;
    let mut stream = streamed_run(&server, &thread, &token).await;
    let mut text = String::new();
    while !text.contains("event: delta") {
        text.push_str(&stream.next().await.unwrap());
    }
    let seen = text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap();
    drop(stream);

    server.kill();
    let server = home.start(&[]);
    let request = server.request(Method::GET, &format!("{thread}/run/stream"));
    let response = request.bearer_auth(&token).header("last-event-id", seen).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let rest = response.text().await.unwrap();

    assert!(rest.contains("event: reset\ndata: {\"attempt\":2}"), "{rest}");
    assert!(rest.contains("event: done\ndata: {\"message_id\""), "{rest}");
    let (_, messages) = server.get(&format!("{thread}/messages"), &token).await;
    let replies: Vec<_> = messages.as_array().unwrap().iter().skip(2).collect();
    assert_eq!(replies.len(), 1, "{messages}");
    assert_eq!(replies[0]["content"], "Echo: Is it vegan?");
}

#[tokio::test]
async fn a_load_balancer_sees_that_a_server_is_about_to_end() {
    let home = Home::new();
    let mut server = home.start(&[("SHUTDOWN_DELAY_SECONDS", "3600")]);
    assert_eq!(server.get("/readyz", "").await.0, 200);

    server.terminate();

    let unready = async || (server.get("/readyz", "").await.0 == 503).then_some(());
    eventually("the refusal", unready).await;
    server.new_user(EMAIL).await;
    server.terminate();
    assert_eq!(server.wait().code(), Some(1), "the second signal does not wait");
}

#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    let home = Home::new();
    let mut server = home.start(&[]);
    let token = server.new_user(EMAIL).await;
    let thread = server.new_thread(&token, 20_000).await;
    let _stream = streamed_run(&server, &thread, &token).await;
    let started = Instant::now();

    server.terminate();
    eventually("the shutdown", async || server.log().contains("shutting down").then_some(())).await;
    assert!(server.is_running());
    server.terminate();

    assert_eq!(server.wait().code(), Some(1));
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let home = Home::new();
    let mut server = home.start(&[]);
    let token = server.new_user(EMAIL).await;
    let thread = server.new_thread(&token, 0).await;

    for number in 1..=5 {
        let body = json!({"content": format!("message {number}")});
        let (status, answer) = server.post(&format!("{thread}/messages"), &token, body).await;
        assert!(status.is_success(), "{answer}");
        server.kill();
        server = home.start(&[]);

        let (_, messages) = server.get(&format!("{thread}/messages"), &token).await;
        let kept = messages.as_array().unwrap().iter();
        let kept: Vec<_> = kept.filter(|message| message["role"] == "user").collect();
        assert_eq!(kept.len(), number, "{messages}");
    }
}

#[tokio::test]
async fn no_secret_is_in_the_log_however_much_is_logged() {
    let home = Home::new();
    let settings = [
        ("LOG_LEVEL", "DEBUG"),
        ("ACCESS_SECRET_KEY", "canary-1-kX8vQ2mZr7Lw4tYp9BnC1sGd6HfJ3aEu"),
        ("ENCRYPTION_KEYS", "k1:Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2E="),
        ("METRICS_TOKEN", "canary-2"),
    ];
    let server = home.start(&settings);
    let token = server.new_user(EMAIL).await;
    let app = json!({
        "name": "canary-3",
        "webhook_url": "http://localhost:9/canary-4",
        "webhook_secret": "canary-5",
        "config_json": {"integration": {"mode": "webhook"}},
    });
    let (_, app) = server.post("/apps/", &token, app).await;
    let app = app["id"].as_str().unwrap();
    let (_, thread) = server.post(&format!("/apps/{app}/threads"), &token, json!({})).await;
    let thread = format!("/apps/{app}/threads/{}", thread["thread"]["id"].as_str().unwrap());
    server.post(&format!("{thread}/messages"), &token, json!({"content": "canary-6"})).await;
    server.post(&format!("{thread}/run"), &token, json!({})).await;
    server.post("/auth/forgot-password", "", json!({"email": EMAIL})).await;
    server.post("/auth/reset-password", "", json!({"token": "canary-7", "password": "x"})).await;
    server.log_in(EMAIL, "canary-8").await;
    server.get("/metrics", "canary-2").await;
    let request = server.request(Method::GET, &format!("{thread}/messages"));
    request.header("x-app-id", app).header("x-app-secret", "canary-9").send().await.unwrap();
    eventually("the mail", async || server.log().contains(".eml").then_some(())).await;

    let log = server.log();

    let secrets = fs::read_to_string(home.data().join("secrets.toml")).unwrap();
    let made = secrets
        .lines()
        .filter_map(|line| line.split_once("= "))
        .map(|(_, it)| it.trim_matches('"'));
    for secret in made.chain(["canary", "Y2FuYXJ5", PASSWORD, &token, EMAIL]) {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    assert!(log.contains("DEBUG [nexo_http"), "{log}");
}
