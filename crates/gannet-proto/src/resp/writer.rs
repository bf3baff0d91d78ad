//! Writes replies, on the server's side.

use std::fmt::{self, Write as _};

use memchr::memchr2;

use super::{Value, Version, header};
use crate::Sink;

/// Writes replies to a [`Sink`], in the version that the client understands.
///
/// Each method writes one value, or the head of an aggregate whose elements the caller writes next: `array(2)` and two
/// values make one reply. The writer does not check that they follow. Nothing allocates here, and nothing fails.
///
/// For RESP2, other types are written as Redis does: maps, sets and pushes as arrays; doubles, big numbers and
/// verbatim strings as bulk strings; booleans as 1 and 0.
///
/// ```
/// use gannet_proto::resp::{Version, Writer};
///
/// let mut writer = Writer::new(Vec::new(), Version::Resp2);
/// for version in [Version::Resp2, Version::Resp3] {
///     writer.set_version(version);
///     writer.map(1);
///     writer.bulk(b"ratio");
///     writer.double(0.5);
/// }
/// let both = "*2\r\n$5\r\nratio\r\n$3\r\n0.5\r\n%1\r\n$5\r\nratio\r\n,0.5\r\n";
/// assert_eq!(writer.into_inner(), both.as_bytes());
/// ```
#[derive(Clone, Debug)]
pub struct Writer<S> {
    out: S,
    version: Version,
}

impl<S: Sink> Writer<S> {
    /// Writes to `out`, which may be a `&mut` reference to a sink.
    #[inline]
    pub fn new(out: S, version: Version) -> Self {
        Self { out, version }
    }

    /// Returns the version that replies are written in.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Sets the version for the replies that follow.
    #[inline]
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Returns the destination of replies.
    #[inline]
    pub fn get_ref(&self) -> &S {
        &self.out
    }

    /// Returns the destination of replies, to append pre-encoded whole values.
    #[inline]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.out
    }

    /// Gives the destination of replies back.
    #[inline]
    pub fn into_inner(self) -> S {
        self.out
    }

    /// Writes the simple string `OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.put(b"+OK\r\n");
    }

    /// Writes a simple string (section "Simple strings"). It is one line: `\r` and `\n` in it become blanks.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.line(b"+", text.as_bytes());
    }

    /// Writes an error (section "Simple errors"): the whole text with its code, as in `ERR unknown command`. It is one
    /// line: `\r` and `\n` in it become blanks.
    #[inline]
    pub fn error(&mut self, text: &str) {
        self.line(b"-", text.as_bytes());
    }

    /// Writes an integer (section "Integers").
    #[inline]
    pub fn integer(&mut self, value: i64) {
        header::write(b':', value, &mut self.out);
    }

    /// Writes a bulk string of any bytes (section "Bulk strings").
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.head(b'$', bytes.len());
        self.out.put(bytes);
        self.out.put(b"\r\n");
    }

    /// Writes a null in the place of a bulk string: `$-1` in RESP2 (section "Null bulk strings"), `_` in RESP3 (section
    /// "Nulls").
    #[inline]
    pub fn null(&mut self) {
        self.either(b"$-1\r\n", b"_\r\n");
    }

    /// Writes a null in the place of an array: `*-1` in RESP2 (section "Null arrays"), `_` in RESP3.
    #[inline]
    pub fn null_array(&mut self) {
        self.either(b"*-1\r\n", b"_\r\n");
    }

    /// Writes the head of an array (section "Arrays"); `len` values follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len);
    }

    /// Writes the head of a map (section "Maps"); `pairs` times a key and a value follow. An array of twice as many in RESP2.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Resp2 => self.head(b'*', pairs.saturating_mul(2)),
            Version::Resp3 => self.head(b'%', pairs),
        }
    }

    /// Writes the head of a set (section "Sets"); `len` values follow. An array in RESP2.
    #[inline]
    pub fn set(&mut self, len: usize) {
        self.head_of(b'~', len);
    }

    /// Writes the head of a push (section "Pushes"); `len` values follow, the first one the push's kind. An array in RESP2,
    /// where only a client that has subscribed expects one.
    #[inline]
    pub fn push(&mut self, len: usize) {
        self.head_of(b'>', len);
    }

    /// Writes the head of attributes for the value behind them; `pairs` times a key and a value follow, then that
    /// value.
    ///
    /// RESP2 has no attributes: nothing is written, and the answer is `false`. Leave the pairs out.
    #[inline]
    #[must_use = "the pairs must be left out where this is false"]
    pub fn attribute(&mut self, pairs: usize) -> bool {
        let known = self.version == Version::Resp3;
        if known {
            self.head(b'|', pairs);
        }
        known
    }

    /// Writes a double (section "Doubles"): the shortest decimal that reads back as the same number, or `inf`, `-inf`,
    /// `nan`. In RESP2 it is a bulk string with the same text.
    pub fn double(&mut self, value: f64) {
        let mut text = Text::default();
        // The text has room for every double, so this does not fail.
        let _ = match value.abs() {
            _ if value.is_nan() => text.write_str("nan"),
            size if size != 0.0 && !(1e-5..1e17).contains(&size) && size.is_finite() => write!(text, "{value:e}"),
            _ => write!(text, "{value}"),
        };
        self.text(b",", text.as_bytes());
    }

    /// Writes a boolean (section "Booleans"). In RESP2 it is the integer 1 or 0.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        match value {
            true => self.either(b":1\r\n", b"#t\r\n"),
            false => self.either(b":0\r\n", b"#f\r\n"),
        }
    }

    /// Writes an integer of any size (section "Big numbers"): decimal digits, with a sign before them or none, which is
    /// not checked. In RESP2 it is a bulk string.
    #[inline]
    pub fn big_number(&mut self, digits: &str) {
        match self.version {
            Version::Resp2 => self.bulk(digits.as_bytes()),
            Version::Resp3 => self.line(b"(", digits.as_bytes()),
        }
    }

    /// Writes a string with its format (section "Verbatim strings"), `txt` or `mkd`. In RESP2 it is a bulk string without the format.
    #[inline]
    pub fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        match self.version {
            Version::Resp2 => self.bulk(text),
            Version::Resp3 => {
                self.head(b'=', text.len().saturating_add(4));
                let [a, b, c] = *format;
                self.out.put(&[a, b, c, b':']);
                self.out.put(text);
                self.out.put(b"\r\n");
            }
        }
    }

    /// Writes a value with everything inside of it.
    ///
    /// Line breaks in lines become blanks, as with [`simple`](Self::simple) and [`error`](Self::error). In RESP2 a
    /// value is written without its attributes.
    pub fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Simple(text) => self.line(b"+", text),
            Value::Error(text) => self.line(b"-", text),
            Value::Integer(number) => self.integer(*number),
            Value::Bulk(bytes) => self.bulk(bytes),
            Value::Null => self.null(),
            Value::Array(values) => {
                self.array(values.len());
                self.values(values);
            }
            Value::Map(pairs) => {
                self.map(pairs.len());
                self.pairs(pairs);
            }
            Value::Set(values) => {
                self.set(values.len());
                self.values(values);
            }
            Value::Push(values) => {
                self.push(values.len());
                self.values(values);
            }
            Value::Attribute { pairs, value } => {
                if self.attribute(pairs.len()) {
                    self.pairs(pairs);
                }
                self.value(value);
            }
            Value::Double(number) => self.double(*number),
            Value::Boolean(value) => self.boolean(*value),
            Value::BigNumber(digits) => match self.version {
                Version::Resp2 => self.bulk(digits),
                Version::Resp3 => self.line(b"(", digits),
            },
            Value::Verbatim { format, text } => self.verbatim(format, text),
        }
    }

    fn values(&mut self, values: &[Value<'_>]) {
        values.iter().for_each(|value| self.value(value));
    }

    fn pairs(&mut self, pairs: &[(Value<'_>, Value<'_>)]) {
        for (key, value) in pairs {
            self.value(key);
            self.value(value);
        }
    }

    #[inline]
    fn head(&mut self, kind: u8, len: usize) {
        header::write(kind, i64::try_from(len).unwrap_or(i64::MAX), &mut self.out);
    }

    /// The head of an aggregate that is an array in RESP2.
    #[inline]
    fn head_of(&mut self, kind: u8, len: usize) {
        match self.version {
            Version::Resp2 => self.head(b'*', len),
            Version::Resp3 => self.head(kind, len),
        }
    }

    #[inline]
    fn either(&mut self, resp2: &[u8], resp3: &[u8]) {
        self.out.put(match self.version {
            Version::Resp2 => resp2,
            Version::Resp3 => resp3,
        });
    }

    /// A text without line breaks: a line in RESP3, a bulk string in RESP2.
    #[inline]
    fn text(&mut self, kind: &[u8], text: &[u8]) {
        match self.version {
            Version::Resp2 => self.bulk(text),
            Version::Resp3 => {
                self.out.put(kind);
                self.out.put(text);
                self.out.put(b"\r\n");
            }
        }
    }

    /// One line, whatever is in `text`.
    #[inline]
    fn line(&mut self, kind: &[u8], text: &[u8]) {
        self.out.put(kind);
        let mut rest = text;
        while let Some(end) = memchr2(b'\r', b'\n', rest) {
            self.out.put(&rest[..end]);
            self.out.put(b" ");
            rest = &rest[end + 1..];
        }
        self.out.put(rest);
        self.out.put(b"\r\n");
    }
}

/// The text of a double: 17 digits at most, five zeros, a sign, a point and an exponent.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    len: usize,
}

impl Text {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
