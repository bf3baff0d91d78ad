//! Decodes replies, on the client's side.

use super::token::{Head, Limits, Step, Token};
use super::{Error, ProtocolError, Value, header};
use crate::{Codec, Decoded, FrameError, Sink};

/// Decodes replies of RESP2 and RESP3, and encodes commands.
///
/// A server answers in RESP2 unless it was asked for RESP3; the codec understands every type at any time. A push is a
/// reply by itself, which answers no command.
///
/// A nested reply is scanned twice, however many pieces it arrives in: once to find its end, and once to build it.
/// Others are read once, without an allocation.
///
/// Lines end with `\r\n`; a number may have a sign, but a length may not, nor a superfluous zero.
///
/// # Limits
///
/// | what | default | set by | over it |
/// |---|---|---|---|
/// | a string | 512 MiB | [`max_bulk`](Self::max_bulk) | [`FrameError::TooLarge`] |
/// | a line | 64 KiB | [`max_line`](Self::max_line) | [`ProtocolError::LineTooLong`] |
/// | values inside a reply | 1,048,576 | [`max_elements`](Self::max_elements) | [`ProtocolError::TooManyElements`] |
/// | levels of values inside others | 32 | [`max_depth`](Self::max_depth) | [`ProtocolError::TooDeep`], once it is whole |
/// | a reply | 1 GiB | [`max_total`](Self::max_total) | [`FrameError::TooLarge`] |
///
/// Streamed strings and aggregates (`$?`, `*?`) were proposed for RESP3, but no server sends them. They are refused
/// with [`ProtocolError::Streamed`].
///
/// ```
/// use gannet_proto::resp::{Replies, Value};
/// use gannet_proto::{Codec, Decoded};
///
/// let replies = Replies::new();
/// let mut command = Vec::new();
/// replies.encode(&[b"GET", b"key"], &mut command)?;
/// assert_eq!(command, b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
///
/// let mut received = *b"*2\r\n:1\r\n$5\r\nhello\r\n";
/// let decoded = replies.decode(&mut Default::default(), &mut received)?;
/// let reply = Value::Array(vec![Value::Integer(1), Value::Bulk(b"hello")]);
/// assert_eq!(decoded, Decoded::Message { message: reply, consumed: 19 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Replies {
    limits: Limits,
    max_elements: u32,
    max_depth: u8,
}

impl Replies {
    /// Makes a codec with the default limits.
    #[must_use]
    pub const fn new() -> Self {
        let limits = Limits { max_bulk: 512 << 20, max_line: 64 * 1024, max_total: 1 << 30 };
        Self { limits, max_elements: 1 << 20, max_depth: 32 }
    }

    /// Sets the limit of a string, in bytes (default 512 MiB).
    #[must_use]
    pub const fn max_bulk(mut self, bytes: usize) -> Self {
        self.limits.max_bulk = bytes;
        self
    }

    /// Sets the limit of a line, in bytes without its type and its ending (default 64 KiB). Lines with a length have
    /// a limit of 20 bytes.
    #[must_use]
    pub const fn max_line(mut self, bytes: usize) -> Self {
        self.limits.max_line = bytes;
        self
    }

    /// Sets how many values a reply may contain, on all levels together (default 1,048,576, at most 2,147,483,647).
    #[must_use]
    pub const fn max_elements(mut self, values: usize) -> Self {
        let most = i32::MAX as usize;
        self.max_elements = if values < most { values } else { most } as u32;
        self
    }

    /// Sets how many levels of nesting a reply may have (default 32). With 0, no reply may be nested.
    #[must_use]
    pub const fn max_depth(mut self, levels: u8) -> Self {
        self.max_depth = levels;
        self
    }

    /// Sets the limit of a reply, in bytes including everything (default 1 GiB).
    #[must_use]
    pub const fn max_total(mut self, bytes: usize) -> Self {
        self.limits.max_total = bytes;
        self
    }

    /// Counts the values that `head` announces.
    fn enter(&self, place: &mut RepliesState, head: Head) -> Result<(), ProtocolError> {
        let values = head.values();
        if values > (self.max_elements - place.elements) as usize {
            return Err(ProtocolError::TooManyElements { limit: self.max_elements as usize });
        }
        // It fits: the limit does.
        place.elements += values as u32;
        place.left += values as u32;
        Ok(())
    }

    /// Takes a value off `rest`, which is a whole one: what its heads announce is there.
    fn build<'a>(&self, rest: &mut &'a [u8], depth: u8) -> Result<Value<'a>, Error> {
        let Step::Whole(token, size) = self.limits.token(0, &mut 0, rest)? else {
            return Err(FrameError::Truncated { have: rest.len() }.into());
        };
        *rest = &rest[size..];
        let head = match token {
            Token::Value(value) => return Ok(value),
            Token::Head(head) => head,
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(ProtocolError::TooDeep { limit: self.max_depth }.into());
        };
        Ok(match head.kind {
            b'%' => Value::Map(self.pairs(rest, head.len, depth)?),
            b'|' => {
                let pairs = self.pairs(rest, head.len, depth)?;
                Value::Attribute { pairs, value: Box::new(self.build(rest, depth)?) }
            }
            kind => {
                let mut values = Vec::with_capacity(head.len);
                for _ in 0..head.len {
                    values.push(self.build(rest, depth)?);
                }
                match kind {
                    b'~' => Value::Set(values),
                    b'>' => Value::Push(values),
                    _ => Value::Array(values),
                }
            }
        })
    }

    fn pairs<'a>(&self, rest: &mut &'a [u8], len: usize, depth: u8) -> Result<Pairs<'a>, Error> {
        let mut pairs = Vec::with_capacity(len);
        for _ in 0..len {
            pairs.push((self.build(rest, depth)?, self.build(rest, depth)?));
        }
        Ok(pairs)
    }
}

type Pairs<'a> = Vec<(Value<'a>, Value<'a>)>;

impl Default for Replies {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Replies {
    type Message<'a> = Value<'a>;
    type Outgoing<'a> = &'a [&'a [u8]];
    type Error = Error;
    type State = RepliesState;

    /// Decodes one reply at the start of `input`.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] for bytes that are no reply, and as the limits say.
    #[inline]
    fn decode<'a>(&self, state: &mut RepliesState, input: &'a mut [u8]) -> Result<Decoded<Value<'a>>, Error> {
        let input: &'a [u8] = input;
        let mut place = *state;
        if place.at == 0 {
            place.left = 1;
        }
        while place.left > 0 {
            let (token, size) = match self.limits.token(place.at, &mut place.searched, &input[place.at..])? {
                Step::Whole(token, size) => (token, size),
                Step::Unended => {
                    *state = place;
                    return Ok(Decoded::Partial { need: input.len() + 1 });
                }
                Step::Missing(size) => {
                    *state = place;
                    return Ok(Decoded::Partial { need: place.at.saturating_add(size) });
                }
            };
            self.limits.check_total(place.at, size)?;
            match token {
                Token::Value(message) if place.at == 0 => {
                    *state = RepliesState::default();
                    return Ok(Decoded::Message { message, consumed: size });
                }
                Token::Value(_) => {}
                Token::Head(head) => self.enter(&mut place, head)?,
            }
            place.left -= 1;
            place.at += size;
            place.searched = 0;
        }

        *state = RepliesState::default();
        let message = self.build(&mut &input[..place.at], self.max_depth)?;
        Ok(Decoded::Message { message, consumed: place.at })
    }

    /// Writes a command whose words are `words`, as an array of bulk strings (section "Sending commands to a Redis
    /// server"). Never fails. A server ignores a command without words and sends no reply to it.
    #[inline]
    fn encode(&self, words: &[&[u8]], out: &mut impl Sink) -> Result<(), Error> {
        // A word's line takes up to 23 bytes, and mostly about 5.
        out.reserve(words.iter().fold(16_usize, |sum, word| sum.saturating_add(word.len()).saturating_add(8)));
        header::write(b'*', words.len() as i64, out);
        for word in words {
            header::write(b'$', word.len() as i64, out);
            out.put(word);
            out.put(b"\r\n");
        }
        Ok(())
    }

    /// Writes a command that has the payload as its only word. Never fails.
    #[inline]
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), Error> {
        self.encode(&[payload], out)
    }
}

/// Holds the decoding progress of a connection's unfinished reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepliesState {
    /// Where the first value without an end begins.
    at: usize,
    /// So many bytes from there on are known to hold no `\r`.
    searched: usize,
    /// Values from there on.
    left: u32,
    /// Values announced so far.
    elements: u32,
}
