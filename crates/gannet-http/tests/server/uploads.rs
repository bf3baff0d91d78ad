//! What is answered from the head of a request, before its body has come, and what becomes of that body.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gannet_http::middleware::{AccessLog, Bearer, Cors, Gzip, RateLimit, Recover, RequestId};
use gannet_http::{Cx, DROPPED_BODY, HttpService, Layer, Router};

use crate::rig::{Client, Rig, drivers};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// Counts how often it is called.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Layer for Count {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        self.0.fetch_add(1, Ordering::Relaxed);
        next(cx);
        cx.header("Counted", "yes");
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The layers that decide by a head, inside of one that counts.
fn router(count: &Count) -> Router<impl Layer> {
    Router::new()
        .layer(RequestId::new())
        .layer(AccessLog)
        .layer(count.clone())
        .layer(Recover)
        .layer(Cors::origins(["https://example.org"]))
        .post("/echo", |cx| cx.bytes(cx.request_body()))
        .group("/admin", |admin| {
            admin.layer(Bearer::new("secret")).layer(count.clone()).post("", |cx| cx.bytes(cx.request_body()))
        })
        .group("/limited", |limited| {
            limited.layer(RateLimit::per_minute(2)).layer(Gzip::new()).post("", |cx| cx.bytes(cx.request_body()))
        })
}

fn head(what: &str, fields: &str, length: usize) -> String {
    format!("{what} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{fields}\r\n")
}

const EXPECT: &str = "Expect: 100-continue\r\n";

/// Requests whose head says what the answer is, with fields and status.
const BY_HEAD: [(&str, &str, u16); 6] = [
    ("POST /nowhere", "", 404),
    ("PUT /echo", "", 405),
    ("OPTIONS /echo", "", 204),
    ("POST /admin", "", 401),
    ("POST /admin", "Authorization: Bearer wrong\r\n", 401),
    ("OPTIONS /echo", "Origin: https://example.org\r\nAccess-Control-Request-Method: PUT\r\n", 204),
];

#[test]
fn who_waits_to_send_a_body_hears_the_final_status_where_the_head_says_it() {
    let count = Count::default();
    let routes = router(&count).build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        for (what, fields, status) in BY_HEAD {
            let before = count.get();
            let mut client = rig.connect();
            client.send(&head(what, &format!("{EXPECT}{fields}"), 1_000_000));
            let response = client.response(false);
            assert_eq!(response.status, status, "{what} {fields}");
            // The body may come or not, so nothing can be read behind it.
            assert_eq!(response.header("connection"), Some("close"), "{what}");
            assert!(response.header("x-request-id").is_some(), "{what}");
            assert_eq!(response.header_all("counted").count(), 1, "{what}");
            assert_eq!(response.header("vary"), Some("Origin"), "{what}");
            assert_eq!(count.get(), before + 1, "{what}: the layer outside was called once");
            client.expect_end();
        }
    }
}

#[test]
fn who_waits_to_send_a_body_that_is_not_refused_is_told_to_send_it_and_layers_run_once() {
    let count = Count::default();
    let routes = router(&count).build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        for (expect, interim) in [(EXPECT, CONTINUE), ("", "")] {
            for (path, layers) in [("/echo", 1), ("/admin", 2)] {
                let before = count.get();
                let fields = format!("{expect}Authorization: Bearer secret\r\nX-Request-Id: own\r\n");
                client.send(&head(&format!("POST {path}"), &fields, 5));
                assert_eq!(client.read(interim.len()), interim);
                client.send("hello");
                let response = client.response(false);
                assert_eq!((response.status, response.body.as_str()), (200, "hello"));
                assert_eq!(response.header("x-request-id"), Some("own"));
                assert_eq!(count.get(), before + layers);
            }
        }
    }
}

#[test]
fn a_body_that_nobody_waits_for_is_not_taken_for_a_request() {
    let routes = router(&Count::default()).build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let smuggled = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
        for (what, fields, status) in BY_HEAD {
            // It comes after the answer: it is dropped, and the connection goes on behind it.
            let mut client = rig.connect();
            client.send(&head(what, fields, smuggled.len()));
            let response = client.response(false);
            assert_eq!((response.status, response.header("connection")), (status, None), "{what}");
            client.send(&smuggled[..9]);
            client.send(&smuggled[9..]);
            client.send(&format!("{}next", head("POST /echo", "", 4)));
            assert_eq!(client.response(false).body, "next", "{what}");
            // It comes at once.
            client.send(&format!("{}{smuggled}{}last", head(what, fields, smuggled.len()), head("POST /echo", "", 4)));
            assert_eq!(client.response(false).status, status);
            assert_eq!(client.response(false).body, "last", "{what}");
            // It was not waited for to be allowed.
            let mut client = rig.connect();
            client.send(&format!("{}{smuggled}", head(what, &format!("{EXPECT}{fields}"), smuggled.len())));
            assert_eq!(client.response(false).status, status);
            client.expect_end();
        }
    }
}

#[test]
fn a_body_that_is_large_or_of_unknown_size_is_not_read_to_its_end_when_the_request_was_refused() {
    let routes = router(&Count::default()).build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::with(driver, {
            let routes = routes.clone();
            move || HttpService::new(&routes).limits(gannet_http::Requests::new().max_body(512 << 20))
        });
        let chunked = "POST /admin HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        for request in [head("POST /admin", "", DROPPED_BODY as usize + 1), chunked.to_owned()] {
            let mut client = rig.connect();
            client.send(&request);
            let response = client.response(false);
            assert_eq!((response.status, response.header("connection")), (401, Some("close")));
            client.expect_end();
        }
        let mut client = rig.connect();
        client.send(&head("POST /admin", "", DROPPED_BODY as usize));
        assert_eq!(client.response(false).header("connection"), None);
        client.send(&"x".repeat(DROPPED_BODY as usize));
        client.send(&head("POST /echo", "", 0));
        assert_eq!(client.response(false).status, 200);
    }
}

#[test]
fn a_body_over_the_limit_and_an_expectation_that_is_not_known_are_refused_before_the_body_is_sent() {
    let routes = router(&Count::default()).build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        for (fields, length, status) in [(EXPECT, 2_000_000, 413), ("Expect: 200-maybe\r\n", 5, 417)] {
            let mut client = rig.connect();
            client.send(&head("POST /echo", fields, length));
            assert_eq!(client.response(false).status, status);
            client.expect_end();
        }
    }
}

#[test]
fn a_request_is_charged_once_however_its_body_comes_and_not_asked_for_it_over_the_limit() {
    for driver in drivers() {
        let routes = router(&Count::default()).build().expect("they do not conflict");
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        client.send(&head("POST /limited", EXPECT, 5));
        assert_eq!(client.read(CONTINUE.len()), CONTINUE);
        client.send("hello");
        assert_eq!(client.response(false).status, 200);
        client.send(&head("POST /limited", "", 5));
        // The head is there before the body.
        let mut other = rig.connect();
        other.send(&head("POST /echo", "", 0));
        assert_eq!(other.response(false).status, 200);
        client.send("hello");
        assert_eq!(client.response(false).status, 200);
        client.send(&head("POST /limited", EXPECT, 5));
        let response = client.response(false);
        assert_eq!((response.status, response.header("connection")), (429, Some("close")));
        assert!(response.header("retry-after").is_some());
        client.expect_end();
    }
}

/// Two limits, of which the inner one is used up first: the outer one is charged for each request all the same.
#[test]
fn a_request_that_an_inner_limit_refuses_is_charged_by_the_outer_one_once() {
    let routes = Router::new()
        .layer(RateLimit::per_minute(4))
        .group("/login", |login| login.layer(RateLimit::per_minute(1)).post("", |cx| cx.status(204)))
        .post("/other", |cx| cx.status(204))
        .build()
        .expect("they do not conflict");
    for driver in drivers().into_iter().take(1) {
        let rig = Rig::start(driver, &routes);
        let mut statuses = Vec::new();
        for path in ["/login", "/login", "/other", "/other", "/other"] {
            let mut client = rig.connect();
            client.send(&head(&format!("POST {path}"), EXPECT, 1));
            let interim_or_status = client.read(CONTINUE.len());
            if interim_or_status == CONTINUE {
                client.send("x");
                statuses.push(client.response(false).status);
            } else {
                statuses.push(interim_or_status[9..12].parse().expect("a status"));
            }
        }
        assert_eq!(statuses, [204, 429, 204, 204, 429]);
    }
}

#[test]
fn a_panic_of_a_layer_that_looks_at_a_head_is_answered_by_those_outside() {
    #[derive(Clone)]
    struct Panics;

    impl Layer for Panics {
        fn call(&self, _: &mut Cx<'_>, _: impl Fn(&mut Cx<'_>)) {
            unreachable!("the request was not admitted");
        }

        fn admit(&self, _: &mut Cx<'_>) -> bool {
            panic!("for a test");
        }
    }

    let count = Count::default();
    let routes = Router::new()
        .layer(count.clone())
        .layer(Recover)
        .layer(Panics)
        .post("/", |cx| cx.status(204))
        .build()
        .expect("one route");
    for driver in drivers() {
        let before = count.get();
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        client.send(&head("POST /", EXPECT, 5));
        assert_eq!(client.response(false).status, 500);
        assert_eq!(count.get(), before + 1);
        client.expect_end();
    }
}

#[test]
fn what_a_layer_says_of_a_response_that_it_does_not_make_is_dropped() {
    #[derive(Clone)]
    struct Says;

    impl Layer for Says {
        fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
            next(cx);
        }

        fn admit(&self, cx: &mut Cx<'_>) -> bool {
            cx.refuse(418, "said by the head");
            cx.header("Said", "yes");
            true
        }
    }

    let routes = Router::new()
        .layer(Says)
        .group("/closed", |closed| closed.layer(Bearer::new("secret")).post("", |cx| cx.text("in")))
        .post("/open", |cx| cx.text("in"))
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    for (path, status, body) in [("/closed", 401, "unauthorized\n"), ("/open", 200, "in")] {
        let mut client = rig.connect();
        client.send(&head(&format!("POST {path}"), EXPECT, 1));
        if status == 200 {
            assert_eq!(client.read(CONTINUE.len()), CONTINUE);
            client.send("x");
        }
        let response = client.response(false);
        assert_eq!((response.status, response.body.as_str()), (status, body));
        assert_eq!(response.header("said"), None);
    }
}

#[test]
fn who_refuses_to_send_the_rest_of_a_body_that_is_dropped_does_not_keep_the_connection() {
    let routes = router(&Count::default()).build().expect("they do not conflict");
    // Short, but long enough for a machine that is busy.
    let time = Duration::from_secs(1);
    for driver in drivers() {
        let rig = Rig::with(driver, {
            let routes = routes.clone();
            move || HttpService::new(&routes).body_pace(10, time)
        });
        let mut client = rig.connect();
        client.send(&head("POST /admin", "", 100));
        assert_eq!(client.response(false).status, 401);
        client.send("some");
        // Nothing is said of a request that was answered.
        client.expect_end();
    }
}

#[test]
fn a_malformed_chunk_is_refused_whether_or_not_it_comes_with_its_head() {
    let routes = router(&Count::default()).build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let head = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        for pieces in [[head, "5\r\nhello oops"], ["", &format!("{head}5\r\nhello oops")]] {
            let mut client = rig.connect();
            pieces.iter().for_each(|piece| client.send(piece));
            assert_eq!(client.response(false).status, 400);
            client.expect_end();
        }
    }
}

#[test]
fn a_client_of_http_1_0_is_answered_by_the_head_and_never_told_to_go_on() {
    let routes = router(&Count::default()).build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let ask = |path: &str, body: &str| -> Client {
            let mut client = rig.connect();
            client.send(&format!("POST {path} HTTP/1.0\r\nContent-Length: 5\r\n{EXPECT}\r\n{body}"));
            client
        };
        let mut refused = ask("/admin", "");
        assert_eq!(refused.response(false).status, 401);
        refused.expect_end();
        let mut accepted = ask("/echo", "he");
        accepted.send("llo");
        assert_eq!(accepted.response(false).body, "hello");
        accepted.expect_end();
        // Who has ended their side sends no body any more.
        let ended = ask("/echo", "he");
        ended.stream.shutdown(Shutdown::Write).expect("it is up");
        let mut ended = ended;
        ended.expect_end();
    }
}
