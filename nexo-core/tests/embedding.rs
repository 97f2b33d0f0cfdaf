//! Nexo within somebody else's process: nothing is global, and nobody is started behind the
//! host's back. One test in a process of its own, which counts that process's threads.

#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

use futures::FutureExt;
use nexo_core::{
    App, Heard, Hints, LiveTurn, NewMessage, NewThread, Nexo, PageRequest, Role, RunOptions, Scope,
};

/// One of several in the process, whose agent says who it is.
fn nexo(name: &'static str) -> Nexo {
    Nexo::builder().agent("it", move |_: LiveTurn| async move { Ok(name) }).build()
}

async fn app(nexo: &Nexo) -> App {
    nexo.ensure_app("host".parse().unwrap(), "App", ["it"]).await.unwrap()
}

/// What is answered to a question in a new thread.
async fn answer(nexo: &Nexo, app: &App) -> Option<String> {
    let scope = Scope::App(app.id);
    let created = nexo.store().create_thread(&scope, app.id, NewThread::default()).await;
    let (thread, message) = (created.unwrap().0.id, NewMessage::new(Role::User, "Who is it?"));
    let options = RunOptions::default();
    let asked = nexo.engine().ask(&scope, app.id, thread, message, options, None).await;
    let end = asked.unwrap().made.1.end().await.unwrap();
    end.message.as_ref().and_then(|message| message.content.clone())
}

fn heard(hints: &mut Hints) -> Vec<Heard> {
    std::iter::from_fn(|| hints.next().now_or_never().flatten()).collect()
}

/// The threads of this process, where the system tells.
fn threads() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

#[tokio::test(flavor = "current_thread")]
async fn two_in_one_process_do_not_meet() {
    let before = threads();
    let (one, other) = (nexo("one"), nexo("other"));
    let (first, second) = (app(&one).await, app(&other).await);
    let mut hints = other.hub().listen();

    assert_eq!(answer(&one, &first).await.as_deref(), Some("one"));

    assert_eq!(heard(&mut hints), [], "what happens in one is not told in the other");
    assert_eq!(answer(&other, &second).await.as_deref(), Some("other"));
    assert!(!heard(&mut hints).is_empty());
    assert_ne!(first.id, second.id);
    assert!(one.store().get_app(&Scope::Everything, second.id).await.is_err());
    let page = PageRequest { page: 1, size: 10 };
    assert_eq!(one.store().list_apps(&first.owner, page).await.unwrap().items, [first]);
    assert_ne!(one.engine().server(), other.engine().server());
    one.engine().shutdown(std::time::Duration::ZERO).await;
    assert_eq!(answer(&other, &second).await.as_deref(), Some("other"), "it goes on alone");
    assert_eq!(threads(), before, "a thread was started");
}
