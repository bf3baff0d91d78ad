//! Traces: requests, calls to the application and publications, as a collector of OpenTelemetry gets them.

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};

use gannet_testing::PATIENCE;
use serde_json::Value;

use crate::server::{Server, drivers};

/// The trace of a caller, which wants it recorded.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A server of HTTP that answers everything with this; gives heads and bodies.
fn answering(answer: &'static str) -> (SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, came) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            while let Some(request) = request(&mut stream) {
                let _ = sender.send(request);
                let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
                let _ = stream.get_mut().write_all(response.as_bytes());
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
        let line = line.to_ascii_lowercase();
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        head += &line;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).expect("JSON")))
}

/// A span with its attributes as texts.
#[derive(Debug)]
struct Span {
    id: String,
    parent: String,
    trace: String,
    kind: u64,
    name: String,
    failed: bool,
    attributes: BTreeMap<String, String>,
}

/// All spans of requests to a collector, which has nobody any more who sends some.
fn spans(came: &Receiver<(String, Value)>) -> Vec<Span> {
    let mut spans = Vec::new();
    while let Ok((_, body)) = came.try_recv() {
        for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans") {
            let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
            let attributes = span["attributes"].as_array().expect("attributes").iter().map(|own| {
                let value = &own["value"];
                let value = value["stringValue"].as_str().or_else(|| value["intValue"].as_str());
                (own["key"].as_str().expect("a key").to_owned(), value.expect("a value").to_owned())
            });
            spans.push(Span {
                id: text("spanId"),
                parent: text("parentSpanId"),
                trace: text("traceId"),
                kind: span["kind"].as_u64().expect("a kind"),
                name: text("name"),
                failed: span["status"]["code"] == 2,
                attributes: attributes.collect(),
            });
        }
    }
    spans
}

fn find<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// Sends a request on a connection of its own, and gives the beginning of the response up to this text.
fn ask(server: &Server, service: &str, request: &str, headers: &str, body: &str, until: &str) -> String {
    let mut stream = server.connect(service);
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: 127.0.0.1:81\r\nUser-Agent: t/1\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).expect("it is taken");
    let (mut came, mut piece) = (Vec::new(), [0; 1_024]);
    loop {
        let count = stream.read(&mut piece).expect("a response");
        came.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&came);
        if text.contains(until) {
            return text.into_owned();
        }
        assert!(count > 0, "it ends before {until}: {text}");
    }
}

#[test]
fn a_trace_goes_on_from_a_request_to_the_application_and_to_publications() {
    for driver in drivers() {
        let (application, asked) = answering(r#"{"result":{"user":"ann"}}"#);
        let (collector, came) = answering("{}");
        let options = [
            "--listen=http=tcp://127.0.0.1:0".to_owned(),
            "--listen=push=tcp://127.0.0.1:0".to_owned(),
            "--push-namespace=demo:history_size=1,history_ttl=1m".to_owned(),
            format!("--push-proxy=connect=http://{application}/connect?key=secret"),
            format!("--traces-collector=http://{collector}"),
        ];
        let server = Server::serve(driver, &options.each_ref().map(String::as_str));
        let traceparent = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
        let said = ask(&server, "http", "GET /hello/ann?secret=1", &traceparent, "", "hello ann\n");
        assert!(said.contains(&format!("traceresponse: 00-{TRACE}-")), "{said}");
        ask(&server, "http", "GET /nowhere", &traceparent, "", "404");
        // The share of traces that begin here is 1 %, and callers that do not record decide for themselves.
        ask(&server, "http", "GET /healthz", &traceparent.replace("-01", "-00"), "", "ok\n");
        ask(&server, "push", "POST /connection/uni_http_stream", &traceparent, "{}", "\"client\"");
        let publish = r#"{"channel":"demo:a","data":{"n":1}}"#;
        ask(&server, "push", "POST /api/publish", &traceparent, publish, "\"offset\"");
        let (head, _) = asked.recv_timeout(PATIENCE).expect("a question");
        server.stop();
        let spans = spans(&came);
        assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
        assert_eq!(spans.len(), 6, "{spans:#?}");

        let hello = find(&spans, "GET /hello/{name}");
        assert_eq!((hello.kind, &*hello.parent, hello.failed), (2, CALLER, false));
        for (key, value) in [
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.route", "/hello/{name}"),
            ("url.path", "/hello/ann"),
            ("url.scheme", "http"),
            ("network.protocol.version", "1.1"),
            ("client.address", "127.0.0.1"),
            ("server.address", "127.0.0.1"),
            ("server.port", "81"),
            ("user_agent.original", "t/1"),
        ] {
            assert_eq!(hello.attributes.get(key).map(String::as_str), Some(value), "{key}");
        }
        let missing = find(&spans, "GET");
        assert_eq!(missing.attributes["http.response.status_code"], "404");
        assert!(!missing.failed && !missing.attributes.contains_key("http.route"));

        let (stream, call) = (find(&spans, "POST /connection/uni_http_stream"), find(&spans, "POST /connect"));
        assert_eq!((call.kind, &call.parent, call.failed), (3, &stream.id, false));
        assert_eq!(call.attributes["url.full"], format!("http://{application}/connect"));
        assert_eq!(call.attributes["http.response.status_code"], "200");
        assert_eq!(call.attributes["server.port"], application.port().to_string());
        assert!(head.contains(&format!("traceparent: 00-{TRACE}-{}-01\r\n", call.id)), "{head}");

        let (api, publication) = (find(&spans, "POST /api/{method}"), find(&spans, "publish"));
        assert_eq!((publication.kind, &publication.parent, publication.failed), (4, &api.id, false));
        for (key, value) in [
            ("messaging.system", "gannet"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "demo:a"),
            ("messaging.message.body.size", "7"),
        ] {
            assert_eq!(publication.attributes.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(spans.iter().all(|span| span.attributes.values().all(|value| !value.contains("secret"))), "{spans:#?}");
    }
}

#[test]
fn a_collector_that_never_answers_holds_up_no_request_and_the_metrics_say_what_was_dropped() {
    for driver in drivers() {
        // The kernel takes connections; nobody reads them.
        let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("--traces-collector=http://{}", collector.local_addr().expect("an address"));
        let options = ["--listen=http=tcp://127.0.0.1:0", &url, "--traces-sample=1"];
        let mut command = crate::server::gannet(&["serve", "--driver", driver, "--reactors", "2", "--log", "json"]);
        command.args(options).env("GANNET_TRACES_QUEUE", "10").env("GANNET_TRACES_TIMEOUT", "3s");
        let mut server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
        // Longer than these take, so that few of their spans leave the queue meanwhile.
        for _ in 0..40 {
            ask(&server, "http", "GET /healthz", "", "", "ok\n");
        }
        let metrics =
            ask(&server, "http", "GET /metrics", "", "", "gannet_traces_dropped_spans_total{reason=\"collector\"}");
        let dropped = metrics.split("gannet_traces_dropped_spans_total{reason=\"queue\"} ").nth(1).expect("a counter");
        let dropped: u32 = dropped.lines().next().and_then(|count| count.parse().ok()).expect("a number");
        assert!((1..=30).contains(&dropped), "{dropped}");
        let is_it = |text: &str| text.starts_with("the collector takes no spans");
        let event = server.wait_for(|event| event["message"].as_str().is_some_and(is_it));
        assert_eq!(event["level"], "WARN");
        assert!(server.stop().status.success());
    }
}
