//! The secrets that a server needs: those that were set, and those it makes for itself.
//!
//! What is not set is made at the first start and kept in a file of the data directory, so
//! that trying nexo needs no set-up and no secret is known to everybody.

mod file;
mod fingerprint;

use nexo_core::{KeyRing, Secret};
use nexo_http::TokenSecrets;

pub(crate) use file::{FILE_NAME, prepare_directory, private};
pub(crate) use fingerprint::{follow_the_key, pin};

use crate::{
    config::Config,
    error::{Context, Result},
};

const ACCESS: &str = "ACCESS_SECRET_KEY";
const RESET_PASSWORD: &str = "RESET_PASSWORD_SECRET_KEY";
const VERIFICATION: &str = "VERIFICATION_SECRET_KEY";
const ENCRYPTION: &str = "ENCRYPTION_KEYS";

/// All secrets, wherever they are from.
#[derive(Clone)]
pub(crate) struct Secrets {
    pub(crate) tokens: TokenSecrets,
    pub(crate) keys: KeyRing,
}

impl Secrets {
    /// Takes what was set, then what the file has, and makes the rest.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        if config.secrets.are_complete() {
            return Self::assemble(config, |_| unreachable!("every secret was given"));
        }
        let mut kept = file::Kept::open(&config.data_dir)?;
        let secrets = Self::assemble(config, |name| kept.get_or_make(name, make(name)))?;
        kept.save()?;
        Ok(secrets)
    }

    fn assemble(config: &Config, mut kept: impl FnMut(&'static str) -> Secret) -> Result<Self> {
        let given = &config.secrets;
        let mut token = |set: &Option<Secret>, name| set.clone().unwrap_or_else(|| kept(name));
        let tokens = TokenSecrets {
            access: token(&given.access, ACCESS),
            reset_password: token(&given.reset_password, RESET_PASSWORD),
            verification: token(&given.verification, VERIFICATION),
        };
        let keys = match &given.encryption {
            Some(keys) => keys.clone(),
            None => kept(ENCRYPTION)
                .expose()
                .parse()
                .context(format!("{ENCRYPTION} in {FILE_NAME} can't be used"))?,
        };
        Ok(Self { tokens, keys })
    }
}

fn make(name: &str) -> fn() -> Secret {
    if name == ENCRYPTION { || KeyRing::generate("k1").expose() } else { random_token_secret }
}

fn random_token_secret() -> Secret {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let bytes: [u8; 48] = rand::random();
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}
