//! Writes responses, on the server's side.

use super::{Error, HeaderError, HeaderLines, Version, header_lines, status};
use crate::Sink;

/// Tells a client that sent `Expect: 100-continue` to send the body (RFC 9110 §15.2.1). The response follows when the
/// body has come.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Holds the part of a request that a [`Response`] needs: see [`Request::answer`](super::Request::answer).
///
/// A service that answers later keeps this instead of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(super) version: Version,
    pub(super) head: bool,
    pub(super) keep_alive: bool,
}

impl Answer {
    /// Answers a request that is malformed, or that is not read to its end: the connection closes after the response.
    pub const CLOSE: Self = Self { version: Version::Http11, head: false, keep_alive: false };

    /// Makes the connection close after the response; the response announces it.
    #[must_use]
    pub const fn last(self) -> Self {
        Self { keep_alive: false, ..self }
    }
}

/// The status that has no content, but the framing of a body (RFC 9110 §15.3.6).
const RESET_CONTENT: u16 = 205;

/// Says whether a connection stays open after a response (RFC 9112 §9.3).
#[must_use = "a connection that does not stay has to be closed when the response was sent"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open.
    Keep,
    /// Close it when everything was sent.
    Close,
}

impl Persistence {
    /// Returns true if the connection stays open.
    #[must_use]
    pub const fn is_keep(self) -> bool {
        matches!(self, Self::Keep)
    }

    const fn new(keep: bool) -> Self {
        if keep { Self::Keep } else { Self::Close }
    }
}

/// Writes a response to a [`Sink`].
///
/// It writes the status line when it is made, then header fields. One of these methods completes it:
/// [`body`](Self::body), [`chunked`](Self::chunked), [`sized`](Self::sized) or [`upgrade`](Self::upgrade).
///
/// It writes `Content-Length`, `Transfer-Encoding` and `Connection` itself. It has no clock, so set `Date` yourself
/// (RFC 9110 §6.6.1). It allocates nothing.
///
/// ```
/// use gannet_proto::http::{Answer, Response};
///
/// let mut out = Vec::new();
/// let mut response = Response::new(&mut out, Answer::CLOSE, 404);
/// response.header("Content-Type", b"text/plain")?;
/// let persistence = response.body(b"no such page\n");
/// assert!(!persistence.is_keep());
/// let expected = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nConnection: close\r\n\
///                 Content-Length: 13\r\n\r\nno such page\n";
/// assert_eq!(out, expected.as_bytes());
/// # Ok::<(), gannet_proto::http::HeaderError>(())
/// ```
#[must_use = "a response without a body is not complete"]
#[derive(Debug)]
pub struct Response<S> {
    out: S,
    answer: Answer,
    status: u16,
}

impl<S: Sink> Response<S> {
    /// Writes the status line to `out`, which may be a `&mut` reference to a sink.
    ///
    /// A status below 101 or over 999 is a mistake of the caller, and 500 is sent instead.
    #[inline]
    pub fn new(mut out: S, answer: Answer, status: u16) -> Self {
        let status = if (101..=999).contains(&status) { status } else { 500 };
        match status::line(status) {
            Some(line) => out.put(line),
            None => {
                out.put(b"HTTP/1.1 ");
                put_number(&mut out, status.into());
                out.put(b" \r\n");
            }
        }
        Self { out, answer, status }
    }

    /// Writes a whole response to a request that was refused: the status, and the reason as text. Close the
    /// connection when it was sent.
    pub fn refuse(out: S, error: &Error) -> Persistence {
        let mut response = Self::new(out, Answer::CLOSE, error.status());
        response.out.put(b"Content-Type: text/plain\r\n");
        let mut text = Line::default();
        // A reason over the line's size is cut.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{error}\n"));
        response.body(&text.bytes[..text.len])
    }

    /// Writes a header field. If it fails, go on without the field.
    ///
    /// # Errors
    ///
    /// [`HeaderError`]: the name is no token, the value has control characters, or the response writes this field
    /// itself. Nothing is written.
    #[inline]
    pub fn header(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        header_lines::put_field(&mut self.out, name, value)
    }

    /// Writes all header fields of a [`HeaderLines`].
    #[inline]
    pub fn headers(&mut self, lines: &HeaderLines) {
        self.out.put(lines.as_bytes());
    }

    /// Makes the connection close after this response.
    #[inline]
    pub fn close(&mut self) {
        self.answer.keep_alive = false;
    }

    /// Completes the response with this body.
    ///
    /// The body is left out if the request was `HEAD`, or the status is 1xx, 204, 205 or 304 (RFC 9112 §6.3). Its
    /// length is then announced only for `HEAD` (RFC 9110 §8.6), and as 0 for 205.
    #[inline]
    pub fn body(mut self, bytes: &[u8]) -> Persistence {
        let bytes = if self.status == RESET_CONTENT { &[] } else { bytes };
        self.connection();
        if self.has_no_content() {
            self.out.put(b"\r\n");
        } else {
            put_length(&mut self.out, bytes.len() as u64);
            if !self.answer.head {
                self.out.put(bytes);
            }
        }
        Persistence::new(self.answer.keep_alive)
    }

    /// Completes the head of a response whose body is written piece by piece.
    ///
    /// The body is sent in chunks (RFC 9112 §7.1), and to a client of HTTP/1.0 until the connection closes.
    #[inline]
    pub fn chunked(mut self) -> Chunks {
        if self.status == RESET_CONTENT {
            return self.sized(0);
        }
        let none = self.answer.head || self.has_no_content();
        let old = self.answer.version == Version::Http10;
        if old && !self.has_no_content() {
            self.close();
        }
        self.connection();
        if !old && !self.has_no_content() {
            self.out.put(b"Transfer-Encoding: chunked\r\n");
        }
        self.out.put(b"\r\n");
        let kind = match (none, old) {
            (true, _) => Kind::None,
            (false, true) => Kind::Plain,
            (false, false) => Kind::Chunked,
        };
        Chunks { kind, keep_alive: self.answer.keep_alive }
    }

    /// Completes the head of a response whose body of `length` bytes is written piece by piece, without framing.
    ///
    /// Write exactly as many bytes, or break the connection.
    #[inline]
    pub fn sized(mut self, length: u64) -> Chunks {
        let (none, length) = match self.status {
            RESET_CONTENT => (true, 0),
            _ => (self.answer.head || self.has_no_content(), length),
        };
        self.connection();
        if self.has_no_content() {
            self.out.put(b"\r\n");
        } else {
            put_length(&mut self.out, length);
        }
        Chunks { kind: if none { Kind::None } else { Kind::Plain }, keep_alive: self.answer.keep_alive }
    }

    /// Completes a response of status 101: from here on the connection speaks `protocol`, such as `websocket` (RFC
    /// 9110 §7.8).
    ///
    /// # Errors
    ///
    /// [`HeaderError::Value`]: `protocol` has control characters. Nothing is written, and the response is lost.
    pub fn upgrade(mut self, protocol: &str) -> Result<(), HeaderError> {
        self.header("Upgrade", protocol.as_bytes())?;
        self.out.put(b"Connection: upgrade\r\n\r\n");
        Ok(())
    }

    /// Says whether the connection stays, where the version does not say it already.
    #[inline]
    fn connection(&mut self) {
        if self.status == 426 {
            // It has an `Upgrade`, which is for the next hop only (RFC 9110 §15.5.22 and §7.8).
            self.out.put(b"Connection: upgrade\r\n");
        }
        match (self.answer.version, self.answer.keep_alive) {
            (_, false) => self.out.put(b"Connection: close\r\n"),
            (Version::Http10, true) => self.out.put(b"Connection: keep-alive\r\n"),
            (Version::Http11, true) => (),
        }
    }

    /// Whether the status has no content, nor a length of it.
    const fn has_no_content(&self) -> bool {
        matches!(self.status, ..200 | 204 | 304)
    }
}

/// Writes the body of a response piece by piece. It holds no sink, so you may keep it between pieces.
#[must_use = "a body has to be finished"]
#[derive(Debug)]
pub struct Chunks {
    kind: Kind,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Chunked,
    Plain,
    None,
}

impl Chunks {
    /// Writes a piece of the body. An empty piece writes nothing, and does not end the body.
    #[inline]
    pub fn chunk(&mut self, bytes: &[u8], mut out: impl Sink) {
        match self.kind {
            Kind::Chunked if !bytes.is_empty() => {
                out.put(size_line(bytes.len(), &mut [0; SIZE_LINE]));
                out.put(bytes);
                out.put(b"\r\n");
            }
            Kind::Plain => out.put(bytes),
            Kind::Chunked | Kind::None => (),
        }
    }

    /// Returns the framing before and after a piece of `length` bytes, for callers that write all three at once.
    ///
    /// `line` is memory for the framing before it. Do not write an empty piece this way: it would end the body.
    #[inline]
    pub fn around<'l>(&self, length: usize, line: &'l mut [u8; SIZE_LINE]) -> [&'l [u8]; 2] {
        match self.kind {
            Kind::Chunked => [size_line(length, line), b"\r\n"],
            Kind::Plain | Kind::None => [b"", b""],
        }
    }

    /// Returns true if pieces are written as chunks.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.kind == Kind::Chunked
    }

    /// Returns true if the request or the status allows no body.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.kind == Kind::None
    }

    /// Ends the body.
    #[inline]
    pub fn finish(self, mut out: impl Sink) -> Persistence {
        if self.kind == Kind::Chunked {
            out.put(b"0\r\n\r\n");
        }
        Persistence::new(self.keep_alive)
    }
}

/// Ends a head with the length of the body, in one piece: the digits are written from the last one on, and the field's
/// name before them.
#[inline]
pub(super) fn put_length(out: &mut impl Sink, length: u64) {
    const NAME: &[u8; 16] = b"Content-Length: ";
    const END: &[u8; 4] = b"\r\n\r\n";
    let mut line = [0; NAME.len() + DIGITS + END.len()];
    let (space, end) = line.split_at_mut(NAME.len() + DIGITS);
    end.copy_from_slice(END);
    let digits = put_digits(space, length);
    let start = digits - NAME.len();
    line[start..digits].copy_from_slice(NAME);
    out.put(&line[start..]);
}

/// The most digits of a number.
const DIGITS: usize = 20;

/// Writes a number in decimal.
#[inline]
fn put_number(out: &mut impl Sink, number: u64) {
    let mut digits = [0; DIGITS];
    let at = put_digits(&mut digits, number);
    out.put(&digits[at..]);
}

/// Writes a number in decimal to the end of `space`, and says where it begins.
#[inline]
fn put_digits(space: &mut [u8], mut number: u64) -> usize {
    let mut at = space.len();
    loop {
        at -= 1;
        space[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return at;
        }
    }
}

/// The size of the longest line that [`size_line`] writes, in bytes with its ending.
pub const SIZE_LINE: usize = 18;

/// Writes the line with a chunk's size, which precedes the chunk; `\r\n` follows it (RFC 9112 §7.1).
///
/// Use it to frame one chunk for many connections.
#[inline]
pub fn size_line(mut number: usize, line: &mut [u8; SIZE_LINE]) -> &[u8] {
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    loop {
        at -= 1;
        line[at] = b"0123456789abcdef"[number % 16];
        number /= 16;
        if number == 0 {
            return &line[at..];
        }
    }
}

/// A short text on the stack.
struct Line {
    bytes: [u8; 96],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 96], len: 0 }
    }
}

impl std::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
