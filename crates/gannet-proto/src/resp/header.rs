//! Lines, above all those that hold a type and a number, as `$5\r\n`.

use crate::Sink;
pub(super) use crate::search::find;

/// The number in the line at the start of `bytes`, and the line's size: one type byte, one to nine digits without a
/// superfluous zero, `\r`, and whatever is behind it. Nothing where the line is another one or has no end yet.
#[inline]
pub(super) fn short(bytes: &[u8]) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte - b'0');
    // Nearly all lines, without a loop.
    let (number, size) = match *bytes {
        [_, only @ b'0'..=b'9', b'\r', _, ..] => (digit(only), 4),
        [_, tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] => (10 * digit(tens) + digit(ones), 5),
        _ => return longer(bytes),
    };
    #[cfg(test)]
    crate::work::looked_at(size - 2);
    Some((number, size))
}

/// The same for a line of any length.
fn longer(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().enumerate().take(11).skip(1) {
        #[cfg(test)]
        crate::work::looked_at(1);
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let padded = bytes[1] == b'0' && index > 2;
            let whole = byte == b'\r' && index > 1 && !padded && bytes.len() > index + 1;
            return whole.then_some((number, index + 2));
        }
        number = number * 10 + usize::from(digit);
    }
    None
}

/// A decimal number with nothing around it: no `+`, no superfluous zero, and no zero with a sign.
pub(super) fn strict(digits: &[u8]) -> Option<i64> {
    let plain = match digits {
        [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => str::from_utf8(digits).ok()?,
        _ => return None,
    };
    plain.parse().ok()
}

/// Writes a type byte, a number and `\r\n`.
#[inline]
pub(super) fn write(kind: u8, number: i64, out: &mut (impl Sink + ?Sized)) {
    let digit = |digit: i64| b'0' + digit as u8;
    // Most are lengths of words, of one digit or two: written without a loop, and in one piece of a known size.
    match number {
        0..=9 => out.put(&[kind, digit(number), b'\r', b'\n']),
        10..=99 => out.put(&[kind, digit(number / 10), digit(number % 10), b'\r', b'\n']),
        _ => write_long(kind, number, out),
    }
}

fn write_long(kind: u8, number: i64, out: &mut (impl Sink + ?Sized)) {
    // The type, a sign, the 19 digits of the largest number, and the ending.
    let mut line = [0; 23];
    let mut start = line.len() - 2;
    line[start..].copy_from_slice(b"\r\n");

    let mut left = number.unsigned_abs();
    loop {
        start -= 1;
        line[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        line[start] = b'-';
    }
    start -= 1;
    line[start] = kind;
    out.put(&line[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_type_and_its_number_in_decimal_digits() {
        for number in [0, 9, 10, 42, 99, 100, 12_345, i64::MAX, -1, -10, i64::MIN] {
            let mut out = Vec::new();
            write(b':', number, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!(":{number}\r\n"));
        }
    }
}
