//! The grammar of JSON (RFC 8259): walks over values without building them, and finds the strings and numbers in them.
//!
//! Nothing recurses: a bit for each array or object that is open says what it is.

use std::borrow::Cow;

use crate::centrifuge::DecodeError;

/// How many arrays and objects may be inside each other.
pub(super) const MAX_DEPTH: usize = 512;

/// A JSON text, and how much of it was read.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The error that something else was expected here.
    pub(super) fn expected<T>(&self, expected: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Json { at: self.at, expected })
    }

    /// The error that something else was expected where the last `length` bytes are.
    pub(super) fn expected_before<T>(&self, length: usize, expected: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Json { at: self.at - length, expected })
    }

    /// The next byte, blanks left out; nothing at the end.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    /// Takes the next byte, blanks left out, if it is this one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes the next byte, blanks left out, which has to be this one.
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), DecodeError> {
        if self.take(byte) { Ok(()) } else { self.expected(expected) }
    }

    /// Takes this word, if it comes next.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Reads the name of a member of an object, and the colon.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let name = self.string("a name in double quotes")?;
        self.expect(b':', "a colon")?;
        Ok(name)
    }

    /// Reads a string. It is borrowed, unless it has escapes.
    pub(super) fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        self.expect(b'"', expected)?;
        let start = self.at;
        let escaped = self.string_end()?;
        let inside = &self.text[start..self.at - 1];
        if escaped { unescape(inside, start).map(Cow::Owned) } else { Ok(Cow::Borrowed(inside)) }
    }

    /// Goes behind the end of a string whose first quote was taken. Says whether it has escapes.
    fn string_end(&mut self) -> Result<bool, DecodeError> {
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            self.at += plain(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.expected("no control character in a string"),
                None => return self.expected("the end of a string"),
            }
        }
    }

    /// Goes behind an escape.
    fn escape(&mut self) -> Result<(), DecodeError> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [b'u', digits @ ..] if digits.iter().take(4).filter(|byte| byte.is_ascii_hexdigit()).count() == 4 => {
                self.at += 6;
            }
            _ => return self.expected("an escape of JSON"),
        }
        Ok(())
    }

    /// Reads a number, as it is written.
    pub(super) fn number(&mut self, expected: &'static str) -> Result<&'a str, DecodeError> {
        self.peek();
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digits = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
        // No zero in front of other digits.
        let whole = if bytes.get(at) == Some(&b'0') { 1 } else { digits(at) };
        at += whole;
        let mut valid = whole > 0;
        if valid && bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            at += 1 + fraction;
            valid = fraction > 0;
        }
        if valid && matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at);
            at += exponent;
            valid = exponent > 0;
        }
        if !valid {
            return self.expected(expected);
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    /// Walks over a value, and returns its text.
    pub(super) fn value(&mut self) -> Result<&'a str, DecodeError> {
        self.peek();
        let start = self.at;
        let mut open = Open::default();
        loop {
            if self.value_begins(&mut open)? {
                continue;
            }
            // A value has ended: with it may end those around it.
            loop {
                match open.last() {
                    None => return Ok(&self.text[start..self.at]),
                    Some(Kind::Object) if self.take(b'}') => open.pop(),
                    Some(Kind::Array) if self.take(b']') => open.pop(),
                    Some(Kind::Object) => {
                        self.expect(b',', "a comma or the end of an object")?;
                        self.name_skipped()?;
                        break;
                    }
                    Some(Kind::Array) => {
                        self.expect(b',', "a comma or the end of an array")?;
                        break;
                    }
                }
            }
        }
    }

    /// Walks into an array or object that is not empty, and returns true; or over another value.
    fn value_begins(&mut self, open: &mut Open) -> Result<bool, DecodeError> {
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                open.push(Kind::Object, self.at)?;
                if self.take(b'}') {
                    open.pop();
                    return Ok(false);
                }
                self.name_skipped()?;
                return Ok(true);
            }
            Some(b'[') => {
                self.at += 1;
                open.push(Kind::Array, self.at)?;
                if self.take(b']') {
                    open.pop();
                    return Ok(false);
                }
                return Ok(true);
            }
            Some(b'"') => {
                self.at += 1;
                self.string_end()?;
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number("a number of JSON")?;
            }
            _ => {
                if !["true", "false", "null"].iter().any(|word| self.take_word(word)) {
                    return self.expected("a value of JSON");
                }
            }
        }
        Ok(false)
    }

    /// Walks over the name of a member of an object, and the colon.
    fn name_skipped(&mut self) -> Result<(), DecodeError> {
        self.expect(b'"', "a name in double quotes")?;
        self.string_end()?;
        self.expect(b':', "a colon")
    }

    /// Checks that nothing but blanks follows.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        if self.peek().is_none() { Ok(()) } else { self.expected("the end of the message") }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Array,
    Object,
}

/// The arrays and objects that are open: a bit each, set for objects.
#[derive(Default)]
struct Open {
    kinds: [u64; MAX_DEPTH / 64],
    count: usize,
}

impl Open {
    fn push(&mut self, kind: Kind, at: usize) -> Result<(), DecodeError> {
        if self.count == MAX_DEPTH {
            return Err(DecodeError::TooDeep { at, limit: MAX_DEPTH });
        }
        let (word, bit) = (&mut self.kinds[self.count / 64], 1 << (self.count % 64));
        match kind {
            Kind::Object => *word |= bit,
            Kind::Array => *word &= !bit,
        }
        self.count += 1;
        Ok(())
    }

    fn pop(&mut self) {
        self.count -= 1;
    }

    fn last(&self) -> Option<Kind> {
        let last = self.count.checked_sub(1)?;
        let object = self.kinds[last / 64] >> (last % 64) & 1 == 1;
        Some(if object { Kind::Object } else { Kind::Array })
    }
}

/// How many bytes at the front of a string stand for themselves in JSON: up to a quote, a backslash or a control
/// character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let special = special(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + words.remainder().iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count()
}

/// The high bit of the first byte that does not stand for itself. Bits of later bytes may be wrong.
fn special(word: u64) -> u64 {
    // For n up to 128, the high bits of those bytes that are below n. A borrow reaches later bytes only.
    let below = |word: u64, n: u8| word.wrapping_sub(repeated(n)) & !word & repeated(0x80);
    below(word, 0x20) | below(word ^ repeated(b'"'), 1) | below(word ^ repeated(b'\\'), 1)
}

/// A byte, eight times.
const fn repeated(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Takes the escapes out of a string whose escapes are valid, and which begins here.
fn unescape(text: &str, start: usize) -> Result<String, DecodeError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let at = start + text.len() - behind.len() - 1;
        let (escape, behind) = behind.split_at(1);
        rest = behind;
        out.push(match escape {
            "b" => '\u{8}',
            "f" => '\u{c}',
            "n" => '\n',
            "r" => '\r',
            "t" => '\t',
            "u" => {
                let (sign, behind) =
                    unicode(rest).ok_or(DecodeError::Json { at, expected: "both halves of a pair of surrogates" })?;
                rest = behind;
                sign
            }
            // A quote, a backslash or a slash.
            itself => {
                out.push_str(itself);
                continue;
            }
        });
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads what follows `\u`: the character, and the text behind it. Nothing for half a pair of surrogates.
fn unicode(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let first = unit(text)?;
    let behind = &text[4..];
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, behind));
    }
    let second = behind.strip_prefix("\\u")?;
    let low = unit(second)?.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?, &second[4..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain;

    proptest! {
        #[test]
        fn the_plain_part_of_a_string_ends_at_the_first_special_byte(bytes in prop::collection::vec(prop_oneof![
            Just(0x1f_u8), Just(0x20), Just(b'!'), Just(b'"'), Just(b'#'), Just(b'['), Just(b'\\'), Just(b']'), Just(0x80), any::<u8>(),
        ], 0..40)) {
            let simple = bytes.iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count();
            prop_assert_eq!(plain(&bytes), simple);
        }
    }
}
