//! Bodies in chunks, which are joined in place (RFC 9112 §7.1).

use super::Error;
use super::grammar::is_token_byte;
use super::head::{MOST_HEADERS, end_of_fields};
use crate::search::find;

/// The longest line with a chunk's size that is accepted, in bytes with its extensions and its ending. Sizes take 18
/// at most, and hardly anybody sends extensions.
pub(super) const LONGEST_LINE: usize = 256;

/// The most digits that a chunk's size may have. So many fit 64 bits.
const MOST_DIGITS: usize = 16;

/// The smallest number of bytes that may still follow where a chunk's line is expected: `0`, and two line endings.
const LAST_CHUNK: usize = 5;

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
    /// Where the next line begins that was not dealt with.
    at: u32,
    /// Whether only the trailer is left.
    last: bool,
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
        Self { start: start as u32, end: 0, at: 0, last: false }
    }

    /// Where the body begins.
    pub fn start(&self) -> usize {
        self.start as usize
    }

    /// From here on the body begins at 0: the head before it was delivered.
    pub fn leave_head(&mut self) {
        self.start = 0;
    }

    /// Joins the chunks that are there, in `input`, which begins with the body. Where the body is not complete, says how many bytes are needed; otherwise where
    /// its data and its trailer end.
    #[inline]
    pub fn join(&mut self, limits: &Limits, searched: &mut u32, input: &mut [u8]) -> Result<Joined, Error> {
        self.advance(limits, searched, input, true)
    }

    /// Whether all chunks are there, or something is wrong with them. Changes nothing.
    pub fn can_end(&self, limits: &Limits, input: &mut [u8]) -> bool {
        !matches!({ *self }.advance(limits, &mut 0, input, false), Ok(Joined::Partial(_)))
    }

    /// Goes on with what is there. Joins it where `joins` is set.
    #[inline]
    fn advance(&mut self, limits: &Limits, searched: &mut u32, input: &mut [u8], joins: bool) -> Result<Joined, Error> {
        let limit = limits.body;
        while !self.last {
            let at = self.at as usize;
            // No line is shorter than that with what has to follow it, so there is no use in looking before.
            if input.len() < at + LAST_CHUNK {
                return Ok(Joined::Partial(at + LAST_CHUNK));
            }
            let window = input.len().min(at + LONGEST_LINE);
            let from = (*searched as usize).clamp(at, window);
            let Some(offset) = find(b'\n', &input[from..window]) else {
                *searched = window as u32;
                let too_long = window == at + LONGEST_LINE;
                return if too_long { Err(Error::Chunk) } else { Ok(Joined::Partial(window + 1)) };
            };
            let data = from + offset + 1;
            let line = input[at..data].strip_suffix(b"\r\n").ok_or(Error::LineEnd)?;
            let size = size_of_chunk(line).ok_or(Error::Chunk)?;
            if size > (limit - self.end as usize) as u64 {
                return Err(Error::BodyTooLarge { limit });
            }
            if data - self.end as usize > limit + LONGEST_LINE {
                return Err(Error::FramingTooLarge { limit });
            }
            if size == 0 {
                self.last = true;
                self.at = data as u32;
                *searched = data as u32;
                break;
            }
            let end = data + size as usize;
            if input.len() < end + 2 + LAST_CHUNK {
                return Ok(Joined::Partial(end + 2 + LAST_CHUNK));
            }
            if input[end..end + 2] != *b"\r\n" {
                return Err(Error::Chunk);
            }
            if joins {
                #[cfg(test)]
                crate::work::looked_at(size as usize);
                input.copy_within(data..end, self.end as usize);
            }
            self.end += size as u32;
            self.at = end as u32 + 2;
        }

        let trailer = self.at as usize;
        match end_of_fields(searched, input, trailer, limits.trailer)? {
            None => Ok(Joined::Partial(input.len() + 1)),
            Some(end) => {
                check_trailer(&input[trailer..end], limits.headers)?;
                Ok(Joined::Whole { end: self.end as usize, consumed: end })
            }
        }
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
