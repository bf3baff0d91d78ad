//! What a client says of the encodings that it understands (RFC 9110 §12.5.3).

/// Which of the two a response may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// As it is.
    Plain,
    /// In gzip, if that is worth it.
    Gzip,
    /// In gzip: as it is, the client does not want it.
    OnlyGzip,
}

/// A weight in thousandths.
type Weight = u16;

/// What the fields `Accept-Encoding` of a request say. Without one it is [`Plain`](Wanted::Plain), although any would do:
/// who does not ask for it seldom understands it. What is malformed in a list is not there.
pub(super) fn wanted<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Wanted {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for element in fields.flat_map(|field| field.split(|&byte| byte == b',')) {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let Some(weight) = weight_of(parts) else { continue };
        let slot: &mut Option<Weight> = match coding {
            b"*" => &mut any,
            _ if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") => &mut gzip,
            _ if coding.eq_ignore_ascii_case(b"identity") => &mut identity,
            _ => continue,
        };
        slot.get_or_insert(weight);
    }
    let gzip = gzip.or(any).unwrap_or(0);
    match identity.or(any.filter(|&any| any == 0)) {
        _ if gzip == 0 => Wanted::Plain,
        Some(0) => Wanted::OnlyGzip,
        Some(identity) if identity > gzip => Wanted::Plain,
        _ => Wanted::Gzip,
    }
}

/// The weight that the parameters of an element say, 1 where they say none. Nothing where it is malformed.
fn weight_of<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> Option<Weight> {
    let mut weight = 1_000;
    for parameter in parameters {
        if let [b'q' | b'Q', b'=', value @ ..] = parameter {
            weight = thousandths(value)?;
        }
    }
    Some(weight)
}

/// `0.5` in thousandths: a digit, and up to three behind a point (RFC 9110 §12.4.2).
fn thousandths(value: &[u8]) -> Option<Weight> {
    let (whole, rest) = value.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let part = (0..3).fold(0, |sum, at| sum * 10 + digits.get(at).map_or(0, |digit| Weight::from(digit - b'0')));
    match whole {
        b'0' => Some(part),
        b'1' if part == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted::{Gzip, OnlyGzip, Plain};
    use super::*;

    #[test]
    fn a_client_gets_what_it_weighs_most() {
        for (field, expected) in [
            ("gzip", Gzip),
            ("GZip", Gzip),
            ("x-gzip", Gzip),
            ("gzip, deflate, br, zstd", Gzip),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", Gzip),
            ("deflate ,\tgzip ; q=0.001", Gzip),
            ("*", Gzip),
            ("", Plain),
            (",,", Plain),
            ("br", Plain),
            ("identity", Plain),
            ("gzip;q=0", Plain),
            ("gzip;q=0.000", Plain),
            ("gzip;q=0, *", Plain),
            ("*;q=0", Plain),
            ("gzip;q=0.5, identity", Plain),
            ("gzip;q=0.5, identity;q=0.6", Plain),
            ("gzip;q=0.5, identity;q=0.5", Gzip),
            ("identity;q=0.5, *;q=0.6", Gzip),
            ("gzip, identity;q=0", OnlyGzip),
            ("gzip;q=0.1, *;q=0", OnlyGzip),
            ("*, identity;q=0", OnlyGzip),
            ("br, identity;q=0", Plain),
            // The first counts.
            ("gzip;q=0, gzip", Plain),
            // Malformed weights.
            ("gzip;q=2", Plain),
            ("gzip;q=1.001", Plain),
            ("gzip;q=0.0001", Plain),
            ("gzip;q=-1", Plain),
            ("gzip;q=", Plain),
            ("gzip;q=.5", Plain),
            ("gzip;q=0.5x", Plain),
            ("gzipped", Plain),
        ] {
            assert_eq!(wanted([field.as_bytes()].into_iter()), expected, "{field}");
        }
        assert_eq!(wanted(std::iter::empty()), Plain);
        assert_eq!(wanted([&b"br"[..], b"gzip"].into_iter()), Gzip);
    }
}
