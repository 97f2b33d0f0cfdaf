//! Mails.

use std::{sync::Arc, time::Duration};

use super::{StoreWithAccounts, users::new_user};
use crate::{
    MailId,
    accounts::{Mail, MailKind, NewUser, User, UserChanges},
    conformance::fixtures::{at_once, eventually},
};

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(200);

/// A user for whom a mail to reset the password waits.
async fn expectant(store: &Arc<dyn StoreWithAccounts>, email: &str) -> User {
    let user = store.create_user(new_user(email)).await.unwrap();
    store.queue_mail(email, MailKind::ResetPassword).await.unwrap();
    user
}

async fn claim(store: &Arc<dyn StoreWithAccounts>, limit: u32, lease: Duration) -> Vec<Mail> {
    store.claim_mails(limit, lease).await.unwrap()
}

pub(super) async fn a_queued_mail_is_claimed_once(store: Arc<dyn StoreWithAccounts>) {
    let user = store.create_user(new_user("ann@example.com")).await.unwrap();

    for kind in MailKind::ALL {
        store.queue_mail("ANN@example.com", kind).await.unwrap();
        let mails = claim(&store, 10, LONG).await;
        assert_eq!(mails.len(), 1);
        assert_eq!((mails[0].kind, mails[0].attempt), (kind, 1));
        assert!(mails[0].user == user);
        assert!(claim(&store, 10, LONG).await.is_empty(), "it is somebody's already");
    }
}

pub(super) async fn a_claim_that_runs_out_is_due_again(store: Arc<dyn StoreWithAccounts>) {
    expectant(&store, "ann@example.com").await;
    let first = claim(&store, 10, SHORT).await;

    for attempt in 2..=3 {
        eventually("the lease's end", || async {
            let again = claim(&store, 10, SHORT).await;
            let same = |mail: &Mail| mail.id == first[0].id && mail.attempt == attempt;
            assert!(again.iter().all(same), "{again:?}");
            again.len() == 1
        })
        .await;
    }
}

pub(super) async fn mails_are_claimed_oldest_first(store: Arc<dyn StoreWithAccounts>) {
    let mut users = Vec::new();
    for number in 0..5 {
        users.push(expectant(&store, &format!("user{number}@example.com")).await.id);
    }

    let mut claimed = Vec::new();
    for expected in [2, 2, 1, 0] {
        let mails = claim(&store, 2, LONG).await;
        assert_eq!(mails.len(), expected);
        claimed.extend(mails.iter().map(|mail| mail.user.id));
    }

    assert_eq!(claimed, users);
}

pub(super) async fn mails_claimed_at_once_go_to_one_each(store: Arc<dyn StoreWithAccounts>) {
    for number in 0..20 {
        expectant(&store, &format!("user{number}@example.com")).await;
    }

    let claimed = at_once(10, |_| {
        let store = Arc::clone(&store);
        async move { claim(&store, 5, LONG).await }
    })
    .await;
    let rest = claim(&store, 20, LONG).await;

    let mut ids: Vec<MailId> = claimed.iter().flatten().chain(&rest).map(|mail| mail.id).collect();
    assert_eq!(ids.len(), 20);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20, "two got the same mail");
}

pub(super) async fn nobody_unknown_or_inactive_gets_a_mail(store: Arc<dyn StoreWithAccounts>) {
    let user = store.create_user(new_user("ann@example.com")).await.unwrap();
    let retired = UserChanges { is_active: Some(false), ..UserChanges::default() };
    store.update_user(user.id, retired).await.unwrap();

    for kind in MailKind::ALL {
        store.queue_mail("ann@example.com", kind).await.unwrap();
        store.queue_mail("nobody@example.com", kind).await.unwrap();
    }

    assert!(claim(&store, 10, LONG).await.is_empty());
}

pub(super) async fn a_verified_user_gets_no_mail_to_verify(store: Arc<dyn StoreWithAccounts>) {
    let verified = NewUser { is_verified: true, ..new_user("ann@example.com") };
    store.create_user(verified).await.unwrap();

    for kind in MailKind::ALL {
        store.queue_mail("ann@example.com", kind).await.unwrap();
    }

    let kinds: Vec<MailKind> = claim(&store, 10, LONG).await.iter().map(|mail| mail.kind).collect();
    assert_eq!(kinds, [MailKind::ResetPassword]);
}

pub(super) async fn a_postponed_mail_comes_later(store: Arc<dyn StoreWithAccounts>) {
    expectant(&store, "ann@example.com").await;
    let mail = claim(&store, 10, LONG).await.remove(0).id;

    store.postpone_mail(mail, SHORT).await.unwrap();
    eventually("the delay's end", || async {
        let again = claim(&store, 10, LONG).await;
        assert!(again.iter().all(|claimed| claimed.id == mail && claimed.attempt == 2));
        again.len() == 1
    })
    .await;

    store.postpone_mail(mail, LONG).await.unwrap();
    assert!(claim(&store, 10, LONG).await.is_empty());
}

pub(super) async fn a_removed_mail_is_gone(store: Arc<dyn StoreWithAccounts>) {
    expectant(&store, "ann@example.com").await;
    let mail = claim(&store, 10, LONG).await.remove(0).id;

    store.remove_mail(mail).await.unwrap();
    store.remove_mail(mail).await.unwrap();
    store.postpone_mail(mail, Duration::ZERO).await.unwrap();

    assert!(claim(&store, 10, LONG).await.is_empty());
}

pub(super) async fn mails_go_with_their_user(store: Arc<dyn StoreWithAccounts>) {
    let ann = expectant(&store, "ann@example.com").await;
    let bob = expectant(&store, "bob@example.com").await;

    store.delete_user(ann.id).await.unwrap();

    let mails = claim(&store, 10, LONG).await;
    assert_eq!(mails.iter().map(|mail| mail.user.id).collect::<Vec<_>>(), [bob.id]);
}
