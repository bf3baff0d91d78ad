//! What a server sees of Redis clients, and a client of servers.

mod commands;
mod inline;
mod oracle;
mod replies;
mod trees;
mod writer;

use gannet_proto::Codec;
use gannet_proto::resp::{Args, Commands, Error, Replies};
use gannet_proto::testing::{Check, Outcome, Patience, feed};

/// A command's words.
type Words = Vec<Vec<u8>>;

fn words(args: Args<'_>) -> Words {
    args.iter().map(|word| word.to_vec()).collect()
}

fn commands(codec: &Commands, stream: &[u8]) -> Outcome<Words, Error> {
    feed(codec, Patience::Waits, [stream], words)
}

/// The replies in `stream`, as they print.
fn replies(codec: &Replies, stream: &[u8]) -> Outcome<String, Error> {
    feed(codec, Patience::Waits, [stream], |value| format!("{value:?}"))
}

/// Checks that `stream` means the same however it is cut.
fn check_cuts<C: Codec, T: PartialEq + std::fmt::Debug>(
    codec: &C,
    stream: &[u8],
    cuts: &[u16],
    keep: impl for<'a> Fn(C::Message<'a>) -> T + Copy,
) {
    let seed = cuts.iter().fold(0, |seed, &cut| seed << 8 ^ u64::from(cut));
    let _ = Check::new(codec).splits(200).seed(seed).run(stream, keep);
}
