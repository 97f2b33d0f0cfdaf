//! The cases of [`AccountStore`].

mod limits;
mod mails;
mod users;

use std::sync::Arc;

use super::suite;
use crate::{Store, accounts::AccountStore};

/// A store that keeps accounts beside the apps.
pub trait StoreWithAccounts: Store + AccountStore {}

impl<T: Store + AccountStore> StoreWithAccounts for T {}

suite! { $
    /// Makes a test of each promise of [`AccountStore`](crate::accounts::AccountStore), in the
    /// calling crate.
    ///
    /// It takes the path of an async function that gives an empty store, or an empty store and
    /// what has to live as long; see [`conformance`](crate::conformance).
    ///
    /// ```
    /// mod conformance {
    ///     use nexo_core::MemoryStore;
    ///
    ///     async fn fresh_store() -> MemoryStore {
    ///         MemoryStore::new()
    ///     }
    ///
    ///     nexo_core::accounts_conformance!(fresh_store);
    /// }
    /// ```
    macro accounts_conformance(accounts: Arc<dyn StoreWithAccounts>) from Fresh;

    users {
        a_user_keeps_what_they_were_given,
        an_address_is_found_regardless_of_case,
        an_address_is_taken_regardless_of_case,
        of_twenty_users_at_once_with_one_address_one_is_created,
        a_change_of_a_user_leaves_what_it_does_not_name,
        a_new_address_is_not_verified_and_found_at_once,
        a_taken_address_changes_nothing,
        of_many_users_who_take_one_address_at_once_one_gets_it,
        a_user_may_write_their_own_address_differently,
        a_new_password_and_a_lost_right_end_every_token,
        a_change_under_a_condition_that_fails_changes_nothing,
        of_many_resets_at_once_one_succeeds,
        a_better_hash_ends_no_token,
        deleting_a_user_deletes_the_apps_they_own,
        an_unknown_user_is_not_found,
    }
    mails {
        a_queued_mail_is_claimed_once,
        a_claim_that_runs_out_is_due_again,
        mails_are_claimed_oldest_first,
        mails_claimed_at_once_go_to_one_each,
        nobody_unknown_or_inactive_gets_a_mail,
        a_verified_user_gets_no_mail_to_verify,
        a_postponed_mail_comes_later,
        a_removed_mail_is_gone,
        mails_go_with_their_user,
    }
    limits {
        a_burst_is_allowed_and_no_more,
        fifty_takes_at_once_never_exceed_the_burst,
        a_refused_take_does_not_count,
        each_key_counts_for_itself,
        pruning_forgets_no_limit_that_still_holds,
    }
}
