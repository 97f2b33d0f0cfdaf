//! The keys of an app's `config_json` that nexo interprets.
//!
//! They are checked when they are written ([`AppConfig::check`]). What is stored may be older
//! than the check, so reading it ([`AppConfig::read`]) falls back to the defaults and never
//! fails.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{JsonObject, Overlap};

const DEFAULT_TIMEOUT_MS: i64 = 8_000;
/// The longest that a run may wait for a burst of messages to end, in milliseconds.
pub const MAX_DEBOUNCE_MS: i64 = 60_000;

/// Who answers in an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The built-in simulator.
    Simulator,
    /// The partner's server, at the app's webhook address.
    Webhook,
}

/// What the simulator plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Echoes the message.
    Generic,
    /// Answers like a shop's support.
    EcommerceSupport,
    /// Fails, so that a client can be tested.
    Error,
}

/// An app's configuration, as far as nexo interprets it.
#[derive(Clone, Debug, PartialEq)]
pub struct AppConfig {
    /// Who answers.
    pub mode: Mode,
    /// What the simulator plays.
    pub scenario: Scenario,
    /// Whether the simulator says that it is one.
    pub disclaimer: bool,
    /// How long the simulator waits before each piece of its answer.
    pub latency: Duration,
    /// How long a webhook may take; see [`crate::dispatch`] for which of its parts.
    pub timeout: Duration,
    /// How a new thread is greeted.
    pub greeting: Greeting,
    /// What partners may do beyond the partner routes.
    pub partner_scopes: Vec<String>,
    /// How many times an agent that did not get a turn is asked again.
    pub retries: u32,
    /// What happens to a wish for a run while the thread is busy.
    pub overlap: Overlap,
    /// For how long a run waits for a burst of messages to end.
    pub debounce: Duration,
    /// Whether a run goes on elsewhere when its server died.
    pub retry_after_crash: bool,
}

/// How a new thread is greeted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// With nexo's own text.
    Default,
    /// With this text.
    Text(String),
    /// Not at all.
    None,
}

/// A key of the configuration whose value nexo can't use.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigViolation {
    /// Where it is, from the top of the object.
    pub path: Vec<&'static str>,
    /// What was expected there.
    pub expected: Expected,
    /// What was found.
    pub found: Value,
}

/// What a key's value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An object.
    Object,
    /// A text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number within these bounds.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A text, or `false` for none.
    TextOrFalse,
    /// A list of texts.
    Texts,
}

impl Expected {
    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Text => value.is_string(),
            Self::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
            Self::Bool => value.is_boolean(),
            Self::Integer { min, max } => {
                value.as_i64().is_some_and(|number| (min..=max).contains(&number))
            }
            Self::TextOrFalse => value.is_string() || value == &Value::Bool(false),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
        }
    }
}

/// Every key that nexo interprets, parents first. Unknown keys are kept and ignored.
const KEYS: &[(&[&str], Expected)] = &[
    (&["integration"], Expected::Object),
    (&["integration", "mode"], Expected::Text),
    (&["simulator"], Expected::Object),
    (&["simulator", "scenario"], Expected::Text),
    (&["simulator", "disclaimer"], Expected::Bool),
    (&["simulator", "latency_ms"], Expected::Integer { min: 0, max: 60_000 }),
    (&["webhook"], Expected::Object),
    (&["webhook", "timeout_ms"], Expected::Integer { min: 100, max: 120_000 }),
    (&["greeting"], Expected::TextOrFalse),
    (&["partner"], Expected::Object),
    (&["partner", "scopes"], Expected::Texts),
    (&["runs"], Expected::Object),
    (&["runs", "retries"], Expected::Integer { min: 0, max: 3 }),
    (&["runs", "overlap"], Expected::OneOf(&["queue", "reject", "interrupt", "merge"])),
    (&["runs", "debounce_ms"], Expected::Integer { min: 0, max: MAX_DEBOUNCE_MS }),
    (&["runs", "retry_after_crash"], Expected::Bool),
];

impl AppConfig {
    /// Reads a stored configuration; what can't be used counts as absent.
    #[must_use]
    pub fn read(config: &JsonObject) -> Self {
        let config = config.to_map();
        let text = |path| find(&config, path).and_then(Value::as_str);
        let number = |path| usable(&config, path).and_then(Value::as_i64);
        let milliseconds =
            |path, default| Duration::from_millis(number(path).unwrap_or(default).unsigned_abs());
        Self {
            mode: text(&["integration", "mode"]).map_or(Mode::Simulator, mode),
            scenario: text(&["simulator", "scenario"]).map_or(Scenario::Generic, scenario),
            disclaimer: find(&config, &["simulator", "disclaimer"]) == Some(&Value::Bool(true)),
            latency: milliseconds(&["simulator", "latency_ms"], 0),
            timeout: milliseconds(&["webhook", "timeout_ms"], DEFAULT_TIMEOUT_MS),
            greeting: greeting(find(&config, &["greeting"])),
            partner_scopes: texts(find(&config, &["partner", "scopes"])),
            retries: number(&["runs", "retries"]).and_then(|it| it.try_into().ok()).unwrap_or(0),
            overlap: text(&["runs", "overlap"]).and_then(Overlap::find).unwrap_or_default(),
            debounce: milliseconds(&["runs", "debounce_ms"], 0),
            retry_after_crash: find(&config, &["runs", "retry_after_crash"])
                != Some(&Value::Bool(false)),
        }
    }

    /// What is wrong with a merge patch (RFC 7396) of a configuration, in which `null` removes a
    /// member: the same as with a configuration, without the nulls.
    ///
    /// ```
    /// # use nexo_core::AppConfig;
    /// let patch = r#"{"greeting":null,"webhook":{"timeout_ms":5}}"#.parse()?;
    /// let wrong = AppConfig::check_patch(&patch);
    /// assert_eq!(wrong.len(), 1);
    /// assert_eq!(wrong[0].path, ["webhook", "timeout_ms"]);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn check_patch(patch: &JsonObject) -> Vec<ConfigViolation> {
        let mut violations = Self::check(patch);
        violations.retain(|violation| !violation.found.is_null());
        violations
    }

    /// What is wrong with a configuration that somebody wants to store.
    ///
    /// ```
    /// # use nexo_core::AppConfig;
    /// let wrong = AppConfig::check(&r#"{"webhook":{"timeout_ms":5}}"#.parse()?);
    /// assert_eq!(wrong[0].path, ["webhook", "timeout_ms"]);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn check(config: &JsonObject) -> Vec<ConfigViolation> {
        let config = config.to_map();
        KEYS.iter()
            .filter_map(|(path, expected)| {
                let found = find(&config, path).filter(|value| !expected.accepts(value))?;
                Some(ConfigViolation {
                    path: path.to_vec(),
                    expected: *expected,
                    found: found.clone(),
                })
            })
            .collect()
    }
}

/// The value at `path`, if its parents are objects.
fn find<'a>(config: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    parents.iter().try_fold(config, |object, name| object.get(*name)?.as_object())?.get(*last)
}

/// The value at `path`, if it is what the table of keys expects there.
fn usable<'a>(config: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (_, expected) = KEYS.iter().find(|(key, _)| *key == path)?;
    find(config, path).filter(|value| expected.accepts(value))
}

/// The legacy modes all mean `webhook` today; anything unknown means the simulator.
fn mode(text: &str) -> Mode {
    match text {
        "webhook" | "webhook_sync" | "webhook_async" | "hybrid" => Mode::Webhook,
        _ => Mode::Simulator,
    }
}

fn scenario(text: &str) -> Scenario {
    match text {
        "ecommerce_support" => Scenario::EcommerceSupport,
        "error" => Scenario::Error,
        _ => Scenario::Generic,
    }
}

fn greeting(value: Option<&Value>) -> Greeting {
    match value {
        Some(Value::String(text)) => Greeting::Text(text.clone()),
        Some(Value::Bool(false)) => Greeting::None,
        _ => Greeting::Default,
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> JsonObject {
        text.parse().unwrap()
    }

    #[test]
    fn an_empty_configuration_gives_the_defaults() {
        let config = AppConfig::read(&JsonObject::empty());

        assert_eq!(config.mode, Mode::Simulator);
        assert_eq!(config.scenario, Scenario::Generic);
        assert_eq!(config.timeout, Duration::from_millis(8_000));
        assert_eq!(config.greeting, Greeting::Default);
        assert_eq!(config.retries, 0);
    }

    #[test]
    fn legacy_modes_mean_webhook_and_unknown_ones_the_simulator() {
        for (text, expected) in [
            ("webhook", Mode::Webhook),
            ("webhook_sync", Mode::Webhook),
            ("webhook_async", Mode::Webhook),
            ("hybrid", Mode::Webhook),
            ("telepathy", Mode::Simulator),
        ] {
            let config = object(&format!(r#"{{"integration":{{"mode":"{text}"}}}}"#));
            assert_eq!(AppConfig::read(&config).mode, expected, "{text}");
        }
    }

    #[test]
    fn unusable_stored_values_fall_back_to_the_defaults() {
        let config = object(
            r#"{"integration":null,"simulator":[],"webhook":{"timeout_ms":"soon"},"greeting":7}"#,
        );

        assert_eq!(AppConfig::read(&config), AppConfig::read(&JsonObject::empty()));
    }

    #[test]
    fn a_check_names_each_unusable_value_and_leaves_unknown_keys_alone() {
        let config = object(
            r#"{"integration":null,"webhook":{"timeout_ms":120001},"partner":{"scopes":[1]},"mine":null}"#,
        );

        let paths: Vec<_> = AppConfig::check(&config).into_iter().map(|it| it.path).collect();

        assert_eq!(
            paths,
            [vec!["integration"], vec!["webhook", "timeout_ms"], vec!["partner", "scopes"]]
        );
    }
}
