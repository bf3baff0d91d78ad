//! What a request asks of a file, and what it gets: decided without I/O.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gannet::proto::http::{Method, Request};

/// The last second that a date in a header field can say: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// What a request says in its header fields, kept for as long as the file is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// Whether it is `HEAD`: ranges are for `GET` only (RFC 9110 §14.2).
    pub(super) head: bool,
    if_match: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
    if_unmodified_since: Option<Vec<u8>>,
    if_modified_since: Option<Vec<u8>>,
    if_range: Option<Vec<u8>>,
    range: Option<Vec<u8>>,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// In bytes.
    pub(super) size: u64,
    /// When it was changed, in whole seconds.
    pub(super) modified: SystemTime,
    /// Its entity tag, which is a strong one.
    pub(super) tag: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// 200, with all of it.
    Whole,
    /// 206, with these bytes, at least one.
    Part(Range<u64>),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    NotSatisfiable,
}

impl Conditions {
    /// Takes the fields of a request. Lists that come in several fields are one list (RFC 9110 §5.3). Allocates for
    /// those that are there only.
    pub(super) fn of(request: &Request<'_>) -> Self {
        let one = |name| request.header(name).map(<[u8]>::to_vec);
        let list = |name| {
            let mut fields = request.header_all(name);
            let mut all = fields.next()?.to_vec();
            for field in fields {
                all.extend_from_slice(b",");
                all.extend_from_slice(field);
            }
            Some(all)
        };
        Self {
            head: request.method == Method::Head,
            if_match: list("if-match"),
            if_none_match: list("if-none-match"),
            if_unmodified_since: one("if-unmodified-since"),
            if_modified_since: one("if-modified-since"),
            if_range: one("if-range"),
            range: list("range"),
        }
    }

    /// Decides, in the order of RFC 9110 §13.2.2. Dates and ranges that are malformed are as if they were not there.
    pub(super) fn decide(&self, facts: &Facts) -> Decision {
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(tags), _) if !any_tag(tags, &facts.tag, Comparison::Strong) => return Decision::PreconditionFailed,
            (None, Some(date)) if date_of(date).is_some_and(|date| facts.modified > date) => {
                return Decision::PreconditionFailed;
            }
            _ => (),
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(tags), _) if any_tag(tags, &facts.tag, Comparison::Weak) => return Decision::NotModified,
            (None, Some(date)) if date_of(date).is_some_and(|date| facts.modified <= date) => {
                return Decision::NotModified;
            }
            _ => (),
        }
        match &self.range {
            Some(range) if !self.head && self.range_applies(facts) => part(range, facts.size),
            _ => Decision::Whole,
        }
    }

    /// Whether what the client has a part of is this file still (RFC 9110 §13.1.5). A date has to be the very one that
    /// was sent; it comes from those only who kept no tag.
    fn range_applies(&self, facts: &Facts) -> bool {
        match self.if_range.as_deref() {
            None => true,
            Some(tag @ ([b'"', ..] | [b'W', b'/', ..])) => tag == facts.tag.as_bytes(),
            Some(date) => date_of(date) == Some(facts.modified),
        }
    }
}

/// A moment as header fields can say it, in whole seconds.
pub(super) fn in_seconds(moment: SystemTime) -> SystemTime {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND))
}

fn date_of(field: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(field).ok()?).ok()
}

/// How tags are compared (RFC 9110 §8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of tags, or `*`, has the one of a file that is there. The list ends where it is malformed.
fn any_tag(list: &[u8], own: &str, comparison: Comparison) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        while let [b',', after @ ..] = rest {
            rest = after.trim_ascii_start();
        }
        let (weak, opaque) = match rest {
            [b'W', b'/', opaque @ ..] => (true, opaque),
            opaque => (false, opaque),
        };
        // A comma may be part of a tag.
        let [b'"', inside @ ..] = opaque else { return false };
        let Some(end) = inside.iter().position(|&byte| byte == b'"') else { return false };
        let (tag, after) = opaque.split_at(end + 2);
        if tag == own.as_bytes() && (!weak || comparison == Comparison::Weak) {
            return true;
        }
        rest = after;
    }
}

/// What the field `Range` asks for of so many bytes (RFC 9110 §14.1.2). More than one range is answered with the whole, as
/// is what is malformed, or in another unit.
fn part(field: &[u8], size: u64) -> Decision {
    let Some((unit, set)) = field.split_at_checked(6) else { return Decision::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Decision::Whole;
    }
    let mut ranges = set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|range| !range.is_empty());
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Decision::Whole };
    let Some(dash) = range.iter().position(|&byte| byte == b'-') else { return Decision::Whole };
    let (first, last) = (&range[..dash], &range[dash + 1..]);
    let range = match (first, last) {
        ([], []) => return Decision::Whole,
        ([], suffix) => match number(suffix) {
            None => return Decision::Whole,
            Some(0) => return Decision::NotSatisfiable,
            // There is no way to say a part of nothing.
            Some(_) if size == 0 => return Decision::Whole,
            Some(suffix) => size - suffix.min(size)..size,
        },
        (first, last) => {
            let Some(first) = number(first) else { return Decision::Whole };
            let end = match last {
                [] => size,
                last => match number(last) {
                    Some(last) if last >= first => last.saturating_add(1).min(size),
                    _ => return Decision::Whole,
                },
            };
            first..end
        }
    };
    if range.start >= size { Decision::NotSatisfiable } else { Decision::Part(range) }
}

/// A number in decimal; one that is too large is the largest.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |sum: u64, &digit: &u8| {
        digit.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Decision::{NotModified, NotSatisfiable, Part, PreconditionFailed, Whole};
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn facts(size: u64) -> Facts {
        Facts { size, modified: date_of(DATE.as_bytes()).expect("a date"), tag: "\"a,b\"".to_owned() }
    }

    fn decide(method: &str, fields: &[(&str, &str)], size: u64) -> Decision {
        let mut head = format!("{method} / HTTP/1.1\r\nHost: h\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        Conditions::of(&Request::from_head(head.as_bytes(), &[]).expect("a request")).decide(&facts(size))
    }

    #[test]
    fn conditions_are_evaluated_in_their_order() {
        let (own, weak, other) = ("\"a,b\"", "W/\"a,b\"", "\"c\"");
        let range = ("Range", "bytes=0-0");
        for (fields, expected) in [
            (&[][..], Whole),
            // If-Match compares strongly.
            (&[("If-Match", own)], Whole),
            (&[("If-Match", "*")], Whole),
            (&[("If-Match", "\"x\" , W/\"y\",, \"a,b\"")], Whole),
            (&[("If-Match", other), ("If-Match", own)], Whole),
            (&[("If-Match", other)], PreconditionFailed),
            (&[("If-Match", weak)], PreconditionFailed),
            (&[("If-Match", "a,b")], PreconditionFailed),
            (&[("If-Match", "\"a,b")], PreconditionFailed),
            (&[("If-Match", "")], PreconditionFailed),
            // If-Unmodified-Since counts where there is no If-Match.
            (&[("If-Unmodified-Since", DATE)], Whole),
            (&[("If-Unmodified-Since", AFTER)], Whole),
            (&[("If-Unmodified-Since", BEFORE)], PreconditionFailed),
            (&[("If-Unmodified-Since", "yesterday")], Whole),
            (&[("If-Match", own), ("If-Unmodified-Since", BEFORE)], Whole),
            // If-None-Match compares weakly.
            (&[("If-None-Match", own)], NotModified),
            (&[("If-None-Match", weak)], NotModified),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-None-Match", "\"x\", W/\"a,b\"")], NotModified),
            (&[("If-None-Match", other)], Whole),
            (&[("If-None-Match", "\"a\", \"b\"")], Whole),
            // If-Modified-Since counts where there is no If-None-Match.
            (&[("If-Modified-Since", DATE)], NotModified),
            (&[("If-Modified-Since", AFTER)], NotModified),
            (&[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            (&[("If-Modified-Since", "Sun Nov  6 08:49:37 1994")], NotModified),
            (&[("If-Modified-Since", BEFORE)], Whole),
            (&[("If-Modified-Since", "0")], Whole),
            (&[("If-None-Match", other), ("If-Modified-Since", DATE)], Whole),
            // A failed precondition goes before a match, and both before a range.
            (&[("If-Match", other), ("If-None-Match", own)], PreconditionFailed),
            (&[("If-Unmodified-Since", BEFORE), ("If-Modified-Since", DATE)], PreconditionFailed),
            (&[("If-Match", other), range], PreconditionFailed),
            (&[("If-None-Match", own), range], NotModified),
            (&[("If-None-Match", other), range], Part(0..1)),
            (&[("If-Match", own), range], Part(0..1)),
            // If-Range compares strongly, and dates exactly.
            (&[("If-Range", own), range], Part(0..1)),
            (&[("If-Range", DATE), range], Part(0..1)),
            (&[("If-Range", weak), range], Whole),
            (&[("If-Range", other), range], Whole),
            (&[("If-Range", BEFORE), range], Whole),
            (&[("If-Range", AFTER), range], Whole),
            (&[("If-Range", "what"), range], Whole),
            (&[("If-Range", other), ("Range", "bytes=500-")], Whole),
            (&[("If-Range", own)], Whole),
        ] {
            assert_eq!(decide("GET", fields, 10), expected, "{fields:?}");
            let to_head = if matches!(expected, Part(_)) { Whole } else { expected };
            assert_eq!(decide("HEAD", fields, 10), to_head, "HEAD {fields:?}");
        }
    }

    #[test]
    fn a_range_is_a_part_of_what_is_there() {
        for (range, size, expected) in [
            ("bytes=0-0", 10, Part(0..1)),
            ("bytes=0-9", 10, Part(0..10)),
            ("bytes=0-10", 10, Part(0..10)),
            ("bytes=3-", 10, Part(3..10)),
            ("bytes=9-9", 10, Part(9..10)),
            ("bytes=-3", 10, Part(7..10)),
            ("bytes=-10", 10, Part(0..10)),
            ("bytes=-11", 10, Part(0..10)),
            ("BYTES=1-2", 10, Part(1..3)),
            ("bytes= 1-2 , ", 10, Part(1..3)),
            ("bytes=1-18446744073709551615", 10, Part(1..10)),
            ("bytes=1-99999999999999999999999", 10, Part(1..10)),
            ("bytes=-99999999999999999999999", 10, Part(0..10)),
            ("bytes=10-", 10, NotSatisfiable),
            ("bytes=10-12", 10, NotSatisfiable),
            ("bytes=99999999999999999999999-", 10, NotSatisfiable),
            ("bytes=-0", 10, NotSatisfiable),
            ("bytes=0-", 0, NotSatisfiable),
            ("bytes=0-0", 0, NotSatisfiable),
            ("bytes=-1", 0, Whole),
            // More than one.
            ("bytes=0-0,2-3", 10, Whole),
            ("bytes=50-, 60-", 10, Whole),
            // Malformed, or nothing that is known.
            ("bytes=3-2", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=,", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=1", 10, Whole),
            ("bytes=1-2-3", 10, Whole),
            ("bytes=--1", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1 -2", 10, Whole),
            ("bytes 1-2", 10, Whole),
            ("bits=1-2", 10, Whole),
            ("byte", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(decide("GET", &[("Range", range)], size), expected, "{range:?} of {size}");
        }
        assert_eq!(decide("GET", &[("Range", "bytes=0-0"), ("Range", "bytes=2-2")], 10), Whole);
    }

    #[test]
    fn a_moment_that_no_field_can_say_is_the_nearest_one() {
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        let _ = httpdate::HttpDate::from(in_seconds(far));
        assert_eq!(in_seconds(UNIX_EPOCH - Duration::from_secs(5)), UNIX_EPOCH);
        assert_eq!(in_seconds(UNIX_EPOCH + Duration::from_millis(1_999)), UNIX_EPOCH + Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn a_range_that_is_asked_for_is_what_a_slice_would_give(size in 0..50_u64, first in 0..60_u64, more in 0..60_u64) {
            let bytes: Vec<u64> = (0..size).collect();
            let last = first + more;
            let expected: Vec<u64> = bytes.iter().copied().filter(|at| (first..=last).contains(at)).collect();
            match decide("GET", &[("Range", &format!("bytes={first}-{last}"))], size) {
                Part(range) => prop_assert_eq!(range.collect::<Vec<_>>(), expected),
                other => prop_assert!(other == NotSatisfiable && expected.is_empty(), "{other:?}"),
            }
            match decide("GET", &[("Range", &format!("bytes=-{more}"))], size) {
                Part(range) => prop_assert_eq!(&bytes[range.start as usize..], &bytes[(size - more.min(size)) as usize..]),
                NotSatisfiable => prop_assert_eq!(more, 0),
                other => prop_assert!(other == Whole && size == 0, "{other:?}"),
            }
        }

        #[test]
        fn whatever_is_sent_gets_a_part_that_is_there(
            range in "(bytes=)?[0-9,\\- ]{0,12}",
            tag in "[\"W/a,b* ]{0,10}",
            size in 0..100_u64,
        ) {
            for fields in [
                &[("Range", &range[..])][..],
                &[("Range", &range), ("If-Range", &tag)],
                &[("If-Match", &tag), ("Range", &range)],
                &[("If-None-Match", &tag), ("Range", &range)],
            ] {
                if let Part(part) = decide("GET", fields, size) {
                    prop_assert!(part.start < part.end && part.end <= size, "{part:?} of {size}");
                }
            }
        }
    }
}
