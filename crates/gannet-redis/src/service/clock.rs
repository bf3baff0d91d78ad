//! The time of day on a reactor, without a look at the system's clock for each command.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long the time of day is reckoned from the reactor's clock before it is looked up again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The time of day, reckoned from a reactor's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The reactor's clock when it was looked up, and the time of day then.
    looked_up: Option<(Duration, Duration)>,
    /// The reactor's clock when it was asked for last, which is the same for all of a turn.
    asked_at: Duration,
    /// What was the answer.
    time: Duration,
    /// In milliseconds.
    ms: u64,
}

impl Default for Clock {
    fn default() -> Self {
        // No reactor gets so old.
        Self { looked_up: None, asked_at: Duration::MAX, time: Duration::ZERO, ms: 0 }
    }
}

impl Clock {
    /// Since 1970, when the reactor's clock shows `now`.
    #[inline]
    pub(crate) fn time(&mut self, now: Duration) -> Duration {
        if self.asked_at != now {
            self.reckon(now);
        }
        self.time
    }

    /// In seconds.
    #[inline]
    pub(crate) fn seconds(&mut self, now: Duration) -> u32 {
        self.time(now).as_secs() as u32
    }

    /// In milliseconds.
    #[inline]
    pub(crate) fn milliseconds(&mut self, now: Duration) -> u64 {
        self.time(now);
        self.ms
    }

    #[inline(never)]
    fn reckon(&mut self, now: Duration) {
        self.time = match self.looked_up {
            Some((then, time)) if now.saturating_sub(then) < LOOK_EVERY => time + now.saturating_sub(then),
            _ => self.look_up(now),
        };
        (self.asked_at, self.ms) = (now, self.time.as_millis() as u64);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on_with_the_reactors_clock_and_stands_still_within_a_turn() {
        let (mut clock, at) = (Clock::default(), Duration::from_millis);
        let first = clock.milliseconds(at(500));
        assert!(time_of_day().as_millis() as u64 - first < 60_000);
        assert_eq!((clock.milliseconds(at(500)), clock.milliseconds(at(501))), (first, first + 1));
        assert_eq!(clock.time(at(900)).as_millis() as u64, first + 400);
        assert_eq!(u64::from(clock.seconds(at(900))), (first + 400) / 1_000);
        clock.time(at(1_499));
        assert_eq!(clock.looked_up.map(|(then, _)| then), Some(at(500)));
        clock.time(at(1_500));
        assert_eq!(clock.looked_up.map(|(then, _)| then), Some(at(1_500)));
    }
}
