//! What one client gets of a turn of its reactor, on a simulated network: requests that cost much are few in a turn,
//! however short they are.

use gannet::sim::Simulation;
use gannet::{Limits, Timeouts};
use gannet_http::middleware::Gzip;
use gannet_http::{HttpService, Router, Routes};

const SEEDS: u64 = 12;

/// Turns in which a client pipelines a request without end.
const TURNS: usize = 600;

/// Bytes of work that a connection may have done in a turn.
const SHARE: usize = 256 << 10;

/// Who sends this without end, behind a first request: the most requests or messages taken in a turn, of all seeds.
fn most_in_a_turn(routes: &Routes, first: &[u8], then: &[u8]) -> u64 {
    let most = (0..SEEDS).map(|seed| {
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        let mut simulation = Simulation::new(seed, 1, &limits, timeouts, || HttpService::new(routes));
        let mut client = simulation.connect(0);
        let messages = |simulation: &Simulation| simulation.remote().stats()[0].services[0].messages_in;
        let (mut to_send, mut buffer, mut most) = (first.to_vec(), vec![0; 64 << 10], 0);
        for _ in 0..TURNS {
            while let Ok(count) = client.write(&to_send) {
                to_send.drain(..count);
                if to_send.is_empty() {
                    to_send.extend_from_slice(then);
                }
            }
            while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
            let before = messages(&simulation);
            simulation.turn();
            if before > 0 {
                most = most.max(messages(&simulation) - before);
            }
        }
        most
    });
    most.max().unwrap_or(0)
}

fn routes() -> Routes {
    Router::new()
        .layer(Gzip::new())
        .get("/small", |cx| cx.text("small"))
        .get("/page", |cx| cx.text(&"a page ".repeat(9_000)))
        .get("/paragraph", |cx| cx.text(&"a paragraph ".repeat(1_000)))
        .get("/costly", |cx| {
            cx.charge(SHARE);
            cx.text("costly");
        })
        .build()
        .expect("a few routes")
}

#[test]
fn requests_that_cost_much_are_few_in_a_turn() {
    let routes = routes();
    for (method, path, field, allowed) in [
        ("HEAD", "/page", "", 2),
        ("HEAD", "/page", "Accept-Encoding: gzip\r\n", 1),
        ("GET", "/paragraph", "Accept-Encoding: gzip\r\n", 2),
        ("GET", "/costly", "", 1),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{field}\r\n");
        let most = most_in_a_turn(&routes, request.as_bytes(), request.repeat(40).as_bytes());
        assert!((1..=allowed).contains(&most), "{most} times {request:?} in a turn");
    }
    let request = "GET /small HTTP/1.1\r\nHost: h\r\n\r\n";
    let most = most_in_a_turn(&routes, request.as_bytes(), request.repeat(40).as_bytes());
    assert!(most > 2, "a turn has room for many cheap ones");
}

#[cfg(feature = "deflate")]
#[test]
fn messages_are_charged_with_what_they_unpack_to() {
    use gannet::proto::ws::deflate::Params;
    use gannet_http::websocket::{Handler, Handshake, Socket};

    struct Deaf;

    impl Handler for Deaf {
        fn text(&mut self, _: &str, _: &mut Socket<'_>) {}

        fn binary(&mut self, _: &[u8], _: &mut Socket<'_>) {}
    }

    let handshake = Handshake::new().deflate(Params::without_takeover());
    let routes = Router::new().get("/", move |cx| cx.websocket(&handshake, Deaf)).build().expect("one route");
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n";
    let packed = |length: usize| {
        let mut frame = Vec::new();
        let mut deflater = Params::without_takeover().client_deflater(6);
        deflater.binary(&mut frame, &vec![0; length], Some([1, 2, 3, 4])).expect("it is packed");
        frame.repeat(40)
    };
    assert_eq!(most_in_a_turn(&routes, upgrade.as_bytes(), &packed(SHARE)), 1);
    assert!(most_in_a_turn(&routes, upgrade.as_bytes(), &packed(100)) > 2, "a turn has room for many small ones");
}
