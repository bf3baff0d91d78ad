//! The pages of `gannet serve`: what runs, health, readiness, counters.

use std::io::{Read as _, Write as _};

use rustix::process::Signal;

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

#[test]
fn a_websocket_client_gets_its_messages_back() {
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP]);
        let mut client = server.connect("http");
        client
            .write_all(
                b"GET /ws/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
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
        // "Hello" of RFC 6455 §5.7, and a close frame with code 1000.
        client.ask(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", b"\x81\x05Hello");
        client.ask(b"\x88\x82\0\0\0\0\x03\xe8", b"\x88\x02\x03\xe8");
        assert_eq!(client.rest(), b"");
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
        ] {
            assert!(body.lines().any(|own| own == line), "{line:?} is missing: {body}");
        }
        // Each sample belongs to a metric that was described before.
        let mut described = "";
        for line in body.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => described = rest.split(' ').next().unwrap_or_default(),
                None if line.starts_with("# HELP ") => {}
                None => {
                    let name = line.split(['{', ' ']).next().unwrap_or_default();
                    let value = line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
                    assert!(name == described && value.is_some(), "{line}");
                }
            }
        }
    }
}

#[test]
fn a_server_that_shuts_down_is_not_ready() {
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP]);
        let mut stream = server.connect("http");
        let mut answered = 0;
        loop {
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is taken");
            let mut start = [0; 12];
            stream.read_exact(&mut start).expect("an answer");
            if start == *b"HTTP/1.1 503" {
                break;
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
        }
        let rest = String::from_utf8(stream.rest()).expect("text");
        assert!(rest.contains("Connection: close\r\n") && rest.ends_with("shutting down\n"), "{rest}");
        assert_eq!(server.ended().status.code(), Some(0));
    }
}
