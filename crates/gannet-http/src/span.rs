//! Spans of traces: what is recorded of a request, and of work that follows from it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::SystemTime;

use crate::identifiers::{mix, seed};
use crate::trace::Trace;

/// The longest text of an attribute, in bytes. What is longer is cut: clients choose paths and names of programs.
const LONGEST_TEXT_BYTES: usize = 1_024;

/// Takes spans that have ended.
///
/// [`Tracer`] calls it on the threads of reactors. It must not wait; drop spans where there is no room for them, and count
/// those.
pub trait Recorder: Send + Sync + 'static {
    /// Takes a span.
    fn record(&self, span: Span);
}

/// Decides which traces are recorded, makes identifiers, and passes spans on to a [`Recorder`].
///
/// Clones share everything. Give it to [`TraceContext::recording`](crate::middleware::TraceContext::recording) for the spans
/// of requests. Make further spans in handlers, as children of the [`Trace`] that [`Cx::extension`](crate::Cx::extension)
/// returns:
///
/// ```
/// use gannet_http::{Cx, Recorder, Rejection, Sampling, Span, SpanKind, Trace, Tracer};
///
/// struct Print;
///
/// impl Recorder for Print {
///     fn record(&self, span: Span) {
///         println!("{} {}", span.trace, span.name);
///     }
/// }
///
/// fn look_up(cx: &mut Cx<'_>, tracer: &Tracer) -> Result<String, Rejection> {
///     let own = tracer.child(cx.extension::<Trace>()?);
///     let span = own.sampled.then(|| Span::begin(own, SpanKind::Client, "look up"));
///     let answer = format!("ask with traceparent: {own}\n");
///     span.into_iter().for_each(|span| tracer.end(span));
///     Ok(answer)
/// }
///
/// let tracer = Tracer::new(Sampling::FollowCallers(0.01), Print);
/// # let _ = (tracer, look_up);
/// ```
#[derive(Clone)]
pub struct Tracer(Arc<Shared>);

struct Shared {
    recorder: Box<dyn Recorder>,
    /// Traces whose identifier's lower 63 bits are below it are recorded.
    threshold: AtomicU64,
    /// Which kind of [`Sampling`] it is: one of the constants below.
    rule: AtomicU8,
    seed: u64,
    count: AtomicU64,
}

const OFF: u8 = 0;
const FOLLOWS_CALLERS: u8 = 1;
const IS_A_SHARE: u8 = 2;

/// Says which traces are recorded. A share of 0 is none, and 1 is all.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Sampling {
    /// Nothing is recorded. [`TraceContext::recording`](crate::middleware::TraceContext::recording) then passes requests on as
    /// if it were not there.
    Off,
    /// A request's `traceparent` decides about its trace. Of traces that begin here, this share is recorded.
    FollowCallers(f64),
    /// This share of all traces is recorded. Choose it where clients are not trusted: with the other, each of them can have
    /// everything recorded that it does.
    Share(f64),
}

impl Tracer {
    /// Makes a tracer that has spans taken by `recorder`.
    #[must_use]
    pub fn new(sampling: Sampling, recorder: impl Recorder) -> Self {
        let (threshold, rule, count) = (AtomicU64::new(0), AtomicU8::new(OFF), AtomicU64::new(0));
        let tracer = Self(Arc::new(Shared { recorder: Box::new(recorder), threshold, rule, seed: seed(), count }));
        tracer.set_sampling(sampling);
        tracer
    }

    /// Replaces the rule that says which traces are recorded, for all clones, from any thread.
    ///
    /// It holds for requests and publications that begin from now on.
    pub fn set_sampling(&self, sampling: Sampling) {
        let (rule, share) = match sampling {
            Sampling::Off => (OFF, 0.0),
            Sampling::FollowCallers(share) => (FOLLOWS_CALLERS, share),
            Sampling::Share(share) => (IS_A_SHARE, share),
        };
        // It saturates: a share over 1 is all of them. A request that comes in between of the two has one of both rules.
        self.0.threshold.store((share * (1u64 << 63) as f64) as u64, Ordering::Relaxed);
        self.0.rule.store(rule, Ordering::Relaxed);
    }

    /// Returns whether the sampling is [`Sampling::Off`].
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.rule.load(Ordering::Relaxed) == OFF
    }

    /// Begins a trace.
    #[must_use]
    pub fn begin(&self) -> Trace {
        let number = self.number();
        let trace_id = u128::from(mix(!number) | 1) << 64 | u128::from(mix(number.rotate_left(32)) | 1);
        Trace { trace_id, span_id: mix(number) | 1, parent_id: 0, sampled: self.samples(trace_id) }
    }

    /// Begins work that is a part of the work of `parent`.
    #[must_use]
    pub fn child(&self, parent: &Trace) -> Trace {
        Trace { span_id: mix(self.number()) | 1, parent_id: parent.span_id, ..*parent }
    }

    /// Continues the trace of a `traceparent`; `None` if it is malformed (Trace Context §3.2.2.5).
    #[must_use]
    pub fn resume(&self, traceparent: &[u8]) -> Option<Trace> {
        let mut trace = Trace::of(traceparent, mix(self.number()) | 1)?;
        if self.0.rule.load(Ordering::Relaxed) != FOLLOWS_CALLERS {
            trace.sampled = self.samples(trace.trace_id);
        }
        Some(trace)
    }

    /// Ends a span at this moment, and has it recorded. Reads the clock.
    pub fn end(&self, mut span: Span) {
        span.end = now();
        self.0.recorder.record(span);
    }

    fn samples(&self, trace_id: u128) -> bool {
        // The lower half is as random as the other; a share of 1 is over each of its numbers.
        (trace_id as u64 >> 1) < self.0.threshold.load(Ordering::Relaxed)
    }

    fn number(&self) -> u64 {
        mix(self.0.seed ^ self.0.count.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

/// A piece of work in a trace, as the exporters of OpenTelemetry know it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// Its place in the trace.
    pub trace: Trace,
    /// Its part in an exchange.
    pub kind: SpanKind,
    /// What was done. Few different ones exist, as `GET /users/{id}`.
    pub name: Cow<'static, str>,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What is known of it, by the names of OpenTelemetry's semantic conventions.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Whether it failed.
    pub failed: bool,
}

/// Says which part a span has in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanKind {
    /// It answers a request.
    Server,
    /// It sends a request, and waits for the answer.
    Client,
    /// It sends a message that others receive later.
    Producer,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl Span {
    /// Begins a span at this moment. Reads the clock.
    #[must_use]
    pub fn begin(trace: Trace, kind: SpanKind, name: impl Into<Cow<'static, str>>) -> Self {
        let start = now();
        Self { trace, kind, name: name.into(), start, end: start, attributes: Vec::new(), failed: false }
    }

    /// Adds an attribute. A text over 1 KiB is cut.
    pub fn attribute(&mut self, key: &'static str, value: impl Into<SpanValue>) {
        self.attributes.push((key, value.into()));
    }

    /// Says that the work failed, and how: by a word such as `timeout`, or a status.
    pub fn fail(&mut self, error_type: &str) {
        self.failed = true;
        self.attribute("error.type", error_type);
    }
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        let end = (0..=text.len().min(LONGEST_TEXT_BYTES)).rev().find(|end| text.is_char_boundary(*end));
        Self::Text(text[..end.unwrap_or(0)].to_owned())
    }
}

impl From<i64> for SpanValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u16> for SpanValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for SpanValue {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

#[expect(clippy::disallowed_methods, reason = "a span says at what time of day it was; only what is sampled has one")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Span>>>);

    impl Recorder for Kept {
        fn record(&self, span: Span) {
            self.0.lock().expect("no panic").push(span);
        }
    }

    const SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_share_of_traces_is_recorded_that_was_asked_for() {
        for (share, least, most) in [(0.0, 0, 0), (0.25, 2_300, 2_700), (1.0, 10_000, 10_000), (7.0, 10_000, 10_000)] {
            let tracer = Tracer::new(Sampling::FollowCallers(share), Kept::default());
            let sampled = (0..10_000).filter(|_| tracer.begin().sampled).count();
            assert!((least..=most).contains(&sampled), "{share}: {sampled}");
        }
    }

    #[test]
    fn no_two_spans_have_the_same_identifier_and_a_child_is_in_the_trace_of_its_parent() {
        let tracer = Tracer::new(Sampling::Share(1.0), Kept::default());
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let parent = tracer.begin();
            let child = tracer.child(&parent);
            assert_eq!((child.trace_id, child.parent_id, child.sampled), (parent.trace_id, parent.span_id, true));
            assert!(seen.insert(parent.span_id) && seen.insert(child.span_id) && parent.trace_id != 0);
        }
    }

    #[test]
    fn a_caller_decides_what_is_recorded_unless_it_is_not_followed() {
        let unsampled = [&SAMPLED[..SAMPLED.len() - 1], b"0"].concat();
        let sampled = |tracer: &Tracer, value: &[u8]| tracer.resume(value).expect("well-formed").sampled;
        let none = Tracer::new(Sampling::FollowCallers(0.0), Kept::default());
        assert!(sampled(&none, SAMPLED) && !sampled(&none, &unsampled));
        let none = Tracer::new(Sampling::Share(0.0), Kept::default());
        assert!(!sampled(&none, SAMPLED));
        let all = Tracer::new(Sampling::Share(1.0), Kept::default());
        assert!(sampled(&all, &unsampled));
        assert_eq!(all.resume(b"00-no"), None);
    }

    #[test]
    fn another_sampling_holds_for_what_begins_next_and_for_all_clones() {
        let tracer = Tracer::new(Sampling::Off, Kept::default());
        let clone = tracer.clone();
        assert!(clone.is_off() && !clone.begin().sampled && !clone.resume(SAMPLED).expect("well-formed").sampled);
        tracer.set_sampling(Sampling::FollowCallers(0.0));
        assert!(!clone.is_off() && !clone.begin().sampled && clone.resume(SAMPLED).expect("well-formed").sampled);
        tracer.set_sampling(Sampling::Share(1.0));
        assert!(clone.begin().sampled);
        tracer.set_sampling(Sampling::Off);
        assert!(clone.is_off() && !clone.begin().sampled);
    }

    #[test]
    fn a_span_is_recorded_when_it_ends() {
        let kept = Kept::default();
        let tracer = Tracer::new(Sampling::Share(1.0), kept.clone());
        let mut span = Span::begin(tracer.begin(), SpanKind::Client, "a");
        span.fail("timeout");
        assert!(kept.0.lock().expect("no panic").is_empty());
        tracer.end(span);
        let spans = kept.0.lock().expect("no panic");
        assert!(spans[0].end >= spans[0].start && spans[0].failed);
        assert_eq!(spans[0].attributes, [("error.type", SpanValue::Text("timeout".to_owned()))]);
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        for (text, length) in [("a".repeat(1_025), 1_024), ("\u{20ac}".repeat(400), 1_023), (String::new(), 0)] {
            assert_eq!(SpanValue::from(&*text), SpanValue::Text(text[..length].to_owned()));
        }
    }
}
