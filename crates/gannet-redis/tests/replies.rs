//! Replies that are larger than an outbox: what they show, and what they cost whoever waits beside them.

mod rig;

use std::io::Read as _;

use gannet::{Engine, Limits};
use gannet_testing::{drivers, until};
use rig::{Client, Rig, limits};

const OK: &str = "+OK\r\n";
const QUEUED: &str = "+QUEUED\r\n";

/// Outboxes that are small, so that little is a lot.
fn small_outboxes() -> Limits {
    let mut limits = limits();
    (limits.outbox_high, limits.outbox_hard) = (64 << 10, 128 << 10);
    limits
}

fn start(driver: gannet::DriverChoice) -> Rig {
    Rig::with(Engine::new().driver(driver).reactors(1).limits(small_outboxes()))
}

/// Bytes that wait to be sent to all clients.
fn outboxes(rig: &Rig) -> u64 {
    rig.running.remote().stats().iter().map(|stats| stats.outbox_bytes).sum()
}

/// A hash with so many fields, each with a value of so many bytes.
fn make_hash(client: &mut Client, key: &str, fields: usize, value: &str) {
    for first in (0..fields).step_by(1_000) {
        let mut words = vec!["HSET".to_owned(), key.to_owned()];
        for number in first..fields.min(first + 1_000) {
            words.extend([format!("field{number}"), value.to_owned()]);
        }
        client.send_words(&words.iter().map(String::as_str).collect::<Vec<_>>());
        client.read_past("\r\n");
    }
}

/// Reads one bulk string.
fn read_bulk(client: &mut Client) -> String {
    let head = client.read_past("\r\n");
    let len: usize = head.trim_start_matches('$').trim_end().parse().expect("a bulk string");
    let text = client.read(len + 2);
    text[..len].to_owned()
}

#[test]
fn clients_that_ask_for_very_much_and_do_not_read_cost_little_and_delay_nobody() {
    for driver in drivers() {
        let rig = start(driver);
        let mut observer = rig.connect();
        observer.ask(&[("HSET h field value other value", ":2\r\n")]);
        make_hash(&mut observer, "large", 20_000, &"x".repeat(60));
        let mut clients: Vec<Client> = (0..20).map(|_| rig.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(
                ["HRANDFIELD h -33554432", "HRANDFIELD large -9000000000 WITHVALUES", "HGETALL large"][number % 3],
            );
        }
        until("a piece of each reply", || {
            observer.ask(&[("PING", "+PONG\r\n")]);
            rig.server.memory().pieces() >= 20
        });
        // Each has what is over the high mark by less than a piece.
        let most = (20 * (64 + 80)) << 10;
        assert!(outboxes(&rig) <= most, "{} bytes wait on {driver:?}", outboxes(&rig));
        observer.ask(&[("PING", "+PONG\r\n")]);
        // Who reads gets all of it, and then the reply to what was asked behind it.
        let client = &mut clients[2];
        client.send("PING behind");
        client.expect("*40000\r\n");
        for number in 0..20_000 {
            assert_eq!(read_bulk(client), format!("field{number}"));
            assert_eq!(read_bulk(client).len(), 60);
        }
        client.expect("$6\r\nbehind\r\n");
    }
}

#[test]
fn a_reply_shows_what_was_there_when_the_command_ran() {
    for driver in drivers() {
        let rig = start(driver);
        let (mut writer, mut reader) = (rig.connect(), rig.connect());
        make_hash(&mut writer, "h", 20_000, &"a".repeat(100));
        let old = "a".repeat(4 << 20);
        writer.send_words(&["SET", "s", &old]);
        writer.expect(OK);
        for line in ["MULTI", "HVALS h", "GET s", "GETRANGE s 1 -1", "MGET s s", "GET none"] {
            reader.send(line);
        }
        reader.expect(&format!("{OK}{}", QUEUED.repeat(5)));
        reader.send("EXEC");
        reader.expect("*5\r\n*20000\r\n");
        // All of this comes between: the reply has begun.
        make_hash(&mut writer, "h", 20_000, &"b".repeat(100));
        writer.ask(&[
            ("SETRANGE s 0 b", &format!(":{}\r\n", 4 << 20)),
            ("APPEND s c", &format!(":{}\r\n", (4 << 20) + 1)),
        ]);
        writer.ask(&[("DEL h s", ":2\r\n")]);
        for _ in 0..20_000 {
            assert_eq!(read_bulk(&mut reader), "a".repeat(100));
        }
        assert!(read_bulk(&mut reader) == old);
        assert!(read_bulk(&mut reader) == old[1..]);
        reader.expect("*2\r\n");
        assert!(read_bulk(&mut reader) == old);
        assert!(read_bulk(&mut reader) == old);
        reader.expect("$-1\r\n");
        reader.ask(&[("EXISTS h s", ":0\r\n")]);
    }
}

#[test]
fn values_that_are_still_read_count_toward_the_memory_when_the_store_has_others() {
    const VALUE: usize = 16 << 20;
    for driver in drivers() {
        let rig = start(driver);
        let mut writer = rig.connect();
        let value = "x".repeat(VALUE);
        rig.server.memory().set_limit(3 * VALUE);
        let mut readers = Vec::new();
        let mut refused = None;
        for round in 0..10 {
            writer.send_words(&["SET", "key", &value]);
            let answer = writer.read(1);
            writer.read_past("\r\n");
            if answer == "-" {
                refused = Some(round);
                break;
            }
            // It does not read: the kernel takes a part of it only.
            let mut reader = rig.connect();
            reader.send("GET key");
            reader.expect("$");
            readers.push(reader);
        }
        assert!(refused.is_some_and(|round| round <= 5), "refused in round {refused:?} on {driver:?}");
        readers.clear();
        until("room for another value", || {
            writer.send("SET other value");
            let answer = writer.read_past("\r\n");
            answer.starts_with('+')
        });
    }
}

#[test]
fn a_subscriber_gets_its_reply_before_the_messages_that_come_behind_it() {
    for driver in drivers() {
        let rig = start(driver);
        let (mut subscriber, mut publisher) = (rig.connect_resp3(), rig.connect());
        make_hash(&mut publisher, "h", 20_000, &"a".repeat(100));
        subscriber.ask(&[("SUBSCRIBE c", ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")]);
        subscriber.send("HVALS h");
        subscriber.expect("*20000\r\n");
        publisher.ask(&[("PUBLISH c message", ":1\r\n")]);
        for _ in 0..20_000 {
            assert_eq!(read_bulk(&mut subscriber).len(), 100);
        }
        subscriber.expect(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$7\r\nmessage\r\n");
        subscriber.send("HRANDFIELD h -1000000000");
        let mut rest = Vec::new();
        // So much cannot be kept for it.
        let _ = subscriber.stream.read_to_end(&mut rest);
        assert!(rest.len() < 64 << 20, "{} bytes", rest.len());
    }
}

#[test]
fn a_reply_that_has_begun_leaves_whole_when_the_server_stops() {
    for driver in drivers() {
        let rig = start(driver);
        let mut client = rig.connect();
        make_hash(&mut client, "h", 20_000, &"a".repeat(100));
        client.send("HKEYS h");
        client.expect("*20000\r\n");
        rig.running.remote().stop();
        for number in 0..20_000 {
            assert_eq!(read_bulk(&mut client), format!("field{number}"));
        }
        client.expect_end();
    }
}

#[test]
fn fields_by_chance_are_different_ones_where_so_many_are_asked_for() {
    let rig = start(drivers()[0]);
    let mut client = rig.connect();
    make_hash(&mut client, "h", 5_000, "value");
    for count in [1_023, 1_024, 4_999, 5_000, 6_000] {
        client.send(&format!("HRANDFIELD h {count} WITHVALUES"));
        let shown = count.min(5_000);
        client.expect(&format!("*{}\r\n", 2 * shown));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..shown {
            assert!(seen.insert(read_bulk(&mut client)), "the same field twice");
            assert_eq!(read_bulk(&mut client), "value");
        }
    }
}

#[test]
fn a_value_that_is_asked_for_a_million_times_is_sent_or_refused() {
    let rig = start(drivers()[0]);
    let mut client = rig.connect();
    let value = "x".repeat(20_000);
    client.send_words(&["SET", "key", &value]);
    client.expect(OK);
    client.ask(&[("HSET h f small", ":1\r\n")]);
    client.send_words(&["HSET", "h", "large", &value]);
    client.expect(":1\r\n");
    let refusal = "-ERR the reply is too large, it may have 536870912 bytes\r\n";
    for (name, word) in [(&["MGET"][..], "key"), (&["HMGET", "h"], "large")] {
        let words: Vec<&str> = name.iter().copied().chain(std::iter::repeat_n(word, 100_000)).collect();
        client.send_words(&words);
        client.expect(refusal);
        client.send("PING");
        client.expect("+PONG\r\n");
    }
}

#[test]
fn a_value_that_stays_in_the_memory_in_which_it_came_can_be_changed_like_others() {
    for driver in drivers() {
        let rig = start(driver);
        let mut client = rig.connect();
        let value = "abcdefgh".repeat(40 << 10);
        let whole = |value: &str| format!("${}\r\n{value}\r\n", value.len());
        for words in [["SET", "k"].as_slice(), &["SETEX", "k", "1000"], &["GETSET", "k"]] {
            let mut words = words.to_vec();
            words.push(&value);
            client.send_words(&words);
            client.expect(if words[0] == "GETSET" { whole(&value) } else { OK.to_owned() }.as_str());
        }
        client.send("COPY k other");
        client.expect(":1\r\n");
        client.send("APPEND k !");
        client.expect(&format!(":{}\r\n", value.len() + 1));
        client.send("SETRANGE k 0 X");
        client.expect(&format!(":{}\r\n", value.len() + 1));
        client.send("GET other");
        client.expect(&whole(&value));
        client.send("GET k");
        client.expect(&whole(&format!("X{}!", &value[1..])));
        // A second value of the same length takes the place of one that was received.
        let another = value.to_uppercase();
        client.send_words(&["SET", "other", &another, "GET"]);
        client.expect(&whole(&value));
        client.send("GET other");
        client.expect(&whole(&another));
        client.ask(&[
            ("STRLEN k", &format!(":{}\r\n", value.len() + 1)),
            ("DEL k other", ":2\r\n"),
            ("DBSIZE", ":0\r\n"),
        ]);
    }
}
