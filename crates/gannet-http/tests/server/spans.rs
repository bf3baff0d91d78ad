//! Spans that the layer `TraceContext` records.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet_http::middleware::{Recover, TraceContext};
use gannet_http::{Cx, Later, Recorder, Router, Sampling, Span, SpanValue, Tracer};

use crate::rig::{PATIENCE, Rig, drivers};

struct Kept(Mutex<Sender<Span>>);

impl Recorder for Kept {
    fn record(&self, span: Span) {
        // Some tests look at none.
        let _ = self.0.lock().expect("no panic").send(span);
    }
}

fn tracer(sampling: Sampling) -> (Tracer, Receiver<Span>) {
    let (sender, spans) = channel();
    (Tracer::new(sampling, Kept(Mutex::new(sender))), spans)
}

fn panics(_: &mut Cx<'_>) {
    panic!("for a test")
}

#[track_caller]
fn value(span: &Span, key: &str) -> SpanValue {
    let mut own = span.attributes.iter().filter(|(name, _)| *name == key);
    let found = own.next().unwrap_or_else(|| panic!("no {key} in {span:?}"));
    assert!(own.next().is_none(), "{key} twice in {span:?}");
    found.1.clone()
}

#[test]
fn a_span_ends_with_the_response_whenever_that_comes_and_with_its_client() {
    for driver in drivers() {
        let (tracer, spans) = tracer(Sampling::Share(1.0));
        let (sender, tokens) = channel::<Later>();
        let sender = Arc::new(Mutex::new(sender));
        let routes = Router::new()
            .layer(TraceContext::recording(&tracer).secure(true))
            .layer(Recover)
            .get("/later", move |cx| {
                let later = cx.defer(Duration::from_secs(60));
                sender.lock().expect("no panic").send(later).expect("the test waits");
            })
            .get("/panic", panics)
            .build()
            .expect("they do not conflict");
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        client.send("GET /later HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n");
        let later = tokens.recv_timeout(PATIENCE).expect("it is deferred");
        assert!(spans.try_recv().is_err(), "it has no end yet");
        later.complete(|reply| reply.status(503)).expect("it is awaited");
        assert_eq!(client.response(false).status, 503);
        let span = spans.recv_timeout(PATIENCE).expect("a span");
        assert!(span.failed && span.name == "GET /later" && span.trace.parent_id == 0, "{span:?}");
        assert_eq!(value(&span, "http.response.status_code"), SpanValue::Number(503));
        assert_eq!(value(&span, "error.type"), SpanValue::from("503"));
        assert_eq!(value(&span, "server.address"), SpanValue::from("[::1]"));
        assert_eq!(value(&span, "url.scheme"), SpanValue::from("https"));

        client.send("GET /panic HTTP/1.1\r\nHost: h\r\n\r\nGET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        let span = spans.recv_timeout(PATIENCE).expect("a span");
        assert!(span.failed && value(&span, "error.type") == SpanValue::from("500"), "{span:?}");
        let _later = tokens.recv_timeout(PATIENCE).expect("it is deferred");
        // With something that was not read, the end is a reset; otherwise the client might still wait.
        client.stream.peek(&mut [0]).expect("a response");
        drop(client);
        let span = spans.recv_timeout(PATIENCE).expect("a span");
        assert_eq!(value(&span, "error.type"), SpanValue::from("disconnected"));

        assert_eq!(rig.ask("BREW /panic", "").status, 501);
        let span = spans.recv_timeout(PATIENCE).expect("a span");
        assert_eq!(value(&span, "http.request.method"), SpanValue::from("_OTHER"));
        assert_eq!(value(&span, "http.request.method_original"), SpanValue::from("BREW"));
        assert_eq!(span.name, "HTTP");
    }
}

#[test]
fn a_layer_that_is_left_out_changes_nothing_and_one_without_samples_still_passes_the_trace_on() {
    let (tracer, spans) = tracer(Sampling::FollowCallers(0.0));
    let none: Option<TraceContext> = None;
    let routes = Router::new()
        .layer(none)
        .layer(Some(TraceContext::recording(&tracer)))
        .get("/", |cx| cx.text("hi"))
        .build()
        .expect("a route");
    let rig = Rig::start(drivers()[0], &routes);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (traceparent, goes_on) in [(format!("00-{trace}-00f067aa0ba902b7-00"), true), (format!("{trace}-01"), false)] {
        let response = rig.ask("GET /", &format!("traceparent: {traceparent}\r\n"));
        let own = response.header("traceresponse").expect("a trace");
        assert_eq!((own.contains(trace), own.ends_with("-00")), (goes_on, true), "{own}");
    }
    assert!(spans.try_recv().is_err());
}
