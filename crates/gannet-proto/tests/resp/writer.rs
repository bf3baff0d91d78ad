//! Replies as a server writes them.

use gannet_proto::resp::{Commands, Replies, Reply, Value, Version, Writer};
use gannet_proto::{Codec, Sink};
use proptest::prelude::*;

use super::trees::{self, Tree};
use super::{check_cuts, replies};

/// What `write` writes, in RESP2 and in RESP3.
fn written(write: impl Fn(&mut Writer<Vec<u8>>)) -> [String; 2] {
    [Version::Resp2, Version::Resp3].map(|version| {
        let mut writer = Writer::new(Vec::new(), version);
        write(&mut writer);
        String::from_utf8(writer.into_inner()).expect("only text is written here")
    })
}

fn same(text: &str) -> [String; 2] {
    [text.to_owned(), text.to_owned()]
}

#[test]
fn values_of_resp2_are_the_same_in_resp3() {
    assert_eq!(written(Writer::ok), same("+OK\r\n"));
    assert_eq!(written(|writer| writer.simple("PONG")), same("+PONG\r\n"));
    assert_eq!(written(|writer| writer.error("ERR no")), same("-ERR no\r\n"));
    assert_eq!(written(|writer| writer.integer(0)), same(":0\r\n"));
    assert_eq!(written(|writer| writer.integer(i64::MIN)), same(":-9223372036854775808\r\n"));
    assert_eq!(written(|writer| writer.integer(i64::MAX)), same(":9223372036854775807\r\n"));
    assert_eq!(written(|writer| writer.bulk(b"a\r\nb")), same("$4\r\na\r\nb\r\n"));
    assert_eq!(written(|writer| writer.bulk(b"")), same("$0\r\n\r\n"));
    assert_eq!(written(|writer| writer.array(10)), same("*10\r\n"));
}

#[test]
fn values_of_resp3_become_what_redis_makes_of_them_in_resp2() {
    let both = |resp2: &str, resp3: &str| [resp2.to_owned(), resp3.to_owned()];
    assert_eq!(written(Writer::null), both("$-1\r\n", "_\r\n"));
    assert_eq!(written(Writer::null_array), both("*-1\r\n", "_\r\n"));
    assert_eq!(written(|writer| writer.map(2)), both("*4\r\n", "%2\r\n"));
    assert_eq!(written(|writer| writer.set(2)), both("*2\r\n", "~2\r\n"));
    assert_eq!(written(|writer| writer.push(3)), both("*3\r\n", ">3\r\n"));
    assert_eq!(written(|writer| writer.boolean(true)), both(":1\r\n", "#t\r\n"));
    assert_eq!(written(|writer| writer.boolean(false)), both(":0\r\n", "#f\r\n"));
    assert_eq!(written(|writer| writer.double(1.5)), both("$3\r\n1.5\r\n", ",1.5\r\n"));
    assert_eq!(written(|writer| writer.big_number("-12")), both("$3\r\n-12\r\n", "(-12\r\n"));
    assert_eq!(written(|writer| writer.verbatim(b"txt", b"hi")), both("$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"));
}

#[test]
fn attributes_are_left_out_in_resp2() {
    let write = |writer: &mut Writer<Vec<u8>>| {
        if writer.attribute(1) {
            writer.simple("ttl");
            writer.integer(60);
        }
        writer.ok();
    };
    assert_eq!(written(write), ["+OK\r\n", "|1\r\n+ttl\r\n:60\r\n+OK\r\n"]);
}

#[test]
fn a_line_stays_one_line() {
    assert_eq!(written(|writer| writer.error("ERR a\r\nb\n")), same("-ERR a  b \r\n"));
    assert_eq!(written(|writer| writer.simple("\ra")), same("+ a\r\n"));
    assert_eq!(written(|writer| writer.big_number("1\n2"))[1], "(1 2\r\n");
}

#[test]
fn doubles_are_short_and_exact() {
    let double = |value| written(|writer| writer.double(value))[1].clone();
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (10.0, "10"),
        (0.1, "0.1"),
        (-2.5, "-2.5"),
        (1e16, "10000000000000000"),
        (1e300, "1e300"),
        (-1.5e-7, "-1.5e-7"),
        (f64::MAX, "1.7976931348623157e308"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        assert_eq!(double(value), format!(",{text}\r\n"));
    }
}

#[test]
fn the_version_can_change_between_replies() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, Version::default());
    writer.null();
    writer.set_version(Version::Resp3);
    assert_eq!(writer.version(), Version::Resp3);
    writer.null();
    writer.get_mut().put(b"+raw\r\n");
    assert_eq!(writer.get_ref().len(), 14);
    assert_eq!(bytes, b"$-1\r\n_\r\n+raw\r\n");
}

#[test]
fn attributes_are_left_out_where_the_client_knows_none() {
    let pairs = vec![(Value::Simple(b"ttl"), Value::Integer(3))];
    let value = Value::Attribute { pairs, value: Box::new(Value::Bulk(b"x")) };
    let [resp2, resp3] = written(|writer| writer.value(&value));
    assert_eq!(resp2, "$1\r\nx\r\n");
    assert_eq!(resp3, "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n");
}

#[test]
fn a_line_break_in_a_value_does_not_end_its_line() {
    let [resp2, resp3] = written(|writer| writer.value(&Value::Error(b"ERR a\r\n+OK")));
    assert_eq!((resp2.as_str(), resp3.as_str()), ("-ERR a  +OK\r\n", "-ERR a  +OK\r\n"));
}

proptest! {
    #[test]
    fn a_value_is_written_as_its_parts_are(tree in trees::resp3_and_pushes()) {
        let mut parts = Writer::new(Vec::new(), Version::Resp3);
        tree.write(&mut parts);
        let mut out = Vec::new();
        prop_assert_eq!(Commands::new().encode(Reply::Value(Version::Resp3, tree.value()), &mut out), Ok(()));
        prop_assert_eq!(out, parts.into_inner());

        let mut parts = Writer::new(Vec::new(), Version::Resp2);
        tree.write(&mut parts);
        let mut out = Vec::new();
        prop_assert_eq!(Commands::new().encode(tree.value().into(), &mut out), Ok(()));
        // What is nothing may stand where an array could be, which a value does not say.
        let [out, parts] = [out, parts.into_inner()].map(|bytes| replies(&Replies::new(), &bytes).messages);
        prop_assert_eq!(out, parts);
    }

    #[test]
    fn what_was_written_is_read(
        trees in prop::collection::vec(trees::resp3_and_pushes(), 0..4),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let mut writer = Writer::new(Vec::new(), Version::Resp3);
        trees.iter().for_each(|tree| tree.write(&mut writer));
        let stream = writer.into_inner();
        let outcome = replies(&Replies::new(), &stream);
        prop_assert_eq!(outcome.error, None);
        let expected: Vec<String> = trees.iter().map(|tree| format!("{:?}", tree.value())).collect();
        prop_assert_eq!(outcome.messages, expected);
        check_cuts(&Replies::new(), &stream, &cuts, |value| format!("{value:?}"));
    }

    #[test]
    fn any_double_is_read_as_it_was_written(value in any::<f64>()) {
        let [resp2, resp3] = written(|writer| Tree::Double(value).write(writer));
        prop_assert_eq!(replies(&Replies::new(), resp3.as_bytes()).messages, [format!("Double({value:?})")]);
        let text = resp2.split("\r\n").nth(1).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_string(), value.to_string());
    }
}
