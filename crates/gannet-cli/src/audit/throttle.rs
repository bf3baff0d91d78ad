//! Bounds the lines about people who have not proved who they are: whoever guesses keys must not fill the disk.

use std::time::{Duration, Instant};

/// Lines that are written in a window.
pub(super) const MOST: u32 = 200;

/// How long a window is.
const WINDOW: Duration = Duration::from_secs(10);

/// What is to be done with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// So many were dropped before it.
    Write {
        unlisted: u64,
    },
    Drop,
}

/// Lines of the window.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    since: Option<Instant>,
    written: u32,
    dropped: u64,
}

impl Throttle {
    pub(super) fn decide(&mut self, now: Instant) -> Decision {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (self.since, self.written) = (Some(now), 0);
        }
        if self.written == MOST {
            self.dropped += 1;
            return Decision::Drop;
        }
        self.written += 1;
        Decision::Write { unlisted: std::mem::take(&mut self.dropped) }
    }
}
