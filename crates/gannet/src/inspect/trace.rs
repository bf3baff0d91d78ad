//! The traffic of one connection, as it passes: recorded by its reactor, and taken by whoever asked for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::close_reason::CloseReason;
use crate::ids::{Place, Token};

/// Traces that a reactor records at a time.
pub(crate) const MOST_TRACES: usize = 16;

/// The most bytes that are kept of one piece.
const MOST_BYTES: usize = 4_096;

/// The most pieces of one trace.
const MOST_PIECES: u32 = 10_000;

/// The longest trace.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Pieces that wait to be taken; more are dropped.
const MOST_WAITING: usize = 1_000;

/// Bounds a trace: to [`Remote::trace`](crate::Remote::trace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceOptions {
    /// Bytes that are kept of each piece (default 256); more than 4,096 count as 4,096.
    pub bytes: usize,
    /// Pieces after which the trace ends (default 1,000); more than 10,000 count as 10,000.
    pub pieces: u32,
    /// Time after which the trace ends (default 60 s); more than an hour counts as an hour.
    pub time: Duration,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { bytes: 256, pieces: 1_000, time: Duration::from_secs(60) }
    }
}

/// Says which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the peer.
    Received,
    /// To the peer.
    Sent,
}

/// Says why a trace was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceRefusal {
    /// The connection closed before its reactor heard of the trace.
    Gone,
    /// Another trace of this connection goes on: there is one at a time.
    Traced,
    /// The reactor of this connection records 16 others, which is its limit.
    Full,
}

/// Describes one step of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// Bytes passed, as the service sees them: before encryption, after decryption.
    Piece {
        /// Which way.
        direction: Direction,
        /// When, counted from the begin of the trace.
        at: Duration,
        /// How many.
        length: usize,
        /// The first of them. A part of a large message that is received in place has none.
        bytes: Vec<u8>,
    },
    /// So many pieces were dropped here, since nobody took them in time.
    Dropped(u64),
    /// The connection closed.
    Closed(CloseReason),
    /// The trace is at the end of its time or of its pieces.
    Over,
    /// The trace was not begun, and nothing is recorded.
    Refused(TraceRefusal),
}

#[derive(Debug, Default)]
struct Tape {
    events: VecDeque<TraceEvent>,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Shared {
    tape: Mutex<Tape>,
    /// Nobody takes anything any more.
    given_up: AtomicBool,
}

/// Holds a trace that goes on. Dropping it ends the trace.
#[derive(Debug)]
pub struct Trace {
    shared: Arc<Shared>,
}

impl Trace {
    /// A trace, and what records it.
    pub(crate) fn new(options: TraceOptions) -> (Self, Recorder) {
        let shared = Arc::new(Shared::default());
        (Self { shared: shared.clone() }, Recorder { shared, options })
    }

    /// Takes what was recorded since. [`TraceEvent::Closed`], [`TraceEvent::Over`] and
    /// [`TraceEvent::Refused`] are the last. Callable on any thread.
    #[must_use]
    pub fn take(&self) -> Vec<TraceEvent> {
        let mut tape = self.shared.tape.lock().unwrap_or_else(PoisonError::into_inner);
        tape.events.drain(..).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.shared.given_up.store(true, Ordering::Relaxed);
    }
}

/// A trace on its way to its reactor.
pub(crate) struct Recorder {
    shared: Arc<Shared>,
    options: TraceOptions,
}

impl Recorder {
    /// Says that there is no trace.
    pub(crate) fn refuse(self, why: TraceRefusal) {
        let mut tape = self.shared.tape.lock().unwrap_or_else(PoisonError::into_inner);
        tape.events.push_back(TraceEvent::Refused(why));
    }
}

/// A trace as its reactor records it.
pub(crate) struct Tracing {
    shared: Arc<Shared>,
    place: Place,
    began: Duration,
    until: Duration,
    bytes: usize,
    left: u32,
    /// Bytes at the front of the outbox that were recorded, and have not left.
    pub(crate) recorded: usize,
}

impl Tracing {
    /// Begins at `now`; so many bytes wait in the outbox already.
    pub(crate) fn begin(recorder: Recorder, place: Place, now: Duration, waiting: usize) -> Self {
        let Recorder { shared, options } = recorder;
        Self {
            shared,
            place,
            began: now,
            until: now + options.time.min(LONGEST),
            bytes: options.bytes.min(MOST_BYTES),
            left: options.pieces.clamp(1, MOST_PIECES),
            recorded: waiting,
        }
    }

    pub(crate) fn is_of(&self, token: Token) -> bool {
        self.place.token == token
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Bytes that are kept of a piece.
    pub(crate) fn most(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is to be recorded any more.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.left == 0 || now >= self.until || self.shared.given_up.load(Ordering::Relaxed)
    }

    /// Records a piece.
    pub(crate) fn piece(&mut self, direction: Direction, now: Duration, length: usize, bytes: &[u8]) {
        if self.is_over(now) {
            return;
        }
        self.left -= 1;
        let bytes = bytes[..bytes.len().min(self.bytes)].to_vec();
        let mut tape = self.shared.tape.lock().unwrap_or_else(PoisonError::into_inner);
        if tape.events.len() >= MOST_WAITING {
            tape.dropped += 1;
            return;
        }
        if tape.dropped > 0 {
            let dropped = std::mem::take(&mut tape.dropped);
            tape.events.push_back(TraceEvent::Dropped(dropped));
        }
        tape.events.push_back(TraceEvent::Piece { direction, at: now.saturating_sub(self.began), length, bytes });
    }

    /// Ends it.
    pub(crate) fn end(self, event: TraceEvent) {
        let mut tape = self.shared.tape.lock().unwrap_or_else(PoisonError::into_inner);
        if tape.dropped > 0 {
            let dropped = std::mem::take(&mut tape.dropped);
            tape.events.push_back(TraceEvent::Dropped(dropped));
        }
        tape.events.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_the_first_bytes_of_a_bounded_number_of_pieces_and_counts_what_nobody_took() {
        let (trace, recorder) = Trace::new(TraceOptions { bytes: 3, pieces: 1_002, ..TraceOptions::default() });
        let mut tracing = Tracing::begin(recorder, Place { token: 1, generation: 1 }, Duration::from_secs(5), 0);
        let now = Duration::from_secs(6);
        for _ in 0..2_000 {
            tracing.piece(Direction::Received, now, 5, b"hello");
        }
        assert!(tracing.is_over(now), "all its pieces were used");
        tracing.end(TraceEvent::Over);
        let events = trace.take();
        assert_eq!(events.len(), 1_002, "a thousand, a count and the end");
        let first = TraceEvent::Piece {
            direction: Direction::Received,
            at: Duration::from_secs(1),
            length: 5,
            bytes: b"hel".to_vec(),
        };
        assert_eq!((&events[0], &events[1_000..]), (&first, &[TraceEvent::Dropped(2), TraceEvent::Over][..]));
        assert!(trace.take().is_empty());
    }

    #[test]
    fn a_trace_is_over_when_its_time_is_or_nobody_wants_it() {
        let place = Place { token: 1, generation: 1 };
        let (trace, recorder) = Trace::new(TraceOptions::default());
        let tracing = Tracing::begin(recorder, place, Duration::ZERO, 0);
        assert!(!tracing.is_over(Duration::from_secs(59)));
        assert!(tracing.is_over(Duration::from_secs(60)));
        drop(trace);
        assert!(tracing.is_over(Duration::ZERO));
    }
}
