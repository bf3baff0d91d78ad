//! What both sides see that talk in frames with identifiers.

use gannet_proto::multiplexed::{Error, Kind, Multiplexed, Outgoing};
use gannet_proto::testing::{Check, encoded};
use gannet_proto::{Codec, FrameError};

const ALL: [Kind; 6] = [Kind::Request, Kind::Cancel, Kind::Reply, Kind::Failed, Kind::TimedOut, Kind::Cancelled];

type Seen = (Kind, u32, Vec<u8>);

fn check(codec: &Multiplexed, stream: &[u8]) -> (Vec<Seen>, Option<Error>) {
    let outcome = Check::new(codec).run(stream, |frame| (frame.kind, frame.id, frame.body.to_vec()));
    (outcome.messages, outcome.error)
}

#[test]
fn frames_of_every_kind_come_whole_wherever_the_stream_is_cut() {
    let codec = Multiplexed::new();
    let (mut stream, mut sent) = (Vec::new(), Vec::new());
    for (index, kind) in ALL.into_iter().enumerate() {
        let (id, body) = (u32::MAX - index as u32, vec![kind as u8; index * 7]);
        codec.encode(Outgoing { kind, id, parts: &[&body, b"", b"end"] }, &mut stream).expect("it is small");
        sent.push((kind, id, [&body[..], b"end"].concat()));
    }
    assert_eq!(check(&codec, &stream), (sent, None));
}

#[test]
fn the_wire_has_a_length_a_kind_an_identifier_and_the_body() {
    let bytes = encoded(&Multiplexed::new(), Outgoing { kind: Kind::Cancelled, id: 0x0102_0304, parts: &[] });
    assert_eq!(bytes.expect("it is small"), b"\0\0\0\x05\x84\x01\x02\x03\x04");
}

#[test]
fn what_is_no_frame_is_refused_and_said() {
    let codec = Multiplexed::new().limit(3);
    assert_eq!(check(&codec, b"\0\0\0\x04\x01\0\0\0").1, Some(Error::Short { length: 4 }));
    assert_eq!(check(&codec, b"\0\0\0\x05\x03\0\0\0\0").1, Some(Error::UnknownKind { kind: 3 }));
    let (seen, error) = check(&codec, b"\0\0\0\x08\x01\0\0\0\x01abc\0\0\0\x09\x01\0\0\0\x01abcd");
    assert_eq!(seen, [(Kind::Request, 1, b"abc".to_vec())]);
    let error = error.expect("it is over the limit");
    assert_eq!(FrameError::find(&error), Some(&FrameError::TooLarge { length: 9, limit: 8 }));
    let error = check(&codec, b"\0\0\0\x05\x01").1.expect("it is cut off");
    assert_eq!(FrameError::find(&error), Some(&FrameError::Truncated { have: 5 }));
}
