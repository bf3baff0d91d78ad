//! What runs around handlers.

use std::sync::mpsc;
use std::time::Duration;

use gannet::Histogram;
use gannet_http::middleware::{AccessLog, Bearer, Cors, HandlerTime, Recover, RequestId};
use gannet_http::{Cx, Layer, Router};

use crate::rig::{Rig, drivers};

/// Writes its name before and after what is inside.
#[derive(Clone)]
struct Trace(&'static str);

impl Layer for Trace {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        cx.text(self.0);
        next(cx);
        cx.text(self.0);
    }
}

fn stops_half_way(cx: &mut Cx<'_>) {
    cx.header("Set-Cookie", "half=done");
    cx.text("half");
    panic!("for a test");
}

fn panics(_: &mut Cx<'_>) {
    panic!("for a test")
}

#[test]
fn layers_are_around_the_routes_behind_them_the_first_outermost() {
    let routes = Router::new()
        .get("/none", |cx| cx.text("-"))
        .layer(Trace("a"))
        .get("/one", |cx| cx.text("-"))
        .group("/g", |g| g.layer(Trace("b")).layer(Trace("c")).get("/three", |cx| cx.text("-")))
        .get("/still-one", |cx| cx.text("-"))
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    for (path, body) in [("none", "-"), ("one", "a-a"), ("g/three", "abc-cba"), ("still-one", "a-a")] {
        assert_eq!(rig.ask(&format!("GET /{path}"), "").body, body, "{path}");
    }
}

#[test]
fn layers_of_a_group_are_around_its_routes_and_those_outside_around_what_has_none() {
    #[derive(Clone)]
    struct Mark(&'static str);

    impl Layer for Mark {
        fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
            next(cx);
            cx.header(self.0, "passed");
        }
    }

    let routes = Router::new()
        .layer(Mark("Outer"))
        .group("/t/{tenant}", |tenant| {
            tenant.layer(Mark("Inner")).get("", |cx| cx.text("home")).get("/{*rest}", |cx| {
                let (tenant, rest) = (cx.param("tenant"), cx.param("rest"));
                write!(cx, "{tenant} {rest}");
            })
        })
        .get("/t/{tenant}/open", |cx| cx.text("open"))
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    for (request, status, body, inner) in [
        ("GET /t/7", 200, "home", Some("passed")),
        ("GET /t/7/a/b", 200, "7 a/b", Some("passed")),
        ("GET /t/7/open/", 200, "7 open/", Some("passed")),
        ("GET /t/7/open", 200, "open", None),
        ("GET /t/7/", 404, "not found\n", None),
        ("GET /t//a", 404, "not found\n", None),
        ("POST /t/7/a", 405, "method not allowed\n", None),
        ("OPTIONS /t/7/a", 204, "", None),
    ] {
        let response = rig.ask(request, "");
        assert_eq!((response.status, response.body.as_str()), (status, body), "{request}");
        assert_eq!((response.header("outer"), response.header("inner")), (Some("passed"), inner), "{request}");
    }
}

#[test]
fn a_panic_is_answered_and_the_connection_goes_on() {
    let routes = Router::new()
        .layer(RequestId::new())
        .layer(Recover)
        .get("/panic", stops_half_way)
        .get("/fine", |cx| cx.text("fine"))
        .build()
        .expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        let response = client.get("/panic");
        assert_eq!((response.status, response.body.as_str()), (500, "internal server error\n"));
        assert_eq!(response.header("set-cookie"), None);
        assert!(response.header("x-request-id").is_some());
        assert_eq!(client.get("/fine").body, "fine");
    }
}

#[test]
fn a_panic_without_recover_ends_its_connection_only() {
    let routes = Router::new().get("/panic", panics).get("/fine", |cx| cx.text("fine")).build();
    let rig = Rig::start(drivers()[0], &routes.expect("they do not conflict"));
    let (mut unlucky, mut other) = (rig.connect(), rig.connect());
    assert_eq!(other.get("/fine").body, "fine");
    unlucky.send("GET /panic HTTP/1.1\r\nHost: h\r\n\r\n");
    unlucky.expect_end();
    assert_eq!(other.get("/fine").body, "fine");
}

#[test]
fn each_request_has_a_name_of_its_own_or_the_one_it_came_with() {
    let routes = Router::new()
        .layer(RequestId::new())
        .layer(AccessLog)
        .get("/", |cx| {
            let id = cx.request_id().to_owned();
            cx.text(&id);
        })
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    let mut names = std::collections::HashSet::new();
    for path in ["/", "/", "/nowhere", "/"] {
        let response = rig.ask(&format!("GET {path}"), "");
        let name = response.header("x-request-id").expect("a name").to_owned();
        assert!(name.len() == 16 && (response.status == 404 || response.body == name), "{response:?}");
        assert!(names.insert(name), "no name comes twice");
    }
    assert_eq!(rig.ask("GET /", "X-Request-Id: from-outside.1\r\n").body, "from-outside.1");
    assert_eq!(rig.ask("GET /", "X-Request-Id: with blanks\r\n").body.len(), 16);
}

#[test]
fn only_who_shows_the_token_passes() {
    let routes = Router::new()
        .get("/open", |cx| cx.text("open"))
        .group("/closed", |closed| closed.layer(Bearer::new("secret")).get("", |cx| cx.text("inside")))
        .group("/nobody", |nobody| nobody.layer(Bearer::new("")).get("", |cx| cx.text("inside")))
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    assert_eq!(rig.ask("GET /open", "").body, "open");
    for fields in ["Authorization: Bearer secret\r\n", "authorization: bearer secret\r\n"] {
        assert_eq!(rig.ask("GET /closed", fields).body, "inside");
    }
    for fields in
        ["", "Authorization: Bearer secreT\r\n", "Authorization: Bearer \r\n", "Authorization: Basic secret\r\n"]
    {
        let response = rig.ask("GET /closed", fields);
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer")), "{fields}");
        assert_eq!(rig.ask("GET /nobody", fields).status, 401);
    }
}

#[test]
fn pages_of_the_origins_that_were_named_may_read_answers() {
    let routes = |cors| Router::new().layer(cors).put("/thing", |cx| cx.text("put")).build().expect("one route");
    let rig = Rig::start(drivers()[0], &routes(Cors::origins(["https://example.org"])));
    let check = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a, x-b\r\n";
    let response = rig.ask("OPTIONS /thing", &format!("Origin: https://example.org\r\n{check}"));
    assert_eq!(response.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://example.org"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "x-a, x-b"),
        ("vary", "Origin"),
    ] {
        assert_eq!(response.header(name), Some(value));
    }
    let response = rig.ask("PUT /thing", "Origin: https://example.org\r\n");
    assert_eq!(response.header("access-control-allow-origin"), Some("https://example.org"));
    for (request, fields) in [
        ("PUT /thing", "Origin: https://example.com\r\n".to_owned()),
        ("PUT /thing", String::new()),
        ("OPTIONS /thing", format!("Origin: https://example.com\r\n{check}")),
    ] {
        let response = rig.ask(request, &fields);
        assert_eq!(response.header("access-control-allow-origin"), None, "{request} {fields}");
        assert_eq!(response.header("access-control-allow-methods"), None, "{request} {fields}");
    }
    let any = Rig::start(drivers()[0], &routes(Cors::any()));
    let response = any.ask("PUT /thing", "Origin: https://example.com\r\n");
    assert_eq!((response.header("access-control-allow-origin"), response.header("vary")), (Some("*"), None));
}

#[test]
fn each_route_has_its_own_times_also_of_handlers_that_panic() {
    let times = HandlerTime::new().every(1);
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let routes = Router::new()
        .get("/untimed", |cx| cx.text("-"))
        .layer(times.clone())
        .layer(Recover)
        .get("/quick", |cx| cx.text("quick"))
        .group("/slow", |slow| {
            slow.post("/{how}", move |_| {
                // Nothing is sent: this is how long the handler takes.
                let _ = wait.lock().expect("no one panics with it").recv_timeout(Duration::from_millis(100));
            })
        })
        .get("/panic", panics)
        .build()
        .expect("they do not conflict");
    for driver in drivers() {
        let count = |histogram: &Histogram| histogram.count();
        let before: u64 = times.read().iter().map(|route| count(&route.times)).sum();
        let rig = Rig::start(driver, &routes);
        for request in ["GET /quick", "HEAD /quick", "GET /untimed", "POST /slow/a", "GET /panic", "GET /nowhere"] {
            rig.ask(request, "");
        }
        let read = times.read();
        let names: Vec<_> = read.iter().map(|route| (route.method.as_str(), route.pattern.as_str())).collect();
        assert_eq!(names, [("GET", "/quick"), ("POST", "/slow/{how}"), ("GET", "/panic")]);
        assert_eq!(read.iter().map(|route| count(&route.times)).sum::<u64>(), before + 4);
        assert!(read[1].times.sum() >= Duration::from_millis(100), "{read:?}");
        assert!(read[0].times.sum() < read[1].times.sum(), "{read:?}");
    }
    drop(release);
}

#[test]
fn of_many_requests_one_in_so_many_is_timed() {
    let times = HandlerTime::new().every(8);
    let routes = Router::new().layer(times.clone()).get("/", |cx| cx.text("-")).build().expect("one route");
    let rig = Rig::start(drivers()[0], &routes);
    let mut client = rig.connect();
    for _ in 0..800 {
        assert_eq!(client.get("/").body, "-");
    }
    let timed = times.read()[0].times.count();
    assert!((95..=105).contains(&timed), "{timed} of 800");
}
