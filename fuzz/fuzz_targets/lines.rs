//! Any bytes, cut anywhere, are the same lines, and the codec keeps its contract on the way.

#![no_main]

use gannet_proto::Lines;
use gannet_proto::testing::{Patience, feed, pieces};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<u16>, Vec<u8>)| {
    let (limit, cuts, stream) = input;
    let limit = usize::from(limit);
    let lines = Lines::new().limit(limit);

    let whole = feed(&lines, Patience::Waits, [&stream[..]], <[u8]>::to_vec);
    for message in &whole.messages {
        assert!(message.len() <= limit);
        assert!(!message.contains(&b'\n'));
    }

    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(&stream, &cuts), stream.chunks(1).collect()] {
            let cut = feed(&lines, patience, chunks, <[u8]>::to_vec);
            assert_eq!(cut.messages, whole.messages);
            // How much of a line was seen when it was refused depends on the cuts; that it was
            // refused does not.
            assert_eq!(cut.error.is_some(), whole.error.is_some());
            assert!(cut.largest_need <= limit + 2);
        }
    }
});
