//! Why bytes are no message that is accepted, or a header field cannot be written.

use thiserror::Error;

use crate::FrameError;

/// Says why bytes are no HTTP message that is accepted, or why a message cannot be sent.
///
/// A server answers with [`status`](Self::status) and closes the connection: where the next request would begin is
/// not known any more (RFC 9112 §9.3, §11.2). The text says the reason in a few words that may be shown to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The message is over a limit of the caller's, or not whole when the stream ended.
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

    /// The body is larger than is accepted (RFC 9110 §15.5.14).
    #[error("body exceeds the limit of {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },

    /// The sizes and extensions of a body's chunks together are larger than is accepted.
    #[error("framing of the body exceeds the limit of {limit} bytes")]
    FramingTooLarge {
        /// The limit in bytes.
        limit: usize,
    },

    /// The request line is longer than is accepted (RFC 9110 §15.5.15).
    #[error("request line exceeds the limit of {limit} bytes")]
    RequestLineTooLong {
        /// The limit in bytes, line ending not counted.
        limit: usize,
    },

    /// The client expects what is not known (RFC 9110 §10.1.1).
    #[error("unknown expectation")]
    Expectation,

    /// The head, or the trailer section, is larger than is accepted (RFC 6585 §5).
    #[error("header fields exceed the limit of {limit} bytes")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },

    /// There are more header or trailer fields than are accepted (RFC 6585 §5).
    #[error("more than {limit} header fields")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },

    /// `CONNECT`, which only proxies have a use for (RFC 9110 §9.3.6).
    #[error("CONNECT is for proxies, and not answered here")]
    Connect,

    /// The body has a transfer coding other than `chunked` (RFC 9112 §6.1).
    #[error("unknown transfer coding")]
    UnknownCoding,

    /// A major version other than 1 (RFC 9110 §15.6.6).
    #[error("HTTP version not supported")]
    UnsupportedVersion,
}

impl Error {
    /// Returns the status code to answer with, if this is about a request.
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

/// Says why a header field cannot be written; nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is no token (RFC 9110 §5.1).
    #[error("the name of a header field is no token")]
    Name,

    /// The value has a control character other than a tab, so that it could end the field (RFC 9110 §5.5).
    #[error("the value of a header field has a control character at byte {position}")]
    Value {
        /// Where that character is, counted from 0.
        position: usize,
    },

    /// `Connection`, `Content-Length` and `Transfer-Encoding` are written by the message itself, and so is a request's
    /// `Host`.
    #[error("a header field that the message writes itself")]
    Reserved,
}
