use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;

fn decode(bytes: &[u8]) -> Result<Vec<Event>, DecodeError> {
    let mut events = Vec::new();
    Decoder::new().feed(bytes, &mut events).map(|()| events)
}

fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    decode(bytes).unwrap().into_iter().map(|event| (event.name, event.data)).collect()
}

fn pair(name: &str, data: &str) -> (String, String) {
    (name.to_owned(), data.to_owned())
}

#[test]
fn a_reader_goes_on_from_the_last_block_that_was_complete() {
    let mut decoder = Decoder::new();
    let mut lead = |bytes: &[u8]| {
        decoder.feed(bytes, &mut Vec::new()).unwrap();
        decoder.last_id().map(str::to_owned)
    };

    assert_eq!(lead(b"event: a\ndata: {}\n\n"), None);
    assert_eq!(lead(b"id: 1\n\n").as_deref(), Some("1"));
    assert_eq!(lead(b"event: b\ndata: {}\nid: 2\n").as_deref(), Some("1"));
    assert_eq!(lead(b"\n").as_deref(), Some("2"));
    assert_eq!(lead(b"event: c\ndata: {}\n\n").as_deref(), Some("2"));
    assert_eq!(lead(b"id\n\n"), None);
}

#[test]
fn an_event_is_one_line_of_name_and_one_of_data() {
    assert_eq!(encode("done", "{}"), "event: done\ndata: {}\n\n");
    assert_eq!(encode_with_id("7", "done", "{}"), "event: done\ndata: {}\nid: 7\n\n");
    assert_eq!(encode("a\r\nb", "{\n}"), "event: a  b\ndata: { }\n\n");
    assert_eq!(comment("keep-alive"), ": keep-alive\n\n");
}

#[test]
fn every_kind_of_line_end_ends_a_line() {
    for stream in [
        "event: delta\ndata: 1\n\ndata: 2\n\n",
        "event: delta\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n",
        "event: delta\rdata: 1\r\rdata: 2\r\r",
        "event: delta\r\ndata: 1\n\rdata: 2\r\n\n",
    ] {
        assert_eq!(pairs(stream.as_bytes()), [pair("delta", "1"), pair("message", "2")]);
    }
}

/// The examples of the standard (HTML, section "server-sent events").
#[test]
fn the_examples_of_the_standard_are_read_as_it_says() {
    assert_eq!(pairs(b"data: YHOO\ndata: +2\ndata: 10\n\n"), [pair("message", "YHOO\n+2\n10")]);
    assert_eq!(
        pairs(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"),
        [pair("message", "first event"), pair("message", "second event")]
    );
    assert_eq!(pairs(b"data\n\ndata\ndata\n\ndata:"), [pair("message", ""), pair("message", "\n")]);
    assert_eq!(
        pairs(b"data:test\n\ndata: test\n\n"),
        [pair("message", "test"), pair("message", "test")]
    );
}

#[test]
fn an_id_stays_until_another_comes_and_one_with_nul_is_ignored() {
    let events = decode(b"id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\nid\ndata: c\n\n").unwrap();

    let ids: Vec<_> = events.into_iter().map(|event| event.id).collect();

    assert_eq!(ids, [Some("1".into()), Some("1".into()), None]);
}

/// An agent may write one long id, and after it a million events of few bytes.
#[test]
fn events_share_a_long_id() {
    let stream = format!("id: {}\n{}", "x".repeat(60_000), "data\n\n".repeat(1_000));

    let events = decode(stream.as_bytes()).unwrap();

    let ids: Vec<_> = events.iter().map(|event| event.id.as_ref().unwrap()).collect();
    assert_eq!(ids.len(), 1_000);
    assert!(ids.iter().all(|id| Arc::ptr_eq(id, ids[0])), "none has a copy of its own");
}

#[test]
fn retry_takes_digits_only() {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();

    decoder.feed(b"retry: 1500\nretry: soon\nretry: -1\nretry:\n", &mut events).unwrap();

    assert_eq!(decoder.retry(), Some(Duration::from_millis(1500)));
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_only() {
    assert_eq!(pairs(b"\xEF\xBB\xBFdata: 1\n\n\xEF\xBB\xBFdata: 2\n\n"), [pair("message", "1")]);
}

#[test]
fn a_name_without_data_is_an_event_and_unknown_fields_are_nothing() {
    assert_eq!(pairs(b"event: done\n\n"), [pair("done", "")]);
    assert_eq!(pairs(b"event\n\nnonsense\nfoo: bar\n\n: x\n\n"), []);
}

#[test]
fn text_that_is_not_utf8_is_an_error_and_what_came_before_is_not_lost() {
    for broken in [&b"data: 1\n\ndata: \xFF\n\n"[..], b"data: 1\n\ndata: \xF0\x9F\x8E\n\n"] {
        let (mut decoder, mut events) = (Decoder::new(), Vec::new());

        assert_eq!(decoder.feed(broken, &mut events), Err(DecodeError::NotUtf8));
        assert_eq!(decoder.feed(b"data: 2\n\n", &mut events), Err(DecodeError::NotUtf8));

        assert_eq!(events.len(), 1);
    }
}

#[test]
fn an_event_may_have_so_many_bytes_and_no_more() {
    let feed = |stream: &str| {
        let mut events = Vec::new();
        let mut decoder = Decoder::new().with_max_event_bytes(16);
        decoder.feed(stream.as_bytes(), &mut events).map(|()| events.len())
    };

    assert_eq!(feed("data: 0123456789\n\ndata: 0123456789\n\n"), Ok(2));
    assert_eq!(feed("data: 01\ndata: 34\n\n"), Ok(1));
    assert_eq!(feed(": 01234567890123\n: 01234567890123\n"), Ok(0));
    for stream in ["data: 0123456789a\n\n", "data: 01\ndata: 345\n\n", "data: 0123456789a"] {
        assert_eq!(feed(stream), Err(DecodeError::TooLarge), "{stream}");
    }
}

/// What a decoder gives for a stream that arrives in these pieces, error and all.
fn decode_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<DecodeError>, Option<Duration>) {
    let mut decoder = Decoder::new().with_max_event_bytes(64);
    let mut events = Vec::new();
    let error = pieces.into_iter().find_map(|piece| decoder.feed(piece, &mut events).err());
    (events, error, decoder.retry())
}

/// Streams of what matters to a decoder: fields, line ends, marks, and bytes of any value.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let tokens: [&[u8]; 15] = [
        b"data",
        b"data: ",
        b"event: delta",
        b"id: 1",
        b"retry: 10",
        b":",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\xEF\xBB\xBF",
        "é🎉漢".as_bytes(),
        b"\0",
        b"\xC3",
    ];
    let token = proptest::sample::select(tokens.to_vec());
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn where_a_stream_is_cut_makes_no_difference(stream in streams()) {
        let whole = decode_pieces([&stream[..]]);

        prop_assert_eq!(&decode_pieces(stream.chunks(1)), &whole);
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            prop_assert_eq!(&decode_pieces([left, right]), &whole);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        size in 1_usize..50,
    ) {
        prop_assert_eq!(decode_pieces(bytes.chunks(size)), decode_pieces([&bytes[..]]));
    }

    #[test]
    fn what_is_written_is_read_back(
        name in "[a-z_]{1,12}",
        id in "[0-9a-z.]{1,12}",
        text in any::<String>(),
    ) {
        let json = serde_json::json!({ "text": text }).to_string();

        let events = decode(&[comment("x"), encode_with_id(&id, &name, &json)].concat()).unwrap();

        prop_assert_eq!(events, [Event { name, data: json, id: Some(id.into()) }]);
    }
}
