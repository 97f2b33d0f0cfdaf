//! A store with one fault. It works on the store in memory, and spoils what goes in or out.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use async_trait::async_trait;
use nexo_core::{accounts::*, *};

/// What the store does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    LosesScope,
    WidensCustomers,
    RepeatsSeq,
    TrimsText,
    RewritesJson,
    IgnoresLabel,
    ForgetsGreeting,
    FoldsCustomers,
    IgnoresFence,
    SwallowsReply,
    ReplacesConfig,
    EndsSecretsAtOnce,
    LosesKeys,
    SkipsRows,
    IgnoresCursors,
    KnowsWildcards,
    TakesNoStatusForAny,
    CountsThePage,
    MixesUpServers,
    ForgetsCarried,
    ClaimsTooMuch,
    ForgetsStops,
    IgnoresFilters,
    QueuesAlways,
    SharesVersions,
    IgnoresChangeLimit,
    MistakesSeqs,
    AnswersAnything,
    DamagesBytes,
    ForgetsSettings,
    AllowsTwins,
    IgnoresConditions,
    LeasesNothing,
    ForgetsAge,
    AllowsOneMore,
    ForgetsRequests,
    IgnoresBodies,
    CutsSegments,
    ForgetsWhatIsKnown,
    MakesTwins,
    ForgetsAgents,
    IgnoresHandlers,
    ForgetsHandlers,
}

#[derive(Debug)]
pub(crate) struct FaultyStore {
    sound: MemoryStore,
    fault: Option<Fault>,
}

impl FaultyStore {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { sound: MemoryStore::new(), fault }
    }
}

/// What goes through the store, and may be spoilt on its way.
trait Passing: Sized {
    fn spoil(self, _fault: Fault) -> Self {
        self
    }

    fn pass(self, fault: Option<Fault>) -> Self {
        match fault {
            Some(fault) => self.spoil(fault),
            None => self,
        }
    }
}

macro_rules! unspoilt {
    ($($type:ty),* $(,)?) => {$(impl Passing for $type {})*};
}

unspoilt! {
    (), bool, u32, u64, &OwnerId, AppId, AgentId, SubscriberId, ThreadId, MessageId, RunId, UserId, MailId,
    App, Agent, Vec<Agent>, Subscriber, Thread, ThreadChanges, MessageRange, PageRequest,
    StartedRun, Run, Vec<RunStart>, SweptRuns, Stop, i64, User, Option<User>, MailKind, Vec<Mail>, String, Vec<String>,
    LimitDecision, DeliveryId, Replay, ReplayId, Vec<FollowedRun>, &[ThreadId], &[AppId],
    HashMap<ThreadId, i64>, HashMap<AppId, NewestThreads>,
}

impl Passing for &Scope {
    fn spoil(self, fault: Fault) -> Self {
        static EVERYTHING: Scope = Scope::Everything;
        match (fault, self) {
            (Fault::LosesScope, _) => &EVERYTHING,
            // One leaked scope for each call of a test is little.
            (Fault::WidensCustomers, Scope::Subscriber { app, .. }) => {
                Box::leak(Box::new(Scope::App(*app)))
            }
            _ => self,
        }
    }
}

impl Passing for Message {
    fn spoil(self, fault: Fault) -> Self {
        let seq = if fault == Fault::RepeatsSeq { (self.seq + 1) / 2 } else { self.seq };
        Self { seq, ..self }
    }
}

impl Passing for Option<Message> {
    fn spoil(self, fault: Fault) -> Self {
        self.map(|message| message.spoil(fault))
    }
}

impl Passing for FinishedRun {
    fn spoil(self, fault: Fault) -> Self {
        Self { reply: self.reply.spoil(fault), ..self }
    }
}

/// An app that nobody ever finds by its name.
impl Passing for NewApp {
    fn spoil(mut self, fault: Fault) -> Self {
        if fault == Fault::MakesTwins {
            self.name.push_str(&AppId::new().to_string());
        }
        self
    }
}

impl Passing for Vec<NewAgent> {
    fn spoil(self, fault: Fault) -> Self {
        if fault == Fault::ForgetsAgents { Self::new() } else { self }
    }
}

/// A server that seems to have what all others have.
impl Passing for Handlers {
    fn spoil(self, fault: Fault) -> Self {
        if fault == Fault::IgnoresHandlers { Self::from_iter(["concierge"]) } else { self }
    }
}

impl Passing for &Handlers {
    fn spoil(self, fault: Fault) -> Self {
        static NONE: LazyLock<Handlers> = LazyLock::new(Handlers::default);
        if fault == Fault::ForgetsHandlers { &NONE } else { self }
    }
}

impl Passing for SweepRuns {
    fn spoil(self, fault: Fault) -> Self {
        Self {
            server: self.server.spoil(fault),
            carried: if fault == Fault::ForgetsCarried { Vec::new() } else { self.carried },
            silence: self.silence.spoil(fault),
            handler_patience: self.handler_patience,
        }
    }
}

/// A claim that takes more than was asked for, and keeps the fence of the server before.
impl Passing for ClaimRuns {
    fn spoil(self, fault: Fault) -> Self {
        let limit = if fault == Fault::ClaimsTooMuch { u32::MAX } else { self.limit };
        Self { limit, handlers: self.handlers.spoil(fault), ..self }
    }
}

/// Stops that come to nothing.
impl Passing for Vec<(RunId, Stop)> {
    fn spoil(self, fault: Fault) -> Self {
        if fault == Fault::ForgetsStops { Self::new() } else { self }
    }
}

impl Passing for &RunFilter {
    fn spoil(self, fault: Fault) -> Self {
        static ANY: RunFilter = RunFilter { thread: None, states: None };
        if fault == Fault::IgnoresFilters { &ANY } else { self }
    }
}

impl Passing for StartRun {
    fn spoil(self, fault: Fault) -> Self {
        let overlap =
            if fault == Fault::QueuesAlways { Some(Overlap::Queue) } else { self.overlap };
        let message_seq = self.message_seq.filter(|_| fault != Fault::AnswersAnything);
        Self { overlap, message_seq, handlers: self.handlers.spoil(fault), ..self }
    }
}

impl Passing for (Message, StartedRun) {
    fn spoil(self, fault: Fault) -> Self {
        (self.0.spoil(fault), self.1)
    }
}

impl Passing for KeyedRequest {
    fn spoil(mut self, fault: Fault) -> Self {
        match fault {
            Fault::ForgetsRequests => self.lifetime = Duration::ZERO,
            Fault::IgnoresBodies => self.body_sha256 = [0; 32],
            _ => {}
        }
        self
    }
}

impl<T: Passing> Passing for Once<T> {
    fn spoil(self, fault: Fault) -> Self {
        self.map(|made| made.spoil(fault))
    }
}

impl Passing for (Thread, Option<Message>) {
    fn spoil(self, fault: Fault) -> Self {
        (self.0, self.1.spoil(fault))
    }
}

impl Passing for Vec<Message> {
    fn spoil(self, fault: Fault) -> Self {
        self.into_iter().map(|message| message.spoil(fault)).collect()
    }
}

impl Passing for NewMessage {
    fn spoil(mut self, fault: Fault) -> Self {
        match fault {
            Fault::TrimsText => self.content = self.content.map(|text| text.trim().to_owned()),
            Fault::RewritesJson => self.content_json = self.content_json.to_map().into(),
            Fault::IgnoresLabel => self.to_deleted = true,
            _ => {}
        }
        self
    }
}

impl Passing for NewThread {
    fn spoil(mut self, fault: Fault) -> Self {
        match fault {
            Fault::ForgetsGreeting => self.greeting = None,
            Fault::FoldsCustomers => {
                self.customer_id = self.customer_id.map(|customer| customer.to_lowercase());
            }
            _ => {}
        }
        self
    }
}

impl Passing for FinishRun {
    fn spoil(mut self, fault: Fault) -> Self {
        match fault {
            Fault::IgnoresFence => self.fence = 1,
            Fault::SwallowsReply => self.reply = None,
            _ => {}
        }
        self
    }
}

impl Passing for AppChanges {
    fn spoil(mut self, fault: Fault) -> Self {
        match (fault, self.config.take()) {
            (Fault::ReplacesConfig, Some(ConfigChange::Merge(patch))) => {
                self.config = Some(ConfigChange::Replace(patch));
            }
            (_, config) => self.config = config,
        }
        if fault == Fault::EndsSecretsAtOnce {
            self.secret_overlap = Duration::ZERO;
        }
        self
    }
}

impl Passing for Vec<AppKey> {
    fn spoil(self, fault: Fault) -> Self {
        if fault == Fault::LosesKeys { Self::new() } else { self }
    }
}

/// A row too few, where the next page goes on behind it.
impl<T> Passing for CursorPage<T> {
    fn spoil(mut self, fault: Fault) -> Self {
        if fault == Fault::SkipsRows && self.next.is_some() {
            self.items.pop();
        }
        self
    }
}

impl<T> Passing for Page<T> {
    fn spoil(mut self, fault: Fault) -> Self {
        if fault == Fault::CountsThePage {
            self.total = self.items.len() as u64;
        }
        self
    }
}

impl Passing for Option<&Cursor> {
    fn spoil(self, fault: Fault) -> Self {
        self.filter(|_| fault != Fault::IgnoresCursors)
    }
}

impl Passing for &ThreadFilter {
    fn spoil(self, fault: Fault) -> Self {
        static ANY: ThreadFilter = ThreadFilter { customer_id: None, statuses: None };
        let none = self.statuses.as_ref().is_some_and(Vec::is_empty);
        if fault == Fault::TakesNoStatusForAny && none { &ANY } else { self }
    }
}

/// Changes of one step that have one version.
impl Passing for ChangePage {
    fn spoil(mut self, fault: Fault) -> Self {
        if fault == Fault::SharesVersions
            && let [.., next, last] = &mut self.changes[..]
        {
            next.version = last.version;
        }
        self
    }
}

impl Passing for ChangeLimit {
    fn spoil(self, fault: Fault) -> Self {
        let all = Self { changes: u32::MAX, bytes: u32::MAX };
        if fault == Fault::IgnoresChangeLimit { all } else { self }
    }
}

impl Passing for ThreadCursor {
    fn spoil(self, fault: Fault) -> Self {
        match self {
            Self::Seq(seq) if fault == Fault::MistakesSeqs => Self::Version(seq),
            cursor => cursor,
        }
    }
}

impl Passing for ServerId {
    fn spoil(self, fault: Fault) -> Self {
        if fault == Fault::MixesUpServers { Self::new() } else { self }
    }
}

/// Segments without the last of them, as if they had never been written.
impl Passing for &[Segment] {
    fn spoil(self, fault: Fault) -> Self {
        match self {
            [rest @ .., _] if fault == Fault::CutsSegments => rest,
            all => all,
        }
    }
}

/// Followers who are told everything anew, whatever they know.
impl Passing for &[FollowRun] {
    fn spoil(self, fault: Fault) -> Self {
        if fault != Fault::ForgetsWhatIsKnown {
            return self;
        }
        let anew = self.iter().map(|known| FollowRun { bytes: 0, ..*known });
        Box::leak(anew.collect::<Box<[_]>>())
    }
}

impl Passing for Delivery {
    fn spoil(mut self, fault: Fault) -> Self {
        if fault == Fault::DamagesBytes {
            let text = String::from_utf8_lossy(&self.request_body).into_owned();
            self.request_body = text.into_bytes();
        }
        self
    }
}

impl Passing for &DeliveryFilter {
    fn spoil(self, fault: Fault) -> Self {
        static ANY: LazyLock<DeliveryFilter> = LazyLock::new(DeliveryFilter::default);
        if fault == Fault::IgnoresFilters { &ANY } else { self }
    }
}

/// A search, an address, a key, or the name or value of a setting.
impl Passing for &str {
    fn spoil(self, fault: Fault) -> Self {
        match fault {
            Fault::KnowsWildcards => self.trim_matches('%'),
            Fault::ForgetsSettings if self == "one" || self == "secret" => {
                Box::leak(ServerId::new().to_string().into_boxed_str())
            }
            _ => self,
        }
    }
}

impl Passing for NewUser {
    fn spoil(mut self, fault: Fault) -> Self {
        if fault == Fault::AllowsTwins {
            self.email = format!("{} {}", UserId::new(), self.email);
        }
        self
    }
}

impl Passing for UserChanges {
    fn spoil(mut self, fault: Fault) -> Self {
        if fault == Fault::IgnoresConditions {
            (self.if_email, self.if_hashed_password) = (None, None);
            self.if_token_epoch = None;
        }
        self
    }
}

impl Passing for Duration {
    fn spoil(self, fault: Fault) -> Self {
        if matches!(fault, Fault::LeasesNothing | Fault::ForgetsAge) { Self::ZERO } else { self }
    }
}

impl Passing for Rate {
    fn spoil(self, fault: Fault) -> Self {
        Self { burst: self.burst + u32::from(fault == Fault::AllowsOneMore), ..self }
    }
}

macro_rules! passing {
    ($($store:ident { $(fn $method:ident($($arg:ident: $type:ty),*) -> $out:ty;)* })*) => {$(
        #[async_trait]
        impl $store for FaultyStore {
            $(
                async fn $method(&self, $($arg: $type),*) -> Result<$out> {
                    let out = self.sound.$method($($arg.pass(self.fault)),*).await?;
                    Ok(out.pass(self.fault))
                }
            )*
        }
    )*};
}

passing! {
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
        fn append_message(
            scope: &Scope, app: AppId, thread: ThreadId, message: NewMessage
        ) -> Message;
        fn list_messages(
            scope: &Scope, app: AppId, thread: ThreadId, range: MessageRange, limit: u32
        ) -> Vec<Message>;
        fn get_message(scope: &Scope, message: MessageId) -> Message;
    }
    RunStore {
        fn start_run(scope: &Scope, start: StartRun) -> StartedRun;
        fn ask(scope: &Scope, message: NewMessage, start: StartRun) -> (Message, StartedRun);
        fn claim_runs(claim: ClaimRuns) -> Vec<RunStart>;
        fn hand_back_run(run: RunId, fence: i64) -> ();
        fn park_run(run: RunId, fence: i64, patience: Duration) -> ();
        fn finish_run(finish: FinishRun) -> FinishedRun;
        fn stop_run(scope: &Scope, app: AppId, run: RunId, stop: Stop) -> Run;
        fn stopped_runs(server: ServerId) -> Vec<(RunId, Stop)>;
        fn get_run(scope: &Scope, run: RunId) -> Run;
        fn list_runs(
            scope: &Scope, app: AppId, filter: &RunFilter, cursor: Option<&Cursor>, limit: u32
        ) -> CursorPage<Run>;
        fn sweep_runs(sweep: SweepRuns) -> SweptRuns;
    }
    EventStore {
        fn append_segments(segments: &[Segment]) -> ();
        fn follow_runs(runs: &[FollowRun], max_bytes: u32) -> Vec<FollowedRun>;
        fn prune_segments(age: Duration, limit: u32) -> u64;
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
    UserStore {
        fn create_user(user: NewUser) -> User;
        fn find_user(user: UserId) -> Option<User>;
        fn find_user_by_email(email: &str) -> Option<User>;
        fn update_user(user: UserId, changes: UserChanges) -> User;
        fn upgrade_password_hash(user: UserId, old: &str, new: &str) -> ();
        fn delete_user(user: UserId) -> ();
    }
    MailStore {
        fn queue_mail(email: &str, kind: MailKind) -> ();
        fn claim_mails(limit: u32, lease: Duration) -> Vec<Mail>;
        fn postpone_mail(mail: MailId, delay: Duration) -> ();
        fn remove_mail(mail: MailId) -> ();
    }
    LimitStore {
        fn take_limit(key: &str, rate: Rate) -> LimitDecision;
        fn prune_limits() -> ();
    }
}
