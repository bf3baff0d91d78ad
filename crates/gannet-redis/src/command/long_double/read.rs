//! Numbers as C's `strtold` reads them: decimal or hexadecimal, with an exponent or none, and infinity.

use super::big::Big;
use super::{LEAST_EXPONENT, LongDouble};

/// A text from this size on is not taken for a number, in bytes.
const TOO_LONG: usize = 5 * 1024;

/// Bits of a quotient: two more than a number has, for it to be rounded right.
const QUOTIENT_BITS: u32 = 68;

/// Up to so many digits behind the point a number is read without the numbers of any size, if it is not too long.
const SHORT_POWER: u32 = 17;

/// Powers of ten from which on a number is infinite, and up to which it is nothing.
const DECIMAL_RANGE: (i64, i64) = (-4952, 4934);

/// The same for powers of two.
const BINARY_RANGE: (i64, i64) = (LEAST_EXPONENT as i64 - 1, 16385);

/// Reads a number; `None` where it is none, or too large or too small for one.
pub(super) fn read(text: &[u8]) -> Option<LongDouble> {
    if text.len() >= TOO_LONG {
        return None;
    }
    let (negative, text) = match text {
        [b'-', text @ ..] => (true, text),
        [b'+', text @ ..] => (false, text),
        text => (false, text),
    };
    if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
        return Some(LongDouble::infinity(negative));
    }
    let digits = match text {
        [b'0', b'x' | b'X', text @ ..] => Digits::read(text, 16)?,
        text => Digits::read(text, 10)?,
    };
    if digits.whole.is_zero() {
        return Some(LongDouble { negative, mantissa: 0, exponent: 0 });
    }
    let number = if digits.radix == 16 { digits.binary(negative) } else { digits.decimal(negative) }?;
    (number.is_finite() && number.mantissa != 0).then_some(number)
}

/// The digits of a number without their point, and the exponent that makes up for that: of two where the digits are
/// hexadecimal, of ten else.
struct Digits {
    radix: u8,
    whole: Big,
    /// How many there are, without zeros at the beginning.
    count: i64,
    exponent: i64,
}

impl Digits {
    fn read(text: &[u8], radix: u8) -> Option<Self> {
        let (marker, digit_exponent) = if radix == 16 { (b'p', 4) } else { (b'e', 1) };
        let mut digits = Self { radix, whole: Big::default(), count: 0, exponent: 0 };
        let (mut point, mut some) = (false, false);
        // Several digits at a time: this is what takes the time where they are thousands.
        let (mut group, mut group_size) = (0, 1);
        let mut rest = text;
        while let [first, others @ ..] = rest {
            match char::from(*first).to_digit(radix.into()) {
                Some(digit) => {
                    some = true;
                    digits.count += i64::from(digits.count > 0 || digit != 0);
                    digits.exponent -= if point { digit_exponent } else { 0 };
                    (group, group_size) = (group * u32::from(radix) + digit, group_size * u32::from(radix));
                    if group_size >= 1 << 24 {
                        digits.whole.multiply_add(group_size, group);
                        (group, group_size) = (0, 1);
                    }
                }
                None if *first == b'.' && !point => point = true,
                None => break,
            }
            rest = others;
        }
        digits.whole.multiply_add(group_size, group);
        if !some {
            return None;
        }
        if let [first, power @ ..] = rest {
            if first.to_ascii_lowercase() != marker {
                return None;
            }
            digits.exponent = digits.exponent.saturating_add(signed(power)?);
        }
        Some(digits)
    }

    /// The number, where the digits are decimal ones.
    fn decimal(self, negative: bool) -> Option<LongDouble> {
        let size = self.count.saturating_add(self.exponent);
        if size <= DECIMAL_RANGE.0 || size >= DECIMAL_RANGE.1 {
            return None;
        }
        let power = u32::try_from(self.exponent.unsigned_abs()).ok()?;
        if self.exponent >= 0 {
            let (mantissa, below) = self.whole.times_five_to(power).highest();
            return Some(LongDouble::nearest(negative, mantissa, below as i32 + power as i32));
        }
        if let (Some(whole), 0..=SHORT_POWER) = (self.whole.small(), power) {
            // Of 127 bits by 40 at most: the quotient has more than it needs.
            let up = whole.leading_zeros() + 63;
            let (dividend, divisor) = (u128::from(whole) << up, 5u128.pow(power));
            let mantissa = (dividend / divisor) | u128::from(dividend % divisor != 0);
            return Some(LongDouble::nearest(negative, mantissa, -(up as i32) - power as i32));
        }
        let divisor = Big::from(1).times_five_to(power);
        let (own, its) = (self.whole.bits(), divisor.bits());
        let (up, divisor_up) = (its.saturating_sub(own), own.saturating_sub(its));
        let mantissa = self.whole.shifted(up).quotient(&divisor.shifted(divisor_up), QUOTIENT_BITS);
        let exponent = own as i32 - its as i32 - power as i32 - (QUOTIENT_BITS as i32 - 1);
        Some(LongDouble::nearest(negative, mantissa, exponent))
    }

    /// The number, where the digits are hexadecimal ones.
    fn binary(self, negative: bool) -> Option<LongDouble> {
        let size = i64::from(self.whole.bits()).saturating_add(self.exponent);
        if size <= BINARY_RANGE.0 || size >= BINARY_RANGE.1 {
            return None;
        }
        let (mantissa, below) = self.whole.highest();
        Some(LongDouble::nearest(negative, mantissa, below as i32 + i32::try_from(self.exponent).ok()?))
    }
}

/// A whole number with a sign or none, as large as it may be.
fn signed(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |digit: &u8| i64::from(digit - b'0');
    Some(sign * digits.iter().fold(0i64, |number, next| number.saturating_mul(10).saturating_add(digit(next))))
}
