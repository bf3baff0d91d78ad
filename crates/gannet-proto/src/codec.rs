//! The contract between a codec and whoever moves the bytes.

use crate::{DecodeError, EncodeError, Sink};

/// Turns bytes into messages and back, without I/O.
///
/// The value is the configuration and serves every connection of one service instance; what is
/// known about one connection between two calls is in [`State`](Self::State).
///
/// # What the caller does
///
/// It keeps the bytes that were received and not consumed, in order, and calls [`decode`] with all
/// of them. After a message, or [`Decoded::Taken`], it drops the consumed bytes and calls again
/// with the rest, if there is any; after [`Decoded::Partial`] it calls again when more bytes have
/// arrived. Each connection has its own state, made with `Default`. When the peer has ended its
/// stream, [`decode`] has answered [`Decoded::Partial`] and bytes are left, it calls [`finish`]
/// once.
///
/// After an error the stream has no meaning any more: the caller closes the connection and does
/// not use its state again.
///
/// [`decode`]: Self::decode
/// [`finish`]: Self::finish
pub trait Codec: Default + 'static {
    /// A decoded message. It may borrow from the received bytes.
    type Message<'a>;

    /// What one connection's stream has come to between two calls.
    ///
    /// A server holds one for each connection, idle ones included, so it should be small.
    type State: Default + 'static;

    /// Whether an encoded message is exactly its payload.
    ///
    /// Where it is, an engine may queue a shared payload by reference and never call
    /// [`encode`](Self::encode).
    const TRANSPARENT: bool = false;

    /// Takes one message off the front of `input`, which is everything received and not yet
    /// consumed.
    ///
    /// `input` is mutable so that a codec may unmask or decrypt in place. What it has changed, it
    /// must find changed in the next call: the caller carries over the bytes as they were left. What
    /// follows a message must be as it came: a caller may give it from another copy.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] where the bytes break the protocol or one of the codec's limits.
    fn decode<'a>(
        &self,
        state: &mut Self::State,
        input: &'a mut [u8],
    ) -> Result<Decoded<Self::Message<'a>>, DecodeError>;

    /// Says what `rest` means, now that the peer has ended its stream: a last message, nothing, or
    /// an error.
    ///
    /// `rest` is what [`decode`](Self::decode) was given last and answered with
    /// [`Decoded::Partial`]. It is never empty.
    ///
    /// # Errors
    ///
    /// Unless the codec says otherwise, [`DecodeError::Truncated`].
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
    /// [`EncodeError`] where the protocol cannot express the payload. Nothing has been written to
    /// `out` then.
    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), EncodeError>;
}

/// What [`Codec::decode`] found at the front of its input.
///
/// The engine closes the connection of a codec that takes no bytes, or more than there are, and logs an error that names it.
/// A `need` that is not more than the input has counts as one more byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<M> {
    /// A whole message.
    Message {
        /// The message.
        message: M,
        /// How many bytes of the input it took, framing included: at least 1, at most all.
        consumed: usize,
    },
    /// Part of a message, which the state holds now, within the codec's limits; or bytes that mean nothing any more.
    Taken {
        /// How many bytes of the input it took: at least 1, at most all.
        consumed: usize,
    },
    /// The beginning of a message.
    Partial {
        /// The number of bytes, counted from the start of the input, below which another call is
        /// pointless. Always more than the input has; one more where the codec cannot tell. Within
        /// the codec's limits, so that it may be reserved at once.
        need: usize,
    },
}
