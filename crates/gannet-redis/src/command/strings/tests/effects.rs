//! What commands leave behind, beside what they answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::Key;
use crate::trial::Trial;

#[test]
fn a_key_is_gone_when_its_deadline_has_come() {
    let mut trial = Trial::default();
    for (line, after_ms) in [
        ("set name 1 EX 2", 2_000),
        ("set name 1 PX 3", 3),
        ("set name 1 EXAT 1700000001", 1_000),
        ("set name 1 PXAT 1700000000007", 7),
        ("setex name 2 1", 2_000),
        ("psetex name 3 1", 3),
    ] {
        trial.now_ms = 1_700_000_000_000;
        trial.expect(&[("getdel name", "$-1\r\n"), (line, "+OK\r\n")]);
        trial.now_ms += after_ms - 1;
        assert_eq!(trial.ask("get name"), "$1\r\n1\r\n", "{line}");
        trial.now_ms += 1;
        assert_eq!(trial.ask("get name"), "$-1\r\n", "{line}");
    }
}

#[test]
fn a_deadline_stays_where_a_part_changes_and_goes_where_all_does() {
    for (line, stays) in [
        ("set name 2", false),
        ("set name 2 GET", false),
        ("set name 2 KEEPTTL", true),
        ("set name 2 NX", true),
        ("mset name 2", false),
        ("getset name 2", false),
        ("getex name", true),
        ("getex name PERSIST", false),
        ("getex name PX 2000", false),
        ("append name 2", true),
        ("setrange name 1 2", true),
        ("incr name", true),
        ("incrbyfloat name 1", true),
    ] {
        let mut trial = Trial::default();
        trial.ask("set name 1 PX 1000");
        trial.ask(line);
        trial.now_ms += 1_000;
        assert_eq!(trial.ask("get name") == "$-1\r\n", stays, "{line}");
    }
}

#[test]
fn a_deadline_in_the_past_removes_the_key() {
    Trial::default().expect(&[
        ("set name 1 EXAT 1", "+OK\r\n"),
        ("get name", "$-1\r\n"),
        ("set name 1", "+OK\r\n"),
        ("getex name PXAT 1700000000000", "$1\r\n1\r\n"),
        ("get name", "$-1\r\n"),
    ]);
}

#[test]
fn a_string_is_kept_as_the_command_that_wrote_it_last_keeps_it() {
    let mut trial = Trial::default();
    for (line, encoding) in [
        ("set name 12", "int"),
        ("append name 3", "raw"),
        ("incr name", "int"),
        ("incrbyfloat name 1.5", "embstr"),
        ("setrange name 0 4", "raw"),
        ("set name text", "embstr"),
        ("append name \"\"", "raw"),
        ("getset name 12", "int"),
        ("setrange name 0 \"\"", "int"),
    ] {
        trial.ask(line);
        let key = Key::new(b"name");
        let mut keys = trial.store.lock_one(key);
        let space = keys.space(0, key);
        let slot = space.find(key, trial.now_ms).expect("it is there");
        assert_eq!(space.entry(slot).encoding(), encoding, "{line}");
    }
}

#[test]
fn who_watches_a_key_sees_the_commands_that_write_it() {
    for (line, seen) in [
        ("get name", false),
        ("set name 12", true),
        ("set name 12 KEEPTTL", true),
        ("set name 1 NX", false),
        ("set name 1 NX GET", false),
        ("setnx name 1", false),
        ("getset name 12", true),
        ("getex name", false),
        ("getex name PERSIST", true),
        ("getex name PX 5", true),
        ("getex name PXAT 1", true),
        ("getdel name", true),
        ("msetnx name 1 other 2", false),
        ("append name \"\"", true),
        ("setrange name 0 \"\"", false),
        ("setrange name 0 1", true),
        ("incrby name 0", true),
        ("incrbyfloat name 0", true),
        ("incrbyfloat name x", false),
        ("mset name 12", true),
        ("set name 12 EXAT 1", true),
    ] {
        let mut trial = Trial::default();
        trial.ask("set name 12 PX 100000");
        let (key, flag) = (Key::new(b"name"), Arc::new(AtomicBool::new(false)));
        trial.store.lock_one(key).space(0, key).watch(key.bytes, flag.clone());
        trial.ask(line);
        assert_eq!(flag.load(Ordering::Relaxed), seen, "{line}");
    }
}
