//! Listeners behind load balancers, and who may connect: the client is the one that the PROXY header names.

use std::io::{Read as _, Write as _};

use gannet_testing::is_end;

use crate::invocation::{fails, only_line};
use crate::server::{Folder, Server, Stream, drivers};

/// Whether a client that is named by a header gets an answer.
fn is_served(server: &Server, client: &str) -> bool {
    // It may be closed before it is connected, or before all of this is written.
    let Ok(mut stream) = server.try_connect("lines") else { return false };
    let header = if client.is_empty() { String::new() } else { format!("PROXY TCP4 {client} 192.0.2.9 1234 443\r\n") };
    let _ = stream.write_all(format!("{header}hello\n").as_bytes());
    let mut answer = [0; b"echo: hello\n".len()];
    match stream.read_exact(&mut answer) {
        Ok(()) => {
            assert_eq!(&answer, b"echo: hello\n");
            true
        }
        Err(error) => {
            assert!(is_end(&Err(error)), "neither served nor closed");
            false
        }
    }
}

#[test]
fn a_client_is_let_in_or_not_by_the_address_that_its_load_balancer_names() {
    for driver in drivers() {
        let listeners = ["--listen=lines=tcp://127.0.0.1:0,proxy=127.0.0.1+::1", "--listen=http=tcp://127.0.0.1:0"];
        let rules = ["--allow=192.0.2.0/24", "--allow=127.0.0.1", "--deny=192.0.2.128/25"];
        let server = Server::serve(driver, &[&listeners[..], &rules].concat());
        for (client, expected) in
            [("192.0.2.1", true), ("192.0.2.129", false), ("198.51.100.1", false), ("127.0.0.1", true), ("", false)]
        {
            assert_eq!(is_served(&server, client), expected, "{client:?}");
        }
        let mut metrics = server.connect("http");
        metrics.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("it is taken");
        let metrics = String::from_utf8(metrics.rest()).expect("text");
        let counts = |reason: &str, count: u64| {
            let end = format!("reason=\"{reason}\"}} {count}");
            assert!(metrics.lines().any(|line| line.contains("service=\"lines\"") && line.ends_with(&end)), "{end}");
        };
        counts("denied", 2);
        counts("proxy_header", 1);
    }
}

#[test]
fn a_load_balancer_that_is_not_trusted_is_refused() {
    let server = Server::serve("poll", &["--listen=lines=tcp://127.0.0.1:0,proxy=192.0.2.0/24"]);
    assert!(!is_served(&server, "192.0.2.1"));
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_reaches_a_unix_socket_may_name_a_client() {
    let folder = Folder::new("proxied");
    let server =
        Server::serve("poll", &[&format!("--listen=lines={},proxy", folder.url("socket")), "--deny=192.0.2.1"]);
    let mut stream = Stream::connect(&server.url("lines"));
    stream.ask(b"PROXY TCP4 192.0.2.2 192.0.2.9 1234 443\r\nhello\n", b"echo: hello\n");
    let mut denied = Stream::connect(&server.url("lines"));
    denied.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.9 1234 443\r\n").expect("it is taken");
    let mut answer = Vec::new();
    assert!(denied.read_to_end(&mut answer).is_err() || answer.is_empty(), "{answer:?}");
}

#[test]
fn networks_that_contradict_each_other_are_wrong_usage() {
    let ended = fails(&["serve", "--allow=10.0.0.0/8", "--deny=10.0.0.0/8"]);
    assert!(only_line(&ended).contains("10.0.0.0/8 is both allowed and denied"), "{ended:?}");
    assert_eq!(ended.status.code(), Some(2));
}
