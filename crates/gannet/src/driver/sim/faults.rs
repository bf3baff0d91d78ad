//! What a simulated kernel and network do to those that use them, and how often.

use std::time::Duration;

use crate::random::Random;

/// How the simulated kernel answers a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// At once, as a readiness driver does; `Later` only where there is no room.
    AtOnce,
    /// By a completion, as io_uring does.
    ByCompletion,
    /// Either, by chance.
    Either,
}

/// How often is in cases of a thousand.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// The longest that a completion takes.
    pub(crate) latency: Duration,
    /// The longest that a closed connection stays in the kernel.
    pub(crate) close_latency: Duration,
    /// Completions up to so much later are found by the same wait.
    pub(crate) batch: Duration,
    /// Bytes of a receive buffer.
    pub(crate) chunk_bytes: usize,
    /// Receive buffers there are.
    pub(crate) buffers: usize,
    /// Bytes that the network holds in each direction of a connection.
    pub(crate) window: usize,
    pub(crate) sending: Sending,
    pub(crate) short_reads: usize,
    pub(crate) short_writes: usize,
    /// Sends that end without anything sent.
    pub(crate) empty_writes: usize,
    /// Waits that end before anything is there.
    pub(crate) spurious_wakeups: usize,
    /// Accepts that fail because the process has no descriptor left (EMFILE).
    pub(crate) exhausted_accepts: usize,
    /// Connections that are gone when they are accepted (ECONNABORTED).
    pub(crate) aborted_accepts: usize,
    /// Accepted connections that the driver has no room for.
    pub(crate) failed_attaches: usize,
    /// Connects that fail before they begin (EADDRNOTAVAIL).
    pub(crate) failed_connects: usize,
}

impl Faults {
    /// Everything comes in pieces, late and in any order of connections, but nothing fails by itself: what has to work
    /// on a real network has to work on this one.
    pub(crate) fn gentle(random: &mut Random) -> Self {
        let often = |random: &mut Random| random.pick(&[0, 20, 300, 900]);
        Self {
            latency: Duration::from_micros(random.pick(&[0, 10, 500, 3_000])),
            close_latency: Duration::from_micros(random.pick(&[0, 10, 2_000, 20_000])),
            batch: Duration::from_micros(random.pick(&[0, 100, 2_000])),
            chunk_bytes: random.pick(&[64, 512, 2_048, 4_096]),
            buffers: random.pick(&[1, 2, 8, 64]),
            window: random.pick(&[1_024, 16 * 1_024, 256 * 1_024]),
            sending: random.pick(&[Sending::AtOnce, Sending::ByCompletion, Sending::Either]),
            short_reads: often(random),
            short_writes: often(random),
            empty_writes: random.pick(&[0, 0, 50]),
            spurious_wakeups: random.pick(&[0, 0, 50]),
            exhausted_accepts: 0,
            aborted_accepts: 0,
            failed_attaches: 0,
            failed_connects: 0,
        }
    }

    /// Nothing happens but what is asked for, at once: for tests that are not about the network.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn none() -> Self {
        Self {
            latency: Duration::ZERO,
            close_latency: Duration::ZERO,
            batch: Duration::ZERO,
            chunk_bytes: 16 * 1_024,
            buffers: 64,
            window: 256 * 1_024,
            sending: Sending::AtOnce,
            short_reads: 0,
            short_writes: 0,
            empty_writes: 0,
            spurious_wakeups: 0,
            exhausted_accepts: 0,
            aborted_accepts: 0,
            failed_attaches: 0,
            failed_connects: 0,
        }
    }

    /// As `gentle`, on a network that is never smaller than a real one: for what moves megabytes.
    pub(crate) fn roomy(mut self) -> Self {
        self.chunk_bytes = self.chunk_bytes.max(2_048);
        self.window = self.window.max(64 * 1_024);
        self
    }

    /// Everything that can go wrong does, now and then; tiny buffers included.
    pub(crate) fn wild(random: &mut Random) -> Self {
        let seldom = |random: &mut Random| random.pick(&[0, 0, 30, 200]);
        let gentle = Self::gentle(random);
        Self {
            chunk_bytes: random.pick(&[1, 7, 64, 512, 2_048]),
            window: random.pick(&[1, 100, 1_024, 16 * 1_024]),
            exhausted_accepts: seldom(random),
            aborted_accepts: seldom(random),
            failed_attaches: seldom(random),
            failed_connects: seldom(random),
            ..gentle
        }
    }
}
