//! Runs.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::{
    MemoryStore, one_more,
    state::{AppRow, RunRow, State, ThreadRow},
};
use crate::{
    Agent, Answerer, AppConfig, AppId, ClaimRuns, Cursor, CursorPage, Error, FinishRun,
    FinishedRun, Handlers, Holder, Message, NewMessage, Reply, Result, Role, Run, RunFilter, RunId,
    RunPosition, RunStart, RunState, RunStore, Scope, ServerId, StartRun, StartedRun, Step, Stop,
    SweepRuns, SweptRuns, Thread, ThreadId, Timestamp,
};

/// Who answers in a thread of this app while no person does.
fn holder(thread: &Thread, app: &AppRow) -> Answerer {
    let agent = match thread.holder {
        Holder::Agent(agent) => agent,
        Holder::Default | Holder::Human(_) => app.app.default_agent,
    };
    Answerer { agent, handler: app.agent(agent).ok().and_then(Agent::handler) }
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
    pub(super) fn start_run(
        &mut self,
        scope: &Scope,
        wish: &StartRun,
        now: Timestamp,
    ) -> Result<StartedRun> {
        let app = self.app(scope, wish.app)?;
        let row = self.thread_in(scope, wish.app, wish.thread)?;
        if row.thread.is_held_by_a_person() {
            return Err(Error::ThreadHeld(wish.thread));
        }
        let newest = row.newest_user_message().ok_or(Error::NoUserMessages(wish.thread))?;
        let (answered, seq) = (newest.id, newest.seq);
        let run = wish.queued(&row.thread, holder(&row.thread, app), (answered, seq), now);
        let (config, handler) = (AppConfig::read(&app.app.config), run.handler.as_deref());
        let plan = wish.plan(&config, seq, handler, &self.standing(row), now);
        for superseded in plan.superseded {
            let run = self.found_run(superseded).stopped(Stop::Supersede, now);
            self.put_run(run);
        }
        if let Some((active, stop)) = plan.stopped {
            let run = self.found_run(active);
            self.put_run(Run { stop: run.stop.or(Some(stop)), ..run });
        }
        match plan.step {
            Step::Refuse => Err(Error::RunActive(wish.thread)),
            Step::Outdated => Err(Error::MessageOutdated(wish.thread)),
            Step::Join(run) => Ok(StartedRun::Standing(Box::new(self.found_run(run)))),
            Step::Extend(run, available_at) => {
                let run = self.found_run(run);
                let (message, message_seq) = (answered, seq);
                let run = Run { message, message_seq, available_at, ..run };
                Ok(StartedRun::Standing(Box::new(self.put_run(run))))
            }
            Step::Queue(available_at) => {
                let run = self.put_run(Run { available_at, ..run });
                Ok(StartedRun::Standing(Box::new(run)))
            }
            Step::Start => {
                let begun = self.begin(run, &wish.claim(), now)?;
                Ok(StartedRun::Started(Box::new(begun.ok_or(Error::Corrupt("new run"))?)))
            }
        }
    }

    /// Nothing can be taken back here, so whether the run would be refused is found out before
    /// anything is said.
    pub(super) fn ask(
        &mut self,
        scope: &Scope,
        message: NewMessage,
        wish: &StartRun,
        now: Timestamp,
    ) -> Result<(Message, StartedRun)> {
        let app = self.app(scope, wish.app)?;
        let row = self.thread_in(scope, wish.app, wish.thread)?;
        row.takes(&message)?;
        if row.thread.is_held_by_a_person() {
            return Err(Error::ThreadHeld(wish.thread));
        }
        let config = AppConfig::read(&app.app.config);
        let holder = holder(&row.thread, app);
        let (newest, handler) = (row.next_seq(), holder.handler.as_deref());
        match wish.plan(&config, newest, handler, &self.standing(row), now).step {
            Step::Refuse => return Err(Error::RunActive(wish.thread)),
            Step::Start => drop(app.agent(holder.agent)?),
            _ => {}
        }
        let said = self.say(scope, wish.app, wish.thread, message, now)?;
        Ok((said, self.start_run(scope, wish, now)?))
    }

    /// A run that is there, by an id that another row holds.
    fn found_run(&self, run: RunId) -> Run {
        self.runs.get(&run).expect("a standing run is there").run.clone()
    }

    /// The runs of a thread that have not ended, the oldest first.
    fn standing(&self, row: &ThreadRow) -> Vec<Run> {
        row.standing.iter().map(|run| self.found_run(*run)).collect()
    }

    /// Keeps a run as it is now; the thread's readers see it.
    fn put_run(&mut self, run: Run) -> Run {
        let row = self.found_thread(run.thread);
        row.thread.version += 1;
        let version = row.thread.version;
        if run.state.is_terminal() {
            row.standing.remove(&run.id);
            self.standing.remove(&run.id);
        } else {
            row.standing.insert(run.id);
            self.standing.insert(run.id);
        }
        if let Some(row) = self.runs.get_mut(&run.id) {
            (row.run, row.version) = (run.clone(), version);
            return run;
        }
        self.found_thread(run.thread).runs.push(run.id);
        let row = RunRow {
            run: run.clone(),
            version,
            began_at: None,
            deliveries: Vec::new(),
            replays: BTreeMap::new(),
            segments: BTreeMap::new(),
        };
        self.runs.insert(run.id, row);
        run
    }

    /// Begins a run that may begin. `None` if it is left to a server that has what it needs.
    fn begin(&mut self, run: Run, claim: &ClaimRuns, now: Timestamp) -> Result<Option<RunStart>> {
        let app = self.app(&Scope::Everything, run.app)?;
        let row = self.thread(&Scope::Everything, run.thread)?;
        let run = run.claimed(claim, &row.thread, holder(&row.thread, app), now);
        if run.state == RunState::Queued {
            self.put_run(run);
            return Ok(None);
        }
        let said = usize::try_from(run.message_seq - 1).ok().and_then(|at| row.messages.get(at));
        let mut start = RunStart {
            app: app.app.clone(),
            agent: app.agent(run.agent)?.clone(),
            thread: row.thread.clone(),
            message: said.ok_or(Error::Corrupt("answered message"))?.clone(),
            history: row.newest(None, claim.history).to_vec(),
            time_left: run.time_left(now),
            run,
        };
        start.run = self.put_run(start.run);
        if let Some(row) = self.runs.get_mut(&start.run.id) {
            row.began_at = Some(now);
        }
        start.thread = self.found_thread(start.run.thread).thread.clone();
        Ok(Some(start))
    }

    /// The oldest run that is behind another becomes due, if there is no other. Gives whether
    /// one did.
    fn release_next(&mut self, thread: ThreadId, now: Timestamp) -> Option<RunId> {
        let standing = self.standing(self.threads.get(&thread)?);
        if standing.iter().any(|run| run.state.is_active() || run.is_due(now)) {
            return None;
        }
        let next = standing.into_iter().find(|run| run.available_at.is_none())?;
        Some(self.put_run(Run { available_at: Some(now), ..next }).id)
    }

    /// Keeps how a run has ended, and makes room for the next.
    fn end_run(&mut self, run: Run, now: Timestamp) -> Option<RunId> {
        let thread = self.put_run(run).thread;
        self.release_next(thread, now)
    }

    /// The next run that is due and may begin; those before it that may not are seen to.
    fn next_claimable(&mut self, handlers: &Handlers, now: Timestamp) -> Option<Run> {
        let can_begin = |run: &Run| run.is_due(now) && handlers.have(run.handler.as_deref());
        loop {
            let due = self.standing.iter().map(|run| self.found_run(*run)).filter(can_begin);
            let run = due.min_by_key(|run| (run.available_at, run.id))?;
            let row = self.found_thread(run.thread);
            let (withdrawn, thread) = (run.withdrawn(&row.thread), run.thread);
            if let Some(stop) = withdrawn {
                self.end_run(run.stopped(stop, now), now);
            } else if self.is_busy(thread) {
                self.put_run(Run { available_at: None, ..run });
            } else {
                return Some(run);
            }
        }
    }

    fn is_busy(&self, thread: ThreadId) -> bool {
        let row = self.threads.get(&thread).expect("a run's thread is there");
        self.standing(row).iter().any(|run| run.state.is_active())
    }

    /// An active run under this fence: nobody took it over, and its thread is still in the
    /// same hands.
    fn held_run(&self, run: RunId, fence: i64) -> Result<Run> {
        let Some(RunRow { run, .. }) = self.runs.get(&run) else { return Err(Error::Fenced) };
        let epoch = self.threads.get(&run.thread).map(|row| row.thread.epoch);
        let holds = run.state.is_active() && run.fence == fence && epoch == Some(run.epoch);
        if holds { Ok(run.clone()) } else { Err(Error::Fenced) }
    }

    /// A run that is under way under this fence, whoever holds its thread.
    fn running_run(&self, run: RunId, fence: i64) -> Result<Run> {
        let run = self.runs.get(&run).map(|row| &row.run);
        let holds = |run: &&Run| run.state == RunState::Running && run.fence == fence;
        run.filter(holds).cloned().ok_or(Error::Fenced)
    }

    fn is_silent(&self, server: Option<ServerId>, alive: Timestamp) -> bool {
        let server = server.and_then(|server| self.servers.get(&server));
        server.is_none_or(|server| server.beat_at < alive)
    }

    /// Whether a run has been due for longer than it may be, and no server has its handler.
    fn is_unhandled(&self, run: &Run, sweep: &SweepRuns, now: Timestamp) -> bool {
        let alive = now.minus(sweep.handler_silence());
        let mut live = self.servers.values().filter(|server| server.beat_at >= alive);
        let is_late = run.is_due(now.minus(sweep.handler_patience)) && run.handler.is_some();
        is_late && !live.any(|server| server.handlers.have(run.handler.as_deref()))
    }

    /// Whether a sweep looks at the run: nobody carries it.
    fn is_adrift(&self, run: &Run, sweep: &SweepRuns, now: Timestamp) -> bool {
        let alive = now.minus(sweep.silence);
        if run.state != RunState::Running {
            return true;
        }
        if run.server == Some(sweep.server) {
            let began_at = self.runs.get(&run.id).and_then(|row| row.began_at);
            return began_at < Some(alive) && !sweep.carried.contains(&run.id);
        }
        self.is_silent(run.server, alive)
    }

    fn sweep_runs(&mut self, sweep: &SweepRuns, now: Timestamp) -> SweptRuns {
        let standing: Vec<Run> = self.standing.iter().map(|run| self.found_run(*run)).collect();
        let mut swept = SweptRuns::default();
        for run in &standing {
            let adrift = run.swept(now).filter(|_| self.is_adrift(run, sweep, now));
            let unhandled = || self.is_unhandled(run, sweep, now);
            let after = adrift.or_else(|| unhandled().then(|| run.clone().unhandled(now)));
            let Some(after) = after else { continue };
            let list = if after.state.is_terminal() { &mut swept.ended } else { &mut swept.queued };
            list.push(after.id);
            self.put_run(after);
        }
        for run in standing {
            swept.queued.extend(self.release_next(run.thread, now));
        }
        swept
    }
}

#[async_trait]
impl RunStore for MemoryStore {
    async fn start_run(&self, scope: &Scope, start: StartRun) -> Result<StartedRun> {
        self.step(|state, now| state.start_run(scope, &start, now))
    }

    async fn ask(
        &self,
        scope: &Scope,
        message: NewMessage,
        start: StartRun,
    ) -> Result<(Message, StartedRun)> {
        self.step(|state, now| state.ask(scope, message, &start, now))
    }

    async fn claim_runs(&self, claim: ClaimRuns) -> Result<Vec<RunStart>> {
        self.step(|state, now| {
            let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
            let mut begun = Vec::new();
            while begun.len() < limit {
                let Some(run) = state.next_claimable(&claim.handlers, now) else { break };
                match state.begin(run.clone(), &claim, now) {
                    Ok(start) => begun.extend(start),
                    Err(error) => {
                        state.end_run(run.unreadable(&error, now), now);
                    }
                }
            }
            Ok(begun)
        })
    }

    async fn hand_back_run(&self, run: RunId, fence: i64) -> Result<()> {
        self.step(|state, now| {
            let run = state.running_run(run, fence)?;
            let handbacks = run.handbacks + 1;
            state.put_run(Run { handbacks, ..run.requeued(now) });
            Ok(())
        })
    }

    async fn park_run(&self, run: RunId, fence: i64, patience: Duration) -> Result<()> {
        self.step(|state, now| {
            let run = state.held_run(run, fence)?;
            if run.state != RunState::Running {
                return Err(Error::Fenced);
            }
            let deadline_at = now.plus(patience);
            state.put_run(Run { state: RunState::Waiting, server: None, deadline_at, ..run });
            Ok(())
        })
    }

    async fn finish_run(&self, finish: FinishRun) -> Result<FinishedRun> {
        self.step(|state, now| {
            let run = state.held_run(finish.run, finish.fence)?;
            let reply = finish.reply.map(|reply| state.append(run.thread, spoken(reply), now));
            let ended = Run {
                state: finish.state,
                reply: reply.as_ref().map(|message| message.id),
                failure: finish.failure,
                first_delta_at: finish.first_delta_at,
                finished_at: Some(now.max(run.created_at)),
                ..run
            };
            let released = state.end_run(ended, now).is_some();
            Ok(FinishedRun { reply, released })
        })
    }

    async fn stop_run(&self, scope: &Scope, app: AppId, run: RunId, stop: Stop) -> Result<Run> {
        self.step(|state, now| {
            let run = &state.run(scope, run)?.run;
            let run = if run.app == app { run.clone() } else { return Err(Error::RunNotFound) };
            match run.state {
                state if state.is_terminal() => Err(Error::RunEnded(run.id)),
                RunState::Running => {
                    Ok(state.put_run(Run { stop: run.stop.or(Some(stop)), ..run }))
                }
                _ => {
                    let run = run.stopped(stop, now);
                    state.end_run(run.clone(), now);
                    Ok(run)
                }
            }
        })
    }

    async fn stopped_runs(&self, server: ServerId) -> Result<Vec<(RunId, Stop)>> {
        self.step(|state, _| {
            let standing = state.standing.iter().map(|run| state.found_run(*run));
            let mine =
                standing.filter(|run| run.state == RunState::Running && run.server == Some(server));
            Ok(mine.filter_map(|run| Some((run.id, run.stop?))).collect())
        })
    }

    async fn get_run(&self, scope: &Scope, run: RunId) -> Result<Run> {
        self.step(|state, _| Ok(state.run(scope, run)?.run.clone()))
    }

    async fn list_runs(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &RunFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<Run>> {
        let after = cursor.map(Cursor::read::<RunPosition>).transpose()?;
        self.step(|state, _| {
            state.app(scope, app)?;
            let mut runs: Vec<Run> = state
                .runs
                .values()
                .map(|row| &row.run)
                .filter(|run| run.app == app && state.run(scope, run.id).is_ok())
                .filter(|run| after.is_none_or(|after| run.id < after.id))
                .filter(|run| filter.takes(run))
                .cloned()
                .collect();
            runs.sort_by_key(|run| std::cmp::Reverse(run.id));
            runs.truncate(one_more(limit));
            Ok(CursorPage::from_rows(runs, limit, |run| RunPosition::from(run)))
        })
    }

    async fn sweep_runs(&self, sweep: SweepRuns) -> Result<SweptRuns> {
        self.step(|state, now| Ok(state.sweep_runs(&sweep, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AppId, AppStore, MessageStore, NewAgent, NewApp, NewThread, ThreadId, ThreadStore,
    };

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

        fn wish(&self) -> StartRun {
            StartRun {
                run: RunId::new(),
                app: self.app,
                thread: self.thread,
                server: ServerId::new(),
                handlers: Handlers::default(),
                history: 10,
                deadline: Duration::from_secs(60),
                overlap: None,
                debounce: None,
                message_seq: None,
            }
        }

        async fn start(&self) -> Result<StartedRun> {
            self.store.start_run(&Scope::Everything, self.wish()).await
        }

        fn change(&self, change: impl FnOnce(&mut Thread)) {
            self.store.step(|state, _| change(&mut state.found_thread(self.thread).thread));
        }
    }

    #[tokio::test]
    async fn no_run_starts_on_a_thread_that_a_person_holds() {
        let room = Room::new().await;

        room.change(|thread| thread.holder = Holder::Human("ann".into()));
        let hello = NewMessage::new(Role::User, "Hello?");
        let asked = room.store.ask(&Scope::Everything, hello, room.wish()).await;

        assert!(matches!(asked, Err(Error::ThreadHeld(_))));
        assert!(matches!(room.start().await, Err(Error::ThreadHeld(_))));
        let said = room.store.step(|state, _| state.found_thread(room.thread).messages.len());
        assert_eq!(said, 1);
    }

    /// Whoever finds that out has it found by a server with what is needed now.
    #[tokio::test]
    async fn a_run_is_left_to_a_server_with_the_handler_of_who_holds_the_thread_then() {
        let room = Room::new().await;
        let StartedRun::Started(first) = room.start().await.unwrap() else { panic!("standing") };
        let (all, more) = (Scope::Everything, NewMessage::new(Role::User, "And this?"));
        let (_, next) = room.store.ask(&all, more, room.wish()).await.unwrap();
        let (new, app) = (NewApp::new("ann".parse().unwrap(), "Shop"), room.app);
        room.store.ensure_app(new, vec![NewAgent::in_process("baker")]).await.unwrap();
        let baker = room.store.step(|state, _| state.owning_app(app).agents[1].id);
        room.change(|thread| thread.holder = Holder::Agent(baker));
        room.store.hand_back_run(first.run.id, first.run.fence).await.unwrap();
        room.store.stop_run(&all, app, first.run.id, Stop::Cancel).await.unwrap();
        let claimed = async |handlers: Handlers| {
            let claim = ClaimRuns { handlers, ..room.wish().claim() };
            room.store.claim_runs(claim).await.unwrap()
        };

        assert!(claimed(Handlers::default()).await.is_empty());
        let left = room.store.get_run(&all, next.run().id).await.unwrap();
        assert_eq!((left.state, left.attempt), (RunState::Queued, 0));
        assert_eq!(left.handler.as_deref(), Some("baker"));
        let begun = claimed(Handlers::from_iter(["baker"])).await.remove(0);
        assert_eq!((begun.run.id, begun.agent.id), (left.id, baker));
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
        let StartedRun::Started(start) = room.start().await.unwrap() else { panic!("standing") };

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
