//! The circuit breaker of one endpoint: closed, open, half-open.

use std::time::Duration;

use crate::settings::Settings;
use gannet::Random;

/// The width of one of the window's parts, of which there are [`PARTS`].
const PART: Duration = Duration::from_secs(1);

/// Parts of the window in which failures are compared with successes: 10 s.
const PARTS: usize = 10;

/// Whether an endpoint gets calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// It does.
    Closed,
    /// It does not, until then.
    Open {
        /// When it is probed.
        until: Duration,
    },
    /// One probe decides.
    HalfOpen,
}

/// Counts the outcomes of one endpoint, and says whether it gets calls.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    state: BreakerState,
    /// Failures since the last success.
    in_a_row: u32,
    /// Successes and failures of each second, the second's number first.
    window: [(u64, u32, u32); PARTS],
    /// Which of these is counted in.
    current: usize,
    /// How long the next opening lasts.
    open_for: Duration,
}

impl Breaker {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            state: BreakerState::Closed,
            in_a_row: 0,
            window: [(0, 0, 0); PARTS],
            current: 0,
            open_for: settings.breaker_open,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.state
    }

    #[inline]
    fn part(&mut self, now: Duration) -> &mut (u64, u32, u32) {
        let second = now.as_secs() / PART.as_secs();
        if self.window[self.current].0 != second {
            self.current = (second % PARTS as u64) as usize;
            if self.window[self.current].0 != second {
                self.window[self.current] = (second, 0, 0);
            }
        }
        &mut self.window[self.current]
    }

    /// Notes a reply. Returns whether the breaker closes by it.
    #[inline]
    pub(crate) fn succeeded(&mut self, now: Duration, settings: &Settings) -> bool {
        self.in_a_row = 0;
        self.part(now).1 += 1;
        if self.state == BreakerState::HalfOpen {
            *self = Self::new(settings);
            return true;
        }
        false
    }

    /// Notes a failure. Returns whether the breaker opens by it.
    ///
    /// `redial` is when the endpoint may be dialled again, where a connection was lost or could not be opened. That attempt is
    /// the probe then: a time of the breaker's own would bring clients together that the backoff has spread.
    pub(crate) fn failed(
        &mut self,
        now: Duration,
        redial: Option<Duration>,
        settings: &Settings,
        random: &mut Random,
    ) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.part(now).2 += 1;
        match self.state {
            BreakerState::Open { .. } => false,
            BreakerState::HalfOpen => self.open(now, redial, settings, random),
            BreakerState::Closed => {
                let since = (now.as_secs() / PART.as_secs()).saturating_sub(PARTS as u64 - 1);
                let counted = self.window.iter().filter(|part| part.0 >= since);
                let (good, bad) = counted.fold((0, 0), |(good, bad), part| (good + part.1, bad + part.2));
                let often = good + bad >= settings.breaker_volume && bad * 2 >= good + bad;
                (self.in_a_row >= settings.breaker_failures || often) && self.open(now, redial, settings, random)
            }
        }
    }

    fn open(&mut self, now: Duration, redial: Option<Duration>, settings: &Settings, random: &mut Random) -> bool {
        if let Some(until) = redial {
            self.state = BreakerState::Open { until };
            return true;
        }
        // Less up to a half by chance: clients whose calls timed out together do not probe together.
        self.state = BreakerState::Open { until: now + self.open_for - random.up_to(self.open_for / 2) };
        self.open_for = (self.open_for * 2).min(settings.breaker_open_max);
        true
    }

    /// Lets a probe through if it is time. Returns whether that happened.
    pub(crate) fn try_half_open(&mut self, now: Duration) -> bool {
        let due = matches!(self.state, BreakerState::Open { until } if until <= now);
        if due {
            self.state = BreakerState::HalfOpen;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Whether it is open for this time, less up to a half.
    fn opens(breaker: &Breaker, now: Duration, longest: Duration) -> bool {
        matches!(breaker.state(), BreakerState::Open { until } if until >= now + longest / 2 && until <= now + longest)
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let (settings, mut random) = (Settings::default(), Random::new(5));
        let mut breaker = Breaker::new(&settings);
        (0..4).for_each(|_| assert!(!breaker.failed(secs(1), None, &settings, &mut random)));
        breaker.succeeded(secs(1), &settings);
        (0..4).for_each(|_| assert!(!breaker.failed(secs(1), None, &settings, &mut random)));
        assert!(breaker.failed(secs(1), None, &settings, &mut random));
        assert!(opens(&breaker, secs(1), secs(5)));
    }

    #[test]
    fn half_of_twenty_outcomes_within_ten_seconds_open_it() {
        let (settings, mut random) = (Settings::default(), Random::new(5));
        let alternate = |breaker: &mut Breaker, second, times| {
            (0..times).any(|_| {
                breaker.succeeded(secs(second), &settings);
                breaker.failed(secs(second), None, &settings, &mut Random::new(second))
            })
        };
        let mut breaker = Breaker::new(&settings);
        assert!(!alternate(&mut breaker, 100, 9));
        assert!(alternate(&mut breaker, 109, 1));
        // The window forgets what is older.
        let mut breaker = Breaker::new(&settings);
        assert!(!alternate(&mut breaker, 100, 9));
        assert!(!alternate(&mut breaker, 110, 9));
        // One failure fewer than half.
        let mut breaker = Breaker::new(&settings);
        (0..12).for_each(|_| _ = breaker.succeeded(secs(5), &settings));
        (0..11).for_each(|count| {
            if count % 4 == 0 {
                breaker.succeeded(secs(5), &settings);
            }
            assert!(!breaker.failed(secs(5), None, &settings, &mut random));
        });
    }

    #[test]
    fn a_failed_probe_doubles_the_time_and_a_good_one_closes_it() {
        let (settings, mut random) = (Settings::default(), Random::new(5));
        let mut breaker = Breaker::new(&settings);
        (0..5).for_each(|_| _ = breaker.failed(secs(0), None, &settings, &mut random));
        let mut now = secs(0);
        for expected in [5, 10, 20, 40, 60, 60] {
            assert!(opens(&breaker, now, secs(expected)));
            assert!(!breaker.try_half_open(now + secs(expected) / 2 - Duration::from_nanos(1)));
            now += secs(expected);
            assert!(breaker.try_half_open(now));
            assert!(breaker.failed(now, None, &settings, &mut random));
        }
        assert!(breaker.try_half_open(now + secs(60)));
        assert!(breaker.succeeded(now + secs(60), &settings));
        assert_eq!(breaker.state(), BreakerState::Closed);
        (0..5).for_each(|_| _ = breaker.failed(now + secs(61), None, &settings, &mut random));
        assert!(opens(&breaker, now + secs(61), secs(5)));
    }

    #[test]
    fn an_endpoint_that_cannot_be_reached_is_probed_when_it_is_dialled_again() {
        let (settings, mut random) = (Settings::default(), Random::new(5));
        let mut breaker = Breaker::new(&settings);
        let again = |second: u64| Some(secs(second) + Duration::from_millis(300));
        (0..5).for_each(|_| _ = breaker.failed(secs(7), again(7), &settings, &mut random));
        assert_eq!(breaker.state(), BreakerState::Open { until: secs(7) + Duration::from_millis(300) });
        assert!(breaker.try_half_open(secs(8)));
        assert!(breaker.failed(secs(8), again(8), &settings, &mut random));
        assert_eq!(breaker.state(), BreakerState::Open { until: secs(8) + Duration::from_millis(300) });
    }
}
