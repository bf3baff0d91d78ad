//! Whatever commands a client sends to the store, none panics, every answer is one whole reply, an error has its code in
//! front, and what is counted is what there is.

#![no_main]

use gannet_redis::command::trial::Trial;
use libfuzzer_sys::fuzz_target;

/// Larger strings are refused, so that a single command cannot take much memory.
const LARGEST_BYTES: usize = 64 << 10;

/// Streams of commands, each with its database and with how many milliseconds pass before it.
type Input = Vec<(u8, u16, Vec<u8>)>;

fuzz_target!(|input: Input| {
    let mut trial = Trial { max_bulk: LARGEST_BYTES, ..Trial::default() };
    for (db, ms, stream) in input {
        trial.db = db % 16;
        trial.now_ms += u64::from(ms);
        trial.feed(&stream);
    }
    trial.check_counts();
});
