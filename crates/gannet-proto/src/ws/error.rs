//! Errors of the WebSocket codec.

use thiserror::Error;

use super::{CloseCode, Opcode};
use crate::FrameError;

/// Says what is wrong with a received frame, or why a frame cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A frame or a message exceeds a limit, or the stream ended inside it.
    #[error("{0}")]
    Frame(#[from] FrameError),

    /// A reserved bit is set that no extension gave a meaning (RFC 6455 §5.2, RFC 7692 §6).
    #[error("reserved bits {bits:#05b} are set without an extension that uses them here")]
    ReservedBits {
        /// RSV1, RSV2 and RSV3, the first one as the highest of three bits.
        bits: u8,
    },

    /// The opcode is one that has no meaning (RFC 6455 §5.2).
    #[error("opcode {opcode:#x} is reserved")]
    UnknownOpcode {
        /// Which one.
        opcode: u8,
    },

    /// A client sent a frame without a mask (RFC 6455 §5.1).
    #[error("frame from a client is not masked")]
    Unmasked,

    /// A server sent a frame with a mask, or is to send one (RFC 6455 §5.1).
    #[error("frame from a server is masked")]
    Masked,

    /// A length is written with more bytes than it takes (RFC 6455 §5.2).
    #[error("length {length} is written with more bytes than it takes")]
    OverlongLength {
        /// The length.
        length: u64,
    },

    /// The highest bit of a 64-bit length is set (RFC 6455 §5.2).
    #[error("length {length:#x} has its highest bit set")]
    OverflowingLength {
        /// The length with that bit.
        length: u64,
    },

    /// A control frame is marked as a fragment (RFC 6455 §5.5).
    #[error("{opcode} frame is fragmented")]
    FragmentedControl {
        /// The frame's opcode.
        opcode: Opcode,
    },

    /// A control frame has more than 125 bytes of payload (RFC 6455 §5.5).
    #[error("{opcode} frame has more than 125 bytes of payload")]
    LongControl {
        /// The frame's opcode.
        opcode: Opcode,
    },

    /// A continuation came while no message was under way (RFC 6455 §5.4).
    #[error("continuation frame without a message to continue")]
    NothingToContinue,

    /// A new message began inside of a fragmented one (RFC 6455 §5.4).
    #[error("{opcode} frame where a fragmented message has to be continued")]
    Interleaved {
        /// The frame's opcode.
        opcode: Opcode,
    },

    /// Text, or the reason of a close frame, is not UTF-8 (RFC 6455 §8.1).
    #[error("text is not UTF-8")]
    NotUtf8,

    /// A close frame has a payload of one byte (RFC 6455 §5.5.1).
    #[error("close frame has half of a code")]
    HalfCloseCode,

    /// A close frame has a code that must not be sent (RFC 6455 §7.4).
    #[error("close code {code} must not be sent")]
    BadCloseCode {
        /// The code.
        code: u16,
    },

    /// A compressed message is no DEFLATE data (RFC 7692 §7.2.2).
    #[error("compressed message is damaged")]
    Damaged,

    /// The payload to send is larger than a frame of its kind can have.
    #[error("payload of {length} bytes exceeds the {limit} bytes that the frame can have")]
    PayloadTooLarge {
        /// The payload's size in bytes; `usize::MAX` stands for anything that does not fit it.
        length: usize,
        /// The largest size in bytes.
        limit: u64,
    },

    /// A client is to send a frame without a mask (RFC 6455 §5.3).
    #[error("a client's frame needs a mask: give it one with ws::Frame::masked")]
    NoMask,
}

impl Error {
    /// Returns the code to close the connection with.
    ///
    /// It is 1009 for a message over a limit, 1007 for text that is not UTF-8 and for damaged compressed data, and
    /// 1002 otherwise.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::Frame(FrameError::TooLarge { .. }) => CloseCode::TOO_LARGE,
            Self::NotUtf8 | Self::Damaged => CloseCode::INVALID_DATA,
            _ => CloseCode::PROTOCOL,
        }
    }
}
