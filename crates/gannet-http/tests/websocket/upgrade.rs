//! From a request to a conversation.

use gannet_http::middleware::Recover;
use gannet_http::{Cx, Layer};

use super::*;

/// Does something to the response when the handler has answered.
#[derive(Clone)]
struct Afterwards(fn(&mut Cx<'_>));

impl Layer for Afterwards {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
        (self.0)(cx);
    }
}

#[test]
fn a_request_becomes_a_conversation_and_the_layers_around_its_route_are_heard() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.stream();
        client.send(request("X-Request-Id: mine\r\n").as_bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        for line in [
            "Upgrade: websocket",
            "Connection: upgrade",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "X-Request-Id: mine",
        ] {
            assert!(head.lines().filter(|own| *own == line).count() == 1, "{line}: {head}");
        }
        for absent in ["Content-Length", "Content-Type", "Connection: close"] {
            assert!(!head.contains(absent), "{head}");
        }
        client.send(&frame(Opcode::Text, b"hello"));
        client.expect(b"\x81\x05hello");
    }
}

#[test]
fn what_comes_behind_the_request_is_not_lost_wherever_it_is_cut() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut bytes = request("").into_bytes();
        bytes.extend(frame(Opcode::Text, b"one"));
        bytes.extend(frame(Opcode::Ping, b"two"));
        bytes.extend(frame(Opcode::Binary, b"three"));
        for cut in 0..bytes.len() {
            let mut client = rig.stream();
            let (front, back) = bytes.split_at(cut);
            client.send(front);
            client.send(back);
            assert!(client.head().starts_with("HTTP/1.1 101 "), "cut at {cut}");
            client.expect(b"\x81\x03one\x8a\x03two\x82\x05three");
        }
    }
}

#[test]
fn the_body_of_the_request_is_no_part_of_the_conversation() {
    let hello = frame(Opcode::Text, b"hello");
    for driver in drivers() {
        let rig = Rig::start(driver);
        for (fields, body) in [
            ("Content-Length: 5\r\n", &b"\x81\x80\0\0\0"[..]),
            ("Transfer-Encoding: chunked\r\n", b"3\r\n\x81\x80\0\r\n0\r\n\r\n"),
            ("Content-Length: 5\r\nExpect: 100-continue\r\n", b"\x81\x80\0\0\0"),
        ] {
            let mut client = rig.stream();
            client.send(request(fields).as_bytes());
            if fields.contains("Expect") {
                assert!(client.head().starts_with("HTTP/1.1 100 "), "{fields}");
            }
            client.send(&[body, &hello].concat());
            assert!(client.head().starts_with("HTTP/1.1 101 "), "{fields}");
            client.expect(b"\x81\x05hello");
        }
    }
}

#[test]
fn a_request_behind_the_upgrade_is_no_frame() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.stream();
        client.send(&[request("").as_bytes(), b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        client.expect_close(1002);
    }
}

#[test]
fn pages_come_before_a_conversation_on_the_same_connection() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.stream();
        let page = "GET /page HTTP/1.1\r\nHost: h\r\n\r\n";
        client.send(page.repeat(3).as_bytes());
        client.send(request("").as_bytes());
        client.send(&frame(Opcode::Text, b"hello"));
        for _ in 0..3 {
            assert!(client.head().starts_with("HTTP/1.1 200 "));
            client.expect(b"page");
        }
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        client.expect(b"\x81\x05hello");
    }
}

#[test]
fn the_first_protocol_that_the_client_names_and_the_server_knows_is_chosen() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let url = format!("ws://{}/strict", rig.address);
        let mut request = url.into_client_request().expect("a request");
        request.headers_mut().insert("Sec-WebSocket-Protocol", "other, superchat, chat".parse().expect("a value"));
        let (mut client, response) = tungstenite::client(request, rig.stream().0).expect("it is accepted");
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "superchat");
        expect_text(&mut client, "we speak superchat");
    }
}

#[test]
fn what_is_no_request_for_a_conversation_is_answered_as_http_and_the_connection_goes_on() {
    let good = request("");
    let private = good.replace("/ws ", "/private/ws ");
    for driver in drivers() {
        let rig = Rig::start(driver);
        for (request, status, field) in [
            (good.replace("GET /ws ", "POST /ws "), 405, "Allow: GET"),
            (good.replace("HTTP/1.1", "HTTP/1.0"), 400, ""),
            (good.replace("Upgrade: websocket\r\n", ""), 426, "Upgrade: websocket"),
            (good.replace("Upgrade: websocket\r\n", ""), 426, "Connection: upgrade"),
            (good.replace("Version: 13", "Version: 12"), 426, "Sec-WebSocket-Version: 13"),
            (good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, ""),
            (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), 400, ""),
            (good.replace("/ws ", "/strict ").replace("Host: h", "Host: h\r\nOrigin: https://bad.example"), 403, ""),
            (private.clone(), 401, "WWW-Authenticate: Bearer"),
        ] {
            let mut client = rig.stream();
            client.send(request.as_bytes());
            let head = client.head();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{head}");
            assert!(head.contains(field), "{request}{head}");
            assert!(head.contains("X-Request-Id: "), "{request}{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
            client.read(length.parse().expect("a number"));
            if !request.contains("HTTP/1.0") {
                client.send(b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
                assert!(client.head().starts_with("HTTP/1.1 200 "));
            }
        }
        let mut client = rig.stream();
        client.send(private.replace("Host: h", "Host: h\r\nAuthorization: Bearer secret").as_bytes());
        assert!(client.head().starts_with("HTTP/1.1 101 "));
    }
}

#[test]
fn a_layer_that_changes_the_response_has_the_last_word() {
    let spoilers = [
        (Afterwards(|cx| cx.status(503)), 503),
        (Afterwards(|cx| cx.refuse(403, "not today\n")), 403),
        (Afterwards(|cx| cx.header("X-Own", "two\r\nlines")), 500),
        (Afterwards(|_| panic!("as these tests wish")), 500),
    ];
    for driver in drivers() {
        for (spoil, status) in &spoilers {
            let (calls, heard) = mpsc::channel();
            let (handshake, group) = (Handshake::new(), Group::new());
            let routes = Router::new().layer(Recover).get("/page", |cx| cx.text("page")).layer(spoil.clone());
            let routes =
                routes.get("/ws", move |cx| cx.websocket(&handshake, Actor { calls: calls.clone(), group })).build();
            let rig = http_rig::Rig::start(driver, &routes.expect("they do not conflict"));
            let mut client = rig.connect();
            client.send(&request(""));
            assert_eq!(client.response(false).status, *status);
            assert_eq!(client.get("/page").body, "page");
            assert!(heard.try_recv().is_err(), "the handler was called");
        }
    }
}

#[test]
fn a_server_that_shuts_down_begins_no_conversation() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut late = rig.stream();
        late.send(b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(late.head().starts_with("HTTP/1.1 200 "));
        late.expect(b"page");
        let (mut open, mut on) = (Vec::new(), [false; 2]);
        while on != [true; 2] {
            let (client, _, reactor) = rig.opened();
            on[reactor] = true;
            open.push(client);
        }
        rig.running.remote().stop();
        // Each reactor has begun to shut down when its conversations were told.
        for client in &mut open {
            assert!(matches!(read(client), Message::Close(Some(_))));
        }
        late.send(request("").as_bytes());
        let head = late.head();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Connection: close\r\n"), "{head}");
    }
}
