//! Looks at a head or a trailer that has not come whole, so that what cannot become valid is reported when it comes,
//! and not when the end comes or a deadline is over.
//!
//! Each byte is looked at once, when it has come, and each line again when it is whole. A head that comes in one piece
//! is not looked at here, unless it was refused: then this says why, so that the reason does not depend on how the
//! head was cut.

use super::head::{check_target, decimal, refused_coding};
use super::{Error, grammar};

/// What lines there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The head of a request.
    Request,
    /// The head of a response.
    Response,
    /// The trailer behind a body in chunks.
    Trailer,
}

/// How far the lines were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Where the line begins that is being looked at.
    line: u32,
    /// Where the part of the line begins that is being looked at.
    mark: u32,
    part: Part,
    fields: u8,
    seen: Seen,
}

/// What the next byte is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The first line: its parts in a request, or all of it in a response.
    Method,
    Target,
    Version,
    Status,
    /// The line feed behind the first line.
    FirstEnd,
    /// The first byte of a line behind the first.
    Line,
    Name,
    Value,
    /// The line feed behind a field.
    FieldEnd,
    /// The line feed behind the empty line's carriage return.
    BlankEnd,
    Done,
}

impl Progress {
    /// Nothing was looked at. The first line begins at `start`.
    pub(super) const fn new(kind: Kind, start: usize) -> Self {
        let part = match kind {
            Kind::Request => Part::Method,
            Kind::Response => Part::Status,
            Kind::Trailer => Part::Line,
        };
        Self { line: start as u32, mark: start as u32, part, fields: 0, seen: Seen::NONE }
    }

    /// A trailer that has got so far.
    pub(super) const fn of_trailer(part: Part, fields: u8) -> Self {
        Self { part, fields, ..Self::new(Kind::Trailer, 0) }
    }

    pub(super) const fn part(&self) -> Part {
        self.part
    }

    pub(super) const fn fields(&self) -> u8 {
        self.fields
    }

    /// Whether the first line of a head has no end yet.
    #[inline]
    pub(super) const fn is_in_first_line(&self) -> bool {
        matches!(self.part, Part::Method | Part::Target | Part::Version | Part::Status | Part::FirstEnd)
    }

    /// Looks at the bytes from `from` on, of which those before were looked at. At most `limit` fields are accepted.
    #[cold]
    pub(super) fn look(&mut self, kind: Kind, limit: usize, input: &[u8], from: usize) -> Result<(), Error> {
        #[cfg(test)]
        crate::work::looked_at(input.len() - from);
        for (at, &byte) in input.iter().enumerate().skip(from) {
            if let Some(part) = self.next(kind, limit, input, at, byte)? {
                (self.part, self.mark) = (part, at as u32 + 1);
            }
        }
        Ok(())
    }

    /// Looks at one byte. Says which part begins behind it, if one does.
    fn next(&mut self, kind: Kind, limit: usize, input: &[u8], at: usize, byte: u8) -> Result<Option<Part>, Error> {
        let from_mark = at - self.mark as usize;
        Ok(match (self.part, byte) {
            (Part::FirstEnd, b'\n') => {
                self.check_first(kind, &input[self.line as usize..at - 1])?;
                self.begin_line(at + 1)
            }
            (Part::FieldEnd, b'\n') => {
                self.check_field(kind, input, at - 1)?;
                self.begin_line(at + 1)
            }
            (Part::BlankEnd, b'\n') => Some(Part::Done),
            (Part::Done, _) => None,
            (_, b'\n') | (Part::FirstEnd | Part::BlankEnd, _) => return Err(Error::LineEnd),
            (Part::FieldEnd, _) => return Err(Error::Header),

            (Part::Method, b' ') if from_mark > 0 => Some(Part::Target),
            (Part::Method, b'\r') => return Err(Error::RequestLine),
            (Part::Method, byte) if grammar::is_token_byte(byte) => None,
            (Part::Method, _) => return Err(Error::Method),
            (Part::Target, b' ') if from_mark > 0 => Some(Part::Version),
            (Part::Target, b' ' | b'\r') => return Err(Error::RequestLine),
            (Part::Target, byte) if grammar::is_target(&[byte]) => None,
            (Part::Target, _) => return Err(Error::Target),
            (Part::Version, b'\r') if from_mark == VERSION => Some(Part::FirstEnd),
            (Part::Version, byte) if is_in_version(from_mark, byte) => None,
            (Part::Version, _) => return Err(Error::RequestLine),
            (Part::Status, b'\r') if from_mark >= VERSION + 4 => Some(Part::FirstEnd),
            (Part::Status, byte) if is_in_status_line(from_mark, byte) => None,
            (Part::Status, _) => return Err(Error::StatusLine),

            (Part::Line, b'\r') => Some(Part::BlankEnd),
            (Part::Line, _) if usize::from(self.fields) >= limit => return Err(Error::TooManyHeaders { limit }),
            (Part::Line, byte) if grammar::is_token_byte(byte) => Some(Part::Name),
            (Part::Name, b':') => Some(Part::Value),
            (Part::Name, byte) if grammar::is_token_byte(byte) => None,
            (Part::Line | Part::Name, _) => return Err(Error::Header),
            (Part::Value, b'\r') => Some(Part::FieldEnd),
            (Part::Value, byte) if grammar::control_in(&[byte]).is_none() => None,
            (Part::Value, _) => return Err(Error::Header),
        })
    }

    fn begin_line(&mut self, at: usize) -> Option<Part> {
        self.line = at as u32;
        Some(Part::Line)
    }

    /// Checks the first line of a head, which is whole.
    fn check_first(&mut self, kind: Kind, line: &[u8]) -> Result<(), Error> {
        if kind == Kind::Response {
            self.seen.set_old(line.get(VERSION - 1) == Some(&b'0'));
            return Ok(());
        }
        let mut words = line.split(|&byte| byte == b' ').map(|word| std::str::from_utf8(word).unwrap_or_default());
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some([.., major, _, minor])) = (method, target, version.map(str::as_bytes))
        else {
            return Err(Error::RequestLine);
        };
        if *major != b'1' {
            return Err(Error::UnsupportedVersion);
        }
        self.seen.set_old(*minor == b'0');
        check_target(method, target)
    }

    /// Checks the field of the line that ends at `end`.
    fn check_field(&mut self, kind: Kind, input: &[u8], end: usize) -> Result<(), Error> {
        self.fields += 1;
        if kind == Kind::Trailer {
            return Ok(());
        }
        let line = &input[self.line as usize..end];
        #[cfg(test)]
        crate::work::looked_at(line.len());
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        self.seen.check(kind, name, grammar::trim(value.strip_prefix(b":").unwrap_or_default()))
    }
}

/// What is wrong with a head that was refused as a whole, by its lines. Nothing where they are fine one by one.
#[cold]
pub(super) fn fault(kind: Kind, limit: usize, head: &[u8]) -> Option<Error> {
    Progress::new(kind, 0).look(kind, limit, head, 0).err()
}

/// What was seen of a head that bears on the lines behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen(u8);

impl Seen {
    const NONE: Self = Self(0);
    const HOST: u8 = 1;
    const LENGTH: u8 = 2;
    const CODING: u8 = 4;
    /// HTTP/1.0.
    const OLD: u8 = 8;

    const fn has(self, what: u8) -> bool {
        self.0 & what != 0
    }

    fn set_old(&mut self, old: bool) {
        self.0 |= if old { Self::OLD } else { 0 };
    }

    /// Checks a field with those before it.
    fn check(&mut self, kind: Kind, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("content-length") {
            if self.has(Self::LENGTH) || decimal(value).is_none() {
                return Err(Error::ContentLength);
            }
            self.0 |= Self::LENGTH;
        } else if is("transfer-encoding") {
            if self.has(Self::CODING | Self::OLD) {
                return Err(Error::TransferEncoding);
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(refused_coding(value));
            }
            self.0 |= Self::CODING;
        } else if kind == Kind::Request && is("host") {
            if self.has(Self::HOST) || !grammar::is_authority(value) {
                return Err(Error::Host);
            }
            self.0 |= Self::HOST;
        } else if kind == Kind::Request && is("expect") && !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Error::Expectation);
        }
        if self.has(Self::LENGTH) && self.has(Self::CODING) { Err(Error::TwoLengths) } else { Ok(()) }
    }
}

/// The length of a version, in bytes.
const VERSION: usize = 8;

/// Whether a version may have this byte at this place: `HTTP/1.1`.
fn is_in_version(at: usize, byte: u8) -> bool {
    match at {
        0..5 => byte == b"HTTP/"[at],
        6 => byte == b'.',
        5 | 7 => byte.is_ascii_digit(),
        _ => false,
    }
}

/// Whether the first line of a response may have this byte at this place: `HTTP/1.1 200 OK`.
fn is_in_status_line(at: usize, byte: u8) -> bool {
    match at {
        5 => byte == b'1',
        0..VERSION => is_in_version(at, byte),
        8 | 12 => byte == b' ',
        9 => matches!(byte, b'1'..=b'9'),
        10 | 11 => byte.is_ascii_digit(),
        _ => grammar::control_in(&[byte]).is_none(),
    }
}
