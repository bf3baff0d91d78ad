//! What a WebSocket connection takes while nothing happens on it, and what messages leave behind.

mod rig;

use std::sync::Mutex;

use gannet_http::Router;
use gannet_http::websocket::{Handler, Handshake, Socket};
use gannet_testing::Counting;
use rig::{Rig, drivers};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// What is counted is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Connections that are held; each takes two descriptors of this process.
const CONNECTIONS: i64 = 4_096;

struct Echo;

impl Handler for Echo {
    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        socket.text(text);
    }

    fn binary(&mut self, _: &[u8], _: &mut Socket<'_>) {}
}

#[test]
fn an_idle_websocket_connection_takes_256_bytes_at_most() {
    let _alone = ALONE.lock();
    let handshake = Handshake::new();
    let routes = Router::new().get("/", move |cx| cx.websocket(&handshake, Echo)).build().expect("one route");
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut first = rig.connect();
        first.send(request);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head += &first.read(1);
        }
        let open = || {
            let mut client = rig.connect();
            client.send(request);
            assert!(client.read(head.len()).starts_with("HTTP/1.1 101 "));
            // "Hello" of RFC 6455 §5.7, so that everything was in use once.
            std::io::Write::write_all(&mut client.stream, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
                .expect("taken");
            let mut echo = [0; 7];
            std::io::Read::read_exact(&mut client.stream, &mut echo).expect("an echo");
            client
        };
        let warm: Vec<_> = (0..64).map(|_| open()).collect();
        let mut held = Vec::with_capacity(CONNECTIONS as usize);
        let before = ALLOCATOR.bytes();
        held.extend((0..CONNECTIONS).map(|_| open()));
        let each = (ALLOCATOR.bytes() - before) / CONNECTIONS;
        eprintln!("{each} bytes for each on {driver:?}");
        assert!(each > 0, "nothing was counted");
        assert!(each <= 256, "{each} bytes for each on {driver:?}");
        drop((first, warm, held));
    }
}

/// Sends everything back compressed.
#[cfg(feature = "deflate")]
struct Packing;

#[cfg(feature = "deflate")]
impl Handler for Packing {
    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        socket.compressed_text(text);
    }

    fn binary(&mut self, _: &[u8], _: &mut Socket<'_>) {}
}

#[cfg(feature = "deflate")]
#[test]
fn a_large_compressed_message_leaves_nothing_behind() {
    use std::io::{Read as _, Write as _};

    use gannet::proto::ws;
    use gannet_http::websocket::Params;

    let _alone = ALONE.lock();
    // Each piece comes twice, so that half of it is left when it is compressed.
    let large: String = (1..16_384_u64)
        .map(|piece| format!("{:032x}", u128::from(piece).wrapping_mul(0xda94_2042_e4dd_58b5_94d0_49bb_1331_11eb)))
        .map(|piece| piece.clone() + &piece)
        .collect();
    let small = "the same, ".repeat(20);
    let handshake = Handshake::new().deflate(Params::without_takeover());
    let routes = Router::new().get("/", move |cx| cx.websocket(&handshake, Packing)).build().expect("one route");
    for driver in drivers() {
        let rig = Rig::of(gannet::Engine::new().driver(driver).reactors(1), {
            let routes = routes.clone();
            move || gannet_http::HttpService::new(&routes)
        });
        let mut client = rig.connect();
        client.send(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        );
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head += &client.read(1);
        }
        let mut answer = vec![0; large.len()];
        // Gives the length of the answer.
        let mut echo = |text: &str| {
            let mut frame = Vec::new();
            ws::text(&mut frame, text, Some([1, 2, 3, 4]));
            client.stream.write_all(&frame).expect("it is taken");
            drop(frame);
            let mut read = |length: usize| {
                client.stream.read_exact(&mut answer[..length]).expect("more comes");
                answer[..length].iter().fold(0, |number: usize, byte| number << 8 | usize::from(*byte))
            };
            assert_eq!(read(1), 0xc1, "it is compressed");
            let length = match read(1) {
                126 => read(2),
                127 => read(8),
                length => length,
            };
            read(length);
            length
        };
        echo(&small);
        let before = ALLOCATOR.bytes();
        assert!(echo(&large) > 400_000);
        // When this is there, the answer before has left the outbox.
        echo(&small);
        let kept = ALLOCATOR.bytes() - before;
        assert!(kept < 256 << 10, "{kept} bytes are kept on {driver:?}");
    }
}
