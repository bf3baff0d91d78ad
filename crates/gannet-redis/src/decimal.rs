//! Numbers as Redis reads them: no sign but a minus, no leading zeros, no spaces.

/// The number whose shortest decimal form `text` is.
#[must_use]
#[inline]
pub fn integer(text: &[u8]) -> Option<i64> {
    // The longest is -9223372036854775808.
    if text.is_empty() || text.len() > 20 || !(text[0].is_ascii_digit() || text[0] == b'-') {
        return None;
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    let mut number: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    if negative { 0i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_shortest_form_of_a_number_is_one() {
        for text in ["", "-", "-0", "01", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "-9223372036854775809"]
        {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_number_is_read_from_its_own_form(number in any::<i64>()) {
            prop_assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }
    }
}
