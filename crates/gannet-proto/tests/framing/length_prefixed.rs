//! What a service sees that talks in length-prefixed frames.

use gannet_proto::length_prefixed::{Error, Header, U16Le, U32Be};
use gannet_proto::testing::{Outcome, Patience, feed, pieces};
use gannet_proto::{Codec, Decoded, FrameError, LengthPrefixed, Sink};
use proptest::prelude::*;

const BOTH: [Patience; 2] = [Patience::Waits, Patience::Asks];

fn encoded<H: Header>(frames: &LengthPrefixed<H>, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    frames.encode(parts, &mut out).expect("the header can express it");
    out
}

fn read<H: Header>(frames: &LengthPrefixed<H>, stream: &[u8]) -> Outcome<Vec<u8>, Error> {
    feed(frames, Patience::Waits, [stream], <[u8]>::to_vec)
}

fn first<H: Header>(frames: &LengthPrefixed<H>, input: &[u8]) -> Result<Decoded<Vec<u8>>, Error> {
    let mut input = input.to_vec();
    Ok(frames.decode(&mut (), &mut input)?.map(|message| message.to_vec()))
}

fn too_large<T>(length: u64, limit: usize) -> Result<T, Error> {
    Err(Error::Frame(FrameError::TooLarge { length, limit }))
}

/// Runs `$body` for every kind of header, with `$frames` and what the reference must know of it.
macro_rules! for_every_header {
    (|$frames:ident, $shape:ident| $body:block) => {{
        for_every_header!(@ $frames $shape $body
            u8 1 true, u16_be 2 true, u16_le 2 false, u32_be 4 true, u32_le 4 false,
            u64_be 8 true, u64_le 8 false);
        let $frames = LengthPrefixed::varint();
        let $shape = Shape::Varint;
        $body
    }};
    (@ $frames:ident $shape:ident $body:block $($make:ident $size:literal $big:literal),*) => {$(
        {
            let $frames = LengthPrefixed::$make();
            let $shape = Shape::Fixed { size: $size, big: $big, included: false };
            $body
        }
        {
            let $frames = LengthPrefixed::$make().including_header();
            let $shape = Shape::Fixed { size: $size, big: $big, included: true };
            $body
        }
    )*};
}

#[test]
fn the_default_is_four_bytes_most_significant_first_that_count_the_payload() {
    assert_eq!(LengthPrefixed::<U32Be>::default(), LengthPrefixed::u32_be());
    let frames: LengthPrefixed = LengthPrefixed::default();
    assert_eq!(encoded(&frames, &[b"ab", b"", b"c"]), b"\0\0\0\x03abc");
}

#[test]
fn a_header_has_the_size_and_order_that_its_name_says() {
    let x = &[&b"x"[..]];
    assert_eq!(encoded(&LengthPrefixed::u8(), x), [1, b'x']);
    assert_eq!(encoded(&LengthPrefixed::u16_be(), x), [0, 1, b'x']);
    assert_eq!(encoded(&LengthPrefixed::u16_le(), x), [1, 0, b'x']);
    assert_eq!(encoded(&LengthPrefixed::u32_be(), x), [0, 0, 0, 1, b'x']);
    assert_eq!(encoded(&LengthPrefixed::u32_le(), x), [1, 0, 0, 0, b'x']);
    assert_eq!(encoded(&LengthPrefixed::u64_be(), x), *b"\0\0\0\0\0\0\0\x01x");
    assert_eq!(encoded(&LengthPrefixed::u64_le(), x), *b"\x01\0\0\0\0\0\0\0x");
    assert_eq!(encoded(&LengthPrefixed::varint(), x), [1, b'x']);
}

#[test]
fn a_variable_header_grows_by_a_byte_for_every_seven_bits() {
    let frames = LengthPrefixed::varint();
    assert_eq!(encoded(&frames, &[&[0; 127]])[..1], [0x7f]);
    assert_eq!(encoded(&frames, &[&[0; 128]])[..2], [0x80, 0x01]);
    assert_eq!(encoded(&frames, &[&[0; 300]])[..2], [0xac, 0x02]);
    assert_eq!(encoded(&frames, &[&[0; 16_384]])[..3], [0x80, 0x80, 0x01]);
}

#[test]
fn a_header_that_counts_itself_says_so_much_more() {
    let frames = LengthPrefixed::u16_be().including_header();
    assert_eq!(encoded(&frames, &[b"abc"]), b"\0\x05abc");
    assert_eq!(read(&frames, b"\0\x05abc\0\x02").messages, [&b"abc"[..], b""]);
}

#[test]
fn a_length_smaller_than_the_header_it_counts_is_refused() {
    let frames = LengthPrefixed::u32_le().including_header();
    for length in 0..4 {
        assert_eq!(first(&frames, &[length, 0, 0, 0]), Err(Error::BadLength { length: u64::from(length), header: 4 }));
    }
}

#[test]
fn an_empty_payload_is_a_message() {
    for_every_header!(|frames, _shape| {
        let stream = encoded(&frames, &[]);
        assert_eq!(first(&frames, &stream), Ok(Decoded::Message { message: Vec::new(), consumed: stream.len() }));
    });
}

#[test]
fn what_is_needed_is_the_header_and_then_the_frame() {
    let frames = LengthPrefixed::u32_be();
    let stream = b"\0\0\0\x03abc";
    for have in 0..4 {
        assert_eq!(first(&frames, &stream[..have]), Ok(Decoded::Partial { need: 4 }));
    }
    for have in 4..7 {
        assert_eq!(first(&frames, &stream[..have]), Ok(Decoded::Partial { need: 7 }));
    }

    let frames = LengthPrefixed::varint();
    assert_eq!(first(&frames, &[]), Ok(Decoded::Partial { need: 1 }));
    assert_eq!(first(&frames, &[0xac]), Ok(Decoded::Partial { need: 2 }));
    assert_eq!(first(&frames, &[0xac, 0x02]), Ok(Decoded::Partial { need: 302 }));
}

#[test]
fn a_payload_at_the_limit_is_accepted_and_one_byte_more_refused() {
    for_every_header!(|frames, _shape| {
        let stream = encoded(&frames, &[&[7; 100]]);
        assert_eq!(read(&frames.limit(100), &stream).messages, [[7; 100]]);
        assert_eq!(read(&frames.limit(99), &stream).error, too_large::<()>(100, 99).err());
    });
}

#[test]
fn a_payload_over_the_limit_is_refused_when_its_header_is_read() {
    let default: LengthPrefixed = LengthPrefixed::default();
    assert_eq!(first(&default, &[0, 0x10, 0, 0]), Ok(Decoded::Partial { need: 4 + 1_048_576 }));
    assert_eq!(first(&default, &[0, 0x10, 0, 1]), too_large(1_048_577, 1_048_576));
}

#[test]
fn a_limit_of_nothing_allows_empty_payloads() {
    let frames = LengthPrefixed::u8().limit(0);
    let outcome = read(&frames, &[0, 0, 1, b'x']);
    assert_eq!(outcome.messages, [b"", b""]);
    assert_eq!(outcome.error, too_large::<()>(1, 0).err());
}

#[test]
fn the_largest_lengths_are_refused_whatever_the_limit() {
    let limit = isize::MAX as usize - 10;
    for length in [u64::MAX, u64::MAX - 1, u64::MAX - 8, limit as u64 + 9] {
        let frames = LengthPrefixed::u64_be().limit(usize::MAX);
        let refused = too_large(length, limit);
        assert_eq!(first(&frames, &length.to_be_bytes()), refused);

        let refused = too_large(length - 8, limit);
        let frames = frames.including_header();
        assert_eq!(first(&frames, &length.to_be_bytes()), refused);

        let frames = LengthPrefixed::varint().limit(usize::MAX);
        assert_eq!(first(&frames, &leb128(length)), too_large(length, limit));
    }
}

#[test]
fn the_largest_limit_leaves_room_for_the_header() {
    let limit = isize::MAX as usize - 10;
    let frames = LengthPrefixed::u64_le().limit(usize::MAX);
    assert_eq!(first(&frames, &(limit as u64).to_le_bytes()), Ok(Decoded::Partial { need: limit + 8 }));
}

#[test]
fn an_overlong_length_is_refused() {
    let frames = LengthPrefixed::varint();
    let overlong = |bytes| Err(Error::OverlongLength { bytes });
    assert_eq!(first(&frames, &[0x80, 0x00]), overlong(2));
    assert_eq!(first(&frames, &[0xff, 0x80, 0x00]), overlong(3));
    let mut longest = [0x80; 10];
    longest[9] = 0x00;
    assert_eq!(first(&frames, &longest), overlong(10));
}

#[test]
fn a_length_of_more_than_64_bits_is_refused() {
    let frames = LengthPrefixed::varint();
    for last in [0x02, 0x7f, 0x80, 0x81, 0xff] {
        let mut input = [0xff; 10];
        input[9] = last;
        assert_eq!(first(&frames, &input), Err(Error::OverflowingLength { last }));
    }
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_an_error() {
    for_every_header!(|frames, _shape| {
        let stream = encoded(&frames, &[b"abc"]);
        for have in 1..stream.len() {
            let outcome = read(&frames, &stream[..have]);
            assert_eq!(outcome.error, Some(Error::Frame(FrameError::Truncated { have })));
        }
    });
}

#[test]
fn a_payload_that_the_header_cannot_express_is_not_sent() {
    let mut out = b"before".to_vec();
    let refused = LengthPrefixed::u8().encode(&[&[0; 200], &[0; 56]], &mut out);
    assert_eq!(refused, Err(Error::PayloadTooLarge { length: 256, limit: 255 }));

    let frames = LengthPrefixed::<U16Le>::default().including_header();
    let refused = frames.encode(&[&[0; 65_534]], &mut out);
    assert_eq!(refused, Err(Error::PayloadTooLarge { length: 65_534, limit: 65_533 }));
    assert_eq!(out, b"before");

    assert_eq!(LengthPrefixed::u8().encode(&[&[0; 255]], &mut out), Ok(()));
    assert_eq!(frames.encode(&[&[0; 65_533]], &mut out), Ok(()));
}

#[test]
fn the_limit_is_on_what_is_received_not_on_what_is_sent() {
    assert_eq!(encoded(&LengthPrefixed::u8().limit(1), &[b"ab"]), b"\x02ab");
}

#[test]
fn a_sink_is_told_what_to_reserve_and_given_every_part() {
    #[derive(Default)]
    struct Recorder(Vec<usize>, Vec<Vec<u8>>);
    impl Sink for Recorder {
        fn put(&mut self, bytes: &[u8]) {
            self.1.push(bytes.to_vec());
        }
        fn reserve(&mut self, additional: usize) {
            self.0.push(additional);
        }
    }

    let mut recorder = Recorder::default();
    let sent = LengthPrefixed::u16_be().encode(&[b"ab", b"c"], &mut recorder);
    assert_eq!(sent, Ok(()));
    assert_eq!(recorder.0, [5]);
    assert_eq!(recorder.1, [&b"\0\x03"[..], b"ab", b"c"]);
}

/// What the reference must know of a header.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Fixed { size: usize, big: bool, included: bool },
    Varint,
}

/// The shortest LEB128 encoding, bit by bit.
fn leb128(value: u64) -> Vec<u8> {
    let groups = (64 - value.leading_zeros()).div_ceil(7).max(1);
    (0..groups)
        .map(|group| {
            let bits = ((u128::from(value) >> (7 * group)) % 128) as u8;
            if group + 1 == groups { bits } else { bits + 128 }
        })
        .collect()
}

/// The header at the front of `stream`, in numbers that cannot overflow: its length and its size.
fn reference_header(shape: Shape, stream: &[u8]) -> Result<Option<(u128, usize)>, Error> {
    match shape {
        Shape::Fixed { size, big, included } => {
            if stream.len() < size {
                return Ok(None);
            }
            let mut digits = stream[..size].to_vec();
            if !big {
                digits.reverse();
            }
            let value = digits.iter().fold(0, |value, &digit| value * 256 + u128::from(digit));
            match (included, value < size as u128) {
                (true, true) => Err(Error::BadLength { length: value as u64, header: size }),
                (true, false) => Ok(Some((value - size as u128, size))),
                (false, _) => Ok(Some((value, size))),
            }
        }
        Shape::Varint => {
            if let Some(size) = stream.iter().take(10).position(|&byte| byte < 128).map(|at| at + 1) {
                let digits = stream[..size].iter().rev();
                let value = digits.fold(0, |value, &digit| value * 128 + u128::from(digit % 128));
                match u64::try_from(value) {
                    Err(_) => Err(Error::OverflowingLength { last: stream[9] }),
                    Ok(value) if leb128(value) != stream[..size] => Err(Error::OverlongLength { bytes: size }),
                    Ok(value) => Ok(Some((u128::from(value), size))),
                }
            } else if stream.len() >= 10 {
                Err(Error::OverflowingLength { last: stream[9] })
            } else {
                Ok(None)
            }
        }
    }
}

/// The same protocol, read from the whole stream at once.
fn reference(shape: Shape, limit: usize, mut stream: &[u8]) -> (Vec<Vec<u8>>, Option<Error>) {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let truncated = Error::Frame(FrameError::Truncated { have: stream.len() });
        let (length, size) = match reference_header(shape, stream) {
            Ok(Some(header)) => header,
            Ok(None) => return (messages, Some(truncated)),
            Err(error) => return (messages, Some(error)),
        };
        if length > limit as u128 {
            let length = length as u64;
            return (messages, Some(Error::Frame(FrameError::TooLarge { length, limit })));
        }
        let end = size + length as usize;
        if stream.len() < end {
            return (messages, Some(truncated));
        }
        messages.push(stream[size..end].to_vec());
        stream = &stream[end..];
    }
    (messages, None)
}

/// Bytes that are headers more often than chance would have it.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => Just(0),
        3 => 1_u8..12,
        2 => Just(0x80),
        2 => Just(0xff),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..80)
}

proptest! {
    #[test]
    fn frames_arrive_as_they_were_sent_however_the_stream_is_cut(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        for_every_header!(|frames, _shape| {
            let mut stream = Vec::new();
            for message in &messages {
                let middle = message.len() / 2;
                let parts = [&message[..middle], &message[middle..]];
                prop_assert_eq!(frames.encode(&parts, &mut stream), Ok(()));
            }

            for patience in BOTH {
                for chunks in [pieces(&stream, &cuts), stream.chunks(1).collect()] {
                    let outcome = feed(&frames, patience, chunks, <[u8]>::to_vec);
                    prop_assert_eq!(outcome.error, None);
                    prop_assert_eq!(&outcome.messages, &messages);
                }
            }
        });
    }

    #[test]
    fn any_bytes_are_read_as_the_reference_reads_them(
        stream in noise(),
        limit in prop_oneof![0_usize..24, 200_usize..70_000],
        cuts in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        for_every_header!(|frames, shape| {
            let frames = frames.limit(limit);
            let (messages, error) = reference(shape, limit, &stream);
            for patience in BOTH {
                for chunks in [vec![&stream[..]], pieces(&stream, &cuts), stream.chunks(1).collect()] {
                    let outcome = feed(&frames, patience, chunks, <[u8]>::to_vec);
                    prop_assert_eq!(&outcome.messages, &messages);
                    prop_assert_eq!(&outcome.error, &error);
                    prop_assert!(outcome.largest_need <= limit + 10);
                }
            }
        });
    }

    #[test]
    fn a_stream_may_be_cut_in_two_anywhere(stream in noise(), limit in 0_usize..24) {
        for_every_header!(|frames, shape| {
            let frames = frames.limit(limit);
            let (messages, error) = reference(shape, limit, &stream);
            for cut in 0..=stream.len() {
                let (front, back) = stream.split_at(cut);
                let outcome = feed(&frames, Patience::Waits, [front, back], <[u8]>::to_vec);
                prop_assert_eq!(&outcome.messages, &messages);
                prop_assert_eq!(&outcome.error, &error);
            }
        });
    }

    #[test]
    fn every_length_is_read_as_it_is_written(length in any::<u64>(), shift in 0_u32..64) {
        let length = length >> shift;
        let read = first(&LengthPrefixed::varint().limit(0), &leb128(length));
        if length == 0 {
            prop_assert_eq!(read, Ok(Decoded::Message { message: Vec::new(), consumed: 1 }));
        } else {
            prop_assert_eq!(read, too_large(length, 0));
        }
    }
}
