//! Accounts from the first to the last step, mails included.

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{Home, PASSWORD, Server, eventually},
    sink::{Sink, decoded},
};

const EMAIL: &str = "Nora@example.com";
const NEW_PASSWORD: &str = "Battery!Staple";

fn mail_settings(port: &str) -> [(&str, &str); 2] {
    [("MAIL_SERVER", "127.0.0.1"), ("MAIL_PORT", port)]
}

#[tokio::test]
async fn who_registers_can_sign_in_and_is_who_they_said() {
    let home = Home::new();
    let server = home.start(&[]);

    let token = server.new_user(EMAIL).await;

    let (status, me) = server.get("/users/me", &token).await;
    assert_eq!((status.as_u16(), &me["email"]), (200, &json!(EMAIL)));
    assert_eq!(server.log_in(EMAIL, "wrong").await.0, 400);
}

#[tokio::test]
async fn nobody_can_register_where_registration_is_closed() {
    let home = Home::new();
    let server = home.start(&[("REGISTRATION", "closed")]);

    let body = json!({"email": EMAIL, "password": PASSWORD});
    let (status, answer) = server.post("/auth/register", "", body).await;

    assert_eq!((status.as_u16(), &answer["detail"]), (403, &json!("ERROR_REGISTRATION_CLOSED")));
}

pub(crate) async fn reset_by_mail(server: &Server, sink: &Sink) {
    let token = server.new_user(EMAIL).await;

    let asked = server.post("/auth/forgot-password", "", json!({"email": EMAIL})).await;
    assert_eq!(asked, (reqwest::StatusCode::ACCEPTED, Value::Null));
    let mail = sink.mail(0).await;
    assert_eq!((mail.from.as_str(), mail.to.as_str()), ("noreply@localhost", EMAIL));
    assert!(mail.text.contains("From: Nexo <noreply@localhost>"), "{}", mail.text);

    let port = server.url.rsplit(':').next().unwrap();
    let reset = mail.token(&format!("http://localhost:{port}"), "reset-password");
    let body = json!({"token": reset, "password": NEW_PASSWORD});
    let (status, answer) = server.post("/auth/reset-password", "", body.clone()).await;
    assert_eq!(status, 200, "{answer}");

    assert_eq!(server.log_in(EMAIL, NEW_PASSWORD).await.0, 200);
    assert_eq!(server.log_in(EMAIL, PASSWORD).await.0, 400);
    assert_eq!(server.get("/users/me", &token).await.0, 401);
    let (status, answer) = server.post("/auth/reset-password", "", body).await;
    assert_eq!((status.as_u16(), &answer["detail"]), (400, &json!("RESET_PASSWORD_BAD_TOKEN")));
}

#[tokio::test]
async fn a_forgotten_password_is_reset_by_mail_and_the_link_works_once() {
    let (home, sink) = (Home::new(), Sink::start().await);
    let server = home.start(&mail_settings(&sink.port.to_string()));

    reset_by_mail(&server, &sink).await;
}

#[tokio::test]
async fn an_address_is_verified_by_mail() {
    let (home, sink) = (Home::new(), Sink::start().await);
    let port = sink.port.to_string();
    let frontend = ("FRONTEND_URL", "https://desk.example.com/");
    let server = home.start(&[&mail_settings(&port)[..], &[frontend]].concat());
    let token = server.new_user(EMAIL).await;

    let asked = server.post("/auth/request-verify-token", "", json!({"email": EMAIL})).await;
    assert_eq!(asked, (reqwest::StatusCode::ACCEPTED, Value::Null));
    let verify = sink.mail(0).await.token("https://desk.example.com", "verify");
    let (status, user) = server.post("/auth/verify", "", json!({"token": verify})).await;

    assert_eq!((status.as_u16(), &user["is_verified"]), (200, &json!(true)));
    assert_eq!(server.get("/users/me", &token).await.1["is_verified"], true);
    let (status, answer) = server.post("/auth/verify", "", json!({"token": verify})).await;
    assert_eq!((status.as_u16(), &answer["detail"]), (400, &json!("VERIFY_USER_ALREADY_VERIFIED")));
}

#[tokio::test]
async fn nobody_learns_which_addresses_are_known_and_only_those_get_mail() {
    let (home, sink) = (Home::new(), Sink::start().await);
    let server = home.start(&mail_settings(&sink.port.to_string()));
    server.register(EMAIL).await;

    for email in ["nobody@example.com", EMAIL] {
        let asked = server.post("/auth/forgot-password", "", json!({"email": email})).await;
        assert_eq!(asked, (reqwest::StatusCode::ACCEPTED, Value::Null));
    }

    assert_eq!(sink.mail(0).await.to, EMAIL);
    assert_eq!(sink.count(), 1);
}

#[tokio::test]
async fn a_mail_server_that_is_away_changes_no_answer() {
    let home = Home::new();
    let server = home.start(&mail_settings("1"));
    server.register(EMAIL).await;

    let asked = server.post("/auth/forgot-password", "", json!({"email": EMAIL})).await;

    assert_eq!(asked, (reqwest::StatusCode::ACCEPTED, Value::Null));
    let log = eventually("a line about the mail", async || {
        Some(server.log()).filter(|log| log.contains("was not sent"))
    });
    let log = log.await;
    assert!(log.contains("next try in 10 s") && !log.contains("example.com"), "{log}");
}

#[tokio::test]
async fn without_a_mail_server_mails_become_files_for_the_owner_only() {
    let home = Home::new();
    let server = home.start(&[]);
    server.register(EMAIL).await;

    server.post("/auth/forgot-password", "", json!({"email": EMAIL})).await;

    let file = eventually("the mail", async || {
        let files = fs::read_dir(home.data().join("mail")).ok()?.filter_map(Result::ok);
        files.map(|file| file.path()).find(|path| path.extension().is_some_and(|it| it == "eml"))
    });
    let file = file.await;
    assert_private(&file, 0o600);
    assert!(file.to_string_lossy().contains("reset_password"));
    let mail = decoded(&fs::read_to_string(&file).unwrap());
    let (_, token) = mail.split_once("/auth/reset-password?token=").unwrap();
    let token = token.split_whitespace().next().unwrap();
    let body = json!({"token": token, "password": NEW_PASSWORD});
    assert_eq!(server.post("/auth/reset-password", "", body).await.0, 200);

    let log = server.log();
    assert!(log.contains(".eml"), "{log}");
    assert!(!log.contains(token) && !log.contains(EMAIL), "{log}");
}

pub(crate) fn assert_private(path: &std::path::Path, expected: u32) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, expected, "{}: {mode:o}", path.display());
}
