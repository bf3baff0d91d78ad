//! What a peer cannot do: be held for more than the limits, or make a reader panic.

use gannet_proto::ws::{Opcode, WebSocket};
use proptest::prelude::*;

use super::*;
use Opcode::{Binary, Continuation, Ping};

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    let codec = WebSocket::server().max_frame(200);
    let at_limit = frame(Binary, true, &[1; 200]);
    assert_eq!(read(&codec, &at_limit).messages, [Owned::Binary(vec![1; 200])]);
    let outcome = read(&codec, &[0x82, 0xfe, 0, 201]);
    assert_eq!(outcome.error, Some(Error::Frame(FrameError::TooLarge { length: 201, limit: 200 })));
    let outcome = read(&codec, &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(outcome.error, Some(Error::Frame(FrameError::TooLarge { length: i64::MAX as u64, limit: 200 })));
    assert_eq!(outcome.error.unwrap().close_code(), CloseCode::TOO_LARGE);
}

#[test]
fn a_message_over_the_limit_is_refused_by_the_header_of_the_fragment_that_is_too_much() {
    let codec = WebSocket::server().max_message(10);
    let stream = frames(&[(Binary, false, &[1; 6]), (Ping, true, &[2; 100]), (Continuation, true, &[1; 4])]);
    assert_eq!(read(&codec, &stream).messages, [Owned::Ping(vec![2; 100]), Owned::Binary(vec![1; 10])]);
    let stream = [frames(&[(Binary, false, &[1; 6]), (Continuation, false, &[1; 4])]), vec![0x80, 0x81]].concat();
    assert_eq!(read(&codec, &stream).error, Some(Error::Frame(FrameError::TooLarge { length: 11, limit: 10 })));
    assert_eq!(read(&codec, &[0x82, 0x8b]).error, Some(Error::Frame(FrameError::TooLarge { length: 11, limit: 10 })));
}

#[test]
fn a_megabyte_is_the_limit_by_default() {
    let codec = WebSocket::server();
    let at_limit = [&[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0][..], &vec![0; 1 << 20]].concat();
    let outcome = feed(&codec, Patience::Waits, at_limit.chunks(4096), owned);
    assert_eq!((outcome.error, outcome.messages.len(), outcome.largest_need), (None, 1, (1 << 20) + 14));
    assert_eq!(bad(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1]), (vec![], 1009));
}

proptest! {
    #[test]
    fn garbage_never_panics_and_means_the_same_however_it_is_cut(
        stream in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec(any::<u16>(), 0..10),
        client: bool,
    ) {
        same_however_cut(client, &stream, &cuts)?;
    }

    #[test]
    fn frames_of_any_kind_in_any_order_mean_the_same_however_they_are_cut(
        parts in proptest::collection::vec((0x70_u8..=0xff, 0_u8..16, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
        cuts in proptest::collection::vec(any::<u16>(), 0..10),
        client: bool,
    ) {
        // Mostly good first bytes, and always good lengths.
        let mut stream = Vec::new();
        for (bits, opcode, payload) in parts {
            let opcode = if bits < 0xf0 { [0, 1, 2, 8, 9, 10][usize::from(opcode) % 6] } else { opcode };
            let bits = if bits > 0xe0 { bits & 0xf0 } else { bits & 0x80 };
            stream.extend([bits | opcode, if client { 0 } else { 0x80 } | payload.len() as u8]);
            stream.extend(if client { &[][..] } else { &[0; 4] });
            stream.extend(payload);
        }
        same_however_cut(client, &stream, &cuts)?;
    }
}

fn same_however_cut(client: bool, stream: &[u8], cuts: &[u16]) -> Result<(), TestCaseError> {
    let codec = if client { WebSocket::client() } else { WebSocket::server() }.max_frame(100).max_message(150);
    let whole = feed(&codec, Patience::Waits, [stream], owned);
    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(stream, cuts), stream.chunks(1).collect()] {
            let cut = feed(&codec, patience, chunks, owned);
            prop_assert_eq!(&cut.messages, &whole.messages);
            prop_assert_eq!(&cut.error, &whole.error);
            // The largest frame is a control frame, and there are up to 8 bytes before a payload of that size.
            prop_assert!(cut.largest_need <= 125 + 8);
        }
    }
    Ok(())
}
