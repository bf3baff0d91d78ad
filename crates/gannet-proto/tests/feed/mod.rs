//! Feeds a codec as an engine does, and holds it to its contract at every step.
//!
//! Shared by the tests of all codecs and by the fuzz targets.

use gannet_proto::{Codec, DecodeError, Decoded};

/// When a partial message is shown to the codec again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// When as many bytes have arrived as the codec asked for.
    Waits,
    /// After every chunk. Then the codec must not be able to do anything with fewer bytes than it
    /// asked for.
    Asks,
}

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome<T> {
    /// The messages, in order.
    pub messages: Vec<T>,
    /// What ended the stream before its time.
    pub error: Option<DecodeError>,
    /// The most bytes that the codec ever asked for.
    pub largest_need: usize,
}

/// Gives `chunks` to `codec` one after the other, then ends the stream.
pub fn feed<'c, C: Codec, T>(
    codec: &C,
    patience: Patience,
    chunks: impl IntoIterator<Item = &'c [u8]>,
    keep: impl for<'a> Fn(C::Message<'a>) -> T,
) -> Outcome<T> {
    feed_from(codec, C::State::default(), patience, chunks, keep)
}

/// As [`feed`], for a connection that begins in another state.
pub fn feed_from<'c, C: Codec, T>(
    codec: &C,
    mut state: C::State,
    patience: Patience,
    chunks: impl IntoIterator<Item = &'c [u8]>,
    keep: impl for<'a> Fn(C::Message<'a>) -> T,
) -> Outcome<T> {
    let mut outcome = Outcome { messages: Vec::new(), error: None, largest_need: 0 };
    let mut carry = Vec::new();
    let mut needed = 1;

    for chunk in chunks {
        carry.extend_from_slice(chunk);
        if chunk.is_empty() || (patience == Patience::Waits && carry.len() < needed) {
            continue;
        }

        let mut start = 0;
        while start < carry.len() {
            let input = &mut carry[start..];
            let (have, before) = (input.len(), input.to_vec());
            let mut delivered = have;
            match codec.decode(&mut state, input) {
                Ok(Decoded::Message { message, consumed }) => {
                    assert!(have >= needed, "a message of fewer bytes than were needed");
                    assert!((1..=have).contains(&consumed), "{consumed} of {have} bytes");
                    outcome.messages.push(keep(message));
                    start += consumed;
                    delivered = consumed;
                    needed = 1;
                }
                Ok(Decoded::Taken { consumed }) => {
                    assert!(have >= needed, "fewer bytes taken than were needed");
                    assert!((1..=have).contains(&consumed), "{consumed} of {have} bytes");
                    start += consumed;
                    needed = 1;
                }
                Ok(Decoded::Partial { need }) => {
                    assert!(need > have, "{need} bytes needed, {have} given");
                    assert!(need >= needed, "{need} bytes needed after {needed}");
                    outcome.largest_need = outcome.largest_need.max(need);
                    needed = need;
                    break;
                }
                Err(error) => {
                    assert!(have >= needed, "an error in fewer bytes than were needed");
                    outcome.error = Some(error);
                    return outcome;
                }
            }
            if delivered < have {
                assert!(carry[start..] == before[delivered..], "what follows a message was changed");
            }
        }
        carry.drain(..start);
    }

    if !carry.is_empty() {
        match codec.finish(&mut state, &mut carry) {
            Ok(last) => outcome.messages.extend(last.map(keep)),
            Err(error) => outcome.error = Some(error),
        }
    }
    outcome
}

/// Cuts `stream` at the offsets `cuts`, each taken modulo the stream's length.
pub fn pieces<'s>(stream: &'s [u8], cuts: &[u16]) -> Vec<&'s [u8]> {
    let mut offsets: Vec<usize> = cuts.iter().map(|&cut| usize::from(cut) % stream.len().max(1)).collect();
    offsets.sort_unstable();

    let mut start = 0;
    let mut pieces = Vec::with_capacity(offsets.len() + 1);
    for offset in offsets {
        pieces.push(&stream[start..offset]);
        start = offset;
    }
    pieces.push(&stream[start..]);
    pieces
}
