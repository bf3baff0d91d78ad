//! How many requests a client may make, on all reactors together.

use gannet_http::Router;
use gannet_http::middleware::{AccessLog, RateLimit};

use gannet_testing::until;

use crate::rig::{Rig, drivers};

#[test]
fn a_limit_holds_over_all_connections_and_reactors_and_says_when_to_come_again() {
    for driver in drivers() {
        let limit = RateLimit::per_minute(1).burst(5);
        let routes = Router::new().layer(AccessLog).layer(limit).get("/", |cx| write!(cx, "{}", cx.reactor()));
        let rig = Rig::start(driver, &routes.build().expect("one route"));
        let responses: Vec<_> = (0..40).map(|_| rig.ask("GET /", "")).collect();
        let (passed, refused) = responses.split_at(5);
        assert!(passed.iter().all(|response| response.status == 200), "{passed:?}");
        for response in refused {
            assert_eq!((response.status, response.body.as_str()), (429, "too many requests\n"));
            let wait: u64 = response.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
            assert!((1..=60).contains(&wait), "{wait}");
        }
    }
}

#[test]
fn who_comes_back_when_there_is_a_token_again_is_served() {
    let routes = Router::new().layer(RateLimit::per_second(20).burst(1)).get("/", |cx| cx.text("served"));
    let rig = Rig::start(drivers()[0], &routes.build().expect("one route"));
    let mut client = rig.connect();
    assert_eq!(client.get("/").body, "served");
    // Where this thread waits for a processor, there is a token again for the second request already.
    until("a request to be refused", || client.get("/").status == 429);
    until("a request to be served", || client.get("/").status == 200);
}

#[test]
fn a_limit_counts_by_what_it_was_told_to_and_by_address_where_that_is_missing() {
    let limit = RateLimit::per_minute(1).burst(2).by(|cx| cx.request_header("x-customer"));
    let shared = limit.clone();
    let routes = Router::new()
        .group("/a", |a| a.layer(limit).get("", |cx| cx.text("a")))
        .group("/b", |b| b.layer(shared).get("", |cx| cx.text("b")))
        .get("/free", |cx| cx.text("free"))
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    for fields in ["X-Customer: one\r\n", "X-Customer: two\r\n", ""] {
        let statuses = ["/a", "/b", "/a", "/b", "/free"].map(|path| rig.ask(&format!("GET {path}"), fields).status);
        assert_eq!(statuses, [200, 200, 429, 429, 200], "{fields}");
    }
}
