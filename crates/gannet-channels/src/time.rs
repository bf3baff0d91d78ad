//! Time as the channel space sees it: an argument of every call.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A moment: milliseconds since the UNIX epoch.
///
/// The channel space reads no clock. Each call receives the time from its caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Returns the time from an earlier moment to this one, and zero if that moment is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the first moment at or after this one that is a whole multiple of `step`.
    ///
    /// A step under a millisecond counts as one.
    pub(crate) fn round_up(self, step: Duration) -> Time {
        let step = millis(step).max(1);
        Time(self.0.div_ceil(step).saturating_mul(step))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Returns the moment this much later; fractions of a millisecond are cut off.
    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(millis(duration)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_rounded_up_to_the_grid_of_its_step() {
        let step = Duration::from_millis(20);
        assert_eq!(Time(40).round_up(step), Time(40));
        assert_eq!(Time(41).round_up(step), Time(60));
        assert_eq!(Time(41).round_up(Duration::ZERO), Time(41));
    }
}
