//! What an instance of a service learns when its engine starts. Used on the reactor's thread.

use std::cell::Cell;
use std::time::Duration;

use crate::remote::Remote;

/// Tells an instance of a service where it runs: see [`Service::start`](crate::Service::start).
#[derive(Clone)]
pub struct Starting {
    reactor: usize,
    reactors: usize,
    remote: Remote,
    /// When the instance that starts wants its timer.
    pub(crate) timer: Cell<Option<Duration>>,
}

impl Starting {
    pub(crate) fn new(reactor: usize, reactors: usize, remote: Remote) -> Self {
        Self { reactor, reactors, remote, timer: Cell::new(None) }
    }

    /// Returns the number of the reactor that the instance belongs to, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        self.reactor
    }

    /// Returns how many reactors there are; each has an instance of its own.
    #[must_use]
    pub fn reactors(&self) -> usize {
        self.reactors
    }

    /// Sets the one timer of the instance that starts. Its `service_timer` is called once, `after` the start.
    ///
    /// The timer is kept to the millisecond. The longest time is 24 days. A call after `start` has returned, on a clone,
    /// changes nothing.
    pub fn set_service_timer(&self, after: Duration) {
        self.timer.set(Some(after));
    }

    /// Returns the way to all reactors, from any thread. What is posted is handled when all instances have started.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }
}

impl std::fmt::Debug for Starting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reactor, reactors, .. } = self;
        f.debug_struct("Starting").field("reactor", reactor).field("reactors", reactors).finish_non_exhaustive()
    }
}
