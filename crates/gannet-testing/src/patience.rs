//! Waiting for events, with a bound that only a failure reaches.

use std::time::{Duration, Instant};

/// How long a test waits for what has to come: much longer than that takes, for machines that are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks that come right after each other. What takes longer than those leaves the processor to others between two looks.
const QUICK_LOOKS: u32 = 100;

/// The pause between two looks at what takes longer: short beside anything that a test waits for.
const PAUSE: Duration = Duration::from_micros(200);

/// Waits until something holds.
///
/// # Panics
///
/// Panics if it does not within [`PATIENCE`], with the name of `what` did not come.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    #[allow(clippy::disallowed_methods)] // A bound for a failing test; nothing is measured.
    let begun = Instant::now();
    let mut looks = 0;
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        looks += 1;
        if looks <= QUICK_LOOKS {
            std::thread::yield_now();
        } else {
            std::thread::park_timeout(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{QUICK_LOOKS, until};

    #[test]
    fn waiting_ends_when_what_was_waited_for_holds() {
        for last in [3, 2 * QUICK_LOOKS] {
            let mut asked = 0;
            until("the last question", || {
                asked += 1;
                asked == last
            });
            assert_eq!(asked, last);
        }
    }
}
