//! Collects the header fields of a response.

use memchr::memchr;

use super::{HeaderError, Headers, grammar};
use crate::Sink;

/// Collects header fields to send, for a server that does not know the status of its response yet.
/// [`Response::headers`](super::Response::headers) writes them, in order.
///
/// It keeps its memory when it is cleared.
#[derive(Clone, Debug, Default)]
pub struct HeaderLines {
    /// Lines with their endings.
    bytes: Vec<u8>,
}

impl HeaderLines {
    /// Makes an empty list of header fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds a field after the others, even if there is one of this name.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] says why the field cannot be sent. Nothing is changed.
    #[inline]
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        put_field(&mut self.bytes, name, value)
    }

    /// Sets a field: adds it, and removes all others of this name.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] says why the field cannot be sent. Nothing is changed.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        let before = self.bytes.len();
        self.add(name, value)?;
        self.remove_before(name, before);
        Ok(())
    }

    /// Returns the value of the first field called `name`, ignoring case.
    #[inline]
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        if self.bytes.is_empty() {
            return None;
        }
        Headers::new(&self.bytes).find(name)
    }

    /// Returns the values of all fields called `name`, ignoring case, in order.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &[u8]> + use<'_, 'n> {
        let mut headers = Headers::new(&self.bytes);
        std::iter::from_fn(move || headers.find(name))
    }

    /// Removes all fields called `name`, ignoring case.
    pub fn remove(&mut self, name: &str) {
        self.remove_before(name, self.bytes.len());
    }

    /// Removes all fields.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The lines as they are sent.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes out the fields called `name` among the first `end` bytes.
    fn remove_before(&mut self, name: &str, mut end: usize) {
        let mut at = 0;
        while at < end {
            let line = memchr(b'\n', &self.bytes[at..end]).map_or(end - at, |offset| offset + 1);
            let own = self.bytes[at..at + line].split_at_checked(name.len());
            if own.is_some_and(|(own, rest)| rest.starts_with(b":") && own.eq_ignore_ascii_case(name.as_bytes())) {
                self.bytes.drain(at..at + line);
                end -= line;
            } else {
                at += line;
            }
        }
    }
}

/// Writes one field's line, if it may be sent.
#[inline]
pub(super) fn put_field(out: &mut impl Sink, name: &str, value: &[u8]) -> Result<(), HeaderError> {
    check_field(name, value)?;
    out.put(name.as_bytes());
    out.put(b": ");
    out.put(value);
    out.put(b"\r\n");
    Ok(())
}

/// Whether one field may be sent.
#[inline]
pub(super) fn check_field(name: &str, value: &[u8]) -> Result<(), HeaderError> {
    if !grammar::is_token(name.as_bytes()) {
        return Err(HeaderError::Name);
    }
    if let Some(position) = grammar::control_in(value) {
        return Err(HeaderError::Value { position });
    }
    let own = match name.len() {
        10 => "connection",
        14 => "content-length",
        17 => "transfer-encoding",
        _ => "",
    };
    if name.eq_ignore_ascii_case(own) { Err(HeaderError::Reserved) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added_replaced_and_taken_out_by_their_names_in_whatever_case() {
        let mut lines = HeaderLines::new();
        lines.add("Vary", b"Origin").unwrap();
        lines.add("X-A", b"1").unwrap();
        lines.add("vary", b"Accept").unwrap();
        assert_eq!(lines.get("VARY"), Some(&b"Origin"[..]));
        assert!(lines.get_all("vary").eq([&b"Origin"[..], b"Accept"]));
        assert_eq!(lines.get_all("vary-").count(), 0);
        lines.set("X-a", b"2").unwrap();
        assert_eq!(lines.as_bytes(), b"Vary: Origin\r\nvary: Accept\r\nX-a: 2\r\n");
        lines.remove("vary");
        assert_eq!(lines.as_bytes(), b"X-a: 2\r\n");
        lines.remove("X");
        assert_eq!(lines.as_bytes(), b"X-a: 2\r\n");
    }

    #[test]
    fn what_cannot_be_sent_changes_nothing() {
        let mut lines = HeaderLines::new();
        lines.set("X-A", b"1").unwrap();
        assert_eq!(lines.set("X-A", b"2\r\nX-B: 3"), Err(HeaderError::Value { position: 1 }));
        assert_eq!(lines.set("X A", b"2"), Err(HeaderError::Name));
        assert_eq!(lines.add("Content-Length", b"2"), Err(HeaderError::Reserved));
        assert_eq!(lines.as_bytes(), b"X-A: 1\r\n");
    }
}
