//! Server-sent events.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gannet::{Engine, Group, Limits};
use gannet_http::sse::{self, Event, EventError, Feed};
use gannet_http::{Ended, HttpService, Router, Source, Stream};

use crate::rig::{Client, PATIENCE, Rig, drivers};

/// A subscriber who says when it has joined, and how it ended.
struct Subscriber {
    feed: Feed,
    said: Sender<Option<Ended>>,
}

impl Source for Subscriber {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        self.feed.pull(out);
        let _ = self.said.send(None);
    }

    fn ended(&mut self, how: Ended) {
        let _ = self.said.send(Some(how));
    }
}

fn subscribe(rig: &Rig) -> Client {
    let mut client = rig.connect();
    client.send("GET /feed HTTP/1.1\r\nHost: h\r\n\r\n");
    client
}

#[test]
fn an_event_reaches_all_who_listen_and_who_does_not_read_is_closed() {
    for driver in drivers() {
        let group = Group::new();
        let (said, says) = channel();
        let said = Mutex::new(said);
        let subscriber = move || Subscriber { feed: Feed(group), said: said.lock().expect("no panic").clone() };
        let routes = Router::new().get("/feed", move |cx| cx.events(subscriber())).build().expect("one route");
        let mut limits = Limits::default();
        limits.outbox_hard = 1 << 20;
        let engine = Engine::new().driver(driver).reactors(2).limits(limits);
        let rig = Rig::of(engine, move || HttpService::new(&routes));
        let mut clients: Vec<_> = (0..10).map(|_| subscribe(&rig)).collect();
        for client in &mut clients {
            let head = client.head();
            for (name, value) in [
                ("content-type", "text/event-stream"),
                ("cache-control", "no-store"),
                ("x-accel-buffering", "no"),
                ("transfer-encoding", "chunked"),
            ] {
                assert_eq!(head.header(name), Some(value));
            }
            assert_eq!(says.recv_timeout(PATIENCE), Ok(None));
        }
        let slow = subscribe(&rig);
        assert_eq!(says.recv_timeout(PATIENCE), Ok(None));
        let data = "x".repeat(10_000);
        let mut closed = None;
        for number in 0..10_000 {
            let id = number.to_string();
            let event = Event::new(&data).id(&id);
            sse::broadcast(&rig.running.remote(), group, &event).expect("the mailbox has room");
            for client in &mut clients {
                // There are comments in between where the machine takes its time.
                let event = std::iter::from_fn(|| client.chunk()).find(|chunk| chunk != ":\n\n");
                assert_eq!(event, Some(format!("id: {id}\ndata: {data}\n\n")));
            }
            closed = says.try_iter().flatten().next();
            if closed.is_some() {
                break;
            }
        }
        assert_eq!(closed, Some(Ended::Gone), "who does not read is closed");
        drop(slow);
        let nul = Event::new("").id("\0");
        assert_eq!(sse::broadcast(&rig.running.remote(), group, &nul), Err(EventError::Id));
    }
}

#[test]
fn streams_of_events_end_when_the_server_shuts_down() {
    for driver in drivers() {
        let group = Group::new();
        let routes = Router::new().get("/feed", move |cx| cx.events(Feed(group))).build().expect("one route");
        let rig = Rig::start(driver, &routes);
        let mut client = subscribe(&rig);
        client.head();
        let mut other = subscribe(&rig);
        other.head();
        rig.running.remote().stop();
        let waits: [u64; 2] = [&mut client, &mut other].map(|client| {
            let hint = client.chunk().expect("a hint when to come back");
            let wait = hint.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
            assert_eq!(client.chunk(), None, "the body ends as it should");
            client.expect_end();
            wait.and_then(|wait| wait.parse().ok()).unwrap_or_else(|| panic!("{hint:?}"))
        });
        assert!(waits.iter().all(|wait| (1_000..5_000).contains(wait)), "{waits:?}");
        assert_ne!(waits[0], waits[1], "each has a time of its own");
    }
}

#[test]
fn an_old_client_cannot_listen_to_a_group() {
    let group = Group::new();
    let routes = Router::new().get("/feed", move |cx| cx.events(Feed(group))).build().expect("one route");
    let rig = Rig::start(drivers()[0], &routes);
    let mut client = rig.connect();
    client.send("GET /feed HTTP/1.0\r\n\r\n");
    assert_eq!(client.head().header("content-type"), Some("text/event-stream"));
    client.expect_end();
}

#[test]
fn a_comment_comes_now_and_then_between_events() {
    struct Quiet;
    impl Source for Quiet {
        fn pull(&mut self, out: &mut Stream<'_, '_>) {
            out.comment_every(Duration::from_millis(20));
        }
    }
    for driver in drivers() {
        let routes = Router::new().get("/feed", |cx| cx.events(Quiet)).build().expect("one route");
        let rig = Rig::start(driver, &routes);
        let mut client = subscribe(&rig);
        client.head();
        for _ in 0..3 {
            assert_eq!(client.chunk().as_deref(), Some(":\n\n"));
        }
    }
}

#[test]
fn who_connects_again_says_what_it_got_last() {
    let routes = Router::new().get("/", |cx| {
        let last = cx.last_event_id().unwrap_or("none").to_owned();
        cx.text(&last);
    });
    let rig = Rig::start(drivers()[0], &routes.build().expect("one route"));
    assert_eq!(rig.ask("GET /", "Last-Event-ID: 7\r\n").body, "7");
    assert_eq!(rig.ask("GET /", "").body, "none");
}
