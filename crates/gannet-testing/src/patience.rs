//! Waiting for events, with a bound that only a failure reaches.

use std::time::{Duration, Instant};

/// How long a test waits for what has to come: much longer than that takes, for machines that are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds.
///
/// # Panics
///
/// Panics if it does not within [`PATIENCE`], with the name of `what` did not come.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    #[allow(clippy::disallowed_methods)] // A bound for a failing test; nothing is measured.
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::until;

    #[test]
    fn waiting_ends_when_what_was_waited_for_holds() {
        let mut asked = 0;
        until("the third question", || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
    }
}
