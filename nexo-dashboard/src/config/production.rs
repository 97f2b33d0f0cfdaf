//! What a server that faces the public has to have.

use nexo_core::Secret;

use super::{Config, MailTls};

const MIN_SECRET_BYTES: usize = 32;
/// A random secret has many different characters; one that was typed to fill a form has few.
const MIN_DIFFERENT_BYTES: usize = 10;
/// Words of secrets that are in examples, and therefore known to everybody.
const EXAMPLE_WORDS: [&str; 6] = ["secret", "change", "password", "example", "develop", "default"];

/// Every item that is missing, naming its variable.
pub(super) fn missing(config: &Config) -> Vec<String> {
    let mut missing = Vec::new();
    let mut need = |holds: bool, what: &str| {
        if !holds {
            missing.push(what.to_owned());
        }
    };
    for (name, secret) in token_secrets(config) {
        match secret.as_ref().map(weakness) {
            None => need(false, &format!("{name} is not set: a random text of 32 bytes or more")),
            Some(Some(weakness)) => need(false, &format!("{name} {weakness}")),
            Some(None) => {}
        }
    }
    need(
        config.secrets.encryption.is_some(),
        "ENCRYPTION_KEYS is not set: id:base64 of 32 random bytes",
    );
    need(
        !config.api.cors_origins.iter().any(|origin| origin == "*"),
        "CORS_ORIGINS allows any origin: list those that may call",
    );
    need(
        !config.database.target.has_default_password(),
        "DATABASE_URL has the password of every example",
    );
    need(config.metrics_token.is_some(), "METRICS_TOKEN is not set: /metrics would be public");
    need(config.backend_url.is_some(), "BACKEND_URL is not set: where this server is reached");
    need(config.frontend_url.is_some(), "FRONTEND_URL is not set: where mails lead to");
    need(config.mail.smtp.is_some(), "MAIL_SERVER is not set: nobody would get their mails");
    missing
}

/// What works, but may not be meant.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let weak = token_secrets(config).into_iter().filter_map(|(name, secret)| {
        let weakness = weakness(secret.as_ref()?)?;
        Some(format!("{name} {weakness}; tokens signed with it can be forged"))
    });
    let mut warnings: Vec<String> = weak.collect();
    if let Some(smtp) = &config.mail.smtp {
        if smtp.tls != MailTls::None && !smtp.checks_certificates {
            warnings
                .push("VALIDATE_CERTS is off: anybody can pretend to be the mail server".into());
        }
        if smtp.tls == MailTls::None && smtp.credentials.is_some() {
            warnings.push("mail credentials are sent unencrypted: set MAIL_STARTTLS".into());
        }
    }
    warnings
}

fn token_secrets(config: &Config) -> [(&'static str, &Option<Secret>); 3] {
    [
        ("ACCESS_SECRET_KEY", &config.secrets.access),
        ("RESET_PASSWORD_SECRET_KEY", &config.secrets.reset_password),
        ("VERIFICATION_SECRET_KEY", &config.secrets.verification),
    ]
}

/// Why somebody could guess a secret.
fn weakness(secret: &Secret) -> Option<&'static str> {
    let text = secret.expose();
    let mut different: Vec<u8> = text.bytes().collect();
    different.sort_unstable();
    different.dedup();
    let lower = text.to_lowercase();
    if text.len() < MIN_SECRET_BYTES {
        Some("is shorter than 32 bytes")
    } else if different.len() < MIN_DIFFERENT_BYTES
        || EXAMPLE_WORDS.iter().any(|word| lower.contains(word))
    {
        Some("is a development value")
    } else {
        None
    }
}
