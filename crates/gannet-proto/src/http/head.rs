//! The head of a request: what `httparse` accepts, and what the specification asks for beyond it.

use std::mem::MaybeUninit;

use httparse::Status;

use super::lines::{self, Kind};
use super::{Error, Method, Version, grammar, request};
use crate::search::find;

/// The most header fields that can be accepted: so many are parsed on the stack.
pub(super) const MOST_HEADERS: usize = 128;

/// What was found in a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    pub method: Method<'a>,
    pub target: &'a str,
    /// Where the first field's line begins.
    pub fields: usize,
    pub version: Version,
    pub keep_alive: bool,
    /// Whether the client waits for "100 Continue" before it sends a body.
    pub expects: bool,
    pub framing: Framing,
}

/// How the end of the body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes, which may be none.
    Length(u64),
    /// It says so itself.
    Chunked,
}

impl<'a> Head<'a> {
    /// Parses `bytes`, whose only empty line is at their end, and all of whose lines end in `\r\n`.
    #[inline]
    pub(super) fn parse(bytes: &'a [u8], max_headers: usize) -> Result<Self, Error> {
        #[cfg(test)]
        crate::work::looked_at(bytes.len());
        let mut storage = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut []);
        let storage = &mut storage[..max_headers.min(MOST_HEADERS)];
        let head = match parsed.parse_with_uninit_headers(bytes, storage) {
            Ok(Status::Complete(end)) if end == bytes.len() => match (parsed.method, parsed.path, parsed.version) {
                (Some(method), Some(target), Some(minor)) => {
                    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
                    Self::of(bytes, method, target, version, parsed.headers)
                }
                _ => Err(Error::RequestLine),
            },
            Err(httparse::Error::Version) => Self::parse_later(bytes, max_headers),
            _ => Err(Error::Header),
        };
        head.map_err(|error| lines::fault(Kind::Request, max_headers.min(MOST_HEADERS), bytes).unwrap_or(error))
    }

    /// Parses the head of HTTP/1.2 or a later minor version, which counts as HTTP/1.1 (RFC 9110 §2.5). `httparse` knows
    /// none of them.
    #[cold]
    fn parse_later(bytes: &'a [u8], max_headers: usize) -> Result<Self, Error> {
        let end = find(b'\n', bytes).map_or(0, |end| end + 1);
        let (line, fields) = bytes.split_at(end);
        let line = std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix("\r\n"));
        let mut words = line.unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Error::RequestLine);
        };
        if !is_later_version(version.as_bytes()) {
            return Err(Error::UnsupportedVersion);
        }
        if !grammar::is_token(method.as_bytes()) {
            return Err(Error::Method);
        }
        let mut storage = [httparse::EMPTY_HEADER; MOST_HEADERS];
        match httparse::parse_headers(fields, &mut storage[..max_headers.min(MOST_HEADERS)]) {
            Ok(Status::Complete((end, headers))) if end == fields.len() => {
                Self::of(bytes, method, target, Version::Http11, headers)
            }
            _ => Err(Error::Header),
        }
    }

    /// The head with these parts, if they are valid together.
    #[inline]
    fn of(
        bytes: &'a [u8],
        method: &'a str,
        target: &'a str,
        version: Version,
        headers: &[httparse::Header<'a>],
    ) -> Result<Self, Error> {
        check_target(method, target)?;
        let (mut fields, mut host, mut expects) = (Fields::default(), false, false);
        for header in headers {
            let (name, value) = (header.name, header.value);
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    if host || !grammar::is_authority(value) {
                        return Err(Error::Host);
                    }
                    host = true;
                }
                6 if name.eq_ignore_ascii_case("expect") => {
                    if !value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(Error::Expectation);
                    }
                    expects = true;
                }
                _ => fields.add(name, value)?,
            }
        }
        let framing = fields.framing(version)?;
        if !host && version == Version::Http11 {
            return Err(Error::Host);
        }
        Ok(Self {
            bytes,
            method: Method::new(method),
            target,
            // Two blanks, the version, and the line's end.
            fields: method.len() + target.len() + 12,
            version,
            keep_alive: fields.stays(version),
            expects: expects && version == Version::Http11 && framing != Framing::Length(0),
            framing,
        })
    }
}

/// Whether this is `HTTP/1.2`, or a later minor version of HTTP/1.
pub(super) fn is_later_version(version: &[u8]) -> bool {
    matches!(version, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'])
}

/// Searches for the empty line behind header or trailer fields, whose `limit` counts from `start`. The line before the
/// first of them has its end before `searched`. Nothing where there is none yet. `searched` then says up to where the
/// bytes decide that, as it does where they are refused.
#[inline]
pub(super) fn end_of_fields(
    searched: &mut u32,
    input: &[u8],
    start: usize,
    limit: usize,
) -> Result<Option<usize>, Error> {
    let window = input.len().min(start + limit);
    let mut from = (*searched as usize).min(window);
    while let Some(offset) = find(b'\n', &input[from..window]) {
        let end = from + offset;
        from = end + 1;
        if input[end - 1] != b'\r' {
            *searched = from as u32;
            return Err(Error::LineEnd);
        }
        if input[end - 2] == b'\n' {
            return Ok(Some(from));
        }
    }
    *searched = window as u32;
    if input.len() > start + limit { Err(Error::HeadTooLarge { limit }) } else { Ok(None) }
}

/// What the fields say about the body and the connection.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub length: Option<u64>,
    pub coding: Option<&'a [u8]>,
    pub close: bool,
    pub keep_alive: bool,
}

impl<'a> Fields<'a> {
    /// Takes in one field, of whatever name.
    #[inline]
    pub(super) fn add(&mut self, name: &str, value: &'a [u8]) -> Result<(), Error> {
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                self.close |= grammar::has_token(value, "close");
                self.keep_alive |= grammar::has_token(value, "keep-alive");
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                if self.length.is_some() {
                    return Err(Error::ContentLength);
                }
                self.length = Some(decimal(value).ok_or(Error::ContentLength)?);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if self.coding.is_some() {
                    return Err(Error::TransferEncoding);
                }
                self.coding = Some(value);
            }
            _ => (),
        }
        Ok(())
    }

    /// Whether the connection stays open after this message (RFC 9112 §9.3).
    pub(super) fn stays(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// How the end of the body is found. A message without any of the fields has none.
    #[inline]
    pub(super) fn framing(&self, version: Version) -> Result<Framing, Error> {
        match (self.coding, self.length) {
            (None, length) => Ok(Framing::Length(length.unwrap_or(0))),
            (Some(_), Some(_)) => Err(Error::TwoLengths),
            (Some(_), None) if version == Version::Http10 => Err(Error::TransferEncoding),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (Some(coding), None) => Err(refused_coding(coding)),
        }
    }
}

/// Why a list of codings other than `chunked` alone is refused: one that is not known, or one that leaves the end of
/// the body open.
#[cold]
pub(super) fn refused_coding(value: &[u8]) -> Error {
    let mut codings = value.split(|&byte| byte == b',').map(grammar::trim).peekable();
    let mut unknown = false;
    while let Some(coding) = codings.next() {
        let chunked = coding.eq_ignore_ascii_case(b"chunked");
        if !grammar::is_token(coding) || (chunked && codings.peek().is_some()) {
            return Error::TransferEncoding;
        }
        unknown |= !chunked;
    }
    if unknown { Error::UnknownCoding } else { Error::TransferEncoding }
}

/// A number of digits alone (RFC 9110 §8.6); at most 19, which always fit.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Whether `target` has a form that is allowed for this method (RFC 9112 §3.2).
pub(super) fn check_target(method: &str, target: &str) -> Result<(), Error> {
    if method == "CONNECT" {
        return Err(Error::Connect);
    }
    let formed = match target.as_bytes() {
        [b'/', ..] => true,
        b"*" => method == "OPTIONS",
        _ => request::split_absolute(target)
            .is_some_and(|(authority, _)| !authority.is_empty() && grammar::is_authority(authority.as_bytes())),
    };
    if formed && grammar::is_target(target.as_bytes()) { Ok(()) } else { Err(Error::Target) }
}
