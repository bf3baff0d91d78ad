//! The contract between a codec and its caller, which moves the bytes.

use crate::{DecodeError, EncodeError, Sink};

/// Turns bytes into messages and back, without I/O.
///
/// The value is the configuration, and serves every connection of one service instance. The
/// progress within one connection is its [`State`](Self::State).
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
    /// A decoded message. It may borrow from the received bytes.
    type Message<'a>;

    /// The progress within one connection's stream, kept between two calls.
    ///
    /// A server holds one for each connection, idle ones included, so it should be small.
    type State: Default + 'static;

    /// Whether an encoded message is exactly its payload.
    ///
    /// If it is, an engine may queue a shared payload by reference and never call
    /// [`encode`](Self::encode).
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
    /// [`DecodeError`]: the bytes break the protocol, or exceed one of the codec's limits.
    fn decode<'a>(
        &self,
        state: &mut Self::State,
        input: &'a mut [u8],
    ) -> Result<Decoded<Self::Message<'a>>, DecodeError>;

    /// Decodes the end of a stream: `rest` is a last message, nothing, or an error.
    ///
    /// The peer has ended its stream. `rest` are the bytes that [`decode`](Self::decode) answered with
    /// [`Decoded::Partial`]; it is never empty.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] by default.
    fn finish<'a>(
        &self,
        state: &mut Self::State,
        rest: &'a mut [u8],
    ) -> Result<Option<Self::Message<'a>>, DecodeError> {
        let _ = state;
        Err(DecodeError::Truncated { have: rest.len() })
    }

    /// Writes one message, whose payload is `parts` joined, to `out`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`]: the protocol cannot express the payload. Nothing was written to `out`.
    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), EncodeError>;
}

/// Says what [`Codec::decode`] found at the front of its input.
///
/// If a codec takes no bytes, or more than there are, the engine closes the connection and logs an
/// error that names the codec. A `need` that is not larger than the input counts as one more byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
