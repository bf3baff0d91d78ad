//! Percent-encoding, as paths and queries have it.

use std::borrow::Cow;

/// Decodes percent-encoding (RFC 3986 §2.1), for example of [`Cx::param`](crate::Cx::param).
///
/// The answer is `None` if the encoding is malformed, or the result is not UTF-8. It allocates only if something is encoded.
///
/// ```
/// use gannet_http::decode;
///
/// assert_eq!(decode("gr%C3%BCn").as_deref(), Some("grün"));
/// assert_eq!(decode("a+b").as_deref(), Some("a+b"));
/// assert_eq!(decode("%zz"), None);
/// ```
#[must_use]
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match after {
            [high, low, after @ ..] if byte == b'%' => {
                decoded.push(digit(*high)? << 4 | digit(*low)?);
                after
            }
            _ if byte == b'%' => return None,
            _ => {
                decoded.push(byte);
                after
            }
        };
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The first value called `name` in a query as forms send it (`a=1&b=2`), decoded: there `+` is a blank too.
pub(crate) fn value_in<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let (_, value) = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(own, _)| *own == name || decode_form(own).is_some_and(|own| own == name))?;
    decode_form(value)
}

/// Decodes a part of a query as forms send it: there `+` is a blank too.
pub(crate) fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return decode(text);
    }
    // A plus that was meant is still encoded here.
    decode(&text.replace('+', " ")).map(|decoded| Cow::Owned(decoded.into_owned()))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_is_nothing() {
        for text in ["%", "%4", "%4g", "%+1", "a%", "%ff"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn a_query_has_its_values_by_name() {
        let query = "q=a+b%2Bc&empty&q=2&n%61me=x";
        assert_eq!(value_in(query, "q").as_deref(), Some("a b+c"));
        assert_eq!(value_in(query, "empty").as_deref(), Some(""));
        assert_eq!(value_in(query, "name").as_deref(), Some("x"));
        assert_eq!(value_in(query, "none"), None);
    }
}
