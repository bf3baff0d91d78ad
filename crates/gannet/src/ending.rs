//! How the end of an engine reaches whoever waits for it in `Running::join`: reactors and the thread of signals say it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What `Running::join` waits for. Any thread.
pub(crate) struct Ending {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Reactors that run.
    running: usize,
    /// Nobody wants to wait for them any more.
    interrupted: bool,
}

impl Ending {
    pub(crate) fn new(reactors: usize) -> Self {
        Self { state: Mutex::new(State { running: reactors, interrupted: false }), changed: Condvar::new() }
    }

    /// A reactor's thread is at its end.
    pub(crate) fn reactor_ended(&self) {
        self.lock().running -= 1;
        self.changed.notify_all();
    }

    /// The wait ends now.
    pub(crate) fn interrupt(&self) {
        self.lock().interrupted = true;
        self.changed.notify_all();
    }

    /// Waits until all reactors have ended, or for an interruption; says whether it was one.
    pub(crate) fn wait(&self) -> bool {
        let waits = |state: &mut State| state.running > 0 && !state.interrupted;
        let state = self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        state.interrupted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Two numbers are always in order.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
