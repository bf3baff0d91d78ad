//! One step through a reply: a value without others inside, or the head of one with others.

use super::{Error, ProtocolError, Value, header};
use crate::FrameError;

/// What stands at some place of a reply.
pub(super) enum Token<'a> {
    /// A whole value.
    Value(Value<'a>),
    /// The head of an aggregate.
    Head(Head),
}

/// The head of an aggregate.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// Its type byte.
    pub kind: u8,
    /// How many values, or pairs of them, it has.
    pub len: usize,
}

impl Head {
    /// Returns how many values follow, the one that attributes are about included.
    pub fn values(self) -> usize {
        match self.kind {
            b'%' => self.len.saturating_mul(2),
            b'|' => self.len.saturating_mul(2).saturating_add(1),
            _ => self.len,
        }
    }
}

/// What came of looking for a token.
pub(super) enum Step<'a> {
    /// It takes so many bytes.
    Whole(Token<'a>, usize),
    /// Its line has no end yet.
    Unended,
    /// It takes so many bytes, and they have not all arrived.
    Missing(usize),
}

/// No length takes more bytes: those of the largest number of 64 bits.
const MAX_LENGTH: usize = 20;

/// Limits in bytes.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub max_bulk: usize,
    pub max_line: usize,
    pub max_total: usize,
}

impl Limits {
    /// Returns the token at the start of `bytes`, whose first `searched` bytes are known to hold no `\r`. It begins
    /// `at` bytes after its reply.
    #[inline]
    pub fn token<'a>(&self, at: usize, searched: &mut usize, bytes: &'a [u8]) -> Result<Step<'a>, Error> {
        let Some(&kind) = bytes.first() else { return Ok(Step::Unended) };
        match kind {
            b'$' | b'!' | b'=' | b'*' | b'%' | b'~' | b'>' | b'|' => {
                let (len, size) = match header::short(bytes) {
                    Some((len, size)) if bytes[size - 1] == b'\n' => (Some(len), size),
                    _ => match long_header(kind, searched, bytes)? {
                        Some(header) => header,
                        None => return Ok(Step::Unended),
                    },
                };
                match (kind, len) {
                    (_, None) => Ok(Step::Whole(Token::Value(Value::Null), size)),
                    (b'$' | b'!' | b'=', Some(len)) => self.bulk(at, kind, len, size, bytes),
                    (_, Some(len)) => Ok(Step::Whole(Token::Head(Head { kind, len }), size)),
                }
            }
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {
                let Some(line) = line(self.max_line, searched, bytes)? else { return Ok(Step::Unended) };
                let value = on_line(kind, line).ok_or(ProtocolError::Malformed { kind })?;
                Ok(Step::Whole(Token::Value(value), line.len() + 3))
            }
            got => Err(ProtocolError::UnknownType { got }.into()),
        }
    }

    /// A string of `len` bytes behind a header of `size` bytes.
    #[inline]
    fn bulk<'a>(&self, at: usize, kind: u8, len: usize, size: usize, bytes: &'a [u8]) -> Result<Step<'a>, Error> {
        if len > self.max_bulk {
            return Err(FrameError::TooLarge { length: len as u64, limit: self.max_bulk }.into());
        }
        if kind == b'=' && len < 4 {
            return Err(ProtocolError::Malformed { kind }.into());
        }
        let end = size.saturating_add(len).saturating_add(2);
        self.check_total(at, end)?;
        let Some(whole) = bytes.get(..end) else {
            return Ok(Step::Missing(end));
        };
        let Some(string) = whole[size..].strip_suffix(b"\r\n") else {
            return Err(ProtocolError::MissingLineBreak.into());
        };
        let value = match (kind, string) {
            (b'$', _) => Value::Bulk(string),
            (b'!', _) => Value::Error(string),
            (_, &[a, b, c, b':', ref text @ ..]) => Value::Verbatim { format: [a, b, c], text },
            _ => return Err(ProtocolError::Malformed { kind }.into()),
        };
        Ok(Step::Whole(Token::Value(value), whole.len()))
    }

    /// Returns whether a reply may go on to `size` bytes after `at`.
    #[inline]
    pub fn check_total(&self, at: usize, size: usize) -> Result<(), Error> {
        let end = at.saturating_add(size);
        if end > self.max_total {
            return Err(FrameError::TooLarge { length: end as u64, limit: self.max_total }.into());
        }
        Ok(())
    }
}

/// The line at the start of `bytes` without its type byte and its ending, if it has one yet. `limit` is on what is
/// between those.
#[inline]
fn line<'a>(limit: usize, searched: &mut usize, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, ProtocolError> {
    let window = &bytes[..bytes.len().min(limit.saturating_add(2))];
    let start = (*searched).max(1);
    let Some(offset) = header::find(b'\r', &window[start..]) else {
        if window.len() > limit.saturating_add(1) {
            return Err(ProtocolError::LineTooLong { limit });
        }
        *searched = window.len();
        return Ok(None);
    };
    let end = start + offset;
    *searched = end;
    match bytes.get(end + 1) {
        Some(b'\n') => Ok(Some(&bytes[1..end])),
        Some(_) => Err(ProtocolError::MissingLineBreak),
        None => Ok(None),
    }
}

/// The length on an unusual or bad header's line, nothing where it says that there is no value; and the line's size.
#[cold]
fn long_header(kind: u8, searched: &mut usize, bytes: &[u8]) -> Result<Option<(Option<usize>, usize)>, ProtocolError> {
    let line = match line(MAX_LENGTH, searched, bytes) {
        Ok(Some(line)) => line,
        Ok(None) => return Ok(None),
        Err(ProtocolError::LineTooLong { .. }) => return Err(ProtocolError::Malformed { kind }),
        Err(error) => return Err(error),
    };
    let length = match (kind, line) {
        (b'$' | b'*', b"-1") => None,
        (_, b"?") => return Err(ProtocolError::Streamed { kind }),
        _ => {
            let length = header::strict(line).and_then(|length| usize::try_from(length).ok());
            Some(length.ok_or(ProtocolError::Malformed { kind })?)
        }
    };
    Ok(Some((length, line.len() + 3)))
}

/// A value that is one line.
#[inline]
fn on_line(kind: u8, line: &[u8]) -> Option<Value<'_>> {
    Some(match (kind, line) {
        (b'+', _) => Value::Simple(line),
        (b'-', _) => Value::Error(line),
        (b':', _) => Value::Integer(str::from_utf8(line).ok()?.parse().ok()?),
        (b'_', b"") => Value::Null,
        (b',', _) => Value::Double(double(line)?),
        (b'#', b"t") => Value::Boolean(true),
        (b'#', b"f") => Value::Boolean(false),
        (b'(', _) => {
            let digits = line.strip_prefix(b"-").or_else(|| line.strip_prefix(b"+")).unwrap_or(line);
            let number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            number.then_some(Value::BigNumber(line))?
        }
        _ => return None,
    })
}

/// A double as servers write it.
fn double(line: &[u8]) -> Option<f64> {
    match line {
        b"inf" | b"+inf" => Some(f64::INFINITY),
        b"-inf" => Some(f64::NEG_INFINITY),
        b"nan" | b"-nan" => Some(f64::NAN),
        _ => {
            let number = line.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
            if number { str::from_utf8(line).ok()?.parse().ok() } else { None }
        }
    }
}
