//! What a server sees of Redis clients, and a client of servers.

#[path = "../feed/mod.rs"]
mod feed;

mod commands;
mod inline;
mod oracle;
mod replies;
mod trees;
mod writer;

use feed::{Outcome, Patience, feed, pieces};
use gannet_proto::resp::{Args, Commands, Replies};
use gannet_proto::{Codec, DecodeError};

const BOTH: [Patience; 2] = [Patience::Waits, Patience::Asks];

/// A command's words.
type Words = Vec<Vec<u8>>;

fn words(args: Args<'_>) -> Words {
    args.iter().map(|word| word.to_vec()).collect()
}

fn commands(codec: &Commands, stream: &[u8]) -> Outcome<Words> {
    feed(codec, Patience::Waits, [stream], words)
}

/// The replies in `stream`, as they print.
fn replies(codec: &Replies, stream: &[u8]) -> Outcome<String> {
    feed(codec, Patience::Waits, [stream], |value| format!("{value:?}"))
}

/// Checks that `stream` means the same however it is cut.
fn check_cuts<C: Codec, T: PartialEq + std::fmt::Debug>(
    codec: &C,
    stream: &[u8],
    cuts: &[u16],
    keep: impl for<'a> Fn(C::Message<'a>) -> T + Copy,
) {
    let whole = feed(codec, Patience::Waits, [stream], keep);
    let check = |chunks: Vec<&[u8]>| {
        for patience in BOTH {
            let cut = feed(codec, patience, chunks.iter().copied(), keep);
            assert_eq!(cut.messages, whole.messages, "{chunks:?}");
            match (&cut.error, &whole.error) {
                // How much was seen when it was refused depends on the cuts.
                (Some(DecodeError::TooLarge { limit: a, .. }), Some(DecodeError::TooLarge { limit: b, .. })) => {
                    assert_eq!(a, b, "{chunks:?}");
                }
                (cut, whole) => assert_eq!(cut, whole, "{chunks:?}"),
            }
        }
    };
    check(pieces(stream, cuts));
    check(stream.chunks(1).collect());
    for cut in 0..=stream.len().min(200) {
        let (front, back) = stream.split_at(cut);
        check(vec![front, back]);
    }
}
