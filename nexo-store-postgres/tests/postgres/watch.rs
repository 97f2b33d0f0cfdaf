//! Watches what is logged: by the driver each statement, and each notice of the server; and what
//! the hub has to say.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex, OnceLock},
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

const STATEMENTS: &str = "sqlx::query";
const NOTICES: &str = "sqlx::postgres::notice";
const HUB: &str = "nexo_store_postgres::hub::listen";

static SECOND: OnceLock<Dispatch> = OnceLock::new();

/// Collects what is logged on this thread while it lives; the test's runtime has no other.
pub(crate) struct Watch {
    log: Arc<Mutex<Vec<(&'static str, String)>>>,
    _guard: DefaultGuard,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        // While there is one collector only, a place that logs asks that of its own thread whether
        // to do so, once and for all threads: mostly a thread that watches nothing.
        SECOND.get_or_init(|| Dispatch::new(Collector { log: Arc::default() }));
        let log = Arc::default();
        let collector = Collector { log: Arc::clone(&log) };
        Self { log, _guard: tracing::subscriber::set_default(collector) }
    }

    /// The statements sent since the last look, but for those that begin a transaction.
    pub(crate) fn statements(&self) -> Vec<String> {
        let mut statements = self.take(STATEMENTS);
        statements.retain(|statement| !statement.contains("BEGIN"));
        statements
    }

    /// The server's notices since the last look.
    pub(crate) fn notices(&self) -> Vec<String> {
        self.take(NOTICES)
    }

    /// What the hub had to say since the last look.
    pub(crate) fn hub(&self) -> Vec<String> {
        self.take(HUB)
    }

    fn take(&self, target: &str) -> Vec<String> {
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        log.into_iter().filter(|(from, _)| *from == target).map(|(_, text)| text).collect()
    }
}

struct Collector {
    log: Arc<Mutex<Vec<(&'static str, String)>>>,
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        [STATEMENTS, NOTICES, HUB].contains(&metadata.target())
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.log.lock().unwrap().push((event.metadata().target(), text.0));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self.0, "{field}: {value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        writeln!(self.0, "{field}: {value}").unwrap();
    }
}
