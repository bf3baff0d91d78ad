//! Any bytes, cut anywhere, are the same WebSocket messages, for both roles, with compression and without; nothing is
//! larger than the limits allow, and the codec keeps its contract on the way.

#![no_main]

use gannet_proto::testing::{Patience, feed, feed_from, pieces};
use gannet_proto::ws::deflate::Params;
use gannet_proto::ws::{Message, WebSocket};
use libfuzzer_sys::fuzz_target;

/// Role and compression, the limits of frames and messages, the cuts, the stream.
type Input = (u8, u8, u16, Vec<u16>, Vec<u8>);

fuzz_target!(|input: Input| {
    let (kind, max_frame, max_message, cuts, stream) = input;
    let codec = if kind & 1 == 0 { WebSocket::server() } else { WebSocket::client() };
    let codec = codec.max_frame(max_frame.into()).max_message(max_message.into());
    let keep = |message: Message<'_>| {
        let (length, limit) = match &message {
            Message::Text(text) => (text.len(), max_message.into()),
            Message::Binary(bytes) => (bytes.len(), max_message.into()),
            Message::Ping(payload) | Message::Pong(payload) => (payload.len(), 125),
            Message::Close(close) => (close.map_or(0, |close| close.reason.len()), 123),
        };
        assert!(length <= limit);
        format!("{message:?}")
    };
    let read = |patience, chunks: Vec<&[u8]>| match kind / 2 % 3 {
        0 => feed(&codec, patience, chunks, keep),
        1 => feed_from(&codec, codec.compressed_state(Params::new()), patience, chunks, keep),
        _ => feed_from(&codec, codec.compressed_state(Params::without_takeover()), patience, chunks, keep),
    };

    let whole = read(Patience::Waits, vec![&stream]);
    if let Some(error) = &whole.error {
        assert!([1002, 1007, 1009].contains(&error.close_code().get()));
    }
    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(&stream, &cuts), stream.chunks(1).collect()] {
            let cut = read(patience, chunks);
            assert_eq!(cut.messages, whole.messages);
            assert_eq!(cut.error, whole.error);
            // The largest header has 14 bytes.
            assert!(cut.largest_need <= usize::from(max_frame).max(125) + 14);
        }
    }
});
