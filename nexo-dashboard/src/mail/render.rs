//! From a queued mail to a letter: subject, plain text, HTML.

use nexo_core::{
    MailId,
    accounts::{Mail, MailKind},
};

use super::catalogue::{Text, text};

/// A mail as it is sent.
pub(super) struct Letter {
    pub(super) id: MailId,
    pub(super) kind: MailKind,
    pub(super) to: String,
    pub(super) subject: String,
    pub(super) plain: String,
    pub(super) html: String,
}

impl Letter {
    pub(super) fn new(mail: &Mail, link: &str) -> Self {
        let (to, text) = (mail.user.email.clone(), text(mail.kind, &mail.user.locale));
        Self {
            id: mail.id,
            kind: mail.kind,
            subject: text.subject.to_owned(),
            plain: plain(text, &to, link),
            html: html(text, &to, link),
            to,
        }
    }
}

/// The address of a page with the token in it.
pub(super) fn link(frontend_url: &str, page: &str, token: &str) -> String {
    let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
    format!("{frontend_url}/auth/{page}?token={token}")
}

fn plain(text: &Text, email: &str, link: &str) -> String {
    let Text { greeting, body, closing, .. } = text;
    let body = body.replace("{email}", email);
    format!("{greeting}\n\n{body}\n\n{link}\n\n{closing}\n")
}

fn html(text: &Text, email: &str, link: &str) -> String {
    let Text { language, subject, greeting, body, action, closing } = text;
    let (subject, greeting) = (escape(subject), escape(greeting));
    let (action, closing, link) = (escape(action), escape(closing), escape(link));
    let body = escape(body).replace("{email}", &format!("<strong>{}</strong>", escape(email)));
    format!(
        "<!doctype html>\n<html lang=\"{language}\">\n<head><meta charset=\"utf-8\">\
         <title>{subject}</title></head>\n<body>\n<p>{greeting}</p>\n<p>{body}</p>\n\
         <p><a href=\"{link}\">{action}</a></p>\n<p>{closing}</p>\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use nexo_core::{MailId, Timestamp, UserId, accounts::User};

    use super::*;

    fn mail(kind: MailKind, email: &str, locale: &str) -> Mail {
        let user = User {
            id: UserId::new(),
            email: email.to_owned(),
            hashed_password: String::new(),
            is_active: true,
            is_superuser: false,
            is_verified: false,
            locale: locale.to_owned(),
            token_epoch: 0,
            created_at: Timestamp::from_micros(0),
        };
        Mail { id: MailId::new(), kind, user, attempt: 1 }
    }

    #[test]
    fn an_address_can_not_bring_markup_into_a_mail() {
        let letter = Letter::new(
            &mail(MailKind::ResetPassword, "o'<b>&@example.com", "en"),
            &link("https://nexo.example.com", "reset-password", "a b&c\""),
        );

        assert!(letter.html.contains("<strong>o&#39;&lt;b&gt;&amp;@example.com</strong>"));
        let link = "https://nexo.example.com/auth/reset-password?token=a+b%26c%22";
        assert!(letter.html.contains(&format!("<a href=\"{link}\">")), "{}", letter.html);
        assert!(letter.plain.contains(link));
    }

    #[test]
    fn the_language_is_the_users_where_there_is_a_text_in_it() {
        let subject =
            |locale| Letter::new(&mail(MailKind::VerifyEmail, "a@b.co", locale), "x").subject;

        assert_eq!(subject("en"), "Confirm your e-mail address");
        assert_eq!(subject("es-MX"), "Confirma tu dirección de correo");
        assert_eq!(subject("pt"), "Confirme o seu endereço de e-mail");
        assert_eq!(subject("xx"), subject("en"));
    }
}
