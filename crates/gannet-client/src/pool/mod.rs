//! The pool as a state machine: no sockets, no clock; time and chance are arguments.
//!
//! It is told what happens (`call`, `connected`, `replied`, `closed`, `tick`) and leaves [`Action`]s, which its owner
//! carries out in order. [`Pool::due`] says when it wants to be told the time.
//!
//! # How a call finds its connection
//!
//! Where nobody waits, a call looks at two endpoints by chance, and takes the one with fewer requests in flight. There it
//! takes the connection used last. Otherwise it waits behind all others, and a connection is checked or dialled for it.

mod calls;
mod choice;
mod connection;
mod endpoint;
mod leasing;
mod life;
#[cfg(test)]
mod model;
mod queue;
mod readiness;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
mod tick;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;
use crate::counters::Counters;
use crate::error::{CallError, Loss};
use crate::settings::Settings;
use gannet::Random;

use connection::{Connection, Holder};
pub(crate) use connection::{ConnectionId, Entry, Role, State};
use endpoint::Endpoint;

/// What the pool may use of its protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    /// Several requests may be in flight.
    pub(crate) pipelines: bool,
    /// There is a request that only shows that the server answers.
    pub(crate) pings: bool,
    /// There is a request that makes a connection as new.
    pub(crate) resets: bool,
}

/// What the pool's owner has to do, in order.
#[derive(Debug)]
pub(crate) enum Action<R, C> {
    /// Open a connection to the endpoint of this index, within [`Settings::connect`]: [`Pool::connected`] or [`Pool::closed`]
    /// follows.
    Dial { connection: ConnectionId, endpoint: usize },
    /// Send a request that has waited: [`Pool::request`] has it.
    Send { connection: ConnectionId, key: u64 },
    /// Send a ping.
    Ping { connection: ConnectionId },
    /// Send a reset.
    Reset { connection: ConnectionId },
    /// Close it; the pool has forgotten it.
    Close { connection: ConnectionId, loss: Loss },
    /// Tell a caller that there will be no reply.
    Fail { caller: C, error: CallError },
    /// Tell who waited for a lease that the connection is his.
    Grant { caller: C, connection: ConnectionId },
    /// Forget a request that was kept to be sent again.
    Recycle { request: R },
    /// Log that a lease was out for too long.
    Leaked { label: &'static str, out: Duration },
    /// Log that an endpoint is out of service, or back.
    Breaker { endpoint: usize, open: bool },
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// On a connection: its request is to be sent there now.
    On(ConnectionId),
    /// Among those that wait: the request was kept.
    Waiting,
}

/// Whom a reply is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Replied<C> {
    /// A caller.
    To(C),
    /// Nobody: its caller was told that it timed out, or it is the pool's own.
    Nobody,
    /// Nobody asked. The connection was closed.
    Unexpected,
}

/// What a caller wants of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The time until the reply.
    pub(crate) timeout: Duration,
    /// The request may be executed twice.
    pub(crate) idempotent: bool,
}

struct Waiter<R, C> {
    key: u64,
    caller: C,
    want: Want<R>,
    since: Duration,
    /// When it is told that there is no connection.
    until: Duration,
    /// When its reply is due.
    deadline: Duration,
    /// The endpoint on which it failed before.
    avoid: Option<usize>,
    /// Whether it may be sent again. One that was sent before may not.
    idempotent: bool,
}

enum Want<R> {
    Call(R),
    Lease(&'static str),
}

/// A part of a pool: what one reactor has of it. `R` is a request, `C` a caller.
pub(crate) struct Pool<R, C> {
    settings: Settings,
    features: Features,
    endpoints: Vec<Endpoint>,
    slots: Vec<Connection<R, C>>,
    free: Vec<u32>,
    waiters: VecDeque<Waiter<R, C>>,
    /// Leases among them.
    lease_waiters: usize,
    /// Connections that are not closed.
    open: usize,
    /// Connections on their way to take calls.
    coming: usize,
    /// Connections with room.
    roomy: usize,
    actions: VecDeque<Action<R, C>>,
    budget: Budget,
    random: Random,
    counters: Arc<Counters>,
    due: Option<Duration>,
    due_moved: bool,
    draining: bool,
    /// Nothing is placed meanwhile: more connections may end.
    held: bool,
    next_key: u64,
}

impl<R, C> Pool<R, C> {
    /// A pool with so many endpoints. It dials nothing before [`Pool::start`] or a call.
    pub(crate) fn new(
        settings: Settings,
        features: Features,
        endpoints: usize,
        seed: u64,
        counters: Arc<Counters>,
    ) -> Self {
        let settings = if features.pipelines { settings } else { Settings { depth: 1, ..settings } };
        Self {
            features,
            endpoints: (0..endpoints).map(|_| Endpoint::new(&settings)).collect(),
            slots: Vec::new(),
            free: Vec::new(),
            waiters: VecDeque::new(),
            lease_waiters: 0,
            open: 0,
            coming: 0,
            roomy: 0,
            actions: VecDeque::new(),
            budget: Budget::new(settings.retry_percent),
            random: Random::new(seed),
            counters,
            due: None,
            due_moved: false,
            draining: false,
            held: false,
            next_key: 0,
            settings,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Begins the connections that the pool keeps without demand.
    pub(crate) fn start(&mut self, now: Duration) {
        self.settle(now);
    }

    /// Whether there is nothing to do.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.actions.is_empty()
    }

    /// Takes the next thing to do.
    #[inline]
    pub(crate) fn next_action(&mut self) -> Option<Action<R, C>> {
        self.actions.pop_front()
    }

    /// Returns when to call [`Pool::tick`].
    #[inline]
    pub(crate) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Returns the number of connections that are not closed.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Returns how many connections are ready to take calls.
    pub(crate) fn ready_connections(&self) -> usize {
        self.roomy
    }

    /// Returns a number for a request that no other one has: protocols with identifiers put it into the request.
    #[inline]
    pub(crate) fn next_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// Whether something has become due earlier since [`Pool::due_is_known`].
    #[inline]
    pub(crate) fn due_has_moved(&self) -> bool {
        self.due_moved
    }

    /// The owner has looked at [`Pool::due`].
    pub(crate) fn due_is_known(&mut self) {
        self.due_moved = false;
    }

    #[inline]
    fn note_due(&mut self, at: Duration) {
        if self.due.is_none_or(|due| at < due) {
            (self.due, self.due_moved) = (Some(at), true);
        }
    }

    #[inline]
    fn get(&mut self, connection: ConnectionId) -> Option<&mut Connection<R, C>> {
        let conn = self.slots.get_mut(connection.slot as usize)?;
        (conn.generation == connection.generation && conn.state != State::Closed).then_some(conn)
    }

    #[inline]
    fn set_state(&mut self, slot: u32, state: State) {
        let conn = &mut self.slots[slot as usize];
        if conn.state != state {
            if conn.state != State::Closed {
                self.counters.states[conn.state as usize].sub(1);
            }
            if state != State::Closed {
                self.counters.states[state as usize].add(1);
            }
            conn.state = state;
        }
    }
}
