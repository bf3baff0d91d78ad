//! What an instance of a service learns when its engine starts. Used on the reactor's thread.

use crate::remote::Remote;

/// Tells an instance of a service where it runs: see [`Service::start`](crate::Service::start).
#[derive(Clone)]
pub struct Starting {
    reactor: usize,
    reactors: usize,
    remote: Remote,
}

impl Starting {
    pub(crate) fn new(reactor: usize, reactors: usize, remote: Remote) -> Self {
        Self { reactor, reactors, remote }
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
