//! Tokens: signed claims that expire. One algorithm, one audience, one secret for each purpose.

use std::{fmt, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use nexo_core::{
    Secret, Timestamp, UserId,
    accounts::{User, email_key},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

const ACCESS: &str = "fastapi-users:auth";
const RESET: &str = "fastapi-users:reset";
const VERIFY: &str = "fastapi-users:verify";
/// For how long a link in a mail works.
const MAIL_LIFETIME: Duration = Duration::from_secs(3_600);

/// What the tokens are signed with; each at least 32 bytes.
#[derive(Clone, Debug)]
pub struct TokenSecrets {
    /// For access tokens.
    pub access: Secret,
    /// For the links that reset a password.
    pub reset_password: Secret,
    /// For the links that verify an address.
    pub verification: Secret,
}

/// Issues and reads tokens.
#[derive(Clone)]
pub struct Tokens {
    access: Purpose,
    reset: Purpose,
    verify: Purpose,
    access_lifetime: Duration,
}

#[derive(Serialize, Deserialize)]
struct AccessClaims {
    sub: UserId,
    /// An array, as existing clients and servers write it.
    #[serde(skip_deserializing)]
    aud: Vec<&'static str>,
    exp: i64,
    #[serde(skip_deserializing)]
    iat: i64,
    /// The user's token epoch; a token without it is from before there was one.
    #[serde(default)]
    ver: i64,
}

#[derive(Serialize, Deserialize)]
struct ResetClaims {
    sub: UserId,
    password_fgpt: String,
    #[serde(skip_deserializing)]
    aud: &'static str,
    exp: i64,
}

#[derive(Serialize, Deserialize)]
struct VerifyClaims {
    sub: UserId,
    email: String,
    #[serde(skip_deserializing)]
    aud: &'static str,
    exp: i64,
}

impl Tokens {
    /// Tokens signed with these secrets; access tokens live for `access_lifetime`.
    #[must_use]
    pub fn new(secrets: &TokenSecrets, access_lifetime: Duration) -> Self {
        Self {
            access: Purpose::new(&secrets.access, ACCESS),
            reset: Purpose::new(&secrets.reset_password, RESET),
            verify: Purpose::new(&secrets.verification, VERIFY),
            access_lifetime,
        }
    }

    /// A token that signs the user in.
    #[must_use]
    pub fn access(&self, user: &User, now: Timestamp) -> String {
        self.access.sign(&AccessClaims {
            sub: user.id,
            aud: vec![ACCESS],
            exp: now.plus(self.access_lifetime).as_seconds(),
            iat: now.as_seconds(),
            ver: user.token_epoch,
        })
    }

    /// The user whom an access token names, and the token epoch it was issued in.
    pub(crate) fn read_access(&self, token: &str) -> Option<(UserId, i64)> {
        let claims: AccessClaims = self.access.read(token)?;
        Some((claims.sub, claims.ver))
    }

    /// A token with which the user can choose a new password, once.
    #[must_use]
    pub fn reset_password(&self, user: &User, now: Timestamp) -> String {
        self.reset.sign(&ResetClaims {
            sub: user.id,
            password_fgpt: fingerprint(user),
            aud: RESET,
            exp: now.plus(MAIL_LIFETIME).as_seconds(),
        })
    }

    /// The user whom a reset token names, and the fingerprint of what they were then.
    pub(crate) fn read_reset(&self, token: &str) -> Option<(UserId, String)> {
        let claims: ResetClaims = self.reset.read(token)?;
        Some((claims.sub, claims.password_fgpt))
    }

    /// A token that shows that the user reads mail at their address.
    #[must_use]
    pub fn verify_email(&self, user: &User, now: Timestamp) -> String {
        self.verify.sign(&VerifyClaims {
            sub: user.id,
            email: user.email.clone(),
            aud: VERIFY,
            exp: now.plus(MAIL_LIFETIME).as_seconds(),
        })
    }

    /// The user and the address that a verification token names.
    pub(crate) fn read_verify(&self, token: &str) -> Option<(UserId, String)> {
        let claims: VerifyClaims = self.verify.read(token)?;
        Some((claims.sub, email_key(&claims.email)))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(***)")
    }
}

/// Changes whenever the password does, the address to which the mail went, or the epoch of all
/// tokens; and tells nothing about them.
pub(crate) fn fingerprint(user: &User) -> String {
    let digest = Sha256::new()
        .chain_update(&user.hashed_password)
        .chain_update(b"\0")
        .chain_update(email_key(&user.email))
        .chain_update(b"\0")
        .chain_update(user.token_epoch.to_be_bytes());
    hex::encode(digest.finalize())
}

/// What a token is for: its secret and its audience.
#[derive(Clone)]
struct Purpose {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Purpose {
    fn new(secret: &Secret, audience: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        let secret = secret.expose().as_bytes();
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
        }
    }

    fn sign(&self, claims: &impl Serialize) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
            .expect("claims are plain data, and the key is for this algorithm")
    }

    fn read<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        decode(token, &self.decoding, &self.validation).ok().map(|data| data.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let secrets = TokenSecrets {
            access: "a".repeat(32).as_str().into(),
            reset_password: "r".repeat(32).as_str().into(),
            verification: "v".repeat(32).as_str().into(),
        };
        Tokens::new(&secrets, Duration::from_secs(3_600))
    }

    fn user() -> User {
        User {
            id: UserId::new(),
            email: "Nora@example.com".into(),
            hashed_password: "$argon2id$…".into(),
            is_active: true,
            is_superuser: false,
            is_verified: false,
            locale: "en".into(),
            token_epoch: 3,
            created_at: now(),
        }
    }

    fn now() -> Timestamp {
        use nexo_core::Clock;
        nexo_core::SystemClock.now()
    }

    fn sign(claims: serde_json::Value, key: &str, algorithm: Algorithm) -> String {
        encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
    }

    #[test]
    fn a_token_names_its_user_and_epoch() {
        let (tokens, user) = (tokens(), user());

        let token = tokens.access(&user, now());

        assert_eq!(tokens.read_access(&token), Some((user.id, 3)));
    }

    #[test]
    fn a_token_of_another_purpose_is_refused() {
        let (tokens, user) = (tokens(), user());

        assert_eq!(tokens.read_access(&tokens.reset_password(&user, now())), None);
        assert_eq!(tokens.read_reset(&tokens.access(&user, now())), None);
        assert_eq!(tokens.read_verify(&tokens.reset_password(&user, now())), None);
    }

    #[test]
    fn an_expired_token_is_refused_without_leeway() {
        let (tokens, user) = (tokens(), user());
        let before = now().minus(Duration::from_secs(3_601));

        assert_eq!(tokens.read_access(&tokens.access(&user, before)), None);
    }

    #[test]
    fn the_audience_may_be_a_plain_text() {
        let (key, id) = ("a".repeat(32), UserId::new());
        let exp = now().as_seconds() + 60;

        let token =
            sign(serde_json::json!({"sub": id, "aud": ACCESS, "exp": exp}), &key, Algorithm::HS256);

        assert_eq!(tokens().read_access(&token), Some((id, 0)));
    }

    #[test]
    fn forged_tokens_are_refused() {
        let (key, id) = ("a".repeat(32), UserId::new());
        let exp = now().as_seconds() + 60;
        let claims =
            |exp: serde_json::Value| serde_json::json!({"sub": id, "aud": [ACCESS], "exp": exp});
        let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let good = sign(claims(exp.into()), &key, Algorithm::HS256);
        let payload = good.split('.').nth(1).unwrap();

        for token in [
            sign(claims(exp.into()), &key, Algorithm::HS512),
            sign(claims(exp.into()), &"x".repeat(32), Algorithm::HS256),
            sign(claims(exp.to_string().into()), &key, Algorithm::HS256),
            sign(claims((-1).into()), &key, Algorithm::HS256),
            sign(serde_json::json!({"sub": id, "aud": [ACCESS]}), &key, Algorithm::HS256),
            sign(serde_json::json!({"sub": id, "exp": exp}), &key, Algorithm::HS256),
            sign(
                serde_json::json!({"sub": "x", "aud": [ACCESS], "exp": exp}),
                &key,
                Algorithm::HS256,
            ),
            format!("{unsigned}.{payload}."),
            good.rsplit_once('.').unwrap().0.to_owned(),
            String::new(),
            "é.é.é".into(),
        ] {
            assert_eq!(tokens().read_access(&token), None, "{token}");
        }
        assert!(tokens().read_access(&good).is_some());
    }
}
