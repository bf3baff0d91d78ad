//! The end of a connection (RFC 6455 §5.5.1, §7.4).

use gannet_proto::ws::{self, Close, CloseCode, Opcode, WebSocket};

use super::*;

fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(Opcode::Close, true, &[&code.to_be_bytes(), reason].concat())
}

#[test]
fn a_close_frame_may_say_nothing_a_code_or_a_code_and_a_reason() {
    assert_eq!(good(&frame(Opcode::Close, true, b"")), [Owned::Close(None)]);
    assert_eq!(good(&closing(1000, b"")), [Owned::Close(Some((1000, String::new())))]);
    let reason = "*".repeat(123);
    assert_eq!(good(&closing(1001, reason.as_bytes())), [Owned::Close(Some((1001, reason)))]);
}

#[test]
fn half_a_code_is_refused() {
    assert_eq!(bad(&frame(Opcode::Close, true, b"\x03")), (vec![], 1002));
}

#[test]
fn codes_that_may_be_sent_are_read() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        assert_eq!(good(&closing(code, b"ok")), [Owned::Close(Some((code, "ok".into())))]);
        assert_eq!(CloseCode::new(code).map(CloseCode::get), Some(code));
    }
}

#[test]
fn codes_that_must_not_be_sent_are_refused() {
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        assert_eq!(bad(&closing(code, b"")), (vec![], 1002), "{code}");
        assert_eq!(CloseCode::new(code), None);
    }
}

#[test]
fn a_reason_that_is_not_text_is_refused() {
    assert_eq!(bad(&closing(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80")), (vec![], 1007));
    assert_eq!(bad(&closing(1000, b"\xe2\x82")), (vec![], 1007));
}

#[test]
fn nothing_after_a_close_frame_is_looked_at() {
    let close = closing(1000, b"");
    let after: [&[u8]; 4] =
        [&frame(Opcode::Text, true, b"x"), &frame(Opcode::Ping, true, b""), &close, b"\xff\xff\xff"];
    for after in after {
        assert_eq!(good(&[&close, after].concat()), [Owned::Close(Some((1000, String::new())))]);
    }
}

#[test]
fn what_is_written_is_read() {
    let mut out = Vec::new();
    ws::close(&mut out, Some(Close { code: CloseCode::TRY_AGAIN, reason: "später" }), None).unwrap();
    assert_eq!(read(&WebSocket::client(), &out).messages, [Owned::Close(Some((1013, "später".into())))]);
    let mut out = Vec::new();
    ws::close(&mut out, None, Some(KEY)).unwrap();
    assert_eq!(good(&out), [Owned::Close(None)]);
}
