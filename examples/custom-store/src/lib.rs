//! A store of one's own, in one file.
//!
//! ```sh
//! cargo test -p custom-store # that it keeps every promise of a store
//! ```
//!
//! [`Store`] is thirteen traits, one for each noun. [`FiledDeliveries`] keeps one noun itself and
//! has another store keep the rest: deliveries, which are every byte that was sent to an agent and
//! came back. They are written once, hardly ever read and by far the most of what there is, so a
//! directory (or a bucket, by the same code) is a better place for them than a database.
//!
//! It is also a way to begin a store of all nouns: pass everything on to [`MemoryStore`], have
//! `tests/conformance.rs` run, and take over one trait after the other, while the suite stays green.
//!
//! What a store's author sees here:
//!
//! - A method is one promise, kept whole or not at all: a file comes to be by a rename, when all of
//!   it is on the disk.
//! - Whoever asks for a request looks through a [`Scope`], and what lies outside does not exist.
//! - Lists go on from a cursor, which is the sort key of the last row seen.
//! - What went wrong is one of [`Error`]'s variants, chosen by what the caller can do about it.
//!
//! [`MemoryStore`]: nexo_core::MemoryStore
//! [`Store`]: nexo_core::Store

use std::{
    cmp::Reverse,
    collections::HashMap,
    fmt, fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
// A store speaks of nearly everything that there is.
use nexo_core::*;
use serde::{Deserialize, Serialize};

/// How many runs of a thread are looked up at once.
const RUNS_AT_ONCE: u32 = 200;

/// How the name of a file ends that is not whole yet.
const UNFINISHED: &str = "unfinished";

/// Keeps deliveries as files of a directory, and everything else in another store.
///
/// A delivery is there for as long as that store has its run: it is looked up with each, so that
/// nobody sees what was deleted, even if the machine was lost before its files were.
///
/// A list reads the names of all files of its app, and where it is narrowed by more than a run
/// and times, opens one after the other: enough for looking into what went wrong. For many
/// readers, the names belong into an index.
#[derive(Clone)]
pub struct FiledDeliveries<S> {
    rest: S,
    directory: Arc<Path>,
    clock: Arc<dyn Clock>,
}

impl<S> FiledDeliveries<S> {
    /// Keeps them in this directory, which is made if it is not there. Nobody else may be working
    /// on it: what was left unfinished in it is taken away.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if it can't be made or read.
    pub fn open(directory: impl Into<PathBuf>, rest: S) -> Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory).and_then(|()| tidy(&directory)).map_err(failed)?;
        Ok(Self { rest, directory: directory.into(), clock: Arc::new(SystemClock) })
    }

    /// Decides by this clock how old deliveries are; the machine's own is the default.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Does something with the files of an app, where waiting for the disk keeps nobody else.
    async fn filed<T: Send + 'static>(
        &self,
        app: AppId,
        work: impl FnOnce(Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let folder = Folder(self.directory.join(app.to_string()));
        blocking(move || work(folder)).await
    }
}

#[async_trait]
impl<S: Store> DeliveryStore for FiledDeliveries<S> {
    async fn record_delivery(&self, delivery: Delivery) -> Result<()> {
        let app = delivery.app;
        if self.runs(&Scope::Everything, app).see(delivery.run).await? {
            self.filed(app, move |folder| folder.write(&delivery)).await?;
        }
        Ok(())
    }

    async fn get_delivery(
        &self,
        scope: &Scope,
        app: AppId,
        delivery: DeliveryId,
    ) -> Result<Delivery> {
        let names = self.filed(app, |folder| folder.names()).await?;
        let name = names.into_iter().find(|name| name.id == delivery);
        let name = name.ok_or(Error::DeliveryNotFound)?;
        if !self.runs(scope, app).see(name.run).await? {
            return Err(Error::DeliveryNotFound);
        }
        let read = self.filed(app, move |folder| folder.read(name)).await?;
        // Somebody may have deleted it just now.
        read.ok_or(Error::DeliveryNotFound)
    }

    async fn list_deliveries(
        &self,
        scope: &Scope,
        app: AppId,
        filter: &DeliveryFilter,
        cursor: Option<&Cursor>,
        limit: u32,
    ) -> Result<CursorPage<DeliverySummary>> {
        let after: Option<DeliveryPosition> = position(cursor)?;
        self.rest.get_app(scope, app).await?;
        let mut names = self.filed(app, |folder| folder.names()).await?;
        names.retain(|name| name.may_pass(filter) && after.is_none_or(|at| name.position() < at));
        names.sort_by_key(|name| Reverse(name.position()));

        let (mut rows, mut runs) = (Vec::new(), self.runs(scope, app));
        for name in names {
            // One more than is wanted, which tells that there are more.
            if rows.len() > limit as usize {
                break;
            }
            if !runs.see(name.run).await? {
                continue;
            }
            let read = self.filed(app, move |folder| folder.read(name)).await?;
            let passing = read.filter(|delivery| filter.takes(delivery));
            rows.extend(passing.as_ref().map(DeliverySummary::from));
        }
        Ok(CursorPage::from_rows(rows, limit, |row| DeliveryPosition::from(row)))
    }

    async fn prune_deliveries(&self, age: Duration, limit: u32) -> Result<u64> {
        let (directory, end) = (Arc::clone(&self.directory), self.clock.now().minus(age));
        let pruned = move || prune(&directory, end, usize::try_from(limit).unwrap_or(usize::MAX));
        blocking(pruned).await
    }
}

/// Which runs of an app a scope holds, each looked up once.
struct Runs<'a, S> {
    store: &'a S,
    scope: &'a Scope,
    app: AppId,
    known: HashMap<RunId, bool>,
}

impl<S: Store> FiledDeliveries<S> {
    fn runs<'a>(&'a self, scope: &'a Scope, app: AppId) -> Runs<'a, S> {
        Runs { store: &self.rest, scope, app, known: HashMap::new() }
    }

    /// The runs of a thread.
    async fn runs_of(&self, thread: &Thread) -> Result<Vec<RunId>> {
        let filter = RunFilter { thread: Some(thread.id), ..RunFilter::default() };
        let (mut runs, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.rest.list_runs(
                &Scope::Everything,
                thread.app,
                &filter,
                cursor.as_ref(),
                RUNS_AT_ONCE,
            );
            let page = page.await?;
            runs.extend(page.items.iter().map(|run| run.id));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(runs);
            }
        }
    }
}

impl<S: Store> Runs<'_, S> {
    async fn see(&mut self, run: RunId) -> Result<bool> {
        if let Some(seen) = self.known.get(&run) {
            return Ok(*seen);
        }
        let seen = match self.store.get_run(self.scope, run).await {
            Ok(run) => run.app == self.app,
            Err(Error::RunNotFound) => false,
            Err(error) => return Err(error),
        };
        self.known.insert(run, seen);
        Ok(seen)
    }
}

/// The files of one app's deliveries.
struct Folder(PathBuf);

impl Folder {
    /// The names of all files, in no order. An app without any has no directory.
    fn names(&self) -> io::Result<Vec<Name>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| Name::parse(entry.file_name().to_str()?)).transpose()
        };
        entries.filter_map(name).collect()
    }

    /// Writes a file that is there as a whole, or is not there: also if the machine is lost
    /// meanwhile. Whoever is told of success finds it after that.
    fn write(&self, delivery: &Delivery) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let unfinished = self.path(Name::from(delivery)).with_extension(UNFINISHED);
        let written = write_synced(&unfinished, delivery);
        if written.is_err() {
            // The reason is told; that the rest is left is of no interest beside.
            let _ = fs::remove_file(&unfinished);
            return written;
        }
        fs::rename(&unfinished, self.path(Name::from(delivery)))?;
        // The name is on the disk when its directory is, and that when the one above is.
        fs::File::open(&self.0)?.sync_all()?;
        self.0.parent().map_or(Ok(()), |above| fs::File::open(above)?.sync_all())
    }

    /// `None` if the file is gone.
    fn read(&self, name: Name) -> io::Result<Option<Delivery>> {
        let text = match fs::read(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let KeptDelivery(delivery) = serde_json::from_slice(&text)?;
        Ok(Some(delivery))
    }

    /// Whether there was such a file.
    fn delete(&self, name: Name) -> io::Result<bool> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            deleted => deleted.map(|()| true),
        }
    }

    /// Deletes those of these runs.
    fn delete_of(&self, runs: &[RunId]) -> io::Result<()> {
        for name in self.names()?.into_iter().filter(|name| runs.contains(&name.run)) {
            self.delete(name)?;
        }
        Ok(())
    }

    fn delete_all(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted,
        }
    }

    fn path(&self, name: Name) -> PathBuf {
        self.0.join(name.to_string())
    }
}

fn write_synced(path: &Path, delivery: &Delivery) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    serde_json::to_writer(io::BufWriter::new(&file), &BorrowedDelivery(delivery))?;
    file.flush()?;
    file.sync_all()
}

/// Takes away what was being written when the machine was lost.
fn tidy(directory: &Path) -> io::Result<()> {
    for app in fs::read_dir(directory)? {
        for file in fs::read_dir(app?.path())? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}

/// Deletes up to so many files of all apps that were sent before `end`, the oldest first.
fn prune(directory: &Path, end: Timestamp, limit: usize) -> io::Result<u64> {
    let mut old = Vec::new();
    for app in fs::read_dir(directory)? {
        let path = app?.path();
        let names = Folder(path.clone()).names()?;
        old.extend(names.into_iter().filter(|name| name.at < end).map(|name| (name, path.clone())));
    }
    old.sort_by_key(|(name, _)| name.position());
    old.truncate(limit);
    let mut deleted = 0;
    for (name, path) in old {
        deleted += u64::from(Folder(path).delete(name)?);
    }
    Ok(deleted)
}

/// What the name of a file says: all that a list is sorted by, and whose it is.
#[derive(Clone, Copy)]
struct Name {
    at: Timestamp,
    id: DeliveryId,
    run: RunId,
}

impl Name {
    /// `None` for what was never finished, or never ours.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix(".json")?.split('.');
        let at = Timestamp::from_micros(parts.next()?.parse().ok()?);
        let (id, run) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { at, id, run })
    }

    fn position(&self) -> DeliveryPosition {
        DeliveryPosition { at: self.at.as_micros(), id: self.id }
    }

    /// Whether it is worth to open the file.
    fn may_pass(&self, filter: &DeliveryFilter) -> bool {
        filter.run.is_none_or(|run| self.run == run)
            && filter.since.is_none_or(|since| self.at >= since)
            && filter.until.is_none_or(|until| self.at < until)
    }
}

impl From<&Delivery> for Name {
    fn from(delivery: &Delivery) -> Self {
        Self { at: delivery.started_at, id: delivery.id, run: delivery.run }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.json", self.at.as_micros(), self.id, self.run)
    }
}

/// A delivery as it stands in a file. The core's types say nothing about how they are stored;
/// that is told here, once for both ways.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Delivery")]
struct Layout {
    id: DeliveryId,
    app: AppId,
    run: RunId,
    agent: AgentId,
    replay: Option<ReplayId>,
    repeats: Option<DeliveryId>,
    attempt: i32,
    url: String,
    request_headers: Vec<(String, String)>,
    #[serde(with = "bytes")]
    request_body: Vec<u8>,
    peer: Option<SocketAddr>,
    status: Option<u16>,
    response_headers: Vec<(String, String)>,
    #[serde(with = "bytes")]
    response_body: Vec<u8>,
    response_bytes: u64,
    #[serde(with = "frames")]
    frames: Frames,
    error: Option<String>,
    error_detail: Option<String>,
    started_at: Timestamp,
    first_byte_after: Option<Duration>,
    ended_after: Duration,
}

#[derive(Serialize)]
struct BorrowedDelivery<'a>(#[serde(with = "Layout")] &'a Delivery);

#[derive(Deserialize)]
struct KeptDelivery(#[serde(with = "Layout")] Delivery);

/// Bytes as base64: a list of numbers would be three times as long.
mod bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(de::Error::custom)
    }
}

mod frames {
    use nexo_core::Frames;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(frames: &Frames, to: S) -> Result<S::Ok, S::Error> {
        super::bytes::serialize(frames.as_bytes(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Frames, D::Error> {
        super::bytes::deserialize(from).map(Frames::from_bytes)
    }
}

/// Waits for the disk on a thread that is there for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panicked| Error::Store(panicked.into()))?.map_err(failed)
}

/// By the kind of the error, never by its text.
fn failed(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(error.into()),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Error::Corrupt("delivery"),
        _ => Error::Store(error.into()),
    }
}

impl<S: fmt::Debug> fmt::Debug for FiledDeliveries<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FiledDeliveries").field(&self.directory).field(&self.rest).finish()
    }
}

/// Has the other store do what is listed, between what is written out.
macro_rules! pass_on {
    ($($store:ident {
        $(fn $method:ident($($argument:ident: $type:ty),*) -> $given:ty;)*
        $({ $($own:tt)* })?
    })*) => {$(
        #[async_trait]
        impl<S: Store> $store for FiledDeliveries<S> {
            $(async fn $method(&self, $($argument: $type),*) -> Result<$given> {
                self.rest.$method($($argument),*).await
            })*
            $($($own)*)?
        }
    )*};
}

pass_on! {
    AppStore {
        fn create_app(app: NewApp) -> App;
        fn ensure_app(app: NewApp, agents: Vec<NewAgent>) -> App;
        fn get_app(scope: &Scope, app: AppId) -> App;
        fn list_apps(owner: &OwnerId, page: PageRequest) -> Page<App>;
        fn update_app(scope: &Scope, app: AppId, changes: AppChanges) -> App;
        fn reseal_secrets(limit: u32) -> u64;
        fn sealing_keys() -> Vec<String>;
        {
            /// First the app, which takes away that anybody sees the files.
            async fn delete_app(&self, scope: &Scope, app: AppId) -> Result<()> {
                self.rest.delete_app(scope, app).await?;
                warn_of(self.filed(app, |folder| folder.delete_all()).await);
                Ok(())
            }
        }
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
        fn create_thread(scope: &Scope, app: AppId, thread: NewThread) -> (Thread, Option<Message>);
        fn get_thread(scope: &Scope, thread: ThreadId) -> Thread;
        fn list_threads(
            scope: &Scope, app: AppId, filter: &ThreadFilter, cursor: Option<&Cursor>, limit: u32
        ) -> CursorPage<Thread>;
        fn update_thread(scope: &Scope, thread: ThreadId, changes: ThreadChanges) -> Thread;
        {
            /// As with apps; which runs it had nobody knows any more afterwards.
            async fn delete_thread(&self, scope: &Scope, thread: ThreadId) -> Result<()> {
                let found = self.rest.get_thread(scope, thread).await?;
                let runs = self.runs_of(&found).await?;
                self.rest.delete_thread(scope, thread).await?;
                warn_of(self.filed(found.app, move |folder| folder.delete_of(&runs)).await);
                Ok(())
            }
        }
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
    ServerStore {
        fn beat(server: ServerId, handlers: &Handlers) -> ();
        fn retire(server: ServerId) -> ();
        fn pin_setting(name: &str, value: &str) -> String;
        fn replace_setting(name: &str, from: &str, to: &str) -> bool;
        fn ping() -> ();
        fn prune() -> ();
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
}

/// What was deleted in the other store is deleted. A file that is left is seen by nobody, and
/// goes when it is old.
fn warn_of(deleted: Result<()>) {
    if let Err(error) = deleted {
        tracing::warn!(%error, "files of deliveries are left over");
    }
}
