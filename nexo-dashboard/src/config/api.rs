//! How the API behaves, and which agents it may call.

use std::time::Duration;

use http::HeaderName;
use nexo_core::dispatch::webhook::AllowRule;

use super::{groups::seconds, reader::Reader};

/// How the API behaves where that is a matter of taste.
pub(crate) struct ApiOptions {
    pub(crate) cors_origins: Vec<String>,
    /// Empty turns the document and its pages off.
    pub(crate) openapi_path: String,
    pub(crate) post_to_deleted_threads: bool,
    pub(crate) secret_overlap: Duration,
    /// How long a call waits for an agent that answers later.
    pub(crate) run_wait: Duration,
    pub(crate) headers: Headers,
}

/// The names of the headers that partners send, and that webhooks are sent with.
pub(crate) struct Headers {
    pub(crate) app_id: HeaderName,
    pub(crate) app_secret: HeaderName,
    pub(crate) thread_id: HeaderName,
    pub(crate) timestamp: HeaderName,
    pub(crate) signature: HeaderName,
}

const CORS_ORIGINS: &str = r#"["http://localhost:3000","http://localhost:8000"]"#;

impl ApiOptions {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            cors_origins: cors_origins(reader),
            openapi_path: openapi_path(reader),
            post_to_deleted_threads: reader.switch("POST_TO_DELETED_THREADS", true),
            secret_overlap: seconds(reader, "WEBHOOK_SECRET_OVERLAP_SECONDS", 3_600, 0),
            run_wait: seconds(reader, "RUN_WAIT_SECONDS", 60, 1),
            headers: Headers {
                app_id: header(reader, "WEBHOOK_HEADER_APP_ID", "X-App-Id"),
                app_secret: header(reader, "WEBHOOK_HEADER_APP_SECRET", "X-App-Secret"),
                thread_id: header(reader, "WEBHOOK_HEADER_THREAD_ID", "X-Thread-Id"),
                timestamp: header(reader, "WEBHOOK_HEADER_TIMESTAMP", "X-Timestamp"),
                signature: header(reader, "WEBHOOK_HEADER_SIGNATURE", "X-Signature"),
            },
        }
    }
}

fn cors_origins(reader: &mut Reader<'_>) -> Vec<String> {
    let parse = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
    let origins = reader.parsed(
        "CORS_ORIGINS",
        r#"a JSON array of origins such as ["https://app.example.com"]; ["*"] is any"#,
        parse,
    );
    reader.show_default("CORS_ORIGINS", CORS_ORIGINS);
    origins.or_else(|| parse(CORS_ORIGINS)).unwrap_or_default()
}

fn openapi_path(reader: &mut Reader<'_>) -> String {
    let path = reader.text_or_empty("OPENAPI_URL", "/openapi.json");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let is_path = path.len() > 1 && path.starts_with('/') && path.chars().all(plain);
    if !path.is_empty() && !is_path {
        let allowed = "a path such as /openapi.json, or empty to serve no document";
        reader.problems.push(format!("OPENAPI_URL is `{path}`; allowed: {allowed}"));
    }
    path
}

fn header(reader: &mut Reader<'_>, name: &'static str, default: &'static str) -> HeaderName {
    let parse = |text: &str| text.parse().ok();
    let value = reader.parsed(name, "a header's name, of letters, digits and `-`", parse);
    reader.show_default(name, default);
    value.unwrap_or_else(|| default.parse().expect("the default is a header's name"))
}

/// Which agents may be called.
pub(crate) struct Webhooks {
    pub(crate) https_only: bool,
    pub(crate) ports: Vec<u16>,
    pub(crate) allow: Vec<AllowRule>,
    pub(crate) loopback: LoopbackRule,
    /// How many calls of one agent may be under way at once.
    pub(crate) calls_at_once: usize,
}

/// Whether agents may run on this machine.
#[derive(Clone, Copy)]
pub(crate) enum LoopbackRule {
    /// If the server itself is meant to be reached there, and not in production.
    Auto,
    On,
    Off,
}

impl Webhooks {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
        let loopback =
            [("auto", LoopbackRule::Auto), ("on", LoopbackRule::On), ("off", LoopbackRule::Off)];
        Self {
            https_only: reader.switch("WEBHOOK_HTTPS_ONLY", false),
            calls_at_once: reader.number("AGENT_CALLS_AT_ONCE", 5_000, 1, 1_000_000),
            ports: reader.list("WEBHOOK_PORTS", "ports such as 443,8443", port),
            allow: reader.list(
                "WEBHOOK_ALLOW",
                "host names and networks such as agents.internal,10.20.0.0/16",
                |text| text.parse().ok(),
            ),
            loopback: reader.choice("WEBHOOK_ALLOW_LOOPBACK", &loopback),
        }
    }
}
