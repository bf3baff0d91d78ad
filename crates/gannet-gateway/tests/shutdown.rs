//! An engine that stops while others publish: what each kind of client reads to its end.

mod rig;

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use gannet_channels::{Publish, Time};
use gannet_gateway::settings::{Rate, Settings};
use gannet_proto::centrifuge::{PushEvent, ReplyBody};
use gannet_testing::until;
use rig::device::Device;
use rig::feed::Feed;
use rig::{Rig, Socket, drivers};
use serde_json::Value;
use tungstenite::Message;

const CHANNEL: &str = "demo:a";

/// Publications before the stop.
const BEFORE: u64 = 300;

/// How far publishers are ahead of the slowest reader at most, so that no reader is too slow.
const AHEAD: u64 = 50;

/// Something that reads to its end.
enum Reader {
    Socket(Box<Socket>),
    Stream(Feed),
    Device(Device<std::net::TcpStream>),
}

/// What comes next.
#[derive(Debug, PartialEq)]
enum Next {
    Offset(u64),
    Disconnect(u64),
}

impl Reader {
    fn next(&mut self) -> Next {
        let message: Value = match self {
            Self::Socket(socket) => match socket.socket.read().expect("a frame") {
                Message::Text(text) => serde_json::from_str(&text).expect("one message"),
                Message::Close(close) => return Next::Disconnect(u16::from(close.expect("a code").code).into()),
                other => panic!("{other:?}"),
            },
            Self::Stream(feed) => feed.line_message(),
            Self::Device(device) => {
                return device.next(|reply| match reply.map(|reply| &reply.body) {
                    Some(ReplyBody::Push(push)) => match &push.event {
                        PushEvent::Publication(publication) => Next::Offset(publication.offset),
                        PushEvent::Disconnect(why) => Next::Disconnect(why.code.into()),
                        other => panic!("{other:?}"),
                    },
                    other => panic!("{other:?}"),
                });
            }
        };
        match message["push"]["disconnect"]["code"].as_u64() {
            Some(code) => Next::Disconnect(code),
            None => Next::Offset(message["push"]["pub"]["offset"].as_u64().unwrap_or_else(|| panic!("{message}"))),
        }
    }

    /// Nothing follows.
    fn is_over(&mut self) -> bool {
        match self {
            Self::Socket(socket) => matches!(socket.socket.read(), Err(tungstenite::Error::ConnectionClosed)),
            Self::Stream(feed) => feed.rest().is_empty() && feed.stream.read(&mut [0]).expect("an end") == 0,
            Self::Device(device) => device.next(|reply| reply.is_none()),
        }
    }
}

fn readers(rig: &Rig) -> Vec<Reader> {
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Reader::Socket(Box::new(rig.subscribed(CHANNEL))));
        let commands =
            format!("{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{CHANNEL}\"}}}}");
        let mut feed = Feed::post(rig, "/connection/http_stream", &commands);
        assert!(feed.line_message()["connect"].is_object() && feed.line_message()["subscribe"].is_object());
        readers.push(Reader::Stream(feed));
        let mut device = Device::connect(rig);
        device.subscribe(CHANNEL);
        readers.push(Reader::Device(device));
    }
    readers
}

fn now() -> Time {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    Time(u64::try_from(now).expect("milliseconds"))
}

/// Says that all readers have ended, so that publishers end, too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Publishes until the server has closed the connection. Each publication gets a reply, or that end.
fn publish_as_a_client(mut speaker: Socket, wait: impl Fn(), published: &AtomicU64) {
    loop {
        wait();
        // What is sent after the end is an error, and the end is read all the same.
        let _ =
            speaker.socket.send(Message::text(format!(r#"{{"id":7,"publish":{{"channel":"{CHANNEL}","data":1}}}}"#)));
        match speaker.socket.read() {
            Ok(Message::Text(text)) => assert_eq!(text.as_str(), r#"{"id":7,"publish":{}}"#),
            Ok(Message::Close(close)) => return assert_eq!(u16::from(close.expect("a code").code), 3001),
            Ok(other) => panic!("{other:?}"),
            Err(_) => return,
        }
        published.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_engine_that_stops_while_others_publish_sends_every_client_all_up_to_its_3001_and_nothing_behind_it() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        settings.channels.namespaces[0].options.join_leave = false;
        settings.channels.namespaces[0].options.allow_publish_for_client = true;
        let any = Rate { per_second: 0, burst: 0 };
        (settings.client.commands, settings.client.publications) = (any, any);
        let rig = Rig::start(driver, settings);
        let (space, remote) = (rig.gateway.space().clone(), rig.running.remote());
        let (readers, speaker) = (readers(&rig), rig.connected());
        let heard: Vec<_> = readers.iter().map(|_| AtomicU64::new(0)).collect();
        let (published, is_over) = (&AtomicU64::new(0), &AtomicBool::new(false));
        // The slowest reader that has not ended is near.
        let wait = || {
            let slowest = || heard.iter().map(|heard| heard.load(Ordering::Relaxed)).min().unwrap_or(0);
            while !is_over.load(Ordering::Relaxed)
                && published.load(Ordering::Relaxed) >= slowest().saturating_add(AHEAD)
            {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            // However it ends.
            let _over = Over(is_over);
            scope.spawn(|| publish_as_a_client(speaker, wait, published));
            scope.spawn(|| {
                // It goes on after the engine has ended: nobody is there, and nothing waits for anybody.
                while !is_over.load(Ordering::Relaxed) {
                    wait();
                    space.publish(CHANNEL, Publish::new("1"), now()).expect("it is taken");
                    published.fetch_add(1, Ordering::Relaxed);
                }
            });
            let mut all = Vec::new();
            for (mut reader, heard) in readers.into_iter().zip(&heard) {
                all.push(scope.spawn(move || {
                    let mut offset = 0;
                    let code = loop {
                        match reader.next() {
                            Next::Offset(next) => assert_eq!(next, offset + 1),
                            Next::Disconnect(code) => break code,
                        }
                        offset += 1;
                        heard.store(offset, Ordering::Relaxed);
                    };
                    heard.store(u64::MAX, Ordering::Relaxed);
                    assert_eq!(code, 3001);
                    assert!(reader.is_over(), "something follows");
                    offset
                }));
            }
            until("publications", || {
                published.load(Ordering::Relaxed) >= BEFORE || all.iter().any(|one| one.is_finished())
            });
            remote.stop();
            for reader in all {
                let offset = reader.join().expect("a reader");
                assert!(offset >= BEFORE - 2 * AHEAD, "{offset}");
            }
        });
        rig.running.join().expect("it ends");
    }
}
