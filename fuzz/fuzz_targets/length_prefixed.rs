//! Any bytes, cut anywhere, are the same frames, whatever the header; frames are what they were
//! when they are encoded again, and the codec keeps its contract on the way.

#![no_main]

use gannet_proto::length_prefixed::Header;
use gannet_proto::testing::{Patience, feed, pieces};
use gannet_proto::{Codec, LengthPrefixed};
use libfuzzer_sys::fuzz_target;

/// The kind of header, the limit, the cuts, the stream.
type Input = (u8, u16, Vec<u16>, Vec<u8>);

fuzz_target!(|input: Input| {
    match input.0 % 15 {
        0 => check(LengthPrefixed::u8(), &input),
        1 => check(LengthPrefixed::u16_be(), &input),
        2 => check(LengthPrefixed::u16_le(), &input),
        3 => check(LengthPrefixed::u32_be(), &input),
        4 => check(LengthPrefixed::u32_le(), &input),
        5 => check(LengthPrefixed::u64_be(), &input),
        6 => check(LengthPrefixed::u64_le(), &input),
        7 => check(LengthPrefixed::u8().including_header(), &input),
        8 => check(LengthPrefixed::u16_be().including_header(), &input),
        9 => check(LengthPrefixed::u16_le().including_header(), &input),
        10 => check(LengthPrefixed::u32_be().including_header(), &input),
        11 => check(LengthPrefixed::u32_le().including_header(), &input),
        12 => check(LengthPrefixed::u64_be().including_header(), &input),
        13 => check(LengthPrefixed::u64_le().including_header(), &input),
        _ => check(LengthPrefixed::varint(), &input),
    }
});

fn check<H: Header>(frames: LengthPrefixed<H>, (_, limit, cuts, stream): &Input) {
    let limit = usize::from(*limit);
    let frames = frames.limit(limit);
    let whole = feed(&frames, Patience::Waits, [&stream[..]], <[u8]>::to_vec);

    // Each payload has one encoding, so the messages give back the bytes they were read from.
    let mut again = Vec::new();
    for message in &whole.messages {
        assert!(message.len() <= limit);
        let encoded = frames.encode(&[message], &mut again);
        encoded.expect("it was in a frame before");
    }
    assert!(stream.starts_with(&again));
    assert_eq!(again.len() == stream.len(), whole.error.is_none());

    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(stream, cuts), stream.chunks(1).collect()] {
            let cut = feed(&frames, patience, chunks, <[u8]>::to_vec);
            assert_eq!(cut.messages, whole.messages);
            assert_eq!(cut.error, whole.error);
            // The largest header has ten bytes.
            assert!(cut.largest_need <= limit + 10);
        }
    }
}
