//! Channels that exist outside the store too.

use std::io::Write as _;
use std::sync::{Arc, Mutex, Weak};

use gannet::Engine;
use gannet_redis::{Channels, Server};
use gannet_testing::drivers;

use crate::rig::{Rig, limits};

/// Has the channels that begin with `out:`, each with three receivers of its own.
struct Outside {
    server: Weak<Server>,
    /// Under this lock messages get their order.
    messages: Mutex<Vec<Vec<u8>>>,
}

impl Outside {
    fn add(rig: &Rig) -> Arc<Self> {
        let outside = Arc::new(Self { server: Arc::downgrade(&rig.server), messages: Mutex::default() });
        rig.server.set_channels(outside.clone());
        outside
    }

    fn send(&self, channel: &[u8], message: &[u8]) {
        let mut messages = self.messages.lock().expect("no panic");
        messages.push(message.to_vec());
        if let Some(server) = self.server.upgrade() {
            server.deliver(channel, message);
        }
    }
}

impl Channels for Outside {
    fn has(&self, channel: &[u8]) -> bool {
        channel.starts_with(b"out:")
    }

    fn publish(&self, channel: &[u8], message: &[u8]) -> Result<u64, String> {
        if message == b"refused" {
            return Err("it is refused".to_owned());
        }
        self.send(channel, message);
        Ok(3)
    }
}

/// How a message looks in RESP2.
fn message(channel: &str, text: &str) -> String {
    format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n{text}\r\n", channel.len(), text.len())
}

#[test]
fn publish_asks_for_channels_outside_first_and_its_message_comes_back_once() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let outside = Outside::add(&rig);
        let mut clients: Vec<_> = (0..4).map(|_| rig.connect()).collect();
        for client in &mut clients {
            client.ask(&[
                ("SUBSCRIBE out:a", "*3\r\n$9\r\nsubscribe\r\n$5\r\nout:a\r\n:1\r\n"),
                ("SUBSCRIBE in:a", "*3\r\n$9\r\nsubscribe\r\n$4\r\nin:a\r\n:2\r\n"),
            ]);
        }
        let mut publisher = rig.connect();
        // Three outside, and four here.
        publisher.ask(&[("PUBLISH out:a 1", ":7\r\n"), ("PUBLISH out:a refused", "-ERR it is refused\r\n")]);
        publisher.ask(&[("PUBLISH out:a 2", ":7\r\n"), ("PUBLISH out:b 3", ":3\r\n")]);
        assert_eq!(rig.server.deliver(b"out:a", b"4"), 4);
        for client in &mut clients {
            for text in ["1", "2", "4"] {
                client.expect(&message("out:a", text));
            }
        }
        publisher.ask(&[("PUBLISH in:a 5", ":4\r\n")]);
        clients.iter_mut().for_each(|client| client.expect(&message("in:a", "5")));
        assert_eq!(*outside.messages.lock().expect("no panic"), [b"1", b"2", b"3"]);
    }
}

#[test]
fn what_is_delivered_reaches_patterns_and_both_versions() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        assert_eq!(rig.server.deliver(b"out:a", b"nobody"), 0);
        let mut client = rig.connect_resp3();
        client.ask(&[
            ("SUBSCRIBE out:a", ">3\r\n$9\r\nsubscribe\r\n$5\r\nout:a\r\n:1\r\n"),
            ("PSUBSCRIBE o*", ">3\r\n$10\r\npsubscribe\r\n$2\r\no*\r\n:2\r\n"),
        ]);
        assert_eq!(rig.server.deliver(b"out:a", b"x"), 2);
        assert_eq!(rig.server.deliver(b"other", b"y"), 1);
        client.expect(">3\r\n$7\r\nmessage\r\n$5\r\nout:a\r\n$1\r\nx\r\n");
        client.expect(">4\r\n$8\r\npmessage\r\n$2\r\no*\r\n$5\r\nout:a\r\n$1\r\nx\r\n");
        client.expect(">4\r\n$8\r\npmessage\r\n$2\r\no*\r\n$5\r\nother\r\n$1\r\ny\r\n");
    }
}

#[test]
fn a_publisher_to_a_channel_outside_waits_for_a_reactor_with_a_full_mailbox_also_for_its_own() {
    const MESSAGES: usize = 2_000;
    for driver in drivers() {
        for reactors in [1, 2] {
            let mut limits = limits();
            limits.mailbox = 16;
            let rig = Rig::with(Engine::new().driver(driver).reactors(reactors).limits(limits));
            Outside::add(&rig);
            let mut client = rig.connect();
            client.ask(&[("SUBSCRIBE out:a", "*3\r\n$9\r\nsubscribe\r\n$5\r\nout:a\r\n:1\r\n")]);
            let mut publisher = rig.connect();
            let all: String = (0..MESSAGES).map(|number| format!("PUBLISH out:a {number}\r\n")).collect();
            publisher.stream.write_all(all.as_bytes()).expect("it is taken");
            publisher.expect(&":4\r\n".repeat(MESSAGES));
            for number in 0..MESSAGES {
                client.expect(&message("out:a", &number.to_string()));
            }
        }
    }
}
