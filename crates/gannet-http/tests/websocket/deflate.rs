//! Compression of messages (RFC 7692), with the client's side of the codec.

use gannet::Limits;
use gannet::proto::ws::deflate::{Deflater, Params};
use gannet::proto::ws::{self, ClientHandshake, State, WebSocket};
use gannet::proto::{Codec as _, Decoded};

use super::*;

/// Sends everything back compressed.
struct Packing;

impl Handler for Packing {
    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        socket.compressed_text(text);
    }

    fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>) {
        socket.compressed_binary(bytes);
    }
}

fn start(driver: DriverChoice, params: Params) -> http_rig::Rig {
    let handshake = Handshake::new().deflate(params);
    let routes = Router::new().get("/", move |cx| cx.websocket(&handshake, Packing)).build().expect("one route");
    http_rig::Rig::start(driver, &routes)
}

/// A client that has agreed on compression, or not.
struct Client {
    raw: Raw,
    codec: WebSocket,
    state: State,
    deflater: Option<Deflater>,
    received: Vec<u8>,
}

impl Client {
    fn connect(rig: &http_rig::Rig, offer: Option<Params>) -> Self {
        let mut raw = Raw(rig.connect().stream);
        let mut handshake = ClientHandshake::new([7; 16]);
        if let Some(params) = offer {
            handshake = handshake.deflate(params);
        }
        let mut request = Vec::new();
        handshake.write(&mut request, "h", "/", &[]);
        raw.send(&request);
        let head = raw.head();
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name, value.as_bytes()));
        let agreed = handshake.check(101, fields).expect("it is accepted").deflate;
        assert_eq!(agreed.is_some(), offer.is_some());
        let codec = WebSocket::client();
        let (state, deflater) = match agreed {
            Some(params) => (codec.compressed_state(params), Some(params.client_deflater(6))),
            None => (State::default(), None),
        };
        Self { raw, codec, state, deflater, received: Vec::new() }
    }

    fn send_binary(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        ws::binary(&mut out, bytes, Some([4, 3, 2, 1]));
        self.raw.send(&out);
    }

    fn send_text(&mut self, text: &str) {
        let mut out = Vec::new();
        match &mut self.deflater {
            Some(deflater) => deflater.text(&mut out, text, Some([4, 3, 2, 1])).expect("it is packed"),
            None => ws::text(&mut out, text, Some([4, 3, 2, 1])),
        }
        self.raw.send(&out);
    }

    /// The next text, and the bytes that it took.
    fn text(&mut self) -> (String, usize) {
        loop {
            let decoded = self.codec.decode(&mut self.state, &mut self.received).expect("good frames");
            if let Decoded::Message { message: ws::Message::Text(text), consumed } = decoded {
                let text = text.into_owned();
                self.received.drain(..consumed);
                return (text, consumed);
            }
            self.received.extend(self.raw.read(1));
        }
    }
}

#[test]
fn texts_go_both_ways_compressed_whatever_was_agreed_on() {
    let small = Params::new().server_max_window_bits(9).client_max_window_bits(10);
    for driver in drivers() {
        for params in [Params::new(), Params::without_takeover(), small] {
            let rig = start(driver, params);
            // Two at a time share a compressor where they are on one reactor, and must not know of each other.
            let (mut one, mut other) = (Client::connect(&rig, Some(params)), Client::connect(&rig, Some(params)));
            for round in 0..20 {
                for client in [&mut one, &mut other] {
                    let text = format!("{round}: {}", "the same again and again, ".repeat(round * 20));
                    client.send_text(&text);
                    let (echo, bytes) = client.text();
                    assert_eq!(echo, text);
                    assert!(round == 0 || bytes < text.len() / 4, "{} in {bytes} bytes", text.len());
                }
            }
        }
    }
}

#[test]
fn what_would_be_longer_compressed_is_sent_as_it_is() {
    // Nothing repeats in it, as in what was packed before.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(WebSocket::DEFAULT_LIMIT)
    .collect();
    let mut limits = Limits::default();
    // Room for a message with its header, and for no more.
    (limits.outbox_high, limits.outbox_hard) = (noise.len(), noise.len() + 10);
    for driver in drivers() {
        let handshake = Handshake::new().deflate(Params::new());
        let routes = Router::new().get("/", move |cx| cx.websocket(&handshake, Packing)).build().expect("one route");
        let engine = Engine::new().driver(driver).reactors(1).limits(limits.clone());
        let rig = http_rig::Rig::of(engine, move || HttpService::new(&routes));
        let mut client = Client::connect(&rig, Some(Params::new()));
        for length in [noise.len(), 70_000, 200, 3, 0] {
            client.send_binary(&noise[..length]);
            let mut expected = ws::FrameHeader::new(Opcode::Binary, length).as_bytes().to_vec();
            expected.extend_from_slice(&noise[..length]);
            client.raw.expect(&expected);
        }
        client.send_text(&"a".repeat(200));
        assert_eq!(client.text().0, "a".repeat(200));
    }
}

#[test]
fn a_client_that_offers_no_compression_is_sent_none() {
    for driver in drivers() {
        let rig = start(driver, Params::new());
        let mut client = Client::connect(&rig, None);
        client.send_text(&"a".repeat(100));
        client.raw.expect(b"\x81\x64");
        client.raw.expect(&[b'a'; 100]);
    }
}

#[test]
fn what_unpacks_to_more_than_the_limit_or_to_nothing_is_refused() {
    for driver in drivers() {
        let rig = start(driver, Params::new());
        let mut bomb = Client::connect(&rig, Some(Params::new()));
        bomb.send_text(&"a".repeat(8 << 20));
        bomb.raw.expect_close(1009);
        let mut damaged = Client::connect(&rig, Some(Params::new()));
        damaged.raw.send(b"\xc1\x84\0\0\0\0\xff\xff\xff\xff");
        damaged.raw.expect_close(1007);
        let mut unasked = Client::connect(&rig, None);
        unasked.raw.send(b"\xc1\x84\0\0\0\0\xff\xff\xff\xff");
        unasked.raw.expect_close(1002);
    }
}
