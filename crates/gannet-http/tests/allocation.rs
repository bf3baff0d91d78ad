//! A small response, and a WebSocket message, cost no memory: everything they need is there from the one before.

mod rig;

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use gannet::SendStatus;
use gannet::proto::ws;
use gannet_http::middleware::{AccessLog, Bearer, Cors, HandlerTime, RateLimit, Recover, RequestId};
use gannet_http::websocket::{Handler, Handshake, Socket};
use gannet_http::{Json, Rejection, Router, Source, Stream};
use gannet_testing::Counting;
use rig::{Rig, drivers};
use serde::{Deserialize, Serialize};

/// What is counted is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Sends so many pieces.
struct Pieces(usize);

impl Source for Pieces {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        while self.0 > 0 {
            self.0 -= 1;
            if out.send(b"a piece of a body\n") != SendStatus::Queued {
                return;
            }
        }
        out.end();
    }
}

#[test]
fn a_piece_of_a_stream_allocates_nothing() {
    let _alone = ALONE.lock();
    let routes = Router::new().get("/", |cx| cx.stream(Pieces(100_000))).build().expect("one route");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        let mut buffer = vec![0; 64 << 10];
        let mut whole = || {
            client.stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("it is taken");
            loop {
                let count = client.stream.read(&mut buffer).expect("more comes");
                if buffer[..count].ends_with(b"\r\n0\r\n\r\n") {
                    return;
                }
            }
        };
        whole();
        let before = ALLOCATOR.allocations();
        whole();
        let allocations = ALLOCATOR.allocations() - before;
        // What waits to be sent needs blocks, of which some may have been given back: none for a piece.
        assert!(allocations < 1_000, "{allocations} allocations for 100,000 pieces on {driver:?}");
    }
}

#[test]
fn a_small_response_allocates_nothing() {
    let _alone = ALONE.lock();
    let routes = Router::new()
        .layer(RequestId::new())
        .layer(AccessLog)
        .layer(HandlerTime::new())
        .layer(Recover)
        .layer(Cors::any())
        .layer(RateLimit::per_second(1_000_000))
        .group("/api", |api| {
            api.layer(Bearer::new("secret")).get("/hello/{name}/{again}", |cx| {
                let (name, query) = (cx.param("name"), cx.query_value("q").unwrap_or_default());
                cx.status(201);
                cx.header("X-Own", "value");
                write!(cx, "hello {name} {query} {}", cx.route().unwrap_or_default());
            })
        })
        // Not as simple as the one above, which is searched in another way.
        .get("/static/{*path}", |cx| {
            let path = cx.param("path");
            write!(cx, "file {path}");
        })
        .state(Arc::new(7_u32))
        // Read with types, and answered with values.
        .get("/typed/{id}/{name}", |cx, state| {
            let (id, name): (u32, &str) = cx.params()?;
            let Page { page, tag } = cx.query_as()?;
            Ok::<_, Rejection>((201, Json((id, name.len(), page, tag.len(), *state))))
        })
        .nest("/nested", Router::new().get("", |_| "nested"))
        .build()
        .expect("they do not conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        for (path, status) in [
            ("/api/hello/you/x?q=1", "201 Created"),
            ("/static/a/b.js", "200 OK"),
            ("/typed/7/you?page=3&tag=x", "201 Created"),
            ("/nested", "200 OK"),
        ] {
            let fields = "Host: h\r\nOrigin: http://o\r\nAuthorization: Bearer secret";
            let request = format!("GET {path} HTTP/1.1\r\n{fields}\r\n\r\n");
            let mut client = rig.connect();
            client.send(&request);
            let mut response = vec![0; 4096];
            let length = client.stream.read(&mut response).expect("a response");
            assert!(response.starts_with(format!("HTTP/1.1 {status}\r\n").as_bytes()));
            let mut exchange = |times: usize| {
                for _ in 0..times {
                    client.stream.write_all(request.as_bytes()).expect("it is taken");
                    client.stream.read_exact(&mut response[..length]).expect("a response as long as the first");
                }
            };
            exchange(1_000);
            let before = ALLOCATOR.allocations();
            exchange(10_000);
            let allocations = ALLOCATOR.allocations() - before;
            // The engine gives memory back that was not needed for a second, and may have to ask for it again.
            assert!(allocations < 50, "{allocations} allocations for 10,000 requests of {path} on {driver:?}");
        }
    }
}

/// A query.
#[derive(Deserialize)]
struct Page<'a> {
    page: u32,
    tag: &'a str,
}

/// A body.
#[derive(Deserialize, Serialize)]
struct Order<'a> {
    name: &'a str,
    price: f64,
}

#[test]
fn a_small_body_in_json_allocates_nothing() {
    let _alone = ALONE.lock();
    let routes = Router::new().post("/", |cx| cx.json::<Order<'_>>().map(|order| Json(order.price))).build();
    let routes = routes.expect("one route");
    let body = r#"{"name": "a book", "price": 2.5}"#;
    let length = body.len();
    let fields = format!("Host: h\r\nContent-Type: application/json\r\nContent-Length: {length}");
    let request = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n{body}");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        client.send(&request);
        assert_eq!(client.response(false).body, "2.5");
        let mut exchange = |times: usize| {
            for _ in 0..times {
                client.send(&request);
                let mut tail = [0; 4];
                while tail != *b"\n2.5" {
                    tail.rotate_left(1);
                    client.stream.read_exact(&mut tail[3..]).expect("more comes");
                }
            }
        };
        exchange(1_000);
        let before = ALLOCATOR.allocations();
        exchange(10_000);
        let allocations = ALLOCATOR.allocations() - before;
        assert!(allocations < 50, "{allocations} allocations for 10,000 bodies on {driver:?}");
    }
}

struct Echo;

impl Handler for Echo {
    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        socket.text(text);
    }

    fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>) {
        socket.binary(bytes);
    }
}

#[test]
fn a_websocket_message_allocates_nothing() {
    let _alone = ALONE.lock();
    let handshake = Handshake::new();
    let routes = Router::new().get("/ws", move |cx| cx.websocket(&handshake, Echo)).build().expect("one route");
    let request = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let (text, binary) = (["hällo"; 20].concat(), [7_u8; 1_000]);
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    for (mask, out) in [(Some([1, 2, 3, 4]), &mut sent), (None, &mut expected)] {
        ws::text(out, &text, mask);
        ws::binary(out, &binary, mask);
    }
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        client.send(request);
        assert_eq!(client.response(false).status, 101);
        let mut received = vec![0; expected.len()];
        let mut exchange = |times: usize| {
            for _ in 0..times {
                client.stream.write_all(&sent).expect("it is taken");
                client.stream.read_exact(&mut received).expect("both come back");
            }
        };
        exchange(1_000);
        let before = ALLOCATOR.allocations();
        exchange(10_000);
        let allocations = ALLOCATOR.allocations() - before;
        assert!(allocations < 50, "{allocations} allocations for 20,000 messages on {driver:?}");
        assert_eq!(received, expected);
    }
}
