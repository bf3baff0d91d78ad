//! How long an endpoint is left alone after a failure: exponential bounds with full jitter.

use std::time::Duration;

use crate::random::Random;
use crate::settings::Settings;

/// The failures of one endpoint since a connection to it last lived long enough.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Returns how long to wait after another failure.
    ///
    /// The time is chance between zero and a bound that doubles each time (full jitter), so that clients that failed
    /// together do not come back together.
    pub(crate) fn fail(&mut self, settings: &Settings, random: &mut Random) -> Duration {
        let bound = settings.backoff.saturating_mul(1 << self.failures.min(20)).min(settings.backoff_max);
        self.failures = self.failures.saturating_add(1);
        random.up_to(bound)
    }

    /// Notes the end of a connection that was up for this long, and returns how long to wait before the next.
    pub(crate) fn lost(&mut self, up: Duration, settings: &Settings, random: &mut Random) -> Duration {
        if up >= settings.backoff_reset {
            self.failures = 0;
        }
        self.fail(settings, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_longest_and_waits_spread_below_them() {
        let (settings, mut random) = (Settings::default(), Random::new(3));
        for failures in 0..12_u32 {
            let bound = Duration::from_millis(100 << failures).min(Duration::from_secs(30));
            let waits: Vec<Duration> = (0..500).map(|_| Backoff { failures }.fail(&settings, &mut random)).collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "{failures}");
            assert!(waits.iter().any(|wait| *wait > bound * 9 / 10) && waits.iter().any(|wait| *wait < bound / 10));
        }
    }

    #[test]
    fn a_connection_that_lived_for_ten_seconds_starts_the_bounds_again() {
        let (settings, mut random) = (Settings::default(), Random::new(4));
        let mut backoff = Backoff { failures: 8 };
        backoff.lost(Duration::from_secs(9), &settings, &mut random);
        assert_eq!(backoff.failures, 9);
        assert!(backoff.lost(Duration::from_secs(10), &settings, &mut random) <= settings.backoff);
        assert_eq!(backoff.failures, 1);
    }
}
