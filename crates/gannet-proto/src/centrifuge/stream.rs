//! The protocol over a stream of bytes, as devices speak it over TCP: Protobuf messages with their length in front.

use super::command::Command;
use super::reply::Reply;
use super::schema::{MAX_ENTRIES, Message};
use super::{DecodeError, protobuf};
use crate::length_prefixed::Varint;
use crate::{Codec, Decoded, FrameError, LengthPrefixed, Sink};

/// The most bytes that a command has, unless another limit is set: as much as the servers of this protocol take.
const COMMAND_LIMIT: usize = 64 * 1024;

/// The most bytes that a reply has, unless another limit is set.
const REPLY_LIMIT: usize = LengthPrefixed::<Varint>::DEFAULT_LIMIT;

/// Decodes what clients send over a stream, and encodes what a server answers.
///
/// A message is Protobuf with its length in front, as a varint. A length over the limit is refused when it is read,
/// before anything is reserved for the message. Plain bytes from elsewhere are taken for messages that were encoded
/// before, so that an engine may send them by reference.
///
/// ```
/// use gannet_proto::centrifuge::{Commands, DisconnectCode, Reply, Request};
/// use gannet_proto::{Codec, Decoded};
///
/// // Command 5: publish `{}` to the channel `a`.
/// let mut received = *b"\x0b\x08\x05\x3a\x07\x0a\x01a\x12\x02{}";
/// let decoded = Commands::new().limit(1024).decode(&mut (), &mut received)?;
/// let Decoded::Message { message: command, consumed: 12 } = decoded else { unreachable!() };
/// let Request::Publish(publish) = command.request else { unreachable!() };
/// assert_eq!((command.id, &*publish.channel, publish.data), (5, "a", &b"{}"[..]));
/// # Ok::<(), gannet_proto::centrifuge::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commands {
    frames: LengthPrefixed<Varint>,
}

impl Commands {
    /// Makes a codec that accepts commands of up to 64 KiB.
    #[must_use]
    pub const fn new() -> Self {
        Self { frames: LengthPrefixed::varint().limit(COMMAND_LIMIT) }
    }

    /// Sets the largest command that is accepted, in bytes, its length not counted.
    #[must_use]
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.frames = self.frames.limit(bytes);
        self
    }
}

impl Default for Commands {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Commands {
    type Message<'a> = Command<'a>;
    type Outgoing<'a> = &'a Reply<'a>;
    type Error = DecodeError;
    type State = ();

    const TRANSPARENT: bool = true;

    /// Takes one command off `input`.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] for a command over the limit; otherwise, the bytes are no command.
    fn decode<'a>(&self, (): &mut (), input: &'a mut [u8]) -> Result<Decoded<Command<'a>>, DecodeError> {
        decode(self.frames, input, MAX_ENTRIES)
    }

    /// Takes one command off `input`.
    fn decode_shared<'a>(&self, (): &mut (), input: &'a [u8]) -> Option<Result<Decoded<Command<'a>>, DecodeError>> {
        Some(decode(self.frames, input, MAX_ENTRIES))
    }

    /// Writes one reply with its length in front. Never fails.
    fn encode(&self, reply: &Reply<'_>, out: &mut impl Sink) -> Result<(), DecodeError> {
        protobuf::write_reply(out, reply);
        Ok(())
    }

    /// Writes the payload, which is taken for whole replies. Never fails.
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), DecodeError> {
        out.put(payload);
        Ok(())
    }
}

/// Decodes what a server sends over a stream, and encodes a client's commands: the other end of [`Commands`].
///
/// A reply may have 1 MiB unless [`limit`](Self::limit) says otherwise. Plain bytes from elsewhere are taken for
/// commands that were encoded before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replies {
    frames: LengthPrefixed<Varint>,
}

impl Replies {
    /// Makes a codec that accepts replies of up to 1 MiB.
    #[must_use]
    pub const fn new() -> Self {
        Self { frames: LengthPrefixed::varint().limit(REPLY_LIMIT) }
    }

    /// Sets the largest reply that is accepted, in bytes, its length not counted.
    #[must_use]
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.frames = self.frames.limit(bytes);
        self
    }
}

impl Default for Replies {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Replies {
    type Message<'a> = Reply<'a>;
    type Outgoing<'a> = &'a Command<'a>;
    type Error = DecodeError;
    type State = ();

    const TRANSPARENT: bool = true;

    /// Takes one reply off `input`.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] for a reply over the limit; otherwise, the bytes are no reply.
    fn decode<'a>(&self, (): &mut (), input: &'a mut [u8]) -> Result<Decoded<Reply<'a>>, DecodeError> {
        decode(self.frames, input, usize::MAX)
    }

    /// Takes one reply off `input`.
    fn decode_shared<'a>(&self, (): &mut (), input: &'a [u8]) -> Option<Result<Decoded<Reply<'a>>, DecodeError>> {
        Some(decode(self.frames, input, usize::MAX))
    }

    /// Writes one command with its length in front. Never fails.
    fn encode(&self, command: &Command<'_>, out: &mut impl Sink) -> Result<(), DecodeError> {
        protobuf::write_command(out, command);
        Ok(())
    }

    /// Writes the payload, which is taken for whole commands. Never fails.
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), DecodeError> {
        out.put(payload);
        Ok(())
    }
}

/// Takes one message off `input`, with at most so many entries of maps and lists.
fn decode<'a, M: Message<'a>>(
    frames: LengthPrefixed<Varint>,
    input: &'a [u8],
    entries: usize,
) -> Result<Decoded<M>, DecodeError> {
    match frames.decode_shared(&mut (), input).transpose()? {
        Some(Decoded::Message { message, consumed }) => {
            Ok(Decoded::Message { message: protobuf::read_bare(message, entries)?, consumed })
        }
        Some(Decoded::Partial { need }) => Ok(Decoded::Partial { need }),
        // The codec always decodes without changing bytes, and keeps nothing between messages.
        _ => Err(FrameError::Truncated { have: input.len() }.into()),
    }
}
