//! Decodes commands, on the server's side.

use super::{Args, Error, ProtocolError, Reply, header, inline};
use crate::{Codec, Decoded, FrameError, Sink};

/// Decodes commands: arrays of bulk strings (section "Sending commands to a Redis server") and inline commands
/// (section "Inline commands").
///
/// A command that does not begin with `*` is inline: a line, split at blanks. In double quotes, a word may have the
/// escapes `\xHH`, `\n`, `\r`, `\t`, `\b` and `\a`; `\` before any other byte stands for that byte. In single quotes,
/// a word may have `\'`. Escapes are decoded in place.
///
/// A command that arrives whole is scanned once. One that arrives in pieces is scanned twice, however many pieces
/// there are.
///
/// It encodes a [`Reply`]: a value, or replies that a [`Writer`](super::Writer) wrote before. Plain bytes
/// ([`Codec::encode_payload`]) are taken for written replies.
///
/// # Limits
///
/// | what | default | set by | over it |
/// |---|---|---|---|
/// | a word | 512 MiB | [`max_bulk`](Self::max_bulk) | [`ProtocolError::InvalidLength`] |
/// | words of a command | 1,048,576 | [`max_args`](Self::max_args) | [`ProtocolError::InvalidCount`] |
/// | an inline command | 64 KiB | [`max_inline`](Self::max_inline) | [`ProtocolError::InlineTooBig`] |
/// | a command that is an array | 1 GiB | [`max_total`](Self::max_total) | [`FrameError::TooLarge`] |
/// | words before authentication | 10 | | [`ProtocolError::UnauthenticatedCount`] |
/// | a word before authentication | 16 KiB | | [`ProtocolError::UnauthenticatedLength`] |
/// | a line with a count or length | 64 KiB | | [`ProtocolError::CountTooBig`], [`ProtocolError::LengthTooBig`] |
///
/// # As Redis does it
///
/// It accepts what Redis 7.0 accepts, with the same errors. Numbers are strict: no `+`, no superfluous zero. The byte
/// after the `\r` of a count or a length is not checked, though it should be `\n`, and neither are the two bytes
/// after a word. A count of 0 or less is a command without words.
///
/// It differs in two points. A NUL is an ordinary byte; Redis ignores the rest of a line with one, and waits for
/// more. A command of more than 1,048,576 words is refused, as in Redis up to 6.2.
///
/// After the service has called [`set_unauthenticated`](CommandsState::set_unauthenticated), a client may send only
/// 10 words of 16 KiB.
///
/// ```
/// use gannet_proto::resp::Commands;
/// use gannet_proto::{Codec, Decoded};
///
/// let commands = Commands::new().max_bulk(1024 * 1024);
/// let mut received = *b"SET greeting \"hello\\x21\"\r\n";
/// let decoded = commands.decode(&mut Default::default(), &mut received)?;
/// let Decoded::Message { message: args, .. } = decoded else { unreachable!() };
/// assert_eq!(*args, [&b"SET"[..], b"greeting", b"hello!"]);
/// # Ok::<(), gannet_proto::resp::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Commands {
    max_bulk: usize,
    max_args: u32,
    max_inline: usize,
    max_total: usize,
}

/// Longer lines with a count or a length are refused, in bytes without the `\r`. Redis's PROTO_INLINE_MAX_SIZE.
const MAX_HEADER: usize = 64 * 1024;

/// Words that a client may send before it has authenticated, as in Redis.
const UNAUTHENTICATED_WORDS: i64 = 10;

/// Bytes of each of them.
const UNAUTHENTICATED_BYTES: usize = 16 * 1024;

impl Commands {
    /// Makes a codec with the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_bulk: 512 << 20, max_args: 1 << 20, max_inline: 64 * 1024, max_total: 1 << 30 }
    }

    /// Sets the limit of a word in an array, in bytes (default 512 MiB, as Redis's `proto-max-bulk-len`).
    #[must_use]
    pub const fn max_bulk(self, bytes: usize) -> Self {
        Self { max_bulk: bytes, ..self }
    }

    /// Sets how many words a command in an array may have (default 1,048,576, at most 2,147,483,647).
    #[must_use]
    pub const fn max_args(self, words: usize) -> Self {
        let most = i32::MAX as usize;
        Self { max_args: if words < most { words } else { most } as u32, ..self }
    }

    /// Sets the limit of an inline command, in bytes without its `\n` (default 64 KiB).
    #[must_use]
    pub const fn max_inline(self, bytes: usize) -> Self {
        Self { max_inline: bytes, ..self }
    }

    /// Sets the limit of a command in an array, in bytes including everything (default 1 GiB, as Redis's
    /// `client-query-buffer-limit`).
    #[must_use]
    pub const fn max_total(self, bytes: usize) -> Self {
        Self { max_total: bytes, ..self }
    }

    /// Takes an array off `input`, which begins with `*`.
    #[inline]
    fn array<'a>(&self, state: &mut CommandsState, input: &'a [u8]) -> Result<Decoded<Args<'a>>, Error> {
        let mut args = Args::default();
        let mut place = *state;
        if place.at == 0 {
            if let Some(need) = self.count(&mut place, input)? {
                *state = place;
                return Ok(Decoded::Partial { need });
            }
            if let Some(need) = self.walk(&mut place, input, |word| args.push(word))? {
                *state = place;
                return Ok(Decoded::Partial { need });
            }
            *state = state.restarted();
            return Ok(Decoded::Message { message: args, consumed: place.at });
        }

        // The words found in earlier calls are not known any more: find the end first, then all of them.
        if let Some(need) = self.walk(&mut place, input, |_| ())? {
            *state = place;
            return Ok(Decoded::Partial { need });
        }
        *state = state.restarted();
        let mut place = *state;
        self.count(&mut place, input)?;
        self.walk(&mut place, input, |word| args.push(word))?;
        Ok(Decoded::Message { message: args, consumed: place.at })
    }

    /// Moves `place` behind the line that counts the words. Where it has no end yet, says how many bytes are needed.
    #[inline]
    fn count(&self, place: &mut CommandsState, input: &[u8]) -> Result<Option<usize>, Error> {
        let (count, size) = match header::short(input) {
            Some((count, size)) => (count as i64, size),
            None => match place.line(input).map_err(|TooBig| ProtocolError::CountTooBig)? {
                Some(line) => (header::strict(&line[1..]).ok_or(ProtocolError::InvalidCount)?, line.len() + 2),
                None => return Ok(Some(input.len() + 1)),
            },
        };
        if count > i64::from(self.max_args) {
            return Err(ProtocolError::InvalidCount.into());
        }
        if place.unauthenticated && count > UNAUTHENTICATED_WORDS {
            return Err(ProtocolError::UnauthenticatedCount.into());
        }
        *place = CommandsState { at: size, left: count.max(0) as u32, searched: 0, ..*place };
        Ok(None)
    }

    /// Moves `place` from word to word. Where one has no end yet, says how many bytes are needed.
    #[inline]
    fn walk<'a>(
        &self,
        place: &mut CommandsState,
        input: &'a [u8],
        mut found: impl FnMut(&'a [u8]),
    ) -> Result<Option<usize>, Error> {
        while place.left > 0 {
            let bytes = &input[place.at..];
            let (length, size) = match header::short(bytes) {
                Some(header) if bytes[0] == b'$' => header,
                _ => match self.length(place, bytes)? {
                    Some(header) => header,
                    None => return Ok(Some(input.len() + 1)),
                },
            };
            if length > self.max_bulk {
                return Err(ProtocolError::InvalidLength.into());
            }
            if place.unauthenticated && length > UNAUTHENTICATED_BYTES {
                return Err(ProtocolError::UnauthenticatedLength.into());
            }
            let need = place.at.saturating_add(size).saturating_add(length).saturating_add(2);
            if need > self.max_total {
                return Err(FrameError::TooLarge { length: need as u64, limit: self.max_total }.into());
            }
            if need > input.len() {
                return Ok(Some(need));
            }
            #[cfg(test)]
            crate::work::looked_at(length);
            found(&bytes[size..size + length]);
            *place = CommandsState { at: need, left: place.left - 1, searched: 0, ..*place };
        }
        Ok(None)
    }

    /// The length of a word and the size of its line, where that line is an unusual or a bad one.
    #[cold]
    fn length(&self, place: &mut CommandsState, bytes: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some(line) = place.line(bytes).map_err(|TooBig| ProtocolError::LengthTooBig)? else {
            return Ok(None);
        };
        if bytes[0] != b'$' {
            return Err(ProtocolError::NotBulk { got: bytes[0] });
        }
        let length = header::strict(&line[1..]).and_then(|length| usize::try_from(length).ok());
        Ok(Some((length.ok_or(ProtocolError::InvalidLength)?, line.len() + 2)))
    }

    /// Takes a line off `input` and splits it.
    fn inline<'a>(&self, state: &mut CommandsState, input: &'a mut [u8]) -> Result<Decoded<Args<'a>>, Error> {
        let window = input.len().min(self.max_inline.saturating_add(1));
        let searched = state.at.min(window);
        let Some(offset) = header::find(b'\n', &input[searched..window]) else {
            if window > self.max_inline {
                return Err(ProtocolError::InlineTooBig.into());
            }
            state.at = window;
            return Ok(Decoded::Partial { need: window + 1 });
        };
        state.at = 0;
        let end = searched + offset;
        // A `\r` before it is a blank like others.
        Ok(Decoded::Message { message: inline::split(&mut input[..end])?, consumed: end + 1 })
    }
}

impl Default for Commands {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Commands {
    type Message<'a> = Args<'a>;
    type Outgoing<'a> = Reply<'a>;
    type Error = Error;
    type State = CommandsState;

    const TRANSPARENT: bool = true;

    /// Decodes one command at the start of `input`.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] where Redis would answer with a protocol error, [`FrameError::TooLarge`] for an array
    /// over [`max_total`](Commands::max_total).
    #[inline]
    fn decode<'a>(&self, state: &mut CommandsState, input: &'a mut [u8]) -> Result<Decoded<Args<'a>>, Error> {
        match input.first() {
            Some(b'*') => self.array(state, input),
            Some(_) => self.inline(state, input),
            None => Ok(Decoded::Partial { need: 1 }),
        }
    }

    /// Takes one command off `input` that is an array; `None` for an inline command.
    fn decode_shared<'a>(
        &self,
        state: &mut CommandsState,
        input: &'a [u8],
    ) -> Option<Result<Decoded<Args<'a>>, Error>> {
        (input.first() == Some(&b'*')).then(|| self.array(state, input))
    }

    /// Writes one reply, or several that were written before. Never fails.
    #[inline]
    fn encode(&self, reply: Reply<'_>, out: &mut impl Sink) -> Result<(), Error> {
        reply.write(out);
        Ok(())
    }

    /// Writes the payload, which is taken for whole replies. Never fails.
    #[inline]
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), Error> {
        out.put(payload);
        Ok(())
    }
}

/// How far a connection's unfinished command has been walked through.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandsState {
    /// Where the first word without an end begins; 0 where the words were not counted yet. In an inline command, how
    /// many bytes are known to hold no `\n`.
    at: usize,
    /// Words from there on.
    left: u32,
    /// So many bytes from there on are known to hold no `\r`.
    searched: u32,
    unauthenticated: bool,
}

/// A line has no end within [`MAX_HEADER`] bytes.
struct TooBig;

impl CommandsState {
    /// Says whether the client still has to authenticate: then it may send 10 words of 16 KiB only, so that nobody
    /// takes memory who has not said the password.
    pub fn set_unauthenticated(&mut self, unauthenticated: bool) {
        self.unauthenticated = unauthenticated;
    }

    /// The same connection before the next command.
    fn restarted(self) -> Self {
        Self { unauthenticated: self.unauthenticated, ..Self::default() }
    }

    /// The line at the start of `bytes`, which is where this place is, up to its `\r`. Nothing where it has no end, or
    /// where the byte behind its `\r` is missing.
    #[cold]
    fn line<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, TooBig> {
        let window = &bytes[..bytes.len().min(MAX_HEADER + 1)];
        let searched = self.searched as usize;
        let Some(offset) = header::find(b'\r', &window[searched..]) else {
            self.searched = window.len() as u32;
            return if window.len() > MAX_HEADER { Err(TooBig) } else { Ok(None) };
        };
        let end = searched + offset;
        self.searched = end as u32;
        Ok((bytes.len() > end + 1).then_some(&window[..end]))
    }
}
