//! What stays true whatever is done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use crate::store::{Key, SHARDS};
use crate::trial::Trial;

#[derive(Clone, Debug)]
enum Step {
    Ask(&'static str, u8, u8, u32),
    Wait(u64),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let lines = prop::sample::select(vec![
        "set K V",
        "set K V",
        "set K V",
        "del K L",
        "unlink K",
        "pexpire K N",
        "pexpire K N",
        "persist K",
        "rename K L",
        "renamenx K L",
        "copy K L replace",
        "copy K L db D",
        "move K D",
        "flushdb",
        "flushall",
        "swapdb D E",
        "randomkey",
    ]);
    prop_oneof![
        30 => (lines, 0..12u8, 0..12u8, 0..5_000u32).prop_map(|(line, key, other, number)| Step::Ask(line, key, other, number)),
        2 => (0..2_000u64).prop_map(Step::Wait),
        1 => Just(Step::Expire),
    ]
}

fn fill_in(line: &str, key: u8, other: u8, number: u32) -> String {
    let word = |word: &str| match word {
        "K" => format!("key:{key}"),
        "L" => format!("key:{other}"),
        "V" => "v".repeat(number as usize),
        "N" => number.to_string(),
        "D" => (key % 3).to_string(),
        "E" => (other % 3).to_string(),
        word => word.to_owned(),
    };
    line.split(' ').map(word).map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_counted_is_what_there_is(steps in prop::collection::vec((0..3u8, step()), 1..120)) {
        let mut trial = Trial::default();
        for (db, step) in steps {
            trial.db = db;
            match step {
                Step::Ask(line, key, other, number) => { trial.ask(&fill_in(line, key, other, number)); }
                Step::Wait(ms) => trial.now_ms += ms,
                Step::Expire => for number in 0..SHARDS {
                    let mut locked = trial.store.lock_shard(number);
                    let shard = locked.shard(number);
                    for db in shard.databases() {
                        shard.space(db).expire(trial.now_ms, 1, &mut Vec::new());
                    }
                },
            }
        }
        trial.check_counts();
        trial.ask("flushall");
        prop_assert_eq!((trial.store.bytes(), trial.store.counts().all_keys()), (0, 0));
    }

    #[test]
    fn a_scan_meets_every_key_that_is_there_all_the_time(
        before in 0..600usize,
        steady in 0..60usize,
        during in prop::collection::vec(prop::collection::vec((any::<bool>(), 0..800u32), 0..8), 0..80),
        count in 1..20u8,
    ) {
        let mut trial = Trial::default();
        for number in 0..before {
            trial.ask(&format!("set moving:{number} 1"));
        }
        for number in 0..steady {
            trial.ask(&format!("set steady:{number} 1"));
        }
        let (mut cursor, mut met, mut during) = ("0".to_owned(), HashSet::new(), during.into_iter());
        loop {
            let reply = trial.ask(&format!("scan {cursor} count {count}"));
            let mut words = reply.split("\r\n").filter(|word| !word.starts_with(['$', '*']));
            cursor = words.next().expect("a cursor").to_owned();
            met.extend(words.filter(|word| word.starts_with("steady")).map(str::to_owned));
            if cursor == "0" {
                break;
            }
            for (adds, number) in during.next().unwrap_or_default() {
                trial.ask(&format!("{} moving:{number} 1", if adds { "set" } else { "del" }));
                trial.ask(&format!("rename moving:{number} steady:{}", number as usize % steady.max(1)));
            }
        }
        for number in 0..steady {
            prop_assert!(met.contains(&format!("steady:{number}")), "{number}");
        }
    }
}

#[test]
fn a_scan_of_few_keys_in_many_places_takes_short_steps() {
    let mut trial = Trial::default();
    for number in 0..100_000 {
        trial.run(&[b"set", number.to_string().as_bytes(), b"x"]);
    }
    for number in 100..100_000 {
        trial.run(&[b"del", number.to_string().as_bytes()]);
    }
    let (mut steps, mut cursor) = (0, "0".to_owned());
    loop {
        let reply = trial.ask(&format!("scan {cursor} count 10"));
        let words: Vec<&str> = reply.split("\r\n").filter(|word| !word.starts_with(['$', '*'])).collect();
        assert!(words.len() <= 12);
        cursor = words[0].to_owned();
        steps += 1;
        if cursor == "0" {
            break;
        }
    }
    assert!((50..1_100).contains(&steps), "{steps}");
}

#[test]
fn every_key_is_as_likely_as_any_other_to_be_chosen() {
    let mut trial = Trial::default();
    for number in 0..8 {
        trial.ask(&format!("set key:{number} 1"));
    }
    trial.ask("set gone 1");
    trial.ask("pexpire gone 1");
    trial.now_ms += 1;
    let mut times: HashMap<String, usize> = HashMap::new();
    for _ in 0..800 {
        *times.entry(trial.ask("randomkey")).or_default() += 1;
    }
    assert!(times.len() == 8 && times.values().all(|times| (60..140).contains(times)), "{times:?}");
    assert_eq!((trial.ask("dbsize"), trial.store.counts().expired()), (":8\r\n".into(), 1));
}

/// Watches keys of databases 0 and 1, asks for something, and says which have changed.
fn changed(before: &[&str], line: &str, watched: &[(u8, &str)]) -> Vec<bool> {
    let mut trial = Trial::default();
    for line in before {
        trial.ask(line);
    }
    let flags: Vec<Arc<AtomicBool>> = watched.iter().map(|_| Arc::default()).collect();
    for ((db, name), flag) in watched.iter().zip(&flags) {
        let key = Key::new(name.as_bytes());
        trial.store.lock_one(key).space(*db, key).watch(key.bytes, Arc::clone(flag));
    }
    trial.ask(line);
    let seen = flags.iter().map(|flag| flag.swap(false, Ordering::Relaxed)).collect();
    // Whatever was done, it goes on being watched.
    for ((db, name), flag) in watched.iter().zip(&flags) {
        trial.db = *db;
        trial.ask(&format!("set {name} anew"));
        assert!(flag.load(Ordering::Relaxed), "{name} is watched after {line}");
    }
    seen
}

#[test]
fn whoever_watches_keys_is_told_when_databases_change() {
    let set = ["set a 1", "set b 1", "copy a c db 1"];
    let watched = [(0, "a"), (0, "none"), (1, "c"), (1, "a"), (0, "c")];
    assert_eq!(changed(&set, "flushdb", &watched), [true, false, false, false, false]);
    assert_eq!(changed(&set, "flushall", &watched), [true, false, true, false, false]);
    assert_eq!(changed(&set, "swapdb 0 1", &watched), [true, false, true, true, true]);
    assert_eq!(changed(&set, "swapdb 0 0", &watched), [false; 5]);
}

#[test]
fn whoever_watches_keys_is_told_when_they_change() {
    let set = ["set a 1", "set b 1", "copy a c db 1"];
    let watched = [(0, "a"), (0, "b"), (0, "n"), (1, "a")];
    for (line, told) in [
        ("rename a b", [true, true, false, false]),
        ("rename a n", [true, false, true, false]),
        ("renamenx a b", [false; 4]),
        ("copy a b", [false; 4]),
        ("copy a b replace", [false, true, false, false]),
        ("move a 1", [true, false, false, true]),
        ("expire a 10", [true, false, false, false]),
        ("expire a 10 xx", [false; 4]),
        ("expire a 0", [true, false, false, false]),
        ("persist a", [false; 4]),
        ("del a n", [true, false, false, false]),
        ("touch a", [false; 4]),
    ] {
        assert_eq!(changed(&set, line, &watched), told, "{line}");
    }
}

#[test]
fn a_look_at_a_key_is_no_use_of_it() {
    let mut trial = Trial::default();
    trial.ask("set a 1");
    trial.now_ms += 7_000;
    for line in ["exists a", "type a", "ttl a", "object encoding a", "memory usage a", "scan 0", "keys *"] {
        trial.ask(line);
    }
    trial.expect(&[("object idletime a", ":7\r\n"), ("touch a", ":1\r\n"), ("object idletime a", ":0\r\n")]);
}

#[test]
fn nothing_is_there_in_the_words_of_the_newer_protocol() {
    let mut trial = Trial { version: gannet::proto::resp::Version::Resp3, ..Trial::default() };
    trial.expect(&[
        ("randomkey", "_\r\n"),
        ("object encoding a", "_\r\n"),
        ("memory usage a", "_\r\n"),
        ("scan 0", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("keys *", "*0\r\n"),
    ]);
}
