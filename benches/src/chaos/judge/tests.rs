use std::time::Duration;

use super::*;
use crate::history::Sent;

/// A customer who asked something, was answered, and read it.
fn history() -> Facts {
    let text = |text: &str| text.to_owned();
    let outcome = Outcome::Stored(text("m1"), 1);
    let speech = |attempt, said: &str, ending| Speech {
        run: text("r"),
        attempt,
        began: Duration::ZERO,
        said: text(said),
        ending: Some(ending),
    };
    Facts {
        threads: vec![text("t")],
        sent: vec![Sent { thread: text("t"), text: text("hello"), outcome }],
        asked: [(text("m1"), 1)].into(),
        speeches: vec![
            speech(1, "Good m", Ending::Cut(Duration::ZERO)),
            speech(2, "Good evening", Ending::Whole),
        ],
        readings: vec![Reading {
            run: text("r"),
            message: text("m1"),
            text: text("Good evening"),
            status: text("completed"),
            reply: Some(text("m2")),
            ..Reading::default()
        }],
        wrongs: Vec::new(),
    }
}

fn remains() -> Remains {
    let message = |id: &str, seq, role: &str, content: &str| Message {
        id: id.to_owned(),
        thread: "t".to_owned(),
        seq,
        role: role.to_owned(),
        content: content.to_owned(),
    };
    let messages =
        vec![message("m1", 1, "user", "hello"), message("m2", 2, "assistant", "Good evening")];
    Remains { messages, runs: vec![run("r", "m2")] }
}

fn run(id: &str, reply: &str) -> Run {
    Run {
        id: id.to_owned(),
        thread: "t".to_owned(),
        message: "m1".to_owned(),
        state: "completed".to_owned(),
        attempt: 2,
        reply: Some(reply.to_owned()),
        error: None,
    }
}

/// The promises that are found broken.
fn broken(facts: &Facts, remains: &Remains) -> Vec<Promise> {
    let verdict = judge(facts, remains, false);
    let mut broken: Vec<_> = verdict.wrongs.iter().map(|wrong| wrong.promise).collect();
    broken.dedup();
    broken
}

#[test]
fn what_is_right_is_not_blamed() {
    assert_eq!(broken(&history(), &remains()), []);
}

#[test]
fn a_message_that_is_lost_or_doubled_or_made_up_is_noticed() {
    for damage in [
        |remains: &mut Remains| drop(remains.messages.remove(0)),
        |remains: &mut Remains| remains.messages[0].content = "hallo".to_owned(),
        |remains: &mut Remains| remains.messages[1].seq = 3,
        |remains: &mut Remains| {
            let more = &remains.messages[0];
            let (thread, content) = (more.thread.clone(), more.content.clone());
            let (id, role) = ("m3".to_owned(), "user".to_owned());
            remains.messages.push(Message { id, thread, seq: 3, role, content });
        },
    ] {
        let mut remains = remains();
        damage(&mut remains);

        assert_eq!(broken(&history(), &remains)[..1], [Promise::Messages]);
    }
}

#[test]
fn a_reply_of_an_old_attempt_or_of_two_runs_or_of_none_is_noticed() {
    for damage in [
        |remains: &mut Remains| remains.messages[1].content = "Good m".to_owned(),
        |remains: &mut Remains| remains.runs[0].attempt = 3,
        |remains: &mut Remains| remains.runs.push(run("r2", "m2")),
        |remains: &mut Remains| remains.runs.clear(),
    ] {
        let mut remains = remains();
        damage(&mut remains);

        assert_eq!(broken(&history(), &remains)[..1], [Promise::Replies]);
    }
}

#[test]
fn a_run_that_does_not_end_is_noticed_unless_it_took_its_servers_down() {
    let (mut facts, mut remains) = (history(), remains());
    facts.readings.clear();
    remains.messages.truncate(1);
    remains.runs[0].reply = None;
    remains.runs[0].state = "running".to_owned();
    assert_eq!(broken(&facts, &remains), [Promise::Ends]);

    remains.runs[0].state = "failed".to_owned();
    remains.runs[0].error = Some("RUN_INTERRUPTED".to_owned());
    assert_eq!(broken(&facts, &remains), [Promise::Ends]);

    remains.runs[0].attempt = 4;
    assert_eq!(broken(&facts, &remains), []);
}

#[test]
fn a_reader_who_saw_something_else_is_noticed() {
    for damage in [
        |reading: &mut Reading| reading.text.push('!'),
        |reading: &mut Reading| reading.reply = None,
        |reading: &mut Reading| reading.status = "error".to_owned(),
    ] {
        let mut facts = history();
        damage(&mut facts.readings[0]);

        assert_eq!(broken(&facts, &remains()), [Promise::Streams]);
    }
}
