//! Text is UTF-8 (RFC 6455 §8.1).

use gannet_proto::ws::{Opcode, WebSocket};

use super::*;
use Opcode::{Binary, Continuation, Text};

const TEXTS: [&str; 7] =
    ["", "\0", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\u{7f}\u{80}\u{7ff}\u{800}", "\u{fffd}\u{ffff}\u{10ffff}", "𠜎𠜱𠝹"];

const NOT_TEXTS: [&[u8]; 10] = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\xbf\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf8\x87\xbf\xbf\xbf",
    b"\xfe\xff",
    b"\xed\xaf\xbf\xed\xbf\xbf",
    b"\xce",
];

#[test]
fn text_arrives_in_one_frame_and_cut_into_fragments_anywhere() {
    for expected in TEXTS {
        let bytes = expected.as_bytes();
        assert_eq!(good(&frame(Text, true, bytes)), [text(expected)]);
        for cut in 0..=bytes.len() {
            let stream = frames(&[(Text, false, &bytes[..cut]), (Continuation, true, &bytes[cut..])]);
            assert_eq!(good(&stream), [text(expected)], "cut at {cut}");
        }
        let mut stream = frame(Text, false, b"");
        bytes.iter().for_each(|&byte| stream.extend(frame(Continuation, false, &[byte])));
        stream.extend(frame(Continuation, true, b""));
        assert_eq!(good(&stream), [text(expected)]);
    }
}

#[test]
fn what_is_not_text_is_refused_in_one_frame_and_in_fragments() {
    for bytes in NOT_TEXTS {
        assert_eq!(bad(&frame(Text, true, bytes)), (vec![], 1007), "{bytes:x?}");
        for cut in 0..=bytes.len() {
            let stream = frames(&[(Text, false, &bytes[..cut]), (Continuation, true, &bytes[cut..])]);
            assert_eq!(bad(&stream), (vec![], 1007), "{bytes:x?} cut at {cut}");
        }
        assert_eq!(good(&frame(Binary, true, bytes)), [Owned::Binary(bytes.into())]);
    }
}

#[test]
fn a_fragment_that_no_other_could_complete_is_refused_at_once() {
    assert_eq!(bad(&frame(Text, false, b"\xce\xba\xed\xa0")), (vec![], 1007));
    assert_eq!(bad(&frames(&[(Text, false, b"\xf4"), (Continuation, false, b"\x90")])), (vec![], 1007));
}

#[test]
fn a_message_after_a_cut_character_begins_anew() {
    let stream = frames(&[(Text, false, b"\xce"), (Continuation, true, b"\xba"), (Text, true, b"ok")]);
    assert_eq!(good(&stream), [text("κ"), text("ok")]);
    assert_eq!(read(&WebSocket::client(), b"\x81\x01\xce").messages, []);
}
