//! Frames that begin with their length.
//!
//! [`LengthPrefixed`] is the codec. The types here name the headers it can have; they are never
//! made, only written as `LengthPrefixed<U16Le>`.

mod error;
mod header;
mod varint;

use std::marker::PhantomData;

use crate::{Codec, Decoded, FrameError, Sink};
use header::Prefix;

pub use error::Error;
pub use header::{FixedHeader, Header, U8, U16Be, U16Le, U32Be, U32Le, U64Be, U64Le};
pub use varint::Varint;

/// Delivers each payload that has its length in front as a message.
///
/// The length is a number of 1, 2, 4 or 8 bytes in either byte order, or one of variable size
/// ([`Varint`]). It counts the payload, or the payload and itself
/// ([`including_header`](Self::including_header)). Unless configured otherwise it has 4 bytes, the
/// first one the most significant, and counts the payload. A payload may be empty.
///
/// # Limits
///
/// A payload may have 1 MiB unless [`limit`](Self::limit) says otherwise. A length over the limit
/// is refused when the header is read, before anything is reserved for it. The limit is on what is
/// received; [`encode`](Codec::encode) refuses what the header cannot express.
///
/// ```
/// use gannet_proto::{Codec, Decoded, LengthPrefixed};
///
/// const FRAMES: LengthPrefixed = LengthPrefixed::u32_be().including_header().limit(4096);
///
/// let mut bytes = Vec::new();
/// FRAMES.encode(&[b"hel", b"lo"], &mut bytes)?;
/// assert_eq!(bytes, b"\0\0\0\x09hello");
///
/// let decoded = FRAMES.decode(&mut (), &mut bytes)?;
/// assert_eq!(decoded, Decoded::Message { message: &b"hello"[..], consumed: 9 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A length of variable size cannot count itself, so this does not compile:
///
/// ```compile_fail,E0599
/// use gannet_proto::LengthPrefixed;
///
/// let frames = LengthPrefixed::varint().including_header();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthPrefixed<H: Header = U32Be> {
    limit: usize,
    /// How many bytes of the header the length counts: all or none.
    counted: u64,
    header: PhantomData<H>,
}

/// More than this, header included, no slice can hold. Keeps `header + payload` within `usize`.
const LARGEST_PAYLOAD: usize = isize::MAX as usize - varint::MAX_SIZE;

impl LengthPrefixed<U8> {
    /// Makes a codec whose length has one byte.
    #[must_use]
    pub const fn u8() -> Self {
        Self::new()
    }
}

impl LengthPrefixed<U16Be> {
    /// Makes a codec whose length has two bytes, the most significant first.
    #[must_use]
    pub const fn u16_be() -> Self {
        Self::new()
    }
}

impl LengthPrefixed<U16Le> {
    /// Makes a codec whose length has two bytes, the least significant first.
    #[must_use]
    pub const fn u16_le() -> Self {
        Self::new()
    }
}

impl LengthPrefixed<U32Be> {
    /// Makes a codec whose length has four bytes, the most significant first.
    #[must_use]
    pub const fn u32_be() -> Self {
        Self::new()
    }
}

impl LengthPrefixed<U32Le> {
    /// Makes a codec whose length has four bytes, the least significant first.
    #[must_use]
    pub const fn u32_le() -> Self {
        Self::new()
    }
}

impl LengthPrefixed<U64Be> {
    /// Makes a codec whose length has eight bytes, the most significant first.
    #[must_use]
    pub const fn u64_be() -> Self {
        Self::new()
    }
}

impl LengthPrefixed<U64Le> {
    /// Makes a codec whose length has eight bytes, the least significant first.
    #[must_use]
    pub const fn u64_le() -> Self {
        Self::new()
    }
}

impl LengthPrefixed<Varint> {
    /// Makes a codec whose length has one to ten bytes in the encoding of [`Varint`].
    #[must_use]
    pub const fn varint() -> Self {
        Self::new()
    }
}

impl<H: Header> LengthPrefixed<H> {
    /// The limit on a payload unless another is set: 1 MiB.
    pub const DEFAULT_LIMIT: usize = 1024 * 1024;

    const fn new() -> Self {
        Self { limit: Self::DEFAULT_LIMIT, counted: 0, header: PhantomData }
    }

    #[inline]
    fn take<'a>(&self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Error> {
        #[cfg(test)]
        crate::work::looked_at(H::MAX_SIZE);
        let (length, size) = match H::read(input)? {
            Prefix::Whole { length, size } => (length, size),
            Prefix::Partial { need } => return Ok(Decoded::Partial { need }),
        };
        let Some(payload) = length.checked_sub(self.counted) else {
            return Err(Error::BadLength { length, header: size });
        };
        if payload > self.limit as u64 {
            return Err(FrameError::TooLarge { length: payload, limit: self.limit }.into());
        }

        // Within the limit it fits `usize`, and the limit leaves room for the header.
        let end = size + payload as usize;
        Ok(match input.get(size..end) {
            Some(message) => Decoded::Message { message, consumed: end },
            None => Decoded::Partial { need: end },
        })
    }

    /// Sets the largest payload that is accepted, in bytes, the header not counted.
    ///
    /// No buffer can hold more than `isize::MAX` bytes, so a limit above that less 10 bytes (the
    /// largest header) is taken as that.
    #[must_use]
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = if bytes < LARGEST_PAYLOAD { bytes } else { LARGEST_PAYLOAD };
        self
    }
}

impl<H: FixedHeader> LengthPrefixed<H> {
    /// Makes the length count the header too. The smallest legal length is then the header's size.
    #[must_use]
    pub const fn including_header(mut self) -> Self {
        self.counted = H::SIZE as u64;
        self
    }
}

impl<H: Header> Default for LengthPrefixed<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Header> Codec for LengthPrefixed<H> {
    type Message<'a> = &'a [u8];
    type Outgoing<'a> = &'a [&'a [u8]];
    type Error = Error;
    type State = ();

    /// Takes one frame off `input`.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] for a payload over the limit, [`Error::BadLength`] for a
    /// length that should count its header and does not, and for a [`Varint`] also
    /// [`Error::OverlongLength`] and [`Error::OverflowingLength`].
    #[inline]
    fn decode<'a>(&self, (): &mut (), input: &'a mut [u8]) -> Result<Decoded<&'a [u8]>, Error> {
        self.take(input)
    }

    /// Takes one frame off `input`.
    fn decode_shared<'a>(&self, (): &mut (), input: &'a [u8]) -> Option<Result<Decoded<&'a [u8]>, Error>> {
        Some(self.take(input))
    }

    /// Writes the length, and the parts joined.
    ///
    /// # Errors
    ///
    /// [`Error::PayloadTooLarge`]: the header cannot express the payload's length.
    #[inline]
    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), Error> {
        // The same part may be given many times over, so the sum need not fit. What it saturates
        // at is over every limit.
        let payload = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let limit = (H::LARGEST - self.counted).min(LARGEST_PAYLOAD as u64);
        if payload as u64 > limit {
            return Err(Error::PayloadTooLarge { length: payload, limit });
        }

        out.reserve(H::MAX_SIZE + payload);
        H::write(payload as u64 + self.counted, out);
        for part in parts {
            out.put(part);
        }
        Ok(())
    }

    /// Writes the length and the payload.
    ///
    /// # Errors
    ///
    /// As [`encode`](Codec::encode).
    #[inline]
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), Error> {
        self.encode(&[payload], out)
    }
}
