//! Which database, and how many connections to it.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use nexo_core::Secret;
use url::Url;

use super::reader::Reader;

const DEFAULT_FILE: &str = "nexo.db";

/// Which database, and how many connections to it.
pub(crate) struct Database {
    pub(crate) target: Target,
    pub(crate) max_connections: u32,
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a file has none"))]
    pub(crate) max_lifetime: Duration,
    /// Whether servers tell each other what has changed.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "there is one server"))]
    pub(crate) notify: bool,
}

/// Where everything is kept.
pub(crate) enum Target {
    /// In this file.
    Sqlite(PathBuf),
    /// On a PostgreSQL server; the URL may have a password in it.
    Postgres(Secret),
}

impl Database {
    pub(super) fn read(reader: &mut Reader<'_>, data_dir: &Path) -> Self {
        let target = reader.parsed_secret(
            "DATABASE_URL",
            "sqlite:PATH, sqlite://PATH, postgres://… or postgresql://…",
            target,
        );
        let target = target.unwrap_or_else(|| Target::Sqlite(data_dir.join(DEFAULT_FILE)));
        reader.show_instead("DATABASE_URL", target.to_string());
        // Connections are pooled whatever this says: the name is for existing set-ups.
        reader.text("DATABASE_POOL_CLASS", "queue");
        let size = reader.number("DATABASE_POOL_SIZE", 5, 1, 1_000);
        let overflow = reader.number("DATABASE_MAX_OVERFLOW", 10, 0, 1_000);
        let recycle = reader.number("DATABASE_POOL_RECYCLE", 3_600, 1, 31_536_000);
        let max_lifetime = Duration::from_secs(recycle);
        let notify = reader.switch("DATABASE_NOTIFY", true);
        Self { target, max_connections: size + overflow, max_lifetime, notify }
    }
}

fn target(url: &str) -> Option<Target> {
    let (scheme, rest) = url.split_once(':')?;
    // Set-ups of other servers name a driver of theirs as well: `postgresql+asyncpg`.
    match scheme.split('+').next()?.to_ascii_lowercase().as_str() {
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let path = path.split('?').next().filter(|path| !path.is_empty())?;
            // A database in memory would be another one for each connection.
            (!path.contains(":memory:")).then(|| Target::Sqlite(PathBuf::from(path)))
        }
        "postgres" | "postgresql" => rest.starts_with("//").then(|| Target::Postgres(url.into())),
        _ => None,
    }
}

impl Target {
    /// Whether it is the password that every example has.
    pub(super) fn has_default_password(&self) -> bool {
        let Self::Postgres(url) = self else { return false };
        Url::parse(url.expose()).is_ok_and(|url| url.password() == Some("password"))
    }
}

/// Without the password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => match Url::parse(url.expose()) {
                Ok(url) => {
                    let host = url.host_str().unwrap_or_default();
                    let port = url.port().unwrap_or(5_432);
                    write!(f, "postgres://{host}:{port}{}", url.path())
                }
                Err(_) => f.write_str("postgres://***"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_database_url_is_understood() {
        let shown = |url: &str| target(url).map(|target| target.to_string());

        for (url, expected) in [
            ("sqlite:data/x.db", "sqlite:data/x.db"),
            ("sqlite://data/x.db", "sqlite:data/x.db"),
            ("sqlite:///var/x.db", "sqlite:/var/x.db"),
            ("postgres://u:p@h/d", "postgres://h:5432/d"),
            ("postgresql+asyncpg://u:p@h:6543/d?sslmode=require", "postgres://h:6543/d"),
        ] {
            assert_eq!(shown(url).as_deref(), Some(expected));
        }
        for url in ["", "nexo.db", "mysql://h/d", "sqlite:", "postgres:x", "sqlite::memory:"] {
            assert_eq!(shown(url), None, "{url}");
        }
    }
}
