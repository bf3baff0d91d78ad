//! From HTTP to WebSocket (RFC 6455 §4).

use std::io::{self, Read, Write};

use gannet_proto::ws::{ClientHandshake, Handshake, HandshakeError, ResponseError};
use proptest::prelude::*;

type Headers<'a> = Vec<(&'a str, &'a [u8])>;

fn request() -> Headers<'static> {
    vec![
        ("Host", b"example.com"),
        ("Upgrade", b"websocket"),
        ("Connection", b"Upgrade"),
        ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", b"13"),
    ]
}

/// The request with another value of `name`, or none.
fn with(name: &'static str, value: Option<&'static str>) -> Headers<'static> {
    let mut headers: Headers<'_> = request().into_iter().filter(|(other, _)| *other != name).collect();
    headers.extend(value.map(|value| (name, value.as_bytes())));
    headers
}

fn check(headers: Headers<'_>) -> Result<(), HandshakeError> {
    Handshake::new().check("GET", (1, 1), headers).map(|_| ())
}

#[test]
fn the_example_of_the_rfc_is_answered() {
    let mut response = Vec::new();
    Handshake::new().check("GET", (1, 1), request()).unwrap().write(&mut response);
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(str::from_utf8(&response), Ok(expected));
}

#[test]
fn names_and_tokens_have_no_case_and_lists_may_have_more() {
    assert!(check(with("Connection", Some("keep-alive, UPGRADE"))).is_ok());
    assert!(check(with("Upgrade", Some("h2c ,WebSocket"))).is_ok());
    let lower: Vec<(String, &[u8])> = request().into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    assert!(check(lower.iter().map(|(name, value)| (name.as_str(), *value)).collect()).is_ok());
    let mut twice = with("Connection", Some("Upgrade"));
    twice.push(("Connection", b"keep-alive"));
    assert!(check(twice).is_ok());
}

#[test]
fn a_request_that_is_not_right_is_refused_with_the_status_to_answer() {
    let refused = [
        (with("Upgrade", None), HandshakeError::NoUpgrade, 426),
        (with("Upgrade", Some("h2c")), HandshakeError::NoUpgrade, 426),
        (with("Connection", Some("keep-alive")), HandshakeError::NoUpgrade, 426),
        (with("Sec-WebSocket-Version", None), HandshakeError::Version, 426),
        (with("Sec-WebSocket-Version", Some("8")), HandshakeError::Version, 426),
        (with("Sec-WebSocket-Key", None), HandshakeError::Key, 400),
        (with("Sec-WebSocket-Key", Some("")), HandshakeError::Key, 400),
        (with("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQ")), HandshakeError::Key, 400),
        (with("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZSEh")), HandshakeError::Key, 400),
        (with("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25*ZQ==")), HandshakeError::Key, 400),
        ([request(), vec![("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")]].concat(), HandshakeError::Key, 400),
    ];
    for (headers, error, status) in refused {
        assert_eq!(check(headers), Err(error));
        assert_eq!(error.status(), status);
    }
    let handshake = Handshake::new();
    assert_eq!(handshake.check("POST", (1, 1), request()).unwrap_err().status(), 405);
    assert_eq!(handshake.check("GET", (1, 0), request()).unwrap_err().status(), 400);
    assert!(HandshakeError::Version.headers().contains(&("Sec-WebSocket-Version", "13")));
    assert_eq!(HandshakeError::Method.headers(), [("Allow", "GET")]);
}

#[test]
fn the_first_protocol_that_both_know_is_chosen() {
    let handshake = Handshake::new().protocols(["v1", "v2"]);
    let chosen = |value| {
        let headers = with("Sec-WebSocket-Protocol", value);
        handshake.check("GET", (1, 1), headers).unwrap().protocol
    };
    assert_eq!(chosen(Some("v3, v2,v1")), Some("v2"));
    assert_eq!(chosen(Some("V1")), None);
    assert_eq!(chosen(None), None);
    let two = [with("Sec-WebSocket-Protocol", Some("v3")), vec![("Sec-WebSocket-Protocol", b"v1")]].concat();
    assert_eq!(handshake.check("GET", (1, 1), two).unwrap().protocol, Some("v1"));
}

#[test]
fn pages_of_other_origins_are_refused() {
    let handshake = Handshake::new().origins(["https://example.com", "https://example.com:8443"]);
    let check = |origin| handshake.check("GET", (1, 1), with("Origin", origin)).map(|_| ());
    assert_eq!(check(Some("https://EXAMPLE.com")), Ok(()));
    assert_eq!(check(Some("https://example.com:8443")), Ok(()));
    assert_eq!(check(None), Ok(()));
    for origin in ["http://example.com", "https://example.com.evil.org", "null", "", "https://example.com, x"] {
        assert_eq!(check(Some(origin)), Err(HandshakeError::Origin), "{origin}");
    }
    assert_eq!(HandshakeError::Origin.status(), 403);
}

#[test]
fn an_answer_that_is_not_right_is_refused() {
    let handshake = ClientHandshake::new(*b"the sample nonce").protocols(["a", "b"]);
    let good: Headers<'_> = vec![
        ("upgrade", b"WebSocket"),
        ("connection", b"upgrade"),
        ("sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    let with = |name: &'static str, value: &'static [u8]| [&good[..], &[(name, value)]].concat();
    assert_eq!(handshake.check(101, good.clone()).unwrap().protocol, None);
    assert_eq!(handshake.check(101, with("Sec-WebSocket-Protocol", b"b")).unwrap().protocol, Some("b"));
    assert_eq!(handshake.check(200, good.clone()), Err(ResponseError::Status { status: 200 }));
    for missing in 0..3 {
        let mut headers = good.clone();
        headers.remove(missing);
        assert!(handshake.check(101, headers).is_err());
    }
    let refused = [
        ("Sec-WebSocket-Protocol", &b"c"[..], ResponseError::Protocol),
        ("Sec-WebSocket-Protocol", b"a, b", ResponseError::Protocol),
        ("Sec-WebSocket-Accept", b"S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ResponseError::Accept),
        ("Sec-WebSocket-Extensions", b"permessage-deflate", ResponseError::Extension),
    ];
    for (name, value, error) in refused {
        assert_eq!(handshake.check(101, with(name, value)), Err(error));
    }
}

/// The lines of a request or an answer: the first one, and the headers.
fn parse(bytes: &[u8]) -> (&str, Headers<'_>) {
    let mut lines = str::from_utf8(bytes).unwrap().split_terminator("\r\n");
    let first = lines.next().unwrap();
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim().as_bytes()));
    (first, headers.collect())
}

/// A server at the other end of a client's stream: answers as soon as there is a request.
#[derive(Default)]
struct Server {
    received: Vec<u8>,
    answer: Vec<u8>,
}

impl Write for Server {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.received.extend_from_slice(bytes);
        if self.received.ends_with(b"\r\n\r\n") {
            let (first, headers) = parse(&self.received);
            assert_eq!(first, "GET /chat HTTP/1.1");
            let handshake = Handshake::new().protocols(["chat"]);
            handshake.check("GET", (1, 1), headers).unwrap().write(&mut self.answer);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Server {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let size = (&self.answer[..]).read(bytes)?;
        self.answer.drain(..size);
        Ok(size)
    }
}

#[test]
fn a_client_of_theirs_takes_our_answer() {
    let request = tungstenite::ClientRequestBuilder::new("ws://example.com/chat".parse().unwrap());
    let (_, response) = tungstenite::client(request.with_sub_protocol("chat"), Server::default()).unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "chat");
}

/// A client at the other end of a server's stream: has sent its request, and keeps the answer.
struct Client<'a> {
    request: &'a [u8],
    answer: &'a mut Vec<u8>,
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Client<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.request.read(bytes)
    }
}

#[test]
fn we_take_the_answer_of_a_server_of_theirs() {
    let (handshake, mut request, mut answer) = (ClientHandshake::new([7; 16]), Vec::new(), Vec::new());
    handshake.write(&mut request, "example.com", "/", &[("Origin", "https://example.com")]);
    assert!(tungstenite::accept(Client { request: &request, answer: &mut answer }).is_ok());
    let (first, headers) = parse(&answer);
    assert!(first.starts_with("HTTP/1.1 101 "));
    assert!(handshake.check(101, headers).is_ok());
}

proptest! {
    #[test]
    fn headers_of_any_bytes_never_panic(
        values in proptest::collection::vec((0_usize..8, prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "(permessage-deflate|websocket|upgrade|[;,= \"]|(server|client)_max_window_bits|[0-9]){0,12}"
                .prop_map(String::into_bytes),
        ]), 0..10),
    ) {
        let names = ["Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Accept",
            "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Origin"];
        let headers = || request().into_iter().chain(values.iter().map(|(name, value)| (names[*name], &value[..])));
        let (server, client) = (Handshake::new().protocols(["a"]).origins(["b"]), ClientHandshake::new([1; 16]));
        #[cfg(feature = "deflate")]
        let (server, client) = (server.deflate(Default::default()), client.deflate(Default::default()));
        let _ = server.check("GET", (1, 1), headers());
        let _ = client.check(101, headers());
    }
}
