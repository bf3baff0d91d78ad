//! The life of a connection: from its first request to its last.

use std::time::Duration;

use gannet::Drain;
use gannet_http::{HttpService, Router, Routes};

use crate::rig::{Rig, drivers};

fn routes() -> Routes {
    Router::new()
        .get("/number/{n}", |cx| {
            let n = cx.param("n");
            write!(cx, "number {n}");
        })
        .get("/large", |cx| (0..100_000).for_each(|number| write!(cx, "{number:06} ")))
        .get("/fault", |cx| cx.header("X-A", "a\r\nSet-Cookie: stolen"))
        .get("/status/{code}", |cx| {
            cx.status(cx.param("code").parse().unwrap_or_default());
            cx.text("body");
        })
        .get("/ready", |cx| if cx.is_draining() { cx.refuse(503, "no\n") } else { cx.text("yes\n") })
        .post("/echo", |cx| {
            cx.header("Content-Type", "application/octet-stream");
            cx.bytes(cx.request_body());
        })
        .build()
        .expect("they do not conflict")
}

#[test]
fn a_connection_takes_one_request_after_the_other() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        let mut client = rig.connect();
        for number in 0..100 {
            let response = client.get(&format!("/number/{number}"));
            assert_eq!((response.status, response.body.clone()), (200, format!("number {number}")));
            assert_eq!(response.header("connection"), None);
        }
        let date = client.get("/number/1").header("date").map(str::to_owned).expect("a date");
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    }
}

#[test]
fn requests_that_do_not_wait_are_answered_in_order() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        let mut client = rig.connect();
        let request = |number| format!("GET /number/{number} HTTP/1.1\r\nHost: h\r\n\r\n");
        // With large responses between, so that the order is kept over the outbox's high mark too.
        let all: String = (0..300).map(|number| request(number) + &large(number)).collect();
        let writer = std::thread::spawn({
            let mut stream = client.stream.try_clone().expect("a descriptor");
            move || std::io::Write::write_all(&mut stream, all.as_bytes()).expect("it is taken")
        });
        for number in 0..300 {
            assert_eq!(client.response(false).body, format!("number {number}"));
            if number % 20 == 0 {
                assert_eq!(client.response(false).body.len(), 700_000);
            }
        }
        writer.join().expect("all was sent");
    }
}

fn large(number: usize) -> String {
    if number.is_multiple_of(20) { "GET /large HTTP/1.1\r\nHost: h\r\n\r\n".to_owned() } else { String::new() }
}

#[test]
fn a_client_that_wants_no_more_is_the_last_to_be_answered() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        for request in [
            "GET /number/1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /number/2 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /number/1 HTTP/1.0\r\n\r\n",
        ] {
            let mut client = rig.connect();
            client.send(request);
            let response = client.response(false);
            assert_eq!((response.body.as_str(), response.header("connection")), ("number 1", Some("close")));
            client.expect_end();
        }
        let mut old = rig.connect();
        for _ in 0..2 {
            old.send("GET /number/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
            assert_eq!(old.response(false).header("connection"), Some("keep-alive"));
        }
        // One that has ended its side is answered all the same.
        let mut half = rig.connect();
        half.send("GET /number/1 HTTP/1.1\r\nHost: h\r\n\r\n");
        half.stream.shutdown(std::net::Shutdown::Write).expect("it is up");
        assert_eq!(half.response(false).body, "number 1");
        half.expect_end();
    }
}

#[test]
fn bodies_come_whole_however_they_are_sent() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        let mut client = rig.connect();
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
        client.send("llo");
        let response = client.response(false);
        assert_eq!(
            (response.body.as_str(), response.header("content-type")),
            ("hello", Some("application/octet-stream"))
        );
        client.send(
            "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        );
        assert_eq!(client.response(false).body, "hello");
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1");
        client.send(&format!("\r\nx\r\n{}0\r\n\r\n", "1\r\nx\r\n".repeat(999)));
        assert_eq!(client.response(false).body, "x".repeat(1_000));
        let long = "x".repeat(500_000);
        client.send(&format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{long}", long.len()));
        assert_eq!(client.response(false).body, long);
    }
}

#[test]
fn a_client_that_asks_whether_it_may_send_the_body_is_told_to_go_on() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        let mut client = rig.connect();
        for _ in 0..2 {
            client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
            let interim = "HTTP/1.1 100 Continue\r\n\r\n";
            assert_eq!(client.read(interim.len()), interim);
            client.send("hello");
            assert_eq!(client.response(false).body, "hello");
        }
    }
}

#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        for (request, status, why) in [
            ("nonsense\r\n\r\n", 400, "malformed request line\n"),
            ("GET / HTTP/1.1\r\n\r\n", 400, "missing, doubled or malformed Host\n"),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "HTTP version not supported\n"),
            (
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n",
                413,
                "body exceeds the limit of 1048576 bytes\n",
            ),
        ] {
            let mut client = rig.connect();
            client.send("GET /number/1 HTTP/1.1\r\nHost: h\r\n\r\n");
            client.send(request);
            assert_eq!(client.response(false).status, 200);
            let response = client.response(false);
            assert_eq!((response.status, response.body.as_str()), (status, why));
            assert_eq!(response.header("connection"), Some("close"));
            assert!(response.header("date").is_some());
            client.expect_end();
        }
    }
}

#[test]
fn a_header_field_that_cannot_be_sent_is_never_sent() {
    let rig = Rig::start(drivers()[0], &routes());
    let response = rig.ask("GET /fault", "");
    assert_eq!((response.status, response.header("set-cookie")), (500, None));
}

#[test]
fn a_status_that_ends_no_response_is_never_sent() {
    let rig = Rig::start(drivers()[0], &routes());
    let mut client = rig.connect();
    for (code, sent) in [(0, 500), (99, 500), (100, 500), (101, 500), (103, 500), (199, 500), (1_000, 500), (299, 299)]
    {
        let response = client.get(&format!("/status/{code}"));
        assert_eq!((response.status, response.body.as_str()), (sent, "body"), "{code}");
    }
    for code in [204, 304] {
        let response = client.get(&format!("/status/{code}"));
        assert_eq!((response.status, response.header("content-length")), (code, None));
    }
    assert_eq!(client.get("/number/1").body, "number 1");
}

#[test]
fn who_sends_no_whole_request_in_time_does_not_keep_the_connection() {
    // Short, but long enough for a machine that is busy.
    let time = Duration::from_secs(1);
    for driver in drivers() {
        let routes = routes();
        let service = move || HttpService::new(&routes).keep_alive(time).request_timeout(time).body_pace(10, time);
        let rig = Rig::with(driver, service);
        // Nothing, or a part of the first request.
        let (mut silent, mut slow) = (rig.connect(), rig.connect());
        slow.send("GET /number");
        // Nothing after a response, or a part of the next request.
        let (mut idle, mut slow_again) = (rig.connect(), rig.connect());
        idle.get("/number/1");
        slow_again.get("/number/1");
        slow_again.send("GET /number");
        // A part of the body that was asked for.
        let mut slow_body = rig.connect();
        slow_body.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        slow_body.read("HTTP/1.1 100 Continue\r\n\r\n".len());
        slow_body.send("he");
        for client in [&mut slow, &mut slow_again, &mut slow_body] {
            assert_eq!(client.response(false).status, 408);
        }
        for client in [&mut silent, &mut slow, &mut idle, &mut slow_again, &mut slow_body] {
            client.expect_end();
        }
    }
}

/// Who sends many requests at once is answered one of them.
#[test]
fn without_a_time_to_wait_for_a_next_request_each_response_is_the_last_one() {
    for driver in drivers() {
        let routes = routes();
        let rig = Rig::with(driver, move || HttpService::new(&routes).keep_alive(Duration::ZERO));
        let mut client = rig.connect();
        client.send(&"GET /number/7 HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20));
        let response = client.response(false);
        assert_eq!((&*response.body, response.header("connection")), ("number 7", Some("close")));
        client.expect_end();
        let mut client = rig.connect();
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        client.read("HTTP/1.1 100 Continue\r\n\r\n".len());
        client.send("hello");
        assert_eq!(client.response(false).body, "hello");
        client.expect_end();
    }
}

#[test]
fn a_server_that_shuts_down_answers_what_is_on_its_way_and_says_that_it_is_the_last() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        let (mut client, mut idle) = (rig.connect(), rig.connect());
        assert_eq!((client.get("/ready").status, idle.get("/ready").status), (200, 200));
        rig.running.remote().stop();
        let last = loop {
            let response = client.get("/ready");
            if response.status != 200 {
                break response;
            }
        };
        assert_eq!((last.status, last.header("connection")), (503, Some("close")));
        client.expect_end();
        idle.expect_end();
    }
}

#[test]
fn a_client_that_was_not_told_to_leave_is_served_as_ever_while_others_leave() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        let (mut client, mut other) = (rig.connect(), rig.connect());
        assert_eq!((client.get("/ready").status, other.get("/ready").status), (200, 200));
        rig.running.remote().drain(&Drain::new().spread(Duration::from_secs(3_600))).expect("nothing drains yet");
        let response = client.get("/ready");
        assert_eq!((response.status, response.header("connection")), (200, None), "its time has not come");
        rig.running.remote().drain(&Drain::new().spread(Duration::ZERO)).expect("it takes the place of the other");
        let last = loop {
            let response = client.get("/ready");
            if response.status != 200 {
                break response;
            }
        };
        assert_eq!((last.status, last.header("connection")), (503, Some("close")));
        client.expect_end();
        other.expect_end();
    }
}
