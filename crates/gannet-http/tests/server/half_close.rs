//! Clients that end their side of the connection after their request, as `nc -N` does, and wait for the response.

use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gannet::Group;
use gannet_http::sse::{self, Event, Feed};
use gannet_http::{Cx, Ended, Later, Router, Source, Stream};

use crate::rig::{Client, PATIENCE, Rig, drivers};

/// Sends so many lines, with a pause after each, and says how it ended.
struct Lines {
    left: usize,
    ended: Option<Sender<Ended>>,
}

impl Source for Lines {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        if self.left == 0 {
            return out.end();
        }
        self.left -= 1;
        out.send(b"line\n");
        out.again_in(Duration::from_millis(1));
    }

    fn ended(&mut self, how: Ended) {
        if let Some(ended) = &self.ended {
            // A test may not care any more.
            let _ = ended.send(how);
        }
    }
}

/// A subscriber who says that it has joined, and how it ended.
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

fn ask(rig: &Rig, paths: &[&str]) -> Client {
    let mut client = rig.connect();
    for path in paths {
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    client.stream.shutdown(Shutdown::Write).expect("it is connected");
    client
}

#[test]
fn every_response_comes_whole_to_a_client_that_has_half_closed() {
    for driver in drivers() {
        let (tokens, tokens_here) = channel::<Later>();
        let tokens = Mutex::new(tokens);
        let routes = Router::new()
            .get("/now", |cx| cx.text("now"))
            .get("/pool", |cx| cx.offload(|| "pool", |text, reply| reply.text(text)))
            .get("/later", move |cx: &mut Cx<'_>| {
                let later = cx.defer(PATIENCE);
                tokens.lock().expect("no panic").send(later).expect("the test lives");
            })
            .get("/lines", |cx| cx.stream(Lines { left: 20, ended: None }))
            .build()
            .expect("routes");
        let rig = Rig::start(driver, &routes);
        let mut client = ask(&rig, &["/pool", "/lines", "/later", "/lines", "/now"]);
        assert_eq!(client.response(false).body, "pool");
        assert_eq!(client.response(false).body, "line\n".repeat(20));
        let later = tokens_here.recv_timeout(PATIENCE).expect("the request came");
        later.complete(|reply| reply.text("later")).expect("the client waits");
        assert_eq!(client.response(false).body, "later");
        assert_eq!(client.response(false).body, "line\n".repeat(20));
        assert_eq!(client.response(false).body, "now");
        client.expect_end();
    }
}

#[test]
fn an_old_client_that_has_half_closed_gets_the_whole_stream() {
    for driver in drivers() {
        let routes = Router::new().get("/lines", |cx| cx.stream(Lines { left: 20, ended: None }));
        let rig = Rig::start(driver, &routes.build().expect("one route"));
        let mut client = rig.connect();
        client.send("GET /lines HTTP/1.0\r\n\r\n");
        client.stream.shutdown(Shutdown::Write).expect("it is connected");
        assert!(client.rest().ends_with(&format!("\r\n\r\n{}", "line\n".repeat(20))));
    }
}

#[test]
fn events_go_on_for_a_client_that_has_half_closed_and_end_at_once_for_one_that_has_gone() {
    for driver in drivers() {
        let group = Group::new();
        let (said, says) = channel();
        let said = Mutex::new(said);
        let subscriber = move || Subscriber { feed: Feed(group), said: said.lock().expect("no panic").clone() };
        let routes = Router::new().get("/feed", move |cx| cx.events(subscriber())).build().expect("one route");
        let rig = Rig::start(driver, &routes);
        let mut client = ask(&rig, &["/feed"]);
        client.head();
        assert_eq!(says.recv_timeout(PATIENCE), Ok(None));
        assert_eq!(client.chunk().as_deref(), Some(":\n\n"), "a sign of life shows whether it is there");
        sse::broadcast(&rig.running.remote(), group, &Event::new("hello")).expect("sent");
        assert_eq!(client.chunk().as_deref(), Some("data: hello\n\n"));
        let mut gone = rig.connect();
        gone.send("GET /feed HTTP/1.1\r\nHost: h\r\n\r\n");
        gone.head();
        assert_eq!(says.recv_timeout(PATIENCE), Ok(None));
        drop(gone);
        // The next sign of life in turn would be after 15 s.
        assert_eq!(says.recv_timeout(Duration::from_secs(10)), Ok(Some(Ended::Gone)));
        drop(client);
    }
}
