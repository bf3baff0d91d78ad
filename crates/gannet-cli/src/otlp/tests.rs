//! The exporter against collectors that are well, refuse, hang, or are not there.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};

use gannet_config::Loader;
use gannet_http::{Sampling, SpanKind};
use gannet_testing::{PATIENCE, free_ports, until};
use serde_json::Value;

use super::*;
use crate::settings::SCHEMA;

/// A collector that answers the n-th request with a status, or not at all; gives what came: heads and bodies.
fn collector(answer: fn(usize) -> Option<u16>) -> (SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, came) = mpsc::channel();
    std::thread::spawn(move || {
        let mut number = 0;
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            while let Some((head, body)) = request(&mut stream) {
                let status = answer(number);
                number += 1;
                let _ = sender.send((head, body));
                let Some(status) = status else {
                    // It hangs until the client goes.
                    let _ = stream.read(&mut [0]);
                    break;
                };
                let response = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}");
                if stream.get_mut().write_all(response.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (address, came)
}

fn request(stream: &mut impl std::io::BufRead) -> Option<(String, Value)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        head += &line;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).expect("JSON")))
}

/// The settings of a collector, as the table reads them.
fn settings(address: SocketAddr, more: &[(&str, &str)]) -> OtlpSettings {
    let url = format!("http://{address}");
    let mut loader = Loader::new(&SCHEMA);
    let all = [("GANNET_TRACES_COLLECTOR", &*url), ("GANNET_TRACES_SAMPLE", "1")];
    // Longer than a collector takes on a busy machine.
    let patient = ("GANNET_TRACES_TIMEOUT", "60s");
    let patient = (!more.iter().any(|(name, _)| *name == patient.0)).then_some(patient);
    loader.environment(
        all.iter().chain(&patient).chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let (values, mut problems) = loader.finish();
    let settings = OtlpSettings::of(&values.root(), &mut problems);
    problems.check().expect("settings that work");
    settings.expect("a collector")
}

fn stats(traces: &Traces) -> QueueStats {
    traces.stats().expect("they are on")
}

fn put(otlp: &Otlp, count: usize) {
    for _ in 0..count {
        otlp.tracer().end(Span::begin(otlp.tracer().begin(), SpanKind::Server, "GET /"));
    }
}

fn spans(body: &Value) -> &Vec<Value> {
    body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans")
}

#[test]
fn without_a_url_or_with_a_share_of_none_nothing_is_made() {
    for own in [&[][..], &[("GANNET_TRACES_COLLECTOR", "http://127.0.0.1:1"), ("GANNET_TRACES_SAMPLE", "0")]] {
        let mut loader = Loader::new(&SCHEMA);
        loader.environment(own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let (values, mut problems) = loader.finish();
        assert!(OtlpSettings::of(&values.root(), &mut problems).is_none() && problems.check().is_ok());
    }
}

#[test]
fn spans_leave_in_batches_with_the_headers_and_the_service_of_the_settings_and_the_last_ones_at_the_end() {
    let (address, came) = collector(|_| Some(200));
    let own = [("GANNET_TRACES_HEADERS", "Authorization: Bearer abc\nX-Tenant: t"), ("GANNET_TRACES_SERVICE", "chat")];
    let otlp = Otlp::start(Some(&settings(address, &own))).expect("a thread");
    put(&otlp, BATCH + 1);
    // A full batch does not wait for anything.
    let (head, body) = came.recv_timeout(PATIENCE).expect("a request");
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    for line in ["authorization: Bearer abc\r\n", "x-tenant: t\r\n", "content-type: application/json\r\n"] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert_eq!(spans(&body).len(), BATCH);
    let resource = &body["resourceSpans"][0]["resource"]["attributes"];
    assert_eq!(resource[0]["value"]["stringValue"], "chat");
    let queue = otlp.traces().clone();
    drop(otlp);
    let (_, body) = came.recv_timeout(PATIENCE).expect("a request");
    let [span] = &spans(&body)[..] else { panic!("{body}") };
    assert_eq!((&span["kind"], &span["name"], &span["status"]), (&2.into(), &"GET /".into(), &serde_json::json!({})));
    assert_eq!(span["traceId"].as_str().map(str::len), Some(32));
    assert_eq!(span["spanId"].as_str().map(str::len), Some(16));
    assert!(span.get("parentSpanId").is_none());
    let time = |name: &str| span[name].as_str().and_then(|text| text.parse::<u128>().ok()).expect(name);
    assert!(
        time("startTimeUnixNano") > 1_700_000_000_000_000_000 && time("endTimeUnixNano") >= time("startTimeUnixNano")
    );
    let counted = stats(&queue);
    assert_eq!((counted.exported, counted.overflowed, counted.lost, counted.failures), (BATCH as u64 + 1, 0, 0, 0));
}

#[test]
fn a_batch_that_a_collector_can_take_later_is_sent_again_and_no_other() {
    // 503 may pass; 400 never will.
    let (address, came) = collector(|number| Some([503, 200, 400, 200][number.min(3)]));
    let otlp = Otlp::start(Some(&settings(address, &[]))).expect("a thread");
    put(&otlp, BATCH);
    let (first, again) = (came.recv_timeout(PATIENCE), came.recv_timeout(PATIENCE));
    assert_eq!(first.expect("a request").1, again.expect("a request").1);
    put(&otlp, BATCH);
    came.recv_timeout(PATIENCE).expect("a request");
    until("the batch to be given up", || stats(otlp.traces()).lost == BATCH as u64);
    let counted = stats(otlp.traces());
    assert_eq!((counted.exported, counted.lost, counted.failures), (BATCH as u64, BATCH as u64, 2));
}

#[test]
fn whoever_makes_spans_never_waits_for_a_collector_that_hangs_and_the_rest_is_counted() {
    let (address, came) = collector(|_| None);
    let own = [("GANNET_TRACES_QUEUE", "100"), ("GANNET_TRACES_TIMEOUT", "100ms")];
    let otlp = Otlp::start(Some(&settings(address, &own))).expect("a thread");
    put(&otlp, 100);
    came.recv_timeout(PATIENCE).expect("a request, after a second");
    // The exporter waits for an answer, then for its next attempt.
    put(&otlp, 1_000);
    let counted = stats(otlp.traces());
    assert!(counted.waiting == 100 && counted.overflowed == 900, "{counted:?}");
    until("a failure", || stats(otlp.traces()).failures > 0);
    let queue = otlp.traces().clone();
    // The end does not wait for all of the pauses.
    drop(otlp);
    until("all to be given up", || stats(&queue).waiting == 0);
    assert_eq!(stats(&queue).exported, 0);
}

#[test]
fn a_collector_that_is_not_there_loses_spans_and_nothing_else() {
    let otlp = Otlp::start(Some(&settings(free_ports(1)[0], &[]))).expect("a thread");
    put(&otlp, 3);
    let queue = otlp.traces().clone();
    drop(otlp);
    assert_eq!((stats(&queue).lost, stats(&queue).failures), (3, 1));
}

#[test]
fn the_share_and_whether_callers_decide_are_those_of_the_settings() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    assert_eq!(settings(address, &[]).sampling, Sampling::FollowCallers(1.0));
    let own = [("GANNET_TRACES_FOLLOW_CALLERS", "false"), ("GANNET_TRACES_SAMPLE", "0.5")];
    assert_eq!(settings(address, &own).sampling, Sampling::Share(0.5));
}

#[test]
fn a_reload_turns_traces_on_moves_them_to_another_collector_and_turns_them_off_and_counters_go_on() {
    let ((first, came_first), (second, came_second)) = (collector(|_| Some(200)), collector(|_| Some(200)));
    let mut otlp = Otlp::start(None).expect("nothing starts");
    let change = |otlp: &mut Otlp, settings: Option<&OtlpSettings>| {
        let prepared = otlp.prepare(settings).expect("a thread");
        otlp.commit(prepared);
    };
    assert!(otlp.tracer().is_off() && otlp.traces().stats().is_none());
    change(&mut otlp, Some(&settings(first, &[])));
    put(&otlp, 3);
    // What waits for the first goes there, at once.
    change(&mut otlp, Some(&settings(second, &[])));
    assert_eq!(spans(&came_first.recv_timeout(PATIENCE).expect("a request").1).len(), 3);
    put(&otlp, BATCH);
    let body = came_second.recv_timeout(PATIENCE).expect("a request").1;
    assert_eq!(spans(&body).len(), BATCH);

    // Where only the sampling differs, the queue stays.
    put(&otlp, 1);
    let own = [("GANNET_TRACES_SAMPLE", "0.5"), ("GANNET_TRACES_FOLLOW_CALLERS", "false")];
    let prepared = otlp.prepare(Some(&settings(second, &own))).expect("nothing starts");
    assert!(prepared.exporting.is_none(), "it goes on");
    otlp.commit(prepared);
    // Prepared for nothing: it ends, and nothing changes.
    drop(otlp.prepare(Some(&settings(first, &[]))).expect("a thread"));
    change(&mut otlp, None);
    assert!(otlp.tracer().is_off());
    assert_eq!(spans(&came_second.recv_timeout(PATIENCE).expect("a request").1).len(), 1);
    let all = BATCH as u64 + 4;
    until("all to be counted", || stats(otlp.traces()).exported == all);
    // A request that began before has its span now.
    otlp.tracer().end(Span::begin(otlp.tracer().begin(), SpanKind::Server, "GET /"));
    let counted = stats(otlp.traces());
    assert_eq!((counted.waiting, counted.exported, counted.lost), (0, all, 1));
    assert!(came_first.try_recv().is_err(), "it gets nothing more");
}
