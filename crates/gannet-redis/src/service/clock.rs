//! The time of day on a reactor, without a look at the system's clock for each command.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long the time of day is reckoned from the reactor's clock before it is looked up again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The time of day, reckoned from a reactor's clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The reactor's clock when it was looked up, and the time of day then.
    looked_up: Option<(Duration, Duration)>,
}

impl Clock {
    /// Since 1970, when the reactor's clock shows `now`.
    #[inline]
    pub(crate) fn time(&mut self, now: Duration) -> Duration {
        match self.looked_up {
            Some((then, time)) if now.saturating_sub(then) < LOOK_EVERY => time + now.saturating_sub(then),
            _ => self.look_up(now),
        }
    }

    #[cold]
    fn look_up(&mut self, now: Duration) -> Duration {
        let time = time_of_day();
        self.looked_up = Some((now, time));
        time
    }
}

/// What a call's time is measured by. Nothing but the statistics depends on it.
pub(crate) fn stopwatch() -> Instant {
    #[allow(
        clippy::disallowed_methods,
        reason = "what a call takes is less than the reactor's clock moves on in a turn"
    )]
    Instant::now()
}

/// Since 1970.
pub(crate) fn time_of_day() -> Duration {
    #[allow(clippy::disallowed_methods, reason = "deadlines of keys are times of day: here is where it is read")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
