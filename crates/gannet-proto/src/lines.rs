//! Lines of text or of any bytes, ended by `\n` or `\r\n`.

use memchr::memchr;
use thiserror::Error;

use crate::search::find;
use crate::{Codec, Decoded, FrameError, Sink};

/// Delivers each line as a message, without the `\n` or `\r\n` that ends it.
///
/// The bytes of a line are not checked: they need not be UTF-8. A `\r` anywhere but directly
/// before the `\n` belongs to the line. An empty line is an empty message. What follows the last
/// `\n` when the peer ends its stream is a message too.
///
/// # Limits
///
/// A line may have [`limit`](Self::limit) bytes, its ending not counted. A longer one is refused as
/// soon as it is known to be longer, whether its end has been seen or not. The limit is on what is
/// received; [`encode`](Codec::encode) does not apply it.
///
/// ```
/// use gannet_proto::{Codec, FrameError, Lines};
///
/// let lines = Lines::new().limit(4);
/// let refused = lines.decode(&mut Default::default(), &mut b"hello".to_vec()).unwrap_err();
/// assert_eq!(refused, FrameError::TooLarge { length: 5, limit: 4 }.into());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// The largest line that is accepted, in bytes, its ending not counted.
    pub limit: usize,
}

impl Lines {
    /// The limit unless another is set: 64 KiB. More than people and log shippers write on a line,
    /// and little enough to hold for every connection that is slow to finish one.
    pub const DEFAULT_LIMIT: usize = 64 * 1024;

    /// Makes a codec for lines of up to [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT) bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self { limit: Self::DEFAULT_LIMIT }
    }

    /// Sets the largest line that is accepted, in bytes, its ending not counted.
    #[must_use]
    pub const fn limit(self, bytes: usize) -> Self {
        Self { limit: bytes }
    }

    #[inline]
    fn check(&self, length: usize) -> Result<(), Error> {
        if length > self.limit {
            return Err(FrameError::TooLarge { length: length as u64, limit: self.limit }.into());
        }
        Ok(())
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Lines {
    type Message<'a> = &'a [u8];
    type Outgoing<'a> = &'a [&'a [u8]];
    type Error = Error;
    type State = LinesState;

    /// Decodes one line at the start of `input`. Each byte is searched once, however slowly the line arrives.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`]: the line is over the limit.
    #[inline]
    fn decode<'a>(&self, state: &mut LinesState, input: &'a mut [u8]) -> Result<Decoded<&'a [u8]>, Error> {
        let input: &'a [u8] = input;
        let unscanned = input.get(state.scanned..).unwrap_or_default();

        if let Some(offset) = find(b'\n', unscanned) {
            let end = state.scanned + offset;
            state.scanned = 0;
            let message = without_return(&input[..end]);
            self.check(message.len())?;
            return Ok(Decoded::Message { message, consumed: end + 1 });
        }

        // A `\r` at the very end may be half of the line's ending, so it does not count yet.
        self.check(without_return(input).len())?;
        state.scanned = input.len();
        Ok(Decoded::Partial { need: input.len() + 1 })
    }

    /// Takes `rest` as the last line. A `\r` at its end belongs to it, as no `\n` follows.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`]: that `\r` takes the line over the limit.
    #[inline]
    fn finish<'a>(&self, state: &mut LinesState, rest: &'a mut [u8]) -> Result<Option<&'a [u8]>, Error> {
        state.scanned = 0;
        self.check(rest.len())?;
        Ok(Some(rest))
    }

    /// Writes the parts joined, and a `\n`.
    ///
    /// To end the line with `\r\n`, put a `\r` at the end of the payload.
    ///
    /// # Errors
    ///
    /// [`Error::LineBreak`]: the payload contains `\n`, so the peer would read two messages.
    #[inline]
    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), Error> {
        let mut length: usize = 0;
        for part in parts {
            if let Some(offset) = memchr(b'\n', part) {
                return Err(Error::LineBreak { position: length.saturating_add(offset) });
            }
            length = length.saturating_add(part.len());
        }

        out.reserve(length.saturating_add(1));
        for part in parts {
            out.put(part);
        }
        out.put(b"\n");
        Ok(())
    }

    /// Writes the payload as a line.
    ///
    /// # Errors
    ///
    /// As [`encode`](Codec::encode).
    #[inline]
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), Error> {
        self.encode(&[payload], out)
    }
}

/// Says what is wrong with a received line, or why a payload cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The line exceeds the limit.
    #[error("{0}")]
    Frame(#[from] FrameError),

    /// The payload of a line contains a line break, so it would arrive as two messages.
    #[error("payload has a line break at byte {position}, so it would become two lines")]
    LineBreak {
        /// Where the first `\n` is in the joined payload, counted from 0.
        position: usize,
    },
}

/// Holds how far a connection's unfinished line was searched for its end.
#[derive(Debug, Clone, Default)]
pub struct LinesState {
    /// So many bytes at the start of the input are known to hold no `\n`.
    scanned: usize,
}

/// `line` without a `\r` at its end.
#[inline]
fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
