//! Framing, pings and pongs, reserved bits and opcodes (RFC 6455 §5.2, §5.5).

use gannet_proto::Codec;
use gannet_proto::ws::{self, Close, Frame, Opcode, WebSocket};

use super::*;

#[test]
fn payloads_of_all_sizes_arrive() {
    for length in [0, 1, 124, 125, 126, 127, 128, 200, 65_535, 65_536] {
        let payload = vec![b'*'; length];
        let stream = [frame(Opcode::Text, true, &payload), frame(Opcode::Binary, true, &payload)].concat();
        let codec = WebSocket::server();
        let expected = [Owned::Text("*".repeat(length)), Owned::Binary(payload)];
        for size in [1, 2, 3, 997, 64 * 1024, stream.len()] {
            let outcome = feed(&codec, Patience::Waits, stream.chunks(size), owned);
            assert_eq!((outcome.error, &outcome.messages[..]), (None, &expected[..]), "{length} in pieces of {size}");
        }
    }
}

#[test]
fn a_header_before_a_payload_is_the_frame_of_that_payload() {
    for (opcode, length) in [(Opcode::Pong, 0), (Opcode::Text, 125), (Opcode::Binary, 126), (Opcode::Text, 65_536)] {
        let payload = vec![b'*'; length];
        let mut whole = Vec::new();
        ws::write_frame(&mut whole, opcode, &[&payload], None).unwrap();
        assert_eq!([ws::FrameHeader::new(opcode, length).as_bytes(), &payload].concat(), whole);
    }
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let client = WebSocket::client();
    let big: Vec<u8> = [&[0x82, 0x7e, 0x01, 0x00][..], &[7; 256]].concat();
    let bigger: Vec<u8> = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65536]].concat();
    assert_eq!(read(&client, b"\x81\x05Hello").messages, [text("Hello")]);
    assert_eq!(read(&client, b"\x01\x03Hel\x80\x02lo").messages, [text("Hello")]);
    assert_eq!(read(&client, b"\x89\x05Hello").messages, [Owned::Ping(b"Hello".into())]);
    assert_eq!(read(&client, &big).messages, [Owned::Binary(vec![7; 256])]);
    assert_eq!(feed(&client, Patience::Waits, [&bigger[..]], owned).messages, [Owned::Binary(vec![7; 65536])]);
    assert_eq!(good(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), [text("Hello")]);
    assert_eq!(good(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), [Owned::Pong(b"Hello".into())]);
}

#[test]
fn pings_and_pongs_carry_up_to_125_bytes_of_anything() {
    for length in [0, 1, 125] {
        let payload = vec![0xfe; length];
        let stream = frames(&[(Opcode::Ping, true, &payload), (Opcode::Pong, true, &payload)]);
        assert_eq!(good(&stream), [Owned::Ping(payload.clone()), Owned::Pong(payload)]);
    }
    for opcode in [0x88, 0x89, 0x8a] {
        assert_eq!(bad(&[opcode, 0x80 | 126]), (vec![], 1002), "{opcode:x}");
        assert_eq!(bad(&[opcode, 0x80 | 127]), (vec![], 1002), "{opcode:x}");
    }
}

#[test]
fn reserved_bits_are_refused_at_once() {
    let hello = frame(Opcode::Text, true, b"Hello");
    for bits in 1..=7 {
        for opcode in [0x01, 0x02, 0x08, 0x09, 0x0a] {
            let stream = [&hello[..], &[0x80 | bits << 4 | opcode]].concat();
            assert_eq!(bad(&stream), (vec![text("Hello")], 1002), "{bits:03b}");
        }
    }
}

#[test]
fn reserved_opcodes_are_refused_at_once() {
    let hello = frame(Opcode::Text, true, b"Hello");
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for last in [0, 0x80] {
            assert_eq!(bad(&[&hello[..], &[last | opcode]].concat()), (vec![text("Hello")], 1002), "{opcode}");
        }
    }
}

#[test]
fn a_client_must_mask_and_a_server_must_not() {
    assert_eq!(bad(&[0x81, 0x05]), (vec![], 1002));
    let outcome = read(&WebSocket::client(), &[0x81, 0x85]);
    assert_eq!(outcome.error, Some(Error::Masked));
}

#[test]
fn lengths_must_be_as_short_as_they_can() {
    assert_eq!(bad(&[0x82, 0xfe, 0, 125]), (vec![], 1002));
    assert_eq!(bad(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), (vec![], 1002));
    assert_eq!(bad(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), (vec![], 1002));
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_truncated() {
    let stream = frame(Opcode::Binary, true, b"Hello");
    for have in 1..stream.len() {
        let outcome = read(&WebSocket::server(), &stream[..have]);
        assert_eq!(outcome.error, Some(Error::Frame(FrameError::Truncated { have })));
    }
}

#[test]
fn a_codec_writes_what_the_other_role_reads() {
    let mut out = Vec::new();
    let bye = Close { code: CloseCode::GOING_AWAY, reason: "bye" };
    let frames =
        [Frame::binary(b"Hello"), Frame::text("κόσμε"), Frame::ping(b"?"), Frame::pong(b"!"), Frame::close(Some(bye))];
    let sent = [
        Owned::Binary(b"Hello".into()),
        text("κόσμε"),
        Owned::Ping(b"?".into()),
        Owned::Pong(b"!".into()),
        Owned::Close(Some((1001, "bye".into()))),
    ];
    for frame in frames {
        WebSocket::server().encode(frame, &mut out).unwrap();
    }
    assert_eq!(read(&WebSocket::client(), &out).messages, sent);

    out.clear();
    for frame in frames {
        WebSocket::client().encode(frame.masked(KEY), &mut out).unwrap();
    }
    assert_eq!(good(&out), sent);
}

#[test]
fn a_message_is_sent_back_as_it_came() {
    let (server, client) = (WebSocket::server(), WebSocket::client());
    let stream =
        frames(&[(Opcode::Text, true, "κ".as_bytes()), (Opcode::Ping, true, b"?"), (Opcode::Close, true, b"")]);
    let outcome = Check::new(&server).run(&stream, |message| {
        let mut out = Vec::new();
        server.encode((&message).into(), &mut out).unwrap();
        out
    });
    let messages = read(&client, &outcome.messages.concat()).messages;
    assert_eq!(messages, [text("κ"), Owned::Ping(b"?".into()), Owned::Close(None)]);
}

#[test]
fn plain_bytes_become_a_binary_message_or_a_text() {
    let mut out = Vec::new();
    WebSocket::server().encode_payload(b"Hello", &mut out).unwrap();
    WebSocket::server().encoding_text().encode_payload("κόσμε".as_bytes(), &mut out).unwrap();
    assert_eq!(read(&WebSocket::client(), &out).messages, [Owned::Binary(b"Hello".into()), text("κόσμε")]);
}

#[test]
fn text_is_checked_before_anything_is_written() {
    let mut out = Vec::new();
    let (first, second) = "€".as_bytes().split_at(1);
    ws::write_frame(&mut out, Opcode::Text, &[first, second], None).unwrap();
    assert_eq!(out, [&[0x81, 3][..], "€".as_bytes()].concat());
    for parts in [&[first][..], &[second], &[second, first], &[b"\xff"]] {
        out.clear();
        assert_eq!(ws::write_frame(&mut out, Opcode::Text, parts, None), Err(Error::NotUtf8));
        assert!(out.is_empty());
    }
    assert_eq!(WebSocket::server().encoding_text().encode_payload(first, &mut out), Err(Error::NotUtf8));
    assert!(out.is_empty());
}

#[test]
fn a_client_does_not_encode_without_a_key_nor_a_server_with_one() {
    let mut out = Vec::new();
    assert_eq!(WebSocket::client().encode(Frame::text("x"), &mut out), Err(Error::NoMask));
    assert_eq!(WebSocket::client().encode_payload(b"x", &mut out), Err(Error::NoMask));
    assert_eq!(WebSocket::server().encode(Frame::text("x").masked(KEY), &mut out), Err(Error::Masked));
    assert!(out.is_empty());
}

#[test]
fn control_frames_that_are_too_long_are_not_written() {
    let mut out = Vec::new();
    let refused = Err(Error::PayloadTooLarge { length: 126, limit: 125 });
    assert_eq!(ws::ping(&mut out, &[0; 126], None), refused);
    assert_eq!(ws::pong(&mut out, &[0; 126], None), refused);
    assert_eq!(WebSocket::server().encode(Frame::ping(&[0; 126]), &mut out), refused);
    let reason = "x".repeat(124);
    assert_eq!(ws::close(&mut out, Some(ws::Close { code: CloseCode::NORMAL, reason: &reason }), None), refused);
    assert!(out.is_empty());
}
