//! One connection of a pool: its state, and what is in flight on it.

use std::collections::VecDeque;
use std::time::Duration;

/// Names a connection of a part; its generation tells it from those that had the slot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Where a connection is in its life. Each but `Closed` is counted at its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The transport is being opened.
    Dialling,
    /// The protocol's handshake runs.
    Handshaking,
    /// Nothing is in flight.
    Idle,
    /// Requests are in flight.
    Busy,
    /// A ping or a reset is in flight, and no call is placed.
    Checking,
    /// Somebody has it alone.
    Leased,
    /// It takes no more requests and closes when the last one was answered, or when a dial that was given up has an end.
    Retiring,
    /// The slot is free.
    Closed,
}

/// Whom a reply is for.
#[derive(Debug)]
pub(crate) enum Role<C> {
    /// A caller who waits.
    Call(C),
    /// Nobody any more: its caller was told that it timed out. A tombstone.
    Late,
    /// Nobody any more: its caller has gone before its time was over. A tombstone that does not count against the server.
    Left,
    /// The pool: a ping.
    Check,
    /// The pool: the end of a lease.
    Reset,
}

/// A moment of the reactor's clock in one word: requests in flight are moved a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl From<Duration> for Moment {
    #[inline]
    fn from(clock: Duration) -> Self {
        // The last one comes after 584 years.
        let seconds = clock.as_secs().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(clock.subsec_nanos().into()))
    }
}

impl From<Moment> for Duration {
    #[inline]
    fn from(moment: Moment) -> Self {
        Self::from_nanos(moment.0)
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Entry<R, C> {
    pub(crate) key: u64,
    pub(crate) role: Role<C>,
    /// When it was called.
    pub(crate) since: Moment,
    /// When its caller is told that it timed out; of a tombstone, when its connection closes.
    pub(crate) deadline: Moment,
    /// Kept where it has waited, or may be sent again.
    pub(crate) request: Option<R>,
    /// Whether it may be sent again.
    pub(crate) retry: bool,
}

impl<R, C> Entry<R, C> {
    /// When it is overdue.
    pub(crate) fn due(&self) -> Duration {
        self.deadline.into()
    }

    /// Gives it as much time again as it had. Returns when it is overdue then.
    pub(crate) fn extend(&mut self) -> Duration {
        self.deadline.0 = self.deadline.0.saturating_add(self.deadline.0.saturating_sub(self.since.0));
        self.due()
    }
}

/// Who has a connection alone.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) taken: Duration,
    pub(crate) label: &'static str,
    /// It was out for too long, and that was said.
    pub(crate) leaked: bool,
}

#[derive(Debug)]
pub(crate) struct Connection<R, C> {
    pub(crate) generation: u32,
    pub(crate) state: State,
    pub(crate) endpoint: usize,
    /// When dialling began; then, when it was last known to work.
    pub(crate) since: Duration,
    /// When it became ready.
    pub(crate) up: Duration,
    /// When a caller last used it.
    pub(crate) used: Duration,
    /// When it is replaced.
    pub(crate) expires: Duration,
    pub(crate) pending: VecDeque<Entry<R, C>>,
    /// Tombstones among them.
    pub(crate) late: usize,
    pub(crate) holder: Option<Holder>,
}

impl<R, C> Connection<R, C> {
    pub(crate) fn new() -> Self {
        Self {
            generation: 0,
            state: State::Closed,
            endpoint: 0,
            since: Duration::ZERO,
            up: Duration::ZERO,
            used: Duration::ZERO,
            expires: Duration::ZERO,
            pending: VecDeque::new(),
            late: 0,
            holder: None,
        }
    }

    /// Whether it is on its way to take calls.
    pub(crate) fn is_coming(&self) -> bool {
        matches!(self.state, State::Dialling | State::Handshaking | State::Checking)
    }
}
