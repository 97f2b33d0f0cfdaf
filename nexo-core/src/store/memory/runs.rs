//! Runs.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    MemoryStore,
    state::{RunRow, State, ThreadRow},
};
use crate::{
    AgentId, App, Error, Failure, FinishRun, Holder, Message, NewMessage, Reply, Result, Role, Run,
    RunId, RunStart, RunState, RunStore, Scope, ServerId, StartRun, StartedRun, Thread, Timestamp,
};

/// A run of a thread, which begins now.
fn begun(
    start: &StartRun,
    thread: &Thread,
    agent: AgentId,
    message: &Message,
    now: Timestamp,
) -> Run {
    Run {
        id: start.run,
        app: start.app,
        thread: start.thread,
        agent,
        message: message.id,
        message_seq: message.seq,
        state: RunState::Running,
        attempt: 1,
        fence: 1,
        epoch: thread.epoch,
        server: Some(start.server),
        reply: None,
        failure: None,
        created_at: now,
        first_delta_at: None,
        finished_at: None,
        deadline_at: now.plus(start.deadline),
    }
}

/// Which agent answers in a thread; none while a person does.
fn holder(thread: &Thread, app: &App) -> Option<AgentId> {
    match thread.holder {
        Holder::Default => Some(app.default_agent),
        Holder::Agent(agent) => Some(agent),
        Holder::Human(_) => None,
    }
}

impl ThreadRow {
    fn newest_user_message(&self) -> Option<&Message> {
        self.messages.iter().rev().find(|message| message.role == Role::User)
    }
}

fn spoken(reply: Reply) -> NewMessage {
    NewMessage {
        content_json: reply.content_json,
        ..NewMessage::new(Role::Assistant, reply.content)
    }
}

impl State {
    /// What a new run is told; the run itself is not kept yet.
    fn prepare_run(&self, scope: &Scope, start: &StartRun, now: Timestamp) -> Result<StartedRun> {
        let app = self.app(scope, start.app)?;
        let row = self.thread_in(scope, start.app, start.thread)?;
        let holder = holder(&row.thread, &app.app).ok_or(Error::ThreadHeld(start.thread))?;
        if let Some(active) = row.active.and_then(|run| self.runs.get(&run)) {
            return Ok(StartedRun::Active(Box::new(active.run.clone())));
        }
        let message = row.newest_user_message().ok_or(Error::NoUserMessages(start.thread))?;
        Ok(StartedRun::Started(Box::new(RunStart {
            run: begun(start, &row.thread, holder, message, now),
            app: app.app.clone(),
            agent: app.agent(holder)?.clone(),
            thread: row.thread.clone(),
            message: message.clone(),
            history: row.newest(None, start.history).to_vec(),
        })))
    }

    fn insert_run(&mut self, run: Run) {
        let row = self.found_thread(run.thread);
        row.thread.version += 1;
        row.runs.push(run.id);
        row.active = Some(run.id);
        self.running.insert(run.id);
        self.runs.insert(run.id, RunRow { run, deliveries: Vec::new() });
    }

    /// A run that may be finished under this fence: nobody took it over, and its thread is
    /// still in the same hands.
    fn finishable(&self, run: RunId, fence: i64) -> Result<Run> {
        let Some(RunRow { run, .. }) = self.runs.get(&run) else { return Err(Error::Fenced) };
        let epoch = self.threads.get(&run.thread).map(|row| row.thread.epoch);
        let holds =
            run.state == RunState::Running && run.fence == fence && epoch == Some(run.epoch);
        if holds { Ok(run.clone()) } else { Err(Error::Fenced) }
    }

    /// Keeps how a run has ended; its thread is free for another one.
    fn end_run(&mut self, run: Run) {
        let row = self.found_thread(run.thread);
        row.thread.version += 1;
        row.active = None;
        self.running.remove(&run.id);
        if let Some(row) = self.runs.get_mut(&run.id) {
            row.run = run;
        }
    }

    /// The runs that nobody carries any more: those of other servers that have not beaten
    /// since `alive`, and those of `server` that are older and that it does not carry.
    fn orphans(&self, server: ServerId, carried: &[RunId], alive: Timestamp) -> Vec<Run> {
        let silent = |other: &ServerId| self.beats.get(other).is_none_or(|beat| *beat < alive);
        let is_orphan = |run: &Run| match run.server {
            Some(own) if own == server => run.created_at < alive && !carried.contains(&run.id),
            other => other.is_none_or(|other| silent(&other)),
        };
        self.running
            .iter()
            .filter_map(|run| self.runs.get(run))
            .map(|row| &row.run)
            .filter(|run| is_orphan(run))
            .cloned()
            .collect()
    }
}

#[async_trait]
impl RunStore for MemoryStore {
    async fn start_run(&self, scope: &Scope, start: StartRun) -> Result<StartedRun> {
        self.step(|state, now| {
            let started = state.prepare_run(scope, &start, now)?;
            if let StartedRun::Started(start) = &started {
                state.insert_run(start.run.clone());
            }
            Ok(started)
        })
    }

    async fn finish_run(&self, finish: FinishRun) -> Result<Option<Message>> {
        self.step(|state, now| {
            let run = state.finishable(finish.run, finish.fence)?;
            let reply = finish.reply.map(|reply| state.append(run.thread, spoken(reply), now));
            state.end_run(Run {
                state: finish.state,
                reply: reply.as_ref().map(|message| message.id),
                failure: finish.failure,
                first_delta_at: finish.first_delta_at,
                finished_at: Some(now.max(run.created_at)),
                ..run
            });
            Ok(reply)
        })
    }

    async fn get_run(&self, scope: &Scope, run: RunId) -> Result<Run> {
        self.step(|state, _| Ok(state.run(scope, run)?.run.clone()))
    }

    async fn interrupt_orphans(
        &self,
        server: ServerId,
        carried: &[RunId],
        silence: Duration,
    ) -> Result<Vec<RunId>> {
        self.step(|state, now| {
            let orphans = state.orphans(server, carried, now.minus(silence));
            let ids = orphans.iter().map(|run| run.id).collect();
            for run in orphans {
                state.end_run(Run {
                    state: RunState::Failed,
                    failure: Some(Failure::interrupted()),
                    finished_at: Some(now.max(run.created_at)),
                    ..run
                });
            }
            Ok(ids)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppId, AppStore, MessageStore, NewApp, NewThread, ThreadId, ThreadStore};

    struct Room {
        store: MemoryStore,
        app: AppId,
        thread: ThreadId,
    }

    impl Room {
        /// A thread in which a user has said something.
        async fn new() -> Self {
            let store = MemoryStore::new();
            let all = Scope::Everything;
            let app = NewApp::new("ann".parse().unwrap(), "Shop");
            let app = store.create_app(app).await.unwrap().id;
            let thread = store.create_thread(&all, app, NewThread::default()).await.unwrap().0.id;
            let hello = NewMessage::new(Role::User, "Hello?");
            store.append_message(&all, app, thread, hello).await.unwrap();
            Self { store, app, thread }
        }

        async fn start(&self) -> Result<StartedRun> {
            let start = StartRun {
                run: RunId::new(),
                app: self.app,
                thread: self.thread,
                server: ServerId::new(),
                history: 10,
                deadline: Duration::from_secs(60),
            };
            self.store.start_run(&Scope::Everything, start).await
        }

        fn change(&self, change: impl FnOnce(&mut Thread)) {
            self.store.step(|state, _| change(&mut state.found_thread(self.thread).thread));
        }
    }

    #[tokio::test]
    async fn no_run_starts_on_a_thread_that_a_person_holds() {
        let room = Room::new().await;

        room.change(|thread| thread.holder = Holder::Human("ann".into()));

        assert!(matches!(room.start().await, Err(Error::ThreadHeld(_))));
    }

    #[tokio::test]
    async fn a_person_who_holds_the_thread_is_reported_before_an_active_run() {
        let room = Room::new().await;
        room.start().await.unwrap();

        room.change(|thread| thread.holder = Holder::Human("ann".into()));

        assert!(matches!(room.start().await, Err(Error::ThreadHeld(_))));
    }

    #[tokio::test]
    async fn a_reply_is_refused_once_the_thread_changed_hands() {
        let room = Room::new().await;
        let StartedRun::Started(start) = room.start().await.unwrap() else { panic!("active") };

        room.change(|thread| thread.epoch += 1);
        let finish = FinishRun {
            run: start.run.id,
            fence: start.run.fence,
            state: RunState::Completed,
            reply: Some(Reply { content: "Hi".into(), content_json: crate::JsonObject::empty() }),
            failure: None,
            first_delta_at: None,
        };

        assert!(matches!(room.store.finish_run(finish).await, Err(Error::Fenced)));
        let run = room.store.get_run(&Scope::Everything, start.run.id).await.unwrap();
        assert_eq!(run, start.run);
    }
}
