//! What the log of requests says.

mod rig;

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gannet_http::Router;
use gannet_http::middleware::{AccessLog, Recover, RequestId, TraceContext};
use gannet_http::websocket::{Handler, Handshake, Socket};
use rig::{PATIENCE, Rig, drivers};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Takes down the lines of the log, each as its fields.
struct Lines(Mutex<Sender<String>>);

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "gannet_http::access"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let _ = self.0.lock().expect("no panic").send(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What a trace is called.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A conversation in which nothing is said.
struct Mute;

impl Handler for Mute {
    fn text(&mut self, _: &str, _: &mut Socket<'_>) {}

    fn binary(&mut self, _: &[u8], _: &mut Socket<'_>) {}
}

#[test]
fn a_line_says_what_became_of_a_request_whenever_that_was() {
    let (sender, lines) = channel();
    tracing::subscriber::set_global_default(Lines(Mutex::new(sender))).expect("this is the only test here");
    let routes = Router::new()
        .layer(TraceContext::new())
        .layer(RequestId::new())
        .layer(AccessLog)
        .layer(Recover)
        .get("/now", |cx| cx.refuse(404, "no"))
        .get("/later", |cx| cx.offload(|| (), |(), reply| reply.refuse(418, "later")))
        .get("/fault", |cx| cx.header("X-A", "a\r\nb"))
        .get("/upgrade", |cx| cx.websocket(&Handshake::new(), Mute))
        .get("/late", |cx| {
            let later = cx.defer(Duration::from_millis(30));
            std::thread::spawn(move || {
                // Until the deadline is over, for which the client waits too.
                std::thread::park_timeout(PATIENCE);
                drop(later);
            });
        })
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    for (path, status, bytes, took) in
        [("/now", 404, 2, false), ("/fault", 500, 22, false), ("/later", 418, 5, true), ("/late", 503, 20, true)]
    {
        let response = rig.ask(
            &format!("GET {path}?secret"),
            &format!("X-Request-Id: named\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n"),
        );
        assert_eq!(response.status, status);
        let line = lines.recv_timeout(PATIENCE).expect("a line");
        for said in [
            "method=\"GET\" ",
            "request_id=\"named\" ",
            &format!("trace_id={TRACE} "),
            &format!("path=\"{path}\" status={status} bytes={bytes} "),
        ] {
            assert!(line.contains(said), "{said} is missing: {line}");
        }
        assert_eq!(line.contains("took_ms="), took, "{line}");
        if path == "/late" {
            let took = line.split("took_ms=").nth(1).and_then(|rest| rest.split(' ').next());
            // The reactor counts in whole milliseconds: a deadline may be over up to one of them early.
            assert!(took.and_then(|took| took.parse().ok()).is_some_and(|took: u64| took >= 29), "{line}");
        }
    }
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(rig.ask("GET /upgrade", upgrade).status, 101);
    let line = lines.recv_timeout(PATIENCE).expect("a line");
    assert!(line.contains("path=\"/upgrade\" status=101 "), "{line}");
    assert!(lines.try_recv().is_err(), "one line each");
}
