//! Responses that come later: from the offload pool and from other threads.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet::{CloseMode, Engine, SendError};
use gannet_http::middleware::{Cors, RequestId, Timeout};
use gannet_http::{Cx, HttpService, Later, Reply, Router, Routes};

use crate::rig::{PATIENCE, Rig, drivers};

const LONG: Duration = Duration::from_secs(60);

/// A handler that gives its token away, and who gets it. It waits for so long, or for `LONG` where the query says so.
fn handing_over(timeout: Duration) -> (impl Fn(&mut Cx<'_>) + Clone + Send + Sync + 'static, Receiver<Later>) {
    let (sender, receiver): (Sender<Later>, _) = channel();
    let sender = Arc::new(Mutex::new(sender));
    let handler = move |cx: &mut Cx<'_>| {
        cx.header("X-Before", "kept");
        let timeout = if cx.query() == Some("long") { LONG } else { timeout };
        let later = cx.defer(timeout);
        sender.lock().expect("no panic").send(later).expect("the test waits");
    };
    (handler, receiver)
}

fn routes(later: impl Fn(&mut Cx<'_>) + Clone + Send + Sync + 'static) -> Routes {
    Router::new()
        .layer(RequestId::new())
        .layer(Cors::any())
        .get("/now", |cx| cx.text("now"))
        .get("/later", later)
        .get("/sum/{n}", |cx| {
            let number: u64 = cx.param("n").parse().unwrap_or_default();
            cx.offload(move || (0..=number).sum::<u64>(), |sum, reply| write!(reply, "{sum}"));
        })
        .get("/panic/work", |cx| cx.offload(|| panic!("for a test"), |(), reply| reply.text("never")))
        .get("/panic/done", |cx| cx.offload(|| (), panics))
        .build()
        .expect("they do not conflict")
}

fn panics((): (), _: &mut Reply<'_>) {
    panic!("for a test")
}

#[test]
fn what_was_offloaded_answers_in_the_order_of_the_requests() {
    for driver in drivers() {
        let (later, _tokens) = handing_over(LONG);
        let rig = Rig::start(driver, &routes(later));
        let mut client = rig.connect();
        let mut requests = String::new();
        for number in 0..100 {
            requests += &format!("GET /sum/{number} HTTP/1.1\r\nHost: h\r\n\r\nGET /now HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        client.send(&requests);
        for number in 0..100u64 {
            assert_eq!(client.response(false).body, (number * (number + 1) / 2).to_string());
            assert_eq!(client.response(false).body, "now");
        }
    }
}

#[test]
fn a_response_made_by_another_thread_has_what_handler_and_layers_said() {
    for driver in drivers() {
        let (later, tokens) = handing_over(LONG);
        let rig = Rig::start(driver, &routes(later));
        let mut client = rig.connect();
        client.send("GET /later HTTP/1.1\r\nHost: h\r\nOrigin: http://o\r\n\r\nGET /now HTTP/1.1\r\nHost: h\r\n\r\n");
        let token = tokens.recv_timeout(PATIENCE).expect("the handler ran");
        let complete = |reply: &mut gannet_http::Reply<'_>| {
            reply.status(201);
            reply.header("X-After", "new");
            reply.text("done");
        };
        std::thread::spawn(move || token.complete(complete)).join().expect("no panic").expect("the client waits");
        let response = client.response(false);
        assert_eq!((response.status, response.body.as_str()), (201, "done"));
        for (name, value) in [("x-before", "kept"), ("x-after", "new"), ("access-control-allow-origin", "*")] {
            assert_eq!(response.header(name), Some(value));
        }
        assert!(response.header("x-request-id").is_some());
        assert_eq!(client.response(false).body, "now");
    }
}

#[test]
fn a_token_that_is_dropped_answers_with_500_and_panics_do_too() {
    for driver in drivers() {
        let (later, tokens) = handing_over(LONG);
        let rig = Rig::start(driver, &routes(later));
        let mut client = rig.connect();
        client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        drop(tokens.recv_timeout(PATIENCE).expect("the handler ran"));
        let response = client.response(false);
        assert_eq!((response.status, response.header("x-before")), (500, Some("kept")));
        for path in ["/panic/work", "/panic/done"] {
            assert_eq!(client.get(path).status, 500, "{path}");
        }
        assert_eq!(client.get("/now").body, "now");
    }
}

#[test]
fn what_comes_after_the_deadline_reaches_no_other_request() {
    for driver in drivers() {
        let (later, tokens) = handing_over(Duration::from_millis(20));
        let rig = Rig::start(driver, &routes(later));
        let mut client = rig.connect();
        let response = client.get("/later");
        assert_eq!((response.status, response.body.as_str()), (503, "no response in time\n"));
        assert_eq!(response.header("x-before"), Some("kept"));
        let late = tokens.recv_timeout(PATIENCE).expect("the handler ran");
        client.send("GET /sum/3 HTTP/1.1\r\nHost: h\r\n\r\nGET /later?long HTTP/1.1\r\nHost: h\r\n\r\n");
        late.complete(|reply| reply.text("too late")).expect("the connection is there");
        assert_eq!(client.response(false).body, "6");
        let token = tokens.recv_timeout(PATIENCE).expect("the handler ran");
        token.complete(|reply| reply.text("in time")).expect("the connection is there");
        assert_eq!(client.response(false).body, "in time");
    }
}

#[test]
fn the_layer_says_how_long_a_response_may_take() {
    let (later, _tokens) = handing_over(LONG);
    let routes = Router::new()
        .group("/short", |short| short.layer(Timeout(Duration::from_millis(20))).get("/later", later))
        .build()
        .expect("one route");
    let rig = Rig::start(drivers()[0], &routes);
    assert_eq!(rig.ask("GET /short/later", "").status, 503);
}

#[test]
fn a_client_that_has_gone_is_an_error_for_who_completes() {
    for driver in drivers() {
        let (later, tokens) = handing_over(LONG);
        let rig = Rig::start(driver, &routes(later));
        let mut client = rig.connect();
        client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        let token = tokens.recv_timeout(PATIENCE).expect("the handler ran");
        let handle = token.handle();
        rig.running.remote().close(handle, CloseMode::AtOnce).expect("it is there");
        client.expect_end();
        let (called, calls) = channel();
        let completed = token.complete(move |_| called.send(()).expect("the test waits"));
        // The close may still be on its way: then the completion is dropped where it gets to.
        assert!(matches!(completed, Ok(()) | Err(SendError::Gone)), "{completed:?}");
        assert!(calls.recv_timeout(PATIENCE).is_err(), "what makes the response is not called");
    }
}

#[test]
fn a_full_pool_is_said_at_once() {
    let (go, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let work = move |cx: &mut Cx<'_>| {
        let wait = wait.clone();
        let until_dropped = move || _ = wait.lock().expect("nobody panics with it").recv();
        cx.offload(until_dropped, |(), reply| reply.text("done"));
    };
    let routes = Router::new().get("/work", work).build().expect("one route");
    let engine = Engine::new().reactors(1).limits(gannet_limits(1));
    let rig = Rig::of(engine, move || HttpService::new(&routes));
    let mut first = rig.connect();
    first.send("GET /work HTTP/1.1\r\nHost: h\r\n\r\n");
    while rig.running.remote().offloads() == 0 {
        std::thread::yield_now();
    }
    let mut client = rig.connect();
    for _ in 0..2 {
        let response = client.get("/work");
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    }
    drop(go);
    assert_eq!(first.response(false).body, "done");
}

/// 60 requests of half a second delayed the next one by 14.5 s, and 1,500 were the reason to refuse it.
#[test]
fn requests_whose_clients_have_gone_neither_delay_nor_refuse_the_next_one() {
    for driver in drivers() {
        for by_reset in [true, false] {
            let (go, wait) = channel::<()>();
            let (begun, began) = channel::<()>();
            let (wait, ran) = (Arc::new(Mutex::new(wait)), Arc::new(Mutex::new(Vec::new())));
            let all_ran = ran.clone();
            let work = move |cx: &mut Cx<'_>| {
                let (wait, ran, begun) = (wait.clone(), ran.clone(), begun.clone());
                let path = cx.path().to_owned();
                let work = move || {
                    if path == "/hold" {
                        begun.send(()).expect("the test listens");
                        _ = wait.lock().expect("nobody panics with it").recv();
                    }
                    ran.lock().expect("nobody panics with it").push(path);
                };
                cx.offload(work, |(), reply| reply.text("done"));
            };
            let routes = Router::new().get("/{what}", work).build().expect("one route");
            let mut limits = gannet_limits(8);
            limits.offload_threads = 1;
            let engine = Engine::new().driver(driver).reactors(1).limits(limits);
            let rig = Rig::of(engine, move || HttpService::new(&routes));
            let mut holder = rig.connect();
            holder.send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
            began.recv_timeout(PATIENCE).expect("it runs");
            let pool = || rig.running.remote().offload_stats().remove(0);
            for gone in 1..=100 {
                let mut client = rig.connect();
                client.send("GET /gone HTTP/1.1\r\nHost: h\r\n\r\n");
                while pool().accepted < 1 + gone {
                    assert_eq!(pool().refused, 0, "the places of those that have gone are free");
                    std::thread::yield_now();
                }
                if by_reset {
                    let socket = socket2::SockRef::from(&client.stream);
                    socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
                }
                drop(client);
            }
            let mut client = rig.connect();
            client.send("GET /mine HTTP/1.1\r\nHost: h\r\n\r\n");
            while pool().accepted < 102 {
                std::thread::yield_now();
            }
            drop(go);
            assert_eq!(client.response(false).body, "done");
            assert_eq!(holder.response(false).body, "done");
            assert_eq!(pool().refused, 0, "by reset: {by_reset}");
            let all_ran = all_ran.lock().expect("nobody panics with it");
            if by_reset {
                assert_eq!(*all_ran, ["/hold", "/mine"]);
            } else {
                // Those may still read their responses: they come after.
                assert_eq!(all_ran[..2], ["/hold", "/mine"]);
            }
        }
    }
}

fn gannet_limits(offloads: usize) -> gannet::Limits {
    let mut limits = gannet::Limits::default();
    limits.offloads = offloads;
    limits
}

#[test]
fn a_response_still_comes_while_the_server_shuts_down_as_the_last() {
    for driver in drivers() {
        let (later, tokens) = handing_over(LONG);
        // One reactor: of two, the other one may refuse a connection while the client's own has not heard yet.
        let routes = routes(later);
        let rig = Rig::of(Engine::new().driver(driver).reactors(1), move || HttpService::new(&routes));
        let mut client = rig.connect();
        client.send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        let token = tokens.recv_timeout(PATIENCE).expect("the handler ran");
        rig.running.remote().stop();
        rig.until_refused();
        token.complete(|reply| reply.text("the last")).expect("the client waits");
        let response = client.response(false);
        assert_eq!((response.body.as_str(), response.header("connection")), ("the last", Some("close")));
        client.expect_end();
    }
}

#[test]
fn an_error_in_place_of_a_response_has_nothing_that_was_said_of_its_content() {
    const OF_CONTENT: [(&str, &str); 6] = [
        ("Content-Type", "image/png"),
        ("Content-Encoding", "br"),
        ("Content-Language", "de"),
        ("Cache-Control", "public, max-age=31536000, immutable"),
        ("ETag", "\"one\""),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    let said = |cx: &mut Cx<'_>| {
        OF_CONTENT.iter().for_each(|(name, value)| cx.header(name, value));
        cx.header("X-Before", "kept");
    };
    let routes = Router::new()
        .layer(Cors::any())
        .get("/dropped", move |cx| {
            said(cx);
            drop(cx.defer(LONG));
        })
        .get("/panic", move |cx| {
            said(cx);
            cx.offload(|| panic!("for a test"), |(), reply| reply.text("never"));
        })
        .get("/late", move |cx| {
            said(cx);
            std::mem::forget(cx.defer(Duration::from_millis(20)));
        })
        .get("/private", move |cx| {
            cx.header("Cache-Control", "no-store");
            drop(cx.defer(LONG));
        })
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    for (path, status) in [("/dropped", 500), ("/panic", 500), ("/late", 503)] {
        let response = rig.ask(&format!("GET {path}"), "Origin: http://o\r\n");
        assert_eq!((response.status, response.header("x-before")), (status, Some("kept")), "{path}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"), "{path}");
        for (name, _) in &OF_CONTENT[1..] {
            assert_eq!(response.header(name), None, "{path}");
        }
    }
    let private = rig.ask("GET /private", "");
    assert_eq!((private.status, private.header("cache-control")), (500, Some("no-store")));
}
