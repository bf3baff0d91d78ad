//! Patterns of keys and channels, as `KEYS`, `SCAN`, `PSUBSCRIBE` and `CONFIG GET` take them.

/// Whether a pattern describes a text.
///
/// `*` is any bytes, `?` any one byte, `[a-z]` one of these and `[^a-z]` any other, and `\` takes the next byte as it
/// is. A bracket that is not closed ends with the pattern. Of an empty text only the empty pattern is true.
///
/// The time is at most proportional to the product of both lengths, whatever the pattern: when something does not fit
/// behind a `*`, only the last one is tried further on, since what the earlier ones have matched can stay as it is.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // So it is there: no rule is looked at where there is no byte.
    if text.is_empty() {
        return pattern.is_empty();
    }
    // Behind the last `*`: the rest of the pattern, and where in the text it was tried.
    let mut retry: Option<(&[u8], usize)> = None;
    let (mut rest, mut at) = (pattern, 0);
    while let Some(byte) = text.get(at) {
        if let [b'*', behind @ ..] = rest {
            if behind.is_empty() {
                return true;
            }
            (rest, retry) = (behind, Some((behind, at)));
        } else if let Some(behind) = match_one(rest, *byte) {
            (rest, at) = (behind, at + 1);
        } else if let Some((behind, tried)) = retry {
            (rest, at) = (behind, tried + 1);
            retry = Some((rest, at));
        } else {
            return false;
        }
    }
    rest.iter().all(|byte| *byte == b'*')
}

/// What is left of a pattern whose first rule, not a `*`, is true of a byte.
#[inline]
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (fits, rest) = match pattern {
        [] => return None,
        [b'?', rest @ ..] => (true, rest),
        [b'[', rest @ ..] => match_class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte, rest),
    };
    fits.then_some(rest)
}

/// Whether a byte is in the brackets whose inside begins here, and what is behind them.
fn match_class(inside: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match inside {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        (found, rest) = match rest {
            [] => return (found != negated, rest),
            [b'\\', literal, rest @ ..] => (found || *literal == byte, rest),
            [b']', rest @ ..] => return (found != negated, rest),
            [one, b'-', other, rest @ ..] => (found || (*one.min(other)..=*one.max(other)).contains(&byte), rest),
            [literal, rest @ ..] => (found || *literal == byte, rest),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rules one by one, as slow as they please.
    fn plainly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| plainly(rest, &text[skipped..])),
            (_, [byte, text @ ..]) => match_one(pattern, *byte).is_some_and(|rest| plainly(rest, text)),
            (_, []) => false,
        }
    }

    #[test]
    fn patterns_describe_what_they_do_in_redis() {
        let table: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", false),
            ("*", "a", true),
            ("**", "ab", true),
            ("a*", "a", true),
            ("a**", "a", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("h\\?llo", "h?llo", true),
            ("h\\?llo", "hello", false),
            ("[\\]]", "]", true),
            ("[\\a-z]", "b", false),
            ("[\\a-z]", "-", true),
            ("[]a]", "a]", false),
            ("[^]", "x", true),
            ("[", "[", false),
            ("[^", "x", true),
            ("[ab", "b", true),
            ("[ab", "c", false),
            ("[a-", "-", true),
            ("[a-z", "q", true),
            ("[a-]", "]", true),
            ("[a-]", "-", false),
            ("[a-]b]", "_b]", false),
            ("a\\", "a\\", true),
            ("[\\", "\\", true),
            ("*[", "a[", false),
            ("A", "a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), *expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_one() {
        let pattern = b"a*".repeat(1_000);
        assert!(!matches(&[&pattern[..], b"b"].concat(), &b"a".repeat(20_000)));
    }

    proptest! {
        #[test]
        fn the_quick_way_says_what_the_rules_say(
            pattern in "[ab*?\\[\\]^\\\\-]{0,12}",
            text in "[ab\\]\\\\^-]{1,10}",
        ) {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), plainly(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn no_bytes_are_too_strange(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }
    }
}
