//! What was asked of a pool, and what came of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::CallError;

/// How late an outcome may be on these networks: turns are up to 5 ms apart, and a wake-up takes one more.
const SLACK: Duration = Duration::from_millis(40);

/// Calls and waits for leases, of all sessions. Sessions of all reactors note theirs in one.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
pub(super) struct Entries {
    next: u64,
    /// Those without an outcome: their reactor, and when they have to have one.
    open: BTreeMap<u64, (usize, Duration)>,
    pub(super) begun: u64,
    pub(super) replies: u64,
    pub(super) granted: u64,
    /// Given up before there was an outcome.
    pub(super) dropped: u64,
    pub(super) errors: BTreeMap<String, u64>,
    /// What should not have happened.
    pub(super) faults: Vec<String>,
}

impl Ledger {
    pub(super) fn lock(&self) -> MutexGuard<'_, Entries> {
        // A fault that panics is reported by the test.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that has to have an outcome `within` this time.
    pub(super) fn begin(&self, reactor: usize, now: Duration, within: Duration) -> Open {
        let mut entries = self.lock();
        entries.next += 1;
        entries.begun += 1;
        let number = entries.next;
        entries.open.insert(number, (reactor, now + within + SLACK));
        Open { ledger: self.clone(), number }
    }

    /// Fails where something on this reactor has had no outcome in time, or something happened that should not have.
    pub(super) fn check(&self, reactor: usize, now: Duration) {
        let entries = self.lock();
        assert!(entries.faults.is_empty(), "{:?}", entries.faults);
        let late = entries.open.iter().find(|(_, (at, due))| *at == reactor && *due < now);
        assert!(late.is_none(), "at {now:?} reactor {reactor} has had no outcome of {late:?}");
    }

    /// Fails where somebody was forgotten.
    pub(super) fn close(&self) {
        let entries = self.lock();
        assert!(entries.faults.is_empty(), "{:?}", entries.faults);
        assert!(entries.open.is_empty(), "without an outcome: {:?}", entries.open);
        let failed: u64 = entries.errors.values().sum();
        assert_eq!(entries.begun, entries.replies + entries.granted + entries.dropped + failed);
    }
}

/// A call without an outcome. Dropping it gives it up.
pub(super) struct Open {
    ledger: Ledger,
    number: u64,
}

impl Open {
    /// The text of this call, which is nobody else's.
    pub(super) fn text(&self) -> String {
        format!("call {}", self.number)
    }

    pub(super) fn reply(self, text: &[u8]) {
        let expected = self.text();
        let mut entries = self.ledger.lock();
        entries.replies += 1;
        if text != expected.as_bytes() {
            let text = String::from_utf8_lossy(text).into_owned();
            entries.faults.push(format!("{expected} had the reply of {text}"));
        }
        entries.open.remove(&self.number);
    }

    pub(super) fn grant(self) {
        let mut entries = self.ledger.lock();
        entries.granted += 1;
        entries.open.remove(&self.number);
    }

    pub(super) fn fail(self, error: CallError) {
        let mut entries = self.ledger.lock();
        *entries.errors.entry(format!("{error:?}")).or_default() += 1;
        entries.open.remove(&self.number);
    }

    /// Notes an outcome.
    pub(super) fn end<T>(self, outcome: Result<T, CallError>, text: impl Fn(&T) -> &[u8]) {
        match outcome {
            Ok(reply) => self.reply(text(&reply)),
            Err(error) => self.fail(error),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut entries = self.ledger.lock();
        if entries.open.remove(&self.number).is_some() {
            entries.dropped += 1;
        }
    }
}
