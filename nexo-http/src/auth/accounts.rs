//! The built-in accounts: e-mail and password, and tokens that sign a user in.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use nexo_core::{
    Principal,
    accounts::{AccountStore, User},
};

use super::{Authenticator, Passwords, Tokens, bearer};
use crate::ApiError;

/// The built-in accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    store: Arc<dyn AccountStore>,
    passwords: Passwords,
    tokens: Tokens,
    registration: bool,
}

impl Accounts {
    /// Accounts that are kept in `store`; anybody may register.
    #[must_use]
    pub fn new(store: Arc<dyn AccountStore>, passwords: Passwords, tokens: Tokens) -> Self {
        Self { store, passwords, tokens, registration: true }
    }

    /// Whether anybody may register.
    #[must_use]
    pub fn with_registration(mut self, open: bool) -> Self {
        self.registration = open;
        self
    }

    pub(crate) fn store(&self) -> &dyn AccountStore {
        &*self.store
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(crate) fn is_registration_open(&self) -> bool {
        self.registration
    }

    /// The user whose token the headers carry, if it is valid, and they may sign in.
    ///
    /// Their row is read every time, so that a changed password or a deactivated account ends
    /// their tokens at once.
    pub(crate) async fn user(&self, headers: &HeaderMap) -> Result<Option<User>, ApiError> {
        let Some((id, epoch)) = bearer(headers).and_then(|it| self.tokens.read_access(it)) else {
            return Ok(None);
        };
        let user = self.store.find_user(id).await?;
        Ok(user.filter(|user| user.is_active && user.token_epoch == epoch))
    }
}

#[async_trait]
impl Authenticator for Accounts {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        let user = self.user(headers).await?;
        Ok(user.map(|user| Principal::Owner { owner: user.id.into(), admin: user.is_superuser }))
    }
}
