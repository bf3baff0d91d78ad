//! Fragments, and what may stand between them (RFC 6455 §5.4).

use gannet_proto::ws::{Opcode, State, WebSocket};
use gannet_proto::{Codec, Decoded};

use super::*;
use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};

#[test]
fn fragments_make_one_message() {
    let stream = frames(&[(Text, false, b"Hel"), (Continuation, false, b""), (Continuation, true, b"lo")]);
    assert_eq!(good(&stream), [text("Hello")]);
    let stream = frames(&[(Binary, false, b""), (Continuation, false, b""), (Continuation, true, b"")]);
    assert_eq!(good(&[stream.clone(), stream].concat()), [Owned::Binary(vec![]), Owned::Binary(vec![])]);
}

#[test]
fn messages_after_a_fragmented_one_arrive() {
    let parts: [(Opcode, bool, &[u8]); 6] = [
        (Text, false, b"one, "),
        (Continuation, true, b"two"),
        (Binary, true, b"three"),
        (Binary, false, b"fo"),
        (Continuation, true, b"ur"),
        (Text, true, b"five"),
    ];
    let expected = [text("one, two"), Owned::Binary(b"three".into()), Owned::Binary(b"four".into()), text("five")];
    assert_eq!(good(&frames(&parts)), expected);
}

#[test]
fn control_frames_between_fragments_come_at_once() {
    let parts: [(Opcode, bool, &[u8]); 5] = [
        (Text, false, b"frag"),
        (Ping, true, b"1"),
        (Continuation, false, b"men"),
        (Pong, true, b"2"),
        (Continuation, true, b"ts"),
    ];
    let expected = [Owned::Ping(b"1".into()), Owned::Pong(b"2".into()), text("fragments")];
    assert_eq!(good(&frames(&parts)), expected);
    // Without the end of the message.
    assert_eq!(good(&frames(&parts[..2])), expected[..1]);
    assert_eq!(good(&frames(&parts[..4])), expected[..2]);
}

#[test]
fn a_close_frame_between_fragments_ends_the_message_too() {
    let parts: [(Opcode, bool, &[u8]); 3] = [(Text, false, b"x"), (Close, true, b""), (Continuation, true, b"y")];
    assert_eq!(good(&frames(&parts)), [Owned::Close(None)]);
}

#[test]
fn a_control_frame_cannot_be_a_fragment() {
    for opcode in [Ping, Pong, Close] {
        assert_eq!(bad(&frame(opcode, false, b"")), (vec![], 1002));
    }
}

#[test]
fn a_continuation_needs_a_message() {
    for last in [false, true] {
        assert_eq!(bad(&frame(Continuation, last, b"x")), (vec![], 1002));
        let stream = frames(&[(Text, false, b"a"), (Continuation, true, b"b"), (Continuation, last, b"c")]);
        assert_eq!(bad(&stream), (vec![text("ab")], 1002));
        assert_eq!(bad(&frames(&[(Text, true, b"a"), (Continuation, last, b"c")])), (vec![text("a")], 1002));
    }
}

#[test]
fn a_message_cannot_begin_inside_of_another() {
    for opcode in [Text, Binary] {
        for last in [false, true] {
            assert_eq!(bad(&frames(&[(Text, false, b"a"), (opcode, last, b"b")])), (vec![], 1002));
        }
    }
}

#[test]
fn a_connection_holds_memory_only_while_a_message_is_under_way() {
    let codec = WebSocket::server();
    let mut state = State::default();
    let idle = format!("{state:?}");
    let mut stream = frames(&[(Text, false, b"Hel"), (Continuation, true, b"lo"), (Binary, true, b"next")]);
    let (mut start, mut seen) = (0, Vec::new());
    while start < stream.len() {
        match codec.decode(&mut state, &mut stream[start..]).unwrap() {
            Decoded::Message { message, consumed } => {
                seen.push(owned(message));
                start += consumed;
            }
            Decoded::Taken { consumed } => start += consumed,
            other => unreachable!("the stream is whole: {other:?}"),
        }
    }
    assert_eq!(seen, [text("Hello"), Owned::Binary(b"next".into())]);
    assert_eq!(format!("{state:?}"), idle);
    assert!(size_of::<State>() <= 24);
}
