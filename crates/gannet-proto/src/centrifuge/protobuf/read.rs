//! Reads Protobuf, one message at a time.

use std::borrow::Cow;

use crate::centrifuge::DecodeError;
use crate::centrifuge::schema::{FieldReader, Key, Message, Value};

/// The largest number of a field.
const LAST_FIELD: u64 = (1 << 29) - 1;

const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const BYTES: u8 = 2;
const FIXED_32: u8 = 5;

/// Reads a message that has no length in front, with at most so many entries of maps and lists.
pub(super) fn bare<'a, M: Message<'a>>(input: &'a [u8], entries: usize) -> Result<M, DecodeError> {
    let mut message = M::default();
    let mut reader = Reader { input, at: 0, number: 0, wire_type: BYTES, entries, limit: entries };
    reader.fields(|reader, key| message.read(key, reader))?;
    Ok(message)
}

/// Stands at a value. Messages inside shorten `input` to their own end while they are read, so positions stay true.
struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    number: u32,
    wire_type: u8,
    /// How many entries may still come, of `limit`.
    entries: usize,
    limit: usize,
}

impl<'a> Reader<'a> {
    /// Reads all fields up to the end of the input.
    fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, Key<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        while self.at < self.input.len() {
            let at = self.at;
            let key = self.varint()?;
            let number = key >> 3;
            if number == 0 || number > LAST_FIELD {
                return Err(DecodeError::FieldNumber { at, number });
            }
            self.number = number as u32;
            self.wire_type = (key & 7) as u8;
            read(self, Key::Number(self.number))?;
        }
        Ok(())
    }

    /// Reads the fields of the message at which the reader stands.
    fn inside(&mut self, read: impl FnMut(&mut Self, Key<'_>) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        let length = self.length()?;
        let outer = self.input;
        self.input = &outer[..self.at + length];
        self.fields(read)?;
        self.input = outer;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        let rest = &self.input[self.at..];
        for (index, &byte) in rest.iter().take(10).enumerate() {
            // Nine bytes hold 63 bits.
            if index == 9 && byte > 1 {
                return Err(DecodeError::Overflow { at: self.at });
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(DecodeError::Truncated { at: self.at })
    }

    fn expect(&self, wire_type: u8) -> Result<(), DecodeError> {
        if self.wire_type == wire_type { Ok(()) } else { Err(self.bad_type()) }
    }

    fn bad_type(&self) -> DecodeError {
        DecodeError::WireType { at: self.at, number: self.number, wire_type: self.wire_type }
    }

    /// Reads a length, and checks that so many bytes follow.
    fn length(&mut self) -> Result<usize, DecodeError> {
        self.expect(BYTES)?;
        let at = self.at;
        let length = self.varint()?;
        let rest = self.input.len() - self.at;
        // Compared as 64 bits: a length of any size must not wrap.
        if length > rest as u64 { Err(DecodeError::Truncated { at }) } else { Ok(length as usize) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self.input.get(self.at..self.at + length).ok_or(DecodeError::Truncated { at: self.at })?;
        self.at += length;
        Ok(taken)
    }

    /// Counts an entry of a map or list.
    fn entry(&mut self) -> Result<(), DecodeError> {
        self.entries = self.entries.checked_sub(1).ok_or(DecodeError::TooMany { limit: self.limit })?;
        Ok(())
    }
}

impl<'a> FieldReader<'a> for Reader<'a> {
    const MERGES: bool = true;

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.expect(VARINT)?;
        self.varint()
    }

    // Larger values lose their high bits, as the format has it.
    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(self.u64()? as u32)
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(self.u64()? as i64)
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(self.u64()? as i32)
    }

    fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u64()? != 0)
    }

    fn text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let text = simdutf8::basic::from_utf8(self.raw()?).map_err(|_| DecodeError::NotUtf8)?;
        Ok(Cow::Borrowed(text))
    }

    fn raw(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        self.take(length)
    }

    fn bytes(&mut self) -> Result<Cow<'a, [u8]>, DecodeError> {
        self.raw().map(Cow::Borrowed)
    }

    fn take_null(&mut self) -> bool {
        false
    }

    fn message(&mut self, into: &mut impl Message<'a>) -> Result<(), DecodeError> {
        self.inside(|reader, key| into.read(key, reader))
    }

    fn list<M: Message<'a>>(&mut self, into: &mut Vec<M>) -> Result<(), DecodeError> {
        self.entry()?;
        let mut message = M::default();
        self.message(&mut message)?;
        into.push(message);
        Ok(())
    }

    fn map<V: Value<'a>>(&mut self, into: &mut Vec<(Cow<'a, str>, V)>) -> Result<(), DecodeError> {
        self.entry()?;
        let (mut name, mut value) = (Cow::Borrowed(""), V::default());
        self.inside(|reader, key| match key {
            Key::Number(1) => name.read(reader),
            Key::Number(2) => value.read(reader),
            _ => reader.skip(),
        })?;
        into.push((name, value));
        Ok(())
    }

    fn skip(&mut self) -> Result<(), DecodeError> {
        match self.wire_type {
            VARINT => self.varint().map(drop),
            FIXED_64 => self.take(8).map(drop),
            BYTES => self.raw().map(drop),
            FIXED_32 => self.take(4).map(drop),
            // Groups, which are older than the protocol.
            _ => Err(self.bad_type()),
        }
    }
}
