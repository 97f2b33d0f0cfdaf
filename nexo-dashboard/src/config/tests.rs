use std::collections::HashMap;

use super::{sources::Origin, *};

fn sources(values: &[(&str, &str)]) -> Sources {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources::default().with(Origin::Environment, values)
}

fn read(values: &[(&str, &str)]) -> Config {
    Config::read(&sources(values)).unwrap()
}

fn refused(values: &[(&str, &str)]) -> String {
    Config::read(&sources(values)).err().expect("it is refused").to_string()
}

#[test]
fn without_any_setting_a_server_for_one_machine_comes_out() {
    let config = read(&[]);

    assert_eq!(config.listen.host, "127.0.0.1");
    assert_eq!(config.listen.port, 8_000);
    assert_eq!(config.database.target.to_string(), "sqlite:./data/nexo.db");
    assert_eq!(config.database.max_connections, 15);
    assert_eq!(config.backend_url(8_000), "http://localhost:8000");
    assert_eq!(config.frontend_url(8_123), "http://localhost:8123");
    assert!(config.mail.smtp.is_none());
    assert!(config.is_loopback_allowed());
    assert!(!config.production);
}

#[test]
fn names_may_be_in_any_case_and_an_empty_value_counts_as_unset() {
    let config = read(&[("port", "9000"), ("HOST", ""), ("nobody_knows_this", "x")]);

    assert_eq!(config.listen.port, 9_000);
    assert_eq!(config.listen.host, "127.0.0.1");
}

#[test]
fn an_empty_value_hides_no_other() {
    let layer = |port: &str, openapi: &str| {
        [("PORT".to_owned(), port.to_owned()), ("OPENAPI_URL".to_owned(), openapi.to_owned())]
    };
    let sources = Sources::default()
        .with(Origin::Environment, layer(" ", ""))
        .with(Origin::File, layer("9000", "/schema.json"));

    let config = Config::read(&sources).unwrap();

    assert_eq!(config.listen.port, 9_000);
    assert_eq!(config.api.openapi_path, "", "where empty means something, it says it");
}

#[test]
fn the_first_source_that_mentions_a_name_decides() {
    let layer = |value: &str| [("PORT".to_owned(), value.to_owned())];
    let sources = Sources::default()
        .with(Origin::Flag, layer("1"))
        .with(Origin::Environment, layer("2"))
        .with(Origin::File, layer("3"));

    assert_eq!(Config::read(&sources).unwrap().listen.port, 1);
}

#[test]
fn every_bad_value_is_named_with_what_is_allowed() {
    let bad: HashMap<&str, &str> = HashMap::from([
        ("PORT", "eighty"),
        ("REGISTRATION", "maybe"),
        ("PRODUCTION", "perhaps"),
        ("CORS_ORIGINS", "http://a"),
        ("BACKEND_URL", "localhost:8000"),
        ("WEBHOOK_ALLOW", "10.0.0.0/99"),
        ("DATABASE_POOL_SIZE", "0"),
        ("LOG_FORMAT", "xml"),
        ("OPENAPI_URL", "openapi"),
        ("WEBHOOK_HEADER_APP_ID", "a b"),
        ("USE_CREDENTIALS", "on"),
        ("ALGORITHM", "none"),
    ]);

    let message = refused(&bad.iter().map(|(name, value)| (*name, *value)).collect::<Vec<_>>());

    for name in bad.keys() {
        assert!(message.contains(name), "{name} is missing in {message}");
    }
}

#[test]
fn a_secret_that_can_not_be_used_is_not_repeated() {
    let message =
        refused(&[("DATABASE_URL", "mysql://root:hunter2@h/d"), ("ENCRYPTION_KEYS", "k1:hunter2")]);

    assert!(message.contains("DATABASE_URL") && message.contains("ENCRYPTION_KEYS"));
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn what_is_kept_for_a_while_is_said_in_hours_and_days() {
    let config = read(&[("RETENTION_EVENTS_HOURS", "2"), ("RETENTION_DELIVERIES_DAYS", "3")]);

    assert_eq!(config.retention.events.as_secs(), 2 * 3_600);
    assert_eq!(config.retention.deliveries.as_secs(), 3 * 86_400);
    assert_eq!(read(&[]).retention, Retention::default());
    assert!(refused(&[("RETENTION_EVENTS_HOURS", "0")]).contains("RETENTION_EVENTS_HOURS"));
}

#[test]
fn servers_tell_each_other_unless_they_are_told_not_to() {
    assert!(read(&[]).database.notify);
    assert!(!read(&[("DATABASE_NOTIFY", "off")]).database.notify);
}

#[test]
fn unknown_log_levels_and_pool_classes_are_the_default() {
    for (name, level) in [
        ("CRITICAL", tracing::Level::ERROR),
        ("warning", tracing::Level::WARN),
        ("DEBUG", tracing::Level::DEBUG),
        ("loud", tracing::Level::INFO),
    ] {
        let config = read(&[("LOG_LEVEL", name), ("DATABASE_POOL_CLASS", "whatever")]);
        assert_eq!(config.log.level, level);
    }
}

#[test]
fn an_empty_openapi_url_turns_the_document_off() {
    assert_eq!(read(&[("OPENAPI_URL", "")]).api.openapi_path, "");
    assert_eq!(read(&[]).api.openapi_path, "/openapi.json");
}

#[test]
fn agents_on_this_machine_are_called_only_by_a_server_that_is_on_it_too() {
    let allowed = |values: &[(&str, &str)]| read(values).is_loopback_allowed();

    assert!(allowed(&[("BACKEND_URL", "http://127.0.0.1:8000")]));
    assert!(allowed(&[("BACKEND_URL", "http://[::1]:8000")]));
    assert!(!allowed(&[("BACKEND_URL", "https://nexo.example.com")]));
    assert!(!allowed(&[("BACKEND_URL", "http://localhost:8000"), ("PRODUCTION", "on")]));
    assert!(!allowed(&[("WEBHOOK_ALLOW_LOOPBACK", "off")]));
    assert!(allowed(&[("BACKEND_URL", "https://x.example"), ("WEBHOOK_ALLOW_LOOPBACK", "on")]));
}

#[test]
fn certificates_are_checked_whenever_mail_is_encrypted() {
    let checks = |values: &[(&str, &str)]| {
        let values = [&[("MAIL_SERVER", "mail.example.com")], values].concat();
        read(&values).mail.smtp.unwrap().checks_certificates
    };

    assert!(checks(&[("MAIL_STARTTLS", "true")]));
    assert!(checks(&[("MAIL_SSL_TLS", "true")]));
    assert!(!checks(&[("MAIL_SSL_TLS", "true"), ("VALIDATE_CERTS", "false")]));
    assert!(!checks(&[]));
}

#[test]
fn production_names_everything_that_is_missing() {
    let config = read(&[
        ("PRODUCTION", "on"),
        ("ACCESS_SECRET_KEY", "short"),
        ("RESET_PASSWORD_SECRET_KEY", "a-development-secret-key-of-many-characters"),
        ("CORS_ORIGINS", r#"["*"]"#),
        ("DATABASE_URL", "postgresql+asyncpg://postgres:password@localhost:5432/nexo_db"),
    ]);

    let message = config.check_production().unwrap_err().to_string();

    for name in [
        "ACCESS_SECRET_KEY is shorter than 32 bytes",
        "RESET_PASSWORD_SECRET_KEY is a development value",
        "VERIFICATION_SECRET_KEY is not set",
        "ENCRYPTION_KEYS",
        "CORS_ORIGINS",
        "DATABASE_URL",
        "METRICS_TOKEN",
        "BACKEND_URL",
        "FRONTEND_URL",
        "MAIL_SERVER",
    ] {
        assert!(message.contains(name), "{name} is missing in {message}");
    }
}

#[test]
fn a_complete_configuration_may_go_to_production() {
    let config = read(&[
        ("PRODUCTION", "on"),
        ("ACCESS_SECRET_KEY", "kX8vQ2mZr7Lw4tYp9BnC1sGd6HfJ3aEu"),
        ("RESET_PASSWORD_SECRET_KEY", "pW5zR8qTn2Vx7cMb4KjH9gFd1SaLy6Eu"),
        ("VERIFICATION_SECRET_KEY", "uY3iO7pA1sD5fG9hJ2kL6zX0cV4bN8mQ"),
        ("ENCRYPTION_KEYS", "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("CORS_ORIGINS", "[]"),
        ("DATABASE_URL", "postgres://nexo:3fkq9@db.example.com/nexo"),
        ("METRICS_TOKEN", "abc"),
        ("BACKEND_URL", "https://api.example.com"),
        ("FRONTEND_URL", "https://nexo.example.com/"),
        ("MAIL_SERVER", "mail.example.com"),
    ]);

    config.check_production().unwrap();
    assert_eq!(config.frontend_url(1), "https://nexo.example.com");
    assert!(config.warnings().is_empty());
}

#[test]
fn no_secret_is_in_what_is_printed() {
    let config = read(&[
        ("ACCESS_SECRET_KEY", "canary-access"),
        ("MAIL_PASSWORD", "canary-mail"),
        ("METRICS_TOKEN", "canary-metrics"),
        ("DATABASE_URL", "postgres://nexo:canary-database@db/nexo"),
        ("ENCRYPTION_KEYS", "canary:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ]);

    let mut printed = Vec::new();
    config.print(&mut printed).unwrap();
    let printed = String::from_utf8(printed).unwrap();

    assert!(!printed.contains("canary"), "{printed}");
    assert!(printed.contains("ACCESS_SECRET_KEY=***  # environment"));
    assert!(printed.contains("PORT=8000  # default"));
    assert!(printed.contains("DATABASE_URL=postgres://db:5432/nexo  # environment"));
}
