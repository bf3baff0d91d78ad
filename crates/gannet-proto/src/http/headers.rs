//! Iterates over header fields in the bytes of a head that was checked before.

use memchr::memchr;

use super::grammar;

/// Iterates over the header fields of a message in order: names, and values without the blanks around them.
///
/// It finds them in the head as it goes on; no table is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// Lines with their endings.
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Fields of a head that was checked: `lines` is its part between the request line and the empty line.
    #[inline]
    pub(super) fn new(lines: &'a [u8]) -> Self {
        Self { rest: lines }
    }

    /// Takes a line off the front, without its ending.
    #[inline]
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The value of the next field called `name`, ignoring case.
    #[inline]
    pub(super) fn find(&mut self, name: &str) -> Option<&'a [u8]> {
        while let Some(line) = self.line() {
            // A name has no colon in it, so the one behind these bytes is the one that ends it.
            if let Some((own, [b':', value @ ..])) = line.split_at_checked(name.len())
                && own.eq_ignore_ascii_case(name.as_bytes())
            {
                return Some(grammar::trim(value));
            }
        }
        None
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let line = self.line()?;
        let colon = memchr(b':', line)?;
        let name = std::str::from_utf8(&line[..colon]).ok()?;
        Some((name, grammar::trim(&line[colon + 1..])))
    }
}
