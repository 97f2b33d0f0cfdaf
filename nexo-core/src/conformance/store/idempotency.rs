//! Idempotency keys, and what is said and answered in one step.

use std::{sync::Arc, time::Duration};

use crate::{
    Error, KeyedRequest, Message, NewMessage, NewThread, Once, Overlap, Result, Role, RunState,
    Scope, StartRun, StartedRun, Store,
    conformance::{
        assert_fails,
        fixtures::{ALL, Room, at_once, completed, new_app, new_thread, standing, started},
    },
};

const HOUR: Duration = Duration::from_secs(3_600);

/// A request with this key, as every case sends it.
fn request(key: &str) -> KeyedRequest {
    KeyedRequest {
        key: key.parse().unwrap(),
        route: "POST /threads/1/messages".into(),
        body_sha256: [7; 32],
        lifetime: HOUR,
    }
}

fn hello() -> NewMessage {
    NewMessage::new(Role::User, "Hello?")
}

impl Room {
    async fn say_once(&self, scope: &Scope, request: KeyedRequest) -> Result<Once<Message>> {
        let (app, thread) = (self.app.id, self.thread.id);
        self.store.append_message_once(scope, app, thread, hello(), request).await
    }

    async fn start_once(&self, scope: &Scope, request: KeyedRequest) -> Result<Once<StartedRun>> {
        self.store.start_run_once(scope, self.start(), request).await
    }

    async fn ask(&self, overlap: Overlap) -> Result<(Message, StartedRun)> {
        let start = StartRun { overlap: Some(overlap), ..self.start() };
        self.store.ask(&Scope::Everything, hello(), start).await
    }

    async fn ask_once(
        &self,
        scope: &Scope,
        request: KeyedRequest,
    ) -> Result<Once<(Message, StartedRun)>> {
        self.store.ask_once(scope, hello(), self.start(), request).await
    }

    async fn run_count(&self) -> usize {
        let (all, app, any) = (Scope::Everything, self.app.id, crate::RunFilter::default());
        self.store.list_runs(&all, app, &any, None, ALL).await.unwrap().items.len()
    }
}

/// What was made by this request, and by no earlier one.
#[track_caller]
fn first<T>(outcome: Result<Once<T>>) -> T {
    let once = outcome.unwrap();
    assert!(!once.replayed, "an earlier request made it");
    once.made
}

/// What was made by an earlier request.
#[track_caller]
fn again<T>(outcome: Result<Once<T>>) -> T {
    let once = outcome.unwrap();
    assert!(once.replayed, "it was made just now");
    once.made
}

pub(super) async fn a_message_with_a_key_is_appended_once(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);

    let said = first(room.say_once(&all, request("k")).await);
    room.say("And this?").await;
    let repeated = again(room.say_once(&all, request("k")).await);
    let other = first(room.say_once(&all, request("another")).await);

    assert_eq!(repeated, said);
    assert_eq!((said.seq, other.seq), (1, 3));
    assert_eq!(room.messages().await.len(), 3);
}

pub(super) async fn a_thread_with_a_key_is_created_once(store: Arc<dyn Store>) {
    let (app, all) = (new_app(&store, "ann").await.id, Scope::Everything);
    for greeting in [Some("Welcome!"), None] {
        let new = NewThread {
            customer_id: Some("carl".into()),
            greeting: greeting.map(str::to_owned),
            ..NewThread::default()
        };
        let key = greeting.unwrap_or("no greeting");
        let create = || store.create_thread_once(&all, app, new.clone(), request(key));

        let made = first(create().await);
        let repeated = again(create().await);

        assert_eq!(made.1.as_ref().and_then(|message| message.content.as_deref()), greeting);
        assert_eq!(repeated, made);
    }
    let filter = crate::ThreadFilter::default();
    let threads = store.list_threads(&all, app, &filter, None, ALL).await.unwrap().items;
    assert_eq!(threads.len(), 2);
}

pub(super) async fn a_run_with_a_key_is_started_once(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    room.say("Hello?").await;

    let start = started(Ok(first(room.start_once(&all, request("k")).await)));
    let under_way = standing(Ok(again(room.start_once(&all, request("k")).await)));
    store.finish_run(completed(&start.run, "Hi")).await.unwrap();
    room.say("And this?").await;
    let ended = standing(Ok(again(room.start_once(&all, request("k")).await)));

    assert_eq!(under_way, start.run);
    assert_eq!(ended, room.run(start.run.id).await);
    assert_eq!(ended.state, RunState::Completed);
    assert_eq!(room.run_count().await, 1);
}

pub(super) async fn a_key_names_the_run_that_was_joined(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    let run = room.started().await.run;

    let joined = standing(Ok(first(room.start_once(&all, request("k")).await)));
    store.finish_run(completed(&run, "Hi")).await.unwrap();
    let ended = standing(Ok(again(room.start_once(&all, request("k")).await)));

    assert_eq!((joined.id, ended.id), (run.id, run.id));
    assert_eq!(room.run_count().await, 1);
}

pub(super) async fn what_is_said_is_answered_in_the_same_step(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    room.say("Before").await;

    let (said, run) = room.ask(Overlap::Reject).await.unwrap();

    let start = started(Ok(run));
    assert_eq!((said.seq, said.content.as_deref()), (2, Some("Hello?")));
    assert_eq!(start.message, said);
    assert_eq!(start.history.last(), Some(&said));
    assert_eq!(start.run.state, RunState::Running);
    assert_eq!(room.messages().await.last(), Some(&said));
    assert_eq!(room.subscriber().await.last_message_at, Some(said.created_at));
    assert_fails!(
        store.ask(&Scope::App(crate::AppId::new()), hello(), room.start()).await,
        Error::AppNotFound(_)
    );
    let nowhere = StartRun { thread: crate::ThreadId::new(), ..room.start() };
    assert_fails!(store.ask(&Scope::Everything, hello(), nowhere).await, Error::ThreadNotFound(_));
}

pub(super) async fn what_is_said_on_a_busy_thread_waits_its_turn(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;
    let active = room.started().await.run;

    let (said, run) = room.ask(Overlap::Queue).await.unwrap();

    let queued = standing(Ok(run));
    assert_eq!((queued.state, queued.message), (RunState::Queued, said.id));
    store.finish_run(completed(&active, "Hi")).await.unwrap();
    let claimed = room.claim().await;
    assert_eq!(claimed.iter().map(|start| start.run.id).collect::<Vec<_>>(), [queued.id]);
}

pub(super) async fn where_an_answer_is_refused_nothing_is_said(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    let active = room.started().await.run;
    let (messages, thread) = (room.messages().await, room.thread().await);
    let subscriber = room.subscriber().await;
    let refused = || StartRun { overlap: Some(Overlap::Reject), ..room.start() };

    assert_fails!(room.ask(Overlap::Reject).await, Error::RunActive(_));
    assert_fails!(
        store.ask_once(&all, hello(), refused(), request("k")).await,
        Error::RunActive(_)
    );

    assert_eq!(room.messages().await, messages);
    assert_eq!(room.thread().await, thread);
    assert_eq!(room.subscriber().await, subscriber);
    store.finish_run(completed(&active, "Hi")).await.unwrap();
    first(store.ask_once(&all, hello(), refused(), request("k")).await);
}

pub(super) async fn a_question_with_a_key_is_asked_once(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);

    let (said, run) = first(room.ask_once(&all, request("k")).await);
    let start = started(Ok(run));
    let under_way = again(room.ask_once(&all, request("k")).await);
    store.finish_run(completed(&start.run, "Hi")).await.unwrap();
    let ended = again(room.ask_once(&all, request("k")).await);

    assert_eq!((&under_way.0, &ended.0), (&said, &said));
    assert_eq!(standing(Ok(under_way.1)), start.run);
    assert_eq!(standing(Ok(ended.1)), room.run(start.run.id).await);
    assert_eq!((room.messages().await.len(), room.run_count().await), (2, 1));
}

pub(super) async fn a_hundred_requests_at_once_with_one_key_have_one_effect(store: Arc<dyn Store>) {
    let room = Room::new(&store).await;

    let said = at_once(100, |_| {
        let room = room.clone();
        async move { room.say_once(&Scope::Everything, request("say")).await.unwrap() }
    })
    .await;
    let asked = at_once(100, |_| {
        let room = room.clone();
        async move { room.ask_once(&Scope::Everything, request("ask")).await.unwrap() }
    })
    .await;

    assert_eq!(said.iter().filter(|once| !once.replayed).count(), 1);
    assert_eq!(asked.iter().filter(|once| !once.replayed).count(), 1);
    assert!(said.iter().all(|once| once.made == said[0].made));
    let (question, run) = &asked[0].made;
    for once in &asked {
        assert_eq!((&once.made.0, once.made.1.run()), (question, run.run()));
    }
    assert_eq!((room.messages().await.len(), room.run_count().await), (2, 1));
}

pub(super) async fn a_key_of_another_request_is_refused(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    first(room.say_once(&all, request("k")).await);
    let other_body = KeyedRequest { body_sha256: [8; 32], ..request("k") };
    let other_route = KeyedRequest { route: "POST /threads".into(), ..request("k") };

    for other in [other_body, other_route] {
        assert_fails!(room.say_once(&all, other.clone()).await, Error::IdempotencyKeyReused);
        assert_fails!(room.start_once(&all, other.clone()).await, Error::IdempotencyKeyReused);
        assert_fails!(room.ask_once(&all, other.clone()).await, Error::IdempotencyKeyReused);
        let created = store.create_thread_once(&all, room.app.id, NewThread::default(), other);
        assert_fails!(created.await, Error::IdempotencyKeyReused);
    }

    assert_eq!((room.messages().await.len(), room.run_count().await), (1, 0));
}

pub(super) async fn keys_of_two_apps_do_not_meet(store: Arc<dyn Store>) {
    let (one, other) = (Room::new(&store).await, Room::new(&store).await);
    let all = Scope::Everything;

    let said = first(one.say_once(&all, request("k")).await);
    let elsewhere = first(other.say_once(&all, request("k")).await);

    assert_ne!(said.id, elsewhere.id);
    assert_eq!(again(one.say_once(&all, request("k")).await), said);
    store.delete_app(&all, one.app.id).await.unwrap();
    assert_eq!(again(other.say_once(&all, request("k")).await), elsewhere);
}

pub(super) async fn a_request_that_failed_leaves_no_key(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    let nowhere = Room { thread: new_thread(&store, room.app.id, "").await, ..room.clone() };
    store.delete_thread(&all, nowhere.thread.id).await.unwrap();

    assert_fails!(room.start_once(&all, request("k")).await, Error::NoUserMessages(_));
    assert_fails!(nowhere.say_once(&all, request("k")).await, Error::ThreadNotFound(_));

    room.say("Hello?").await;
    first(room.start_once(&all, request("k")).await);
}

/// Who may not see what a key made is not told that there is something.
pub(super) async fn what_a_key_made_is_found_from_within_its_scope_only(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    let said = first(room.say_once(&all, request("say")).await);
    let run = first(room.start_once(&all, request("run")).await).run().clone();
    let outside = room.outside_app().await;

    for scope in room.inside() {
        assert_eq!(again(room.say_once(&scope, request("say")).await), said);
        assert_eq!(again(room.start_once(&scope, request("run")).await).run(), &run);
    }
    for scope in outside {
        assert_fails!(room.say_once(&scope, request("say")).await, Error::AppNotFound(_));
        assert_fails!(room.start_once(&scope, request("run")).await, Error::AppNotFound(_));
        assert_fails!(room.ask_once(&scope, request("say")).await, Error::AppNotFound(_));
    }
    let neighbour = room.neighbour().await;
    assert_fails!(room.say_once(&neighbour, request("say")).await, Error::ThreadNotFound(_));
    assert_fails!(room.start_once(&neighbour, request("run")).await, Error::ThreadNotFound(_));
    assert_fails!(room.say_once(&neighbour, request("new")).await, Error::ThreadNotFound(_));
}

pub(super) async fn what_a_key_made_and_is_gone_is_not_made_again(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    let create = || {
        let (app, new) = (room.app.id, NewThread::default());
        store.create_thread_once(&all, app, new, request("thread"))
    };
    let thread = first(create().await).0;
    first(room.say_once(&all, request("say")).await);
    first(room.start_once(&all, request("run")).await);
    first(room.ask_once(&all, request("ask")).await);

    store.delete_thread(&all, thread.id).await.unwrap();
    store.delete_thread(&all, room.thread.id).await.unwrap();

    assert_fails!(create().await, Error::ThreadNotFound(_));
    assert_fails!(room.say_once(&all, request("say")).await, Error::ThreadNotFound(_));
    assert_fails!(room.start_once(&all, request("run")).await, Error::ThreadNotFound(_));
    assert_fails!(room.ask_once(&all, request("ask")).await, Error::ThreadNotFound(_));
}

/// Also where nobody has pruned it yet.
pub(super) async fn a_key_that_is_too_old_is_free(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    let too_old = KeyedRequest { lifetime: Duration::ZERO, ..request("k") };
    let other = KeyedRequest { body_sha256: [8; 32], ..too_old.clone() };

    first(room.say_once(&all, request("k")).await);
    first(room.say_once(&all, too_old).await);
    let newest = first(room.say_once(&all, other.clone()).await);

    let within = KeyedRequest { lifetime: HOUR, ..other };
    assert_eq!(again(room.say_once(&all, within).await), newest);
    assert_eq!(room.messages().await.len(), 3);
}

pub(super) async fn old_keys_are_pruned_by_slices_the_oldest_first(store: Arc<dyn Store>) {
    let (room, all) = (Room::new(&store).await, Scope::Everything);
    for key in ["1", "2", "3", "4"] {
        first(room.say_once(&all, request(key)).await);
    }

    for (age, limit, pruned) in
        [(HOUR, 10, 0), (Duration::ZERO, 0, 0), (Duration::ZERO, 2, 2), (Duration::ZERO, 1, 1)]
    {
        assert_eq!(store.prune_idempotency_keys(age, limit).await.unwrap(), pruned);
    }

    again(room.say_once(&all, request("4")).await);
    for key in ["1", "2", "3"] {
        first(room.say_once(&all, request(key)).await);
    }
}
