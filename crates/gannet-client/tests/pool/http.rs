//! HTTP/1.1 with connections that are kept.

use std::io::{Read, Write};
use std::net::TcpListener;

use gannet::proto::http::{Method, WholeRequest};
use gannet_client::{CallError, Client, Http, Loss};

fn get(target: &str) -> WholeRequest<'_> {
    WholeRequest { method: Method::Get, target, host: "example.org", fields: &[], body: b"" }
}

/// A server of one connection at a time, which gives one response after the other. Says how many connections it had.
fn server(responses: &'static [&'static str]) -> (String, std::thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let thread = std::thread::spawn(move || {
        let (mut left, mut connections) = (responses.iter(), 0);
        while left.len() > 0 {
            let (mut stream, _) = listener.accept().expect("a client");
            connections += 1;
            let (mut received, mut buffer) = (Vec::new(), [0; 1024]);
            while left.len() > 0 {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => received.extend_from_slice(&buffer[..read]),
                }
                if received.ends_with(b"\r\n\r\n") {
                    received.clear();
                    let response = left.next().expect("one is left");
                    stream.write_all(response.as_bytes()).expect("it reads");
                    if response.contains("close") {
                        break;
                    }
                }
            }
        }
        connections
    });
    (url, thread)
}

#[test]
fn responses_of_all_framings_come_on_one_connection_until_the_server_closes_it() {
    let (url, server) = server(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Name: value\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 503 Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    ]);
    let http = Client::connect(Http::new(), &url).expect("it accepts");
    let first = http.call(get("/1")).expect("a response");
    assert_eq!(
        (first.status, first.body.as_slice(), first.header("x-name")),
        (200, &b"hello"[..], Some(&b"value"[..]))
    );
    assert_eq!(http.call(get("/2")).expect("a response").body, b"abc");
    assert_eq!(http.call(get("/3")).expect("a response").status, 503);
    assert_eq!(http.call(get("/4")).expect("a response").body, b"until the end");
    let head = WholeRequest { method: Method::Head, ..get("/") };
    assert_eq!(http.call(head), Err(CallError::Unencodable));
    drop(http);
    // Those that the pool opens again when the server has closed them.
    assert!((2..=4).contains(&server.join().expect("it served")));
}

#[test]
fn a_response_that_nobody_asked_for_closes_the_connection() {
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (url, _) = server(Box::leak(Box::new([twice, twice])));
    let http = Client::connect(Http::new(), &url).expect("it accepts");
    assert_eq!(http.call(get("/")).expect("a response").status, 200);
    gannet_testing::until("the end of the connection", || http.stats().losses(Loss::Protocol) == 1);
}
