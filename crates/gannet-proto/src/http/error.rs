//! Errors of the HTTP codecs.

use thiserror::Error;

use crate::FrameError;

/// Says what is wrong with a received HTTP message, or why a message cannot be sent.
///
/// A server answers with [`status`](Self::status) and closes the connection, because it cannot know where the next
/// request begins (RFC 9112 §9.3, §11.2). The text is short, and may be shown to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The message exceeds a limit of the caller, or the stream ended inside it.
    #[error("{0}")]
    Frame(#[from] FrameError),

    /// A header field of a message to send cannot be written.
    #[error("{0}")]
    Field(#[from] HeaderError),

    /// A line of a head, a trailer or a chunk's size is not ended by `\r\n` (RFC 9112 §2.2).
    #[error("line not ended by CR LF")]
    LineEnd,

    /// The request line is not a method, a target and a version with one blank between them (RFC 9112 §3).
    #[error("malformed request line")]
    RequestLine,

    /// The line that a response begins with is not a version, a status of three digits and a reason (RFC 9112 §4).
    #[error("malformed status line")]
    StatusLine,

    /// The method is no token (RFC 9110 §9.1).
    #[error("malformed method")]
    Method,

    /// The target has none of the forms that its method allows, or bytes that no URI has (RFC 9112 §3.2).
    #[error("malformed request target")]
    Target,

    /// A header or trailer field is malformed: its name is no token, has whitespace before the colon, is folded over
    /// lines, or has control characters in its value (RFC 9112 §5, RFC 9110 §5.5).
    #[error("malformed header field")]
    Header,

    /// `Host` is missing in HTTP/1.1, is there more than once, or is no host and port (RFC 9112 §3.2).
    #[error("missing, doubled or malformed Host")]
    Host,

    /// `Content-Length` is there more than once or is no decimal number of at most 19 digits (RFC 9112 §6.3).
    #[error("doubled or malformed Content-Length")]
    ContentLength,

    /// `Transfer-Encoding` is there more than once, is malformed, does not end in `chunked`, or came in HTTP/1.0
    /// (RFC 9112 §6.1).
    #[error("doubled or malformed Transfer-Encoding")]
    TransferEncoding,

    /// `Transfer-Encoding` and `Content-Length` are both there: an attempt at request smuggling (RFC 9112 §6.1).
    #[error("both Transfer-Encoding and Content-Length")]
    TwoLengths,

    /// A chunk's size or extensions are malformed or too long, or its data are not followed by `\r\n`
    /// (RFC 9112 §7.1).
    #[error("malformed chunk")]
    Chunk,

    /// The body is over its limit (RFC 9110 §15.5.14).
    #[error("body exceeds the limit of {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },

    /// The sizes and extensions of a body's chunks are together over their limit.
    #[error("framing of the body exceeds the limit of {limit} bytes")]
    FramingTooLarge {
        /// The limit in bytes.
        limit: usize,
    },

    /// The request line is over its limit (RFC 9110 §15.5.15).
    #[error("request line exceeds the limit of {limit} bytes")]
    RequestLineTooLong {
        /// The limit in bytes, line ending not counted.
        limit: usize,
    },

    /// The client sent an unknown expectation (RFC 9110 §10.1.1).
    #[error("unknown expectation")]
    Expectation,

    /// The head or the trailer section is over its limit (RFC 6585 §5).
    #[error("header fields exceed the limit of {limit} bytes")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },

    /// There are more header or trailer fields than the limit (RFC 6585 §5).
    #[error("more than {limit} header fields")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },

    /// The method is `CONNECT`, which is for proxies only (RFC 9110 §9.3.6).
    #[error("CONNECT is for proxies, and not answered here")]
    Connect,

    /// The body has a transfer coding other than `chunked` (RFC 9112 §6.1).
    #[error("unknown transfer coding")]
    UnknownCoding,

    /// The major version is not 1 (RFC 9110 §15.6.6).
    #[error("HTTP version not supported")]
    UnsupportedVersion,
}

impl Error {
    /// Returns the status code to answer a request with.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BodyTooLarge { .. } | Self::FramingTooLarge { .. } | Self::Frame(FrameError::TooLarge { .. }) => 413,
            Self::RequestLineTooLong { .. } => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge { .. } | Self::TooManyHeaders { .. } => 431,
            Self::Connect | Self::UnknownCoding => 501,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }
}

/// Says why a header field cannot be written. Nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is no token (RFC 9110 §5.1).
    #[error("the name of a header field is no token")]
    Name,

    /// The value has a control character other than a tab, so that it could end the field (RFC 9110 §5.5).
    #[error("the value of a header field has a control character at byte {position}")]
    Value {
        /// The position of that character, counted from 0.
        position: usize,
    },

    /// The message writes this field itself: `Connection`, `Content-Length`, `Transfer-Encoding`, and a request's
    /// `Host`.
    #[error("a header field that the message writes itself")]
    Reserved,
}
