//! Feeds a codec as an engine does, holds it to its contract at every step, and checks that a stream means the same however
//! it is cut. For the tests of codecs; with the feature `testing`.
//!
//! A network cuts streams where it likes, so a codec that is right for whole messages may still be wrong. [`Check`] gives a
//! stream to the codec whole, byte by byte, split in two at every byte, and in random pieces. It panics where
//!
//! - the messages or the error depend on the cuts;
//! - [`Decoded::Message`] or [`Decoded::Taken`] takes no bytes, or more than there are;
//! - [`Decoded::Partial`] needs no more than there is, needs less than before, or a message is found in fewer bytes than it
//!   needed;
//! - bytes that follow a message were changed.
//!
//! ```
//! use gannet_proto::testing::{Check, encoded};
//! use gannet_proto::{FrameError, LengthPrefixed, Lines};
//!
//! let outcome = Check::new(&Lines::new().limit(4)).run(b"ab\r\ncd\ntoo long\n", |line| line.to_vec());
//! assert_eq!(outcome.messages, [b"ab", b"cd"]);
//! assert!(matches!(outcome.error, Some(error) if FrameError::find(&error).is_some()));
//!
//! let frame = encoded(&LengthPrefixed::u16_be(), &[b"hel", b"lo"])?;
//! let outcome = Check::new(&LengthPrefixed::u16_be()).run(&frame, |payload| payload.to_vec());
//! assert_eq!((outcome.messages, outcome.error), (vec![b"hello".to_vec()], None));
//! # Ok::<(), gannet_proto::length_prefixed::Error>(())
//! ```

use std::error::Error;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::{Codec, Decoded, FrameError};

/// When a message that is not complete is shown to the codec again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Patience {
    /// When as many bytes have arrived as the codec asked for.
    Waits,
    /// After every chunk. Then the codec must not be able to do anything with fewer bytes than it
    /// asked for.
    Asks,
}

/// Tells what became of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome<T, E> {
    /// The messages, in order.
    pub messages: Vec<T>,
    /// What ended the stream before its time, or what [`Codec::finish`] said of its end.
    pub error: Option<E>,
    /// The most bytes that the codec ever asked for.
    pub largest_need: usize,
}

/// Gives `chunks` to `codec` one after the other, then ends the stream. Each message goes through `keep`, which copies what
/// the test wants to know of it.
///
/// # Panics
///
/// The codec breaks its contract.
pub fn feed<'c, C: Codec, T>(
    codec: &C,
    patience: Patience,
    chunks: impl IntoIterator<Item = &'c [u8]>,
    keep: impl for<'a> Fn(C::Message<'a>) -> T,
) -> Outcome<T, C::Error> {
    feed_from(codec, C::State::default(), patience, chunks, keep)
}

/// Gives `chunks` to `codec` as [`feed`] does, for a connection that begins in this state.
///
/// # Panics
///
/// The codec breaks its contract.
pub fn feed_from<'c, C: Codec, T>(
    codec: &C,
    mut state: C::State,
    patience: Patience,
    chunks: impl IntoIterator<Item = &'c [u8]>,
    keep: impl for<'a> Fn(C::Message<'a>) -> T,
) -> Outcome<T, C::Error> {
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
                    assert!(have >= needed, "a message in {have} bytes, but the codec needed {needed}");
                    assert!((1..=have).contains(&consumed), "a message took {consumed} of {have} bytes");
                    outcome.messages.push(keep(message));
                    start += consumed;
                    delivered = consumed;
                    needed = 1;
                }
                Ok(Decoded::Taken { consumed }) => {
                    assert!(have >= needed, "bytes taken of {have}, but the codec needed {needed}");
                    assert!((1..=have).contains(&consumed), "the codec took {consumed} of {have} bytes");
                    start += consumed;
                    needed = 1;
                }
                Ok(Decoded::Partial { need }) => {
                    assert!(need > have, "the codec needs {need} bytes and was given {have}");
                    assert!(need >= needed, "the codec needs {need} bytes after it needed {needed}");
                    outcome.largest_need = outcome.largest_need.max(need);
                    needed = need;
                    break;
                }
                Err(error) => {
                    assert!(have >= needed, "an error in {have} bytes, but the codec needed {needed}: {error}");
                    outcome.error = Some(error);
                    return outcome;
                }
            }
            if delivered < have {
                assert!(carry[start..] == before[delivered..], "the codec changed what follows a message");
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

/// Encodes one message into a buffer of its own.
///
/// # Errors
///
/// As [`Codec::encode`].
///
/// # Panics
///
/// The codec fails although it has written something.
pub fn encoded<C: Codec>(codec: &C, message: C::Outgoing<'_>) -> Result<Vec<u8>, C::Error> {
    let mut bytes = Vec::new();
    let result = codec.encode(message, &mut bytes);
    assert!(result.is_ok() || bytes.is_empty(), "a codec that fails has written {} bytes", bytes.len());
    result.map(|()| bytes)
}

/// Cuts `stream` at the offsets `cuts`, each taken modulo the stream's length.
pub fn pieces<'s, N: Copy + Into<usize>>(stream: &'s [u8], cuts: &[N]) -> Vec<&'s [u8]> {
    let mut offsets: Vec<usize> = cuts.iter().map(|&cut| cut.into() % stream.len().max(1)).collect();
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

/// Whether two errors say the same, when a stream was cut in different ways.
///
/// How much of a message had been seen depends on the cuts. So two [`FrameError::TooLarge`] are the same with the same
/// limit, and two [`FrameError::Truncated`] always are. Other errors are the same with the same text.
#[must_use]
pub fn is_same_error(one: &(dyn Error + 'static), other: &(dyn Error + 'static)) -> bool {
    match (FrameError::find(one), FrameError::find(other)) {
        (Some(FrameError::TooLarge { limit: one, .. }), Some(FrameError::TooLarge { limit: other, .. })) => {
            one == other
        }
        (Some(FrameError::Truncated { .. }), Some(FrameError::Truncated { .. })) => true,
        _ => one.to_string() == other.to_string(),
    }
}

/// Checks that a stream means the same to a codec however it is cut: see the [module](self).
///
/// Splitting at every byte takes time in proportion to the square of the stream's length, so keep streams short: a few
/// messages of each kind, and each error once.
#[must_use = "a check is made by `run`"]
pub struct Check<'c, C: Codec> {
    codec: &'c C,
    state: Box<dyn Fn() -> C::State + 'c>,
    splits: usize,
    rounds: usize,
    seed: Option<u64>,
}

impl<C: Codec> std::fmt::Debug for Check<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { splits, rounds, seed, .. } = self;
        f.debug_struct("Check")
            .field("splits", splits)
            .field("rounds", rounds)
            .field("seed", seed)
            .finish_non_exhaustive()
    }
}

impl<'c, C: Codec> Check<'c, C> {
    /// A check of this codec.
    pub fn new(codec: &'c C) -> Self {
        Self { codec, state: Box::new(C::State::default), splits: 4096, rounds: 16, seed: None }
    }

    /// Sets how each connection's state is made, in place of `Default`.
    pub fn state(self, make: impl Fn() -> C::State + 'c) -> Self {
        Self { state: Box::new(make), ..self }
    }

    /// Sets at how many bytes a stream is split in two, counted from its start. 4,096 by default.
    pub fn splits(self, bytes: usize) -> Self {
        Self { splits: bytes, ..self }
    }

    /// Sets how often a stream is cut into random pieces. 16 by default.
    pub fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }

    /// Sets the seed of the random cuts, to repeat a check that has failed: the failure prints its seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Makes the check, and gives back what became of the whole stream. Each message goes through `keep`, which copies what
    /// the test wants to know of it. The largest need is that of all ways to cut the stream.
    ///
    /// # Panics
    ///
    /// The stream means something else when it is cut differently, or the codec breaks its contract.
    pub fn run<T: PartialEq + Debug>(
        &self,
        stream: &[u8],
        keep: impl for<'a> Fn(C::Message<'a>) -> T,
    ) -> Outcome<T, C::Error> {
        let mut whole = feed_from(self.codec, (self.state)(), Patience::Waits, [stream], &keep);
        let mut largest_need = whole.largest_need;
        let mut check = |chunks: &[&[u8]], how: &dyn Fn() -> String| {
            // First the one that says more of what is wrong.
            for patience in [Patience::Asks, Patience::Waits] {
                let cut = feed_from(self.codec, (self.state)(), patience, chunks.iter().copied(), &keep);
                largest_need = largest_need.max(cut.largest_need);
                assert_eq!(cut.messages, whole.messages, "other messages where the stream is cut {}", how());
                let same = match (&cut.error, &whole.error) {
                    (None, None) => true,
                    (Some(cut), Some(whole)) => is_same_error(cut, whole),
                    _ => false,
                };
                assert!(same, "{:?} and not {:?} where the stream is cut {}", cut.error, whole.error, how());
            }
        };

        check(&stream.chunks(1).collect::<Vec<_>>(), &|| "at every byte".to_owned());
        for at in 1..stream.len().min(self.splits.saturating_add(1)) {
            let (front, back) = stream.split_at(at);
            check(&[front, back], &|| format!("in two at byte {at}"));
        }
        let seed = self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let mut random = Random(seed);
        for round in 0..self.rounds {
            let count = 1 + random.below(stream.len().min(16));
            let cuts: Vec<usize> = (0..count).map(|_| random.below(stream.len())).collect();
            let how = || format!("at {cuts:?}, in round {round} of the random cuts; to repeat it: Check::seed({seed})");
            check(&pieces(stream, &cuts), &how);
        }
        whole.largest_need = largest_need;
        whole
    }
}

/// Numbers by chance, the same for the same seed.
struct Random(u64);

impl Random {
    /// A number below `limit`; 0 where that is 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The high bits of such a generator are the good ones.
        ((self.0 >> 33) as usize) % limit.max(1)
    }
}
