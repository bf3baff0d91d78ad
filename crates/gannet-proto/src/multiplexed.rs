//! Requests and replies with identifiers, in frames that begin with their length: many are under way on one connection.

use thiserror::Error;

use crate::length_prefixed::{self, U32Be};
use crate::{Codec, Decoded, FrameError, LengthPrefixed, Sink};

/// Delivers frames that carry the identifier of a request.
///
/// The side that asks chooses an identifier for each request, and does not use it again before that request was answered.
/// The other side answers each request once, in any order, with the same identifier.
///
/// # The wire format
///
/// It is Gannet's own, and as small as it can be:
///
/// | bytes | what they are |
/// |---|---|
/// | 4 | how many bytes follow, the most significant first |
/// | 1 | the [`Kind`] |
/// | 4 | the identifier, the most significant byte first |
/// | the rest | the body |
///
/// # Limits
///
/// A body may have 1 MiB unless [`limit`](Self::limit) says otherwise. A larger one is refused when its length is read.
///
/// ```
/// use gannet_proto::multiplexed::{Frame, Kind, Multiplexed, Outgoing};
/// use gannet_proto::{Codec, Decoded};
///
/// let codec = Multiplexed::new().limit(4096);
/// let mut bytes = Vec::new();
/// codec.encode(Outgoing { kind: Kind::Request, id: 7, parts: &[b"GET ", b"key"] }, &mut bytes)?;
/// assert_eq!(bytes, b"\0\0\0\x0c\x01\0\0\0\x07GET key");
///
/// let frame = Frame { kind: Kind::Request, id: 7, body: b"GET key" };
/// assert_eq!(codec.decode(&mut (), &mut bytes)?, Decoded::Message { message: frame, consumed: 16 });
/// # Ok::<(), gannet_proto::multiplexed::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiplexed {
    frames: LengthPrefixed,
}

/// Says what a frame means. The number of each is its byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A request; the body is the application's.
    Request = 0x01,
    /// The side that asked wants no answer any more. The request is answered nevertheless, as a rule by
    /// [`Cancelled`](Self::Cancelled). The body is empty.
    Cancel = 0x02,
    /// The reply to a request; the body is the application's.
    Reply = 0x81,
    /// The request failed; the body is a text that says why.
    Failed = 0x82,
    /// The request was given up, because it took too long. The body is empty.
    TimedOut = 0x83,
    /// The request was given up, because it was cancelled. The body is empty.
    Cancelled = 0x84,
}

/// A frame that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Tells requests, replies and cancellations apart.
    pub kind: Kind,
    /// The identifier of the request.
    pub id: u32,
    /// The bytes of the application, or the text of an error.
    pub body: &'a [u8],
}

/// A frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Tells requests, replies and cancellations apart.
    pub kind: Kind,
    /// The identifier of the request.
    pub id: u32,
    /// The bytes of the application, or the text of an error: these parts joined.
    pub parts: &'a [&'a [u8]],
}

/// Says what is wrong with a received frame, or why a frame cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The length in front is wrong, the body exceeds the limit, or the stream ended inside a frame.
    #[error("{0}")]
    Length(#[from] length_prefixed::Error),

    /// The frame is too short for a kind and an identifier.
    #[error("a frame of {length} bytes is too short: kind and identifier take 5")]
    Short {
        /// The frame's length in bytes.
        length: usize,
    },

    /// No frame has this kind.
    #[error("no frame has the kind {kind:#04x}")]
    UnknownKind {
        /// The byte where the kind should be.
        kind: u8,
    },
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        Self::Length(error.into())
    }
}

impl Kind {
    fn of(byte: u8) -> Result<Self, Error> {
        let all = [Self::Request, Self::Cancel, Self::Reply, Self::Failed, Self::TimedOut, Self::Cancelled];
        all.into_iter().find(|kind| *kind as u8 == byte).ok_or(Error::UnknownKind { kind: byte })
    }
}

/// Bytes of kind and identifier.
const HEAD: usize = 5;

impl Multiplexed {
    /// The limit on a body unless another is set: 1 MiB.
    pub const DEFAULT_LIMIT: usize = LengthPrefixed::<U32Be>::DEFAULT_LIMIT;

    /// Makes the codec.
    #[must_use]
    pub const fn new() -> Self {
        Self { frames: LengthPrefixed::u32_be() }.limit(Self::DEFAULT_LIMIT)
    }

    /// Sets the largest body that is accepted, in bytes.
    #[must_use]
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.frames = self.frames.limit(bytes.saturating_add(HEAD));
        self
    }
}

impl Default for Multiplexed {
    fn default() -> Self {
        Self::new()
    }
}

fn frame(payload: &[u8]) -> Result<Frame<'_>, Error> {
    let Some((head, body)) = payload.split_first_chunk::<HEAD>() else {
        return Err(Error::Short { length: payload.len() });
    };
    let [kind, id @ ..] = *head;
    Ok(Frame { kind: Kind::of(kind)?, id: u32::from_be_bytes(id), body })
}

fn frame_of(decoded: Decoded<&[u8]>) -> Result<Decoded<Frame<'_>>, Error> {
    Ok(match decoded {
        Decoded::Message { message, consumed } => Decoded::Message { message: frame(message)?, consumed },
        Decoded::Taken { consumed } => Decoded::Taken { consumed },
        Decoded::Partial { need } => Decoded::Partial { need },
    })
}

impl Codec for Multiplexed {
    type Message<'a> = Frame<'a>;
    type Outgoing<'a> = Outgoing<'a>;
    type Error = Error;
    type State = ();

    fn decode<'a>(&self, state: &mut (), input: &'a mut [u8]) -> Result<Decoded<Frame<'a>>, Error> {
        frame_of(self.frames.decode(state, input)?)
    }

    fn decode_shared<'a>(&self, state: &mut (), input: &'a [u8]) -> Option<Result<Decoded<Frame<'a>>, Error>> {
        let decoded = self.frames.decode_shared(state, input)?;
        Some(decoded.map_err(Error::from).and_then(frame_of))
    }

    /// Writes a frame.
    ///
    /// # Errors
    ///
    /// [`Error::Length`]: the length has no room for a body of more than 4 GiB.
    fn encode(&self, message: Outgoing<'_>, out: &mut impl Sink) -> Result<(), Error> {
        let body = message.parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let length = body.saturating_add(HEAD);
        let Ok(prefix) = u32::try_from(length) else {
            let limit = u64::from(u32::MAX);
            return Err(length_prefixed::Error::PayloadTooLarge { length, limit }.into());
        };
        out.reserve(4 + length);
        out.put(&prefix.to_be_bytes());
        out.put(&[message.kind as u8]);
        out.put(&message.id.to_be_bytes());
        for part in message.parts {
            out.put(part);
        }
        Ok(())
    }
}
