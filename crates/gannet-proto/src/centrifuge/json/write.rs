//! Writes JSON, without blanks and line breaks.

use std::borrow::Cow;

use memchr::memchr2;

use super::scan::plain;
use crate::Sink;
use crate::centrifuge::schema::{Field, FieldWriter, Message, Value};

/// Writes a message.
pub(super) fn object<'a>(message: &impl Message<'a>, out: &mut impl Sink) {
    out.put(b"{");
    message.write(&mut Writer { out, first: true });
    out.put(b"}");
}

/// Writes the members of an object.
struct Writer<'s, S> {
    out: &'s mut S,
    /// Whether the object has no member yet.
    first: bool,
}

impl<S: Sink> Writer<'_, S> {
    fn name(&mut self, field: Field<'_>) {
        if !self.first {
            self.out.put(b",");
        }
        self.first = false;
        string(field.name, self.out);
        self.out.put(b":");
    }
}

impl<S: Sink> FieldWriter for Writer<'_, S> {
    fn uint(&mut self, field: Field<'_>, value: u64) {
        if value != 0 || !field.omitted_in_json() {
            self.name(field);
            decimal(value, self.out);
        }
    }

    fn int(&mut self, field: Field<'_>, value: i64) {
        if value != 0 || !field.omitted_in_json() {
            self.name(field);
            if value < 0 {
                self.out.put(b"-");
            }
            decimal(value.unsigned_abs(), self.out);
        }
    }

    fn bool(&mut self, field: Field<'_>, value: bool) {
        if value || !field.omitted_in_json() {
            self.name(field);
            self.out.put(if value { b"true" } else { b"false" });
        }
    }

    fn text(&mut self, field: Field<'_>, value: &str) {
        if !value.is_empty() || !field.omitted_in_json() {
            self.name(field);
            string(value, self.out);
        }
    }

    fn raw(&mut self, field: Field<'_>, value: &[u8]) {
        if !value.is_empty() {
            self.name(field);
            one_line(value, self.out);
        }
    }

    fn bytes(&mut self, field: Field<'_>, value: &[u8]) {
        self.text(field, &String::from_utf8_lossy(value));
    }

    fn message<'a>(&mut self, field: Field<'_>, value: &impl Message<'a>) {
        self.name(field);
        object(value, self.out);
    }

    fn list<'a, M: Message<'a>>(&mut self, field: Field<'_>, value: &[M]) {
        if value.is_empty() && field.omitted_in_json() {
            return;
        }
        self.name(field);
        self.out.put(b"[");
        for (index, message) in value.iter().enumerate() {
            if index > 0 {
                self.out.put(b",");
            }
            object(message, self.out);
        }
        self.out.put(b"]");
    }

    fn map<'a, V: Value<'a>>(&mut self, field: Field<'_>, value: &[(Cow<'a, str>, V)]) {
        if value.is_empty() && field.omitted_in_json() {
            return;
        }
        self.name(field);
        self.out.put(b"{");
        let mut inside = Writer { out: &mut *self.out, first: true };
        for (name, value) in value {
            value.write(Field::in_map(0, name), &mut inside);
        }
        self.out.put(b"}");
    }
}

/// Writes a string in double quotes. Control characters, quotes and backslashes are escaped.
fn string(text: &str, out: &mut impl Sink) {
    out.put(b"\"");
    let mut rest = text.as_bytes();
    loop {
        let (before, behind) = rest.split_at(plain(rest));
        out.put(before);
        let Some((&special, behind)) = behind.split_first() else { break };
        rest = behind;
        match special {
            b'"' => out.put(b"\\\""),
            b'\\' => out.put(b"\\\\"),
            b'\n' => out.put(b"\\n"),
            b'\r' => out.put(b"\\r"),
            b'\t' => out.put(b"\\t"),
            _ => {
                let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 0xf)];
                out.put(&[b'\\', b'u', b'0', b'0', digit(special >> 4), digit(special)]);
            }
        }
    }
    out.put(b"\"");
}

/// Writes the text of a value without its line breaks: in JSON they are blanks between other characters.
fn one_line(mut value: &[u8], out: &mut impl Sink) {
    while let Some(at) = memchr2(b'\n', b'\r', value) {
        out.put(&value[..at]);
        value = &value[at + 1..];
    }
    out.put(value);
}

fn decimal(mut value: u64, out: &mut impl Sink) {
    // The largest has 20 digits.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.put(&digits[first..]);
}
