//! Replies as a client reads them.

use gannet_proto::resp::{Error, ProtocolError, Replies, Value};
use gannet_proto::{Codec, Decoded, FrameError};
use proptest::prelude::*;

use super::{check_cuts, replies};

fn check(stream: &[u8], expected: Value<'_>) {
    let outcome = replies(&Replies::new(), stream);
    assert_eq!(outcome.error, None, "{}", stream.escape_ascii());
    assert_eq!(outcome.messages, [format!("{expected:?}")], "{}", stream.escape_ascii());
    check_cuts(&Replies::new(), stream, &[], |value| format!("{value:?}"));
}

fn error(codec: &Replies, stream: &[u8]) -> ProtocolError {
    check_cuts(codec, stream, &[], |value| format!("{value:?}"));
    match replies(codec, stream).error {
        Some(Error::Protocol(error)) => error,
        other => panic!("{}: {other:?}", stream.escape_ascii()),
    }
}

#[test]
fn values_of_resp2_are_read() {
    check(b"+OK\r\n", Value::Simple(b"OK"));
    check(b"+\r\n", Value::Simple(b""));
    check(b"-ERR unknown command\r\n", Value::Error(b"ERR unknown command"));
    check(b":0\r\n", Value::Integer(0));
    check(b":+12\r\n", Value::Integer(12));
    check(b":-9223372036854775808\r\n", Value::Integer(i64::MIN));
    check(b"$5\r\nhe\r\no\r\n", Value::Bulk(b"he\r\no"));
    check(b"$0\r\n\r\n", Value::Bulk(b""));
    check(b"$-1\r\n", Value::Null);
    check(b"*-1\r\n", Value::Null);
    check(b"*0\r\n", Value::Array(vec![]));
    let inner = Value::Array(vec![Value::Simple(b"a"), Value::Null]);
    check(
        b"*3\r\n:1\r\n*2\r\n+a\r\n$-1\r\n$1\r\nb\r\n",
        Value::Array(vec![Value::Integer(1), inner, Value::Bulk(b"b")]),
    );
}

#[test]
fn values_of_resp3_are_read() {
    check(b"_\r\n", Value::Null);
    check(b"#t\r\n", Value::Boolean(true));
    check(b"#f\r\n", Value::Boolean(false));
    check(b",1.5\r\n", Value::Double(1.5));
    check(b",10\r\n", Value::Double(10.0));
    check(b",-1.5E-7\r\n", Value::Double(-1.5e-7));
    check(b",inf\r\n", Value::Double(f64::INFINITY));
    check(b",-inf\r\n", Value::Double(f64::NEG_INFINITY));
    check(b",nan\r\n", Value::Double(f64::NAN));
    check(b",-nan\r\n", Value::Double(f64::NAN));
    check(
        b"(3492890328409238509324850943850943825024385\r\n",
        Value::BigNumber(b"3492890328409238509324850943850943825024385"),
    );
    check(b"(-1\r\n", Value::BigNumber(b"-1"));
    check(b"!21\r\nSYNTAX invalid syntax\r\n", Value::Error(b"SYNTAX invalid syntax"));
    check(b"=15\r\ntxt:Some string\r\n", Value::Verbatim { format: *b"txt", text: b"Some string" });
    check(b"=4\r\nmkd:\r\n", Value::Verbatim { format: *b"mkd", text: b"" });
    check(b"~2\r\n:1\r\n:1\r\n", Value::Set(vec![Value::Integer(1), Value::Integer(1)]));
    check(b">2\r\n+message\r\n#t\r\n", Value::Push(vec![Value::Simple(b"message"), Value::Boolean(true)]));
    check(b"%0\r\n", Value::Map(vec![]));
    check(
        b"%2\r\n+a\r\n:1\r\n*0\r\n_\r\n",
        Value::Map(vec![(Value::Simple(b"a"), Value::Integer(1)), (Value::Array(vec![]), Value::Null)]),
    );
}

#[test]
fn attributes_stand_with_the_value_they_are_about() {
    let ttl = vec![(Value::Simple(b"ttl"), Value::Integer(3600))];
    let about = |value| Value::Attribute { pairs: ttl.clone(), value: Box::new(value) };
    check(b"|1\r\n+ttl\r\n:3600\r\n+OK\r\n", about(Value::Simple(b"OK")));
    check(
        b"*2\r\n:1\r\n|1\r\n+ttl\r\n:3600\r\n:2\r\n",
        Value::Array(vec![Value::Integer(1), about(Value::Integer(2))]),
    );
}

#[test]
fn what_is_no_reply_is_refused() {
    let replies = Replies::new();
    for (stream, kind) in [
        (&b":\r\n"[..], b':'),
        (b":1x\r\n", b':'),
        (b":9223372036854775808\r\n", b':'),
        (b",\r\n", b','),
        (b",1,5\r\n", b','),
        (b",infinity\r\n", b','),
        (b"#true\r\n", b'#'),
        (b"_x\r\n", b'_'),
        (b"(\r\n", b'('),
        (b"(1.5\r\n", b'('),
        (b"$\r\n", b'$'),
        (b"$-2\r\n", b'$'),
        (b"$01\r\n", b'$'),
        (b"$+1\r\n", b'$'),
        (b"$000000000000000000001", b'$'),
        (b"!-1\r\n", b'!'),
        (b"*x\r\n", b'*'),
        (b"~-1\r\n", b'~'),
        (b"%-1\r\n", b'%'),
        (b"=3\r\ntxt\r\n", b'='),
        (b"=4\r\ntext\r\n", b'='),
        (b"*2\r\n+a\r\n:a\r\n", b':'),
    ] {
        assert_eq!(error(&replies, stream), ProtocolError::Malformed { kind }, "{}", stream.escape_ascii());
    }
    assert_eq!(error(&replies, b"HTTP/1.1 200 OK\r\n"), ProtocolError::UnknownType { got: b'H' });
    assert_eq!(error(&replies, b"*1\r\n\r\n"), ProtocolError::UnknownType { got: b'\r' });
    for stream in [&b"+OK\rX"[..], b"$1\rX", b"$1\r\nabc", b"$1\r\na\rX", b"*1\rX"] {
        assert_eq!(error(&replies, stream), ProtocolError::MissingLineBreak, "{}", stream.escape_ascii());
    }
}

#[test]
fn streamed_values_are_refused() {
    for stream in [&b"$?\r\n"[..], b"*?\r\n", b"%?\r\n"] {
        assert_eq!(error(&Replies::new(), stream), ProtocolError::Streamed { kind: stream[0] });
    }
}

#[test]
fn errors_say_what_was_wrong() {
    let said = |stream: &[u8]| error(&Replies::new(), stream).to_string();
    assert_eq!(said(b"\x16\x03"), "no value begins with '\\x16'");
    assert_eq!(said(b":a\r\n"), "malformed value of type ':'");
    assert_eq!(said(b"$?\r\n"), "streamed value of type '$', which is not supported");
    assert_eq!(said(b"*1048577\r\n"), "a reply has more than 1048576 values inside");
}

#[test]
fn a_string_over_its_limit_is_refused_before_it_arrives() {
    let codec = Replies::new().max_bulk(3);
    assert_eq!(replies(&codec, b"$3\r\nabc\r\n").messages.len(), 1);
    assert_eq!(replies(&codec, b"$4\r\n").error, Some(Error::Frame(FrameError::TooLarge { length: 4, limit: 3 })));
    let large = replies(&Replies::new(), b"$536870913\r\n").error;
    assert_eq!(large, Some(Error::Frame(FrameError::TooLarge { length: 536_870_913, limit: 536_870_912 })));
}

#[test]
fn a_line_over_its_limit_is_refused_whether_it_ends_or_not() {
    let codec = Replies::new().max_line(3);
    assert_eq!(replies(&codec, b"+abc\r\n$10\r\n0123456789\r\n").messages.len(), 2);
    for stream in [&b"+abcd"[..], b"+abcd\r\n"] {
        assert_eq!(error(&codec, stream), ProtocolError::LineTooLong { limit: 3 });
    }
}

#[test]
fn values_inside_are_counted_on_all_levels() {
    let codec = Replies::new().max_elements(4);
    assert_eq!(replies(&codec, b"*2\r\n*1\r\n:1\r\n*1\r\n:1\r\n%2\r\n_\r\n_\r\n_\r\n_\r\n").messages.len(), 2);
    let refused = ProtocolError::TooManyElements { limit: 4 };
    for stream in [&b"*5\r\n"[..], b"%3\r\n", b"|2\r\n", b"*2\r\n:1\r\n*3\r\n", b"*9223372036854775807\r\n"] {
        assert_eq!(error(&codec, stream), refused, "{}", stream.escape_ascii());
    }
    assert_eq!(error(&codec, b"%9223372036854775807\r\n"), refused);
    check_cuts(&Replies::new().max_elements(usize::MAX), b"*2147483648\r\n", &[], |_| ());
}

#[test]
fn values_inside_others_have_a_limit_on_levels() {
    let nested = |levels: usize| ["*1\r\n".repeat(levels), ":1\r\n".to_owned()].concat().into_bytes();
    assert_eq!(replies(&Replies::new(), &nested(32)).messages.len(), 1);
    assert_eq!(error(&Replies::new(), &nested(33)), ProtocolError::TooDeep { limit: 32 });
    assert_eq!(replies(&Replies::new().max_depth(u8::MAX), &nested(255)).messages.len(), 1);
    assert_eq!(error(&Replies::new().max_depth(0), b"*0\r\n"), ProtocolError::TooDeep { limit: 0 });
    assert_eq!(replies(&Replies::new().max_depth(0), b"*-1\r\n").messages, ["Null"]);
}

#[test]
fn a_reply_over_the_limit_on_all_of_it_is_refused() {
    let stream = b"*2\r\n:1\r\n$3\r\nabc\r\n";
    assert_eq!(replies(&Replies::new().max_total(17), stream).messages.len(), 1);
    for seen in [12, 17] {
        let error = replies(&Replies::new().max_total(16), &stream[..seen]).error;
        assert_eq!(error, Some(Error::Frame(FrameError::TooLarge { length: 17, limit: 16 })));
    }
}

#[test]
fn a_string_that_is_not_there_yet_is_asked_for_as_a_whole() {
    let mut received = *b"*1\r\n$100\r\nab";
    let decoded = Replies::new().decode(&mut Default::default(), &mut received).unwrap();
    assert_eq!(decoded, Decoded::Partial { need: 4 + 6 + 100 + 2 });
}

#[test]
fn a_command_is_an_array_of_its_words() {
    let encoded = |parts: &[&[u8]]| {
        let mut out = Vec::new();
        Replies::new().encode(parts, &mut out).map(|()| out).unwrap()
    };
    assert_eq!(encoded(&[b"ECHO", b"", b"a\r\nb"]), b"*3\r\n$4\r\nECHO\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
    assert_eq!(encoded(&[]), b"*0\r\n");
}

/// Bytes of which many mean something.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[*%~>|][0-3]\r\n",
        6 => "[+:,(][0-9]{0,3}\r\n",
        3 => "[#_][tf]?\r\n",
        4 => "[$!=][0-6]\r\n",
        4 => "[a-z:]{0,5}\r\n",
        1 => "[$*:,]([-+0-9?]{0,22}|inf|nan)\r?\n?",
        1 => "[a-z*$: \0]{1,6}",
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        stream in noise(),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
        (bulk, line, elements, depth, total) in (0_usize..5, 0_usize..5, 0_usize..9, 0_u8..3, 0_usize..60),
    ) {
        check_cuts(&Replies::new(), &stream, &cuts, |value| format!("{value:?}"));
        let narrow = Replies::new().max_bulk(bulk).max_line(line).max_elements(elements).max_depth(depth);
        check_cuts(&narrow.max_total(total), &stream, &cuts, |value| format!("{value:?}"));
    }
}
