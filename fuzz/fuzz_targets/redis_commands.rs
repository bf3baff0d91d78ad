//! Whatever commands a client sends to the store, none panics, every answer is one whole reply, an error has its code in
//! front, and what is counted is what there is.

#![no_main]

use gannet_redis::trial::{Trial, all};
use libfuzzer_sys::fuzz_target;

/// Larger strings are refused, so that a single command cannot take much memory.
const LARGEST_BYTES: usize = 64 << 10;

/// Commands, each with its database and with how many milliseconds pass before it. One is named by its number among all
/// there are, so that few inputs are commands that there are not; what has no such number is a stream of whole commands.
type Input = Vec<(u8, u16, u8, Vec<Vec<u8>>)>;

fuzz_target!(|input: Input| {
    let mut trial = Trial { max_bulk: LARGEST_BYTES, ..Trial::default() };
    for (db, ms, command, words) in input {
        trial.db = db % 16;
        trial.now_ms += u64::from(ms);
        match all().nth(command.into()) {
            Some(command) => {
                let name = [command.name.as_bytes()];
                trial.question(&name.into_iter().chain(words.iter().map(Vec::as_slice)).collect::<Vec<_>>());
            }
            None => trial.feed(&words.concat()),
        }
    }
    trial.check_counts();
});
