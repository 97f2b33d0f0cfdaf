//! The same server on PostgreSQL. The database is named by `TEST_DATABASE_URL`;
//! `scripts/with-postgres` starts one.

use std::fs;

use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

use crate::{
    accounts::reset_by_mail,
    harness::{Home, Server, said},
    lifecycle::a_run_survives_termination,
    sink::Sink,
};

/// A database of its own, dropped at the end.
struct Database {
    admin: String,
    name: String,
    url: String,
}

impl Database {
    async fn new() -> Self {
        let admin = std::env::var("TEST_DATABASE_URL")
            .expect("TEST_DATABASE_URL names no PostgreSQL: run this with scripts/with-postgres");
        let name = format!("nexo_server_{}", uuid::Uuid::now_v7().simple());
        execute(&admin, format!("create database {name}")).await;
        let mut url = Url::parse(&admin).unwrap();
        url.set_path(&name);
        Self { admin, url: url.into(), name }
    }

    fn settings(&self) -> [(&str, &str); 1] {
        [("DATABASE_URL", &self.url)]
    }

    async fn drop(self) {
        execute(&self.admin, format!("drop database {} with (force)", self.name)).await;
    }
}

async fn execute(url: &str, statement: String) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn on_postgresql_a_forgotten_password_is_reset_by_mail() {
    let (home, sink, database) = (Home::new(), Sink::start().await, Database::new().await);
    let port = sink.port.to_string();
    let mail = [("MAIL_SERVER", "127.0.0.1"), ("MAIL_PORT", port.as_str())];

    let server = home.start(&[&database.settings()[..], &mail].concat());
    reset_by_mail(&server, &sink).await;

    drop(server);
    database.drop().await;
}

#[tokio::test]
async fn on_postgresql_a_run_under_way_is_finished_before_the_server_ends() {
    let (home, database) = (Home::new(), Database::new().await);

    let server = home.start(&database.settings());
    a_run_survives_termination(server).await;

    database.drop().await;
}

#[tokio::test]
async fn several_servers_share_a_database_if_they_share_their_secrets() {
    let (first, second, database) = (Home::new(), Home::new(), Database::new().await);
    let one = first.start(&database.settings());
    let token = one.new_user("nora@example.com").await;

    let refused = second.refusal(&database.settings());
    assert!(refused.contains("ACCESS_SECRET_KEY"), "{refused}");
    fs::copy(first.data().join("secrets.toml"), second.data().join("secrets.toml")).unwrap();
    let other = second.start(&database.settings());

    assert_eq!(other.get("/users/me", &token).await.0, 200);
    drop((one, other));
    database.drop().await;
}

/// Whether the servers tell each other anything, or each looks for itself.
#[tokio::test]
async fn a_stream_of_another_servers_run_comes_piece_by_piece() {
    for notify in ["on", "off"] {
        let (home, database) = (Home::new(), Database::new().await);
        let settings = [&database.settings()[..], &[("DATABASE_NOTIFY", notify)]].concat();
        let (one, other) = (home.start(&settings), home.start(&settings));
        let token = one.new_user("nora@example.com").await;
        let thread = one.new_thread(&token, 300).await;
        let question = json!({"content": "Is it vegan, and is there any of it left by noon?"});
        one.post(&format!("{thread}/messages"), &token, question).await;
        let path = format!("{thread}/run/stream");
        let open = |server: &Server| server.request(Method::GET, &path).bearer_auth(&token).send();

        let near = open(&one).await.unwrap();
        let far = open(&other).await.unwrap();

        assert_eq!(near.headers()["x-run-id"], far.headers()["x-run-id"]);
        let (near, far) = (near.text().await.unwrap(), far.text().await.unwrap());
        // After its end a reply of this length comes in one piece.
        assert!(far.matches("event: delta").count() > 1, "NOTIFY {notify}: {far}");
        let last_id = |text: &str| text.rsplit_once("id: ").map(|(_, id)| id.to_owned());
        assert_eq!(last_id(&far), last_id(&near));
        drop((one, other));
        database.drop().await;
    }
}

#[tokio::test]
async fn on_postgresql_seed_and_doctor_do_their_work() {
    let (home, database) = (Home::new(), Database::new().await);

    for command in ["migrate", "seed", "seed", "doctor"] {
        let output = home.run(&[command], &database.settings());
        assert!(output.status.success(), "{command}: {}", said(&output));
    }

    database.drop().await;
}

#[test]
fn a_database_that_can_not_be_reached_is_said_so_without_its_password() {
    let url = "postgres://nexo:canary@127.0.0.1:1/nexo";

    let said = Home::new().refusal(&[("DATABASE_URL", url)]);

    assert!(said.contains("postgres://127.0.0.1:1/nexo"), "{said}");
    assert!(said.contains("can't be reached") && !said.contains("canary"), "{said}");
}
