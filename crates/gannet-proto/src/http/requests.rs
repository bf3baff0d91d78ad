//! Decodes requests, on the server's side.

use super::chunked::{self, Chunks, Joined, Limits, Next};
use super::head::{self, Framing, Head, MOST_HEADERS};
use super::lines::{Kind, Progress};
use super::{Error, Request, WholeResponse, grammar};
use crate::search::find;
use crate::{Codec, Decoded, FrameError, Sink};

/// Decodes requests with their bodies (RFC 9112).
///
/// A message is a whole request. Its body is delivered in one piece, whether it came with `Content-Length` or in
/// chunks; chunks are joined in place. A head that arrives in pieces is searched for its end once. It is parsed when
/// the end was found, and again when the body is complete. Requests may be pipelined. Up to
/// [`BLANK_LINES`](Self::BLANK_LINES) empty lines before a request are skipped (RFC 9112 §2.2).
///
/// It encodes a [`WholeResponse`]. To write a body piece by piece, use a [`Response`](super::Response) and bypass the
/// codec.
///
/// # Strictness
///
/// A request that two parsers could read in two ways is refused, so that no request can be smuggled past a proxy (RFC
/// 9112 §11.2): every line ends in `\r\n`; there is no whitespace before a colon and no folded line; at most one
/// `Content-Length`, of digits alone; at most one `Transfer-Encoding`, which is exactly `chunked`; never both; exactly
/// one valid `Host` in HTTP/1.1. Chunk extensions and trailers are checked as strictly, then ignored.
///
/// # Heads before bodies
///
/// A client that sends `Expect: 100-continue` waits for an answer to its head before it sends the body (RFC 9110
/// §10.1.1). For such a request there are two messages: [`Event::Head`] and [`Event::Body`]. With
/// [`heads_first`](Self::heads_first) this is so for each request whose body is not whole when its head is.
///
/// # Limits
///
/// | what | default | set by | over it |
/// |---|---|---|---|
/// | the request line | 8 KiB | [`max_request_line`](Self::max_request_line) | [`Error::RequestLineTooLong`] |
/// | the head, and the trailer section | 16 KiB | [`max_head`](Self::max_head) | [`Error::HeadTooLarge`] |
/// | header fields, and trailer fields | 64 | [`max_headers`](Self::max_headers) | [`Error::TooManyHeaders`] |
/// | the body | 1 MiB | [`max_body`](Self::max_body) | [`Error::BodyTooLarge`] |
/// | the lines between a body's chunks, together | 1 MiB | the body's | [`Error::FramingTooLarge`] |
/// | one such line | 256 bytes | | [`Error::Chunk`] |
///
/// A caller has to hold at most [`largest`](Self::largest) bytes for one request.
#[derive(Clone, Debug)]
pub struct Requests {
    max_request_line: u32,
    max_head: u32,
    max_headers: u8,
    heads_first: bool,
    max_body: u32,
}

/// Heads and bodies over 512 MiB are never accepted, so that 32 bits are enough to count.
const MOST_BYTES: usize = 512 << 20;

impl Requests {
    /// The number of empty lines before a request that are skipped.
    pub const BLANK_LINES: usize = 4;

    /// Makes a codec with the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_request_line: 8 << 10, max_head: 16 << 10, max_headers: 64, heads_first: false, max_body: 1 << 20 }
    }

    /// Sets the limit of the request line, in bytes without its ending (default 8 KiB).
    ///
    /// The line is part of the head, so more than [`max_head`](Self::max_head) has no effect.
    #[must_use]
    pub const fn max_request_line(self, bytes: usize) -> Self {
        Self { max_request_line: at_most(bytes, MOST_BYTES), ..self }
    }

    /// Sets the limit of a head and of a trailer section, in bytes (default 16 KiB, at most 512 MiB).
    ///
    /// A head includes the request line and the empty line at its end.
    #[must_use]
    pub const fn max_head(self, bytes: usize) -> Self {
        Self { max_head: at_most(bytes, MOST_BYTES), ..self }
    }

    /// Sets how many header fields a request may have (default 64, at most 128).
    #[must_use]
    pub const fn max_headers(self, fields: usize) -> Self {
        Self { max_headers: at_most(fields, MOST_HEADERS) as u8, ..self }
    }

    /// Sets the limit of a body, in bytes (default 1 MiB, at most 512 MiB).
    ///
    /// The lines between the chunks of a body may take as many bytes again.
    #[must_use]
    pub const fn max_body(self, bytes: usize) -> Self {
        Self { max_body: at_most(bytes, MOST_BYTES), ..self }
    }

    /// Delivers the head of a request as [`Event::Head`] where its body is not whole by then, so that a server can
    /// answer without reading the body. The body follows in [`Event::Body`], or where
    /// [`stream_body`](RequestsState::stream_body) is called for it, in [`Event::Piece`]s. A body that is too large is then
    /// refused behind its head. Off by default.
    #[must_use]
    pub const fn heads_first(self) -> Self {
        Self { heads_first: true, ..self }
    }

    /// Returns the size of the largest request, in bytes: a body in chunks with everything around it.
    ///
    /// [`Decoded::Partial`] never asks for more. Set the limit of your buffers to at least this size.
    #[must_use]
    pub const fn largest(&self) -> usize {
        let (head, body) = (self.max_head as usize, self.max_body as usize);
        2 * Self::BLANK_LINES + 2 * head + 2 * body + 2 * chunked::LONGEST_LINE
    }

    const fn limits(&self) -> Limits {
        let headers = self.max_headers as usize;
        Limits { body: self.max_body as usize, trailer: self.max_head as usize, headers }
    }

    /// Searches for the end of the head that begins at `start`. Nothing where there is none yet, and nothing that has
    /// come is wrong.
    #[inline]
    fn head_end(
        &self,
        progress: &mut Progress,
        searched: &mut u32,
        input: &[u8],
        start: usize,
    ) -> Result<Option<usize>, Error> {
        let from = (*searched as usize).max(start);
        if from == start {
            *progress = Progress::new(Kind::Request, start);
        }
        let found = self.find_end(progress.is_in_first_line(), searched, input, start);
        if !matches!(found, Ok(Some(_))) {
            progress.look(Kind::Request, usize::from(self.max_headers), &input[..*searched as usize], from)?;
        }
        found
    }

    /// Searches for the end of the head. Where it is not found, `searched` says up to where the bytes decide that.
    #[inline]
    fn find_end(
        &self,
        in_request_line: bool,
        searched: &mut u32,
        input: &[u8],
        start: usize,
    ) -> Result<Option<usize>, Error> {
        if in_request_line {
            let limit = self.max_request_line.min(self.max_head) as usize;
            let window = input.len().min(start + limit + 2).min(start + self.max_head as usize);
            let from = (*searched as usize).clamp(start, window);
            let Some(offset) = find(b'\n', &input[from..window]) else {
                *searched = window as u32;
                let too_long = input.len() >= start + limit + 2;
                return if too_long { Err(Error::RequestLineTooLong { limit }) } else { Ok(None) };
            };
            let end = from + offset;
            *searched = end as u32 + 1;
            if input[end - 1] != b'\r' {
                return Err(Error::LineEnd);
            }
        }
        head::end_of_fields(searched, input, start, self.max_head as usize)
    }

    /// Whether a body of the length that a head says would be accepted as a whole; one in chunks says nothing of it.
    ///
    /// # Errors
    ///
    /// [`Error::BodyTooLarge`].
    pub fn check_length(&self, request: &Request<'_>) -> Result<(), Error> {
        let limit = self.max_body as usize;
        match request.body_length() {
            Some(length) if length > limit as u64 => Err(Error::BodyTooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// Whether the body that begins at `start` is there, or something is wrong with it.
    #[inline]
    fn is_whole(&self, phase: &Phase, start: usize, body: &mut [u8]) -> bool {
        match phase {
            Phase::Body { end, .. } => start + body.len() >= *end as usize,
            Phase::Chunked(chunks) => chunks.can_end(&self.limits(), body),
            Phase::TooLarge(_) => false,
            Phase::Head(_) | Phase::Pieces(_) | Phase::PiecesOfChunk(_) => true,
        }
    }

    /// Where the body is, if it may be as large as the head says. It begins at `start`.
    #[inline]
    fn body_phase(&self, framing: Framing, start: usize) -> Result<Phase, Error> {
        let limit = self.max_body as usize;
        match framing {
            // Whoever takes the head may want it in pieces.
            Framing::Length(length) if length > limit as u64 && self.heads_first => {
                Ok(Phase::TooLarge(Left::of(length)))
            }
            Framing::Length(length) if length > limit as u64 => Err(Error::BodyTooLarge { limit }),
            Framing::Length(length) => Ok(Phase::Body { start: start as u32, end: (start + length as usize) as u32 }),
            Framing::Chunked => Ok(Phase::Chunked(Chunks::new(start))),
        }
    }
}

/// Bodies that are delivered as they come.
impl Requests {
    /// Takes what has come of a body.
    fn piece<'a>(&self, state: &mut RequestsState, input: &'a mut [u8]) -> Result<Decoded<Event<'a>>, Error> {
        let input = &*input;
        let mut at = 0;
        if let Phase::Chunked(chunks) = &mut state.phase {
            // What is delivered counts for nobody here: whoever takes it has a limit.
            let limits = Limits { body: usize::MAX - LINES, ..self.limits() };
            match chunks.next(&limits, &mut state.searched, input)? {
                Next::Partial(need) => return Ok(state.partial(need)),
                Next::Chunk { data, size } => (state.phase, at) = (Phase::PiecesOfChunk(Left::of(size)), data),
                Next::End { consumed } => {
                    *state = RequestsState::default();
                    return Ok(Decoded::Message { message: Event::Piece { bytes: &[], last: true }, consumed });
                }
            }
        }
        let (Phase::Pieces(left) | Phase::PiecesOfChunk(left)) = &mut state.phase else {
            return Ok(state.partial(input.len() + 1));
        };
        let (count, is_over) = left.take(input.len() - at);
        let last = is_over && matches!(state.phase, Phase::Pieces(_));
        if last {
            *state = RequestsState::default();
        } else if is_over {
            (state.phase, state.searched) = (Phase::Chunked(Chunks::behind_data()), 0);
        }
        state.need = 0;
        let consumed = at + count;
        Ok(match (count, at) {
            (0, 0) => state.partial(1),
            (0, _) => Decoded::Taken { consumed },
            _ => Decoded::Message { message: Event::Piece { bytes: &input[at..consumed], last }, consumed },
        })
    }
}

/// Room for the lines between chunks beside a limit that is none.
const LINES: usize = 2 * chunked::LONGEST_LINE;

/// `value`, but at most `most`.
const fn at_most(value: usize, most: usize) -> u32 {
    (if value < most { value } else { most }) as u32
}

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}

/// A message that [`Requests`] decodes: a whole request, or a part of one.
///
/// This enum is exhaustive: a server that ignored a variant would lose a part of a request.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Holds a request with its whole body.
    Request(Request<'a>),

    /// The head of a request whose body follows in [`Event::Body`]. Its client may wait for permission to send the body:
    /// see [`Request::expects_continue`].
    ///
    /// To accept the body, keep [`Request::head`], send [`CONTINUE`](super::CONTINUE) if it is expected, and make the
    /// request with [`Request::from_head`] when the body comes. To refuse it, send the response. Then close the
    /// connection, or drop the body when it comes; after an expectation it may never come, so close.
    Head(Request<'a>),

    /// The whole body of the request that [`Event::Head`] announced. No other message comes between the two.
    Body(&'a [u8]),

    /// A piece of the body that [`Event::Head`] announced, after [`RequestsState::stream_body`].
    Piece {
        /// The bytes, without any framing. They are empty only if `last` is set.
        bytes: &'a [u8],
        /// Whether this is the last piece.
        last: bool,
    },
}

impl Codec for Requests {
    type Message<'a> = Event<'a>;
    type Outgoing<'a> = WholeResponse<'a>;
    type Error = Error;
    type State = RequestsState;

    /// Decodes one request at the start of `input`.
    ///
    /// # Errors
    ///
    /// [`Error`], which has the status code to answer with.
    #[inline]
    fn decode<'a>(&self, state: &mut RequestsState, input: &'a mut [u8]) -> Result<Decoded<Event<'a>>, Error> {
        if input.len() < state.need as usize {
            return Ok(Decoded::Partial { need: state.need as usize });
        }

        let fresh = matches!(state.phase, Phase::Head(_));
        let (blank, start) = match &mut state.phase {
            Phase::Head(progress) => {
                let blank = blank_lines(input);
                check_first(&input[blank..])?;
                let end = match &input[blank..] {
                    [] | [b'\r'] => None,
                    _ => self.head_end(progress, &mut state.searched, input, blank)?,
                };
                match end {
                    Some(end) => (blank, end),
                    None => return Ok(state.partial(input.len() + 1)),
                }
            }
            Phase::Body { start, .. } => (0, *start as usize),
            Phase::Chunked(chunks) if chunks.are_taken_in_pieces() => return self.piece(state, input),
            Phase::Chunked(chunks) => (0, chunks.start()),
            Phase::TooLarge(_) => return Err(Error::BodyTooLarge { limit: self.max_body as usize }),
            Phase::Pieces(_) | Phase::PiecesOfChunk(_) => return self.piece(state, input),
        };
        // From here on the head does not change any more, and what was found in it may borrow from it.
        let (head, body) = input.split_at_mut(start);
        let mut parsed = None;
        if fresh {
            let head = Head::parse(&head[blank..], usize::from(self.max_headers))?;
            if head.expects {
                let phase = self.body_phase(head.framing, 0)?;
                *state = RequestsState { phase, ..RequestsState::default() };
                return Ok(Decoded::Message { message: Event::Head(Request::new(head, &[])), consumed: start });
            }
            state.phase = self.body_phase(head.framing, start)?;
            // The body counts from its own beginning.
            state.searched = 0;
            parsed = Some(head);
        }

        if self.heads_first
            && let Some(head) = parsed
            && !self.is_whole(&state.phase, start, body)
        {
            // What follows a message must not be changed, so nothing was joined yet.
            state.phase.leave_head();
            (state.need, state.searched) = (0, 0);
            return Ok(Decoded::Message { message: Event::Head(Request::new(head, &[])), consumed: start });
        }
        let (length, consumed) = match &mut state.phase {
            Phase::Body { end, .. } => {
                let length = *end as usize - start;
                if body.len() < length {
                    return Ok(state.partial(start + length));
                }
                (length, length)
            }
            Phase::Chunked(chunks) => match chunks.join(&self.limits(), &mut state.searched, body)? {
                Joined::Partial(need) => return Ok(state.partial(start + need)),
                Joined::Whole { end, consumed } => (end, consumed),
            },
            Phase::TooLarge(_) => return Err(Error::BodyTooLarge { limit: self.max_body as usize }),
            Phase::Head(_) | Phase::Pieces(_) | Phase::PiecesOfChunk(_) => {
                return Ok(state.partial(start + body.len() + 1));
            }
        };
        *state = RequestsState::default();
        let (body, consumed) = (&body[..length], start + consumed);
        let parsed = match parsed {
            Some(parsed) => parsed,
            None if head.is_empty() => return Ok(Decoded::Message { message: Event::Body(body), consumed }),
            None => Head::parse(&head[blank_lines(head)..], MOST_HEADERS)?,
        };
        Ok(Decoded::Message { message: Event::Request(Request::new(parsed, body)), consumed })
    }

    /// Nothing where `rest` is empty lines, which old clients send behind a body.
    ///
    /// # Errors
    ///
    /// Otherwise [`FrameError::Truncated`].
    fn finish<'a>(&self, state: &mut RequestsState, rest: &'a mut [u8]) -> Result<Option<Event<'a>>, Error> {
        if matches!(state.phase, Phase::Head(_)) && blank_lines(rest) == rest.len() {
            return Ok(None);
        }
        Err(FrameError::Truncated { have: rest.len() }.into())
    }

    /// Writes a response.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a header field that cannot be written.
    #[inline]
    fn encode(&self, response: WholeResponse<'_>, out: &mut impl Sink) -> Result<(), Error> {
        response.write(out)
    }
}

/// How many bytes at the front of `input` are empty lines that are skipped.
#[inline]
fn blank_lines(input: &[u8]) -> usize {
    let most = 2 * Requests::BLANK_LINES;
    input.chunks_exact(2).take(most / 2).take_while(|line| *line == b"\r\n").count() * 2
}

/// What is no request at all, TLS for one, is refused at its first byte: its line might never end.
#[inline]
fn check_first(input: &[u8]) -> Result<(), Error> {
    match input {
        [b'\r', b'\n', ..] => Err(Error::RequestLine),
        [b'\r', _, ..] => Err(Error::LineEnd),
        [byte, ..] if *byte != b'\r' && !grammar::is_token_byte(*byte) => Err(Error::Method),
        _ => Ok(()),
    }
}

/// Holds the decoding progress of a connection's unfinished request.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestsState {
    /// Fewer bytes than these are not looked at.
    need: u32,
    /// So many bytes are known to hold no line's end that was not dealt with.
    searched: u32,
    phase: Phase,
}

impl RequestsState {
    /// Returns true if the head of a request has come, and its body is not whole yet.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        !matches!(self.phase, Phase::Head(_))
    }

    /// Has the body of the request whose [`Event::Head`] came last delivered as it comes, in [`Event::Piece`]s. It may then
    /// be of any size: bounding it is up to whoever takes the pieces. To be called before anything more is decoded.
    pub fn stream_body(&mut self) {
        match &mut self.phase {
            Phase::Body { start, end } => self.phase = Phase::Pieces(Left::of(u64::from(*end - *start))),
            Phase::TooLarge(left) => self.phase = Phase::Pieces(*left),
            Phase::Chunked(chunks) => chunks.take_in_pieces(),
            Phase::Head(_) | Phase::Pieces(_) | Phase::PiecesOfChunk(_) => {}
        }
    }

    /// Whether [`Event::Head`] was delivered, and its [`Event::Body`] was not. A body that is wrong from its first bytes
    /// on may end the connection before its head was delivered.
    #[must_use]
    pub const fn is_head_delivered(&self) -> bool {
        match &self.phase {
            Phase::Head(_) => false,
            // A head that is still there takes room before the body.
            Phase::Body { start, .. } => *start == 0,
            Phase::Chunked(chunks) => chunks.start() == 0,
            // Both are only for a body whose head has come.
            Phase::TooLarge(_) | Phase::Pieces(_) | Phase::PiecesOfChunk(_) => true,
        }
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
    /// The body has so many bytes, and is refused unless it is taken in pieces.
    TooLarge(Left),
    /// So many bytes of the body are to be taken as they come, at least one.
    Pieces(Left),
    /// So many bytes of one of its chunks are, at least one.
    PiecesOfChunk(Left),
}

/// A number of bytes, in two halves so that a state needs no room for its alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left([u32; 2]);

impl Left {
    const fn of(bytes: u64) -> Self {
        Self([bytes as u32, (bytes >> 32) as u32])
    }

    /// Takes as many of `have` bytes as are left, and says whether that were the last.
    fn take(&mut self, have: usize) -> (usize, bool) {
        let Self([low, high]) = *self;
        let left = u64::from(high) << 32 | u64::from(low);
        // It is at most what is there.
        let count = left.min(have as u64);
        *self = Self::of(left - count);
        (count as usize, left == count)
    }
}

impl Default for Phase {
    fn default() -> Self {
        Self::Head(Progress::new(Kind::Request, 0))
    }
}

impl Phase {
    /// The head goes: from here on the body begins at 0.
    fn leave_head(&mut self) {
        match self {
            Self::Body { start, end } => (*start, *end) = (0, *end - *start),
            Self::Chunked(chunks) => chunks.leave_head(),
            Self::Head(_) | Self::TooLarge(_) | Self::Pieces(_) | Self::PiecesOfChunk(_) => {}
        }
    }
}
