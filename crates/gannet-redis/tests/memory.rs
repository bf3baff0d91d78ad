//! Whole databases, memory that runs out and keys that expire, over real sockets, with the replies of Redis 7.0.15.

mod rig;

use gannet_redis::Policy;
use gannet_testing::{drivers, until};
use rig::{Client, Rig};

const OK: &str = "+OK\r\n";
const QUEUED: &str = "+QUEUED\r\n";
const NO_MEMORY: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";

#[test]
fn what_may_take_memory_is_refused_where_there_is_none() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        client.ask(&[("SET a 1", OK)]);
        rig.server.memory().set_limit(1);
        client.ask(&[
            ("SET a 2", NO_MEMORY),
            ("COPY a b", NO_MEMORY),
            ("GET a", "$1\r\n1\r\n"),
            ("EXPIRE a 100", ":1\r\n"),
            ("MULTI", OK),
            ("SET a 2", NO_MEMORY),
            ("GET a", NO_MEMORY),
            ("EXEC", ABORTED),
            ("MULTI", OK),
            ("WATCH x", NO_MEMORY),
            ("MULTI", NO_MEMORY),
            ("DISCARD", OK),
            ("DEL a", ":1\r\n"),
            ("SET a 1", OK),
        ]);
    }
}

#[test]
fn a_transaction_is_refused_where_memory_ran_out_after_it_was_queued() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.ask(&[("SET a 1", OK), ("MULTI", OK), ("SET a 2", QUEUED)]);
    rig.server.memory().set_limit(1);
    let refused = format!("-EXECABORT Transaction discarded because of: {}", &NO_MEMORY[1..]);
    client.ask(&[("EXEC", &refused), ("GET a", "$1\r\n1\r\n")]);
    rig.server.memory().set_limit(0);
    client.ask(&[("MULTI", OK), ("GET a", QUEUED)]);
    rig.server.memory().set_limit(1);
    client.ask(&[("EXEC", "*1\r\n$1\r\n1\r\n")]);
}

#[test]
fn keys_go_where_they_may_so_that_others_can_come() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    rig.server.memory().set_policy(Policy::AllKeysLru);
    rig.server.memory().set_limit(1 << 20);
    let value = "x".repeat(1000);
    for number in 0..5_000 {
        client.send_words(&["SET", &number.to_string(), &value]);
        assert_eq!(client.read(OK.len()), OK);
    }
    assert!(rig.server.memory().evicted() > 3_500, "{}", rig.server.memory().evicted());
    client.ask(&[("EXISTS 4999", ":1\r\n"), ("FLUSHALL", OK), ("DBSIZE", ":0\r\n")]);
}

/// What the store says it takes.
fn used_memory(client: &mut Client) -> usize {
    client.send("INFO memory");
    let text = client.read_past("\r\n\r\n");
    let line = text.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it says so");
    line.parse().expect("a number")
}

#[test]
fn whoever_brings_more_than_goes_waits_until_there_is_room() {
    const LIMIT: usize = 4 << 20;
    const VALUE: usize = 1 << 20;
    const WRITERS: usize = 6;
    for driver in drivers() {
        let rig = Rig::start(driver);
        rig.server.memory().set_policy(Policy::AllKeysLru);
        let mut observer = rig.connect();
        // So small that very many have to go for one of the large values.
        for number in 0..30_000 {
            observer.send(&format!("SET small:{number} {number}"));
        }
        (0..30_000).for_each(|_| observer.expect(OK));
        rig.server.memory().set_limit(LIMIT);
        let value = "x".repeat(VALUE);
        let mut writers: Vec<Client> = (0..WRITERS).map(|_| rig.connect()).collect();
        for round in 0..10 {
            for (number, writer) in writers.iter_mut().enumerate() {
                writer.send_words(&["SET", &format!("large:{number}:{round}"), &value]);
            }
            for writer in &mut writers {
                writer.expect(OK);
                let used = used_memory(&mut observer);
                // Each writer is one command ahead at most; what was taken out may not be dropped yet.
                assert!(used <= LIMIT + (WRITERS + 2) * VALUE, "{used} bytes in round {round} on {driver:?}");
            }
        }
        assert!(rig.server.memory().waits() > 0, "nobody had to wait");
        // Those that wait are served, too: nothing else is there to wake them.
        writers.iter_mut().for_each(|writer| writer.ask(&[("PING", "+PONG\r\n")]));
        // What was taken out is dropped elsewhere, a moment later.
        until("the memory to be within its limit", || used_memory(&mut observer) <= LIMIT + VALUE);
    }
}

#[test]
fn a_transaction_sees_its_own_changes_in_what_is_counted_and_scanned() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        client.ask(&[
            ("MULTI", OK),
            ("SET a 1", QUEUED),
            ("DBSIZE", QUEUED),
            ("SCAN 0", QUEUED),
            ("MOVE a 1", QUEUED),
            ("DBSIZE", QUEUED),
            ("EXEC", "*5\r\n+OK\r\n:1\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n:1\r\n:0\r\n"),
            ("MULTI", OK),
            ("DBSIZE", QUEUED),
            ("SET a 1", QUEUED),
            ("DBSIZE", QUEUED),
            ("EXEC", "*3\r\n:0\r\n+OK\r\n:1\r\n"),
            ("SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
        ]);
    }
}

#[test]
fn whoever_watches_is_told_of_a_flush_and_of_a_key_that_expired() {
    let rig = Rig::start(drivers()[0]);
    let expiry = rig.server.start_expiry().expect("a thread");
    let (mut client, mut other) = (rig.connect(), rig.connect());
    for (before, then, result) in [
        (("SET a 1", OK), "FLUSHALL", "*-1\r\n"),
        (("DEL a", ":0\r\n"), "FLUSHALL", "*1\r\n+PONG\r\n"),
        (("SET a 1", OK), "SWAPDB 0 1", "*-1\r\n"),
    ] {
        client.ask(&[before, ("WATCH a", OK)]);
        other.ask(&[(then, OK)]);
        client.ask(&[("MULTI", OK), ("PING", QUEUED), ("EXEC", result)]);
    }
    // Each time for longer, as a busy machine may take so long to begin watching.
    let watched_in_time = ["50", "1000", "10000"].iter().any(|ms| {
        client.ask(&[("FLUSHALL", OK), ("SET a 1", OK), (&format!("PEXPIRE a {ms}"), ":1\r\n"), ("WATCH a", OK)]);
        client.send("EXISTS a");
        let is_there = client.read(4) == ":1\r\n";
        rig.wait_for("DBSIZE", ":0\r\n");
        if is_there {
            client.ask(&[("MULTI", OK), ("PING", QUEUED), ("EXEC", "*-1\r\n")]);
        }
        is_there
    });
    assert!(watched_in_time, "the key has expired before it was watched");
    drop(expiry);
}
