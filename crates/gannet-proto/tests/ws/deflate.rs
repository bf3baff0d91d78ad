//! Compression of messages (RFC 7692).

use gannet_proto::ws::deflate::Params;
use gannet_proto::ws::{self, ClientHandshake, Handshake, Opcode, ResponseError, State, WebSocket};
use proptest::prelude::*;

use super::*;
use gannet_proto::testing::feed_from;

/// Reads `stream` in pieces of `size` bytes on a connection with compression.
fn unpack(codec: &WebSocket, params: Params, stream: &[u8], size: usize) -> Result<Vec<Owned>, Error> {
    let state = codec.compressed_state(params);
    let outcome = feed_from(codec, state, Patience::Asks, stream.chunks(size), owned);
    outcome.error.map_or(Ok(outcome.messages), Err)
}

fn client(stream: &[u8]) -> Result<Vec<Owned>, Error> {
    let whole = unpack(&WebSocket::client(), Params::new(), stream, stream.len());
    for size in 1..stream.len() {
        assert_eq!(unpack(&WebSocket::client(), Params::new(), stream, size), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let hello = Ok(vec![text("Hello")]);
    // §7.2.3.1, in one frame and in two.
    assert_eq!(client(b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), hello);
    assert_eq!(client(b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"), hello);
    // §7.2.3.2: the second one refers to the first.
    let twice = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00";
    assert_eq!(client(twice), Ok(vec![text("Hello"), text("Hello")]));
    // §7.2.3.3: not compressed inside; §7.2.3.4: a last block; §7.2.3.5: two blocks.
    assert_eq!(client(b"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), hello);
    assert_eq!(client(b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), hello);
    assert_eq!(client(b"\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), hello);
    // §7.2.3.6: nothing.
    assert_eq!(client(b"\xc1\x01\x00"), Ok(vec![text("")]));
}

#[test]
fn messages_without_compression_and_control_frames_may_stand_between() {
    let stream = b"\x81\x02hi\x41\x03\xf2\x48\xcd\x89\x01!\x80\x04\xc9\xc9\x07\x00\x01\x01a\x80\x01b";
    let expected = vec![text("hi"), Owned::Ping(b"!".into()), text("Hello"), text("ab")];
    assert_eq!(client(stream), Ok(expected));
}

#[test]
fn only_the_first_frame_of_a_message_says_that_it_is_compressed() {
    for stream in [&b"\x41\x03\xf2\x48\xcd\xc0\x04\xc9\xc9\x07\x00"[..], b"\xc9\x00", b"\xa1\x00", b"\xd1\x00"] {
        let code = client(stream).unwrap_err().close_code().get();
        assert_eq!(code, 1002, "{stream:x?}");
    }
}

#[test]
fn what_is_damaged_or_unpacks_to_no_text_is_refused() {
    let mut not_text = Vec::new();
    Params::new().server_deflater(6).binary(&mut not_text, b"\xff\xff\xff", None).unwrap();
    not_text[0] = 0xc1;
    for stream in [&b"\xc1\x03\xff\xff\xff"[..], b"\xc1\x05\xf2\x00\x11\x00\x00", &not_text] {
        let code = client(stream).unwrap_err().close_code().get();
        assert_eq!(code, 1007, "{stream:x?}");
    }
}

#[test]
fn a_bomb_ends_at_the_limit_of_a_message() {
    let mut bomb = Vec::new();
    Params::new().client_deflater(9).binary(&mut bomb, &vec![0; 8 << 20], Some(KEY)).unwrap();
    assert!(bomb.len() < 10_000);
    let limit = 1 << 16;
    let codec = WebSocket::server().max_message(limit);
    let refused = Err(Error::Frame(FrameError::TooLarge { length: limit as u64 + 1, limit }));
    assert_eq!(unpack(&codec, Params::new(), &bomb, bomb.len()), refused);

    let mut out = Vec::new();
    Params::new().client_deflater(9).binary(&mut out, &vec![0; limit], Some(KEY)).unwrap();
    assert_eq!(unpack(&codec, Params::new(), &out, 100), Ok(vec![Owned::Binary(vec![0; limit])]));
}

#[test]
fn the_limit_of_frames_is_for_what_is_sent() {
    let mut out = Vec::new();
    Params::new().client_deflater(9).binary(&mut out, &[0; 10_000], Some(KEY)).unwrap();
    let codec = WebSocket::server().max_frame(out.len() - 6);
    assert_eq!(unpack(&codec, Params::new(), &out, 1), Ok(vec![Owned::Binary(vec![0; 10_000])]));
    assert!(unpack(&codec.max_frame(out.len() - 7), Params::new(), &out, 1).is_err());
}

#[test]
fn a_state_with_compression_is_as_small() {
    assert!(size_of::<State>() <= 24);
}

#[test]
fn without_takeover_one_deflater_serves_many_connections() {
    let params = Params::without_takeover();
    let mut deflater = params.server_deflater(1);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for round in 0..3 {
        for out in [&mut first, &mut second] {
            deflater.text(out, &format!("{round}: the same again, the same again"), None).unwrap();
        }
    }
    assert_eq!(first, second);
    assert_eq!(unpack(&WebSocket::client(), params, &first, 5).unwrap().len(), 3);
}

/// What server and client agree on, and what the answer says.
fn negotiate(server: Params, offer: &str) -> Option<(Params, String)> {
    let handshake = Handshake::new().deflate(server);
    let headers = [
        ("Upgrade", &b"websocket"[..]),
        ("Connection", b"Upgrade"),
        ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", b"13"),
        ("Sec-WebSocket-Extensions", offer.as_bytes()),
    ];
    let accept = handshake.check("GET", (1, 1), headers).unwrap();
    let said = accept.headers().find(|(name, _)| *name == "Sec-WebSocket-Extensions").map(|(_, value)| value.into());
    accept.deflate.map(|params| (params, said.unwrap()))
}

#[test]
fn a_server_accepts_the_first_offer_that_it_can_keep() {
    let said = |server, offer| negotiate(server, offer).map(|(_, said)| said);
    let some = |text: &str| Some(text.to_owned());
    let (most, small) = (Params::new(), Params::new().server_max_window_bits(10).client_max_window_bits(11));
    assert_eq!(said(most, "permessage-deflate"), some("permessage-deflate"));
    assert_eq!(said(most, "x-other, Permessage-Deflate ; client_max_window_bits"), some("permessage-deflate"));
    assert_eq!(
        said(most, "permessage-deflate; server_max_window_bits=\"10\"; client_no_context_takeover"),
        some("permessage-deflate; client_no_context_takeover; server_max_window_bits=10")
    );
    assert_eq!(
        said(most, "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_no_context_takeover"),
        some("permessage-deflate; server_no_context_takeover")
    );
    assert_eq!(said(small, "permessage-deflate"), None);
    let both = some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=11");
    assert_eq!(said(small, "permessage-deflate; client_max_window_bits"), both);
    let client = some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=8");
    assert_eq!(said(small, "permessage-deflate; client_max_window_bits=8"), client);
}

#[test]
fn offers_that_are_not_right_are_declined() {
    for parameters in [
        "unknown",
        "server_max_window_bits",
        "server_max_window_bits=16",
        "server_max_window_bits=7",
        "server_max_window_bits=010",
        "client_max_window_bits=+9",
        "client_max_window_bits=",
        "server_no_context_takeover=1",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "",
    ] {
        assert_eq!(negotiate(Params::new(), &format!("permessage-deflate; {parameters}")), None, "{parameters}");
    }
}

#[test]
fn a_client_takes_only_what_it_offered() {
    let answered = |offer: Params, extensions: &str| {
        let handshake = ClientHandshake::new(*b"the sample nonce").deflate(offer);
        let headers = [
            ("Upgrade", &b"websocket"[..]),
            ("Connection", b"Upgrade"),
            ("Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("Sec-WebSocket-Extensions", extensions.as_bytes()),
        ];
        handshake.check(101, headers).map(|agreed| agreed.deflate)
    };
    let (most, small) = (Params::new(), Params::new().server_max_window_bits(10).client_max_window_bits(11));
    assert_eq!(answered(most, "permessage-deflate"), Ok(Some(most)));
    assert_eq!(
        answered(small, "permessage-deflate; server_max_window_bits=9"),
        Ok(Some(small.server_max_window_bits(9)))
    );
    let refused = Err(ResponseError::Extension);
    assert_eq!(answered(small, "permessage-deflate"), refused);
    assert_eq!(answered(Params::without_takeover(), "permessage-deflate"), refused);
    assert_eq!(answered(most, "permessage-deflate; client_max_window_bits=8"), refused);
    assert_eq!(answered(most, "permessage-deflate, permessage-deflate"), refused);
    assert_eq!(answered(most, "x-other"), refused);
}

fn all_params() -> impl Strategy<Value = Params> {
    (any::<bool>(), any::<bool>(), 9_u8..=15, 9_u8..=15).prop_map(|(server, client, server_bits, client_bits)| {
        let params = if server { Params::new().server_no_context_takeover() } else { Params::new() };
        let params = if client { params.client_no_context_takeover() } else { params };
        params.server_max_window_bits(server_bits).client_max_window_bits(client_bits)
    })
}

proptest! {
    // Compressors are slow where they are not optimized.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_one_side_packs_the_other_unpacks(
        ours in all_params(),
        theirs in all_params(),
        level in 0_u32..=9,
        messages in proptest::collection::vec(prop_oneof![
            "[a-d ]{0,300}".prop_map(|text| (text, 1)),
            ("[a-z€]{1,40}", 1_usize..500),
        ], 1..6),
        size in 1_usize..3000,
    ) {
        let mut request = Vec::new();
        ClientHandshake::new([0; 16]).deflate(theirs).write(&mut request, "x", "/", &[]);
        let request = String::from_utf8(request).unwrap();
        let offer = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: ")).unwrap();
        let (agreed, _) = negotiate(ours, offer).unwrap();

        let (mut server, mut client) = (agreed.server_deflater(level), agreed.client_deflater(level));
        let (mut to_client, mut to_server, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (text, times) in &messages {
            let text = text.repeat(*times);
            server.text(&mut to_client, &text, None).unwrap();
            client.text(&mut to_server, &text, Some(KEY)).unwrap();
            ws::text(&mut to_server, "plain", Some(KEY));
            expected.push(Owned::Text(text));
        }
        prop_assert_eq!(&unpack(&WebSocket::client(), agreed, &to_client, size).unwrap(), &expected);
        let mixed = unpack(&WebSocket::server(), agreed, &to_server, size).unwrap();
        prop_assert_eq!(mixed.into_iter().filter(|message| *message != text("plain")).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn garbage_that_says_it_is_compressed_never_panics(
        parts in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..8),
        size in 1_usize..300,
    ) {
        let mut stream = Vec::new();
        for (number, (last, payload)) in parts.iter().enumerate() {
            let opcode = if number == 0 || parts[number - 1].0 { Opcode::Binary } else { Opcode::Continuation };
            let at = stream.len();
            ws::write_fragment(&mut stream, opcode, *last, &[payload], Some([0; 4])).unwrap();
            stream[at] |= if opcode == Opcode::Binary { 0x40 } else { 0 };
        }
        let codec = WebSocket::server().max_message(1000);
        let whole = unpack(&codec, Params::new(), &stream, stream.len().max(1));
        prop_assert_eq!(unpack(&codec, Params::new(), &stream, size), whole);
    }
}
