//! What a service sees that talks in lines.

use std::mem::discriminant;

use gannet_proto::lines::Error;
use gannet_proto::testing::{Outcome, Patience, feed, pieces};
use gannet_proto::{Codec, Decoded, FrameError, Lines, LinesState};
use proptest::prelude::*;

const BOTH: [Patience; 2] = [Patience::Waits, Patience::Asks];

fn read<'c>(lines: &Lines, chunks: impl IntoIterator<Item = &'c [u8]>) -> Outcome<Vec<u8>, Error> {
    feed(lines, Patience::Waits, chunks, <[u8]>::to_vec)
}

fn too_large(length: u64, limit: usize) -> Option<Error> {
    Some(Error::Frame(FrameError::TooLarge { length, limit }))
}

fn encoded(parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    Lines::new().encode(parts, &mut out).map(|()| out)
}

#[test]
fn a_line_arrives_without_its_ending() {
    let outcome = read(&Lines::new(), [&b"one\ntwo\r\n\n\r\nlast\n"[..]]);
    assert_eq!(outcome.messages, [&b"one"[..], b"two", b"", b"", b"last"]);
    assert_eq!(outcome.error, None);
}

#[test]
fn a_return_that_is_not_part_of_the_ending_belongs_to_the_line() {
    let outcome = read(&Lines::new(), [&b"\ra\rb\r\r\n"[..]]);
    assert_eq!(outcome.messages, [&b"\ra\rb\r"[..]]);
}

#[test]
fn the_end_of_the_stream_ends_the_last_line() {
    let outcome = read(&Lines::new(), [&b"one\ntw"[..], b"o"]);
    assert_eq!(outcome.messages, [b"one", b"two"]);
    assert_eq!(outcome.error, None);
}

#[test]
fn a_return_at_the_end_of_the_stream_belongs_to_the_last_line() {
    assert_eq!(read(&Lines::new(), [&b"abc\r"[..]]).messages, [b"abc\r"]);
    assert_eq!(read(&Lines::new().limit(3), [&b"abc\r"[..]]).error, too_large(4, 3));
}

#[test]
fn the_default_limit_is_64_kib() {
    let mut stream = vec![b'x'; 65_536];
    stream.push(b'\n');
    let outcome = read(&Lines::default(), [&stream[..]]);
    assert_eq!(outcome.messages.len(), 1);

    stream.insert(0, b'x');
    let outcome = read(&Lines::default(), [&stream[..]]);
    assert_eq!(outcome.error, too_large(65_537, 65_536));
}

#[test]
fn a_line_at_the_limit_is_accepted_whatever_its_ending_and_wherever_it_is_cut() {
    let lines = Lines { limit: 3 };
    for stream in [&b"abc\n"[..], b"abc\r\n", b"abc"] {
        for cut in 0..=stream.len() {
            let (front, back) = stream.split_at(cut);
            let outcome = read(&lines, [front, back]);
            assert_eq!(outcome.error, None, "cut at {cut}");
            assert_eq!(outcome.messages, [b"abc"], "cut at {cut}");
        }
    }
}

#[test]
fn a_line_over_the_limit_is_refused_whatever_its_ending_and_wherever_it_is_cut() {
    let lines = Lines::new().limit(3);
    for stream in [&b"abcd\n"[..], b"abcd\r\n", b"abc\rd\n", b"abcd", b"abc\r\r\n"] {
        for cut in 0..=stream.len() {
            let (front, back) = stream.split_at(cut);
            let outcome = read(&lines, [front, back]);
            assert!(
                matches!(outcome.error, Some(Error::Frame(FrameError::TooLarge { limit: 3, .. }))),
                "cut at {cut}: {outcome:?}"
            );
            assert_eq!(outcome.messages, [b""; 0]);
        }
    }
}

#[test]
fn a_line_without_an_end_is_refused_at_the_first_byte_too_many() {
    let lines = Lines::new().limit(3);
    let mut state = LinesState::default();
    let partial = |need| Ok(Decoded::Partial { need });
    assert_eq!(lines.decode(&mut state, &mut b"abc".to_vec()), partial(4));
    assert_eq!(lines.decode(&mut state, &mut b"abc\r".to_vec()), partial(5));
    assert_eq!(lines.decode(&mut state, &mut b"abc\rd".to_vec()).err(), too_large(5, 3));
}

#[test]
fn a_limit_of_nothing_allows_empty_lines() {
    let outcome = read(&Lines::new().limit(0), [&b"\n\r"[..], b"\n\nx"]);
    assert_eq!(outcome.messages, [b"", b"", b""]);
    assert_eq!(outcome.error, too_large(1, 0));
}

#[test]
fn no_limit_is_too_large_to_set() {
    let outcome = read(&Lines::new().limit(usize::MAX), [&b"abc"[..], b"def\n"]);
    assert_eq!(outcome.messages, [b"abcdef"]);
}

#[test]
fn what_was_searched_is_not_searched_again() {
    let mut state = LinesState::default();
    let mut received = b"abc".to_vec();
    let partial = Lines::new().decode(&mut state, &mut received);
    assert_eq!(partial, Ok(Decoded::Partial { need: 4 }));

    // A break where there was none before: only who looks again would see it.
    let mut received = b"a\ncd\n".to_vec();
    let decoded = Lines::new().decode(&mut state, &mut received);
    assert!(matches!(decoded, Ok(Decoded::Message { consumed: 5, .. })), "{decoded:?}");
}

#[test]
fn parts_become_one_line() {
    assert_eq!(encoded(&[b"ec", b"", b"ho"]), Ok(b"echo\n".to_vec()));
    assert_eq!(encoded(&[]), Ok(b"\n".to_vec()));
    assert_eq!(encoded(&[b"echo\r"]), Ok(b"echo\r\n".to_vec()));
}

#[test]
fn a_payload_with_a_line_break_is_not_sent() {
    let mut out = b"before".to_vec();
    let refused = Lines::new().encode(&[b"ab", b"c\nd\n"], &mut out);
    assert_eq!(refused, Err(Error::LineBreak { position: 3 }));
    assert_eq!(out, b"before");
}

/// Bytes among which line endings are frequent.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'a'),
        2 => Just(b'\r'),
        2 => Just(b'\n'),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..120)
}

/// The same protocol, read from the whole stream at once.
fn reference(limit: usize, stream: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Vec::new();
    for piece in stream.split_inclusive(|&byte| byte == b'\n') {
        let mut line = piece.to_vec();
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if line.len() > limit {
            return (messages, false);
        }
        messages.push(line);
    }
    (messages, true)
}

proptest! {
    #[test]
    fn lines_arrive_as_they_were_sent_however_the_stream_is_cut(
        mut messages in prop::collection::vec(text(), 0..8),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let mut stream = Vec::new();
        for message in &mut messages {
            message.retain(|&byte| byte != b'\n');
            if message.last() == Some(&b'\r') {
                message.push(b'.');
            }
            let middle = message.len() / 2;
            let parts = [&message[..middle], &message[middle..]];
            prop_assert_eq!(Lines::new().encode(&parts, &mut stream), Ok(()));
        }

        for patience in BOTH {
            let cut = feed(&Lines::new(), patience, pieces(&stream, &cuts), <[u8]>::to_vec);
            prop_assert_eq!(cut.error, None);
            prop_assert_eq!(&cut.messages, &messages);
            for size in 1..8 {
                let even = feed(&Lines::new(), patience, stream.chunks(size), <[u8]>::to_vec);
                prop_assert_eq!(&even.messages, &messages);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_as_the_reference_reads_them(
        stream in text(),
        limit in 0_usize..24,
        cuts in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let lines = Lines::new().limit(limit);
        let (messages, whole) = reference(limit, &stream);
        let at_once = read(&lines, [&stream[..]]);
        let refused = Error::Frame(FrameError::TooLarge { length: 0, limit });
        prop_assert_eq!(
            at_once.error.as_ref().map(discriminant),
            (!whole).then(|| discriminant(&refused))
        );

        for patience in BOTH {
            for chunks in [vec![&stream[..]], pieces(&stream, &cuts), stream.chunks(1).collect()] {
                let outcome = feed(&lines, patience, chunks, <[u8]>::to_vec);
                prop_assert_eq!(&outcome.messages, &messages);
                prop_assert_eq!(outcome.error.is_none(), whole);
                // The limit, a `\r` that may or may not count, and the byte that would tell.
                prop_assert!(outcome.largest_need <= limit + 2);
            }
        }
    }

    #[test]
    fn a_stream_may_be_cut_in_two_anywhere(stream in text(), limit in 0_usize..24) {
        let lines = Lines::new().limit(limit);
        let (messages, whole) = reference(limit, &stream);
        for cut in 0..=stream.len() {
            let (front, back) = stream.split_at(cut);
            let outcome = read(&lines, [front, back]);
            prop_assert_eq!(&outcome.messages, &messages);
            prop_assert_eq!(outcome.error.is_none(), whole);
        }
    }
}
