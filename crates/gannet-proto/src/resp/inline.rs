//! Commands as a person types them: one line, split at blanks.

use super::{Args, ProtocolError};

/// Splits a line, whose ending is not part of it, and takes quotes and escapes out in place.
pub(super) fn split(mut line: &mut [u8]) -> Result<Args<'_>, ProtocolError> {
    let mut args = Args::default();
    loop {
        let blanks = line.iter().take_while(|&&byte| is_blank(byte)).count();
        line = &mut line[blanks..];
        if line.is_empty() {
            return Ok(args);
        }
        let taken = unquote(line)?;
        let (word, rest) = line.split_at_mut(taken.read);
        args.push(&word[..taken.written]);
        line = rest;
    }
}

/// How much of a line a word took, and how long it is without its quotes and escapes.
#[derive(Default)]
struct Taken {
    read: usize,
    written: usize,
}

impl Taken {
    /// Takes `size` bytes of the line, which stand for `byte`.
    #[inline]
    fn put(&mut self, line: &mut [u8], size: usize, byte: u8) {
        line[self.written] = byte;
        self.written += 1;
        self.read += size;
    }
}

/// Moves the word at the start of `line` together: what is written is never longer than what was read.
fn unquote(line: &mut [u8]) -> Result<Taken, ProtocolError> {
    let mut taken = Taken::default();
    while let Some(&byte) = line.get(taken.read) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => break,
            b'"' | b'\'' => {
                taken.read += 1;
                quoted(line, &mut taken, byte)?;
                break;
            }
            _ => taken.put(line, 1, byte),
        }
    }
    Ok(taken)
}

/// Takes what is left of a word behind its opening quote. The closing quote ends the word.
fn quoted(line: &mut [u8], taken: &mut Taken, quote: u8) -> Result<(), ProtocolError> {
    loop {
        match (quote, &line[taken.read..]) {
            (_, []) => return Err(ProtocolError::UnbalancedQuotes),
            (_, [byte, rest @ ..]) if *byte == quote => {
                taken.read += 1;
                return match rest.first() {
                    Some(&next) if !is_blank(next) => Err(ProtocolError::UnbalancedQuotes),
                    _ => Ok(()),
                };
            }
            (b'"', &[b'\\', b'x', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                taken.put(line, 4, hex(high) * 16 + hex(low));
            }
            (b'"', &[b'\\', escaped, ..]) => taken.put(line, 2, meaning(escaped)),
            (b'\'', [b'\\', b'\'', ..]) => taken.put(line, 2, b'\''),
            (_, &[byte, ..]) => taken.put(line, 1, byte),
        }
    }
}

/// What an escape in double quotes stands for.
fn meaning(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Vertical tab and form feed are blanks in front of a word, but do not end one that has no quotes.
#[inline]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
