//! The errors of decoding and encoding.

use thiserror::Error;

use crate::{http, resp, ws};

/// Says that received bytes break the protocol, or exceed a limit of the codec.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message is larger than the codec accepts.
    #[error("message of at least {length} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The size of the message in bytes: the whole size if the protocol says it in advance, and
        /// otherwise the part that has been seen so far.
        length: u64,
        /// The limit in bytes that the codec was configured with.
        limit: usize,
    },

    /// The stream ended in the middle of a message.
    #[error("stream ended inside a message, {have} bytes after its start")]
    Truncated {
        /// How many bytes of the unfinished message had arrived.
        have: usize,
    },

    /// A length that counts its own header is smaller than that header.
    #[error("length {length} is smaller than the {header} bytes of the header that it counts")]
    BadLength {
        /// The length that the header gave.
        length: u64,
        /// The header's size in bytes.
        header: usize,
    },

    /// A variable-size length was written with more bytes than it takes.
    #[error("length is written with {bytes} bytes although fewer would do")]
    OverlongLength {
        /// How many bytes it was written with.
        bytes: usize,
    },

    /// A variable-size length does not fit 64 bits.
    #[error("length does not fit 64 bits: its tenth byte is {last:#04x}, not 0x01")]
    OverflowingLength {
        /// The tenth byte.
        last: u8,
    },

    /// The bytes are not valid RESP.
    #[error(transparent)]
    Resp(#[from] resp::ProtocolError),
    /// The bytes are not valid HTTP, or HTTP that is not accepted.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The bytes are not valid WebSocket frames, or frames that the peer may not send.
    #[error(transparent)]
    Ws(#[from] ws::Error),
}

/// Says that the codec's protocol cannot express a payload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The payload is larger than the protocol can express.
    #[error("payload of {length} bytes exceeds the {limit} bytes that the protocol can express")]
    TooLarge {
        /// The payload's size in bytes; `usize::MAX` stands for anything that does not fit it.
        length: usize,
        /// The largest size in bytes that can be expressed.
        limit: u64,
    },

    /// The payload of a line contains a line break, so it would arrive as two messages.
    #[error("payload has a line break at byte {position}, so it would become two lines")]
    LineBreak {
        /// Where the first `\n` is in the joined payload, counted from 0.
        position: usize,
    },
    /// A text message is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,

    /// A WebSocket client's frame needs a mask, which a codec without randomness does not have.
    #[error("a client's frame needs a mask: write it with ws::write_frame")]
    NoMask,
}
