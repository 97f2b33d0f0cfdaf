//! Logs and metrics: what the server tells about itself.
//!
//! A line of text is time, level, component, message; what belongs to a request carries its
//! id. Libraries that talk to the network log what they send, so only their warnings are
//! kept.

use std::fmt::{self, Write as _};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use nexo_core::{Clock, SystemClock};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{DefaultFields, Writer},
    },
    registry::LookupSpan,
};

use crate::config::{Log, LogFormat};

/// What libraries tell too much of. A database that is away is told by the store, as an error
/// that names what it was about; and to actix, whatever a client does wrong is an error.
const QUIET: &str =
    "sqlx_core::pool=error,sqlx::pool=error,sqlx::postgres::notice=error,actix_http=off";

const SECONDS_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Sends the log to standard error, from now on.
pub(crate) fn start_log(log: &Log) {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(filter(log));
    let started = match log.format {
        LogFormat::Text => subscriber.event_format(Lines).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    started.unwrap_or_else(|_| tracing::debug!("the log was started before"));
}

fn filter(log: &Log) -> EnvFilter {
    let level = log.level.as_str().to_lowercase();
    let others = if log.level == Level::ERROR { "error" } else { "warn" };
    let ours = format!("{others},{QUIET},nexo={level}");
    EnvFilter::builder().parse_lossy(log.filter.as_deref().unwrap_or(&ours))
}

/// Collects metrics, from now on.
///
/// # Errors
///
/// If something collects them already.
pub(crate) fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)?
        .install_recorder()?;
    metrics::gauge!("nexo_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// One line for each event: `time level [component] message`.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let (level, component) = (level_name(*metadata.level()), metadata.target());
        write!(writer, "{} {level} [{component}] ", SystemClock.now())?;
        let mut message = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut message), event)?;
        writer.write_str(&on_one_line(&message))?;
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>() {
                write!(writer, " {}{{{}}}", span.name(), on_one_line(&fields.fields))?;
            }
        }
        writeln!(writer)
    }
}

/// Whatever a message has in it, nobody can write a line of their own into the log.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}
