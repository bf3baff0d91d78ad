//! `--idle-timeout` beside connections that only receive: those are not idle, and one without traffic is.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::http::upgrade;
use crate::server::{Server, Stream, drivers};

/// How long traffic has to go on after the time that closes.
const IDLE: Duration = Duration::from_secs(3);

/// Reads ticks for twice as long as idle connections live.
fn listens_to_the_clock(mut client: Stream) {
    write!(client, "GET /sse/clock HTTP/1.1\r\nHost: h\r\n\r\n").expect("it is taken");
    let (mut said, mut bytes) = (String::new(), [0; 512]);
    while said.matches("event: tick").count() < 7 {
        let count = client.read(&mut bytes).expect("it goes on");
        assert!(count > 0, "a running event stream was closed: {said}");
        said += std::str::from_utf8(&bytes[..count]).expect("text");
    }
}

/// Sends nothing of its own on a WebSocket connection, and answers what it is asked.
fn answers_pings(mut client: Stream) {
    upgrade(&mut client, "");
    // Each comes after 1.2 s of silence.
    for _ in 0..6 {
        let mut head = [0; 2];
        client.read_exact(&mut head).expect("a WebSocket connection was closed that answers its pings");
        assert_eq!(head[0], 0x89, "a ping");
        let mut payload = vec![0; usize::from(head[1])];
        client.read_exact(&mut payload).expect("the rest of it");
        client.write_all(&[&[0x8a, 0x80 | head[1], 0, 0, 0, 0], &payload[..]].concat()).expect("it is taken");
    }
}

/// Reads a large value piece by piece, for more than twice as long as idle connections live.
fn reads_slowly(mut client: Stream, bytes: usize) {
    const PIECE: usize = 512 << 10;
    write!(client, "GET large\r\n").expect("it is taken");
    let whole = format!("${bytes}\r\n").len() + bytes + 2;
    let mut piece = vec![0; PIECE];
    #[allow(clippy::disallowed_methods)] // A reader that is slow by the clock.
    let began = Instant::now();
    let mut read = 0;
    while began.elapsed() < IDLE * 5 / 2 {
        client.read_exact(&mut piece).expect("a download that goes on was closed");
        read += PIECE;
        std::thread::park_timeout(Duration::from_millis(200));
    }
    assert!(read < whole, "it was too small to last");
    let mut rest = vec![0; whole - read];
    client.read_exact(&mut rest).expect("the rest comes too");
}

/// The time that the server closes a connection after on which nothing comes and goes.
fn is_silent(mut client: Stream) {
    // Before the last traffic, as this thread may have to wait for a processor behind it.
    #[allow(clippy::disallowed_methods)] // Time is what this test is about.
    let began = Instant::now();
    client.ask(b"PING\r\n", b"+PONG\r\n");
    assert_eq!(client.rest(), b"");
    assert!(began.elapsed() >= IDLE * 9 / 10, "closed after {:?}", began.elapsed());
}

#[test]
fn event_streams_downloads_and_websocket_connections_are_not_idle_and_one_without_traffic_is() {
    const BYTES: usize = 96 << 20;
    let idle = format!("--idle-timeout={}ms", IDLE.as_millis());
    std::thread::scope(|scope| {
        for driver in drivers() {
            let options = ["--listen=http=tcp://127.0.0.1:0", "--listen=redis=tcp://127.0.0.1:0", "--heartbeat=1200ms"];
            let server = Server::serve(driver, &[&options[..], &[&idle]].concat());
            scope.spawn(move || {
                let mut store = server.connect("redis");
                let command = format!("*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n${BYTES}\r\n");
                let value = [command.as_bytes(), &vec![b'x'; BYTES], b"\r\n"].concat();
                store.ask(&value, b"+OK\r\n");
                drop(store);
                let (http, redis) = (server.url("http"), server.url("redis"));
                // Each connects when its thread runs, or it may be closed before it has said anything.
                std::thread::scope(|scope| {
                    scope.spawn(|| listens_to_the_clock(Stream::connect(&http)));
                    scope.spawn(|| answers_pings(Stream::connect(&http)));
                    scope.spawn(|| reads_slowly(Stream::connect(&redis), BYTES));
                    is_silent(Stream::connect(&redis));
                });
            });
        }
    });
}
