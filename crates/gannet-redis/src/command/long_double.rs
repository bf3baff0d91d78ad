//! Decimal fractions as Redis reckons with them: as C's `long double` does on x86, with 64 bits of precision.

use super::error::Error;

/// The sum of two numbers in decimal, with up to 17 digits behind the point.
///
/// # Errors
///
/// [`Error::NOT_FLOAT`] where either is not a number, [`Error::NOT_FINITE`] where the sum is too large to be one.
pub fn add_float(old: &[u8], increment: &[u8]) -> Result<String, Error> {
    let sum = parse(old).ok_or(Error::NOT_FLOAT)? + parse(increment).ok_or(Error::NOT_FLOAT)?;
    if !sum.is_finite() {
        return Err(Error::NOT_FINITE);
    }
    let text = format!("{sum:.17}");
    Ok(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// Whether a text is a number that [`add_float`] takes, for those who have another error for it.
#[must_use]
pub fn is_float(text: &[u8]) -> bool {
    parse(text).is_some()
}

fn parse(text: &[u8]) -> Option<f64> {
    str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| !number.is_nan())
}
