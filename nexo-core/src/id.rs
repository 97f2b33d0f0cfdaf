//! Ids: one type for each kind of thing, so that one can't be taken for another.
//!
//! Every id is a UUID of version 7, made here: sortable by creation, and friendly to the
//! indexes of both databases. Clients treat them as opaque.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "an id is an identity, not an empty value")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Takes an id that was made elsewhere, such as by a database row.
            #[must_use]
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as a plain UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        /// Accepts the hyphenated form, 32 hex digits, `{…}` and `urn:uuid:…`.
        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    )*};
}

id! {
    /// Identifies a person who signs in.
    UserId,
    /// Identifies an app: what customers talk to. Doubles as the partner's "App ID".
    AppId,
    /// Identifies something that can answer a turn.
    AgentId,
    /// Identifies a key that a partner's backend authenticates with.
    KeyId,
    /// Identifies an end customer of one app.
    SubscriberId,
    /// Identifies one conversation.
    ThreadId,
    /// Identifies one message of a thread.
    MessageId,
    /// Identifies one attempt to answer a thread.
    RunId,
    /// Identifies one request that was sent to an agent.
    DeliveryId,
    /// Identifies one replay of a turn.
    ReplayId,
    /// Identifies one signed-in browser.
    SessionId,
    /// Identifies one mail on its way out.
    MailId,
    /// Identifies one running server.
    ServerId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_every_form_of_a_uuid_and_prints_the_hyphenated_one() {
        let hyphenated = "0190b5a4-7e10-7cc3-98c4-dc0c0c07398f";

        for form in [
            "0190b5a4-7e10-7cc3-98c4-dc0c0c07398f",
            "0190B5A47E107CC398C4DC0C0C07398F",
            "{0190b5a4-7e10-7cc3-98c4-dc0c0c07398f}",
            "urn:uuid:0190b5a4-7e10-7cc3-98c4-dc0c0c07398f",
        ] {
            assert_eq!(form.parse::<ThreadId>().unwrap().to_string(), hyphenated);
        }
    }
}
