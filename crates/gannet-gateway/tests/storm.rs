//! Clients that come and go while others publish, and that are cut off anywhere.

mod rig;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use gannet_channels::{Publish, Time};
use gannet_testing::until;
use rig::feed::Feed;
use rig::{Rig, drivers};

/// How far the publisher is ahead of the slowest reader at most: fewer than the history keeps.
const AHEAD: u64 = 50;

/// Readers that connect again and again, and how often each does.
const READERS: usize = 4;
const TURNS: u64 = 20;

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
                        let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
                        let now = Time(u64::try_from(now).expect("milliseconds"));
                        rig.gateway.space().publish("demo:a", Publish::new("1"), now).expect("it is taken");
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
