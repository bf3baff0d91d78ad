//! What makes bytes no RESP.

use thiserror::Error;

/// The peer's bytes are no RESP, or break a limit that has an error of its own.
///
/// For what a client sends, the text is what Redis answers, without the `ERR ` in front: a server sends it with
/// [`Writer::error`](super::Writer::error) and closes the connection.
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
}

/// As Redis shows a byte in an error, which is one line.
fn shown(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        other => char::from(other),
    }
}
