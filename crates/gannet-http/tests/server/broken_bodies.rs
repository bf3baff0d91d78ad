//! Bodies that are wrong, in one packet with their head and cut behind it: the client is told what is wrong either way.

#[path = "../../../gannet-proto/tests/http/doubtful.rs"]
mod doubtful;

use std::io::Write as _;

use doubtful::REFUSED;
use gannet_http::Router;

use crate::rig::{Rig, drivers};

/// Bytes that the server has received.
fn received(rig: &Rig) -> u64 {
    rig.running.remote().stats().iter().flat_map(|reactor| &reactor.services).map(|one| one.bytes_in).sum()
}

#[test]
fn a_broken_body_is_answered_with_what_is_wrong_wherever_it_is_cut_from_its_head() {
    let routes = Router::new().get("/good", |cx| cx.text("good")).post("/", |cx| cx.text("whole")).build();
    let routes = routes.expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut before = 0;
        for &(rest, status) in REFUSED {
            for good in ["", "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"] {
                let stream = format!("{good}POST / HTTP/1.1\r\nHost: a\r\n{rest}");
                let body = stream.rfind(rest).and_then(|at| Some(at + rest.find("\r\n\r\n")?)).expect("a head");
                for cut in (body..=stream.len()).filter(|&cut| stream.is_char_boundary(cut)) {
                    let (front, back) = stream.split_at(cut);
                    let mut client = rig.connect();
                    client.send(front);
                    before += front.len() as u64;
                    while received(&rig) < before {
                        std::thread::yield_now();
                    }
                    // The server may have closed the connection by now.
                    let _ = client.stream.write_all(back.as_bytes());
                    if !good.is_empty() {
                        assert_eq!(client.response(false).body, "good");
                    }
                    let response = client.response(false);
                    assert_eq!(response.status, status, "{rest:?} cut at {cut}, {driver:?}");
                    assert_eq!(response.header("connection"), Some("close"), "{rest:?}");
                    client.expect_end();
                    // What the server has not read of the rest when it closes is not counted.
                    before = received(&rig);
                }
            }
        }
    }
}
