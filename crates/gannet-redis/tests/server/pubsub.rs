//! Publish and subscribe, with the replies of Redis 7.0.15.

use std::io::Write as _;
use std::thread;

use gannet::Engine;
use gannet_testing::drivers;

use crate::rig::{Client, Rig, limits};

const OK: &str = "+OK\r\n";

/// How a confirmation looks in RESP2.
fn confirmed(word: &str, name: &str, count: usize) -> String {
    format!("*3\r\n${}\r\n{word}\r\n${}\r\n{name}\r\n:{count}\r\n", word.len(), name.len())
}

/// How a message looks in RESP2.
fn message(channel: &str, text: &str) -> String {
    format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{text}\r\n", channel.len(), text.len())
}

#[test]
fn a_message_reaches_the_subscribers_of_its_channel_and_of_patterns_on_all_reactors() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut resp2: Vec<Client> = (0..6).map(|_| rig.connect()).collect();
        let mut resp3: Vec<Client> = (0..6).map(|_| rig.connect_resp3()).collect();
        for client in &mut resp2 {
            client.ask(&[("SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")]);
        }
        for client in &mut resp3 {
            client.ask(&[
                ("SUBSCRIBE news", ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"),
                ("PSUBSCRIBE n*s", ">3\r\n$10\r\npsubscribe\r\n$3\r\nn*s\r\n:2\r\n"),
            ]);
        }
        let mut publisher = rig.connect();
        publisher.ask(&[("PUBLISH news hello", ":18\r\n"), ("PUBLISH nuns hi", ":6\r\n"), ("PUBLISH x y", ":0\r\n")]);
        for client in &mut resp2 {
            client.expect(&message("news", "hello"));
        }
        for client in &mut resp3 {
            client.expect(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
            client.expect(">4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
            client.expect(">4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$4\r\nnuns\r\n$2\r\nhi\r\n");
        }
    }
}

#[test]
fn messages_of_one_publisher_come_in_their_order() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut clients: Vec<Client> = (0..4).map(|_| rig.connect()).collect();
        for client in &mut clients {
            client.ask(&[("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")]);
        }
        let mut publisher = rig.connect();
        let all: String = (1000..3000).map(|number| format!("PUBLISH c {number}\r\n")).collect();
        publisher.stream.write_all(all.as_bytes()).expect("it is taken");
        publisher.expect(&":4\r\n".repeat(2000));
        for client in &mut clients {
            let expected: String = (1000..3000).map(|number| message("c", &number.to_string())).collect();
            client.expect(&expected);
        }
    }
}

#[test]
fn a_subscriber_of_resp2_may_do_little_else() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context\r\n"
        )
    };
    client.ask(&[
        (
            "SUBSCRIBE a b a",
            &[("a", 1), ("b", 2), ("a", 2)].map(|(name, at)| confirmed("subscribe", name, at)).concat(),
        ),
        ("PSUBSCRIBE x* y*", &[("x*", 3), ("y*", 4)].map(|(name, at)| confirmed("psubscribe", name, at)).concat()),
        ("SSUBSCRIBE s s", &[("s", 1), ("s", 1)].map(|(name, at)| confirmed("ssubscribe", name, at)).concat()),
        ("GET a", &refused("get")),
        ("FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"),
        ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
        ("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        ("PING hello", "*2\r\n$4\r\npong\r\n$5\r\nhello\r\n"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
        ("MULTI", &refused("multi")),
        ("HELLO 3", &refused("hello")),
        ("CLIENT ID", &refused("client|id")),
        ("PUBSUB CHANNELS", &refused("pubsub|channels")),
        ("UNSUBSCRIBE b nope", &[("b", 3), ("nope", 3)].map(|(name, at)| confirmed("unsubscribe", name, at)).concat()),
        ("PUNSUBSCRIBE x*", &confirmed("punsubscribe", "x*", 2)),
        ("PUNSUBSCRIBE", &confirmed("punsubscribe", "y*", 1)),
        ("PUNSUBSCRIBE", "*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:1\r\n"),
        ("UNSUBSCRIBE", &confirmed("unsubscribe", "a", 0)),
        ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"),
        ("SUNSUBSCRIBE zz", &confirmed("sunsubscribe", "zz", 1)),
        ("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        ("SUNSUBSCRIBE", &confirmed("sunsubscribe", "s", 0)),
        ("SUNSUBSCRIBE", "*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n"),
        ("PING", "+PONG\r\n"),
        ("PUBLISH a b", ":0\r\n"),
        ("SUBSCRIBE a", &confirmed("subscribe", "a", 1)),
        ("RESET", "+RESET\r\n"),
        ("PING", "+PONG\r\n"),
        ("PUBSUB NUMSUB a", "*2\r\n$1\r\na\r\n:0\r\n"),
    ]);
}

#[test]
fn a_subscriber_of_resp3_may_do_all_and_gets_its_own_messages_before_the_reply() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect_resp3();
        let own =
            ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n>4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$2\r\nhi\r\n";
        client.ask(&[
            ("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
            ("PSUBSCRIBE *", ">3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:2\r\n"),
            ("SSUBSCRIBE s", ">3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n"),
            ("GET a", "_\r\n"),
            ("PUBLISH a hi", &format!("{own}:2\r\n")),
            ("SPUBLISH s hi", ">3\r\n$8\r\nsmessage\r\n$1\r\ns\r\n$2\r\nhi\r\n:1\r\n"),
            ("PING", "+PONG\r\n"),
            ("MULTI", OK),
            ("GET a", "+QUEUED\r\n"),
            ("PUBLISH a hi", "+QUEUED\r\n"),
            ("SPUBLISH s hi", "+QUEUED\r\n"),
            ("UNSUBSCRIBE a", "+QUEUED\r\n"),
            (
                "EXEC",
                &format!(
                    "*4\r\n_\r\n{own}:2\r\n>3\r\n$8\r\nsmessage\r\n$1\r\ns\r\n$2\r\nhi\r\n:1\r\n\
                     >3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n"
                ),
            ),
            ("PUNSUBSCRIBE", ">3\r\n$12\r\npunsubscribe\r\n$1\r\n*\r\n:0\r\n"),
            ("PUNSUBSCRIBE", ">3\r\n$12\r\npunsubscribe\r\n_\r\n:0\r\n"),
        ]);
    }
}

#[test]
fn a_transaction_may_subscribe_publish_and_unsubscribe() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        let queued = "+QUEUED\r\n";
        client.ask(&[
            ("MULTI", OK),
            ("PUBLISH a early", queued),
            ("SUBSCRIBE a", queued),
            ("PING", queued),
            ("GET a", queued),
            ("PUBLISH a x", queued),
            ("SSUBSCRIBE s", queued),
            ("UNSUBSCRIBE", queued),
            ("PSUBSCRIBE p*", queued),
            (
                "EXEC",
                "*8\r\n:0\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n$-1\r\n*3\r\n$7\r\n\
                 message\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client\r\n\
                 *3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:1\r\n",
            ),
            ("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
        ]);
    }
}

/// Sent together, so that the server takes them in one go.
#[test]
fn what_one_published_before_it_subscribed_does_not_come_to_it() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut other = rig.connect();
        other.ask(&[("SUBSCRIBE a", &confirmed("subscribe", "a", 1))]);
        let mut client = rig.connect();
        client.send("PUBLISH a early\r\nSUBSCRIBE a\r\nPING");
        client.expect(&format!(":1\r\n{}*2\r\n$4\r\npong\r\n$0\r\n\r\n", confirmed("subscribe", "a", 1)));
        client.ask(&[("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n")]);
        other.expect(&message("a", "early"));
    }
}

#[test]
fn hello_changes_how_the_messages_of_a_subscriber_look() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect_resp3();
        client.ask(&[("SUBSCRIBE q", ">3\r\n$9\r\nsubscribe\r\n$1\r\nq\r\n:1\r\n")]);
        client.send("HELLO 2");
        client.read_past("$7\r\nmodules\r\n*0\r\n");
        rig.connect().ask(&[("PUBLISH q x", ":1\r\n"), ("PUBSUB NUMSUB q", "*2\r\n$1\r\nq\r\n:1\r\n")]);
        client.expect(&message("q", "x"));
        client.ask(&[("UNSUBSCRIBE", &confirmed("unsubscribe", "q", 0))]);
        rig.connect().ask(&[("PUBLISH q x", ":0\r\n")]);
    }
}

#[test]
fn confirmations_and_messages_come_to_those_who_want_no_replies() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect_resp3();
    client.send("CLIENT REPLY OFF");
    client.ask(&[("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")]);
    client.send("PING");
    client.ask(&[
        ("PUBLISH a y", ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\ny\r\n"),
        ("UNSUBSCRIBE a", ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"),
        ("CLIENT REPLY ON", OK),
        ("PING", "+PONG\r\n"),
    ]);
}

#[test]
fn pubsub_tells_who_listens_to_what() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect_resp3();
    client.send("SUBSCRIBE b");
    client.expect(">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:1\r\n");
    client.send("SSUBSCRIBE s");
    client.expect(">3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n");
    client.send("PSUBSCRIBE x* b");
    client.expect(">3\r\n$10\r\npsubscribe\r\n$2\r\nx*\r\n:2\r\n>3\r\n$10\r\npsubscribe\r\n$1\r\nb\r\n:3\r\n");
    rig.connect().ask(&[
        ("PUBSUB NUMSUB a b", "*4\r\n$1\r\na\r\n:0\r\n$1\r\nb\r\n:1\r\n"),
        ("PUBSUB NUMSUB", "*0\r\n"),
        ("PUBSUB NUMPAT", ":2\r\n"),
        ("PUBSUB CHANNELS", "*1\r\n$1\r\nb\r\n"),
        ("PUBSUB CHANNELS b*", "*1\r\n$1\r\nb\r\n"),
        ("PUBSUB CHANNELS c*", "*0\r\n"),
        ("PUBSUB SHARDCHANNELS", "*1\r\n$1\r\ns\r\n"),
        ("PUBSUB SHARDNUMSUB s t", "*4\r\n$1\r\ns\r\n:1\r\n$1\r\nt\r\n:0\r\n"),
        ("PUBSUB", "-ERR wrong number of arguments for 'pubsub' command\r\n"),
        ("PUBSUB NOPE", "-ERR unknown subcommand 'NOPE'. Try PUBSUB HELP.\r\n"),
        ("PUBSUB NUMPAT x", "-ERR wrong number of arguments for 'pubsub|numpat' command\r\n"),
        (
            "PUBSUB CHANNELS a b",
            "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.\r\n",
        ),
        ("PUBLISH a", "-ERR wrong number of arguments for 'publish' command\r\n"),
        ("SUBSCRIBE", "-ERR wrong number of arguments for 'subscribe' command\r\n"),
    ]);
}

#[test]
fn the_subscriptions_of_a_connection_end_with_it() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut stays = rig.connect();
        stays.ask(&[("SUBSCRIBE a", &confirmed("subscribe", "a", 1))]);
        let mut ends: Vec<Client> = (0..8).map(|_| rig.connect()).collect();
        ends[1].send("CLIENT ID");
        let id = ends[1].read_past("\r\n").trim_start_matches(':').trim().to_owned();
        for client in &mut ends {
            client.ask(&[("SUBSCRIBE a", &confirmed("subscribe", "a", 1))]);
            client.ask(&[("PSUBSCRIBE p*", &confirmed("psubscribe", "p*", 2))]);
        }
        rig.connect().ask(&[("PUBLISH a x", ":9\r\n"), ("PUBSUB NUMPAT", ":1\r\n")]);
        stays.expect(&message("a", "x"));
        // One is closed by somebody else, one ends itself, the others just go.
        for client in &mut ends[..2] {
            client.expect(&message("a", "x"));
        }
        ends[0].ask(&[("QUIT", OK)]);
        ends[0].expect_end();
        rig.connect().ask(&[(&format!("CLIENT KILL ID {id}"), ":1\r\n")]);
        ends[1].expect_end();
        drop(ends);
        rig.wait_for("PUBSUB NUMSUB a", "*2\r\n$1\r\na\r\n:1\r\n");
        rig.wait_for("PUBSUB NUMPAT", ":0\r\n");
        rig.connect().ask(&[("PUBLISH a y", ":1\r\n")]);
        stays.expect(&message("a", "y"));
    }
}

#[test]
fn ten_thousand_channels_of_one_connection_come_and_go() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let names: Vec<String> = (10_000..20_000).map(|number| format!("c{number}")).collect();
        let mut client = rig.connect();
        let words: Vec<&str> = std::iter::once("SUBSCRIBE").chain(names.iter().map(String::as_str)).collect();
        client.send_words(&words);
        for (at, name) in names.iter().enumerate() {
            client.expect(&confirmed("subscribe", name, at + 1));
        }
        rig.connect().ask(&[("PUBLISH c19999 x", ":1\r\n")]);
        client.expect(&message("c19999", "x"));
        client.ask(&[("UNSUBSCRIBE c10000", &confirmed("unsubscribe", "c10000", 9_999))]);
        drop(client);
        rig.wait_for("PUBSUB NUMSUB c10001", "*2\r\n$6\r\nc10001\r\n:0\r\n");
        rig.connect().ask(&[("PUBSUB CHANNELS", "*0\r\n")]);
    }
}

#[test]
fn too_many_subscriptions_are_refused_with_a_reason() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    let names: Vec<String> = (0..65_536).map(|name| format!("{name:06}")).collect();
    let words: Vec<&str> = std::iter::once("SUBSCRIBE").chain(names.iter().map(String::as_str)).collect();
    client.send_words(&words);
    for (at, name) in names.iter().enumerate() {
        client.expect(&confirmed("subscribe", name, at + 1));
    }
    client.ask(&[
        ("SUBSCRIBE one-more", "-ERR too many subscriptions, a connection may have 65536\r\n"),
        ("SUBSCRIBE 000000", &confirmed("subscribe", "000000", 65_536)),
    ]);

    // An engine that allows less says so for each.
    let mut fewer = limits();
    fewer.groups_per_connection = 1;
    let rig = Rig::with(Engine::new().reactors(1).limits(fewer));
    rig.connect().ask(&[(
        "SUBSCRIBE a b",
        &format!(
            "{}-ERR too many subscriptions: the connection is in as many groups as the limit allows\r\n",
            confirmed("subscribe", "a", 1)
        ),
    )]);
    rig.wait_for("PUBSUB NUMSUB b", "*2\r\n$1\r\nb\r\n:0\r\n");
}

/// One that does not read is closed as slow; the publisher and the other subscriber get on.
#[test]
fn a_slow_subscriber_is_closed_and_stalls_nobody() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut slow, mut quick) = (rig.connect(), rig.connect());
        for client in [&mut slow, &mut quick] {
            client.ask(&[("SUBSCRIBE a", &confirmed("subscribe", "a", 1))]);
        }
        let text = "x".repeat(100_000);
        let closed = || {
            let listeners = rig.running.remote().stats().into_iter().flat_map(|reactor| reactor.services);
            listeners.map(|listener| listener.closed(gannet::CloseReason::Slow)).sum::<u64>()
        };
        thread::scope(|scope| {
            let (mut publisher, rig, text) = (rig.connect(), &rig, &text);
            scope.spawn(move || {
                let mut sent = 0;
                // Far more than the kernel and the outbox hold.
                while closed() == 0 {
                    publisher.send_words(&["PUBLISH", "a", text]);
                    publisher.read_past("\r\n");
                    sent += 1;
                    assert!(sent < 10_000, "it is never closed");
                }
                // It is counted as closed a moment before it has left its channels.
                rig.wait_for("PUBSUB NUMSUB a", "*2\r\n$1\r\na\r\n:1\r\n");
                publisher.ask(&[("PUBLISH a end", ":1\r\n")]);
            });
            let end = message("a", "end");
            let one = message("a", text);
            loop {
                let head = quick.read(end.len());
                if head == end {
                    break;
                }
                assert_eq!(head, one[..end.len()]);
                quick.expect(&one[end.len()..]);
            }
        });
    }
}

/// More at once than a mailbox holds: the publisher waits for the other reactors, and nothing is lost.
#[test]
fn no_message_is_lost_however_fast_they_are_published() {
    for driver in drivers() {
        let mut small = limits();
        small.mailbox = 64;
        small.outbox_hard = 64 << 20;
        let rig = Rig::with(Engine::new().driver(driver).reactors(2).limits(small));
        let mut clients: Vec<Client> = (0..8).map(|_| rig.connect()).collect();
        for client in &mut clients {
            client.ask(&[("SUBSCRIBE c", &confirmed("subscribe", "c", 1))]);
        }
        thread::scope(|scope| {
            for name in ["x", "y"] {
                let mut publisher = rig.connect();
                scope.spawn(move || {
                    publisher.send(&format!("PUBLISH c {name}\r\n").repeat(5_000));
                    publisher.expect(&":8\r\n".repeat(5_000));
                });
            }
            for client in &mut clients {
                let text = client.read(10_000 * message("c", "x").len());
                let count = |name: &str| text.matches(&message("c", name)).count();
                assert_eq!((count("x"), count("y")), (5_000, 5_000));
            }
        });
    }
}
