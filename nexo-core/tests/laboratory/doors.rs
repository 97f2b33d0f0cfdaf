//! Every method of a store, through the gate.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use nexo_core::*;

use crate::gate::{GatedStore, Lie};

macro_rules! gated {
    ($($store:ident {
        $(fn $method:ident($($arg:ident: $type:ty),*) -> $out:ty;)*
        $(by hand { $($hand:tt)* })?
    })*) => {$(
        #[async_trait]
        impl $store for GatedStore {
            $(
                async fn $method(&self, $($arg: $type),*) -> Result<$out> {
                    self.gate.call(stringify!($method), self.behind.$method($($arg),*)).await
                }
            )*
            $($($hand)*)?
        }
    )*};
}

gated! {
    AppStore {
        fn create_app(app: NewApp) -> App;
        fn ensure_app(app: NewApp, agents: Vec<NewAgent>) -> App;
        fn get_app(scope: &Scope, app: AppId) -> App;
        fn list_apps(owner: &OwnerId, page: PageRequest) -> Page<App>;
        fn update_app(scope: &Scope, app: AppId, changes: AppChanges) -> App;
        fn delete_app(scope: &Scope, app: AppId) -> ();
        fn reseal_secrets(limit: u32) -> u64;
        fn sealing_keys() -> Vec<String>;
    }
    AgentStore {
        fn get_agent(scope: &Scope, app: AppId, agent: AgentId) -> Agent;
        fn list_agents(scope: &Scope, app: AppId) -> Vec<Agent>;
    }
    KeyStore {
        fn valid_keys(app: AppId) -> Vec<AppKey>;
    }
    SubscriberStore {
        fn get_subscriber(scope: &Scope, app: AppId, subscriber: SubscriberId) -> Subscriber;
        fn list_subscribers(
            scope: &Scope, app: AppId, search: &str, cursor: Option<&Cursor>, limit: u32
        ) -> CursorPage<SubscriberSummary>;
        fn list_subscriber_threads(
            scope: &Scope, app: AppId, subscriber: SubscriberId, cursor: Option<&Cursor>, limit: u32
        ) -> CursorPage<ThreadSummary>;
    }
    ThreadStore {
        fn create_thread(
            scope: &Scope, app: AppId, thread: NewThread
        ) -> (Thread, Option<Message>);
        fn get_thread(scope: &Scope, thread: ThreadId) -> Thread;
        fn list_threads(
            scope: &Scope, app: AppId, filter: &ThreadFilter, cursor: Option<&Cursor>, limit: u32
        ) -> CursorPage<Thread>;
        fn update_thread(scope: &Scope, thread: ThreadId, changes: ThreadChanges) -> Thread;
        fn delete_thread(scope: &Scope, thread: ThreadId) -> ();
    }
    MessageStore {
        fn list_messages(
            scope: &Scope, app: AppId, thread: ThreadId, range: MessageRange, limit: u32
        ) -> Vec<Message>;
        fn get_message(scope: &Scope, message: MessageId) -> Message;
        by hand {
            async fn append_message(
                &self, scope: &Scope, app: AppId, thread: ThreadId, mut message: NewMessage
            ) -> Result<Message> {
                if self.lie == Some(Lie::LosesMessages) {
                    message.content = Some("lost".into());
                }
                let work = self.behind.append_message(scope, app, thread, message);
                self.gate.call("append_message", work).await
            }
        }
    }
    RunStore {
        fn start_run(scope: &Scope, start: StartRun) -> StartedRun;
        fn ask(scope: &Scope, message: NewMessage, start: StartRun) -> (Message, StartedRun);
        fn claim_runs(claim: ClaimRuns) -> Vec<RunStart>;
        fn hand_back_run(run: RunId, fence: i64) -> ();
        fn park_run(run: RunId, fence: i64, patience: Duration) -> ();
        fn stop_run(scope: &Scope, app: AppId, run: RunId, stop: Stop) -> Run;
        fn stopped_runs(server: ServerId) -> Vec<(RunId, Stop)>;
        fn get_run(scope: &Scope, run: RunId) -> Run;
        fn list_runs(
            scope: &Scope, app: AppId, filter: &RunFilter, cursor: Option<&Cursor>, limit: u32
        ) -> CursorPage<Run>;
        fn sweep_runs(sweep: SweepRuns) -> SweptRuns;
        by hand {
            async fn finish_run(&self, finish: FinishRun) -> Result<FinishedRun> {
                let work = async { self.behind.finish_run(self.spoilt(finish)).await };
                self.gate.call("finish_run", work).await
            }
        }
    }
    EventStore {
        fn append_segments(segments: &[Segment]) -> ();
        fn prune_segments(age: Duration, limit: u32) -> u64;
        by hand {
            async fn follow_runs(
                &self, runs: &[FollowRun], max_bytes: u32
            ) -> Result<Vec<FollowedRun>> {
                let work = async {
                    let mut followed = self.behind.follow_runs(runs, max_bytes).await?;
                    if self.lie == Some(Lie::GarblesSegments) {
                        followed.iter_mut().flat_map(|it| &mut it.segments).for_each(garble);
                    }
                    Ok(followed)
                };
                self.gate.call("follow_runs", work).await
            }
        }
    }
    DeliveryStore {
        fn record_delivery(delivery: Delivery) -> ();
        fn get_delivery(scope: &Scope, app: AppId, delivery: DeliveryId) -> Delivery;
        fn list_deliveries(
            scope: &Scope, app: AppId, filter: &DeliveryFilter, cursor: Option<&Cursor>, limit: u32
        ) -> CursorPage<DeliverySummary>;
        fn prune_deliveries(age: Duration, limit: u32) -> u64;
    }
    FeedStore {
        fn list_changes(
            scope: &Scope, app: AppId, thread: ThreadId, after: ThreadCursor, limit: ChangeLimit
        ) -> ChangePage;
        fn thread_versions(scope: &Scope, threads: &[ThreadId]) -> HashMap<ThreadId, i64>;
        fn newest_threads(apps: &[AppId], limit: u32) -> HashMap<AppId, NewestThreads>;
    }
    ReplayStore {
        fn record_replay(replay: Replay) -> ();
        fn get_replay(scope: &Scope, app: AppId, replay: ReplayId) -> Replay;
        fn list_replays(
            scope: &Scope, app: AppId, run: RunId, cursor: Option<&Cursor>, limit: u32
        ) -> CursorPage<Replay>;
    }
    IdempotencyStore {
        fn create_thread_once(
            scope: &Scope, app: AppId, thread: NewThread, request: KeyedRequest
        ) -> Once<(Thread, Option<Message>)>;
        fn append_message_once(
            scope: &Scope, app: AppId, thread: ThreadId, message: NewMessage, request: KeyedRequest
        ) -> Once<Message>;
        fn start_run_once(
            scope: &Scope, start: StartRun, request: KeyedRequest
        ) -> Once<StartedRun>;
        fn ask_once(
            scope: &Scope, message: NewMessage, start: StartRun, request: KeyedRequest
        ) -> Once<(Message, StartedRun)>;
        fn prune_idempotency_keys(age: Duration, limit: u32) -> u64;
    }
    ServerStore {
        fn beat(server: ServerId, handlers: &Handlers) -> ();
        fn retire(server: ServerId) -> ();
        fn pin_setting(name: &str, value: &str) -> String;
        fn replace_setting(name: &str, from: &str, to: &str) -> bool;
        fn ping() -> ();
        fn prune() -> ();
    }
}

fn garble(segment: &mut Segment) {
    segment.said.text = "?".repeat(segment.said.text.len());
}

impl GatedStore {
    fn spoilt(&self, mut finish: FinishRun) -> FinishRun {
        match self.lie {
            Some(Lie::IgnoresFences) => {
                // The store in memory never lets anybody wait.
                let run = self.behind.get_run(&Scope::Everything, finish.run).now_or_never();
                finish.fence = run.and_then(Result::ok).map_or(finish.fence, |run| run.fence);
            }
            Some(Lie::CutsReplies) => {
                if let Some(reply) = &mut finish.reply {
                    reply.content.pop();
                }
            }
            _ => {}
        }
        finish
    }
}
