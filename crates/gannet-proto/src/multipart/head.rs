//! The head of a part, and the boundary that a request's `Content-Type` gives.

use std::borrow::Cow;

use super::{Error, LONGEST_BOUNDARY};

/// The most header fields of a part: browsers send two.
const MOST_FIELDS: usize = 16;

/// The head of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part<'a> {
    /// The name of the field. Browsers write `"` and line ends in it as `%22`, `%0D` and `%0A`, and nothing else so; it
    /// is given as it was sent.
    pub name: Cow<'a, str>,
    /// The name of the file on the client's machine, where the field is a file. Never use it as a path: it is whatever the
    /// client says.
    pub filename: Option<Cow<'a, str>>,
    /// The type of the data, as the client says it.
    pub content_type: Option<&'a str>,
}

impl<'a> Part<'a> {
    /// Parses a head with the empty line at its end.
    pub(super) fn of(head: &'a [u8]) -> Result<Self, Error> {
        // `httparse` takes a line that ends in `\n` alone.
        if memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r') {
            return Err(Error::Header);
        }
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let fields = match httparse::parse_headers(head, &mut fields) {
            Ok(httparse::Status::Complete((end, fields))) if end == head.len() => fields,
            _ => return Err(Error::Header),
        };
        let (mut disposition, mut content_type) = (None, None);
        for field in fields {
            let value = std::str::from_utf8(field.value);
            if field.name.eq_ignore_ascii_case("content-disposition") {
                let value = value.map_err(|_| Error::Disposition)?;
                if disposition.replace(value).is_some() {
                    return Err(Error::Disposition);
                }
            } else if field.name.eq_ignore_ascii_case("content-type") {
                content_type = Some(value.map_err(|_| Error::Header)?);
            }
        }
        let (name, filename) = disposition.and_then(names_of).ok_or(Error::Disposition)?;
        Ok(Self { name, filename, content_type })
    }
}

/// Name and file name of a `Content-Disposition` (RFC 7578 §4.2).
fn names_of(disposition: &str) -> Option<(Cow<'_, str>, Option<Cow<'_, str>>)> {
    let (kind, mut rest) = token(disposition);
    let (mut name, mut filename) = (None, None);
    if !kind.eq_ignore_ascii_case("form-data") {
        return None;
    }
    while let Some((parameter, value, after)) = parameter(rest)? {
        let known = match parameter {
            _ if parameter.eq_ignore_ascii_case("name") => name.replace(value),
            _ if parameter.eq_ignore_ascii_case("filename") => filename.replace(value),
            _ => None,
        };
        if known.is_some() {
            return None;
        }
        rest = after;
    }
    Some((name?, filename))
}

/// The boundary of a `Content-Type`.
pub(super) fn boundary_of(content_type: &str) -> Result<String, Error> {
    let (kind, mut rest) = token(content_type);
    if !kind.eq_ignore_ascii_case("multipart/form-data") {
        return Err(Error::ContentType);
    }
    let mut boundary = None;
    while let Some((name, value, after)) = parameter(rest).ok_or(Error::Boundary)? {
        if name.eq_ignore_ascii_case("boundary") && boundary.replace(value).is_some() {
            return Err(Error::Boundary);
        }
        rest = after;
    }
    let boundary = boundary.ok_or(Error::Boundary)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let has_length = (1..=LONGEST_BOUNDARY).contains(&boundary.len());
    if has_length && boundary.bytes().all(is_allowed) && !boundary.ends_with(' ') {
        Ok(boundary.into_owned())
    } else {
        Err(Error::Boundary)
    }
}

/// A name with its value, and what follows them.
type Parameter<'a> = (&'a str, Cow<'a, str>, &'a str);

/// The next parameter, which is `; name=value` with blanks around the semicolon. Nothing inside where there is none, and
/// nothing at all where it is malformed.
fn parameter(text: &str) -> Option<Option<Parameter<'_>>> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Some(None);
    }
    let (name, rest) = token(text.strip_prefix(';')?.trim_ascii_start());
    let value = rest.strip_prefix('=').filter(|_| !name.is_empty())?;
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => quoted_string(quoted)?,
        None => {
            let (value, rest) = token(value);
            (Cow::Borrowed(value), rest)
        }
    };
    Some(Some((name, value, rest)))
}

/// The text up to a blank, a semicolon, an equals sign or a quote, and what follows.
fn token(text: &str) -> (&str, &str) {
    text.split_at(text.find([' ', '\t', ';', '=', '"']).unwrap_or(text.len()))
}

/// A quoted string whose opening quote was taken off, and what follows. Backslashes escape quotes and backslashes only:
/// old browsers send whole paths with them.
fn quoted_string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let (inside, behind) = (&text[..end], &text[end + 1..]);
    if !inside.contains('\\') {
        return Some((Cow::Borrowed(inside), behind));
    }
    let mut plain = String::with_capacity(inside.len());
    let mut rest = inside.chars().peekable();
    while let Some(each) = rest.next() {
        match rest.next_if(|&next| each == '\\' && matches!(next, '"' | '\\')) {
            Some(next) => plain.push(next),
            None => plain.push(each),
        }
    }
    Some((Cow::Owned(plain), behind))
}
