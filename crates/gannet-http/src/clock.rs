//! Where clocks are read: for the `Date` of responses, once a second on each reactor, and to time handlers where that is
//! asked for.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// How long a date in the only form that is sent is, in bytes (RFC 9110 §5.6.7).
const LENGTH: usize = 29;

/// The date of this second.
#[derive(Debug)]
pub(crate) struct Date {
    text: [u8; LENGTH],
    /// The reactor's clock when the second is over.
    until: Duration,
}

impl Date {
    /// None was made yet.
    pub(crate) fn new() -> Self {
        Self { text: [b' '; LENGTH], until: Duration::ZERO }
    }

    /// The date when the reactor's clock shows `now`.
    #[inline]
    pub(crate) fn text(&mut self, now: Duration) -> &[u8] {
        if now >= self.until {
            self.make(now);
        }
        &self.text
    }

    #[cold]
    fn make(&mut self, now: Duration) {
        let time = time_of_day();
        // It has exactly this size until the year 10000.
        let _ = write!(&mut self.text[..], "{}", HttpDate::from(time));
        let past = time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        self.until = now + Duration::from_secs(1) - Duration::from_nanos(past.into());
    }
}

fn time_of_day() -> SystemTime {
    #[allow(clippy::disallowed_methods, reason = "a response says the time of day: here is where it is read")]
    SystemTime::now()
}

/// Measures what happens within a turn, which the reactor's clock does not show. A look costs about 30 ns.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        #[allow(clippy::disallowed_methods, reason = "the reactor's clock stands still while a handler runs")]
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
