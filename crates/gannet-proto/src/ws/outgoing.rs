//! A frame for the codec to encode.

use super::write::{Kind, put};
use super::{Close, CloseCode, Error, Message, Opcode};
use crate::Sink;

/// Describes one frame to send: a whole message, or a control frame.
///
/// A server sends it as it is; a client [masks](Self::masked) each frame. The payload is borrowed, and copied once
/// when it is encoded.
///
/// ```
/// use gannet_proto::ws::{Frame, WebSocket};
/// use gannet_proto::Codec;
///
/// let mut out = Vec::new();
/// WebSocket::server().encode(Frame::text("Hello"), &mut out)?;
/// assert_eq!(out, b"\x81\x05Hello");
/// # Ok::<(), gannet_proto::ws::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    opcode: Opcode,
    /// Of a close frame that has one: it comes before the payload.
    code: Option<CloseCode>,
    payload: &'a [u8],
    mask: Option<[u8; 4]>,
}

impl<'a> Frame<'a> {
    const fn new(opcode: Opcode, payload: &'a [u8]) -> Self {
        Self { opcode, code: None, payload, mask: None }
    }

    /// Makes a text message.
    #[must_use]
    pub const fn text(text: &'a str) -> Self {
        Self::new(Opcode::Text, text.as_bytes())
    }

    /// Makes a binary message.
    #[must_use]
    pub const fn binary(bytes: &'a [u8]) -> Self {
        Self::new(Opcode::Binary, bytes)
    }

    /// Makes a ping, which the peer answers with a pong of the same payload (RFC 6455 §5.5.2). At most 125 bytes can
    /// be sent.
    #[must_use]
    pub const fn ping(payload: &'a [u8]) -> Self {
        Self::new(Opcode::Ping, payload)
    }

    /// Makes a pong, the answer to a ping, with the ping's payload. At most 125 bytes can be sent.
    #[must_use]
    pub const fn pong(payload: &'a [u8]) -> Self {
        Self::new(Opcode::Pong, payload)
    }

    /// Makes a close frame, the last frame that may be sent (RFC 6455 §5.5.1). At most 123 bytes of a reason can be
    /// sent.
    #[must_use]
    pub const fn close(close: Option<Close<'a>>) -> Self {
        match close {
            Some(Close { code, reason }) => Self { code: Some(code), ..Self::new(Opcode::Close, reason.as_bytes()) },
            None => Self::new(Opcode::Close, &[]),
        }
    }

    /// Masks the frame. A client must mask each frame with a fresh key that cannot be predicted (RFC 6455 §5.3).
    #[must_use]
    pub const fn masked(self, key: [u8; 4]) -> Self {
        Self { mask: Some(key), ..self }
    }

    #[inline]
    pub(super) const fn is_masked(&self) -> bool {
        self.mask.is_some()
    }

    #[inline]
    pub(super) fn write(self, out: &mut impl Sink) -> Result<(), Error> {
        let kind = Kind { last: true, compressed: false, opcode: self.opcode };
        match self.code {
            Some(code) => put(out, kind, &[&code.get().to_be_bytes(), self.payload], self.mask),
            None => put(out, kind, &[self.payload], self.mask),
        }
    }
}

/// The frame that says the same, without a mask.
impl<'a> From<&'a Message<'_>> for Frame<'a> {
    fn from(message: &'a Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::text(text),
            Message::Binary(bytes) => Self::binary(bytes),
            Message::Ping(payload) => Self::ping(payload),
            Message::Pong(payload) => Self::pong(payload),
            Message::Close(close) => Self::close(*close),
        }
    }
}
