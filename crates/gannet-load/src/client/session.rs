//! One simulated client, as its reactor holds it between two callbacks.

use std::collections::VecDeque;
use std::time::Duration;

use crate::plan::{Simulated, pause};
use crate::scenario::Scenario;

/// Requests without an answer on one connection, at the most; the schedule's further ones are counted as never sent.
pub(super) const MOST_PENDING: u16 = u16::MAX;

/// Requests that were sent together and wait for their answers. What a closed loop sends in one turn is one of these,
/// however deep it is.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) intended_ns: u64,
    pub(super) sent_ns: u64,
    /// How many still wait.
    pub(super) requests: u32,
    /// Whether they were sent in the measured time.
    pub(super) counts: bool,
    /// Whether they had to wait for a connection before they could be sent.
    pub(super) waited: bool,
}

/// Where a client is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its connection is being established, and it does not count as up.
    Dialing,
    /// Its last connection was spent, and the next one is being established. It counts as up all the while.
    Redialing,
    /// The server was asked to switch to the scenario's protocol, and has not answered yet.
    Upgrading,
    /// Its login was sent and not answered yet.
    LoggingIn,
    /// It does what it is there for.
    Up,
    /// Its connection ends by its own will, to make place for the next.
    Spent,
    /// What became of it was counted, and its connection ends.
    Counted,
}

/// One client.
pub struct Session<S: Scenario> {
    pub(super) number: u32,
    /// Requests without an answer.
    pub(super) outstanding: u16,
    pub(super) stage: Stage,
    /// 0 until its first connect came to something, then 1; from 2 on where it is to come back, one more for each connect
    /// that failed meanwhile.
    pub(super) attempts: u8,
    /// Requests answered, or given up: the number of the oldest one that is not.
    pub(super) answered: u64,
    /// Boxed on purpose: it is there only while answers are awaited, and most clients wait for none.
    #[allow(clippy::box_collection)]
    pub(super) pending: Option<Box<VecDeque<Pending>>>,
    pub(super) progress: S::Progress,
    /// The next intended moment on the reactor's clock, of an open loop.
    pub(super) due_ns: u64,
    /// When the connect began, on the run's clock; then when what followed it did.
    pub(super) began_ns: u64,
}

impl<S: Scenario> Default for Session<S> {
    fn default() -> Self {
        Self::new(0, Duration::ZERO)
    }
}

impl<S: Scenario> Session<S> {
    /// Returns the client with this number, whose connect begins now.
    pub fn new(number: u32, now: Duration) -> Self {
        Self {
            number,
            outstanding: 0,
            stage: Stage::Dialing,
            attempts: 0,
            answered: 0,
            pending: None,
            progress: S::Progress::default(),
            due_ns: 0,
            began_ns: now.as_nanos() as u64,
        }
    }

    /// The same client on its next connection, whose connect begins now: what waits for answers goes along.
    pub(super) fn again(self, now: Duration) -> Self {
        Self { stage: Stage::Redialing, progress: S::Progress::default(), began_ns: now.as_nanos() as u64, ..self }
    }

    /// The same client without a past, on its next connection, whose connect begins now.
    pub(super) fn anew(self, now: Duration) -> Self {
        Self { attempts: self.attempts, ..Self::new(self.number, now) }
    }

    /// The same client, to be connected once more after a pause: nothing waits for answers any more, and its schedule
    /// goes on.
    pub(super) fn later(self) -> Self {
        let attempts = self.attempts.max(1).saturating_add(1);
        Self { stage: Stage::Dialing, attempts, progress: S::Progress::default(), ..self }
    }

    /// Whether its connection is to be opened once more after a pause, and has not come to anything yet.
    pub(super) fn is_returning(&self) -> bool {
        self.attempts >= 2
    }

    /// Takes the oldest request as done, whatever came of it; nothing where there is none.
    pub(super) fn take_oldest(&mut self) -> Option<Pending> {
        let pending = self.pending.as_mut()?;
        let oldest = pending.front_mut()?;
        let taken = Pending { requests: 1, ..*oldest };
        oldest.requests -= 1;
        if oldest.requests == 0 {
            pending.pop_front();
        }
        self.answered += 1;
        self.outstanding -= 1;
        Some(taken)
    }

    /// Gives up all requests without an answer.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Pending> + use<S> {
        self.answered += u64::from(self.outstanding);
        self.outstanding = 0;
        self.pending.take().into_iter().flat_map(|pending| *pending)
    }

    /// Whether the oldest request without an answer was written in this turn of the reactor.
    pub(super) fn has_asked_only_now(&self, now_ns: u64) -> bool {
        self.pending.as_ref().and_then(|pending| pending.front()).is_some_and(|oldest| oldest.sent_ns == now_ns)
    }

    /// Whether the oldest request without an answer was sent in the measured time.
    pub(super) fn oldest_counts(&self) -> bool {
        self.pending.as_ref().and_then(|pending| pending.front()).is_some_and(|oldest| oldest.counts)
    }
}

impl<S: Scenario> Simulated for Session<S> {
    fn number(&self) -> u32 {
        self.number
    }

    fn pause(&self) -> Duration {
        pause(self.attempts)
    }

    fn started(self, now: Duration) -> Self {
        Self { began_ns: now.as_nanos() as u64, ..self }
    }
}
