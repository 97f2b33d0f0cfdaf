//! What frameworks do by themselves, unless they are told not to: sizes, encodings, framing.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Setup,
    client::PATIENCE,
    world::{App, World},
};

const MIB: usize = 1024 * 1024;

pub(super) async fn a_body_that_is_too_large_is_refused_unread(setup: Setup) {
    let world = setup.start().await;
    let post = || world.nobody().call("POST", "/auth/register");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let endless = format!("{}0\r\n\r\n", chunk.repeat(17));

    let announced = post().header("content-length", "1073741824").send().await;
    let chunked = post().header("transfer-encoding", "chunked").raw(&endless).send().await;
    let sent = post().body("application/json", "x".repeat(MIB + 1)).send().await;
    let form = world.nobody().call("POST", "/auth/jwt/login");
    let form = form.body("application/x-www-form-urlencoded", "x".repeat(MIB + 1)).send().await;

    for answer in [announced, chunked, sent, form] {
        answer.fails(413, "ERROR_PAYLOAD_TOO_LARGE");
    }
    let whole = post().body("application/json", " ".repeat(MIB - 2) + "{}").send().await;
    whole.violates(&[("missing", &["body", "email"]), ("missing", &["body", "password"])]);
}

pub(super) async fn a_body_may_come_in_chunks(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let body = "5\r\n{\"nam\r\n1\r\ne\r\n5\r\n\":\"é\r\n2\r\n\"}\r\n0\r\n\r\n";

    let call = owner.call("POST", "/apps/").header("transfer-encoding", "chunked");
    let app = call.header("content-type", "application/json").raw(body).send().await;

    assert_eq!(app.ok()["name"], "é");
}

pub(super) async fn a_body_ends_where_its_length_says(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;

    let call = owner.call("POST", "/apps/").header("content-length", "12");
    let answer = call.raw("{\"name\":\"a\"} and more").send().await;

    assert_eq!(answer.ok()["name"], "a");
}

/// Half a form may well be a whole one, with another meaning.
pub(super) async fn a_body_that_breaks_off_has_no_effect(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;
    let app = r#"{"name":"a"}"#;
    let chunk = format!("{:x}\r\n{app}\r\n", app.len());
    for (framing, value, body) in
        [("content-length", "100", app), ("transfer-encoding", "chunked", &chunk)]
    {
        let call = owner.call("POST", "/apps/").header("content-type", "application/json");
        let answer = call.header(framing, value).raw(body).break_off().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }

    assert_eq!(owner.get("/apps/").await.ok()["items"], json!([]));
}

pub(super) async fn a_compressed_body_is_refused(setup: Setup) {
    let world = setup.start().await;
    for encoding in ["gzip", "br", "deflate"] {
        let call = world.nobody().call("POST", "/auth/register");
        let call = call.header("content-encoding", encoding).json(&json!({"email": 1}));
        call.send().await.fails(415, "ERROR_UNSUPPORTED_ENCODING");
    }
}

pub(super) async fn a_long_address_is_refused(setup: Setup) {
    let world = setup.start().await;
    let query = |length: usize| format!("/apps/?{}", "x".repeat(length - "/apps/".len()));
    // Some frameworks hand over a path without the prefix, others with it.
    let prefix = world.prefix().len();

    world.owner().await.get(&query(4 * 1024 - prefix)).await.ok();
    for path in [query(4 * 1024 + 1), format!("/{}", "x".repeat(4 * 1024))] {
        world.nobody().get(&path).await.fails(414, "ERROR_URI_TOO_LONG");
    }
}

pub(super) async fn long_headers_are_refused(setup: Setup) {
    let world = setup.start().await;
    let owner = world.owner().await;

    owner.clone().with("x-much", "x".repeat(15 * 1024)).get("/apps/").await.ok();
    for name in ["x-much", "authorization"] {
        let answer = world.nobody().with(name, "x".repeat(16 * 1024)).get("/apps/").await;
        answer.fails(431, "ERROR_HEADERS_TOO_LARGE");
    }
}

pub(super) async fn a_header_may_have_any_bytes(setup: Setup) {
    let world = setup.start().await;
    let app = App::create(&world.owner().await, json!({"webhook_secret": "s"})).await;
    for name in ["authorization", "cookie", "origin", "accept", "content-type", "x-forwarded-for"] {
        for value in [&b"\xff\xfe"[..], "Bearer \u{e9}".as_bytes(), b"\x80"] {
            let caller = world.nobody().with(name, value);
            caller.get("/users/me").await.fails(401, "Unauthorized");
            caller.get(&app.path("/threads")).await.fails(401, "ERROR_PARTNER_API_UNAUTHORIZED");
        }
    }
}

pub(super) async fn an_answer_without_a_body_says_so(setup: Setup) {
    let world = setup.start().await;
    let (_, root) = world.superuser().await;
    let (user, owner) = world.sign_up().await;

    let out = owner.call("POST", "/auth/jwt/logout").send().await;
    let deleted = root.delete(&format!("/users/{}", user.id)).await;

    for answer in [out, deleted] {
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(answer.header("content-type"), None);
    }
}

/// The statuses that come back for these bytes on one connection.
async fn statuses(world: &World, requests: &str) -> Vec<u16> {
    let mut socket = TcpStream::connect(world.address()).await.unwrap();
    socket.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    // A connection that is reset has said all that it had to say.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answers)).await.expect("it stays open");
    let answers = String::from_utf8(answers).unwrap();
    let status = |it: &str| it.get(..3).and_then(|status| status.parse().ok());
    answers.split("HTTP/1.1 ").filter_map(status).collect()
}

pub(super) async fn a_connection_carries_one_request_after_another(setup: Setup) {
    let world = setup.start().await;
    let end = "connection: close\r\n";
    let at = world.prefix();

    let plain = format!(
        "GET {at}/users/me HTTP/1.1\r\nhost: x\r\n\r\n\
         GET {at}/nowhere HTTP/1.1\r\nhost: x\r\n{end}\r\n"
    );
    assert_eq!(statuses(&world, &plain).await, [401, 404]);

    let hidden = format!("GET {at}/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n");
    let unread = format!(
        "POST {at}/auth/jwt/logout HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{hidden}\
         GET {at}/nowhere HTTP/1.1\r\nhost: x\r\n{end}\r\n",
        hidden.len()
    );
    let found = statuses(&world, &unread).await;
    assert!(found == [401, 404] || found == [401], "a body was taken for a request: {found:?}");
}
