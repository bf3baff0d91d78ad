//! Any bytes, cut anywhere, are the same replies, and the codec keeps its contract on the way.

#![no_main]

use gannet_proto::resp::{Error, Replies, Value};
use gannet_proto::testing::{Patience, feed, is_same_error, pieces};
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
            assert!(is_same(&cut.error, &whole.error), "{:?} and not {:?}", cut.error, whole.error);
            // The limit on all of it, and the longest line with its type and its ending.
            assert!(!narrow || cut.largest_need <= 60 + 23);
        }
    }
});

/// Replies are compared as they print, since a double may differ from itself.
fn shown(value: Value<'_>) -> String {
    format!("{value:?}")
}

/// Whether two errors say the same: how much was seen depends on the cuts.
fn is_same(one: &Option<Error>, other: &Option<Error>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => is_same_error(one, other),
        _ => one.is_none() == other.is_none(),
    }
}
