//! The codec without a protocol.

use crate::{Codec, Decoded, FrameError, Sink};

/// Delivers every chunk as a message, as it is.
///
/// A message begins and ends where the network happened to cut. So this is for services that do not
/// depend on that: echoing, proxying, counting. The codec keeps nothing between calls and has no
/// limit; a message is never larger than what the caller received at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Raw;

impl Codec for Raw {
    type Message<'a> = &'a [u8];
    type Outgoing<'a> = &'a [&'a [u8]];
    type Error = FrameError;
    type State = ();

    const TRANSPARENT: bool = true;

    /// Takes all of `input`. Never fails.
    #[inline]
    fn decode<'a>(&self, (): &mut (), input: &'a mut [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        Ok(match input.len() {
            0 => Decoded::Partial { need: 1 },
            consumed => Decoded::Message { message: input, consumed },
        })
    }

    /// Takes `rest` as the last message. Never fails.
    #[inline]
    fn finish<'a>(&self, (): &mut (), rest: &'a mut [u8]) -> Result<Option<&'a [u8]>, FrameError> {
        Ok(Some(rest))
    }

    /// Writes the parts of the payload and nothing else. Never fails.
    #[inline]
    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), FrameError> {
        out.reserve(parts.iter().fold(0, |sum, part| part.len().saturating_add(sum)));
        for part in parts {
            out.put(part);
        }
        Ok(())
    }

    /// Writes the payload and nothing else. Never fails.
    #[inline]
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), FrameError> {
        out.put(payload);
        Ok(())
    }
}
