//! How mails are sent.

use nexo_core::Secret;

use super::reader::Reader;

/// How mails are sent.
pub(crate) struct Mail {
    /// Without a server, mails become files.
    pub(crate) smtp: Option<Smtp>,
    pub(crate) from: String,
    pub(crate) from_name: String,
}

/// A mail server.
pub(crate) struct Smtp {
    pub(crate) server: String,
    pub(crate) port: u16,
    pub(crate) credentials: Option<(String, Secret)>,
    pub(crate) tls: MailTls,
    pub(crate) checks_certificates: bool,
}

/// Whether the way to the mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MailTls {
    None,
    /// From the first byte.
    Implicit,
    /// After asking for it; without it nothing is sent.
    StartTls,
}

impl Mail {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let server = reader.optional("MAIL_SERVER");
        let port = reader.number("MAIL_PORT", 1_025, 1, u16::MAX);
        let tls = mail_tls(reader);
        let credentials = mail_credentials(reader);
        // What is encrypted but not checked can be read by whoever pretends to be the server.
        let checks_certificates = reader.switch("VALIDATE_CERTS", tls != MailTls::None);
        let smtp =
            server.map(|server| Smtp { server, port, credentials, tls, checks_certificates });
        let is_address = |text: &str| {
            let parts = text.split_once('@');
            parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        };
        let from = reader.parsed("MAIL_FROM", "an e-mail address", |text| {
            is_address(text).then(|| text.to_owned())
        });
        reader.show_default("MAIL_FROM", "noreply@localhost");
        Self {
            smtp,
            from: from.unwrap_or_else(|| "noreply@localhost".to_owned()),
            from_name: reader.text("MAIL_FROM_NAME", "Nexo"),
        }
    }
}

fn mail_tls(reader: &mut Reader<'_>) -> MailTls {
    let start_tls = reader.switch("MAIL_STARTTLS", false);
    let implicit = reader.switch("MAIL_SSL_TLS", false);
    match (implicit, start_tls) {
        (true, true) => {
            let problem = "MAIL_STARTTLS and MAIL_SSL_TLS are both on; allowed: one of them";
            reader.problems.push(problem.to_owned());
            MailTls::Implicit
        }
        (true, false) => MailTls::Implicit,
        (false, true) => MailTls::StartTls,
        (false, false) => MailTls::None,
    }
}

fn mail_credentials(reader: &mut Reader<'_>) -> Option<(String, Secret)> {
    let user = reader.optional("MAIL_USERNAME");
    let password = reader.secret("MAIL_PASSWORD");
    if !reader.switch("USE_CREDENTIALS", false) {
        return None;
    }
    let credentials = user.zip(password);
    if credentials.is_none() {
        let problem = "USE_CREDENTIALS is on; it needs MAIL_USERNAME and MAIL_PASSWORD";
        reader.problems.push(problem.to_owned());
    }
    credentials
}
