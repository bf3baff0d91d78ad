//! Any bytes, cut anywhere, are the same replies, and the codec keeps its contract on the way.

#![no_main]

#[path = "../../crates/gannet-proto/tests/feed/mod.rs"]
mod feed;

use feed::{Patience, feed, pieces};
use gannet_proto::DecodeError;
use gannet_proto::resp::{Replies, Value};
use libfuzzer_sys::fuzz_target;

/// Whether the limits are narrow, the cuts, the stream.
type Input = (bool, Vec<u16>, Vec<u8>);

fuzz_target!(|input: Input| {
    let (narrow, cuts, stream) = input;
    let replies = match narrow {
        true => Replies::new().max_bulk(9).max_line(9).max_elements(6).max_depth(2).max_total(60),
        false => Replies::new(),
    };

    let whole = feed(&replies, Patience::Waits, [&stream[..]], shown);
    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(&stream, &cuts), stream.chunks(1).collect()] {
            let cut = feed(&replies, patience, chunks, shown);
            assert_eq!(cut.messages, whole.messages);
            match (&cut.error, &whole.error) {
                // How much was seen when it was refused depends on the cuts.
                (Some(DecodeError::TooLarge { limit: a, .. }), Some(DecodeError::TooLarge { limit: b, .. })) => {
                    assert_eq!(a, b);
                }
                (cut, whole) => assert_eq!(cut, whole),
            }
            // The limit on all of it, and the longest line with its type and its ending.
            assert!(!narrow || cut.largest_need <= 60 + 23);
        }
    }
});

/// Replies are compared as they print, since a double may differ from itself.
fn shown(value: Value<'_>) -> String {
    format!("{value:?}")
}
