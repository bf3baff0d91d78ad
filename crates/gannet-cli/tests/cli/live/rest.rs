//! The log, traces, the admin socket, the store, services over HTTP, and what happens at the end.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use gannet_testing::until;
use rustix::process::Signal;
use serde_json::json;

use super::network::choked;
use super::push::Application;
use super::{TOKEN, Walk};
use crate::server::Stream;

pub(super) fn steps(walk: &mut Walk) {
    log(walk);
    traces(walk);
    admin(walk);
    http(walk);
    store(walk);
}

fn log(walk: &mut Walk) {
    walk.set(&[("log.level", "\"info\"")], &[]);
    walk.server.wait_for(|event| event["message"] == "reloaded");
    walk.set(&[("log.format", "\"text\"")], &[("log.level", "\"info\"")]);
    walk.server.wait_for_line(|line| line.contains(" INFO reloaded "));
    walk.set(&[("log.stats", "\"20ms\"")], &[]);
    walk.server.wait_for(|event| event["message"] == "stats");
    walk.set(&[("log.access", "true")], &[]);
    walk.http("web", "GET /hello/ann", "", "");
    walk.server.wait_for(|event| event.to_string().contains("/hello/ann"));
    walk.set(&[("log.audit", "\"FOLDER/audit.log\"")], &[]);
    assert_eq!(walk.order("kick", "{\"cidr\":\"192.0.2.0/24\"}").0, 200);
    let file = walk.folder.path("audit.log");
    until("a line", || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"kick\"")));
}

fn traces(walk: &mut Walk) {
    let collector = Application::start();
    collector.answers("/v1/traces", json!({}));
    let url = collector.url("");
    let hello =
        |walk: &Walk, fields: &str| assert!(walk.http("web", "GET /hello/ann", fields, "").ends_with("hello ann\n"));
    let (to, all) = (("traces.collector", &*url), ("traces.sample", "\"1\""));
    // A change has what waits be sent at once.
    walk.set(&[to, all], &[]);
    hello(walk, "");
    walk.set(&[("traces.service", "\"chat\"")], &[to, all]);
    assert!(collector.asked("/v1/traces").1.contains("GET /hello/{name}"));
    hello(walk, "");
    std::fs::write(walk.folder.path("header"), "X-Tenant: blue").expect("our folder");
    walk.set(&[("traces.headers", "[{ file = \"FOLDER/header\" }]")], &[to, all]);
    assert!(collector.asked("/v1/traces").1.contains("\"chat\""));
    hello(walk, "");
    walk.set(&[("traces.follow_callers", "false")], &[to, all]);
    assert!(collector.asked("/v1/traces").0.contains("x-tenant: blue"));
    // A caller that does not record decides for its own request, unless it is not followed.
    hello(walk, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n");
    walk.set(&[], &[]);
    assert!(collector.asked("/v1/traces").1.contains("4bf92f3577b34da6a3ce929d0e0e4736"));

    // A collector that never answers.
    let hangs = collector.url("/hangs");
    let to_nobody = ("traces.collector", &*hangs);
    let dropped = |walk: &Walk| walk.metric("gannet_traces_dropped_spans_total", "queue");
    let before = dropped(walk);
    walk.set(&[("traces.queue", "1")], &[to_nobody, all]);
    until("a span to be dropped", || {
        hello(walk, "");
        dropped(walk) > before
    });
    let failed = |walk: &Walk| walk.metric("gannet_traces_export_failures_total", "");
    let before = failed(walk);
    walk.set(&[("traces.timeout", "\"30ms\"")], &[to_nobody, all]);
    hello(walk, "");
    walk.set(&[], &[]);
    until("a failure", || failed(walk) > before);
    // A server of TLS that this authority vouches for: its answer is a 404, and no failure of TLS.
    let spare = format!("\"https://localhost:{}/v1/traces\"", walk.address("spare").port());
    walk.set(&[("traces.ca", "\"FOLDER/ca.pem\"")], &[("traces.collector", &spare), all]);
    hello(walk, "");
    walk.set(&[], &[]);
    walk.server.wait_for(|event| event["error"] == "status 404");
}

fn admin(walk: &mut Walk) {
    let wrong = |walk: &Walk| walk.order_with("kick", "{\"cidr\":\"192.0.2.0/24\"}", "fedcba9876543210").0;
    assert_eq!(wrong(walk), 200, "no token is asked for");
    for (key, value) in [("admin.token", "{ file = \"FOLDER/token\" }"), ("admin.token_file", "\"FOLDER/token\"")] {
        walk.set(&[(key, value)], &[]);
        assert_eq!(wrong(walk), 401, "{key}");
        assert_eq!(walk.order_with("kick", "{\"cidr\":\"192.0.2.0/24\"}", TOKEN).0, 200);
    }
}

/// Upgrades a connection to `/ws/echo`, and gives the head of the response with it.
fn echo(walk: &Walk) -> (Stream, String) {
    let mut stream = walk.connect("web");
    write!(
        stream,
        "GET /ws/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("it reads");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0].into());
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    (stream, head)
}

fn http(walk: &mut Walk) {
    assert!(!echo(walk).1.contains("permessage-deflate"));
    walk.set(&[("http.websocket_deflate", "true")], &[]);
    assert!(echo(walk).1.contains("permessage-deflate"));
}

fn store(walk: &mut Walk) {
    walk.set(&[("redis.password", "{ file = \"FOLDER/password\" }")], &[]);
    walk.connect("store").ask(b"GET key\r\n", b"-NOAUTH Authentication required.\r\n");

    // A client of another machine, as a load balancer says.
    let proxied = ("listener.store.proxy", "[\"127.0.0.0/8\"]");
    let ping = b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nPING\r\n";
    walk.set(&[], &[proxied]);
    walk.connect("store").ask(ping, b"-DENIED");
    walk.set(&[("redis.protected_mode", "false")], &[proxied]);
    walk.connect("store").ask(ping, b"+PONG\r\n");

    walk.set(&[("redis.max_memory", "1")], &[]);
    walk.connect("store").ask(b"SET key value\r\n", b"-OOM");
    walk.set(&[("redis.max_memory_policy", "\"allkeys-lru\"")], &[("redis.max_memory", "\"1MiB\"")]);
    walk.connect("store")
        .ask(b"CONFIG GET maxmemory-policy\r\n", b"*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n");

    let large = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 2 << 20);
    let mut early = walk.connect("store");
    early.ask(b"PING\r\n", b"+PONG\r\n");
    walk.set(&[("redis.max_value", "\"1MiB\"")], &[]);
    walk.connect("store").ask(large.as_bytes(), b"-ERR Protocol error: invalid bulk length\r\n");
    // Who was there may still send it. The result of a command has the new limit.
    early.ask(&[large.as_bytes(), &vec![b'a'; 2 << 20], b"\r\n"].concat(), b"+OK\r\n");
    early.ask(b"SETRANGE s 2000000 a\r\n", b"-ERR string exceeds maximum allowed size");
    walk.set(&[], &[]);
    walk.connect("store").ask(b"SET k v\r\n", b"+OK\r\n");
}

/// What a shutdown does: the last step, since there is no other after it.
pub(super) fn end(mut walk: Walk) -> BTreeSet<String> {
    walk.set(
        &[
            ("drain.delay", "\"2s\""),
            ("drain.spread", "\"1s\""),
            ("drain.timeout", "\"30ms\""),
            ("drain.websocket_code", "\"1001\""),
        ],
        &[],
    );
    let clients: Vec<Stream> = (0..8).map(|_| echo(&walk).0).collect();
    // It reads nothing, so only the deadline ends it: without one, the process would run on for an hour.
    let stubborn = choked(&walk);
    walk.server.signal(Signal::TERM);
    // Before it shuts down, it says that it will.
    until("the word for load balancers", || walk.http("web", "GET /readyz", "", "").starts_with("HTTP/1.1 503"));
    #[expect(clippy::disallowed_methods, reason = "the pace of a drain is a time")]
    let told: Vec<_> = clients
        .into_iter()
        .map(|client| {
            std::thread::spawn(move || {
                let (mut client, mut frame) = (client, [0; 4]);
                client.read_exact(&mut frame).expect("it is told");
                (frame, std::time::Instant::now())
            })
        })
        .collect();
    let told: Vec<_> = told.into_iter().map(|one| one.join().expect("no panic")).collect();
    // A close frame with 1001.
    assert!(told.iter().all(|(frame, _)| frame[0] == 0x88 && frame[2..] == [0x03, 0xe9]), "{told:?}");
    let times = || told.iter().map(|(_, at)| *at);
    let pace = times().max().expect("one").duration_since(times().min().expect("one"));
    assert!(pace.as_millis() >= 100, "they were told {pace:?} apart");
    let Walk { server, covered, .. } = walk;
    assert!(server.ended().status.success());
    drop(stubborn);
    covered
}
