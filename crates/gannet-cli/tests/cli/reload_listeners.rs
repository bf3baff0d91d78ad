//! Listeners, limits and deadlines that change while clients are connected.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gannet_testing::{free_ports, until};
use serde_json::{Value, json};

use crate::reload::Rig;
use crate::server::{Server, Stream, drivers};

const HTTP: &str = "[[listener]]\nname = \"http\"\nservice = \"http\"\nurl = \"unix://FOLDER/http.sock\"\n";

pub(crate) fn listener(name: &str, service: &str, at: SocketAddr, more: &str) -> String {
    format!("[[listener]]\nname = \"{name}\"\nservice = \"{service}\"\nurl = \"tcp://{at}\"\n{more}\n")
}

fn connect(at: SocketAddr) -> Stream {
    Stream::connect(&format!("tcp://{at}"))
}

/// Whether nobody is let in: the connection fails, or ends without an answer.
fn refuses(at: SocketAddr) -> bool {
    let Ok(mut stream) = std::net::TcpStream::connect(at) else { return true };
    let _ = stream.write_all(b"?\n");
    !matches!(stream.read(&mut [0]), Ok(count) if count > 0)
}

fn names(report: &Value, of: &str) -> Vec<String> {
    let all = report["listeners"][of].as_array().unwrap_or_else(|| panic!("no {of} in {report}"));
    all.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn listeners_come_go_and_change_while_their_clients_stay() {
    for driver in drivers() {
        let [first, second, taken] = free_ports(3)[..] else { panic!("three ports") };
        let rig = Rig::start(driver, "listeners", HTTP, "");
        rig.change_with("", &listener("first", "lines", first, ""));
        let mut early = connect(first);
        early.ask(b"hello\n", b"echo: hello\n");

        // One comes, and serves.
        let both = |more: &str| listener("first", "lines", first, more) + &listener("second", "lines", second, "");
        let report = rig.change_with("", &both(""));
        assert_eq!((names(&report, "added"), names(&report, "removed")), (vec!["second".to_owned()], vec![]));
        assert_eq!(report["listeners"]["kept"], 2, "{report}");
        let mut later = connect(second);
        later.ask(b"hello\n", b"echo: hello\n");

        // A limit changes in place.
        let report = rig.change_with("", &both("limits.connections = 1"));
        assert_eq!((names(&report, "replaced"), &report["listeners"]["kept"]), (vec![], &json!(3)));
        assert!(refuses(first), "one is in");

        // A deadline makes another listener of it, with the same socket; those who are in count, and keep what they had.
        let report = rig.change_with("", &both("limits.connections = 2\ntimeouts.idle = \"3s\""));
        assert_eq!(names(&report, "replaced"), ["first"]);
        let mut silent = connect(first);
        silent.ask(b"hello\n", b"echo: hello\n");
        assert_eq!(silent.rest(), b"", "it was silent for too long");
        early.ask(b"still\n", b"echo: still\n");
        let metric = format!("gannet_accepted_total{{service=\"lines\",listener=\"tcp://{first}\"}}");
        assert_eq!(rig.metric(&metric), "2", "its counters go on");

        // Limits of all.
        rig.change_with("limits.connections = 1", &both(""));
        assert!(refuses(second), "more are in already");
        early.ask(b"still\n", b"echo: still\n");

        // What cannot be bound changes nothing.
        let _other = TcpListener::bind(taken).expect("it is free");
        rig.write_with("", &(listener("second", "lines", second, "") + &listener("taken", "echo", taken, "")));
        let output = rig.ask(&[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(said.contains("the address is in use") && said.contains("gannet.toml:"), "{said}");

        // One goes; its clients stay.
        let report = rig.change_with("", &listener("first", "lines", first, ""));
        assert_eq!(names(&report, "removed"), ["second"]);
        until("the listener to be closed", || std::net::TcpStream::connect(second).is_err());
        later.ask(b"still\n", b"echo: still\n");
        early.ask(b"still\n", b"echo: still\n");
        connect(first).ask(b"new\n", b"echo: new\n");
        assert!(rig.server.stop().status.success());
    }
}

/// Clients that ask and check every answer, until they are stopped.
fn ask_until(ends: &AtomicBool, asked: &AtomicU64, mut stream: Stream, question: &[u8], answer: &[u8]) {
    while !ends.load(Ordering::Relaxed) {
        stream.ask(question, answer);
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

fn websocket(server: &Server) -> Stream {
    let mut stream = Stream::connect(&server.url("http"));
    write!(
        stream,
        "GET /ws/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
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
    stream
}

fn reload_under_load(rounds: u64, is_quiet: bool) {
    for driver in drivers() {
        let [lines, redis, other] = free_ports(3)[..] else { panic!("three ports") };
        let settings = |round: u64| {
            let limits = format!("timeouts.idle = \"{}s\"\nlimits.connections = {}\n", 60 + round % 7, 1_000 + round);
            let mut text = listener("lines", "lines", lines, &format!("limits.connections = {}", 100 + round));
            text += &listener("redis", "redis", redis, "");
            if round % 2 == 1 {
                text += &listener("other", "lines", other, "");
            }
            (limits, text)
        };
        let rig = Rig::start(driver, "load", HTTP, "");
        let change = |round| {
            let (limits, listeners) = settings(round);
            rig.change_with(&limits, &listeners)
        };
        change(0);
        let stalls =
            || (0..2).map(|number| rig.metric(&format!("gannet_reactor_stalls_total{{reactor=\"{number}\"}}")));
        let before: Vec<_> = stalls().collect();
        let (ends, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let frame = b"\x81\x82\0\0\0\0hi";
            for (stream, question, answer) in [
                (connect(lines), &b"hello\n"[..], &b"echo: hello\n"[..]),
                (connect(redis), b"PING\r\n", b"+PONG\r\n"),
                (websocket(&rig.server), frame, b"\x81\x02hi"),
            ] {
                let (ends, asked) = (&ends, &asked);
                scope.spawn(move || ask_until(ends, asked, stream, question, answer));
            }
            // However a check fails, the clients end.
            let _end = End(&ends);
            for round in 1..=rounds {
                let answered = asked.load(Ordering::Relaxed);
                let report = change(round);
                assert_eq!(report["listeners"]["late"], json!([]), "{report}");
                if round % 2 == 1 {
                    connect(other).ask(b"new\n", b"echo: new\n");
                }
                until("replies", || asked.load(Ordering::Relaxed) >= answered + 30);
            }
        });
        // Where other tests take the processors, a turn may wait for one.
        if is_quiet {
            assert_eq!(stalls().collect::<Vec<_>>(), before, "no turn took over 25 ms");
        }
        assert!(rig.server.stop().status.success());
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Publishes to the gateway, and gives its answer.
fn publish(at: SocketAddr, channel: &str, data: &str) -> String {
    let (mut stream, body) = (connect(at), format!("{{\"channel\":\"{channel}\",\"data\":{data}}}"));
    write!(stream, "POST /api/publish HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .expect("it reads");
    String::from_utf8(stream.rest()).expect("text")
}

#[test]
fn the_first_push_listener_and_the_first_store_come_with_a_reload_and_share_their_channels() {
    for driver in drivers() {
        let [lines, store, push] = free_ports(3)[..] else { panic!("three ports") };
        let rig = Rig::start(driver, "first", &(HTTP.to_owned() + &listener("lines", "lines", lines, "")), "");
        let mut early = connect(lines);
        early.ask(b"hello\n", b"echo: hello\n");
        let both = listener("store", "redis", store, "") + &listener("push", "push", push, "");
        // A first try that fails leaves no gateway behind.
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = taken.local_addr().expect("it is bound");
        rig.write_with("", &(both.clone() + &listener("taken", "echo", at, "")));
        assert_eq!(rig.ask(&[]).status.code(), Some(2));
        assert!(refuses(push) && refuses(store));

        let report = rig.change_with("", &both);
        assert_eq!(
            (names(&report, "added"), &report["pending"]),
            (vec!["store".to_owned(), "push".to_owned()], &json!([]))
        );
        let mut subscriber = connect(store);
        subscriber.ask(b"SUBSCRIBE demo:a\r\n", b"*3\r\n$9\r\nsubscribe\r\n$6\r\ndemo:a\r\n:1\r\n");
        assert!(publish(push, "demo:a", "1").contains("\"offset\":1"));
        subscriber.expect(b"*3\r\n$7\r\nmessage\r\n$6\r\ndemo:a\r\n$1\r\n1\r\n");
        // Keys expire though nobody reads them.
        let mut client = connect(store);
        client.ask(b"SET key value PX 1\r\n", b"+OK\r\n");
        until("the key to go", || {
            client.write_all(b"DBSIZE\r\n").expect("it reads");
            let mut size = [0; 4];
            client.read_exact(&mut size).expect("an answer");
            &size == b":0\r\n"
        });
        // The listeners that there were know of both.
        assert_eq!(rig.metric("gannet_push_proxy_running"), "0");
        for (service, at, count) in [("redis", store, "2"), ("lines", lines, "1")] {
            let name = format!("gannet_connections{{service=\"{service}\",listener=\"tcp://{at}\"}}");
            assert_eq!(rig.metric(&name), count, "{service}");
        }
        // It goes, its channels stay, and it comes again.
        assert_eq!(names(&rig.change_with("", &listener("store", "redis", store, "")), "removed"), ["push"]);
        client.ask(b"PUBLISH demo:a 2\r\n", b":1\r\n");
        subscriber.expect(b"*3\r\n$7\r\nmessage\r\n$6\r\ndemo:a\r\n$1\r\n2\r\n");
        rig.change_with("", &both);
        assert!(publish(push, "demo:a", "3").contains("\"offset\":3"));
        early.ask(b"still\n", b"echo: still\n");
        let ended = rig.server.stop();
        assert!(ended.status.success());
        assert!(ended.stderr.iter().any(|line| line.contains("push.admin_password")), "{ended:#?}");
    }
}

#[test]
fn reloads_under_load_lose_no_reply() {
    reload_under_load(6, false);
}

#[test]
#[ignore = "a quiet machine: cargo test --release -p gannet-cli --test cli -- --ignored hundred_reloads"]
fn a_hundred_reloads_under_full_load_lose_no_reply_and_stall_no_reactor() {
    reload_under_load(100, true);
}

#[test]
#[ignore = "a quiet machine: cargo test --release -p gannet-cli --test cli -- --ignored thousand_namespaces"]
fn a_reload_of_a_thousand_namespaces_and_fifty_listeners_takes_less_than_100_ms() {
    let at = free_ports(51);
    let settings = |history: u32| {
        let mut text = String::new();
        for (number, at) in at[..50].iter().enumerate() {
            text += &listener(&format!("n{number}"), "lines", *at, &format!("timeouts.idle = \"{history}s\""));
        }
        for number in 0..1_000 {
            text += &format!("[push.namespace.n{number}]\nhistory_size = {history}\nhistory_ttl = \"5m\"\n");
        }
        text
    };
    // The gateway is there from the start.
    let push = format!("{HTTP}{}", listener("push", "push", at[50], ""));
    let rig = Rig::start(drivers()[0], "thousand", &push, "");
    rig.change_with("", &settings(10));
    for round in 0..5 {
        let report = rig.change_with("", &settings(11 + round));
        assert_eq!(names(&report, "replaced").len(), 50);
        let took = report["took_ms"].as_u64().expect("a number");
        println!("{took} ms");
        assert!(took < 100, "{took} ms");
    }
}

#[test]
fn beside_a_gateway_each_listener_has_the_counters_and_the_connections_that_are_its_own() {
    for driver in drivers() {
        let [push, first, second] = free_ports(3)[..] else { panic!("three ports") };
        let base = HTTP.to_owned() + &listener("push", "push", push, "") + &listener("first", "lines", first, "");
        let rig = Rig::start(driver, "beside", &base, "");
        let mut clients = vec![connect(first), connect(first)];
        rig.change_with("", &listener("second", "lines", second, ""));
        clients.push(connect(second));
        for client in &mut clients {
            client.ask(b"hi\n", b"echo: hi\n");
        }
        for (service, at, count) in [("push", push, "0"), ("lines", first, "2"), ("lines", second, "1")] {
            let metric = format!("gannet_connections{{service=\"{service}\",listener=\"tcp://{at}\"}}");
            assert_eq!(rig.metric(&metric), count, "{metric}, with {driver}");
        }
        let mut command = crate::server::gannet(&["connections", "--json", "--service", "lines", "--admin"]);
        let output = command.arg(rig.folder.path("admin.sock")).output().expect("the binary starts");
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found["selected"], 3, "{found}");
        let listeners = found["connections"].as_array().expect("a list").iter().map(|one| one["listener"].clone());
        let mut listeners: Vec<String> = listeners.map(|one| one.as_str().expect("a URL").to_owned()).collect();
        listeners.sort();
        let mut expected = [first, first, second].map(|at| format!("tcp://{at}"));
        expected.sort();
        assert_eq!(listeners, expected);
    }
}
