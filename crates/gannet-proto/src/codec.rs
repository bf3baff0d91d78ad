//! The contract between a codec and its caller, which moves the bytes.

use std::error::Error;

use crate::{FrameError, Sink};

/// Turns received bytes into messages, and messages into bytes to send, without I/O.
///
/// The value is the configuration, and serves every connection of one service instance. The
/// progress within one connection is its [`State`](Self::State). The guide `docs/codec.md` of the
/// repository writes a codec step by step.
///
/// # What the caller does
///
/// Each connection has its own state, made with `Default`. The caller keeps the bytes that were
/// received and not consumed, in order, and calls [`decode`] with all of them:
///
/// - After [`Decoded::Message`] or [`Decoded::Taken`], it drops the consumed bytes, and calls again
///   with the rest if there is any.
/// - After [`Decoded::Partial`], it calls again when more bytes have arrived.
/// - When the peer has ended its stream, and the last answer was [`Decoded::Partial`], it calls
///   [`finish`] once, if bytes are left.
///
/// After an error the rest of the stream has no meaning. The caller closes the connection, and does
/// not use its state again.
///
/// [`decode`]: Self::decode
/// [`finish`]: Self::finish
pub trait Codec: Default + 'static {
    /// A message that was received. It may borrow from the received bytes.
    type Message<'a>;

    /// A message to send. It may borrow what it is made of, so that nothing is copied before [`encode`](Self::encode)
    /// writes it.
    ///
    /// Where a message is bytes, `&'a [&'a [u8]]` suits: parts that are sent joined, so that a caller need not join them.
    type Outgoing<'a>;

    /// Says why bytes are no message, or why a message cannot be sent.
    ///
    /// An engine gives it to the service and to the log. It makes errors of this type itself, from [`FrameError`], where a
    /// message meets a limit of its own. Keep the [`FrameError`] in the error's chain of sources
    /// ([`FrameError::find`]): by that, an engine tells a message that is too large from bytes that make no sense.
    type Error: Error + From<FrameError> + 'static;

    /// Holds what is known of one connection's stream between two calls.
    ///
    /// A server holds one for each connection, idle ones included, so it should be small.
    type State: Default + 'static;

    /// Whether bytes from elsewhere are sent as they are, without a call of [`encode_payload`](Self::encode_payload).
    ///
    /// Then an engine may queue them by reference. This suits protocols without framing, and those where such bytes are
    /// encoded already.
    const TRANSPARENT: bool = false;

    /// Takes one message off the front of `input`, which is everything received and not yet
    /// consumed.
    ///
    /// `input` is mutable so that a codec may unmask or decrypt in place. Bytes that are not consumed
    /// come again in the next call as the codec left them. The bytes behind a message have to stay as
    /// they came, because the caller may pass them from another copy.
    ///
    /// # Errors
    ///
    /// The bytes break the protocol, or exceed one of the codec's limits.
    fn decode<'a>(
        &self,
        state: &mut Self::State,
        input: &'a mut [u8],
    ) -> Result<Decoded<Self::Message<'a>>, Self::Error>;

    /// Takes one message off the front of `input` as [`decode`](Self::decode) does, without changing the bytes; `None`
    /// where that needs a change of them.
    ///
    /// An engine calls it in place of [`decode`](Self::decode) for a large message that has arrived whole, so that the
    /// service may keep the bytes without a copy. After `None`, with which nothing of `state` may have changed, it calls
    /// [`decode`](Self::decode). By default, the answer is always `None`.
    fn decode_shared<'a>(
        &self,
        state: &mut Self::State,
        input: &'a [u8],
    ) -> Option<Result<Decoded<Self::Message<'a>>, Self::Error>> {
        let _ = (state, input);
        None
    }

    /// Decodes the end of a stream: `rest` is a last message, nothing, or an error.
    ///
    /// The peer has ended its stream. `rest` are the bytes that [`decode`](Self::decode) answered with
    /// [`Decoded::Partial`]; it is never empty.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`] by default.
    fn finish<'a>(
        &self,
        state: &mut Self::State,
        rest: &'a mut [u8],
    ) -> Result<Option<Self::Message<'a>>, Self::Error> {
        let _ = state;
        Err(FrameError::Truncated { have: rest.len() }.into())
    }

    /// Writes one message to `out`.
    ///
    /// # Errors
    ///
    /// The protocol cannot express the message. Nothing has been written to `out` then.
    fn encode(&self, message: Self::Outgoing<'_>, out: &mut impl Sink) -> Result<(), Self::Error>;

    /// Writes the message that stands for plain bytes, where the protocol has one.
    ///
    /// Other threads send plain bytes: an engine calls this on the connection's own thread, unless the codec is
    /// [`TRANSPARENT`](Self::TRANSPARENT).
    ///
    /// # Errors
    ///
    /// Unless the codec says otherwise, [`FrameError::NoPayload`]. Nothing has been written to `out` then.
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), Self::Error> {
        let _ = (payload, out);
        Err(FrameError::NoPayload.into())
    }
}

/// Says what [`Codec::decode`] found at the front of its input.
///
/// If a codec takes no bytes, or more than there are, the engine closes the connection and logs an
/// error that names the codec. A `need` that is not larger than the input counts as one more byte.
///
/// There may be further kinds in later versions. A codec that wraps another one uses [`map`](Self::map). A program that calls
/// codecs by itself treats a kind that it does not know as an error of the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoded<M> {
    /// A whole message.
    Message {
        /// The message.
        message: M,
        /// The number of input bytes that it took, framing included: at least 1, at most all.
        consumed: usize,
    },
    /// Part of a message, which the state holds now, within the codec's limits; or bytes to ignore.
    Taken {
        /// The number of input bytes that it took: at least 1, at most all.
        consumed: usize,
    },
    /// The beginning of a message.
    Partial {
        /// The number of bytes, counted from the start of the input, below which another call is
        /// pointless.
        ///
        /// It is larger than the input; one byte larger if the codec cannot tell. It is within the
        /// codec's limits, so a caller may reserve that many bytes at once.
        need: usize,
    },
}

impl<M> Decoded<M> {
    /// Changes the message, if there is one: for codecs that wrap another one.
    #[inline]
    pub fn map<N>(self, change: impl FnOnce(M) -> N) -> Decoded<N> {
        match self {
            Self::Message { message, consumed } => Decoded::Message { message: change(message), consumed },
            Self::Taken { consumed } => Decoded::Taken { consumed },
            Self::Partial { need } => Decoded::Partial { need },
        }
    }
}
