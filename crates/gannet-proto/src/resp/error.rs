//! Errors of the RESP codecs.

use thiserror::Error;

use crate::FrameError;

/// Says what is wrong with a received command or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The message exceeds a limit, or the stream ended inside it.
    #[error("{0}")]
    Frame(#[from] FrameError),

    /// The bytes are malformed.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
}

/// Says what is malformed in received bytes, or which limit with an error of its own they exceed.
///
/// The variants up to [`UnauthenticatedLength`](Self::UnauthenticatedLength) are about commands. Their text is
/// Redis's, without the leading `ERR `. A server sends it with [`Writer::error`](super::Writer::error) and closes the
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// An inline command is longer than [`Commands::max_inline`](super::Commands::max_inline).
    #[error("Protocol error: too big inline request")]
    InlineTooBig,

    /// An inline command ends inside quotes, or has something other than a blank behind a closing quote.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,

    /// The line that counts a command's words has no end within 64 KiB.
    #[error("Protocol error: too big mbulk count string")]
    CountTooBig,

    /// The count of a command's words is not a number, or is over [`Commands::max_args`](super::Commands::max_args).
    #[error("Protocol error: invalid multibulk length")]
    InvalidCount,

    /// The line with the length of a command's word has no end within 64 KiB.
    #[error("Protocol error: too big bulk count string")]
    LengthTooBig,

    /// A command's word is not a bulk string.
    #[error("Protocol error: expected '$', got '{}'", shown(*.got))]
    NotBulk {
        /// The byte that stands where the `$` should. Line breaks are shown as a blank; a byte outside of ASCII is
        /// shown as the character of that number, where Redis sends the bare byte.
        got: u8,
    },

    /// The length of a command's word is not a number, is negative, or is over
    /// [`Commands::max_bulk`](super::Commands::max_bulk).
    #[error("Protocol error: invalid bulk length")]
    InvalidLength,

    /// A client that has not authenticated sends more than 10 words.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedCount,

    /// A client that has not authenticated sends a word of more than 16 KiB.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedLength,

    /// A value of a reply begins with a byte that is no type.
    #[error("no value begins with '{}'", .got.escape_ascii())]
    UnknownType {
        /// The byte.
        got: u8,
    },

    /// A number, length, boolean or format of a reply is not one.
    #[error("malformed value of type '{}'", char::from(*.kind))]
    Malformed {
        /// The byte that the value begins with.
        kind: u8,
    },

    /// `\r\n` is missing behind a string of a reply, or `\n` behind the `\r` of a line.
    #[error("a line break is missing in a reply")]
    MissingLineBreak,

    /// A line of a reply is longer than [`Replies::max_line`](super::Replies::max_line).
    #[error("a line of a reply exceeds the limit of {limit} bytes")]
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
    },

    /// A value of a reply is streamed: its length is `?`.
    #[error("streamed value of type '{}', which is not supported", char::from(*.kind))]
    Streamed {
        /// The byte that the value begins with.
        kind: u8,
    },

    /// A reply has more values inside than [`Replies::max_elements`](super::Replies::max_elements).
    #[error("a reply has more than {limit} values inside")]
    TooManyElements {
        /// The limit.
        limit: usize,
    },

    /// The values of a reply are inside others on more levels than [`Replies::max_depth`](super::Replies::max_depth).
    #[error("a reply has values inside others on more than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: u8,
    },
}

/// As Redis shows a byte in an error, which is one line.
fn shown(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        other => char::from(other),
    }
}
