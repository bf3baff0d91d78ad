//! Reads JSON, one message at a time.

use std::borrow::Cow;

use super::scan::Scanner;
use crate::centrifuge::DecodeError;
use crate::centrifuge::schema::{FieldReader, Key, Message, Value};

/// Reads a message that is all of `text`, with at most so many entries of maps and lists.
pub(super) fn whole<'a, M: Message<'a>>(text: &'a str, entries: usize) -> Result<M, DecodeError> {
    let mut message = M::default();
    let mut reader = Reader { scanner: Scanner::new(text), entries, limit: entries };
    reader.message(&mut message)?;
    reader.scanner.end()?;
    Ok(message)
}

/// Stands at a value, or at blanks in front of it.
struct Reader<'a> {
    scanner: Scanner<'a>,
    /// How many entries may still come, of `limit`.
    entries: usize,
    limit: usize,
}

impl<'a> Reader<'a> {
    /// Reads the members of an object.
    fn object(
        &mut self,
        mut read: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.scanner.expect(b'{', "an object")?;
        if self.scanner.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.scanner.name()?;
            read(self, name)?;
            if self.scanner.take(b'}') {
                return Ok(());
            }
            self.scanner.expect(b',', "a comma or the end of an object")?;
        }
    }

    /// Reads a number of any of the integer types; null is 0.
    fn integer<N: std::str::FromStr + Default>(&mut self, expected: &'static str) -> Result<N, DecodeError> {
        if self.take_null() {
            return Ok(N::default());
        }
        let number = self.scanner.number(expected)?;
        number.parse().or_else(|_| self.scanner.expected_before(number.len(), expected))
    }

    /// Counts an entry of a map or list.
    fn entry(&mut self) -> Result<(), DecodeError> {
        self.entries = self.entries.checked_sub(1).ok_or(DecodeError::TooMany { limit: self.limit })?;
        Ok(())
    }
}

impl<'a> FieldReader<'a> for Reader<'a> {
    const MERGES: bool = false;

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.integer("an integer of 64 bits without a sign")
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.integer("an integer of 32 bits without a sign")
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        self.integer("an integer of 64 bits")
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        self.integer("an integer of 32 bits")
    }

    fn bool(&mut self) -> Result<bool, DecodeError> {
        if self.scanner.take_word("true") {
            Ok(true)
        } else if self.scanner.take_word("false") || self.take_null() {
            Ok(false)
        } else {
            self.scanner.expected("true or false")
        }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if self.take_null() { Ok(Cow::Borrowed("")) } else { self.scanner.string("a string") }
    }

    fn raw(&mut self) -> Result<&'a [u8], DecodeError> {
        self.scanner.value().map(str::as_bytes)
    }

    fn bytes(&mut self) -> Result<Cow<'a, [u8]>, DecodeError> {
        Ok(match self.text()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    fn take_null(&mut self) -> bool {
        self.scanner.take_word("null")
    }

    fn message(&mut self, into: &mut impl Message<'a>) -> Result<(), DecodeError> {
        self.object(|reader, name| into.read(Key::Name(&name), reader))
    }

    fn list<M: Message<'a>>(&mut self, into: &mut Vec<M>) -> Result<(), DecodeError> {
        into.clear();
        if self.take_null() {
            return Ok(());
        }
        self.scanner.expect(b'[', "an array")?;
        if self.scanner.take(b']') {
            return Ok(());
        }
        loop {
            self.entry()?;
            let mut message = M::default();
            self.message(&mut message)?;
            into.push(message);
            if self.scanner.take(b']') {
                return Ok(());
            }
            self.scanner.expect(b',', "a comma or the end of an array")?;
        }
    }

    fn map<V: Value<'a>>(&mut self, into: &mut Vec<(Cow<'a, str>, V)>) -> Result<(), DecodeError> {
        into.clear();
        if self.take_null() {
            return Ok(());
        }
        self.object(|reader, name| {
            reader.entry()?;
            let mut value = V::default();
            value.read(reader)?;
            into.push((name, value));
            Ok(())
        })
    }

    fn skip(&mut self) -> Result<(), DecodeError> {
        self.scanner.value().map(drop)
    }
}
