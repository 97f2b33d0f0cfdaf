//! The text of the mails, in every language that there is.

use nexo_core::accounts::MailKind;

/// The text of one mail. `{email}` stands for the address.
pub(super) struct Text {
    /// For readers and screen readers: which language it is.
    pub(super) language: &'static str,
    pub(super) subject: &'static str,
    pub(super) greeting: &'static str,
    pub(super) body: &'static str,
    /// What the link is called.
    pub(super) action: &'static str,
    pub(super) closing: &'static str,
}

const RESET_EN: Text = Text {
    language: "en",
    subject: "Reset your password",
    greeting: "Hello,",
    body: "somebody asked for a new password for {email}. Choose one within the next hour:",
    action: "Choose a new password",
    closing: "If that was not you, there is nothing to do: your password stays as it is.",
};

const RESET_ES: Text = Text {
    language: "es",
    subject: "Restablece tu contraseña",
    greeting: "Hola:",
    body: "Alguien ha pedido una contraseña nueva para {email}. Elígela durante la próxima hora:",
    action: "Elegir una contraseña nueva",
    closing: "Si no has sido tú, no tienes que hacer nada: tu contraseña sigue siendo la misma.",
};

const RESET_PT: Text = Text {
    language: "pt",
    subject: "Redefina a sua palavra-passe",
    greeting: "Olá,",
    body: "alguém pediu uma nova palavra-passe para {email}. Escolha-a durante a próxima hora:",
    action: "Escolher uma nova palavra-passe",
    closing: "Se não foi você, não precisa de fazer nada: a sua palavra-passe não muda.",
};

const VERIFY_EN: Text = Text {
    language: "en",
    subject: "Confirm your e-mail address",
    greeting: "Hello,",
    body: "please confirm within the next hour that {email} is your address:",
    action: "Confirm the address",
    closing: "If you did not ask for this, there is nothing to do.",
};

const VERIFY_ES: Text = Text {
    language: "es",
    subject: "Confirma tu dirección de correo",
    greeting: "Hola:",
    body: "Confirma durante la próxima hora que {email} es tu dirección:",
    action: "Confirmar la dirección",
    closing: "Si no lo has pedido tú, no tienes que hacer nada.",
};

const VERIFY_PT: Text = Text {
    language: "pt",
    subject: "Confirme o seu endereço de e-mail",
    greeting: "Olá,",
    body: "confirme durante a próxima hora que {email} é o seu endereço:",
    action: "Confirmar o endereço",
    closing: "Se não foi você que pediu, não precisa de fazer nada.",
};

/// The text in the user's language; in English where there is none.
pub(super) fn text(kind: MailKind, locale: &str) -> &'static Text {
    let language = locale.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    match (kind, language.as_str()) {
        (MailKind::ResetPassword, "es") => &RESET_ES,
        (MailKind::ResetPassword, "pt") => &RESET_PT,
        (MailKind::ResetPassword, _) => &RESET_EN,
        (MailKind::VerifyEmail, "es") => &VERIFY_ES,
        (MailKind::VerifyEmail, "pt") => &VERIFY_PT,
        (MailKind::VerifyEmail, _) => &VERIFY_EN,
    }
}
