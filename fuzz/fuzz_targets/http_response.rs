//! Any bytes, cut anywhere, are the same responses, and the codec keeps its contract on the way.

#![no_main]

use gannet_proto::http::{Error, Reply, Responses};
use gannet_proto::testing::{Patience, feed, is_same_error, pieces};
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
            assert!(is_same(&cut.error, &whole.error), "{:?} and not {:?}", cut.error, whole.error);
            assert!(cut.largest_need <= responses.largest());
        }
    }
});

/// Everything that a message says.
fn shown(reply: Reply<'_>) -> (String, Vec<u8>) {
    let fields: Vec<(&str, &[u8])> = reply.headers().collect();
    (format!("{} {:?} {} {fields:?}", reply.status, reply.version, reply.keep_alive()), reply.body.to_vec())
}

/// Whether two errors say the same: how much was seen depends on the cuts.
fn is_same(one: &Option<Error>, other: &Option<Error>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => is_same_error(one, other),
        _ => one.is_none() == other.is_none(),
    }
}
