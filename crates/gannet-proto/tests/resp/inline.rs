//! Commands as a person types them.

use gannet_proto::resp::{Commands, ProtocolError};
use proptest::prelude::*;

use super::{check_cuts, commands, words};

/// Lines, and the words that a Redis 7.0 server took them for.
const SEEN: &[(&[u8], &[&[u8]])] = &[
    (b"\r\n", &[]),
    (b"\n", &[]),
    (b" \t \r\n", &[]),
    (b"ping\n", &[b"ping"]),
    (b"  ping \t a  b\r\n", &[b"ping", b"a", b"b"]),
    (b"\r\r\n", &[]),
    (b"a\rb\r\n", &[b"a", b"b"]),
    (b"ping \"a\\x41\\n\\q\\\"b\"\r\n", &[b"ping", b"aA\nq\"b"]),
    (b"\"\\r\\t\\b\\a\\\\\\xfF\\x00\"\r\n", &[b"\r\t\x08\x07\\\xff\0"]),
    (b"\"\\x4\" \"\\xg0\" \"\\x\"\r\n", &[b"x4", b"xg0", b"x"]),
    (b"ping 'a\\'b\\n'\r\n", &[b"ping", b"a'b\\n"]),
    (b"'a\"b' \"a'b\"\r\n", &[b"a\"b", b"a'b"]),
    (b"ping a\"b c\"\r\n", &[b"ping", b"ab c"]),
    (b"ping a\\nb\r\n", &[b"ping", b"a\\nb"]),
    (b"ping \"\" ''\r\n", &[b"ping", b"", b""]),
    (b"ping a\x0bb \x0bc \"d\"\x0b\"e\"\r\n", &[b"ping", b"a\x0bb", b"c", b"d", b"e"]),
    (b"pi$1*ng\xff\r\n", &[b"pi$1*ng\xff"]),
];

#[test]
fn a_line_has_the_words_that_redis_finds_in_it() {
    for &(line, expected) in SEEN {
        let outcome = commands(&Commands::new(), line);
        assert_eq!(outcome.error, None);
        assert_eq!(outcome.messages, [expected], "{}", line.escape_ascii());
        check_cuts(&Commands::new(), line, &[], words);
    }
}

#[test]
fn quotes_have_to_end_and_a_blank_has_to_follow() {
    let error = ProtocolError::UnbalancedQuotes;
    assert_eq!(error.to_string(), "Protocol error: unbalanced quotes in request");
    for line in [
        &b"ping \"a\r\n"[..],
        b"ping \"a\"b\r\n",
        b"ping 'a\r\n",
        b"ping 'a'b\r\n",
        b"ping \"a\"\"b\"\r\n",
        b"ping '\\\\'\r\n",
        b"ping \"a\\\"\r\n",
        b"ping \"a\\\n",
        b"ping a\"\r\n",
        b"'\n",
    ] {
        let outcome = commands(&Commands::new(), line);
        assert_eq!(outcome.error, Some(error.into()), "{}", line.escape_ascii());
        check_cuts(&Commands::new(), line, &[], words);
    }
}

#[test]
fn a_nul_is_a_byte_like_others() {
    assert_eq!(commands(&Commands::new(), b"a\0b \0\r\n").messages, [[&b"a\0b"[..], b"\0"]]);
}

#[test]
fn a_line_may_have_64_kib() {
    let mut line = vec![b'x'; 65_536];
    line.push(b'\n');
    assert_eq!(commands(&Commands::new(), &line).messages.len(), 1);

    line.insert(0, b'x');
    for seen in [65_537, 65_538] {
        let error = commands(&Commands::new(), &line[..seen]).error.unwrap();
        assert_eq!(error.to_string(), "Protocol error: too big inline request");
    }
}

#[test]
fn a_line_over_the_limit_is_refused_wherever_it_is_cut() {
    let codec = Commands::new().max_inline(5);
    assert_eq!(commands(&codec, b"ab c\r\nabcde\n").messages.len(), 2);
    assert_eq!(commands(&codec, b"abcde\r\n").error, Some(ProtocolError::InlineTooBig.into()));
    check_cuts(&codec, b"abcde\r\n", &[], words);
    check_cuts(&Commands::new().max_inline(0), b"\n\nx", &[], words);
    check_cuts(&Commands::new().max_inline(usize::MAX), b"\n\nx\n", &[], words);
}

/// A word as a careful person types it.
fn quoted(word: &[u8]) -> Vec<u8> {
    let escaped: String = word.iter().map(|byte| format!("\\x{byte:02X}")).collect();
    format!("\"{escaped}\"").into_bytes()
}

proptest! {
    #[test]
    fn words_of_any_bytes_can_be_typed(sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..12)) {
        let typed: Vec<Vec<u8>> = sent.iter().map(|word| quoted(word)).collect();
        let line = [typed.join(&b' '), b"\r\n".to_vec()].concat();
        prop_assert_eq!(commands(&Commands::new(), &line).messages, [sent]);
    }
}
