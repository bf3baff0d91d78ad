//! Commands with any words at all: nothing panics, every answer is a reply, and the counts stay true.

use proptest::prelude::*;

use crate::service::table::{Run, all};
use crate::trial::Trial;
use gannet::proto::resp::Version;

/// Larger strings are refused, so that a single command cannot take much memory.
const LARGEST_BYTES: usize = 64 << 10;

/// What commands have as their words, and what is almost that.
const WORDS: [&str; 73] = [
    "",
    "k",
    "k",
    "k",
    "k2",
    "k2",
    "h",
    "h",
    "h2",
    "f",
    "f",
    "f2",
    "0",
    "0",
    "1",
    "1",
    "-1",
    "2",
    "7",
    "8",
    "64",
    "100",
    "-100",
    "1000",
    "65536",
    "524288",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1.5",
    "-0.1",
    "1e308",
    "1e4932",
    "inf",
    "nan",
    "0x1p-3",
    "u8",
    "i64",
    "u63",
    "i1",
    "#1",
    "#9223372036854775807",
    "get",
    "set",
    "incrby",
    "overflow",
    "sat",
    "fail",
    "and",
    "not",
    "xor",
    "bit",
    "byte",
    "nx",
    "xx",
    "gt",
    "ex",
    "px",
    "pxat",
    "keepttl",
    "persist",
    "replace",
    "db",
    "match",
    "count",
    "withvalues",
    "idx",
    "len",
    "minmatchlen",
];

/// Those of OBJECT and MEMORY.
const SUBCOMMANDS: [&str; 6] = ["encoding", "refcount", "idletime", "freq", "usage", "help"];

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => prop::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        2 => prop::sample::select(&["*", "[", "\\", "k*", "[^", "[a-", "[]*?"][..]).prop_map(|word| word.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (0..3_000usize).prop_map(|len| vec![b'v'; len]),
    ]
}

fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let names: Vec<&str> = all().filter(|command| matches!(command.run, Run::Keys(_))).map(|it| it.name).collect();
    let words = prop::collection::vec(word(), 0..9);
    (prop::sample::select(names), prop::sample::select(&SUBCOMMANDS[..]), words).prop_map(
        |(name, subcommand, words)| {
            let second = matches!(name, "object" | "memory").then_some(subcommand);
            [name].into_iter().chain(second).map(|word| word.as_bytes().to_vec()).chain(words).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_asked_is_answered_and_counted(
        resp3: bool,
        commands in prop::collection::vec((0..2u8, 0..100u64, command()), 1..60),
    ) {
        let version = if resp3 { Version::Resp3 } else { Version::Resp2 };
        let mut trial = Trial { version, max_bulk: LARGEST_BYTES, ..Trial::default() };
        for (db, ms, words) in commands {
            (trial.db, trial.now_ms) = (db, trial.now_ms + ms);
            trial.question(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        trial.check_counts();
    }

    #[test]
    fn whatever_is_sent_is_answered(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut trial = Trial { max_bulk: LARGEST_BYTES, ..Trial::default() };
        trial.feed(&stream);
        trial.check_counts();
    }
}
