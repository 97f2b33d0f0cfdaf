//! Production mode, and what operators ask.

use reqwest::{Method, StatusCode};

use crate::harness::{Home, Server, answer};

#[test]
fn an_incomplete_production_server_is_refused_and_each_item_is_named() {
    let home = Home::new();

    let said = home.refusal(&[("PRODUCTION", "on"), ("CORS_ORIGINS", r#"["*"]"#)]);

    for name in [
        "ACCESS_SECRET_KEY",
        "RESET_PASSWORD_SECRET_KEY",
        "VERIFICATION_SECRET_KEY",
        "ENCRYPTION_KEYS",
        "CORS_ORIGINS",
        "METRICS_TOKEN",
        "BACKEND_URL",
        "FRONTEND_URL",
        "MAIL_SERVER",
    ] {
        assert!(said.contains(name), "{name} is missing in {said}");
    }
    assert!(!home.data().exists(), "nothing was made");
}

#[test]
fn a_value_that_can_not_be_used_is_refused_by_name() {
    let home = Home::new();

    let said = home.refusal(&[("database_pool_size", "many")]);

    assert!(said.contains("DATABASE_POOL_SIZE is `many`; allowed: a whole number"), "{said}");
}

#[tokio::test]
async fn probes_answer_get_and_head() {
    for (_home, server) in Home::each(&[]) {
        for method in [Method::GET, Method::HEAD] {
            for path in ["/healthz", "/readyz", "/metrics"] {
                let response = server.request(method.clone(), path).send().await.unwrap();
                assert_eq!(response.status(), 200, "{method} {path}");
                assert!(response.headers().contains_key("x-request-id"), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn metrics_are_told_to_whoever_has_the_token() {
    let home = Home::new();
    let server = home.start(&[("METRICS_TOKEN", "abc123")]);
    let token = server.new_user("nora@example.com").await;
    let thread = server.new_thread(&token, 0).await;

    assert_eq!(server.get("/metrics", "abc124").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/metrics", &token).await.0, StatusCode::UNAUTHORIZED);
    let (status, metrics) = server.get("/metrics", "abc123").await;

    let metrics = metrics.as_str().unwrap();
    assert_eq!(status, 200);
    assert!(metrics.contains(r#"nexo_http_requests_total{method="POST""#), "{metrics}");
    let id = thread.rsplit('/').next().unwrap();
    assert!(!metrics.contains(id), "{metrics}");
}

#[tokio::test]
async fn agents_may_be_on_this_machine_but_not_be_the_server_itself() {
    let home = Home::new();
    let server = home.start(&[]);
    let token = server.new_user("nora@example.com").await;
    let create = async |url: String| {
        let app = serde_json::json!({"name": "Desk", "webhook_url": url});
        server.post("/apps/", &token, app).await.0
    };

    assert!(create("http://localhost:9/agent".into()).await.is_success());
    for host in ["127.0.0.1", "[::1]"] {
        let port = server.address().rsplit(':').next().unwrap();
        assert_eq!(create(format!("http://{host}:{port}/")).await, 422, "{host}");
    }
}

#[tokio::test]
async fn a_browser_gets_pages_where_a_program_gets_the_api() {
    for (_home, server) in Home::each(&[]) {
        gives_pages_to_browsers(&server).await;
    }
}

async fn gives_pages_to_browsers(server: &Server) {
    let get = async |path: &str, accept: &str| {
        let request = server.request(Method::GET, path).header("accept", accept);
        request.send().await.unwrap()
    };

    for path in ["/", "/auth/login", "/auth/verify?token=x", "/dashboard/apps"] {
        let page = get(path, "text/html,*/*;q=0.8").await;
        assert_eq!(page.status(), 200, "{path}");
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    }
    let (status, body) = answer(get("/", "application/json").await).await;
    assert_eq!((status.as_u16(), &body["detail"]), (404, &"Not Found".into()));
    assert_eq!(get("/auth/register", "application/json").await.status(), 405);
    assert_eq!(get("/docs", "text/html").await.status(), 200);
    assert_eq!(get("/openapi.json", "text/html").await.status(), 200);
}

#[tokio::test]
async fn the_log_can_be_json_and_carries_the_id_of_the_request() {
    let home = Home::new();
    let server = home.start(&[("LOG_FORMAT", "json"), ("LOG_LEVEL", "DEBUG")]);

    let request = server.request(Method::GET, "/users/me").header("x-request-id", "my-request");
    assert_eq!(request.send().await.unwrap().headers()["x-request-id"], "my-request");

    let log = server.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered = lines.iter().find(|line| line["message"] == "answered").unwrap();
    assert_eq!((&answered["status"], &answered["span"]["id"]), (&401.into(), &"my-request".into()));
}

#[tokio::test]
async fn nobody_writes_a_line_of_their_own_into_the_log() {
    let home = Home::new();
    let server = home.start(&[("LOG_LEVEL", "DEBUG")]);

    server.request(Method::GET, "/a%0AERROR%0A").send().await.unwrap();
    server.log_in("a\nERROR [x] forged", "x").await;

    let log = server.log();
    let is_entry = |line: &str| line.starts_with("20") && line.contains("Z ");
    assert!(log.lines().count() > 2 && log.lines().all(is_entry), "{log}");
}

#[tokio::test]
async fn settings_come_from_flags_the_environment_dotenv_and_a_file_in_this_order() {
    let home = Home::new();
    std::fs::write(home.path().join(".env"), "MAIL_PORT=3\nMAIL_FROM_NAME='From .env'\n").unwrap();
    let file = "MAIL_PORT = 4\nMAIL_FROM_NAME = \"x\"\nCORS_ORIGINS = [\"https://a.example\"]\n";
    std::fs::write(home.path().join("nexo.toml"), file).unwrap();
    let arguments = ["--config", "nexo.toml", "--port", "1", "--print-config"];
    let settings = [("PORT", "2"), ("mail_port", "2"), ("ACCESS_SECRET_KEY", "canary")];

    let output = home.run(&arguments, &settings);

    let said = crate::harness::said(&output);
    assert!(output.status.success(), "{said}");
    for line in [
        "PORT=1  # flag",
        "MAIL_PORT=2  # environment",
        "MAIL_FROM_NAME=From .env  # .env",
        "CORS_ORIGINS=[\"https://a.example\"]  # file",
        "HOST=127.0.0.1  # default",
        "ACCESS_SECRET_KEY=***  # environment",
    ] {
        assert!(said.contains(line), "{line} is missing in {said}");
    }
    assert!(!said.contains("canary"), "{said}");
}
