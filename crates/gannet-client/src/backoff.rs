//! How long an endpoint is left alone after a failure: windows that grow, and a place in them that a client keeps.
//!
//! Clients that lost their server together are to come back evenly, whenever it is there again. So each draws a place by
//! chance, once for each outage, and tries once in each window, at that place. The windows follow each other without gaps,
//! and each is 1.6 times as long as the one before. In whichever window the server comes back, those with later places
//! connect in the rest of it, evenly; those with earlier ones in the beginning of the next, evenly, and up to 1.6 times as
//! densely or thinly. Waits drawn anew each time (full jitter) would smear the places: most come early, and few very late.

use std::time::Duration;

use crate::settings::Settings;
use gannet::Random;

/// A window is longer than the one before by this factor, 1.6.
const GROWTH: [u32; 2] = [8, 5];

/// The failures of one endpoint since a connection to it last lived long enough.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    /// The window in which the last attempt was or will be; none where nothing has failed.
    window: Option<Duration>,
    /// Where in each window this client tries, in parts of 2^32.
    place: u32,
    /// When the next attempt may be.
    until: Duration,
}

impl Backoff {
    /// Notes a failure, and returns when the next attempt may be.
    ///
    /// Failures before that moment change nothing: several connections that are lost at once are one failure.
    pub(crate) fn fail(&mut self, now: Duration, settings: &Settings, random: &mut Random) -> Duration {
        if self.until > now {
            return self.until;
        }
        let wait = match self.window {
            None => {
                self.place = random.next() as u32;
                self.window = Some(settings.backoff);
                self.part_of(settings.backoff)
            }
            Some(window) => {
                let next = (window.saturating_mul(GROWTH[0]) / GROWTH[1]).min(settings.backoff_max);
                self.window = Some(next);
                // The rest of that window, and its place in the next one.
                window.saturating_sub(self.part_of(window)) + self.part_of(next)
            }
        };
        self.until = now + wait;
        self.until
    }

    /// Notes the end of a connection that was up for this long, and returns when the next may be dialled.
    pub(crate) fn lost(&mut self, now: Duration, up: Duration, settings: &Settings, random: &mut Random) -> Duration {
        if up >= settings.backoff_reset && self.until <= now {
            self.window = None;
        }
        self.fail(now, settings, random)
    }

    fn part_of(&self, window: Duration) -> Duration {
        let ns = window.as_nanos().min(u128::from(u64::MAX));
        Duration::from_nanos(((ns * u128::from(self.place)) >> 32) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a client tries that fails each time, from zero on.
    fn attempts(seed: u64, count: usize) -> Vec<Duration> {
        let (settings, mut random) = (Settings::default(), Random::new(seed));
        let (mut backoff, mut now) = (Backoff::default(), Duration::ZERO);
        let next = |_| {
            now = backoff.fail(now, &settings, &mut random);
            now
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn each_client_tries_once_in_each_window_and_all_of_a_window_is_used() {
        let clients: Vec<Vec<Duration>> = (0..500).map(|seed| attempts(seed, 20)).collect();
        let (mut begin, mut window) = (Duration::ZERO, Duration::from_millis(100));
        for attempt in 0..20 {
            let inside = |at: &Duration| *at + Duration::from_micros(1) >= begin && *at <= begin + window;
            let times: Vec<Duration> = clients.iter().map(|times| times[attempt]).collect();
            assert!(times.iter().all(inside), "attempt {attempt}, window of {window:?} from {begin:?}");
            let mut parts = [0; 10];
            for at in &times {
                let part = at.saturating_sub(begin).as_secs_f64() / window.as_secs_f64() * 10.0;
                parts[(part as usize).min(9)] += 1;
            }
            assert!(parts.iter().all(|count| *count > 20), "attempt {attempt}: {parts:?}");
            begin += window;
            window = (window * 8 / 5).min(Duration::from_secs(30));
        }
        assert_eq!(window, Duration::from_secs(30));
    }

    #[test]
    fn a_connection_that_lived_for_ten_seconds_starts_the_windows_again() {
        let (settings, mut random) = (Settings::default(), Random::new(4));
        let long = Some(Duration::from_secs(20));
        let mut backoff = Backoff { window: long, ..Backoff::default() };
        let now = Duration::from_secs(100);
        assert!(backoff.lost(now, Duration::from_secs(9), &settings, &mut random) >= now + Duration::from_secs(20));
        let mut backoff = Backoff { window: long, ..Backoff::default() };
        assert!(backoff.lost(now, Duration::from_secs(10), &settings, &mut random) <= now + settings.backoff);
    }

    #[test]
    fn connections_that_are_lost_at_once_are_one_failure() {
        let (settings, mut random) = (Settings::default(), Random::new(5));
        let mut backoff = Backoff::default();
        let (now, up) = (Duration::from_secs(100), Duration::from_secs(1));
        let until = backoff.lost(now, up, &settings, &mut random);
        (0..8).for_each(|_| assert_eq!(backoff.lost(now, up, &settings, &mut random), until));
        assert_eq!(backoff.window, Some(settings.backoff));
    }
}
