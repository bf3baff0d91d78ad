//! MULTI, EXEC, DISCARD, WATCH and UNWATCH, with the replies of Redis 7.0.15.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gannet_testing::drivers;

use crate::rig::Rig;

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";
const QUEUED: &str = "+QUEUED\r\n";
const OK: &str = "+OK\r\n";

#[test]
fn queued_commands_run_together_and_fail_one_by_one() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        client.ask(&[
            ("MULTI", OK),
            ("UNWATCH", QUEUED),
            ("PING", QUEUED),
            ("SELECT 3", QUEUED),
            ("SET k v", QUEUED),
            ("SELECT 99", QUEUED),
            ("PUBLISH nobody x", QUEUED),
            ("GET k", QUEUED),
            ("EXEC", "*7\r\n+OK\r\n+PONG\r\n+OK\r\n+OK\r\n-ERR DB index is out of range\r\n:0\r\n$1\r\nv\r\n"),
            ("GET k", "$1\r\nv\r\n"),
            ("SELECT 0", OK),
            ("GET k", "$-1\r\n"),
            ("MULTI", OK),
            ("EXEC", "*0\r\n"),
        ]);
    }
}

#[test]
fn what_is_refused_while_queueing_aborts_the_transaction() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    let unknown = "-ERR unknown command 'NOSUCH', with args beginning with: 'x' 'y' \r\n";
    client.ask(&[
        ("EXEC", "-ERR EXEC without MULTI\r\n"),
        ("DISCARD", "-ERR DISCARD without MULTI\r\n"),
        ("UNWATCH", OK),
        ("MULTI", OK),
        ("NOSUCH x y", unknown),
        ("SET a 1", QUEUED),
        ("EXEC", ABORTED),
        ("MULTI", OK),
        ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
        ("EXEC", ABORTED),
        ("MULTI", OK),
        ("PUBSUB NOPE", "-ERR unknown subcommand 'NOPE'. Try PUBSUB HELP.\r\n"),
        ("EXEC", ABORTED),
        ("GET a", "$-1\r\n"),
        ("EXEC", "-ERR EXEC without MULTI\r\n"),
    ]);
}

#[test]
fn multi_and_watch_inside_a_transaction_are_refused_but_do_not_abort_it() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.ask(&[
        ("MULTI", OK),
        ("MULTI", "-ERR MULTI calls can not be nested\r\n"),
        ("WATCH a", "-ERR WATCH inside MULTI is not allowed\r\n"),
        ("SET a 1", QUEUED),
        ("EXEC", "*1\r\n+OK\r\n"),
        ("MULTI", OK),
        ("SET a 2", QUEUED),
        ("DISCARD", OK),
        ("GET a", "$1\r\n1\r\n"),
        ("MULTI", OK),
        ("PING", QUEUED),
        ("RESET", "+RESET\r\n"),
        ("EXEC", "-ERR EXEC without MULTI\r\n"),
        ("MULTI", OK),
        ("QUIT", OK),
    ]);
    client.expect_end();
}

#[test]
fn a_watched_key_that_changes_keeps_exec_from_running() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut client, mut other) = (rig.connect(), rig.connect());
        client.ask(&[("WATCH w w other", OK)]);
        other.ask(&[("SET w 1", OK)]);
        client.ask(&[("MULTI", OK), ("SET done 1", QUEUED), ("EXEC", "*-1\r\n"), ("GET done", "$-1\r\n")]);
        // It was watched until then only.
        client.ask(&[("MULTI", OK), ("PING", QUEUED), ("EXEC", "*1\r\n+PONG\r\n")]);

        client.ask(&[("WATCH w", OK)]);
        other.ask(&[("SET w 2", OK)]);
        client.ask(&[("UNWATCH", OK), ("MULTI", OK), ("PING", QUEUED), ("EXEC", "*1\r\n+PONG\r\n")]);

        client.ask(&[("WATCH w", OK)]);
        other.ask(&[("SET w 2", OK)]);
        client.ask(&[("MULTI", OK), ("DISCARD", OK), ("MULTI", OK), ("PING", QUEUED), ("EXEC", "*1\r\n+PONG\r\n")]);

        client.ask(&[("WATCH w", OK)]);
        other.ask(&[("SET w 2", OK)]);
        client.ask(&[("MULTI", OK), ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n")]);
        client.ask(&[("EXEC", ABORTED)]);

        // The same key in another database is another key, and the own changes count before MULTI only.
        client.ask(&[("WATCH w", OK)]);
        other.ask(&[("SELECT 1", OK), ("SET w 3", OK)]);
        client.ask(&[("MULTI", OK), ("SET w 4", QUEUED), ("GET w", QUEUED), ("EXEC", "*2\r\n+OK\r\n$1\r\n4\r\n")]);
        client.ask(&[("WATCH w", OK), ("SET w 5", OK), ("MULTI", OK), ("PING", QUEUED), ("EXEC", "*-1\r\n")]);

        let mut client = rig.connect_resp3();
        client.ask(&[("WATCH w", OK), ("SET w 5", OK), ("MULTI", OK), ("PING", QUEUED), ("EXEC", "_\r\n")]);
    }
}

#[test]
fn a_transaction_may_work_on_all_keys_and_flushing_them_counts_as_a_change() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.ask(&[
        ("SET a 1", OK),
        ("MULTI", OK),
        ("SET b 1", QUEUED),
        ("DBSIZE", QUEUED),
        ("FLUSHALL", QUEUED),
        ("DBSIZE", QUEUED),
        ("EXEC", "*4\r\n+OK\r\n:2\r\n+OK\r\n:0\r\n"),
        ("WATCH none", OK),
        ("FLUSHALL", OK),
        ("MULTI", OK),
        ("EXEC", "*0\r\n"),
        ("SET a 1", OK),
        ("WATCH a", OK),
        ("FLUSHALL", OK),
        ("MULTI", OK),
        ("EXEC", "*-1\r\n"),
    ]);
}

#[test]
fn one_key_may_be_watched_by_many_and_each_is_told() {
    let rig = Rig::start(drivers()[0]);
    let mut clients: Vec<_> = (0..20).map(|_| rig.connect()).collect();
    for client in &mut clients {
        client.ask(&[("WATCH w", OK), ("MULTI", OK), ("GET w", QUEUED)]);
    }
    // Half of them go, one way or another.
    clients.truncate(10);
    rig.connect().ask(&[("SET w 1", OK)]);
    for client in &mut clients {
        client.ask(&[("EXEC", "*-1\r\n")]);
    }
}

/// Two counters in different shards are always changed together; nobody may see them differ.
#[test]
fn nobody_sees_half_of_a_transaction() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        rig.connect().ask(&[("SET one 0", OK), ("SET two 0", OK)]);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for start in [0, 1_000] {
                let (mut client, over) = (rig.connect(), &over);
                scope.spawn(move || {
                    for number in start..start + 300 {
                        // In either order, so that locks are asked for in either order.
                        let keys = if number % 2 == 0 { ["one", "two"] } else { ["two", "one"] };
                        client.ask(&[
                            ("MULTI", OK),
                            (&format!("SET {} {number}", keys[0]), QUEUED),
                            (&format!("SET {} {number}", keys[1]), QUEUED),
                            ("EXEC", "*2\r\n+OK\r\n+OK\r\n"),
                        ]);
                    }
                    over.store(true, Ordering::Relaxed);
                });
            }
            let (mut all, done) = (rig.connect(), &over);
            scope.spawn(move || {
                // Needs all shards, while others hold some.
                while !done.load(Ordering::Relaxed) {
                    all.ask(&[
                        ("MULTI", OK),
                        ("GET none", QUEUED),
                        ("DBSIZE", QUEUED),
                        ("EXEC", "*2\r\n$-1\r\n:2\r\n"),
                    ]);
                }
            });
            let (mut client, over) = (rig.connect(), &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    client.ask(&[("MULTI", OK), ("GET one", QUEUED), ("GET two", QUEUED)]);
                    client.send("EXEC");
                    client.expect("*2\r\n");
                    let mut value = || {
                        client.read_past("\r\n");
                        client.read_past("\r\n")
                    };
                    assert_eq!(value(), value());
                }
            });
        });
    }
}

/// Each reads a counter, and writes one more where nobody has changed it meanwhile: no step is lost.
#[test]
fn watching_makes_reading_and_writing_one_step() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        rig.connect().ask(&[("SET count 0", OK)]);
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut client = rig.connect();
                scope.spawn(move || {
                    let mut done = 0;
                    while done < 50 {
                        client.ask(&[("WATCH count", OK)]);
                        client.send("GET count");
                        client.read_past("\r\n");
                        let count: u32 = client.read_past("\r\n").trim().parse().expect("a number");
                        client.ask(&[("MULTI", OK), (&format!("SET count {}", count + 1), QUEUED)]);
                        client.send("EXEC");
                        match client.read_past("\r\n").as_str() {
                            "*-1\r\n" => {}
                            _ => {
                                client.expect(OK);
                                done += 1;
                            }
                        }
                    }
                });
            }
        });
        rig.connect().ask(&[("GET count", "$3\r\n200\r\n")]);
    }
}

#[test]
fn a_transaction_that_takes_too_much_memory_is_refused_and_aborts() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.ask(&[("MULTI", OK)]);
    let large = "x".repeat(30 << 20);
    for _ in 0..2 {
        client.send_words(&["SET", "a", &large]);
        client.expect(QUEUED);
    }
    client.send_words(&["SET", "a", &large]);
    client.expect("-ERR transaction too large, its commands may take 67108864 bytes together\r\n");
    client.ask(&[("PING", QUEUED), ("EXEC", ABORTED), ("GET a", "$-1\r\n"), ("PING", "+PONG\r\n")]);
}

#[test]
fn a_connection_cannot_watch_without_end() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    let keys: Vec<String> = (0..65_536).map(|key| format!("{key:06}")).collect();
    let words: Vec<&str> = std::iter::once("WATCH").chain(keys.iter().map(String::as_str)).collect();
    client.send_words(&words);
    client.expect(OK);
    client.ask(&[
        ("WATCH 000000 000001", OK),
        ("WATCH one-more", "-ERR too many watched keys, a connection may watch 65536 with 67108864 bytes together\r\n"),
    ]);
    rig.connect().ask(&[("SET 065535 x", OK)]);
    client.ask(&[("MULTI", OK), ("PING", QUEUED), ("EXEC", "*-1\r\n")]);
}

#[test]
fn replies_that_are_not_wanted_leave_out_nothing_else() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect_resp3();
    client.ask(&[
        ("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
        ("MULTI", OK),
        ("GET nothing", QUEUED),
        ("GET nothing", QUEUED),
        ("PUBLISH a x", QUEUED),
        ("EXEC", "*3\r\n_\r\n_\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n"),
        ("PING", "+PONG\r\n"),
        ("MULTI", OK),
        ("CLIENT REPLY OFF", QUEUED),
        ("PING", QUEUED),
        ("PUBLISH a x", QUEUED),
        ("EXEC", "*3\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"),
    ]);
    client.send("PING");
    client.ask(&[("CLIENT REPLY ON", OK)]);
}

#[test]
fn the_end_of_the_server_does_not_wait_for_transactions() {
    let rig = Rig::with(gannet::Engine::new().reactors(2).drain_timeout(Duration::from_secs(10)));
    let mut client = rig.connect();
    client.ask(&[("WATCH a b", OK), ("MULTI", OK), ("SET a 1", QUEUED)]);
    rig.running.remote().stop();
    rig.running.join().expect("a clean end");
    client.expect_end();
}

#[test]
fn the_list_of_clients_shows_whose_transaction_will_not_run() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    // Numbers are in the order in which reactors take connections in: the others come when this one is there.
    client.ask(&[("CLIENT ID", ":1\r\n"), ("WATCH k", "+OK\r\n")]);
    let mut other = rig.connect();
    let mut flags = || {
        other.send("CLIENT LIST ID 1");
        let line = other.read_past("\n\r\n");
        let flags = line.split(' ').find_map(|field| field.strip_prefix("flags=")).expect("flags");
        flags.to_owned()
    };
    assert_eq!(flags(), "N");
    rig.connect().ask(&[("SET k v", "+OK\r\n")]);
    assert_eq!(flags(), "d");
    client.ask(&[("MULTI", "+OK\r\n"), ("PING", "+QUEUED\r\n")]);
    assert_eq!(flags(), "xd");
    client.ask(&[("EXEC", "*-1\r\n")]);
    assert_eq!(flags(), "N");
    client.ask(&[("WATCH k", "+OK\r\n")]);
    assert_eq!(flags(), "N", "what changed before the key was watched again does not count");
}

#[test]
fn a_connection_is_told_how_much_its_own_buffers_hold() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.send("CLIENT INFO\r\nPING");
    let line = client.read_past("+PONG\r\n");
    assert!(line.contains(" argv-mem=10 multi-mem=0 ") && line.contains(" tot-mem=10 "), "{line}");
}

#[test]
fn a_transaction_that_sleeps_is_answered_when_it_wakes() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        // Each time for longer, as a busy machine may let us sleep too.
        let slept = ["0.3", "3", "10"].iter().any(|seconds| {
            let sleep = format!("DEBUG SLEEP {seconds}");
            client.ask(&[("DEL k", ":0\r\n"), ("MULTI", OK), ("SET k v", QUEUED), (&sleep, QUEUED), ("GET k", QUEUED)]);
            client.send("EXEC\r\nDEL k");
            // What was done is there for others at once.
            rig.wait_for("STRLEN k", ":1\r\n");
            client.stream.set_nonblocking(true).expect("a socket");
            let nothing_yet = client.stream.peek(&mut [0]).is_err();
            client.stream.set_nonblocking(false).expect("a socket");
            client.expect("*3\r\n+OK\r\n+OK\r\n$1\r\nv\r\n:1\r\n");
            nothing_yet
        });
        assert!(slept, "the reply came before its time, with {driver:?}");
        client.send("CLIENT REPLY SKIP\r\nDEBUG SLEEP 0.01\r\nPING");
        client.expect("+PONG\r\n");
    }
}
