//! Bodies that are taken as they come.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet_http::middleware::{AccessLog, Bearer, Cors, RequestId};
use gannet_http::{Cx, HttpService, Receive, Receiving, Requests, Router, Routes};

use crate::rig::{PATIENCE, Rig, drivers};

/// Adds up all bytes, each piece on the pool, and answers with count and sum.
struct Sum {
    sum: Arc<Mutex<u64>>,
    gone: Option<Sender<()>>,
}

impl Receive for Sum {
    fn piece(&mut self, bytes: &[u8], body: &mut Receiving<'_, '_>) {
        match bytes {
            b"enough" => return body.answer((202, "no more")),
            b"panic" => return body.offload(|| panic!("for a test"), |(), _| {}),
            _ => {}
        }
        let (bytes, sum) = (bytes.to_vec(), Arc::clone(&self.sum));
        body.offload_blocking(
            move || bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
            move |piece, _| *sum.lock().expect("no panic") += piece,
        );
    }

    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        let text = format!("{} bytes, {}", body.received(), self.sum.lock().expect("no panic"));
        body.offload(|| (), move |(), body| body.answer((201, text)));
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        if let Some(gone) = &self.gone {
            let _ = gone.send(());
        }
    }
}

fn sum(cx: &mut Cx<'_>) {
    cx.header("Said-By", "handler");
    cx.receive(1_000_000, Sum { sum: Arc::default(), gone: None });
}

fn routes() -> Routes {
    Router::new()
        .layer(RequestId::new())
        .layer(AccessLog)
        .layer(Cors::any())
        .upload("PUT", "/sum", sum)
        .put("/whole", sum)
        .upload("PUT", "/refused", |_| (403, "never here"))
        .upload("PUT", "/unanswered", |cx| {
            cx.status(204);
            cx.receive(10, Ignores);
        })
        .group("/in", |inside| inside.layer(Bearer::new("secret")).upload("PUT", "/sum", sum))
        .build()
        .expect("they do not conflict")
}

struct Ignores;

impl Receive for Ignores {
    fn piece(&mut self, _: &[u8], _: &mut Receiving<'_, '_>) {}
}

/// A small limit for bodies that are not taken as they come.
fn start(driver: gannet::DriverChoice) -> Rig {
    let routes = routes();
    Rig::with(driver, move || {
        HttpService::new(&routes).limits(Requests::new().max_body(100)).body_pace(10, Duration::from_secs(1))
    })
}

#[test]
fn a_body_is_taken_as_it_comes_however_it_is_framed_and_requests_behind_it_are_answered() {
    for driver in drivers() {
        let rig = start(driver);
        let mut client = rig.connect();
        let data = "a".repeat(100_000);
        for path in ["/sum", "/in/sum"] {
            let fields = format!("{path} HTTP/1.1\r\nHost: h\r\nOrigin: http://o\r\nAuthorization: Bearer secret\r\n");
            for request in [
                format!("PUT {fields}Content-Length: {}\r\n\r\n{data}", data.len()),
                format!("PUT {fields}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{data}\r\n0\r\n\r\n", data.len()),
            ] {
                client.send(&request);
                client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
                let response = client.response(false);
                assert_eq!((response.status, &*response.body), (201, "100000 bytes, 9700000"), "{driver:?}");
                // What handler and layers said.
                assert_eq!(response.header("said-by"), Some("handler"));
                assert_eq!(response.header("access-control-allow-origin"), Some("*"));
                assert!(response.header("x-request-id").is_some());
                assert_eq!(client.response(false).status, 404);
            }
        }
    }
}

#[test]
fn a_body_that_comes_with_its_head_or_not_at_all_is_taken_as_well() {
    for driver in drivers() {
        let rig = start(driver);
        let mut client = rig.connect();
        for (path, fields, status, body) in [
            ("/sum", "Content-Length: 2\r\n\r\nab", 201, "2 bytes, 195"),
            ("/whole", "Content-Length: 2\r\n\r\nab", 201, "2 bytes, 195"),
            ("/sum", "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", 201, "2 bytes, 195"),
            ("/sum", "\r\n", 201, "0 bytes, 0"),
            ("/unanswered", "Content-Length: 2\r\n\r\nab", 204, ""),
            ("/unanswered", "Content-Length: 11\r\n\r\nabcdefghijk", 413, "body exceeds the limit of 10 bytes\n"),
        ] {
            client.send(&format!("PUT {path} HTTP/1.1\r\nHost: h\r\n{fields}"));
            let response = client.response(response_has_no_body(status));
            assert_eq!((response.status, &*response.body), (status, body), "{path} {fields}");
        }
        // In a route that does not take it as it comes, the limit is the service's.
        client.send("PUT /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n");
        assert_eq!(client.response(false).status, 413);
        client.expect_end();
    }
}

fn response_has_no_body(status: u16) -> bool {
    status == 204
}

#[test]
fn who_waits_to_send_a_body_is_told_to_or_hears_why_not() {
    for driver in drivers() {
        let rig = start(driver);
        for (path, length, status) in [
            ("/sum", 1_000_001, 413),
            ("/in/sum", 5, 401),
            ("/refused", 5, 403),
            ("/nowhere", 5, 404),
            ("/sum", 5, 100),
        ] {
            let mut client = rig.connect();
            client.send(&format!(
                "PUT {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
            ));
            let response = client.response(status == 100);
            assert_eq!(response.status, status, "{path}");
            if status == 100 {
                client.send("hello");
                assert_eq!(client.response(false).body, "5 bytes, 532");
            } else {
                client.expect_end();
            }
        }
    }
}

#[test]
fn a_response_before_the_end_of_the_body_is_the_last() {
    for driver in drivers() {
        let rig = start(driver);
        for (begin, status, body) in [("enough", 202, "no more"), ("panic", 500, "internal server error\n")] {
            let mut client = rig.connect();
            client.send("PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
            client.send(begin);
            let response = client.response(false);
            assert_eq!((response.status, &*response.body), (status, body));
            assert_eq!(response.header("connection"), Some("close"));
            client.expect_end();
        }
        // More than is taken, which only its chunks say.
        let mut client = rig.connect();
        client.send("PUT /unanswered HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nhello ");
        client.send("and more");
        let response = client.response(false);
        assert_eq!((response.status, response.header("connection")), (413, Some("close")));
        client.expect_end();
        // What is no chunk.
        let mut client = rig.connect();
        client.send("PUT /sum HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r");
        client.send("oops");
        assert_eq!(client.response(false).status, 400);
        client.expect_end();
        // Too slow.
        let mut client = rig.connect();
        client.send("PUT /sum HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nslow");
        assert_eq!(client.response(false).status, 408);
        client.expect_end();
    }
}

#[test]
fn a_receiver_is_dropped_when_its_client_goes() {
    for driver in drivers() {
        let (gone, is_gone) = channel();
        let gone = Mutex::new(gone);
        let routes = Router::new()
            .upload("PUT", "/", move |cx| {
                let gone = Some(gone.lock().expect("no panic").clone());
                cx.receive(u64::MAX, Sum { sum: Arc::default(), gone });
            })
            .build()
            .expect("one route");
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome");
        drop(client);
        is_gone.recv_timeout(PATIENCE).expect("it is dropped");
        // Who has ended their side is waited for no more, unless the body is whole.
        let mut client = rig.connect();
        client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
        client.send("some");
        client.stream.shutdown(Shutdown::Write).expect("it is up");
        assert_eq!(client.response(false).status, 201);
        client.expect_end();
        is_gone.recv_timeout(PATIENCE).expect("it is dropped");
    }
}

/// Waits for permission with its first piece.
struct Slow(Arc<Mutex<Receiver<()>>>);

impl Receive for Slow {
    fn piece(&mut self, _: &[u8], body: &mut Receiving<'_, '_>) {
        let permission = Arc::clone(&self.0);
        body.offload_blocking(move || permission.lock().expect("no panic").recv(), |_, _| {});
    }

    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        body.answer(format!("{}", body.received()));
    }
}

#[test]
fn nothing_is_read_while_the_application_is_busy_with_a_piece() {
    const LENGTH: usize = 256 << 20;
    for driver in drivers() {
        let (permit, permission) = channel();
        let permission = Arc::new(Mutex::new(permission));
        let routes = Router::new().upload("PUT", "/", move |cx| cx.receive(u64::MAX, Slow(permission.clone()))).build();
        let rig = Rig::start(driver, &routes.expect("one route"));
        let mut client = rig.connect();
        client.send(&format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n"));
        client.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let piece = vec![b'x'; 64 << 10];
        let mut sent = 0;
        // What the kernel holds for both sides, and what the server has read by then.
        while sent < LENGTH {
            match client.stream.write(&piece[..piece.len().min(LENGTH - sent)]) {
                Ok(count) => sent += count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(sent < 64 << 20, "{sent} bytes were taken on {driver:?}");
        // From here on no piece has to wait.
        drop(permit);
        client.stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        while sent < LENGTH {
            sent += client.stream.write(&piece[..piece.len().min(LENGTH - sent)]).expect("it is taken");
        }
        assert_eq!(client.response(false).body, LENGTH.to_string());
    }
}
