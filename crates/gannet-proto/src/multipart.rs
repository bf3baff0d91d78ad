//! Forms with files, as browsers send them: `multipart/form-data` (RFC 7578).

mod head;

use memchr::memmem::Finder;
use thiserror::Error;

use crate::Decoded;

pub use head::Part;

/// The longest boundary that is accepted, in bytes (RFC 2046 §5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// Decodes the parts of a form with files from a body, as it arrives.
///
/// It buffers nothing: the data of a part are delivered as they arrive, so a form may have any size.
///
/// # Strictness
///
/// A form that two parsers could read in two ways is refused. A body begins with a boundary and ends after the last
/// one, with no text before or after. Lines end in `\r\n`. A boundary followed by other characters is an error. Each
/// part has exactly one `Content-Disposition`, which is `form-data` with a `name`.
///
/// # Limits
///
/// | what | default | set by | over it |
/// |---|---|---|---|
/// | parts | 1,000 | [`max_parts`](Self::max_parts) | [`Error::TooManyParts`] |
/// | the header fields of a part | 8 KiB, 16 fields | [`max_head`](Self::max_head) | [`Error::HeadTooLarge`], [`Error::Header`] |
///
/// ```
/// use gannet_proto::Decoded;
/// use gannet_proto::multipart::{Event, Multipart};
///
/// let form = Multipart::new("multipart/form-data; boundary=xyz")?;
/// let body = b"--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--xyz--\r\n";
///
/// let (mut state, mut rest, mut values) = (Default::default(), &body[..], Vec::new());
/// while !rest.is_empty() {
///     rest = match form.decode(&mut state, rest)? {
///         Decoded::Message { message, consumed } => {
///             match message {
///                 Event::Part(part) => values.push((part.name.to_string(), Vec::new())),
///                 Event::Data(bytes) => values.last_mut().expect("of a part").1.extend_from_slice(bytes),
///                 Event::PartEnd => {}
///             }
///             &rest[consumed..]
///         }
///         Decoded::Taken { consumed } => &rest[consumed..],
///         _ => panic!("the body is whole"),
///     };
/// }
/// assert_eq!(values, [("a".to_owned(), b"one".to_vec())]);
/// # Ok::<(), gannet_proto::multipart::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Multipart {
    /// `\r\n--` and the boundary, ready to be searched for.
    delimiter: Finder<'static>,
    max_parts: u32,
    max_head: usize,
}

/// An event that [`Multipart`] decodes from a body.
///
/// This enum is exhaustive: a caller that ignored a variant would lose a part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A part begins.
    Part(Part<'a>),
    /// Data of the part. Not empty.
    Data(&'a [u8]),
    /// The part ends.
    PartEnd,
}

/// Holds the decoding progress of a form.
#[derive(Clone, Copy, Debug, Default)]
pub struct MultipartState {
    phase: Phase,
    parts: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The first boundary.
    #[default]
    Begin,
    /// The header fields of a part.
    Head,
    /// The data of a part.
    Data,
    /// The line's end behind the last boundary, which may be left out.
    End,
    /// Nothing more.
    Over,
}

impl MultipartState {
    /// Whether the last boundary has come: a body that ends before is cut off.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.phase, Phase::End | Phase::Over)
    }
}

impl Multipart {
    /// Makes a decoder for a request with this `Content-Type`, with the default limits.
    ///
    /// # Errors
    ///
    /// [`Error::ContentType`]: it is another type. [`Error::Boundary`]: the boundary is missing or malformed.
    pub fn new(content_type: &str) -> Result<Self, Error> {
        let boundary = head::boundary_of(content_type)?;
        let mut delimiter = Vec::with_capacity(boundary.len() + 4);
        delimiter.extend_from_slice(b"\r\n--");
        delimiter.extend_from_slice(boundary.as_bytes());
        Ok(Self { delimiter: Finder::new(&delimiter).into_owned(), max_parts: 1_000, max_head: 8 << 10 })
    }

    /// Sets how many parts a form may have (default 1,000).
    #[must_use]
    pub fn max_parts(self, parts: u32) -> Self {
        Self { max_parts: parts, ..self }
    }

    /// Sets the limit of the head of a part, in bytes with the empty line at its end (default 8 KiB).
    #[must_use]
    pub fn max_head(self, bytes: usize) -> Self {
        Self { max_head: bytes, ..self }
    }

    /// Decodes the next event at the start of `input`: the bytes of the body that have come and were not consumed
    /// yet. `input` must not be empty.
    ///
    /// At most a boundary or the head of a part is left for later.
    ///
    /// # Errors
    ///
    /// [`enum@Error`] says what is wrong. Decode nothing more of this body.
    pub fn decode<'a>(&self, state: &mut MultipartState, input: &'a [u8]) -> Result<Decoded<Event<'a>>, Error> {
        match state.phase {
            // The first one has no line before it.
            Phase::Begin => self.boundary(state, input, 2),
            Phase::Head => self.head(state, input),
            Phase::Data => self.data(state, input),
            Phase::End => match input {
                [b'\r', b'\n', ..] => {
                    state.phase = Phase::Over;
                    Ok(Decoded::Taken { consumed: 2 })
                }
                [b'\r'] => Ok(Decoded::Partial { need: 2 }),
                _ => Err(Error::Behind),
            },
            Phase::Over => Err(Error::Behind),
        }
    }

    /// Takes a boundary, whose first bytes are left out, and ends the part before it.
    fn boundary<'a>(
        &self,
        state: &mut MultipartState,
        input: &'a [u8],
        out: usize,
    ) -> Result<Decoded<Event<'a>>, Error> {
        let delimiter = &self.delimiter.needle()[out..];
        let known = delimiter.len().min(input.len());
        if input[..known] != delimiter[..known] {
            return Err(Error::NoBoundary);
        }
        let next = match &input[known..] {
            [b'\r', b'\n', ..] => Phase::Head,
            [b'-', b'-', ..] => Phase::End,
            [] | [b'\r' | b'-'] => return Ok(Decoded::Partial { need: input.len() + 1 }),
            _ => return Err(Error::NoBoundary),
        };
        let begins = state.phase == Phase::Begin;
        state.phase = next;
        let consumed = known + 2;
        Ok(if begins { Decoded::Taken { consumed } } else { Decoded::Message { message: Event::PartEnd, consumed } })
    }

    /// Takes the header fields of a part.
    fn head<'a>(&self, state: &mut MultipartState, input: &'a [u8]) -> Result<Decoded<Event<'a>>, Error> {
        let window = &input[..input.len().min(self.max_head)];
        let Some(end) = memchr::memmem::find(window, b"\r\n\r\n") else {
            let limit = self.max_head;
            let is_too_large = input.len() >= limit;
            return if is_too_large {
                Err(Error::HeadTooLarge { limit })
            } else {
                Ok(Decoded::Partial { need: input.len() + 1 })
            };
        };
        if state.parts == self.max_parts {
            return Err(Error::TooManyParts { limit: self.max_parts });
        }
        let consumed = end + 4;
        let part = Part::of(&input[..consumed])?;
        (state.phase, state.parts) = (Phase::Data, state.parts + 1);
        Ok(Decoded::Message { message: Event::Part(part), consumed })
    }

    /// Takes data up to the next boundary, or what may be one.
    fn data<'a>(&self, state: &mut MultipartState, input: &'a [u8]) -> Result<Decoded<Event<'a>>, Error> {
        let delimiter = self.delimiter.needle();
        let end = match self.delimiter.find(input) {
            Some(0) => return self.boundary(state, input, 0),
            Some(end) => end,
            None => {
                let from = input.len().saturating_sub(delimiter.len() - 1);
                let begins = |&at: &usize| delimiter.starts_with(&input[at..]);
                (from..input.len()).find(begins).unwrap_or(input.len())
            }
        };
        if end == 0 {
            return Ok(Decoded::Partial { need: input.len() + 1 });
        }
        Ok(Decoded::Message { message: Event::Data(&input[..end]), consumed: end })
    }
}

/// Says why a body is not accepted as a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// `Content-Type` is not `multipart/form-data`.
    #[error("not multipart/form-data")]
    ContentType,

    /// The boundary in `Content-Type` is missing, given twice, longer than 70 bytes, or has characters that none may have
    /// (RFC 2046 §5.1.1).
    #[error("missing, doubled or malformed boundary in Content-Type")]
    Boundary,

    /// There is no boundary, or more than that, where one has to be.
    #[error("no boundary where one has to be")]
    NoBoundary,

    /// Something follows the last boundary.
    #[error("bytes behind the last boundary")]
    Behind,

    /// The header fields of a part are over their limit.
    #[error("header fields of a part exceed the limit of {limit} bytes")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },

    /// A header field of a part is malformed, or there are too many.
    #[error("malformed header field of a part")]
    Header,

    /// A part has no `Content-Disposition: form-data` with a `name`, two of them, or one that is malformed.
    #[error("missing, doubled or malformed Content-Disposition of a part")]
    Disposition,

    /// There are more parts than the limit.
    #[error("more than {limit} parts")]
    TooManyParts {
        /// The limit.
        limit: u32,
    },
}
