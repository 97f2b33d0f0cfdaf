//! Users.

use async_trait::async_trait;

use super::{super::MemoryStore, Accounts};
use crate::{
    Error, Result, Timestamp, UserId,
    accounts::{NewUser, User, UserChanges, UserStore, email_key},
};

impl User {
    fn make(new: NewUser, now: Timestamp) -> Self {
        Self {
            id: UserId::new(),
            email: new.email,
            hashed_password: new.hashed_password,
            is_active: true,
            is_superuser: new.is_superuser,
            is_verified: new.is_verified,
            locale: new.locale,
            token_epoch: 0,
            created_at: now,
        }
    }
}

impl Accounts {
    pub(super) fn user_with_address(&self, email: &str) -> Option<&User> {
        self.addresses.get(&email_key(email)).and_then(|user| self.users.get(user))
    }

    fn insert_user(&mut self, user: User) -> Result<User> {
        if self.user_with_address(&user.email).is_some() {
            return Err(Error::EmailTaken);
        }
        self.addresses.insert(email_key(&user.email), user.id);
        self.users.insert(user.id, user.clone());
        Ok(user)
    }

    fn update_user(&mut self, user: UserId, changes: UserChanges) -> Result<User> {
        let mut changed = self.users.get(&user).cloned().ok_or(Error::UserNotFound)?;
        let old = email_key(&changed.email);
        changed.apply(changes)?;
        if self.user_with_address(&changed.email).is_some_and(|other| other.id != user) {
            return Err(Error::EmailTaken);
        }
        self.addresses.remove(&old);
        self.addresses.insert(email_key(&changed.email), user);
        self.users.insert(user, changed.clone());
        Ok(changed)
    }

    fn remove_user(&mut self, user: UserId) -> Result<()> {
        let user = self.users.remove(&user).ok_or(Error::UserNotFound)?;
        self.addresses.remove(&email_key(&user.email));
        self.remove_mails_to(user.id);
        Ok(())
    }
}

#[async_trait]
impl UserStore for MemoryStore {
    async fn create_user(&self, user: NewUser) -> Result<User> {
        self.step(|state, now| state.accounts.insert_user(User::make(user, now)))
    }

    async fn find_user(&self, user: UserId) -> Result<Option<User>> {
        self.step(|state, _| Ok(state.accounts.users.get(&user).cloned()))
    }

    async fn find_user_by_email(&self, email: &str) -> Result<Option<User>> {
        self.step(|state, _| Ok(state.accounts.user_with_address(email).cloned()))
    }

    async fn update_user(&self, user: UserId, changes: UserChanges) -> Result<User> {
        self.step(|state, _| state.accounts.update_user(user, changes))
    }

    async fn upgrade_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<()> {
        self.step(|state, _| {
            let user = state.accounts.users.get_mut(&user);
            if let Some(user) = user.filter(|user| user.hashed_password == old) {
                user.hashed_password = new.to_owned();
            }
            Ok(())
        })
    }

    async fn delete_user(&self, user: UserId) -> Result<()> {
        self.step(|state, _| {
            state.accounts.remove_user(user)?;
            state.remove_apps_of(&user.into());
            Ok(())
        })
    }
}
