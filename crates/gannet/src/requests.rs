//! What all threads of an engine that accept are asked on behalf of another process, and what they report.
//!
//! One request at a time, with a number. Each thread does it between two turns and reports; the thread that asked waits for
//! all reports ([`crate::handover`]).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ids::ListenerId;

/// What all threads that accept shall do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Request {
    #[default]
    Nothing,
    /// Duplicate the descriptors of the sockets.
    Share,
    /// Accept nothing, and leave nothing to the kernel that accepts.
    Withdraw,
    /// Accept again.
    Restore,
    /// Let go of the sockets, which others have.
    Release,
}

/// A duplicated descriptor: whose, and its place among those.
pub(crate) type Shown = (ListenerId, usize, OwnedFd);

#[derive(Default)]
struct State {
    number: u32,
    request: Request,
    reports: usize,
    shown: Vec<Shown>,
    failed: Option<std::io::Error>,
}

/// How the threads of an engine learn of a request, and report.
#[derive(Default)]
pub(crate) struct Requests {
    state: Mutex<State>,
    reported: Condvar,
}

impl Requests {
    /// The newest request, with its number.
    pub(crate) fn newest(&self) -> (u32, Request) {
        let state = self.lock();
        (state.number, state.request)
    }

    /// A thread has done what the request with this number asked for.
    pub(crate) fn report(&self, number: u32, outcome: std::io::Result<Vec<Shown>>) {
        let mut state = self.lock();
        if state.number == number {
            state.reports += 1;
            match outcome {
                Ok(shown) => state.shown.extend(shown),
                Err(error) => state.failed = Some(error),
            }
            self.reported.notify_all();
        }
    }

    /// Makes a request the newest one, before the threads are rung.
    pub(crate) fn ask(&self, request: Request) {
        let mut state = self.lock();
        let number = state.number + 1;
        *state = State { number, request, ..State::default() };
    }

    /// Waits for the reports of so many threads on the newest request; says how many are missing, and what was shown.
    pub(crate) fn wait(&self, threads: usize, longest: Duration) -> std::io::Result<(usize, Vec<Shown>)> {
        let waits = |state: &mut State| state.reports < threads;
        let waited = self.reported.wait_timeout_while(self.lock(), longest, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.failed.take() {
            Some(error) => Err(error),
            None => Ok((threads.saturating_sub(state.reports), std::mem::take(&mut state.shown))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete when the lock goes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Duplicates a descriptor for another process.
pub(crate) fn duplicate(socket: impl AsFd) -> std::io::Result<OwnedFd> {
    socket.as_fd().try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_on_an_older_request_counts_for_nothing_and_missing_ones_are_counted() {
        let requests = Requests::default();
        requests.ask(Request::Share);
        let (old, _) = requests.newest();
        requests.ask(Request::Withdraw);
        let (number, request) = requests.newest();
        assert_eq!(request, Request::Withdraw);
        requests.report(old, Ok(Vec::new()));
        requests.report(number, Ok(Vec::new()));
        assert_eq!(requests.wait(2, Duration::ZERO).expect("nothing failed").0, 1);
        requests.report(number, Err(std::io::ErrorKind::Other.into()));
        assert!(requests.wait(2, Duration::from_secs(60)).is_err(), "what failed is told");
    }
}
