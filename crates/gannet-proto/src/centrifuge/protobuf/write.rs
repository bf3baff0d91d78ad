//! Writes Protobuf. Nothing is allocated: the size of a message is counted before it is written.

use std::borrow::Cow;

use crate::Sink;
use crate::centrifuge::schema::{Field, FieldWriter, Message, Value};

const VARINT: u32 = 0;
const BYTES: u32 = 2;

/// The entries of a map are messages with these fields.
const MAP_KEY: Field<'static> = Field::in_map(1, "key");
const MAP_VALUE: Field<'static> = Field::in_map(2, "value");

/// Writes a message without its length.
pub(super) fn bare<'a>(message: &impl Message<'a>, out: &mut impl Sink) {
    message.write(&mut Writer(out));
}

/// Writes a message with its length in front.
pub(super) fn framed<'a>(message: &impl Message<'a>, out: &mut impl Sink) {
    let length = size(message);
    out.reserve(length + 10);
    varint(length as u64, out);
    bare(message, out);
}

/// The size of a message in bytes, its length in front not counted.
fn size<'a>(message: &impl Message<'a>) -> usize {
    let mut size = Size(0);
    message.write(&mut size);
    size.0
}

/// The size of an entry of a map.
fn entry_size<'a>(key: &str, value: &impl Value<'a>) -> usize {
    let mut size = Size(0);
    size.text(MAP_KEY, key);
    value.write(MAP_VALUE, &mut size);
    size.0
}

fn varint(mut value: u64, out: &mut impl Sink) {
    let mut bytes = [0; 10];
    let mut last = 0;
    while value >= 0x80 {
        bytes[last] = value as u8 | 0x80;
        value >>= 7;
        last += 1;
    }
    bytes[last] = value as u8;
    out.put(&bytes[..=last]);
}

/// How many bytes a varint has: one for each seven bits, and one for 0.
const fn varint_size(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

struct Writer<'s, S>(&'s mut S);

impl<S: Sink> Writer<'_, S> {
    fn key(&mut self, field: Field<'_>, wire_type: u32) {
        varint(u64::from(field.number << 3 | wire_type), self.0);
    }

    fn length(&mut self, field: Field<'_>, length: usize) {
        self.key(field, BYTES);
        varint(length as u64, self.0);
    }
}

impl<S: Sink> FieldWriter for Writer<'_, S> {
    fn uint(&mut self, field: Field<'_>, value: u64) {
        if value != 0 || !field.omitted_in_protobuf() {
            self.key(field, VARINT);
            varint(value, self.0);
        }
    }

    fn int(&mut self, field: Field<'_>, value: i64) {
        // Negative ones have ten bytes, those of 32 bits too.
        self.uint(field, value as u64);
    }

    fn bool(&mut self, field: Field<'_>, value: bool) {
        self.uint(field, u64::from(value));
    }

    fn text(&mut self, field: Field<'_>, value: &str) {
        self.raw(field, value.as_bytes());
    }

    fn raw(&mut self, field: Field<'_>, value: &[u8]) {
        if !value.is_empty() || !field.omitted_in_protobuf() {
            self.length(field, value.len());
            self.0.put(value);
        }
    }

    fn bytes(&mut self, field: Field<'_>, value: &[u8]) {
        self.raw(field, value);
    }

    fn message<'a>(&mut self, field: Field<'_>, value: &impl Message<'a>) {
        self.length(field, size(value));
        value.write(self);
    }

    fn list<'a, M: Message<'a>>(&mut self, field: Field<'_>, value: &[M]) {
        for message in value {
            self.message(field, message);
        }
    }

    fn map<'a, V: Value<'a>>(&mut self, field: Field<'_>, value: &[(Cow<'a, str>, V)]) {
        for (key, value) in value {
            self.length(field, entry_size(key, value));
            self.text(MAP_KEY, key);
            value.write(MAP_VALUE, self);
        }
    }
}

/// Counts what would be written.
struct Size(usize);

impl Size {
    fn add(&mut self, field: Field<'_>, value: usize) {
        self.0 += varint_size(u64::from(field.number << 3)) + value;
    }

    fn add_bytes(&mut self, field: Field<'_>, length: usize) {
        self.add(field, varint_size(length as u64) + length);
    }
}

impl FieldWriter for Size {
    fn uint(&mut self, field: Field<'_>, value: u64) {
        if value != 0 || !field.omitted_in_protobuf() {
            self.add(field, varint_size(value));
        }
    }

    fn int(&mut self, field: Field<'_>, value: i64) {
        self.uint(field, value as u64);
    }

    fn bool(&mut self, field: Field<'_>, value: bool) {
        self.uint(field, u64::from(value));
    }

    fn text(&mut self, field: Field<'_>, value: &str) {
        self.raw(field, value.as_bytes());
    }

    fn raw(&mut self, field: Field<'_>, value: &[u8]) {
        if !value.is_empty() || !field.omitted_in_protobuf() {
            self.add_bytes(field, value.len());
        }
    }

    fn bytes(&mut self, field: Field<'_>, value: &[u8]) {
        self.raw(field, value);
    }

    fn message<'a>(&mut self, field: Field<'_>, value: &impl Message<'a>) {
        self.add_bytes(field, size(value));
    }

    fn list<'a, M: Message<'a>>(&mut self, field: Field<'_>, value: &[M]) {
        for message in value {
            self.message(field, message);
        }
    }

    fn map<'a, V: Value<'a>>(&mut self, field: Field<'_>, value: &[(Cow<'a, str>, V)]) {
        for (key, value) in value {
            self.add_bytes(field, entry_size(key, value));
        }
    }
}
