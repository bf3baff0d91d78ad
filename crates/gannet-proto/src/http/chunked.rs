//! Bodies in chunks, which are joined in place (RFC 9112 §7.1).

use super::Error;
use super::grammar::is_token_byte;
use super::head::{MOST_HEADERS, end_of_fields};
use super::lines::{Kind, Part, Progress};
use crate::search::find;

/// The longest line with a chunk's size that is accepted, in bytes with its extensions and its ending. Sizes take 18
/// at most, and hardly anybody sends extensions.
pub(super) const LONGEST_LINE: usize = 256;

/// The most digits that a chunk's size may have. So many fit 64 bits.
const MOST_DIGITS: usize = 16;

/// What may be accepted.
pub(super) struct Limits {
    /// The body's data, in bytes; and its framing up to here.
    pub body: usize,
    /// The trailer section, in bytes.
    pub trailer: usize,
    /// The trailer fields.
    pub headers: usize,
}

/// How far the chunks of a body were joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    /// Where the body begins: behind the head, or at 0 where that was delivered already. All else counts from there.
    start: u32,
    /// Where the data that were joined end.
    end: u32,
    /// Where the next thing begins that was not dealt with: a line, or a chunk's data.
    at: u32,
    stage: Stage,
    /// Trailer fields that came.
    fields: u8,
    /// Whether they are delivered as they come.
    in_pieces: bool,
}

/// What the next byte is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The size in a chunk's line.
    Size,
    /// What follows the size in the line.
    Extensions,
    /// The line feed of the line.
    LineEnd,
    /// A chunk's data, which end at what was searched.
    Data,
    Trailer(Part),
}

/// What comes next of a body in chunks that is delivered as it comes.
pub(super) enum Next {
    /// So many bytes are needed.
    Partial(usize),
    /// A chunk of this size, not 0, whose data begin here.
    Chunk { data: usize, size: u64 },
    /// The end, behind so many bytes.
    End { consumed: usize },
}

/// What became of a body in chunks. All counts from where it begins.
pub(super) enum Joined {
    /// So many bytes are needed.
    Partial(usize),
    /// Where the data end, and where the trailer does.
    Whole { end: usize, consumed: usize },
}

impl Chunks {
    /// No chunks yet; the first one's line is at `start`.
    pub fn new(start: usize) -> Self {
        Self { start: start as u32, end: 0, at: 0, stage: Stage::Size, fields: 0, in_pieces: false }
    }

    /// Behind the data of a chunk that was delivered as it came.
    pub fn behind_data() -> Self {
        Self { stage: Stage::Data, in_pieces: true, ..Self::new(0) }
    }

    /// Has chunks delivered as they come. Nothing was joined yet.
    pub fn take_in_pieces(&mut self) {
        self.in_pieces = true;
    }

    /// Whether they are delivered as they come.
    pub fn are_taken_in_pieces(&self) -> bool {
        self.in_pieces
    }

    /// Where the body begins.
    pub const fn start(&self) -> usize {
        self.start as usize
    }

    /// From here on the body begins at 0: the head before it was delivered.
    pub fn leave_head(&mut self) {
        self.start = 0;
    }

    /// Joins the chunks that are there, in `input`, which begins with the body. Where the body is not complete, says how
    /// many bytes are needed; otherwise where its data and its trailer end.
    #[inline]
    pub fn join(&mut self, limits: &Limits, searched: &mut u32, input: &mut [u8]) -> Result<Joined, Error> {
        self.advance(limits, searched, input, true)
    }

    /// Returns whether all chunks are there, or something is wrong with them other than their size, which may be accepted
    /// in pieces. Changes nothing.
    pub fn can_end(&self, limits: &Limits, input: &mut [u8]) -> bool {
        let ended = { *self }.advance(limits, &mut 0, input, false);
        let is_large = matches!(ended, Err(Error::BodyTooLarge { .. } | Error::FramingTooLarge { .. }));
        !is_large && !matches!(ended, Ok(Joined::Partial(_)))
    }

    /// Goes on with what is there. Joins it where `joins` is set.
    #[inline]
    fn advance(&mut self, limits: &Limits, searched: &mut u32, input: &mut [u8], joins: bool) -> Result<Joined, Error> {
        loop {
            let at = self.at as usize;
            match self.stage {
                Stage::Size | Stage::Extensions | Stage::LineEnd => {
                    let Some((data, size)) = self.line(limits, searched, input)? else {
                        return Ok(Joined::Partial(input.len() + 1));
                    };
                    self.at = data as u32;
                    (self.stage, *searched) = match size {
                        0 => (Stage::Trailer(Part::Line), data as u32),
                        // It is not over the limit.
                        size => (Stage::Data, data as u32 + size as u32),
                    };
                }
                Stage::Data => {
                    let end = *searched as usize;
                    match input.get(end..).unwrap_or_default() {
                        [b'\r', b'\n', ..] => {}
                        [] => return Ok(Joined::Partial(end + 1)),
                        [b'\r'] => return Ok(Joined::Partial(end + 2)),
                        _ => return Err(Error::Chunk),
                    }
                    if joins {
                        #[cfg(test)]
                        crate::work::looked_at(end - at);
                        input.copy_within(at..end, self.end as usize);
                    }
                    self.end += (end - at) as u32;
                    self.at = end as u32 + 2;
                    self.stage = Stage::Size;
                }
                Stage::Trailer(part) => {
                    return Ok(match self.trailer(part, limits, searched, input)? {
                        Some(consumed) => Joined::Whole { end: self.end as usize, consumed },
                        None => Joined::Partial(input.len() + 1),
                    });
                }
            }
        }
    }

    /// Goes on where chunks are delivered as they come: `input` begins behind the data that were taken last.
    pub fn next(&mut self, limits: &Limits, searched: &mut u32, input: &[u8]) -> Result<Next, Error> {
        if self.stage == Stage::Data {
            match input {
                [b'\r', b'\n', ..] => {}
                [] => return Ok(Next::Partial(1)),
                [b'\r'] => return Ok(Next::Partial(2)),
                _ => return Err(Error::Chunk),
            }
            (self.at, self.stage) = (2, Stage::Size);
        }
        if !matches!(self.stage, Stage::Trailer(_)) {
            match self.line(limits, searched, input)? {
                None => return Ok(Next::Partial(input.len() + 1)),
                Some((data, 0)) => {
                    (self.at, self.stage, *searched) = (data as u32, Stage::Trailer(Part::Line), data as u32);
                }
                Some((data, size)) => return Ok(Next::Chunk { data, size }),
            }
        }
        let Stage::Trailer(part) = self.stage else { return Ok(Next::Partial(input.len() + 1)) };
        Ok(match self.trailer(part, limits, searched, input)? {
            Some(consumed) => Next::End { consumed },
            None => Next::Partial(input.len() + 1),
        })
    }

    /// Looks for the end of the trailer, of which this part is next. Nothing where it is not there yet.
    fn trailer(
        &mut self,
        part: Part,
        limits: &Limits,
        searched: &mut u32,
        input: &[u8],
    ) -> Result<Option<usize>, Error> {
        let (at, from) = (self.at as usize, *searched as usize);
        let found = end_of_fields(searched, input, at, limits.trailer);
        let checked = match found {
            Ok(Some(end)) => check_trailer(&input[at..end], limits.headers).map(|()| Some(end)),
            other => other,
        };
        if let Ok(Some(consumed)) = checked {
            return Ok(Some(consumed));
        }
        let seen = found.ok().flatten().unwrap_or(*searched as usize);
        let mut progress = Progress::of_trailer(part, self.fields);
        progress.look(Kind::Trailer, limits.headers, &input[..seen], from)?;
        (self.stage, self.fields) = (Stage::Trailer(progress.part()), progress.fields());
        checked.map(|_| None)
    }

    /// The chunk whose line is next: where its data begin, and its size. Nothing where the line is not whole.
    #[inline]
    fn line(&mut self, limits: &Limits, searched: &mut u32, input: &[u8]) -> Result<Option<(usize, u64)>, Error> {
        let at = self.at as usize;
        let window = input.len().min(at + LONGEST_LINE);
        let from = (*searched as usize).clamp(at, window);
        let Some(offset) = find(b'\n', &input[from..window]) else {
            *searched = window as u32;
            self.look(&input[..window], from)?;
            return if window == at + LONGEST_LINE { Err(Error::Chunk) } else { Ok(None) };
        };
        let data = from + offset + 1;
        let Some(size) = input[at..data].strip_suffix(b"\r\n").and_then(size_of_chunk) else {
            self.look(&input[..data], from)?;
            return Err(Error::Chunk);
        };
        let limit = limits.body;
        if size > (limit - self.end as usize) as u64 {
            return Err(Error::BodyTooLarge { limit });
        }
        if data - self.end as usize > limit + LONGEST_LINE {
            return Err(Error::FramingTooLarge { limit });
        }
        Ok(Some((data, size)))
    }

    /// Looks at a line, or the beginning of one, from `from` on. What is before was looked at.
    #[cold]
    fn look(&mut self, input: &[u8], from: usize) -> Result<(), Error> {
        #[cfg(test)]
        crate::work::looked_at(input.len() - from);
        for (at, &byte) in input.iter().enumerate().skip(from) {
            let length = at - self.at as usize;
            self.stage = match (self.stage, byte) {
                (Stage::LineEnd, b'\n') => return Ok(()),
                (_, b'\n') => return Err(Error::LineEnd),
                (Stage::Size, byte) if byte.is_ascii_hexdigit() && length < MOST_DIGITS => Stage::Size,
                (Stage::Size, b';' | b' ' | b'\t') if length > 0 => Stage::Extensions,
                (Stage::Extensions, b'\t' | b' '..=b'~' | 0x80..) => Stage::Extensions,
                (Stage::Size | Stage::Extensions, b'\r') if length > 0 => Stage::LineEnd,
                _ => return Err(Error::Chunk),
            };
        }
        Ok(())
    }
}

/// Trailer fields are as strict as header fields. Then they are ignored: nobody here asks for them (RFC 9110 §6.5.1).
#[inline]
fn check_trailer(bytes: &[u8], limit: usize) -> Result<(), Error> {
    if bytes.len() == 2 {
        return Ok(());
    }
    #[cfg(test)]
    crate::work::looked_at(bytes.len());
    let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
    match httparse::parse_headers(bytes, &mut fields[..limit]) {
        Ok(httparse::Status::Complete((end, _))) if end == bytes.len() => Ok(()),
        Err(httparse::Error::TooManyHeaders) => Err(Error::TooManyHeaders { limit }),
        _ => Err(Error::Header),
    }
}

/// The size that a chunk's line, given without its ending, says. Extensions are checked and ignored. Nothing where the
/// line is malformed.
#[inline]
fn size_of_chunk(line: &[u8]) -> Option<u64> {
    #[cfg(test)]
    crate::work::looked_at(line.len());
    let mut size: u64 = 0;
    for (at, &byte) in line.iter().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if at > 0 && are_extensions(&line[at..]) => return Some(size),
            _ => return None,
        };
        if at == MOST_DIGITS {
            return None;
        }
        size = size << 4 | u64::from(digit);
    }
    (!line.is_empty()).then_some(size)
}

/// Whether `bytes` are one or more of `;name`, `;name=token` and `;name="quoted"`, with blanks around `;` and `=`
/// (RFC 9112 §7.1.1).
#[cold]
fn are_extensions(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some(name) = skip_blanks(bytes).strip_prefix(b";") else { return false };
        let Some(rest) = skip_token(skip_blanks(name)) else { return false };
        bytes = match skip_blanks(rest).strip_prefix(b"=").map(skip_blanks) {
            None => rest,
            Some(value) => match value.strip_prefix(b"\"").map_or_else(|| skip_token(value), skip_quoted) {
                Some(rest) => rest,
                None => return false,
            },
        };
    }
    true
}

fn skip_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(bytes.len());
    (end > 0).then(|| &bytes[end..])
}

/// What follows a quoted string whose opening quote was taken off (RFC 9110 §5.6.4).
fn skip_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., rest @ ..] => rest,
            [b'\\', ..] => return None,
            [b'\t' | b' '..=b'~' | 0x80.., rest @ ..] => rest,
            _ => return None,
        };
    }
}
