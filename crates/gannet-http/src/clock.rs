//! Where clocks are read: for the `Date` of responses, once a second on each reactor; to time handlers where that is asked
//! for; and for a time that all reactors agree on.

use std::cell::Cell;
use std::io::Write as _;
use std::sync::OnceLock;
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

/// The time of day.
pub(crate) fn time_of_day() -> SystemTime {
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
thread_local! {
    /// What a reactor's clock is behind that of the process; a thread runs one reactor.
    static BEHIND: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// The time since a moment that is the same for all reactors of the process, when the clock of this reactor shows `now`:
/// right to within the time that has passed since its turn began when this was first called on it.
#[inline]
pub(crate) fn of_process(now: Duration) -> Duration {
    BEHIND.with(|behind| match behind.get() {
        Some(behind) => behind + now,
        None => {
            let behind_now = elapsed().saturating_sub(now);
            behind.set(Some(behind_now));
            behind_now + now
        }
    })
}

#[cold]
fn elapsed() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    #[allow(clippy::disallowed_methods, reason = "reactors count from moments of their own: once in the life of each")]
    let now = Instant::now();
    // Far enough in the past for the clocks of all reactors that began before this was first asked.
    now.saturating_duration_since(*BEGAN.get_or_init(|| now)) + AHEAD
}

/// How much longer a reactor may have run than this module has known the time: 100 years.
const AHEAD: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
