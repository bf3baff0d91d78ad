//! Errors of the codec.

use thiserror::Error;

use crate::FrameError;

/// Says what is wrong with a received frame, or why a payload cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The payload exceeds the limit, or the stream ended inside it.
    #[error("{0}")]
    Frame(#[from] FrameError),

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

    /// The payload to send is larger than the header can express.
    #[error("payload of {length} bytes exceeds the {limit} bytes that the header can express")]
    PayloadTooLarge {
        /// The payload's size in bytes; `usize::MAX` stands for anything that does not fit it.
        length: usize,
        /// The largest size in bytes that can be expressed.
        limit: u64,
    },
}
