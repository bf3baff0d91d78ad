//! Decodes responses, on the client's side.

use std::fmt;
use std::mem::MaybeUninit;

use httparse::Status;
use memchr::memchr;

use super::chunked::{self, Chunks, Joined, Limits};
use super::head::{Fields, Framing, MOST_HEADERS, end_of_fields, is_later_version};
use super::lines::{self, Kind, Progress};
use super::{Error, Headers, Version, WholeRequest};
use crate::{Codec, Decoded, FrameError, Sink};

/// Decodes responses with their bodies (RFC 9112), for a client.
///
/// A message is a whole response. Its body is delivered in one piece, whether it came with `Content-Length`, in
/// chunks, or until the end of the connection. An interim response (1xx) is a message too. About the end of a message
/// it is as strict as [`Requests`](super::Requests).
///
/// A response to `HEAD` has no body, whatever its fields say. The codec cannot recognise it: see [`to_head`].
///
/// It encodes a [`WholeRequest`].
///
/// # Limits
///
/// | what | default | set by | over it |
/// |---|---|---|---|
/// | the head, and the trailer section | 16 KiB | [`max_head`](Self::max_head) | [`Error::HeadTooLarge`] |
/// | header fields, and trailer fields | 128 | | [`Error::TooManyHeaders`] |
/// | the body | 16 MiB | [`max_body`](Self::max_body) | [`Error::BodyTooLarge`] |
/// | the lines between a body's chunks, together | 16 MiB | the body's | [`Error::FramingTooLarge`] |
///
/// [`to_head`]: Self::to_head
///
/// ```
/// use gannet_proto::http::Responses;
/// use gannet_proto::{Codec, Decoded};
///
/// let mut received = *b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// let decoded = Responses::new().decode(&mut Default::default(), &mut received)?;
/// let Decoded::Message { message: reply, consumed: 43 } = decoded else { unreachable!() };
/// assert_eq!((reply.status, reply.body), (200, &b"hello"[..]));
/// # Ok::<(), gannet_proto::http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Responses {
    max_head: u32,
    max_body: u32,
    to_head: bool,
}

/// Heads and bodies over 512 MiB are never accepted, so that 32 bits are enough to count.
const MOST_BYTES: usize = 512 << 20;

impl Responses {
    /// Makes a codec with the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_head: 16 << 10, max_body: 16 << 20, to_head: false }
    }

    /// Sets the limit of a head and of a trailer section, in bytes (default 16 KiB, at most 512 MiB).
    ///
    /// A head includes the empty line at its end.
    #[must_use]
    pub const fn max_head(self, bytes: usize) -> Self {
        Self { max_head: if bytes < MOST_BYTES { bytes } else { MOST_BYTES } as u32, ..self }
    }

    /// Sets the limit of a body, in bytes (default 16 MiB, at most 512 MiB).
    ///
    /// The lines between the chunks of a body may take as many bytes again.
    #[must_use]
    pub const fn max_body(self, bytes: usize) -> Self {
        Self { max_body: if bytes < MOST_BYTES { bytes } else { MOST_BYTES } as u32, ..self }
    }

    /// Treats all responses as answers to `HEAD`, which have no body.
    #[must_use]
    pub const fn to_head(self) -> Self {
        Self { to_head: true, ..self }
    }

    /// Returns the size of the largest response, in bytes.
    ///
    /// [`Decoded::Partial`] never asks for more. Set the limit of your buffers to at least this size.
    #[must_use]
    pub const fn largest(&self) -> usize {
        2 * self.max_head as usize + 2 * self.max_body as usize + 2 * chunked::LONGEST_LINE
    }

    /// Where the body is, which begins at `start`, if it may be as large as the head says (RFC 9112 §6.3).
    fn body_phase(&self, head: &Head, start: usize) -> Result<Phase, Error> {
        let limit = self.max_body as usize;
        if self.to_head || matches!(head.status, ..200 | 204 | 304) {
            return Ok(Phase::Body { start: start as u32, end: start as u32 });
        }
        match head.framing {
            None => Ok(Phase::UntilEnd { start: start as u32 }),
            Some(Framing::Length(length)) if length > limit as u64 => Err(Error::BodyTooLarge { limit }),
            Some(Framing::Length(length)) => {
                Ok(Phase::Body { start: start as u32, end: (start + length as usize) as u32 })
            }
            Some(Framing::Chunked) => Ok(Phase::Chunked(Chunks::new(start))),
        }
    }
}

impl Default for Responses {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Responses {
    type Message<'a> = Reply<'a>;
    type Outgoing<'a> = WholeRequest<'a>;
    type Error = Error;
    type State = ResponsesState;

    /// Decodes one response at the start of `input`.
    ///
    /// # Errors
    ///
    /// [`Error`].
    #[inline]
    fn decode<'a>(&self, state: &mut ResponsesState, input: &'a mut [u8]) -> Result<Decoded<Reply<'a>>, Error> {
        if input.len() < state.need as usize {
            return Ok(Decoded::Partial { need: state.need as usize });
        }

        let mut parsed = None;
        if let Phase::Head(progress) = &mut state.phase {
            if input.first().is_some_and(|&byte| byte != b'H') {
                return Err(Error::StatusLine);
            }
            let from = state.searched as usize;
            let found = end_of_fields(&mut state.searched, input, 0, self.max_head as usize);
            if !matches!(found, Ok(Some(_))) {
                progress.look(Kind::Response, MOST_HEADERS, &input[..state.searched as usize], from)?;
            }
            let Some(end) = found? else {
                return Ok(state.partial(input.len() + 1));
            };
            let head = Head::parse(&input[..end])?;
            state.phase = self.body_phase(&head, end)?;
            // The body counts from its own beginning.
            state.searched = 0;
            parsed = Some(head);
        }

        let (start, end, consumed) = match &mut state.phase {
            Phase::Body { start, end } if input.len() >= *end as usize => {
                (*start as usize, *end as usize, *end as usize)
            }
            Phase::Body { end, .. } => {
                let need = *end as usize;
                return Ok(state.partial(need));
            }
            Phase::Chunked(chunks) => {
                let limits =
                    Limits { body: self.max_body as usize, trailer: self.max_head as usize, headers: MOST_HEADERS };
                let start = chunks.start();
                match chunks.join(&limits, &mut state.searched, &mut input[start..])? {
                    Joined::Partial(need) => return Ok(state.partial(start + need)),
                    Joined::Whole { end, consumed } => (start, start + end, start + consumed),
                }
            }
            Phase::UntilEnd { start } if input.len() - *start as usize > self.max_body as usize => {
                return Err(Error::BodyTooLarge { limit: self.max_body as usize });
            }
            Phase::UntilEnd { .. } | Phase::Head(_) => return Ok(state.partial(input.len() + 1)),
        };
        *state = ResponsesState::default();
        let (head, body) = input[..end].split_at(start);
        let parsed = match parsed {
            Some(parsed) => parsed,
            None => Head::parse(head)?,
        };
        Ok(Decoded::Message { message: Reply::new(&parsed, head, body), consumed })
    }

    /// The response whose body goes on until the end of the connection.
    ///
    /// # Errors
    ///
    /// Where the end of another one is missing, [`FrameError::Truncated`].
    fn finish<'a>(&self, state: &mut ResponsesState, rest: &'a mut [u8]) -> Result<Option<Reply<'a>>, Error> {
        let Phase::UntilEnd { start } = state.phase else {
            return Err(FrameError::Truncated { have: rest.len() }.into());
        };
        let (head, body) = rest.split_at(start as usize);
        let reply = Reply::new(&Head::parse(head)?, head, body);
        Ok(Some(Reply { keep_alive: false, ..reply }))
    }

    /// Writes a request.
    ///
    /// # Errors
    ///
    /// [`Error::Method`], [`Error::Target`] and [`Error::Host`] for those that a server would refuse, [`Error::Field`] for a
    /// header field that cannot be written.
    #[inline]
    fn encode(&self, request: WholeRequest<'_>, out: &mut impl Sink) -> Result<(), Error> {
        request.write(out)
    }
}

/// Holds one response, borrowed from the received bytes.
#[derive(Clone, Copy)]
pub struct Reply<'a> {
    /// The status code (RFC 9110 §15). A response below 200 is an interim one: another follows, unless it is 101.
    pub status: u16,
    /// The version of HTTP that the server speaks.
    pub version: Version,
    /// The body, without any framing. It is empty if there is none.
    pub body: &'a [u8],
    fields: &'a [u8],
    keep_alive: bool,
}

impl<'a> Reply<'a> {
    #[inline]
    fn new(parsed: &Head, head: &'a [u8], body: &'a [u8]) -> Self {
        // The status line goes, and the empty line.
        let lines = memchr(b'\n', head).map_or(head.len(), |end| end + 1);
        let fields = head.get(lines..head.len().saturating_sub(2)).unwrap_or_default();
        let Head { status, version, keep_alive, .. } = *parsed;
        Self { status, version, body, fields, keep_alive }
    }

    /// Returns the header fields, in order.
    #[inline]
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers::new(self.fields)
    }

    /// Returns the value of the first header field called `name`, ignoring case.
    #[inline]
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(name)
    }

    /// Returns true if the server takes another request on this connection (RFC 9112 §9.3).
    #[inline]
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, body of {} bytes)", self.status, self.body.len())
    }
}

/// What was found in the head of a response.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    version: Version,
    keep_alive: bool,
    /// Nothing where the body goes on until the end of the connection.
    framing: Option<Framing>,
}

impl Head {
    /// Parses `bytes`, whose only empty line is at their end, and all of whose lines end in `\r\n`.
    #[inline]
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        #[cfg(test)]
        crate::work::looked_at(bytes.len());
        let mut storage = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let head = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut storage) {
            Ok(Status::Complete(end)) if end == bytes.len() => match (parsed.code, parsed.version) {
                (Some(status @ 100..=999), Some(minor)) => {
                    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
                    Self::of(status, version, parsed.headers)
                }
                _ => Err(Error::StatusLine),
            },
            Err(httparse::Error::Version) => Self::parse_later(bytes),
            _ => Err(Error::Header),
        };
        head.map_err(|error| lines::fault(Kind::Response, MOST_HEADERS, bytes).unwrap_or(error))
    }

    /// Parses the head of HTTP/1.2 or a later minor version, which counts as HTTP/1.1 (RFC 9110 §2.5). `httparse` knows
    /// none of them.
    #[cold]
    fn parse_later(bytes: &[u8]) -> Result<Self, Error> {
        let (line, fields) = bytes.split_at(memchr(b'\n', bytes).map_or(0, |end| end + 1));
        lines::fault(Kind::Response, 0, line).map_or(Ok(()), Err)?;
        let (Some((version, [b' ', hundreds, tens, ones, ..])), true) = (line.split_at_checked(8), line.len() > 12)
        else {
            return Err(Error::StatusLine);
        };
        if !is_later_version(version) {
            return Err(Error::StatusLine);
        }
        let status = [hundreds, tens, ones].iter().fold(0, |status, &digit| status * 10 + u16::from(digit - b'0'));
        let mut storage = [httparse::EMPTY_HEADER; MOST_HEADERS];
        match httparse::parse_headers(fields, &mut storage) {
            Ok(Status::Complete((end, headers))) if end == fields.len() => Self::of(status, Version::Http11, headers),
            _ => Err(Error::Header),
        }
    }

    /// The head with these parts, if they are valid together.
    #[inline]
    fn of(status: u16, version: Version, headers: &[httparse::Header<'_>]) -> Result<Self, Error> {
        let mut fields = Fields::default();
        for header in headers {
            fields.add(header.name, header.value)?;
        }
        let framing = match (fields.length, fields.coding) {
            (None, None) => None,
            _ => Some(fields.framing(version)?),
        };
        Ok(Self { status, version, keep_alive: fields.stays(version), framing })
    }
}

/// Holds the decoding progress of a connection's unfinished response.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponsesState {
    /// Fewer bytes than these are not looked at.
    need: u32,
    /// So many bytes are known to hold no line's end that was not dealt with.
    searched: u32,
    phase: Phase,
}

impl ResponsesState {
    /// Returns true if the received bytes end with a whole response, so that a connection that ends here cuts none
    /// off.
    #[must_use]
    pub fn is_between_responses(&self) -> bool {
        self.need == 0 && matches!(self.phase, Phase::Head(_))
    }

    #[inline]
    fn partial<M>(&mut self, need: usize) -> Decoded<M> {
        self.need = need as u32;
        Decoded::Partial { need }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The head has no end yet.
    Head(Progress),
    /// The body is what is between these.
    Body { start: u32, end: u32 },
    /// The body is in chunks.
    Chunked(Chunks),
    /// The body goes on until the end of the connection.
    UntilEnd { start: u32 },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Head(Progress::new(Kind::Response, 0))
    }
}
