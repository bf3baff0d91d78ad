//! Which handler answers a request, and what is answered where there is none.

use gannet_http::websocket::{Handler, Handshake, Socket};
use gannet_http::{Cx, Files, RouteError, Router, Routes, Source, Stream, decode};

use crate::rig::{Rig, drivers};

fn say(text: &'static str) -> impl Fn(&mut Cx<'_>) + Send + Sync + 'static {
    move |cx| cx.text(text)
}

fn routes() -> Routes {
    let file = |cx: &mut Cx<'_>| {
        let path = cx.param("path");
        write!(cx, "file {path}");
    };
    simple().get("/files/{*path}", file).build().expect("they do not conflict")
}

/// Those whose segments are fixed or parameters, which are searched in another way.
fn simple() -> Router {
    Router::new()
        .get("/", say("root"))
        .get("/about", say("about"))
        .get("/users/me", say("me"))
        .get("/users/{id}", |cx| {
            let (id, route) = (cx.param("id"), cx.route().unwrap_or_default());
            write!(cx, "user {id} of {route}");
        })
        .delete("/users/{id}", |cx| cx.status(204))
        .get("/users/{id}/posts/{post}", |cx| {
            let (id, post, none) = (cx.param("id"), cx.param("post"), cx.param("none"));
            write!(cx, "post {post} of {id}{none}");
        })
        .get("/name/{name}", |cx| {
            let name = decode(cx.param("name")).unwrap_or_default();
            write!(cx, "{name}");
        })
        .get("/query", |cx| {
            let (all, q) = (cx.query().unwrap_or_default(), cx.query_value("q").unwrap_or_default());
            write!(cx, "{all} {q}");
        })
        .post("/echo", |cx| cx.bytes(cx.request_body()))
        .route("PROPFIND", "/dav", say("dav"))
        .route("OPTIONS", "/own", say("own options"))
        .group("/api", |api| {
            api.get("", say("api")).get("/", say("api/")).group("/v1", |v1| v1.get("/{thing}", say("thing")))
        })
}

#[test]
fn each_request_is_answered_by_its_route() {
    for driver in drivers() {
        let rigs =
            [routes(), simple().build().expect("they do not conflict")].map(|routes| Rig::start(driver, &routes));
        for (request, status, body) in [
            ("GET /", 200, "root"),
            ("GET /?a=b", 200, "root"),
            ("GET http://h/about?x", 200, "about"),
            ("GET /about", 200, "about"),
            ("GET /about/", 404, "not found\n"),
            ("GET /users/me", 200, "me"),
            ("GET /users/7", 200, "user 7 of /users/{id}"),
            ("GET /users/", 404, "not found\n"),
            ("DELETE /users/7", 204, ""),
            ("GET /users/7/posts/9", 200, "post 9 of 7"),
            ("GET /files/a/b.txt", 200, "file a/b.txt"),
            ("GET /files/", 404, "not found\n"),
            ("GET /name/gr%C3%BCn%2Fblau", 200, "grün/blau"),
            ("GET /query?x=1&q=a+b%26c", 200, "x=1&q=a+b%26c a b&c"),
            ("POST /echo", 200, ""),
            ("PROPFIND /dav", 200, "dav"),
            ("propfind /dav", 501, "method not implemented\n"),
            ("GET /api", 200, "api"),
            ("GET /api/", 200, "api/"),
            ("GET /api/v1/x", 200, "thing"),
            ("GET /nowhere", 404, "not found\n"),
        ] {
            for rig in rigs.iter().take(if body.starts_with("file ") { 1 } else { 2 }) {
                let response = rig.ask(request, "");
                assert_eq!((response.status, response.body.as_str()), (status, body), "{request}");
            }
        }
    }
}

#[test]
fn other_methods_are_told_which_there_are() {
    for driver in drivers() {
        let rigs =
            [routes(), simple().build().expect("they do not conflict")].map(|routes| Rig::start(driver, &routes));
        for (request, status, allow) in [
            ("POST /about", 405, Some("GET, HEAD, OPTIONS")),
            ("PUT /users/7", 405, Some("GET, DELETE, HEAD, OPTIONS")),
            ("HEAD /echo", 405, Some("POST, OPTIONS")),
            ("PATCH /echo", 405, Some("POST, OPTIONS")),
            ("TRACE /echo", 405, Some("POST, OPTIONS")),
            ("PROPFIND /echo", 405, Some("POST, OPTIONS")),
            ("BREW /echo", 501, None),
            ("BREW /nowhere", 501, None),
            ("post /echo", 501, None),
            ("PATCH /nowhere", 404, None),
            ("OPTIONS /users/7", 204, Some("GET, DELETE, HEAD, OPTIONS")),
            ("OPTIONS /own", 200, None),
            ("GET /own", 405, Some("OPTIONS")),
            ("OPTIONS *", 204, Some("GET, DELETE, POST, PROPFIND, OPTIONS, HEAD")),
            ("OPTIONS http://h", 204, Some("GET, DELETE, POST, PROPFIND, OPTIONS, HEAD")),
            ("OPTIONS http://h/", 204, Some("GET, HEAD, OPTIONS")),
            ("OPTIONS /nowhere", 404, None),
        ] {
            for rig in &rigs {
                let response = rig.ask(request, "");
                assert_eq!((response.status, response.header("allow")), (status, allow), "{request}");
            }
        }
    }
}

#[test]
fn the_methods_that_are_said_to_be_allowed_are_and_head_is_as_get() {
    struct Quiet;

    impl Source for Quiet {
        fn pull(&mut self, _: &mut Stream<'_, '_>) {}
    }

    struct Echo;

    impl Handler for Echo {
        fn text(&mut self, _: &str, _: &mut Socket<'_>) {}

        fn binary(&mut self, _: &[u8], _: &mut Socket<'_>) {}
    }

    let handshake = Handshake::new();
    let routes = simple()
        .get("/ws", move |cx| cx.websocket(&handshake, Echo))
        .get("/events", |cx| cx.events(Quiet))
        .get("/stream", |cx| cx.stream_sized(0, Quiet))
        .get("/later", |cx| cx.offload(|| (), |(), reply| reply.text("later")))
        .files("/files", Files::new(env!("CARGO_MANIFEST_DIR")).expect("a directory"))
        .build()
        .expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let ask = |what: &str| {
            let mut client = rig.connect();
            client.send(&format!("{what} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
            let response = client.head();
            if what.starts_with("HEAD") {
                // Nothing is behind the head: what comes next is the next response.
                client.send("DELETE /about HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
                assert!(client.rest().starts_with("HTTP/1.1 405 "), "{what}");
            }
            response
        };
        for path in [
            "/",
            "/about",
            "/users/7",
            "/echo",
            "/dav",
            "/own",
            "/api",
            "/ws",
            "/events",
            "/stream",
            "/later",
            "/files",
            "/files/",
            "/files/Cargo.toml",
            "/files/none",
        ] {
            let refused = ask(&format!("TRACE {path}"));
            assert_eq!(refused.status, 405, "{path}");
            let allowed: Vec<&str> = refused.header("allow").expect("the methods").split(", ").collect();
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
                let response = ask(&format!("{method} {path}"));
                let is_allowed = allowed.contains(&method);
                assert_eq!(response.status != 405, is_allowed, "{method} {path}: {response:?}");
                if !is_allowed || (method == "OPTIONS" && path != "/own") {
                    assert_eq!(response.header("allow"), refused.header("allow"), "{method} {path}");
                }
            }
            if allowed.contains(&"GET") {
                let (get, head) = (ask(&format!("GET {path}")), ask(&format!("HEAD {path}")));
                assert_eq!(get.status, head.status, "{path}");
                for field in ["content-type", "content-length", "transfer-encoding", "upgrade", "etag", "location"] {
                    assert_eq!(get.header(field), head.header(field), "{field} of {path}");
                }
            }
        }
    }
}

#[test]
fn a_path_is_compared_as_it_was_sent() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        for (request, status, body) in [
            ("GET /users/a%2Fb", 200, "user a%2Fb of /users/{id}"),
            ("GET /users%2F7", 404, "not found\n"),
            ("GET /%61bout", 404, "not found\n"),
            ("GET //about", 404, "not found\n"),
            ("GET /about//", 404, "not found\n"),
            ("GET /./about", 404, "not found\n"),
            ("GET /x/../about", 404, "not found\n"),
            ("GET /users/..", 200, "user .. of /users/{id}"),
            ("GET /users//posts/9", 404, "not found\n"),
            ("GET /users/7/posts/", 404, "not found\n"),
            ("GET /users/7/posts/9/", 404, "not found\n"),
            ("GET /files//a/", 200, "file /a/"),
            ("GET /files/../about", 200, "file ../about"),
            ("GET /files", 404, "not found\n"),
            ("GET http://h", 200, "root"),
            ("GET http://h?a=/about", 200, "root"),
            ("GET http://h//about", 404, "not found\n"),
            ("GET /about?/users/7", 200, "about"),
        ] {
            let response = rig.ask(request, "");
            assert_eq!((response.status, response.body.as_str()), (status, body), "{request}");
        }
    }
}

#[test]
fn what_comes_first_does_not_depend_on_the_order_of_routes_nor_on_how_each_is_searched() {
    let route = |cx: &mut Cx<'_>| {
        let route = cx.route().unwrap_or_default();
        write!(cx, "{route}");
    };
    let mut patterns = [
        "/",
        "/{page}",
        "/{page}.txt",
        "/{page}/edit",
        "/a/b",
        "/a/{*rest}",
        "/c/{id}",
        "/c/{id}/d",
        "/c/{id}.json",
        "/{x}/{y}/{z}",
        "/c/new/{z}",
    ];
    for _ in 0..2 {
        patterns.reverse();
        let routes = patterns.iter().fold(Router::new(), |router, pattern| router.get(pattern, route)).build();
        let rig = Rig::start(drivers()[0], &routes.expect("they do not conflict"));
        for (path, pattern) in [
            ("/", "/"),
            ("/x", "/{page}"),
            ("/x.txt", "/{page}.txt"),
            ("/.txt", "/{page}"),
            ("/x/edit", "/{page}/edit"),
            ("/x.txt/edit", "/{page}/edit"),
            ("/a", "/{page}"),
            ("/a/b", "/a/b"),
            ("/a/edit", "/a/{*rest}"),
            ("/a/b/c", "/a/{*rest}"),
            ("/c/edit", "/c/{id}"),
            ("/c/7", "/c/{id}"),
            ("/c/7.json", "/c/{id}.json"),
            ("/c/7.json/d", "/c/{id}/d"),
            ("/c/new/d", "/c/new/{z}"),
            ("/c/7/e", "/{x}/{y}/{z}"),
        ] {
            assert_eq!(rig.ask(&format!("GET {path}"), "").body, pattern, "{path}");
        }
    }
}

#[test]
fn methods_of_a_path_are_found_however_each_of_them_is_searched() {
    let routes = Router::new()
        .get("/a/{id}", say("get"))
        .get("/static/{*path}", say("static"))
        .post("/{*path}", say("post"))
        .put("/a/{id}.txt", say("put"))
        .route("HEAD", "/a/own", |cx| cx.header("Own", "head"))
        .build()
        .expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        for (request, status, allow) in [
            ("DELETE /a/b", 405, Some("GET, POST, HEAD, OPTIONS")),
            ("OPTIONS /a/b.txt", 204, Some("GET, POST, PUT, HEAD, OPTIONS")),
            ("PUT /a/b", 405, Some("GET, POST, HEAD, OPTIONS")),
            ("PUT /static/b", 405, Some("GET, POST, HEAD, OPTIONS")),
            ("GET /b", 405, Some("POST, OPTIONS")),
            ("HEAD /b", 405, Some("POST, OPTIONS")),
            ("GET /", 404, None),
            ("OPTIONS *", 204, Some("GET, POST, PUT, HEAD, OPTIONS")),
            ("HEAD /a/b", 200, None),
            ("HEAD /static/a/b", 200, None),
            ("POST /a/b", 200, None),
        ] {
            let response = rig.ask(request, "");
            assert_eq!((response.status, response.header("allow")), (status, allow), "{request}");
        }
        assert_eq!(rig.ask("HEAD /a/own", "").header("own"), Some("head"));
        assert_eq!(rig.ask("HEAD /a/other", "").header("own"), None);
    }
}

#[test]
fn head_is_answered_as_get_is_but_without_the_body() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        let mut client = rig.connect();
        client.send("HEAD /about HTTP/1.1\r\nHost: h\r\n\r\nGET /about HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = client.response(true);
        assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
        assert_eq!(head.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(client.response(false).body, "about");
    }
}

#[test]
fn routes_that_cannot_be_are_refused_with_what_is_wrong() {
    let conflict = |route: &str, with: &str| RouteError::Conflict {
        method: "GET".to_owned(),
        route: route.to_owned(),
        with: with.to_owned(),
    };
    let twice = Router::new().get("/a", say("")).post("/a", say("")).get("/a", say("")).build();
    assert_eq!(twice.expect_err("twice"), conflict("/a", "/a"));
    let named = Router::new().get("/u/{id}", say("")).group("/u", |u| u.get("/{name}", say(""))).build();
    let error = named.expect_err("two names");
    assert_eq!(error, conflict("/u/{name}", "/u/{id}"));
    assert_eq!(error.to_string(), "the route GET /u/{name} conflicts with /u/{id}");
    for (first, second) in [
        ("/{{a}}", "/{{a}}"),
        ("/files/{*path}", "/files/{*rest}"),
        ("/files/{*path}", "/files/{name}"),
        ("/b{name}", "/{name}b"),
        ("/a/{name}.txt", "/a/{*path}"),
    ] {
        let both = Router::new().get("/a", say("")).get(first, say("")).get(second, say("")).build();
        assert_eq!(both.expect_err(second), conflict(second, first));
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_what_is_wrong() {
    let route = |path: &str| Router::new().get(path, say(""));
    let many = |count| (0..count).map(|each| format!("/{{p{each}}}")).collect::<String>();
    let grouped = |path: &str| Router::new().group("/api", |api| api.get(path, say("")));
    for (router, pattern, why) in [
        (route(""), "", "a path begins with a slash"),
        (route("about"), "about", "a path begins with a slash"),
        (grouped("about"), "about", "a path begins with a slash"),
        (grouped("{id}"), "{id}", "a path begins with a slash"),
        (route("/a").group("/api/", |api| api), "/api/", "a prefix begins with a slash and does not end with one"),
        (route("/a").group("", |api| api), "", "a prefix begins with a slash and does not end with one"),
        (route("/{"), "/{", "the { is not closed before the next slash; {{ is the character"),
        (route("/a{id"), "/a{id", "the { is not closed before the next slash; {{ is the character"),
        (route("/{a/b}"), "/{a/b}", "the { is not closed before the next slash; {{ is the character"),
        (route("/id}"), "/id}", "the } closes nothing; }} is the character"),
        (route("/{{id}"), "/{{id}", "the } closes nothing; }} is the character"),
        (route("/{}"), "/{}", "\"\" is no name of a parameter: that is letters, digits, - and _"),
        (route("/{*}"), "/{*}", "\"\" is no name of a parameter: that is letters, digits, - and _"),
        (route("/{id?}"), "/{id?}", "\"id?\" is no name of a parameter: that is letters, digits, - and _"),
        (route("/{id:int}"), "/{id:int}", "\"id:int\" is no name of a parameter: that is letters, digits, - and _"),
        (route("/{path*}"), "/{path*}", "\"path*\" is no name of a parameter: that is letters, digits, - and _"),
        (route("/{a{b}"), "/{a{b}", "\"a{b\" is no name of a parameter: that is letters, digits, - and _"),
        (route("/{*path}/more"), "/{*path}/more", "nothing can follow {*path}, which takes all that is left"),
        (route("/{*path}.txt"), "/{*path}.txt", "nothing can follow {*path}, which takes all that is left"),
        (route("/{*path}/"), "/{*path}/", "nothing can follow {*path}, which takes all that is left"),
        (route("/{a}-{b}"), "/{a}-{b}", "a segment has one parameter at most"),
        (route("/{name}{{"), "/{name}{{", "a brace cannot follow a parameter"),
        (route("/{name}}}"), "/{name}}}", "a brace cannot follow a parameter"),
        (route("/{id}/{id}"), "/{id}/{id}", "two parameters are called id"),
        (route("/{id}/{*id}"), "/{id}/{*id}", "two parameters are called id"),
        (route(&many(26)), &many(26), "25 parameters are the most"),
        (route("/find?q={q}"), "/find?q={q}", "the query is no part of a path"),
        (route("/a#top"), "/a#top", "'#' is never in a path as it is sent; percent-encoded it is %23"),
        (route("/a b"), "/a b", "' ' is never in a path as it is sent; percent-encoded it is %20"),
        (route("/gr\u{fc}n"), "/gr\u{fc}n", "'\u{fc}' is never in a path as it is sent; percent-encoded it is %C3%BC"),
        (Router::new().route("", "/a", say("")), "/a", "\"\" is no method"),
        (Router::new().route("GET ", "/a", say("")), "/a", "\"GET \" is no method"),
    ] {
        let expected = RouteError::Pattern { route: pattern.to_owned(), why: why.to_owned() };
        assert_eq!(router.build().expect_err(pattern), expected);
    }
    let error = grouped("/{a}/{}").build().expect_err("no name").to_string();
    let why = "\"\" is no name of a parameter: that is letters, digits, - and _";
    assert_eq!(error, format!("\"/api/{{a}}/{{}}\" cannot be a route: {why}"));
}

#[test]
fn what_looks_odd_but_is_a_pattern_is_served() {
    let long = format!("/{}", "long/".repeat(1_500));
    let parameters: String = (0..25).map(|each| format!("/{{p{each}}}")).collect();
    let echo = |cx: &mut Cx<'_>| {
        let (p0, p24, path) = (cx.param("p0"), cx.param("p24"), cx.param("gr\u{f6}\u{df}e-1_x"));
        write!(cx, "{} {p0}{p24}{path}", cx.route().unwrap_or_default());
    };
    let patterns = [
        &long,
        &parameters,
        "//",
        "/a//b",
        "/a/",
        "/..",
        "/.",
        "/gr%C3%BCn",
        "/%2F",
        "/{{x}}",
        "/{{{p0}",
        "/x*y",
        "/:id",
        "/v1/x:cancel",
        "/~me/{gr\u{f6}\u{df}e-1_x}",
        "/p{p0}",
        "/all/{p0}/{*p24}",
    ];
    let router = patterns.iter().fold(Router::new(), |router, pattern| router.get(pattern, echo));
    let routes = router.build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        for (path, pattern, params) in [
            (&*long, &*long, ""),
            (&parameters.replace(['{', '}'], ""), &parameters, "p0p24"),
            ("//", "//", ""),
            ("/a//b", "/a//b", ""),
            ("/a/", "/a/", ""),
            ("/..", "/..", ""),
            ("/.", "/.", ""),
            ("/gr%C3%BCn", "/gr%C3%BCn", ""),
            ("/%2F", "/%2F", ""),
            ("/{x}", "/{{x}}", ""),
            ("/{ab", "/{{{p0}", "ab"),
            ("/x*y", "/x*y", ""),
            ("/:id", "/:id", ""),
            ("/v1/x:cancel", "/v1/x:cancel", ""),
            ("/~me/7", "/~me/{gr\u{f6}\u{df}e-1_x}", "7"),
            ("/px", "/p{p0}", "x"),
            ("/all/a/b/c", "/all/{p0}/{*p24}", "ab/c"),
        ] {
            let response = rig.ask(&format!("GET {path}"), "");
            assert_eq!((response.status, response.body), (200, format!("{pattern} {params}")), "{path}");
        }
    }
}
