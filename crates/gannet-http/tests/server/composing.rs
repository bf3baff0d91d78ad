//! Routers made of routers: state, values of layers, fallbacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gannet_http::middleware::{Bearer, Guard};
use gannet_http::{Cx, Json, Layer, Rejection, RouteError, Router};

use crate::rig::{Rig, drivers};

/// Says in a header field that it was called.
#[derive(Clone)]
struct Mark(&'static str);

impl Layer for Mark {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
        cx.add_header("Mark", self.0).expect("a field");
    }
}

#[test]
fn handlers_share_a_state_of_their_own_type() {
    trait Names: Send + Sync {
        fn name(&self) -> String;
    }

    struct Fixed;

    impl Names for Fixed {
        fn name(&self) -> String {
            "fixed".to_owned()
        }
    }

    let count = Arc::new(AtomicU32::new(0));
    let names: Arc<dyn Names> = Arc::new(Fixed);
    let routes = Router::new()
        .get("/none", |cx| cx.text("no state"))
        .state(Arc::clone(&count))
        .post("/count", |_, count| Json(count.fetch_add(1, Ordering::Relaxed)))
        .nest("/names", Router::new().state(names).get("", |_, names| names.name()))
        .group("/group", |group| group.get("", |_, count| Json(count.load(Ordering::Relaxed))))
        .build()
        .expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        count.store(0, Ordering::Relaxed);
        for (request, body) in [
            ("POST /count", "0"),
            ("POST /count", "1"),
            ("GET /group", "2"),
            ("GET /names", "fixed"),
            ("GET /none", "no state"),
        ] {
            assert_eq!(rig.ask(request, "").body, body, "{request}");
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}

#[derive(Debug, PartialEq)]
struct User(String);

fn authenticate(cx: &mut Cx<'_>) -> Result<(), (u16, &'static str)> {
    let name = cx.request_header("user").and_then(|name| std::str::from_utf8(name).ok());
    let user = User(name.ok_or((401, "who are you?"))?.to_owned());
    cx.insert(user);
    Ok(())
}

#[test]
fn a_layer_passes_values_on_to_handlers_of_the_same_request_only() {
    let routes = Router::new()
        .get("/anybody", |cx| cx.extension::<User>().map_or("nobody".to_owned(), |user| user.0.clone()))
        .group("/me", |me| {
            me.layer(Guard(authenticate)).get("", |cx| cx.extension::<User>().map(|User(name)| name.clone())).post(
                "/later",
                |cx| {
                    cx.offload(|| (), |(), reply| reply.extension::<User>().map(|User(name)| name.clone()));
                },
            )
        })
        .build()
        .expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        for (request, fields, status, body) in [
            ("GET /me", "User: ann\r\n", 200, "ann"),
            ("GET /anybody", "User: ann\r\n", 200, "nobody"),
            ("POST /me/later", "User: bob\r\nContent-Length: 0\r\n", 200, "bob"),
            ("GET /me", "", 401, "who are you?"),
            ("GET /anybody", "", 200, "nobody"),
        ] {
            client.send(&format!("{request} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
            let response = client.response(false);
            assert_eq!((response.status, &*response.body), (status, body), "{request} {fields}");
        }
    }
}

#[test]
fn a_guard_refuses_before_the_body_is_sent() {
    let routes = Router::new().layer(Guard(authenticate)).post("/", |cx| {
        let User(name) = cx.extension()?;
        Ok::<_, Rejection>(format!("{name}: {}", String::from_utf8_lossy(cx.request_body())))
    });
    let routes = routes.build().expect("one route");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n";
        let mut client = rig.connect();
        client.send(&format!("{head}\r\n"));
        let response = client.response(false);
        assert_eq!((response.status, &*response.body), (401, "who are you?"));
        let mut client = rig.connect();
        client.send(&format!("{head}User: ann\r\n\r\n"));
        assert_eq!(client.response(true).status, 100);
        client.send("hello");
        assert_eq!(client.response(false).body, "ann: hello");
    }
}

#[test]
fn a_fallback_answers_for_what_is_beneath_its_prefix_and_the_longest_prefix_wins() {
    fn inner() -> Router<impl Layer> {
        Router::new()
            .layer(Mark("inner"))
            .get("/there", |cx| cx.text("there"))
            .fallback(|cx| (404, format!("inner {}", cx.param("fallback"))))
    }

    let routes = Router::new()
        .layer(Mark("outer"))
        .fallback(|_| "the page")
        .group("/api", |api| {
            let api = api.layer(Mark("api")).fallback(|_| (404, Json("no endpoint"))).nest("/v{version}", inner());
            api.post("/there", |cx| cx.text("posted"))
        })
        .build()
        .expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        for (request, status, body, marks) in [
            ("GET /", 200, "the page", &["outer"][..]),
            ("GET /any/path", 200, "the page", &["outer"]),
            ("GET /apix", 200, "the page", &["outer"]),
            ("HEAD /any", 200, "", &["outer"]),
            ("GET /api", 404, "\"no endpoint\"", &["api", "outer"]),
            ("GET /api/", 404, "\"no endpoint\"", &["api", "outer"]),
            ("GET /api/x/y", 404, "\"no endpoint\"", &["api", "outer"]),
            ("GET /api/v1/there", 200, "there", &["inner", "api", "outer"]),
            ("GET /api/v1", 404, "inner ", &["inner", "api", "outer"]),
            ("GET /api/v1/x/y", 404, "inner x/y", &["inner", "api", "outer"]),
            // There is a route, but not for this method.
            ("GET /api/there", 405, "method not allowed\n", &["outer"]),
            ("BREW /any", 501, "method not implemented\n", &["outer"]),
        ] {
            let response = rig.ask(request, "");
            assert_eq!((response.status, &*response.body), (status, body), "{request}");
            assert_eq!(response.header_all("mark").collect::<Vec<_>>(), marks, "{request}");
        }
        // A body that comes with a request that has no route is not taken for the next one.
        let mut client = rig.connect();
        client.send("POST /api/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.response(false).status, 404);
        client.send("GET /POST /api/there HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response(false).body, "posted");
    }
}

#[test]
fn routers_that_are_merged_keep_their_layers_inside_of_those_around_them() {
    fn one() -> Router<impl Layer> {
        Router::new().layer(Mark("one")).get("/one", |cx| cx.text("one"))
    }

    let two = Router::new().layer(Bearer::new("secret")).post("/two", |cx| cx.text("two"));
    let routes =
        Router::new().layer(Mark("outer")).merge(one()).nest("/in", two).merge(Router::new().get("/plain", |_| 204));
    let routes = routes.build().expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        for (request, fields, status, marks) in [
            ("GET /one", "", 200, &["one", "outer"][..]),
            ("GET /plain", "", 204, &["outer"]),
            ("POST /in/two", "Content-Length: 0\r\n", 401, &["outer"]),
            ("POST /in/two", "Content-Length: 0\r\nAuthorization: Bearer secret\r\n", 200, &["outer"]),
            // By its head alone.
            ("POST /in/two", "Content-Length: 1\r\n", 401, &["outer"]),
            ("POST /two", "Content-Length: 0\r\n", 404, &["outer"]),
        ] {
            let response = rig.ask(request, fields);
            assert_eq!(response.status, status, "{request} {fields}");
            assert_eq!(response.header_all("mark").collect::<Vec<_>>(), marks, "{request} {fields}");
        }
    }
}

#[test]
fn routers_that_cannot_be_beside_each_other_are_refused_with_whole_paths() {
    let user = || Router::new().get("/{id}", |_| 204);
    let conflict = Router::new().get("/users/{name}", |_| 204).nest("/users", user()).build();
    let (route, with) = ("/users/{id}".to_owned(), "/users/{name}".to_owned());
    assert_eq!(conflict.err(), Some(RouteError::Conflict { method: "GET".to_owned(), route, with }));
    let fallbacks = Router::new().fallback(|_| 404).merge(Router::new().fallback(|_| 410)).build();
    assert_eq!(fallbacks.err(), Some(RouteError::Fallbacks { prefix: String::new() }));
    let empty = Router::new().get("", |_| 204).build();
    assert!(matches!(empty, Err(RouteError::Pattern { .. })));
    let slash = Router::new().nest("/users/", user()).build();
    assert!(matches!(slash, Err(RouteError::Pattern { .. })));
    let inner = Router::new().nest("/a", Router::new().get("b", |_| 204)).build();
    assert!(matches!(inner, Err(RouteError::Pattern { .. })));
}
