//! What is no message, and what is one although it looks unusual.

use gannet_proto::centrifuge::{
    Command, ConnectRequest, DecodeError, Format, HistoryRequest, PublishRequest, Request, StreamPosition,
    SubscribeRequest, json, protobuf,
};
use gannet_proto::{FrameError, length_prefixed};

use super::*;

fn expected(at: usize, expected: &'static str) -> DecodeError {
    DecodeError::Json { at, expected }
}

#[test]
fn json_that_is_no_command_is_refused_with_the_place() {
    for (frame, error) in [
        ("", DecodeError::Empty),
        ("\n", DecodeError::Empty),
        (" \t\r", DecodeError::Empty),
        ("{}\n\n{}", DecodeError::Empty),
        ("{}\n\n", DecodeError::Empty),
        ("null", expected(0, "an object")),
        ("{}\nnull", expected(0, "an object")),
        ("[]", expected(0, "an object")),
        ("[{}]", expected(0, "an object")),
        ("1", expected(0, "an object")),
        ("{", expected(1, "a name in double quotes")),
        ("{}x", expected(2, "the end of the message")),
        ("{} {}", expected(3, "the end of the message")),
        (r#"{"id":1,}"#, expected(8, "a name in double quotes")),
        (r#"{"id":1 "rpc":{}}"#, expected(8, "a comma or the end of an object")),
        (r#"{"id"1}"#, expected(5, "a colon")),
        (r#"{id:1}"#, expected(1, "a name in double quotes")),
        (r#"{"id":-1}"#, expected(6, "an integer of 32 bits without a sign")),
        (r#"{"id":4294967296}"#, expected(6, "an integer of 32 bits without a sign")),
        (r#"{"id":1.0}"#, expected(6, "an integer of 32 bits without a sign")),
        (r#"{"id":"1"}"#, expected(6, "an integer of 32 bits without a sign")),
        (r#"{"id":01}"#, expected(7, "a comma or the end of an object")),
        (r#"{"id":1,"history":{"limit":2147483648}}"#, expected(27, "an integer of 32 bits")),
        (r#"{"id":1,"history":{"reverse":1}}"#, expected(29, "true or false")),
        (r#"{"id":1,"connect":null}"#, expected(18, "an object")),
        (r#"{"id":1,"ping":null}"#, expected(15, "an object")),
        (r#"{"id":1,"publish":[]}"#, expected(18, "an object")),
        (r#"{"id":1,"publish":{"channel":1}}"#, expected(29, "a string")),
        (r#"{"id":1,"publish":{"data":}}"#, expected(26, "a value of JSON")),
        (r#"{"id":1,"publish":{"data":{]}}"#, expected(27, "a name in double quotes")),
        (r#"{"id":1,"publish":{"data":[1}}"#, expected(28, "a comma or the end of an array")),
        (r#"{"id":1,"publish":{"data":nul}}"#, expected(26, "a value of JSON")),
        (r#"{"id":1,"publish":{"data":1.}}"#, expected(26, "a number of JSON")),
        (r#"{"id":1,"connect":{"subs":{"a":null}}}"#, expected(31, "an object")),
        (r#"{"id":1,"connect":{"subs":[]}}"#, expected(26, "an object")),
        (r#"{"id":1,"connect":{"token":"\ud800"}}"#, expected(28, "both halves of a pair of surrogates")),
        (r#"{"id":1,"connect":{"token":"\udc00\ud800"}}"#, expected(28, "both halves of a pair of surrogates")),
        (r#"{"id":1,"connect":{"token":"ab\u12"}}"#, expected(30, "an escape of JSON")),
        (r#"{"id":1,"connect":{"token":"\a"}}"#, expected(28, "an escape of JSON")),
        ("{\"id\":1,\"connect\":{\"token\":\"a\tb\"}}", expected(29, "no control character in a string")),
        (r#"{"id":1,"connect":{"token":"a"#, expected(29, "the end of a string")),
        (r#"{"id":1,"rpc":{},"publish":{}}"#, DecodeError::Several { field: "publish" }),
        (r#"{"id":1,"connect":{},"connect":{}}"#, DecodeError::Several { field: "connect" }),
        (r#"{"id":1,"ping":{},"ping":{}}"#, DecodeError::Several { field: "ping" }),
    ] {
        let result = commands(Format::Json, frame.as_bytes());
        assert_eq!(result, Err(error), "{frame}");
    }
    for bytes in [&b"{\"id\":1}\xff"[..], b"\xc3", b"{}\n{\"\xed\xa0\x80\":1}"] {
        assert_eq!(commands(Format::Json, bytes), Err(DecodeError::NotUtf8));
    }
}

#[test]
fn after_an_error_a_frame_has_no_further_commands() {
    let mut commands = Format::Json.commands(b"{\"id\":1}\nnull\n{\"id\":2}");
    assert_eq!(commands.next(), Some(Ok(Command { id: 1, request: Request::Empty })));
    assert!(matches!(commands.next(), Some(Err(_))));
    assert_eq!(commands.next(), None);
    let mut commands = Format::Protobuf.commands(b"\x02\x08\x01\x01\x07\x00");
    assert_eq!(commands.next(), Some(Ok(Command { id: 1, request: Request::Empty })));
    assert!(matches!(commands.next(), Some(Err(_))));
    assert_eq!(commands.next(), None);
}

#[test]
fn a_bare_request_that_is_null_is_refused() {
    for text in [&b"null"[..], b" null ", b"[]", b"\"\"", b""] {
        assert!(json::connect_request(text).is_err());
        assert!(json::emulation_request(text).is_err());
        assert!(Format::Json.pushes(text).any(|push| push.is_err()));
        assert!(Format::Json.replies(text).any(|reply| reply.is_err()));
    }
}

#[test]
fn unusual_json_is_read_as_it_is_meant() {
    let connect = |request| Ok(vec![Command { id: 1, request: Request::Connect(request) }]);
    let token = |token: &'static str| ConnectRequest { token: token.into(), ..Default::default() };
    for (frame, result) in [
        // Blanks, and what stands before a line break on some systems.
        ("  { \"id\" : 1 ,\t\"connect\" : { } } \r\n", connect(ConnectRequest::default())),
        // Members that nobody knows, whatever they hold.
        (
            r#"{"x":[{"connect":{}},"\ud800"],"id":1,"connect":{"y":null,"dictionary":{"id":"\u0000"}},"z":-1e5}"#,
            connect(ConnectRequest::default()),
        ),
        // Null is as if it were missing.
        (
            r#"{"id":1,"connect":{"token":null,"subs":null,"headers":null,"flag":null,"name":null}}"#,
            connect(ConnectRequest::default()),
        ),
        // But it is data like other data.
        (r#"{"id":1,"connect":{"data":null}}"#, connect(ConnectRequest { data: b"null", ..Default::default() })),
        // The last one counts.
        (r#"{"id":2,"id":1,"connect":{"token":"a","token":"b"}}"#, connect(token("b"))),
        (
            r#"{"id":1,"connect":{"headers":{"a":"b"},"headers":{"c":"d"}}}"#,
            connect(ConnectRequest { headers: vec![("c".into(), "d".into())], ..Default::default() }),
        ),
        // A map keeps all it has.
        (
            r#"{"id":1,"connect":{"headers":{"a":"b","a":"c","d":null}}}"#,
            connect(ConnectRequest {
                headers: vec![("a".into(), "b".into()), ("a".into(), "c".into()), ("d".into(), "".into())],
                ..Default::default()
            }),
        ),
        // Names have escapes as other strings do.
        (
            r#"{"\u0069d":1,"conn\u0065ct":{"token":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}}"#,
            connect(token("\"\\/\u{8}\u{c}\n\r\té😀")),
        ),
        // Another name, though it looks alike.
        (r#"{"ID":5,"id":1,"Connect":{},"connect":{}}"#, connect(ConnectRequest::default())),
    ] {
        assert_eq!(commands(Format::Json, frame.as_bytes()), result, "{frame}");
    }
    let history = |since| {
        let request = Request::History(HistoryRequest { since, ..Default::default() });
        Ok(vec![Command { id: 0, request }])
    };
    assert_eq!(commands(Format::Json, br#"{"history":{"since":null}}"#), history(None));
    assert_eq!(
        commands(Format::Json, br#"{"history":{"since":{"offset":1},"since":{"epoch":"e"}}}"#),
        history(Some(StreamPosition { offset: 0, epoch: "e".into() }))
    );
    // No id: the session says what is wrong.
    let publish = Request::Publish(PublishRequest { data: b"1", ..Default::default() });
    assert_eq!(commands(Format::Json, br#"{"publish":{"data":1}}"#), Ok(vec![Command { id: 0, request: publish }]));
}

#[test]
fn strings_are_borrowed_unless_they_have_escapes() {
    use std::borrow::Cow;
    let request = json::connect_request(br#"{"token":"plain","name":"\u0061"}"#).unwrap();
    assert!(matches!(request.token, Cow::Borrowed("plain")));
    assert!(matches!(&request.name, Cow::Owned(name) if name == "a"));
}

#[test]
fn arrays_and_objects_may_be_512_deep() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nest = |depth: usize| {
            let middle = if open == "[" { "" } else { "1" };
            [open.repeat(depth).as_str(), middle, &close.repeat(depth)].concat()
        };
        assert_eq!(json::check(nest(512).as_bytes()), Ok(()));
        let error = json::check(nest(513).as_bytes()).unwrap_err();
        assert!(matches!(error, DecodeError::TooDeep { limit: 512, .. }), "{error:?}");
    }
}

#[test]
fn data_is_checked_before_it_is_embedded() {
    for good in [&b"{}"[..], b" [1, 2] ", b"null", b"\"a\"", b"-0", b"1E+5"] {
        assert_eq!(json::check(good), Ok(()));
    }
    for bad in [
        &b""[..],
        b" ",
        b"{} {}",
        b"{},",
        b"\"\xff\"",
        b"\"a",
        b"+1",
        b"NaN",
        b"'a'",
        b"[1,]",
        b"{\"a\":1,}",
        b"\"\n\"",
    ] {
        assert!(json::check(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn protobuf_that_is_no_command_is_refused_with_the_place() {
    let wire = |at, number, wire_type| DecodeError::WireType { at, number, wire_type };
    for (frame, error) in [
        ("", DecodeError::Empty),
        ("01", FrameError::Truncated { have: 1 }.into()),
        ("80", FrameError::Truncated { have: 1 }.into()),
        ("03 08 01", FrameError::Truncated { have: 3 }.into()),
        ("ff ff ff ff 0f", FrameError::TooLarge { length: 0xffff_ffff, limit: 5 }.into()),
        ("80 00", DecodeError::Length(length_prefixed::Error::OverlongLength { bytes: 2 })),
        (
            "ff ff ff ff ff ff ff ff ff 7f",
            DecodeError::Length(length_prefixed::Error::OverflowingLength { last: 0x7f }),
        ),
        ("01 08", DecodeError::Truncated { at: 1 }),
        ("01 88", DecodeError::Truncated { at: 0 }),
        ("02 22 01", DecodeError::Truncated { at: 1 }),
        ("04 22 7f 0a 00", DecodeError::Truncated { at: 1 }),
        // A length of 2^64 - 1 inside, which must not wrap.
        ("0c 22 ff ff ff ff ff ff ff ff ff 01 00", DecodeError::Truncated { at: 1 }),
        ("0b 08 ff ff ff ff ff ff ff ff ff 02", DecodeError::Overflow { at: 1 }),
        // The token ends behind its request, but not behind the command.
        ("08 22 03 0a 02 'a' 08 01 00", DecodeError::Truncated { at: 3 }),
        ("02 00 00", DecodeError::FieldNumber { at: 0, number: 0 }),
        ("06 80 80 80 80 10 00", DecodeError::FieldNumber { at: 0, number: 1 << 29 }),
        ("03 0a 01 'a'", wire(1, 1, 2)),
        ("02 20 01", wire(1, 4, 0)),
        ("02 9b 01", wire(2, 19, 3)),
        ("02 9e 01", wire(2, 19, 6)),
        ("05 9d 01 00 00 00", DecodeError::Truncated { at: 2 }),
        ("05 22 03 0a 01 ff", DecodeError::NotUtf8),
        ("04 6a 00 3a 00", DecodeError::Several { field: "publish" }),
        ("04 22 00 22 00", DecodeError::Several { field: "connect" }),
    ] {
        assert_eq!(commands(Format::Protobuf, &bytes(frame)), Err(error), "{frame}");
    }
    assert_eq!(protobuf::connect_request(&bytes("1a 02 10 01")), Err(wire(3, 2, 0)));
}

#[test]
fn unusual_protobuf_is_read_as_it_is_meant() {
    let command = |frame: &str| commands(Format::Protobuf, &bytes(frame)).map(|commands| format!("{commands:?}"));
    let is = |command: Command<'_>| Ok(format!("{:?}", [command]));
    let empty = |id| Command { id, request: Request::Empty };
    // Fields that nobody knows, of each type.
    assert_eq!(command("18 98 06 01 99 06 01 02 03 04 05 06 07 08 9a 06 00 9d 06 01 02 03 04 08 05"), is(empty(5)));
    // The last number counts; it may be written with more bytes than it takes; high bits are lost.
    assert_eq!(command("04 08 01 08 02"), is(empty(2)));
    assert_eq!(command("03 08 81 00"), is(empty(1)));
    assert_eq!(command("06 08 83 80 80 80 10"), is(empty(3)));
    // A message that comes again adds to the first.
    let since = Some(StreamPosition { offset: 1, epoch: "e".into() });
    let history = Request::History(HistoryRequest { since, ..Default::default() });
    assert_eq!(command("0b 52 09 42 02 08 01 42 03 12 01 'e'"), is(Command { id: 0, request: history }));
    // An entry of a map: the value first, no key, no value.
    let sub = |name: &'static str, offset| (name.into(), SubscribeRequest { offset, ..Default::default() });
    let subs = vec![sub("a", 7), sub("", 7), sub("a", 0)];
    let request =
        protobuf::connect_request(b"\x1a\x07\x12\x02\x38\x07\x0a\x01a\x1a\x04\x12\x02\x38\x07\x1a\x03\x0a\x01a");
    assert_eq!(request, Ok(ConnectRequest { subs, ..Default::default() }));
}
