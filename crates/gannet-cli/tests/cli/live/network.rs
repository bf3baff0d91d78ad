//! Listeners, limits, who may connect, deadlines, and TLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;

use gannet_testing::certificates::date_time_ymd;
use gannet_testing::{free_ports, until};
use serde_json::Value;

use super::{Walk, rest};
use crate::server::Stream;
use crate::tls::{self, Client, InFiles as _};

pub(super) fn steps(walk: &mut Walk) {
    listeners(walk);
    limits(walk);
    outboxes(walk);
    access(walk);
    deadlines(walk);
    keepalive(walk);
    certificates(walk);
}

fn listeners(walk: &mut Walk) {
    walk.set(&[("listener.own.service", "\"echo\"")], &[]);
    walk.connect("own").ask(b"hello\n", b"hello\n");

    let free = free_ports(1)[0];
    walk.set(&[("listener.own.url", &format!("\"tcp://{free}\""))], &[]);
    Stream::connect(&format!("tcp://{free}")).ask(b"hello\n", b"echo: hello\n");

    walk.set(&[("listener.secure.tls", "\"other\"")], &[]);
    let stream = Client::trusting(&walk.ca).talk(&secure(walk), "localhost").expect("it is served");
    assert_eq!(tls::shown(&stream), walk.certificates["other"].der());
    drop(stream);
    walk.until_left();

    // The one connection that all may have is there.
    let mut held = walk.connect("lines");
    held.ask(b"hello\n", b"echo: hello\n");
    walk.set(&[("listener.web.operational", "true")], &[("limits.connections", "1")]);
    assert!(walk.http("web", "GET /healthz", "", "").ends_with("ok\n") && !walk.serves("own"));
    walk.set(
        &[("limits.operational_reserve", "1")],
        &[("limits.connections", "1"), ("listener.web.operational", "true")],
    );
    let watch = |walk: &Walk| {
        let mut stream = TcpStream::connect(walk.address("web")).ok()?;
        stream.write_all(b"GET /sse/clock HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        stream.read(&mut [0; 64]).ok().filter(|count| *count > 0).map(|_| stream)
    };
    let mut first = None;
    // The order has left a moment later.
    until("room in the reserve", || {
        first = watch(walk);
        first.is_some()
    });
    assert!(watch(walk).is_none(), "there is no room for a second");
    drop((held, first));
    until("room", || walk.serves("own"));

    walk.set(&[("listener.own.proxy", "[\"127.0.0.0/8\"]")], &[]);
    let mut stream = walk.connect("own");
    stream.ask(b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nhello\n", b"echo: hello\n");
    assert!(!walk.serves("own"), "it has no header");
    drop(stream);

    let file = |walk: &Walk| fs::metadata(walk.folder.path("file.sock")).expect("it is there");
    walk.set(&[("listener.file.mode", "\"0601\"")], &[]);
    assert_eq!(file(walk).mode() & 0o777, 0o601);
    // Only root may give a file to a group that is not its own.
    let group = if rustix::process::geteuid().is_root() { 4_321 } else { rustix::process::getegid().as_raw() };
    walk.set(&[("listener.file.group", &format!("\"{group}\""))], &[]);
    assert_eq!(file(walk).gid(), group);
}

fn secure(walk: &Walk) -> String {
    format!("tls://{}", walk.address("secure"))
}

fn limits(walk: &mut Walk) {
    let mut held = walk.connect("lines");
    let mut own = walk.connect("own");
    for stream in [&mut held, &mut own] {
        stream.ask(b"hello\n", b"echo: hello\n");
    }
    for key in [
        "listener.own.limits.connections",
        "listener.own.limits.connections_per_peer",
        "limits.connections",
        "limits.connections_per_peer",
        "access.connections_per_prefix",
        "access.connections_per_network",
    ] {
        walk.set(&[(key, "1")], &[]);
        // Limits of one peer count those who have come since there are any.
        let another = TcpStream::connect(walk.address("own")).and_then(|mut stream| {
            stream.write_all(b"hello\n")?;
            stream.read(&mut [0; 64]).map(|_| stream)
        });
        assert!(!walk.serves("own"), "{key}");
        assert_eq!(walk.serves("lines"), key.starts_with("listener."), "{key}");
        drop(another);
    }
    held.ask(b"still\n", b"echo: still\n");
    drop((held, own));
    walk.until_left();

    for key in ["listener.own.limits.frame", "limits.frame"] {
        walk.set(&[(key, "\"16\"")], &[]);
        let mut stream = walk.connect("own");
        stream.write_all(&[b'a'; 40]).expect("it reads");
        assert!(!String::from_utf8_lossy(&rest(&mut stream)).contains("echo: a"), "{key}");
    }

    walk.set(&[("limits.accepts", "\"1/s\"")], &[]);
    let paused = |walk: &Walk| walk.metric("gannet_accept_pauses_total", "");
    let before = paused(walk);
    let many: Vec<_> = (0..8).map(|_| walk.connect("lines")).collect();
    until("a pause", || paused(walk) > before);
    drop(many);

    walk.set(&[("limits.incomplete", "\"1KiB\"")], &[]);
    let waited = |walk: &Walk| walk.metric("gannet_reactor_carry_waits_total", "");
    let before = waited(walk);
    let many: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = walk.connect("lines");
            stream.write_all(&[b'a'; 200 << 10]).expect("the kernel has room");
            stream
        })
        .collect();
    until("one to wait for room", || waited(walk) > before);
    drop(many);
    walk.set(&[("access.connection_rate", "\"1/s\"")], &[]);
    until("a connection to be refused", || !walk.serves("lines"));
    walk.set(&[], &[]);
    walk.until_left();
}

/// Asks the store for more than the kernel has room for, and reads nothing.
pub(super) fn choked(walk: &Walk) -> Stream {
    let mut stream = walk.connect("store");
    let value = vec![b'a'; 1 << 20];
    let set = [format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    stream.ask(&set, b"+OK\r\n");
    stream.write_all(&b"GET k\r\n".repeat(32)).expect("it reads");
    stream
}

/// A subscriber of the store that reads nothing of the messages that it is sent, of 16 MiB.
fn flooded(walk: &Walk) -> Stream {
    let mut subscriber = walk.connect("store");
    subscriber.ask(b"SUBSCRIBE c\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    let message = vec![b'a'; 512 << 10];
    let head = format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n${}\r\n", message.len());
    let publish = [head.as_bytes(), &message, b"\r\n"].concat();
    let mut publisher = walk.connect("store");
    for _ in 0..32 {
        publisher.write_all(&publish).expect("it reads");
        let mut answer = [0; 4];
        publisher.read_exact(&mut answer).expect("an answer");
    }
    subscriber
}

fn connections(walk: &Walk, service: &str) -> Vec<Value> {
    let request =
        format!("GET /connections?service={service} HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", super::TOKEN);
    let mut stream = Stream::connect(&walk.folder.url("admin.sock"));
    stream.write_all(request.as_bytes()).expect("it reads");
    let text = String::from_utf8(stream.rest()).expect("text");
    let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").expect("a head").1).expect("JSON");
    body["connections"].as_array().expect("a list").clone()
}

fn outboxes(walk: &mut Walk) {
    walk.set(&[("limits.outbox_high", "\"64KiB\"")], &[]);
    let stream = choked(walk);
    until("reading to pause", || connections(walk, "redis").iter().any(|one| one["paused"] == true));
    drop(stream);
    walk.until_left();

    // Over the hard mark, the one who is sent to is closed; or messages are dropped.
    let low = [("limits.outbox_high", "\"64KiB\""), ("limits.frame", "\"64KiB\"")];
    walk.set(&[("limits.outbox_hard", "\"1MiB\"")], &low);
    let mut subscriber = flooded(walk);
    assert!(rest(&mut subscriber).len() < 16 << 20, "it was closed before all was sent");
    drop(subscriber);
    walk.until_left();
    walk.set(&[("limits.overflow", "\"drop-oldest\"")], &[low[0], low[1], ("limits.outbox_hard", "\"1MiB\"")]);
    let subscriber = flooded(walk);
    until("messages to be dropped", || walk.metric("gannet_messages_dropped_total", "redis") > 0);
    walk.until_connected("store", 1);
    drop(subscriber);
    walk.set(&[], &[]);
    walk.until_left();
}

fn access(walk: &mut Walk) {
    for (key, value) in [("access.allow", "[\"192.0.2.0/24\"]"), ("access.deny", "[\"127.0.0.0/8\"]")] {
        walk.set(&[(key, value)], &[]);
        assert!(!walk.serves("lines"), "{key}");
    }
    walk.set(&[], &[]);
    assert!(walk.serves("lines"));
}

/// A short one, which is met at once.
const SHORT: &str = "\"30ms\"";

fn deadlines(walk: &mut Walk) {
    for (prefix, of) in [("listener.own.", "own"), ("", "own")] {
        for name in ["idle", "read_idle", "write_idle", "first_message"] {
            walk.set(&[(&format!("{prefix}timeouts.{name}"), SHORT)], &[]);
            assert!(rest(&mut walk.connect(of)).is_empty(), "{prefix}{name}");
        }
    }
    for prefix in ["listener.frames.", ""] {
        let (heartbeat, missed) =
            (format!("{prefix}timeouts.heartbeat"), format!("{prefix}timeouts.heartbeats_missed"));
        walk.set(&[(&heartbeat, SHORT)], &[]);
        let pings = rest(&mut walk.connect("frames"));
        walk.set(&[(&missed, "1")], &[(&heartbeat, SHORT)]);
        let fewer = rest(&mut walk.connect("frames"));
        assert!(!fewer.is_empty() && fewer.len() < pings.len(), "{prefix}: {fewer:?} {pings:?}");
    }
    for prefix in ["listener.secure.", ""] {
        walk.set(&[(&format!("{prefix}timeouts.handshake"), SHORT)], &[]);
        rest(&mut walk.connect("secure"));
    }
    for prefix in ["listener.store.", ""] {
        walk.set(&[(&format!("{prefix}timeouts.slow_write"), SHORT)], &[]);
        let stream = choked(walk);
        walk.until_connected("store", 0);
        drop(stream);
    }
    for prefix in ["listener.web.", ""] {
        walk.set(&[(&format!("{prefix}timeouts.linger"), SHORT)], &[]);
        let mut stream = walk.connect("web");
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").expect("it reads");
        assert!(stream.rest().ends_with(b"ok\n"));
        // We have not ended our side.
        walk.until_connected("web", 0);
        drop(stream);

        walk.set(&[(&format!("{prefix}timeouts.half_close"), SHORT)], &[]);
        let mut stream = walk.connect("web");
        stream.write_all(b"GET /sse/clock HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        stream.finish();
        rest(&mut stream);
    }
}

/// The kernel's timer of the server's end of a connection, in hundredths of a second, where it is one for probes.
#[cfg(target_os = "linux")]
fn probe_due(server: std::net::SocketAddr, client: std::net::SocketAddr) -> Option<u64> {
    let table = fs::read_to_string("/proc/net/tcp").expect("it is there");
    let port = |address: &str| address.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
    table.lines().find_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let is_it = cells.len() > 5 && port(cells[1]) == Some(server.port()) && port(cells[2]) == Some(client.port());
        let (kind, due) = cells.get(5).filter(|_| is_it)?.split_once(':')?;
        (kind == "02").then(|| u64::from_str_radix(due, 16).expect("a number"))
    })
}

#[cfg(target_os = "linux")]
fn keepalive(walk: &mut Walk) {
    for (key, seconds) in [("listener.own.keepalive", 40), ("timeouts.keepalive", 50)] {
        walk.set(&[(key, &format!("\"{seconds}s\""))], &[]);
        let stream = TcpStream::connect(walk.address("own")).expect("it listens");
        let client = stream.local_addr().expect("an address");
        // It is 300 s by default.
        until("a probe to be planned", || {
            probe_due(walk.address("own"), client).is_some_and(|due| due > 0 && due <= seconds * 100)
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn keepalive(walk: &mut Walk) {
    for key in ["listener.own.keepalive", "timeouts.keepalive"] {
        walk.set(&[(key, "\"40s\"")], &[]);
        assert!(walk.serves("own"), "no kernel but Linux says what it plans");
    }
}

fn certificates(walk: &mut Walk) {
    let client = Client::trusting(&walk.ca);
    walk.set(
        &[("tls.main.certificates", "[\"FOLDER/other.pem\"]"), ("tls.main.private_keys", "[\"FOLDER/other.key\"]")],
        &[],
    );
    let stream = client.talk(&secure(walk), "localhost").expect("it is served");
    assert_eq!(tls::shown(&stream), walk.certificates["other"].der());

    let known = walk.ca.client(7);
    let (asks, optional) = (("tls.main.client_ca", "\"FOLDER/ca.pem\""), ("tls.main.client_auth", "\"optional\""));
    walk.set(&[asks], &[]);
    assert!(client.talk(&secure(walk), "localhost").is_err(), "it has no certificate");
    walk.set(&[optional], &[asks]);
    client.talk(&secure(walk), "localhost").expect("it need not have one");
    fs::write(walk.folder.path("crl.pem"), walk.ca.crl(&[7], 2099)).expect("our folder");
    let with_certificate = Client::trusting(&walk.ca).identified(known);
    with_certificate.talk(&secure(walk), "localhost").expect("it is not revoked");
    walk.set(&[("tls.main.crls", "[\"FOLDER/crl.pem\"]")], &[asks, optional]);
    assert!(with_certificate.talk(&secure(walk), "localhost").is_err(), "it is revoked");

    let old = Client::trusting(&walk.ca).by_tls_1_2();
    walk.set(&[("tls.main.min_version", "\"1.3\"")], &[]);
    assert!(old.talk(&secure(walk), "localhost").is_err());
    walk.set(&[], &[]);
    old.talk(&secure(walk), "localhost").expect("it may be 1.2");

    let spare = format!("tls://{}", walk.address("spare"));
    client.connect(&spare, "localhost").expect("it is served");
    let none = [("tls.other.certificates", ""), ("tls.other.private_keys", "")];
    walk.set(&[("tls.other.self_signed", "true")], &none);
    assert!(client.connect(&spare, "localhost").is_err(), "nobody has issued it");
    let expired = walk.ca.issue(&["localhost"], 1, |params| params.not_after = date_time_ymd(2024, 2, 29));
    fs::write(walk.folder.path("old.pem"), &expired.certificate).expect("our folder");
    fs::write(walk.folder.path("old.key"), &expired.key).expect("our folder");
    walk.set(
        &[("tls.other.accept_expired", "true")],
        &[("tls.other.certificates", "[\"FOLDER/old.pem\"]"), ("tls.other.private_keys", "[\"FOLDER/old.key\"]")],
    );
    assert!(client.connect(&spare, "localhost").is_err(), "it has expired");
    walk.set(&[], &[]);
    client.connect(&spare, "localhost").expect("it has not");
}
