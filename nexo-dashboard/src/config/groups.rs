//! How the server is reached, how people sign in, what is logged.

use std::time::Duration;

use nexo_core::{KeyRing, Secret};

use super::reader::Reader;

/// The web framework that speaks HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    #[cfg(feature = "axum")]
    Axum,
    #[cfg(feature = "actix")]
    Actix,
}

/// Those that this server was built with; the first is the default.
const FRAMEWORKS: &[(&str, Framework)] = &[
    #[cfg(feature = "axum")]
    ("axum", Framework::Axum),
    #[cfg(feature = "actix")]
    ("actix", Framework::Actix),
];

/// Told to those who ask for one that it was built without.
const OTHER_FRAMEWORKS: &str = if cfg!(all(feature = "axum", feature = "actix")) {
    ""
} else {
    " (what a server can speak is chosen when it is built: features `axum`, `actix`)"
};

/// How the server is reached.
pub(crate) struct Listen {
    pub(crate) framework: Framework,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// How long a client may take to say what it wants.
    pub(crate) header_timeout: Duration,
    pub(crate) max_connections: usize,
    /// `None` where a proxy in front makes all clients look like one.
    pub(crate) max_connections_per_address: Option<usize>,
    /// How long the server goes on as before when it is stopped, but says that it is not ready.
    pub(crate) shutdown_delay: Duration,
    /// How long runs under way get after that.
    pub(crate) shutdown_grace: Duration,
    pub(crate) trust_forwarded_for: bool,
}

impl Listen {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let trust_forwarded_for = reader.switch("TRUST_FORWARDED_FOR", false);
        let per_address = reader.number("MAX_CONNECTIONS_PER_ADDRESS", 1_024, 1, 1_000_000);
        Self {
            framework: reader.choice_with("HTTP_FRAMEWORK", FRAMEWORKS, OTHER_FRAMEWORKS),
            host: reader.text("HOST", "127.0.0.1"),
            port: reader.number("PORT", 8_000, 0, u16::MAX),
            header_timeout: seconds(reader, "HEADER_TIMEOUT_SECONDS", 10, 1),
            max_connections: reader.number("MAX_CONNECTIONS", 8_192, 1, 1_000_000),
            max_connections_per_address: (!trust_forwarded_for).then_some(per_address),
            shutdown_delay: seconds(reader, "SHUTDOWN_DELAY_SECONDS", 0, 0),
            shutdown_grace: seconds(reader, "SHUTDOWN_GRACE_SECONDS", 25, 0),
            trust_forwarded_for,
        }
    }
}

/// The secrets that were set; those that weren't are made at the first start.
pub(crate) struct GivenSecrets {
    pub(crate) access: Option<Secret>,
    pub(crate) reset_password: Option<Secret>,
    pub(crate) verification: Option<Secret>,
    pub(crate) encryption: Option<KeyRing>,
}

impl GivenSecrets {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        reader.choice("ALGORITHM", &[("HS256", ())]);
        let keys = "id:base64 of 32 bytes, separated by commas; the first seals";
        Self {
            access: reader.secret("ACCESS_SECRET_KEY"),
            reset_password: reader.secret("RESET_PASSWORD_SECRET_KEY"),
            verification: reader.secret("VERIFICATION_SECRET_KEY"),
            encryption: reader.parsed_secret("ENCRYPTION_KEYS", keys, |text| text.parse().ok()),
        }
    }
}

impl GivenSecrets {
    /// Whether none has to be made.
    pub(crate) fn are_complete(&self) -> bool {
        self.access.is_some()
            && self.reset_password.is_some()
            && self.verification.is_some()
            && self.encryption.is_some()
    }
}

/// How people sign in.
pub(crate) struct Accounts {
    pub(crate) is_registration_open: bool,
    pub(crate) has_rate_limits: bool,
    pub(crate) access_lifetime: Duration,
    pub(crate) hash_memory_kib: u32,
    pub(crate) hash_passes: u32,
}

impl Accounts {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            is_registration_open: reader
                .choice("REGISTRATION", &[("open", true), ("closed", false)]),
            has_rate_limits: reader.switch("RATE_LIMITS", true),
            access_lifetime: seconds(reader, "ACCESS_TOKEN_EXPIRE_SECONDS", 3_600, 1),
            hash_memory_kib: reader.number("PASSWORD_HASH_MEMORY_KIB", 19_456, 8, 4_194_304),
            hash_passes: reader.number("PASSWORD_HASH_PASSES", 2, 1, 1_000),
        }
    }
}

/// What is logged, and how it looks.
pub(crate) struct Log {
    pub(crate) level: tracing::Level,
    pub(crate) format: LogFormat,
    /// Overrules the level, for those who look for something.
    pub(crate) filter: Option<String>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Log {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let level = reader.text("LOG_LEVEL", "INFO");
        Self {
            level: level_named(&level),
            format: reader
                .choice("LOG_FORMAT", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            filter: reader.optional("RUST_LOG"),
        }
    }
}

/// Anything else means INFO.
fn level_named(name: &str) -> tracing::Level {
    match name.to_uppercase().as_str() {
        "CRITICAL" | "ERROR" => tracing::Level::ERROR,
        "WARNING" => tracing::Level::WARN,
        "DEBUG" => tracing::Level::DEBUG,
        _ => tracing::Level::INFO,
    }
}

pub(super) fn seconds(
    reader: &mut Reader<'_>,
    name: &'static str,
    default: u64,
    min: u64,
) -> Duration {
    Duration::from_secs(reader.number(name, default, min, 31_536_000))
}
