//! How the changes of a plan reach the reactors: steps, which each reactor takes in order, between two turns.
//!
//! The thread that applies a plan publishes a step, rings the reactors, and waits for their reports. A reactor compares one
//! number in each turn. Steps are no letters, because a mailbox may be full.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::filter::FilterFactory;
use crate::host::Served;
use crate::ids::{ListenerId, ServiceId};
use crate::limits::{Limits, Timeouts};
use crate::listener::OwnSocket;
use crate::quota::Quota;

/// Makes the instance of a service for one reactor, on the reactor's thread, with the deadlines of the engine.
pub(crate) type Factory = Arc<dyn Fn(Timeouts) -> Served + Send + Sync>;

/// A socket of one reactor.
pub(crate) struct Own {
    pub(crate) socket: OwnSocket,
    /// Another process may have it too.
    pub(crate) is_shared: bool,
}

/// A service that is added to a running engine.
pub(crate) struct Addition {
    pub(crate) service: ServiceId,
    pub(crate) factory: Factory,
    pub(crate) filters: Option<Arc<dyn FilterFactory>>,
    /// Of those that listen.
    pub(crate) quota: Option<Arc<Quota>>,
    /// By reactor; each takes its own. The acceptor has the socket, or another listener, where there is none.
    pub(crate) sockets: Vec<Mutex<Option<Own>>>,
}

/// What all reactors do.
pub(crate) enum Step {
    /// Make what may fail: the instances of services. Nothing changes for anybody yet.
    Prepare {
        added: Vec<Addition>,
        /// To be checked with every service.
        timeouts: Option<Timeouts>,
    },
    /// Give up what the last `Prepare` made.
    Undo(Vec<ServiceId>),
    /// Put into effect what was prepared.
    Commit(Box<Commit>),
    /// These services get no connection from the acceptor any more. For those with sockets of the reactors too, this comes
    /// after the commit that takes them.
    Retire(Vec<ServiceId>),
}

/// See [`Step::Commit`].
#[derive(Default)]
pub(crate) struct Commit {
    pub(crate) added: Vec<ServiceId>,
    /// Listeners whose sockets go to others, which were added.
    pub(crate) moved: Vec<(ListenerId, ListenerId)>,
    pub(crate) removed: Vec<ListenerId>,
    /// Of these and those: the acceptor has sockets too, and a [`Step::Retire`] follows.
    pub(crate) kept: Vec<ServiceId>,
    pub(crate) limits: Option<Limits>,
    pub(crate) timeouts: Option<Timeouts>,
    /// What outbound connections have.
    pub(crate) keepalive: Option<Option<Duration>>,
    /// What the sockets of these listeners have.
    pub(crate) keepalives: Vec<(ListenerId, Option<Duration>)>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Steps {
    /// The number of the newest step; 0 is none.
    newest: AtomicU64,
    state: Mutex<State>,
    reported: Condvar,
}

#[derive(Default)]
struct State {
    /// Steps that some reactor has not taken yet, oldest first.
    waiting: VecDeque<(u64, Arc<Step>)>,
    /// By reactor: the number of the step that it took last. Those that have ended have taken all.
    taken: Vec<u64>,
    /// What went wrong in the newest step.
    failed: Option<Error>,
}

/// What a reactor that has ended has taken.
const ALL: u64 = u64::MAX;

impl Steps {
    /// Whether a reactor that took this step last has others to take. One load, in every turn.
    #[inline]
    pub(crate) fn are_ahead_of(&self, taken: u64) -> bool {
        self.newest.load(Ordering::Acquire) != taken
    }

    /// The step after this one.
    pub(crate) fn after(&self, taken: u64) -> Option<Arc<Step>> {
        let state = self.lock();
        state.waiting.iter().find(|(number, _)| *number == taken + 1).map(|(_, step)| step.clone())
    }

    /// Gives a step to so many reactors, and says its number. They have to be rung afterwards.
    pub(crate) fn publish(&self, step: Step, reactors: usize) -> u64 {
        let mut state = self.lock();
        state.taken.resize(reactors, 0);
        state.failed = None;
        let number = self.newest.load(Ordering::Relaxed) + 1;
        state.waiting.push_back((number, Arc::new(step)));
        self.newest.store(number, Ordering::Release);
        number
    }

    /// A reactor has taken a step.
    pub(crate) fn report(&self, reactor: usize, number: u64, outcome: Result<(), Error>) {
        let mut state = self.lock();
        if let Err(error) = outcome
            && number == self.newest.load(Ordering::Relaxed)
        {
            state.failed.get_or_insert(error);
        }
        state.take(reactor, number);
        self.reported.notify_all();
    }

    /// A reactor has ended: it takes no more steps.
    pub(crate) fn ended(&self, reactor: usize) {
        self.lock().take(reactor, ALL);
        self.reported.notify_all();
    }

    /// Waits until all reactors have taken the newest step, for at most so long. Says which have not, and what went wrong.
    pub(crate) fn wait(&self, longest: Duration) -> Result<Vec<usize>, Error> {
        let number = self.newest.load(Ordering::Relaxed);
        let waits = |state: &mut State| state.taken.iter().any(|taken| *taken < number);
        let waited = self.reported.wait_timeout_while(self.lock(), longest, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.failed.take() {
            Some(error) => Err(error),
            None => Ok(state.late(number)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic happens while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, reactor: usize, number: u64) {
        if self.taken.len() <= reactor {
            self.taken.resize(reactor + 1, 0);
        }
        self.taken[reactor] = number;
        let all = self.taken.iter().min().copied().unwrap_or(ALL);
        while self.waiting.front().is_some_and(|(number, _)| *number <= all) {
            self.waiting.pop_front();
        }
    }

    fn late(&self, number: u64) -> Vec<usize> {
        self.taken.iter().enumerate().filter(|(_, taken)| **taken < number).map(|(reactor, _)| reactor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_kept_until_the_last_reactor_has_taken_it_and_late_ones_are_named() {
        let steps = Steps::default();
        assert!(!steps.are_ahead_of(0) && steps.after(0).is_none());
        let (first, second) = (steps.publish(Step::Retire(vec![7]), 3), steps.publish(Step::Retire(vec![8]), 3));
        assert!(steps.are_ahead_of(0) && steps.are_ahead_of(first) && !steps.are_ahead_of(second));
        steps.report(0, first, Ok(()));
        steps.report(0, second, Ok(()));
        steps.ended(1);
        assert_eq!(steps.wait(Duration::ZERO).expect("nothing failed"), [2]);
        assert!(matches!(steps.after(0).as_deref(), Some(Step::Retire(services)) if services[..] == [7]));
        steps.report(2, first, Err(Error::Setting("of an older step".to_owned())));
        assert!(steps.after(0).is_none(), "everybody has taken the first");
        steps.report(2, second, Err(Error::Setting("of this one".to_owned())));
        let error = steps.wait(Duration::ZERO).expect_err("the second has failed");
        assert_eq!(error.to_string(), "of this one");
        assert!(steps.after(first).is_none(), "nothing is kept");
    }

    #[test]
    fn a_reactor_that_ended_before_anything_was_published_is_waited_for_by_nobody() {
        let steps = Steps::default();
        steps.ended(1);
        let number = steps.publish(Step::Retire(Vec::new()), 2);
        steps.report(0, number, Ok(()));
        assert!(steps.wait(Duration::from_secs(60)).expect("nothing failed").is_empty());
    }
}
