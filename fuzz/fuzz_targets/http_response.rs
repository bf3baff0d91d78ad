//! Any bytes, cut anywhere, are the same responses, and the codec keeps its contract on the way.

#![no_main]

#[path = "../../crates/gannet-proto/tests/feed/mod.rs"]
mod feed;

use feed::{Patience, feed, pieces};
use gannet_proto::DecodeError;
use gannet_proto::http::{Reply, Responses};
use libfuzzer_sys::fuzz_target;

/// Whether the limits are narrow, whether the requests were `HEAD`, the cuts, the stream.
type Input = (bool, bool, Vec<u16>, Vec<u8>);

fuzz_target!(|input: Input| {
    let (narrow, to_head, cuts, stream) = input;
    let responses = if narrow { Responses::new().max_head(80).max_body(40) } else { Responses::new() };
    let responses = if to_head { responses.to_head() } else { responses };

    let whole = feed(&responses, Patience::Waits, [&stream[..]], shown);
    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(&stream, &cuts), stream.chunks(1).collect()] {
            let cut = feed(&responses, patience, chunks, shown);
            assert_eq!(cut.messages, whole.messages);
            match (&cut.error, &whole.error) {
                // Chunks may have been joined, or not yet.
                (Some(DecodeError::Truncated { .. }), Some(DecodeError::Truncated { .. })) => (),
                (cut, whole) => assert_eq!(cut, whole),
            }
            assert!(cut.largest_need <= responses.largest());
        }
    }
});

/// Everything that a message says.
fn shown(reply: Reply<'_>) -> (String, Vec<u8>) {
    let fields: Vec<(&str, &[u8])> = reply.headers().collect();
    (format!("{} {:?} {} {fields:?}", reply.status, reply.version, reply.keep_alive()), reply.body.to_vec())
}
