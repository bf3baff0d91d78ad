//! Any bytes, cut anywhere, are the same commands; commands are what they were when they are encoded again, and the
//! codec keeps its contract on the way.

#![no_main]

use gannet_proto::Codec;
use gannet_proto::resp::{Args, Commands, Error, Replies};
use gannet_proto::testing::{Patience, feed, is_same_error, pieces};
use libfuzzer_sys::fuzz_target;

/// Whether the limits are narrow, the cuts, the stream.
type Input = (bool, Vec<u16>, Vec<u8>);

fuzz_target!(|input: Input| {
    let (narrow, cuts, stream) = input;
    let commands = match narrow {
        true => Commands::new().max_bulk(9).max_args(4).max_inline(20).max_total(40),
        false => Commands::new(),
    };

    let whole = feed(&commands, Patience::Waits, [&stream[..]], words);
    for words in &whole.messages {
        let parts: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut again = Vec::new();
        Replies::new().encode(&parts, &mut again).expect("it never fails");
        let again = feed(&Commands::new(), Patience::Waits, [&again[..]], crate::words);
        assert_eq!(&again.messages, std::slice::from_ref(words));
    }

    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(&stream, &cuts), stream.chunks(1).collect()] {
            let cut = feed(&commands, patience, chunks, words);
            assert_eq!(cut.messages, whole.messages);
            assert!(is_same(&cut.error, &whole.error), "{:?} and not {:?}", cut.error, whole.error);
            // The limit on all of it, or that on a line.
            assert!(!narrow || cut.largest_need <= 40 + 64 * 1024 + 2);
        }
    }
});

fn words(args: Args<'_>) -> Vec<Vec<u8>> {
    args.iter().map(|word| word.to_vec()).collect()
}

/// Whether two errors say the same: how much was seen depends on the cuts.
fn is_same(one: &Option<Error>, other: &Option<Error>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => is_same_error(one, other),
        _ => one.is_none() == other.is_none(),
    }
}
