//! Traces that go through several servers (W3C Trace Context).

use std::fmt;

/// Identifies a request's place in a trace. The layer [`TraceContext`](crate::middleware::TraceContext) makes it; read it with
/// [`Cx::extension`](crate::Cx::extension).
///
/// Its text is the value of `traceparent` for requests that a handler makes to other servers. Pass `tracestate` on
/// unchanged, from [`Cx::request_header`](crate::Cx::request_header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// The identifier of the whole trace. It is not 0.
    pub trace_id: u128,
    /// The identifier of the work for this request. It is not 0.
    pub span_id: u64,
    /// The identifier of the work that this request is a part of; 0 if the trace begins here.
    pub parent_id: u64,
    /// Whether an earlier server records the trace.
    pub sampled: bool,
}

impl Trace {
    /// The trace that the value of `traceparent` says, with a new `span_id`. Nothing where it is malformed. Of a later
    /// version it reads what it knows (Trace Context §4.3).
    pub(crate) fn of(traceparent: &[u8], span_id: u64) -> Option<Self> {
        let (known, rest) = traceparent.split_at_checked(55)?;
        let text = std::str::from_utf8(known).ok()?;
        let mut parts = text.split('-');
        let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_formed = is_hex(version, 2) && is_hex(trace_id, 32) && is_hex(parent_id, 16) && is_hex(flags, 2);
        let ends = match version {
            "ff" => false,
            "00" => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        if !is_formed || !ends || parts.next().is_some() {
            return None;
        }
        let trace_id = u128::from_str_radix(trace_id, 16).ok().filter(|&id| id != 0)?;
        let parent_id = u64::from_str_radix(parent_id, 16).ok().filter(|&id| id != 0)?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id, span_id, parent_id, sampled })
    }
}

/// As `traceparent` has it.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, sampled, .. } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(*sampled))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_traceparent_is_not_taken_over() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::of(good.as_bytes(), 7).expect("well-formed");
        assert_eq!((trace.parent_id, trace.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(trace.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
        // A later version may have more.
        for later in [good.replacen("00", "cc", 1), good.replacen("00", "01", 1) + "-what"] {
            assert_eq!(Trace::of(later.as_bytes(), 7), Some(trace), "{later}");
        }
        for bad in [
            "",
            "00",
            &format!("{good}-"),
            &good.replacen("00", "ff", 1),
            &(good.replacen("00", "01", 1) + "what"),
            &good.to_uppercase(),
            &good.replace("00f067aa0ba902b7", "0000000000000000"),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good.replace("-01", "-0g"),
            &good.replace("-00f", "x00f"),
            &good.replace("4bf", "+bf"),
        ] {
            assert_eq!(Trace::of(bad.as_bytes(), 7), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(trace_id in 1u128.., span_id in 1u64.., sampled: bool) {
            let text = Trace { trace_id, span_id, parent_id: 0, sampled }.to_string();
            let read = Trace::of(text.as_bytes(), 1).expect("well-formed");
            prop_assert_eq!((read.trace_id, read.parent_id, read.sampled), (trace_id, span_id, sampled));
        }

        #[test]
        fn nothing_that_comes_panics(bytes in prop::collection::vec(any::<u8>(), 0..70), text in "[0-9a-f-]{0,60}|00-.{30,60}") {
            let _ = Trace::of(&bytes, 1);
            let _ = Trace::of(text.as_bytes(), 1);
        }
    }
}
