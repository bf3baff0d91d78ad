//! The pages of `gannet serve`: what runs, health, readiness, counters.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use gannet::proto::ws::deflate::Params;
use gannet::proto::ws::{self, Message, WebSocket};
use gannet::proto::{Codec as _, Decoded};
use rustix::process::Signal;

use crate::exposition;
use crate::server::{Folder, Server, Stream, drivers};

const HTTP: &str = "--listen=http=tcp://127.0.0.1:0";
const LINES: &str = "--listen=lines=tcp://127.0.0.1:0";

/// Asks for a path on a connection of its own.
fn get(stream: &mut Stream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it is taken");
    String::from_utf8(stream.rest()).expect("text")
}

#[test]
fn the_pages_are_what_the_first_one_says() {
    for driver in drivers() {
        let folder = Folder::new(&format!("http-{driver}"));
        let unix = format!("--listen=http={}", folder.url("http"));
        let server = Server::serve(driver, &[HTTP, LINES, &unix]);
        let urls = server.urls("http");
        assert_eq!(urls.len(), 2, "{:#?}", server.banner());
        for url in urls {
            let ask = |path| get(&mut Stream::connect(&url), path);
            let page = ask("/");
            for said in [
                "HTTP/1.1 200 OK\r\n",
                "Content-Type: text/html; charset=utf-8\r\n",
                "href=\"/metrics\"",
                &server.url("lines"),
                driver,
            ] {
                assert!(page.contains(said), "{said:?} is missing: {page}");
            }
            for (path, status, body) in [
                ("/hello/you", 200, "hello you\n"),
                ("/hello/gr%C3%BCn", 200, "hello grün\n"),
                ("/hello/%", 400, "malformed percent-encoding\n"),
                ("/healthz", 200, "ok\n"),
                ("/readyz", 200, "ready\n"),
                ("/nowhere", 404, "not found\n"),
            ] {
                let response = ask(path);
                let start = format!("HTTP/1.1 {status} ");
                let end = format!("\r\n\r\n{body}");
                assert!(response.starts_with(&start) && response.ends_with(&end), "{path}: {response}");
            }
        }
    }
}

/// What stands between two marks, which come once.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    let (inside, rest) = rest.split_once(end).unwrap_or_else(|| panic!("no {end} in {text}"));
    assert!(!rest.contains(start), "{start} comes twice: {text}");
    inside
}

#[test]
fn a_browser_runs_the_script_and_the_style_of_the_page_and_nothing_else() {
    let server = Server::serve(drivers()[0], &[HTTP]);
    let response = get(&mut server.connect("http"), "/");
    let (head, page) = response.split_once("\r\n\r\n").expect("a head");
    let policy = between(head, "Content-Security-Policy: ", "\r\n");
    let directives: Vec<&str> = policy.split("; ").collect();
    for (directive, inside) in
        [("script-src", between(page, "<script>", "</script>")), ("style-src", between(page, "<style>", "</style>"))]
    {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, inside.as_bytes());
        let allowed = format!("{directive} 'sha256-{}'", base64::prelude::BASE64_STANDARD.encode(digest));
        assert!(directives.contains(&allowed.as_str()), "the policy should have {allowed:?}: {policy:?}");
    }
    for directive in ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(directives.contains(&directive), "{directive}: {policy}");
    }
    // What a browser is told to load comes with the page; what it may not run is not there.
    for mark in [" src=", "url(", "@import", " onclick=", " style=", "http://", "https://"] {
        let shown = page.split("<table>").next().expect("a beginning").to_owned()
            + page.split("</table>").last().expect("an end");
        assert!(!shown.contains(mark), "{mark:?}: {page}");
    }
    for id in ["ws-form", "ws-text", "ws-state", "ws-echo", "sse-state", "sse-clock"] {
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}: {page}");
        assert!(page.contains(&format!("at(\"{id}\")")), "{id} is filled in: {page}");
    }
}

/// Asks for WebSocket, with further fields, and gives the head of the answer.
pub(crate) fn upgrade(client: &mut Stream, more: &str) -> String {
    write!(
        client,
        "GET /ws/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
    .expect("it is taken");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    head
}

/// "Hello" of RFC 6455 §5.7, masked, and as it comes back.
const HELLO: (&[u8], &[u8]) = (b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", b"\x81\x05Hello");

#[test]
fn a_websocket_client_gets_its_messages_back() {
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP]);
        let mut client = server.connect("http");
        upgrade(&mut client, "");
        client.ask(HELLO.0, HELLO.1);
        // A close frame with code 1000.
        client.ask(b"\x88\x82\0\0\0\0\x03\xe8", b"\x88\x02\x03\xe8");
        assert_eq!(client.rest(), b"");
    }
}

/// The header of a frame of this kind and length, and a key that leaves the payload as it is.
fn header(first: u8, length: u32) -> Vec<u8> {
    [&[first, 0xff][..], &u64::from(length).to_be_bytes(), &[0; 4]].concat()
}

#[test]
fn the_largest_frame_is_the_largest_message_of_websocket_too() {
    const LIMIT: u32 = 3 << 20;
    let letters = vec![b'a'; LIMIT as usize];
    let half = LIMIT / 2;
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP, "--max-frame=3MiB"]);
        let mut client = server.connect("http");
        upgrade(&mut client, "");
        // Larger than what is the limit where nothing is said, in one frame and in two.
        let fragments =
            [&header(0x01, half)[..], &letters[..half as usize], &header(0x80, half), &letters[..half as usize]];
        for sent in [[&header(0x81, LIMIT)[..], &letters].concat(), fragments.concat()] {
            let mut answer = vec![0x81, 127];
            answer.extend(u64::from(LIMIT).to_be_bytes());
            answer.extend_from_slice(&letters);
            client.ask(&sent, &answer);
        }
        for refused in [
            header(0x82, LIMIT + 1),
            [&header(0x02, half)[..], &letters[..half as usize], &header(0x80, half + 1)].concat(),
        ] {
            let mut client = server.connect("http");
            upgrade(&mut client, "");
            client.write_all(&refused).expect("it is taken");
            assert_eq!(client.rest(), b"\x88\x02\x03\xf1", "1009 with {driver}");
        }

        let server = Server::serve(driver, &[HTTP, "--max-frame=100"]);
        let mut client = server.connect("http");
        upgrade(&mut client, "");
        client.ask(HELLO.0, HELLO.1);
        client.write_all(b"\x82\xe5\0\0\0\0").expect("it is taken");
        assert_eq!(client.rest(), b"\x88\x02\x03\xf1", "1009 with {driver}");
    }
}

#[test]
fn messages_of_websocket_are_compressed_where_both_sides_want_that() {
    const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    for driver in drivers() {
        let plain = Server::serve(driver, &[HTTP]);
        let mut client = plain.connect("http");
        let head = upgrade(&mut client, OFFER);
        assert!(!head.contains("Sec-WebSocket-Extensions"), "{head}");
        client.ask(HELLO.0, HELLO.1);
        let server = Server::serve(driver, &[HTTP, "--websocket-deflate"]);
        let mut client = server.connect("http");
        upgrade(&mut client, "");
        client.ask(HELLO.0, HELLO.1);
        let mut client = server.connect("http");
        let head = upgrade(&mut client, OFFER);
        // Neither side keeps a window between two messages.
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert!(head.contains(&format!("Sec-WebSocket-Extensions: {agreed}\r\n")), "{head}");
        let (codec, anew) = (WebSocket::client(), Params::without_takeover());
        let (text, mut state) = ("again and again, ".repeat(10), codec.compressed_state(anew));
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        anew.client_deflater(6).text(&mut packed, &text, Some([1, 2, 3, 4])).expect("it is packed");
        ws::text(&mut plain, &text, Some([1, 2, 3, 4]));
        // Some may come as they are, and are answered compressed all the same.
        for sent in [&packed, &packed, &plain] {
            client.write_all(sent).expect("it is taken");
            let mut answer = vec![0; 2];
            client.read_exact(&mut answer).expect("a header");
            assert!(answer[0] == 0xc1 && usize::from(answer[1]) < text.len() / 2, "{answer:?}");
            answer.resize(2 + usize::from(answer[1]), 0);
            client.read_exact(&mut answer[2..]).expect("a payload");
            let consumed = answer.len();
            let decoded = codec.decode(&mut state, &mut answer);
            assert_eq!(decoded, Ok(Decoded::Message { message: Message::Text(text.as_str().into()), consumed }));
        }
        // The same of RFC 7692 §7.2.3.1, which is shorter as it is.
        client.ask(b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0", HELLO.1);
    }
}

#[test]
fn the_clock_ticks_once_a_second_and_goes_on_where_it_was() {
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP]);
        let mut stream = server.connect("http");
        write!(stream, "GET /sse/clock HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 41\r\n\r\n").expect("it is taken");
        let mut said = String::new();
        while said.matches(" GMT\n\n").count() < 2 {
            let mut bytes = [0; 512];
            let count = stream.read(&mut bytes).expect("it goes on");
            assert!(count > 0, "it ended: {said}");
            said += std::str::from_utf8(&bytes[..count]).expect("text");
        }
        for part in
            ["Content-Type: text/event-stream\r\n", "event: tick\nid: 42\ndata: ", "event: tick\nid: 43\ndata: "]
        {
            assert!(said.contains(part), "{part:?} is missing: {said}");
        }
    }
}

#[test]
fn the_counters_are_there_for_prometheus() {
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP, LINES]);
        let mut lines = server.connect("lines");
        for _ in 0..3 {
            lines.ask(b"hello\n", b"echo: hello\n");
        }
        let response = get(&mut server.connect("http"), "/metrics");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        let label = format!("service=\"lines\",listener=\"{}\"", server.url("lines"));
        for line in [
            format!("gannet_connections{{{label}}} 1"),
            format!("gannet_accepted_total{{{label}}} 1"),
            format!("gannet_messages_received_total{{{label}}} 3"),
            format!("gannet_received_bytes_total{{{label}}} 18"),
            format!("gannet_refused_total{{{label},reason=\"peer\"}} 0"),
            "gannet_redis_memory_bytes 0".to_owned(),
            "gannet_redis_memory_limit_bytes 0".to_owned(),
            "gannet_redis_queued_bytes 0".to_owned(),
            "gannet_redis_evicted_keys_total 0".to_owned(),
            "gannet_redis_eviction_waits_total 0".to_owned(),
            "gannet_redis_reply_waits_total 0".to_owned(),
        ] {
            assert!(body.lines().any(|own| own == line), "{line:?} is missing: {body}");
        }
        exposition::check(body);
    }
}

#[test]
fn a_limit_that_was_hit_shows_in_the_counters_for_prometheus() {
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP, LINES, "--outbox-high", "1KiB"]);
        let line = "l".repeat(2_000);
        let mut lines = server.connect("lines");
        lines.ask(format!("{line}\n").as_bytes(), format!("echo: {line}\n").as_bytes());
        let response = get(&mut server.connect("http"), "/metrics");
        let samples = exposition::check(response.split_once("\r\n\r\n").expect("a head").1);
        let value = |name: &str| {
            let own: Vec<f64> = samples.iter().filter(|own| own.name == name).map(|own| own.value).collect();
            assert_eq!(own.len(), 2, "{name} is there for each reactor: {response}");
            own.iter().sum::<f64>()
        };
        assert_eq!(value("gannet_reactor_outbox_high_total"), 1.0);
        for untouched in ["mailbox_letters", "mailbox_full_total", "joins_refused_total", "named_timers"] {
            assert_eq!(value(&format!("gannet_reactor_{untouched}")), 0.0);
        }
    }
}

#[test]
fn how_long_turns_and_handlers_take_is_there_for_prometheus() {
    for driver in drivers() {
        let folder = Folder::new(&format!("times-{driver}"));
        let unix = format!("--listen=http={}", folder.url("http"));
        let server = Server::serve(driver, &[HTTP, &unix]);
        for url in server.urls("http") {
            let mut stream = Stream::connect(&url);
            for _ in 0..200 {
                stream.write_all(b"GET /hello/you HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is taken");
                let mut answer = Vec::new();
                while !answer.ends_with(b"hello you\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect("an answer");
                    answer.extend(byte);
                }
            }
        }
        let response = get(&mut server.connect("http"), "/metrics");
        let (_, body) = response.split_once("\r\n\r\n").expect("a head");
        let samples = exposition::check(body);
        let value = |name: &str, label: (&str, &str)| {
            let own = samples.iter().filter(|sample| sample.name == name && sample.label(label.0) == Some(label.1));
            own.map(|sample| sample.value).sum::<f64>()
        };
        let turns = ["0", "1"].map(|reactor| value("gannet_reactor_turn_seconds_count", ("reactor", reactor)));
        assert!(turns[0] + turns[1] >= 400.0, "each request was waited for: {body}");
        let hello = ("route", "/hello/{name}");
        let timed = value("gannet_http_handler_seconds_count", hello);
        assert!((20.0..=30.0).contains(&timed), "{timed} of 400, on both listeners: {body}");
        assert!(value("gannet_http_handler_seconds_sum", hello) > 0.0, "{body}");
    }
}

/// The last answer of a connection that asks again and again while the server shuts down: none where the server has ended
/// it, which waited in vain for a client that the machine had not let run.
fn last_answer_of_shutdown(driver: &str) -> Option<String> {
    let server = Server::serve(driver, &[HTTP]);
    let mut stream = server.connect("http");
    let mut answered = 0;
    let last = loop {
        if stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").is_err() {
            break None;
        }
        let mut start = [0; 12];
        if stream.read_exact(&mut start).is_err() {
            assert!(answered > 0, "no answer");
            break None;
        }
        if start == *b"HTTP/1.1 503" {
            break Some(String::from_utf8(stream.rest()).expect("text"));
        }
        assert_eq!(start, *b"HTTP/1.1 200");
        let mut rest = Vec::new();
        while !rest.ends_with(b"ready\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the rest of it");
            rest.extend(byte);
        }
        answered += 1;
        if answered == 1 {
            server.signal(Signal::TERM);
        }
    };
    assert_eq!(server.ended().status.code(), Some(0));
    last
}

#[test]
fn a_server_that_shuts_down_is_not_ready() {
    for driver in drivers() {
        let last = (0..5).find_map(|_| last_answer_of_shutdown(driver)).expect("one of five says so");
        // Whether it says so or not, depending on the moment: it is the last answer of its connection.
        assert!(last.ends_with("shutting down\n"), "{last}");
    }
}

#[test]
fn readiness_fails_first_and_everything_else_goes_on_until_a_second_signal() {
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP, "--drain-delay", "1h"]);
        let url = server.url("http");
        assert!(get(&mut Stream::connect(&url), "/readyz").ends_with("\r\n\r\nready\n"));
        server.signal(Signal::TERM);
        // The signal is on its way.
        while get(&mut Stream::connect(&url), "/readyz").starts_with("HTTP/1.1 200 ") {}
        assert!(get(&mut Stream::connect(&url), "/readyz").starts_with("HTTP/1.1 503 "));
        assert!(get(&mut Stream::connect(&url), "/hello/you").ends_with("\r\n\r\nhello you\n"));
        assert_eq!(server.signal_until_ended(Signal::TERM).status.code(), Some(1));
    }
}

#[test]
fn a_server_ends_by_itself_when_the_delay_is_over() {
    for driver in drivers() {
        let ended = Server::serve(driver, &[HTTP, "--drain-delay", "200ms"]).stop();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    }
}
