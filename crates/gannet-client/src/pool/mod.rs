//! The pool as a state machine: no sockets, no clock; time and chance are arguments.
//!
//! It is told what happens (`call`, `connected`, `replied`, `closed`, `tick`) and leaves [`Action`]s, which its owner
//! carries out in order. [`Pool::due`] says when it wants to be told the time.
//!
//! # How a call finds its connection
//!
//! Where nobody waits, a call looks at two endpoints by chance, and takes the one with fewer requests in flight. There it
//! takes the connection used last. Otherwise it waits behind all others, and a connection is checked or dialled for it.

mod connection;
mod endpoint;
mod life;
#[cfg(test)]
mod model;
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
    /// Open a connection to the endpoint of this index.
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

    #[inline]
    fn note_due(&mut self, at: Duration) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Returns a request that was kept, to be sent.
    pub(crate) fn request(&mut self, connection: ConnectionId, key: u64) -> Option<&R> {
        let conn = self.get(connection)?;
        conn.pending.iter().rev().find(|entry| entry.key == key)?.request.as_ref()
    }

    /// Places a call. `keep` makes a copy of its request, where it has to wait or may be sent again.
    ///
    /// # Errors
    ///
    /// Gives the caller back.
    #[inline]
    pub(crate) fn call(
        &mut self,
        now: Duration,
        key: u64,
        caller: C,
        terms: Terms,
        keep: impl FnOnce() -> R,
    ) -> Result<Placed, (C, CallError)> {
        self.counters.calls.add(1);
        self.budget.earn();
        let deadline = now.saturating_add(terms.timeout);
        if self.waiters.is_empty()
            && !self.draining
            && let Some(slot) = self.choose(now, None)
        {
            let retry = terms.idempotent && self.settings.retry_percent > 0;
            let entry = Entry { key, role: Role::Call(caller), since: now, deadline, request: retry.then(keep), retry };
            return Ok(Placed::On(self.place(now, slot, entry)));
        }
        if let Err(error) = self.check_may_wait() {
            return Err((caller, error));
        }
        let until = deadline.min(now.saturating_add(self.settings.waiting));
        let (want, idempotent) = (Want::Call(keep()), terms.idempotent);
        self.wait(now, Waiter { key, caller, want, since: now, until, deadline, avoid: None, idempotent });
        Ok(Placed::Waiting)
    }

    /// Asks for a connection alone. The answer is an [`Action::Grant`], or an [`Action::Fail`].
    ///
    /// # Errors
    ///
    /// Gives the caller back.
    pub(crate) fn lease(
        &mut self,
        now: Duration,
        key: u64,
        caller: C,
        label: &'static str,
    ) -> Result<(), (C, CallError)> {
        if let Err(error) = self.check_may_wait() {
            return Err((caller, error));
        }
        let until = now.saturating_add(self.settings.waiting);
        self.lease_waiters += 1;
        let want = Want::Lease(label);
        self.wait(
            now,
            Waiter { key, caller, want, since: now, until, deadline: until, avoid: None, idempotent: false },
        );
        Ok(())
    }

    fn check_may_wait(&self) -> Result<(), CallError> {
        if self.draining {
            return Err(CallError::Closing);
        }
        if self.all_tripped() {
            self.counters.unavailable.add(1);
            return Err(CallError::Unavailable);
        }
        if self.waiters.len() >= self.settings.waiters {
            self.counters.queue_full.add(1);
            return Err(CallError::QueueFull);
        }
        Ok(())
    }

    fn wait(&mut self, now: Duration, waiter: Waiter<R, C>) {
        self.counters.waited.add(1);
        self.note_due(waiter.until);
        self.waiters.push_back(waiter);
        self.settle(now);
    }

    /// Places a request on a leased connection, to be sent there.
    ///
    /// # Errors
    ///
    /// Gives the caller back.
    pub(crate) fn call_leased(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        key: u64,
        caller: C,
        timeout: Duration,
    ) -> Result<(), (C, CallError)> {
        self.counters.calls.add(1);
        let depth = self.settings.depth;
        let Some(leased) = self.get(connection).filter(|leased| leased.holder.is_some()) else {
            return Err((caller, CallError::Lost(Loss::Lease)));
        };
        if leased.pending.len() >= depth {
            self.counters.queue_full.add(1);
            return Err((caller, CallError::QueueFull));
        }
        let deadline = now.saturating_add(timeout);
        leased.used = now;
        leased.pending.push_back(Entry {
            key,
            role: Role::Call(caller),
            since: now,
            deadline,
            request: None,
            retry: false,
        });
        let endpoint = leased.endpoint;
        self.endpoints[endpoint].in_flight += 1;
        self.note_due(deadline);
        Ok(())
    }

    /// Takes a lease back.
    pub(crate) fn release(&mut self, now: Duration, connection: ConnectionId) {
        let resets = self.features.resets;
        let Some(leased) = self.get(connection) else { return };
        if leased.holder.take().is_none() {
            return;
        }
        let (state, busy) = (leased.state, !leased.pending.is_empty());
        match state {
            State::Leased if resets => self.begin_check(now, connection.slot, Role::Reset),
            State::Leased if !busy => self.become_idle(now, connection.slot),
            State::Retiring if !busy => self.fail(now, connection, Loss::Retired),
            State::Leased => self.fail(now, connection, Loss::Lease),
            _ => {}
        }
        self.settle(now);
    }

    /// Notes a reply, and says whom it is for. `key` is the request's, where the protocol sends it back.
    #[inline]
    pub(crate) fn replied(&mut self, now: Duration, connection: ConnectionId, key: Option<u64>) -> Replied<C> {
        let depth = self.settings.depth;
        let Some(conn) = self.get(connection) else { return Replied::Nobody };
        let entry = match key {
            None => conn.pending.pop_front(),
            Some(key) => {
                let index = conn.pending.iter().position(|entry| entry.key == key);
                index.and_then(|index| conn.pending.remove(index))
            }
        };
        let Some(entry) = entry else {
            self.fail(now, connection, Loss::Protocol);
            return Replied::Unexpected;
        };
        conn.since = now;
        let (state, left, endpoint) = (conn.state, conn.pending.len(), conn.endpoint);
        if matches!(entry.role, Role::Late) {
            conn.late -= 1;
        }
        self.endpoints[endpoint].in_flight -= 1;
        // A reply that came too late is no success.
        let is_back =
            !matches!(entry.role, Role::Late) && self.endpoints[endpoint].breaker.succeeded(now, &self.settings);
        if is_back {
            self.close_breaker(endpoint);
        }
        if let Some(request) = entry.request {
            self.actions.push_back(Action::Recycle { request });
        }
        let own = matches!(entry.role, Role::Check | Role::Reset);
        let replied = match entry.role {
            Role::Call(caller) => {
                self.counters.replies.add(1);
                self.counters.answer.record(now.saturating_sub(entry.since));
                Replied::To(caller)
            }
            Role::Late => {
                self.counters.late.add(1);
                self.counters.tombstones.sub(1);
                Replied::Nobody
            }
            Role::Left => {
                self.counters.late.add(1);
                Replied::Nobody
            }
            Role::Check | Role::Reset => Replied::Nobody,
        };
        match state {
            State::Checking if own => {
                self.become_idle(now, connection.slot);
                if is_back {
                    // The probe is not the only connection that is wanted.
                    self.settle(now);
                }
            }
            State::Retiring if left == 0 => self.fail(now, connection, Loss::Retired),
            State::Busy => {
                if left == 0 {
                    self.set_state(connection.slot, State::Idle);
                }
                if left + 1 >= depth {
                    self.make_ready(connection.slot, true);
                }
            }
            _ => return replied,
        }
        if !self.waiters.is_empty() {
            self.settle(now);
        }
        replied
    }

    /// Finds a connection with room, in the order that the head of this file gives.
    #[inline]
    fn choose(&mut self, now: Duration, avoid: Option<usize>) -> Option<u32> {
        // Mostly there is one endpoint, and its connection used last is in use and has room.
        if let [endpoint] = &self.endpoints[..]
            && let Some(slot) = endpoint.ready.last()
            && self.slots[*slot as usize].state == State::Busy
            && endpoint.is_in_service()
        {
            return Some(*slot);
        }
        self.choose_any(now, avoid)
    }

    fn choose_any(&mut self, now: Duration, avoid: Option<usize>) -> Option<u32> {
        if self.roomy == 0 {
            return None;
        }
        let picked = match self.endpoints.len() {
            1 => Some(0),
            _ => self.pick(avoid),
        }?;
        if !self.endpoints[picked].is_in_service() {
            return None;
        }
        if let Some(slot) = self.fresh(now, picked) {
            return Some(slot);
        }
        // The one with fewer requests in flight has no connection with room: one for the next call, and for this one
        // that of another.
        let endpoint = &self.endpoints[picked];
        if endpoint.ready.is_empty() && endpoint.coming == 0 && self.may_dial(now, picked) {
            self.dial(now, picked);
        }
        let mut others: Option<(usize, u32)> = None;
        for index in 0..self.endpoints.len() {
            let endpoint = &self.endpoints[index];
            let fewer = others.is_none_or(|(least, _)| endpoint.in_flight < least);
            if index != picked
                && endpoint.is_in_service()
                && fewer
                && let Some(slot) = self.fresh(now, index)
            {
                others = Some((self.endpoints[index].in_flight, slot));
            }
        }
        others.map(|(_, slot)| slot)
    }

    /// Two endpoints by chance, of those in service; the one with fewer requests in flight.
    fn pick(&mut self, avoid: Option<usize>) -> Option<usize> {
        let count = self.endpoints.len();
        let first = self.random.below(count);
        let starts = [first, (first + 1 + self.random.below(count - 1)) % count];
        let serves = |index: &usize| self.endpoints[*index].is_in_service() && Some(*index) != avoid;
        let [one, other] = starts.map(|from| (0..count).map(|step| (from + step) % count).find(serves));
        match (one, other) {
            (Some(one), Some(other)) => {
                let fewer = self.endpoints[other].in_flight < self.endpoints[one].in_flight;
                Some(if fewer { other } else { one })
            }
            // Only the one to avoid is left.
            _ => avoid.filter(|index| self.endpoints[*index].is_in_service()),
        }
    }

    /// The connection with room used last, unless it has to be checked first.
    #[inline]
    fn fresh(&self, now: Duration, endpoint: usize) -> Option<u32> {
        let ready = &self.endpoints[endpoint].ready;
        ready.iter().rev().copied().find(|slot| !self.is_stale(now, *slot))
    }

    #[inline]
    fn is_stale(&self, now: Duration, slot: u32) -> bool {
        let conn = &self.slots[slot as usize];
        conn.state == State::Idle && self.features.pings && now.saturating_sub(conn.since) >= self.settings.check_after
    }

    /// An idle connection, for a lease.
    fn choose_idle(&self, now: Duration) -> Option<u32> {
        let mut serving = self.endpoints.iter().filter(|endpoint| endpoint.is_in_service());
        serving.find_map(|endpoint| {
            let mut ready = endpoint.ready.iter().rev().copied();
            ready.find(|slot| self.slots[*slot as usize].state == State::Idle && !self.is_stale(now, *slot))
        })
    }

    /// Puts a request on a connection with room.
    #[inline(always)]
    fn place(&mut self, now: Duration, slot: u32, entry: Entry<R, C>) -> ConnectionId {
        self.note_due(entry.deadline);
        let conn = &mut self.slots[slot as usize];
        conn.used = now;
        conn.pending.push_back(entry);
        let (full, endpoint) = (conn.pending.len() >= self.settings.depth, conn.endpoint);
        let (id, was_busy) = (ConnectionId { slot, generation: conn.generation }, conn.state == State::Busy);
        self.endpoints[endpoint].in_flight += 1;
        if !was_busy {
            self.set_state(slot, State::Busy);
        }
        if full {
            self.unready(slot);
            if self.roomy < self.settings.min_idle {
                self.provide(now);
            }
        }
        id
    }

    /// Gives connections with room to those that wait, in order, and begins what they will need.
    fn settle(&mut self, now: Duration) {
        if self.draining || self.held {
            return;
        }
        while let Some(front) = self.waiters.front() {
            let found = match front.want {
                Want::Call(_) => {
                    let avoid = front.avoid;
                    self.choose(now, avoid)
                }
                Want::Lease(_) => self.choose_idle(now),
            };
            let Some((slot, waiter)) = found.and_then(|slot| Some((slot, self.waiters.pop_front()?))) else { break };
            self.counters.wait.record(now.saturating_sub(waiter.since));
            self.serve(now, slot, waiter);
        }
        self.counters.waiters.set(self.waiters.len() as u64);
        self.provide(now);
    }

    fn serve(&mut self, now: Duration, slot: u32, waiter: Waiter<R, C>) {
        let Waiter { key, caller, since, deadline, .. } = waiter;
        match waiter.want {
            Want::Call(request) => {
                let retry = waiter.idempotent && waiter.avoid.is_none();
                let entry = Entry { key, role: Role::Call(caller), since, deadline, request: Some(request), retry };
                let connection = self.place(now, slot, entry);
                self.actions.push_back(Action::Send { connection, key });
            }
            Want::Lease(label) => {
                self.lease_waiters -= 1;
                self.counters.leases.add(1);
                self.unready(slot);
                self.set_state(slot, State::Leased);
                let conn = &mut self.slots[slot as usize];
                conn.used = now;
                conn.holder = Some(Holder { taken: now, label, leaked: false });
                let connection = ConnectionId { slot, generation: conn.generation };
                self.note_due(now + self.settings.leak_after);
                self.actions.push_back(Action::Grant { caller, connection });
            }
        }
    }

    /// Checks or dials connections for those that wait, and for `min_idle`.
    fn provide(&mut self, now: Duration) {
        if self.draining {
            return;
        }
        // A lease needs a connection of its own.
        let needed = self.waiters.len().div_ceil(self.settings.depth).max(self.lease_waiters);
        while self.coming < needed {
            if !self.check_one(now) && !self.dial_one(now) {
                break;
            }
        }
        while self.roomy + self.coming < self.settings.min_idle {
            if !self.dial_one(now) {
                break;
            }
        }
    }

    /// Checks a connection that was idle for a while. Returns whether there was one.
    fn check_one(&mut self, now: Duration) -> bool {
        let serving = self.endpoints.iter().filter(|endpoint| endpoint.is_in_service());
        let stale = serving.flat_map(|endpoint| endpoint.ready.iter().rev()).copied();
        let Some(slot) = { stale }.find(|slot| self.is_stale(now, *slot)) else { return false };
        self.unready(slot);
        self.begin_check(now, slot, Role::Check);
        true
    }

    fn begin_check(&mut self, now: Duration, slot: u32, role: Role<C>) {
        self.counters.checks.add(1);
        let deadline = now + self.settings.check;
        let resets = matches!(role, Role::Reset);
        let conn = &mut self.slots[slot as usize];
        if resets {
            // Whoever had the lease does not wait for these any more.
            for entry in &mut conn.pending {
                match std::mem::replace(&mut entry.role, Role::Late) {
                    Role::Call(caller) => {
                        self.counters.lost.add(1);
                        self.actions.push_back(Action::Fail { caller, error: CallError::Lost(Loss::Lease) });
                    }
                    Role::Left => {}
                    Role::Late | Role::Check | Role::Reset => continue,
                }
                conn.late += 1;
                self.counters.tombstones.add(1);
            }
        }
        conn.pending.push_back(Entry { key: 0, role, since: now, deadline, request: None, retry: false });
        let (endpoint, connection) = (conn.endpoint, ConnectionId { slot, generation: conn.generation });
        self.endpoints[endpoint].in_flight += 1;
        self.endpoints[endpoint].coming += 1;
        self.coming += 1;
        self.set_state(slot, State::Checking);
        self.note_due(deadline);
        self.actions.push_back(if resets { Action::Reset { connection } } else { Action::Ping { connection } });
    }

    /// Whether the breaker of every endpoint is open.
    fn all_tripped(&self) -> bool {
        let mut present = self.endpoints.iter().filter(|endpoint| endpoint.present).peekable();
        present.peek().is_some() && present.all(Endpoint::is_tripped)
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

    /// Puts a connection among those with room: as the one used last, or as the one used first.
    #[inline]
    fn make_ready(&mut self, slot: u32, last: bool) {
        let conn = &self.slots[slot as usize];
        let (suspect, ready) = (conn.late > 0, &mut self.endpoints[conn.endpoint].ready);
        self.roomy += 1;
        if last && !suspect {
            ready.push(slot);
        } else {
            ready.insert(0, slot);
        }
    }

    /// Takes a connection from those with room, if it is there.
    #[inline]
    fn unready(&mut self, slot: u32) {
        let ready = &mut self.endpoints[self.slots[slot as usize].endpoint].ready;
        if ready.last() == Some(&slot) {
            ready.pop();
            self.roomy -= 1;
        } else if let Some(at) = ready.iter().position(|ready| *ready == slot) {
            ready.remove(at);
            self.roomy -= 1;
        }
    }

    /// A connection that was checked or opened takes calls.
    fn become_idle(&mut self, now: Duration, slot: u32) {
        let conn = &mut self.slots[slot as usize];
        let (was_coming, fresh) = (conn.is_coming(), conn.state == State::Handshaking || conn.state == State::Dialling);
        conn.since = now;
        if was_coming {
            self.coming -= 1;
            self.endpoints[self.slots[slot as usize].endpoint].coming -= 1;
        }
        let (endpoint, left) = (self.slots[slot as usize].endpoint, self.slots[slot as usize].pending.len());
        if self.draining || !self.endpoints[endpoint].is_in_service() {
            let connection = ConnectionId { slot, generation: self.slots[slot as usize].generation };
            self.set_state(slot, State::Retiring);
            return self.fail(now, connection, Loss::Retired);
        }
        // Late replies may still come where they have identifiers.
        self.set_state(slot, if left == 0 { State::Idle } else { State::Busy });
        if left < self.settings.depth {
            // New ones come last: those in use are as good, and fewer stay open.
            self.make_ready(slot, !fresh);
        }
    }
}
