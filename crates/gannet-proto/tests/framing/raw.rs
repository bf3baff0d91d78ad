//! What a service sees that takes chunks as they come.

use gannet_proto::testing::{Patience, feed, pieces};
use gannet_proto::{Codec, Decoded, Raw};
use proptest::prelude::*;

#[test]
fn a_chunk_is_a_message() {
    let mut chunk = [1, 2, 3];
    let decoded = Raw.decode(&mut (), &mut chunk);
    assert_eq!(decoded, Ok(Decoded::Message { message: &[1, 2, 3][..], consumed: 3 }));
}

#[test]
fn nothing_is_no_message() {
    let decoded = Raw.decode(&mut (), &mut []);
    assert_eq!(decoded, Ok(Decoded::Partial { need: 1 }));
}

#[test]
fn what_is_left_at_the_end_is_the_last_message() {
    assert_eq!(Raw.finish(&mut (), &mut [7]), Ok(Some(&[7][..])));
}

#[test]
fn a_payload_is_sent_as_it_is() {
    const { assert!(Raw::TRANSPARENT) };
    let mut out = b"before ".to_vec();
    assert_eq!(Raw.encode(&[b"a", b"", b"\r\nb"], &mut out), Ok(()));
    assert_eq!(out, b"before a\r\nb");
}

proptest! {
    #[test]
    fn every_chunk_arrives_as_it_was_cut(
        stream in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(any::<u16>(), 0..8),
    ) {
        let mut chunks = pieces(&stream, &cuts);
        for patience in [Patience::Waits, Patience::Asks] {
            let outcome = feed(&Raw, patience, chunks.iter().copied(), <[u8]>::to_vec);
            prop_assert_eq!(outcome.error, None);
            prop_assert_eq!(outcome.largest_need, 0);
            chunks.retain(|chunk| !chunk.is_empty());
            prop_assert_eq!(outcome.messages, chunks.clone());
        }
    }
}
