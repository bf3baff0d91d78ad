//! Clients that come and go while others publish, and that are cut off anywhere.

mod rig;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use gannet_channels::{Publish, Time};
use gannet_gateway::Secret;
use gannet_gateway::settings::Settings;
use gannet_gateway::token::Issue;
use gannet_testing::until;
use rig::feed::Feed;
use rig::{Rig, Socket, drivers};
use serde_json::{Value, json};
use tungstenite::Message;

/// How far the publisher is ahead of the slowest reader at most: fewer than the history keeps.
const AHEAD: u64 = 50;

/// Readers that connect again and again, and how often each does.
const READERS: usize = 4;
const TURNS: u64 = 20;

fn now() -> Time {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    Time(u64::try_from(now).expect("milliseconds"))
}

#[test]
fn an_event_source_that_connects_again_and_again_while_others_publish_misses_nothing() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let last: [AtomicU64; READERS] = Default::default();
        std::thread::scope(|scope| {
            let mut readers = Vec::new();
            for (reader, last) in last.iter().enumerate() {
                let rig = &rig;
                readers.push(scope.spawn(move || {
                    let (mut id, mut offset) = (String::new(), 0);
                    for turn in 0..TURNS {
                        let fields = if turn == 0 { String::new() } else { format!("Last-Event-ID: {id}\r\n") };
                        let mut feed = Feed::get(rig, "/events?channel=demo:a", &fields);
                        // A different number of events each time, and the connection is cut wherever it is.
                        let mut left = 1 + (turn * 7 + reader as u64) % 13;
                        while left > 0 {
                            let event = feed.event();
                            assert!(!event.contains("unrecovered"), "after {id}: {event}");
                            let Some(found) = event.lines().find_map(|line| line.strip_prefix("id: ")) else {
                                continue;
                            };
                            found.clone_into(&mut id);
                            if !event.contains("data: ") {
                                continue;
                            }
                            let next: u64 = id.rsplit_once(':').expect("a position").1.parse().expect("an offset");
                            assert_eq!(next, offset + 1, "reader {reader} in turn {turn}");
                            offset = next;
                            last.store(offset, Ordering::Relaxed);
                            left -= 1;
                        }
                    }
                    last.store(u64::MAX, Ordering::Relaxed);
                }));
            }
            // All are there before the first publication, so that each has a position.
            until("the readers", || {
                rig.gateway.space().subscribers("demo:a").is_ok_and(|count| count == READERS as u32)
            });
            let slowest = || last.iter().map(|last| last.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX);
            let mut published = 0;
            // One that has failed would be waited for for ever.
            let failed = || {
                readers
                    .iter()
                    .zip(&last)
                    .any(|(own, last)| own.is_finished() && last.load(Ordering::Relaxed) != u64::MAX)
            };
            while !failed() {
                match slowest() {
                    u64::MAX => break,
                    slowest if published >= slowest + AHEAD => std::thread::yield_now(),
                    _ => {
                        rig.gateway.space().publish("demo:a", Publish::new("1"), now()).expect("it is taken");
                        published += 1;
                    }
                }
            }
        });
    }
}

#[test]
fn clients_that_are_cut_off_anywhere_in_their_connect_leave_nothing_behind() {
    let commands = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"demo:a\"}}";
    let mut bytes =
        b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81"
            .to_vec();
    bytes.push(0x80 | u8::try_from(commands.len()).expect("it is short"));
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(commands.as_bytes());
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut witness = rig.subscribed("demo:a");
        for cut in 0..=bytes.len() {
            let mut stream = rig.tcp();
            stream.write_all(&bytes[..cut]).expect("it is taken");
            match cut % 3 {
                // With an end, and with what came unread, which is a reset.
                0 => drop(stream),
                // With an end of the own side only, and then everything is read.
                1 => {
                    stream.shutdown(Shutdown::Write).expect("an end");
                    let mut rest = Vec::new();
                    // Whether it is reset or not, it ends.
                    let _ = stream.read_to_end(&mut rest);
                }
                _ => {
                    let whole = rig.subscribed("demo:a");
                    drop((stream, whole));
                }
            }
        }
        until("one client", || rig.gateway.space().stats().clients == 1);
        let stats = rig.gateway.space().presence_stats("demo:a").expect("presence");
        assert_eq!((stats.clients, rig.gateway.space().subscribers("demo:a")), (1, Ok(1)));
        rig.publish("demo:a", "1");
        assert_eq!(witness.push()["pub"]["data"], 1);
    }
}

/// Clients whose channels the server subscribes them to.
const CLIENTS: usize = 8;
const CHANNELS: [&str; 2] = ["demo:a", "demo:b"];

/// How far publishers are ahead of the slowest client at most: enough for publications to go on while that client connects.
const CLIENT_AHEAD: u64 = 200;

/// The offsets of both channels that a client has seen. One that is not there any more holds up nobody.
#[derive(Default)]
struct Heard([AtomicU64; CHANNELS.len()]);

/// Marks the end of a client, however it ends.
struct Ends<'a>(&'a Heard, &'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.0.iter().for_each(|heard| heard.store(u64::MAX, Ordering::Relaxed));
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client that keeps its positions from one connection to the next.
struct Persistent<'a> {
    heard: &'a Heard,
    /// Offset and epoch of each channel; none before the first connect.
    positions: [Option<(u64, String)>; CHANNELS.len()],
}

impl Persistent<'_> {
    fn connect(&self, token: &str) -> String {
        let known = CHANNELS.iter().zip(&self.positions).filter_map(|(channel, position)| {
            let (offset, epoch) = position.as_ref()?;
            Some(((*channel).to_owned(), json!({"recover": true, "offset": offset, "epoch": epoch})))
        });
        let subs: serde_json::Map<_, _> = known.collect();
        format!(r#""connect":{{"token":"{token}","subs":{}}}"#, Value::from(subs))
    }

    /// Takes the reply to connect: everything that was missed has come.
    fn connected(&mut self, reply: &Value) {
        for (number, channel) in CHANNELS.iter().enumerate() {
            let result = &reply["connect"]["subs"][channel];
            assert!(result.is_object(), "{reply}");
            if self.positions[number].is_none() {
                let epoch = result["epoch"].as_str().expect("an epoch").to_owned();
                let offset = result["offset"].as_u64().unwrap_or(0);
                self.positions[number] = Some((offset, epoch));
                self.heard.0[number].store(offset, Ordering::Relaxed);
            } else {
                assert_eq!(result["recovered"], true, "{channel}: {result}");
                result["publications"].as_array().into_iter().flatten().for_each(|missed| self.next(number, missed));
            }
        }
    }

    /// Takes the next publication of a channel.
    fn next(&mut self, channel: usize, publication: &Value) {
        let (offset, _) = self.positions[channel].as_mut().expect("it has connected");
        assert_eq!(publication["offset"], *offset + 1, "{}", CHANNELS[channel]);
        *offset += 1;
        self.heard.0[channel].store(*offset, Ordering::Relaxed);
    }

    /// Connects, reads so many publications, and stops reading.
    fn turn(&mut self, socket: &mut Socket, token: &str, mut left: u64) {
        let id = socket.command(&self.connect(token));
        let mut frame = socket.frame();
        let reply = frame.remove(0);
        assert_eq!(reply["id"], id, "it comes before all pushes: {reply}");
        self.connected(&reply);
        loop {
            for message in frame.drain(..) {
                let channel = CHANNELS.iter().position(|channel| message["push"]["channel"] == *channel);
                self.next(channel.unwrap_or_else(|| panic!("{message}")), &message["push"]["pub"]);
                left = left.saturating_sub(1);
            }
            if left == 0 {
                return;
            }
            match socket.socket.read().expect("a frame") {
                Message::Text(text) => {
                    frame.extend(text.split('\n').map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn server_side_channels_that_are_published_to_without_pause_recover_at_every_connect() {
    let secret = Secret::from("a secret that is long enough");
    let issue = Issue { sub: "ann".to_owned(), channels: CHANNELS.map(str::to_owned).to_vec(), ..Issue::default() };
    let token = &*issue.sign(&secret).expect("a token");
    for driver in drivers() {
        let mut settings = Settings::demo();
        // All of it: a connect that was cut off may be carried out when the others are far ahead, and recovers, too.
        settings.channels.namespaces[0].options.history_size = 1 << 20;
        (settings.channels.limits.recovery, settings.channels.limits.recovery_bytes) = (1 << 20, 1 << 30);
        settings.channels.namespaces[0].options.join_leave = false;
        settings.tokens.secrets = vec![secret.clone()];
        let rig = &Rig::start(driver, settings);
        let heard: &[Heard; CLIENTS] = &Default::default();
        let (running, published) = (&AtomicUsize::new(CLIENTS), &Heard::default());
        std::thread::scope(|scope| {
            for (number, heard) in heard.iter().enumerate() {
                scope.spawn(move || {
                    let _ends = Ends(heard, running);
                    let mut client = Persistent { heard, positions: Default::default() };
                    for turn in 0..TURNS {
                        // Cut off in the middle of a connect, with a reply unread, and in the middle of a command.
                        let mut lost = rig.websocket();
                        match turn % 3 {
                            0 => _ = lost.command(&client.connect(token)),
                            1 => lost.socket.get_mut().write_all(b"\x81\xfe\x00").expect("it is taken"),
                            _ => {}
                        }
                        drop(lost);
                        // A different number of publications each time; more of them are on their way.
                        client.turn(&mut rig.websocket(), token, (turn * 7 + number as u64) % 13);
                    }
                });
            }
            for first in 0..CHANNELS.len() {
                scope.spawn(move || {
                    let mut channel = first;
                    while running.load(Ordering::Relaxed) > 0 {
                        let slowest = heard.iter().map(|heard| heard.0[channel].load(Ordering::Relaxed)).min();
                        let most = slowest.unwrap_or(0).saturating_add(CLIENT_AHEAD);
                        if published.0[channel].load(Ordering::Relaxed) < most {
                            let taken = rig.gateway.space().publish(CHANNELS[channel], Publish::new("1"), now());
                            published.0[channel].fetch_max(taken.expect("it is taken").offset, Ordering::Relaxed);
                        } else {
                            std::thread::yield_now();
                        }
                        channel = (channel + 1) % CHANNELS.len();
                    }
                });
            }
        });
        until("nobody to be left", || rig.gateway.space().stats().clients == 0);
        assert_eq!(rig.gateway.space().stats().namespaces[0].unrecovered, 0);
    }
}
