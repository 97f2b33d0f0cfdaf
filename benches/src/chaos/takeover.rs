//! How runs went on whose server was gone.

use std::{collections::HashMap, time::Duration};

use crate::history::{Ending, Facts};

/// The runs whose server was gone while their agent spoke, with the attempt, and when that was.
pub(crate) fn cut(facts: &Facts) -> impl Iterator<Item = (&str, i32, Duration)> {
    facts.speeches.iter().filter_map(|speech| match speech.ending {
        Some(Ending::Cut(at)) => Some((speech.run.as_str(), speech.attempt, at)),
        _ => None,
    })
}

/// How long it took until the agents of those runs were asked again.
pub(crate) fn until_asked_again(facts: &Facts) -> Vec<Duration> {
    let began = facts.speeches.iter().map(|it| ((it.run.as_str(), it.attempt), it.began));
    let began: HashMap<_, _> = began.collect();
    let again = |(run, attempt, at)| Some(began.get(&(run, attempt + 1))?.saturating_sub(at));
    cut(facts).filter_map(again).collect()
}

/// How long it took until readers of those runs saw anything of the next attempt: that it
/// begins, or its end. Nobody sees one whose server is gone as well before it says a word.
pub(crate) fn until_seen(facts: &Facts) -> Vec<Duration> {
    let readings = facts.readings.iter().map(|reading| (reading.run.as_str(), reading));
    let readings: HashMap<_, _> = readings.collect();
    let seen = |(run, attempt, at)| {
        let reading = readings.get(run)?;
        let (_, seen) = reading.attempts.iter().find(|(it, _)| *it == attempt + 1)?;
        Some(seen.saturating_sub(at))
    };
    cut(facts).filter_map(seen).collect()
}
