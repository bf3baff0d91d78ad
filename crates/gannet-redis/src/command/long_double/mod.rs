//! Decimal fractions as Redis reckons with them: as C's `long double` does on x86, with 64 bits of precision.
//!
//! What `INCRBYFLOAT` answers depends on each of these bits, so the arithmetic is done here with integers: every result
//! is the number with 64 bits that is nearest to the true one, the even one of two that are as near.

mod big;
mod read;

use super::error::Error;
use big::Big;

/// The exponent of the smallest number that there is.
const LEAST_EXPONENT: i32 = -16445;

/// Numbers from two to the power of this on are infinite.
const INFINITE_BITS: i32 = 16384;

/// Digits behind the point that are written.
const DECIMALS: usize = 17;

/// What these digits count in a whole.
const SCALE: u128 = 10u128.pow(DECIMALS as u32);

/// The sum of two numbers in decimal, with up to 17 digits behind the point.
///
/// # Errors
///
/// [`Error::NOT_FLOAT`] where either is not a number, [`Error::NOT_FINITE`] where the sum is too large to be one.
pub fn add_float(old: &[u8], increment: &[u8]) -> Result<String, Error> {
    let old = read::read(old).ok_or(Error::NOT_FLOAT)?;
    let increment = read::read(increment).ok_or(Error::NOT_FLOAT)?;
    let sum = old.add(increment);
    if sum.is_finite() { Ok(sum.text()) } else { Err(Error::NOT_FINITE) }
}

/// Whether a text is a number that [`add_float`] takes, for those who have another error for it.
#[must_use]
pub fn is_float(text: &[u8]) -> bool {
    read::read(text).is_some()
}

/// `mantissa * 2^exponent`, or infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LongDouble {
    negative: bool,
    mantissa: u64,
    /// [`i32::MAX`] is infinity's.
    exponent: i32,
}

impl LongDouble {
    const fn infinity(negative: bool) -> Self {
        Self { negative, mantissa: 1, exponent: i32::MAX }
    }

    fn is_finite(self) -> bool {
        self.exponent != i32::MAX
    }

    /// The number nearest to `mantissa * 2^exponent`. The last bit of a mantissa of more than 65 bits may stand for
    /// more that lies behind it.
    fn nearest(negative: bool, mantissa: u128, exponent: i32) -> Self {
        let surplus = bits(mantissa) - 64;
        let dropped = surplus.max(LEAST_EXPONENT - exponent).max(0);
        let (mut kept, mut exponent) = (shifted_down(mantissa, dropped as u32), exponent.saturating_add(dropped));
        if bits(kept) + exponent > INFINITE_BITS && kept != 0 {
            return Self::infinity(negative);
        }
        if bits(kept) > 64 {
            // Rounded up to the next power of two.
            (kept, exponent) = (kept >> 1, exponent + 1);
        }
        Self { negative, mantissa: kept as u64, exponent }
    }

    /// The sum. Infinity and its opposite, too, are infinity here: neither is an answer.
    fn add(self, other: Self) -> Self {
        if !self.is_finite() || !other.is_finite() {
            return Self::infinity(self.negative);
        }
        if self.mantissa == 0 || other.mantissa == 0 {
            return if self.mantissa == 0 { other } else { self };
        }
        // With the highest bit of the larger at 125 there is room for the sum above it, and below there are more bits
        // than the result has; what is shifted out there is kept in mind in the last one.
        let (one, other) = (self.raised(), other.raised());
        let (large, small) = if one.1 >= other.1 { (one, other) } else { (other, one) };
        let distance = large.1.abs_diff(small.1);
        let shifted = small.0.checked_shr(distance).unwrap_or(0);
        let lost = distance > 0 && (distance > 127 || small.0.trailing_zeros() < distance);
        let shifted = shifted | u128::from(lost);
        if large.2 == small.2 {
            return Self::nearest(large.2, large.0 + shifted, large.1);
        }
        match large.0.checked_sub(shifted) {
            Some(difference) => Self::nearest(large.2, difference, large.1),
            None => Self::nearest(small.2, shifted - large.0, large.1),
        }
    }

    /// The mantissa with its highest bit at 125, the exponent that goes with it, and the sign.
    fn raised(self) -> (u128, i32, bool) {
        let mantissa = u128::from(self.mantissa);
        let up = 126 - bits(mantissa);
        (mantissa << up, self.exponent - up, self.negative)
    }

    /// In decimal, rounded to 17 digits behind the point, without the zeros at the end of these.
    fn text(self) -> String {
        let (whole, fraction) = match u32::try_from(-self.exponent) {
            Ok(down) => {
                let scaled = shifted_down(u128::from(self.mantissa) * SCALE, down);
                ((scaled / SCALE).to_string(), scaled % SCALE)
            }
            Err(_) => (Big::from(self.mantissa).shifted(self.exponent.unsigned_abs()).decimal(), 0),
        };
        let sign = if self.negative && (fraction != 0 || whole != "0") { "-" } else { "" };
        if fraction == 0 {
            return format!("{sign}{whole}");
        }
        let text = format!("{sign}{whole}.{fraction:0DECIMALS$}");
        text.trim_end_matches('0').to_owned()
    }
}

/// `number / 2^down`, to the nearest, for a number of less than 128 bits.
fn shifted_down(number: u128, down: u32) -> u128 {
    match down {
        0 => number,
        1..=127 => {
            let (kept, half) = (number >> down, 1 << (down - 1));
            let rest = number & ((1 << down) - 1);
            kept + u128::from(rest > half || (rest == half && kept % 2 == 1))
        }
        _ => 0,
    }
}

/// The bits that a number has.
fn bits(number: u128) -> i32 {
    128 - number.leading_zeros() as i32
}

#[cfg(test)]
mod tests;
