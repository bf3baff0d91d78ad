//! That what arrives in small pieces does not cost more than its size, with every codec: bytes looked at are counted,
//! not time.

use std::cell::Cell;

use proptest::prelude::*;

use crate::http::{Requests, Responses};
use crate::length_prefixed::Varint;
use crate::resp::{Commands, Replies, upcoming_keys};
use crate::ws::{Opcode, WebSocket, write_fragment};
use crate::{Codec, Decoded, LengthPrefixed, Lines};

thread_local! {
    static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

/// Notes that so many bytes were looked at, or moved.
pub(crate) fn looked_at(bytes: usize) {
    LOOKED_AT.with(|total| total.set(total.get() + bytes));
}

/// What a stream cost.
#[derive(Debug)]
struct Cost {
    /// Bytes that were looked at.
    looked_at: usize,
    /// How often the codec was asked.
    calls: usize,
}

/// The cost of a stream whose pieces have these sizes, over and over again. The codec is asked after each piece, which
/// is as often as any caller may.
fn cost<C: Codec>(codec: &C, mut state: C::State, stream: &[u8], sizes: &[usize]) -> Cost {
    LOOKED_AT.set(0);
    let mut stream = stream.to_vec();
    let (mut start, mut end, mut calls) = (0, 0, 0);
    for size in sizes.iter().cycle() {
        end = stream.len().min(end + size);
        while start < end {
            calls += 1;
            match codec.decode(&mut state, &mut stream[start..end]) {
                Ok(Decoded::Message { consumed, .. } | Decoded::Taken { consumed }) => start += consumed,
                Ok(Decoded::Partial { .. }) => break,
                Err(error) => panic!("{error}, {start} bytes into the stream, of which {end} have come"),
            }
        }
        if end == stream.len() {
            break;
        }
    }
    Cost { looked_at: LOOKED_AT.get(), calls }
}

/// Sizes of pieces: one for all, or several by turns.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        (1..5_000_usize).prop_map(|size| vec![size]),
        prop::collection::vec(prop_oneof![1..10_usize, 1..5_000_usize], 1..20),
    ]
}

fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) }
}

/// Holds a stream to `times` looks at each byte and `call` bytes for each call, however it is cut.
macro_rules! cost_is_linear {
    ($name:ident, $times:expr, $call:expr, $codec:expr, $stream:expr) => {
        cost_is_linear!($name, $times, $call, $codec, Default::default(), $stream);
    };
    ($name:ident, $times:expr, $call:expr, $codec:expr, $state:expr, $stream:expr) => {
        proptest! {
            #![proptest_config(cases())]

            #[test]
            fn $name(sizes in sizes()) {
                let stream: Vec<u8> = $stream;
                let Cost { looked_at, calls } = cost(&$codec, $state, &stream, &sizes);
                prop_assert!(
                    looked_at <= $times * stream.len() + $call * calls,
                    "{looked_at} bytes looked at of {} in {calls} calls", stream.len()
                );
            }
        }
    };
}

cost_is_linear!(a_long_line_is_searched_once, 1, 0, Lines::new(), [vec![b'x'; 60_000], b"\r\n".to_vec()].concat());
cost_is_linear!(short_lines_are_searched_once, 1, 0, Lines::new(), b"a line\n".repeat(5_000));

// A header is read at each call.
cost_is_linear!(a_long_frame_is_not_looked_at, 0, 4, LengthPrefixed::u32_be(), {
    let mut frame = Vec::new();
    LengthPrefixed::u32_be().encode(&[&[7; 50_000]], &mut frame).expect("within the limit");
    frame
});
cost_is_linear!(frames_of_any_size_are_not_looked_at, 0, 10, LengthPrefixed::<Varint>::varint(), {
    let mut frames = Vec::new();
    for size in 0..300 {
        LengthPrefixed::varint().encode(&[&vec![7; size]], &mut frames).expect("within the limit");
    }
    frames
});

/// A head with everything but its last line.
fn head(first: &str) -> String {
    let fields: String = (0..40).map(|index| format!("X-Field-{index}: {}\r\n", "value".repeat(40))).collect();
    format!("{first}\r\nHost: a\r\n{fields}")
}

/// A body in chunks: large ones, small ones, and ones with extensions; then trailer fields.
fn chunks() -> String {
    let trailer: String = (0..40).map(|index| format!("X-Trailer-{index}: {}\r\n", "value".repeat(40))).collect();
    let large = format!("4e20\r\n{}\r\n", "x".repeat(20_000));
    let extended = format!("1;name=\"{}\"\r\nx\r\n", "value".repeat(47));
    [&large, &"1\r\nx\r\n".repeat(2_000), &extended.repeat(100), "0\r\n", &trailer, "\r\n"].concat()
}

// A head is searched once for its end, looked at when it comes and when its lines are whole, and parsed when its end was
// found and when the body is there.
cost_is_linear!(a_request_with_a_body_is_looked_at_five_times, 5, 0, Requests::new(), {
    let request = format!("{}Content-Length: 20000\r\n\r\n{}", head("POST /path HTTP/1.1"), "x".repeat(20_000));
    format!("\r\n\r\n{request}\r\n{request}").into_bytes()
});
// A chunk's line is searched for its end, looked at when it comes, and read; its data are moved.
cost_is_linear!(a_request_in_chunks_is_looked_at_five_times, 5, 0, Requests::new(), {
    let head = head("POST /path HTTP/1.1");
    format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunks()).repeat(2).into_bytes()
});
cost_is_linear!(a_request_that_asks_for_its_body_is_looked_at_four_times, 4, 0, Requests::new(), {
    let head = head("POST /path HTTP/1.1");
    format!("{head}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunks()).into_bytes()
});
cost_is_linear!(responses_are_looked_at_five_times, 5, 0, Responses::new(), {
    let head = head("HTTP/1.1 200 OK");
    let counted = format!("{head}Content-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunks());
    [counted, chunked].concat().repeat(2).into_bytes()
});
cost_is_linear!(a_response_until_the_end_is_not_looked_at_but_for_its_head, 1, 0, Responses::new(), {
    [&head("HTTP/1.1 200 OK"), "\r\n", &"x".repeat(60_000)].concat().into_bytes()
});

/// What clients mask with.
const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// A message in fragments of these sizes, with pings between.
fn fragments(opcode: Opcode, payload: &[u8], sizes: &[usize], mask: Option<[u8; 4]>) -> Vec<u8> {
    let (mut frames, mut at, mut sizes) = (Vec::new(), 0, sizes.iter().cycle());
    let mut put = |opcode, last, part: &[u8]| {
        write_fragment(&mut frames, opcode, last, &[part], mask).expect("short enough");
    };
    while at < payload.len() {
        let end = payload.len().min(at + sizes.next().expect("there are some"));
        let opcode = if at == 0 { opcode } else { Opcode::Continuation };
        put(opcode, end == payload.len(), &payload[at..end]);
        put(Opcode::Ping, true, b"?");
        at = end;
    }
    frames
}

// The mask is taken off, and text is checked. A header is read at each call.
cost_is_linear!(a_long_frame_of_text_is_looked_at_twice, 2, 14, WebSocket::server(), {
    fragments(Opcode::Text, "wörter ".repeat(7_000).as_bytes(), &[usize::MAX / 2], MASK)
});
// Fragments are put together, which moves them once and again where that has to grow, and text is checked twice.
cost_is_linear!(small_fragments_are_looked_at_a_few_times, 6, 14, WebSocket::server(), {
    fragments(Opcode::Text, "wörter ".repeat(2_000).as_bytes(), &[1, 2, 10], MASK)
});
cost_is_linear!(large_fragments_are_looked_at_a_few_times, 6, 14, WebSocket::server(), {
    fragments(Opcode::Text, "wörter ".repeat(7_000).as_bytes(), &[5_000, 1, 20_000], MASK)
});

// What is packed is unpacked once, and put together as other messages are.
#[cfg(feature = "deflate")]
cost_is_linear!(
    compressed_fragments_are_looked_at_a_few_times,
    8,
    14,
    WebSocket::client(),
    WebSocket::client().compressed_state(crate::ws::deflate::Params::new()),
    {
        // What has no pattern stays as long as it was.
        let mut seed = 1_u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .take(20_000)
        .collect();
        let mut packed = Vec::new();
        crate::ws::deflate::Params::new().server_deflater(1).binary(&mut packed, &bytes, None).expect("it is packed");
        // Two bytes, and two of its length.
        let mut frames = fragments(Opcode::Binary, &packed[4..], &[1, 2, 10, 500], None);
        frames[0] |= 0x40;
        frames
    }
);

// A whole command is walked through once. One that arrives in pieces is walked through twice. The line of a word that is
// not there is read at each call: its type, and at most ten digits.
cost_is_linear!(commands_are_walked_through_twice, 2, 11, Commands::new(), {
    let words = ["*4001\r\n$4\r\nMSET\r\n", &"$1\r\nx\r\n$10\r\n0123456789\r\n".repeat(2_000)].concat();
    let large = format!("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$30000\r\n{}\r\n", "x".repeat(30_000));
    [words.as_str(), &large, &"*1\r\n$4\r\nPING\r\n".repeat(1_000), &words].concat().into_bytes()
});
cost_is_linear!(lines_of_commands_are_searched_once, 1, 11, Commands::new(), {
    ["x ".repeat(20_000).as_str(), "\r\n", &"PING\r\n".repeat(1_000)].concat().into_bytes()
});
cost_is_linear!(replies_in_replies_are_walked_through_twice, 2, 22, Replies::new(), {
    let inner = ["%500\r\n", &"+x\r\n:1\r\n".repeat(500)].concat();
    let deep = ["*1\r\n".repeat(30).as_str(), &inner].concat();
    let all = ["*21\r\n", &inner.repeat(20), &deep, "$20000\r\n", &"x".repeat(20_000), "\r\n"].concat();
    all.repeat(2).into_bytes()
});

/// How many bytes are looked at when `stream` arrives in pieces of `size` bytes.
fn looked_at_in_pieces<C: Codec>(codec: &C, stream: &[u8], size: usize) -> usize {
    cost(codec, C::State::default(), stream, &[size]).looked_at
}

#[test]
fn a_million_words_in_small_pieces_are_walked_through_twice() {
    let stream = ["*1000000\r\n", &"$1\r\nx\r\n".repeat(1_000_000)].concat().into_bytes();
    let whole = stream.len();
    assert!(looked_at_in_pieces(&Commands::new(), &stream, whole) <= whole);
    for size in [100, 1024, 100_000] {
        let cost = looked_at_in_pieces(&Commands::new(), &stream, size);
        // A word that is cut is looked at again with the next piece.
        assert!(cost <= 2 * whole + 7 * (whole / size + 1), "{cost} bytes looked at of {whole}");
    }
}

#[test]
fn a_million_values_in_small_pieces_are_walked_through_twice() {
    let stream = ["*1000\r\n", &["%500\r\n", &"+x\r\n:1\r\n".repeat(500)].concat().repeat(1_000)].concat().into_bytes();
    let whole = stream.len();
    for size in [100, 1024, 100_000] {
        let cost = looked_at_in_pieces(&Replies::new(), &stream, size);
        assert!(cost <= 2 * whole + 7 * (whole / size + 1), "{cost} bytes looked at of {whole}");
    }
}

#[test]
fn lines_that_arrive_byte_by_byte_and_have_no_end_are_searched_once() {
    let line = |start: &str| [start, &"1".repeat(60_000)].concat().into_bytes();
    for start in ["*", "*1\r\n$", "x"] {
        let cost = looked_at_in_pieces(&Commands::new(), &line(start), 1);
        // A number is read up to its tenth digit before it is taken for an unusual one.
        assert!(cost <= 13 * 60_000, "{cost} bytes looked at behind {start}");
    }
    for start in ["+", "*1\r\n+"] {
        let cost = looked_at_in_pieces(&Replies::new(), &line(start), 1);
        assert!(cost <= 2 * 60_000, "{cost} bytes looked at behind {start}");
    }
}

#[test]
fn a_look_ahead_reads_the_lengths_of_what_is_there_once_and_passes_over_the_words() {
    let whole = ["*2000\r\n", &"$3\r\nkey\r\n".repeat(2_000)].concat();
    let stream = [&whole, &whole[..whole.len() - 10]].concat();
    LOOKED_AT.set(0);
    assert_eq!(upcoming_keys(stream.as_bytes()).count(), 1);
    assert!(LOOKED_AT.get() <= stream.len(), "{} bytes looked at of {}", LOOKED_AT.get(), stream.len());
}
