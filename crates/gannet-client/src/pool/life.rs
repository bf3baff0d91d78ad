//! A connection's life: dialled, ready, lost; and what its end means for its calls and for its endpoint.

use std::time::Duration;

use super::{Action, Connection, ConnectionId, Endpoint, Entry, Pool, Role, State, Waiter, Want};
use crate::error::{CallError, Loss};

impl<R, C> Pool<R, C> {
    /// Whether the endpoint may be dialled now.
    pub(super) fn may_dial(&self, now: Duration, endpoint: usize) -> bool {
        let endpoint = &self.endpoints[endpoint];
        self.open < self.settings.max && endpoint.is_in_service() && endpoint.not_before <= now
    }

    /// Dials the endpoint that has least. Returns whether there was one.
    pub(super) fn dial_one(&mut self, now: Duration) -> bool {
        if self.open >= self.settings.max {
            return false;
        }
        let count = self.endpoints.len();
        let from = self.random.below(count);
        let order = (0..count).map(|step| (from + step) % count);
        let least = order.filter(|index| self.may_dial(now, *index)).min_by_key(|index| {
            let endpoint = &self.endpoints[*index];
            (endpoint.coming, endpoint.in_flight, endpoint.connections)
        });
        if let Some(endpoint) = least {
            self.dial(now, endpoint);
            return true;
        }
        let waiting = self.endpoints.iter().filter(|endpoint| endpoint.is_in_service());
        if let Some(at) = waiting.map(|endpoint| endpoint.not_before).min() {
            self.note_due(at);
        }
        false
    }

    pub(super) fn dial(&mut self, now: Duration, endpoint: usize) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Connection::new());
            (self.slots.len() - 1) as u32
        });
        let conn = &mut self.slots[slot as usize];
        (conn.endpoint, conn.since, conn.late) = (endpoint, now, 0);
        let connection = ConnectionId { slot, generation: conn.generation };
        self.set_state(slot, State::Dialling);
        self.open += 1;
        self.coming += 1;
        self.endpoints[endpoint].connections += 1;
        self.endpoints[endpoint].coming += 1;
        self.counters.dials.add(1);
        self.actions.push_back(Action::Dial { connection, endpoint });
    }

    /// The transport of a connection is up. Returns whether somebody wants it still.
    pub(crate) fn connected(&mut self, now: Duration, connection: ConnectionId) -> bool {
        let within = self.settings.connect;
        let Some(conn) = self.get(connection) else { return false };
        let (state, by) = (conn.state, conn.since + within);
        match state {
            State::Dialling => {
                self.set_state(connection.slot, State::Handshaking);
                self.note_due(by);
                true
            }
            // It was given up on its way.
            State::Retiring => {
                self.end(now, connection, Loss::Retired);
                false
            }
            _ => true,
        }
    }

    /// The handshake of a connection is done.
    pub(crate) fn ready(&mut self, now: Duration, connection: ConnectionId) {
        let life = self.settings.max_life;
        let Some(conn) = self.get(connection) else { return };
        if !matches!(conn.state, State::Dialling | State::Handshaking) {
            return;
        }
        (conn.up, conn.used) = (now, now);
        let endpoint = conn.endpoint;
        // Those that were opened together do not end together.
        let expires = now + life - self.random.up_to(life / 10);
        self.slots[connection.slot as usize].expires = expires;
        self.note_due(expires);
        self.note_due(now + self.settings.keepalive.min(self.settings.idle));
        if self.endpoints[endpoint].is_tripped() && self.features.pings {
            // It is the probe: the answer to its ping decides.
            self.endpoints[endpoint].coming -= 1;
            self.coming -= 1;
            self.begin_check(now, connection.slot, Role::Check);
        } else {
            let settings = &self.settings;
            if self.endpoints[endpoint].breaker.succeeded(now, settings) {
                self.close_breaker(endpoint);
            }
            self.become_idle(now, connection.slot);
        }
        self.settle(now);
    }

    /// A connection has ended, or could not be opened.
    pub(crate) fn closed(&mut self, now: Duration, connection: ConnectionId, loss: Loss) {
        if let Some(conn) = self.get(connection) {
            // Of one that was given up on its way, nothing more is to be learnt.
            let is_given_up = conn.state == State::Retiring && loss == Loss::Connect;
            self.end(now, connection, if is_given_up { Loss::Retired } else { loss });
        }
    }

    /// Closes a connection.
    pub(crate) fn fail(&mut self, now: Duration, connection: ConnectionId, loss: Loss) {
        if self.get(connection).is_some() {
            self.actions.push_back(Action::Close { connection, loss });
            self.end(now, connection, loss);
        }
    }

    fn end(&mut self, now: Duration, connection: ConnectionId, loss: Loss) {
        let slot = connection.slot;
        // Others may end with it, and what waits is not for them.
        let was_held = std::mem::replace(&mut self.held, true);
        self.unready(slot);
        let conn = &mut self.slots[slot as usize];
        let (state, endpoint, was_coming) = (conn.state, conn.endpoint, conn.is_coming());
        let (up, late) = (now.saturating_sub(conn.up), std::mem::take(&mut conn.late));
        let mut pending = std::mem::take(&mut conn.pending);
        // Whoever had it alone learns it from the next call.
        conn.holder = None;
        conn.generation = conn.generation.wrapping_add(1);
        self.set_state(slot, State::Closed);
        self.counters.losses[loss.index()].add(1);
        self.counters.tombstones.sub(late as u64);
        self.open -= 1;
        let owner = &mut self.endpoints[endpoint];
        owner.connections -= 1;
        owner.in_flight -= pending.len();
        if was_coming {
            owner.coming -= 1;
            self.coming -= 1;
        }
        let asked = pending.iter().any(|entry| !matches!(entry.role, Role::Late));
        self.blame(now, endpoint, state, loss, asked, up);
        // The first of them is to be the first again.
        while let Some(entry) = pending.pop_back() {
            self.give_back(now, endpoint, entry, loss);
        }
        self.slots[slot as usize].pending = pending;
        self.free.push(slot);
        self.held = was_held;
        self.settle(now);
    }

    /// Counts an end against the endpoint, where it is the endpoint's fault.
    fn blame(&mut self, now: Duration, endpoint: usize, state: State, loss: Loss, asked: bool, up: Duration) {
        let opening = matches!(state, State::Dialling | State::Handshaking);
        let fault = match loss {
            Loss::Connect | Loss::Handshake | Loss::Protocol | Loss::Check => true,
            // Its time-outs were counted one by one.
            Loss::Stalled | Loss::Retired | Loss::Lease | Loss::Closing => false,
            Loss::Peer => opening || asked,
        };
        let owner = &mut self.endpoints[endpoint];
        match loss {
            Loss::Retired | Loss::Lease | Loss::Closing => return,
            _ if opening => owner.not_before = owner.backoff.fail(now, &self.settings, &mut self.random),
            _ => owner.not_before = owner.backoff.lost(now, up, &self.settings, &mut self.random),
        }
        if fault {
            let redial = owner.not_before;
            self.endpoint_failed(now, endpoint, Some(redial));
        }
    }

    /// A request in flight whose connection has ended: it is tried again, or its caller is told.
    fn give_back(&mut self, now: Duration, endpoint: usize, entry: Entry<R, C>, loss: Loss) {
        let Entry { key, role, since, deadline, request, retry } = entry;
        let (since, deadline) = (since.into(), Duration::from(deadline));
        let Role::Call(caller) = role else { return };
        if let Some(request) = request {
            if retry && !self.draining && deadline > now && self.budget.spend() {
                self.counters.retries.add(1);
                let (want, until) = (Want::Call(request), deadline.min(now + self.settings.waiting));
                let avoid = Some(endpoint);
                self.note_due(until);
                let waiter = Waiter { key, caller, want, since, until, deadline, avoid, idempotent: true };
                self.waiters.push_front(waiter);
                return;
            }
            self.actions.push_back(Action::Recycle { request });
        }
        self.counters.lost.add(1);
        self.actions.push_back(Action::Fail { caller, error: CallError::Lost(loss) });
    }

    /// Counts a failure of an endpoint, which may take it out of service. `redial` is when it may be dialled again, where a
    /// connection has ended.
    pub(super) fn endpoint_failed(&mut self, now: Duration, endpoint: usize, redial: Option<Duration>) {
        let settings = &self.settings;
        if !self.endpoints[endpoint].breaker.failed(now, redial, settings, &mut self.random) {
            return;
        }
        self.counters.opened.add(1);
        if let crate::breaker::BreakerState::Open { until } = self.endpoints[endpoint].breaker.state() {
            self.note_due(until);
        }
        let present = self.endpoints.iter().filter(|endpoint| endpoint.present).count();
        let out = self.endpoints.iter().filter(|endpoint| endpoint.out).count();
        // At most half of them: the others could not bear the load of all.
        if !self.endpoints[endpoint].out && out < (present / 2).max(1) {
            self.endpoints[endpoint].out = true;
            self.counters.endpoints_out.add(1);
            self.actions.push_back(Action::Breaker { endpoint, open: true });
            self.retire_all(now, endpoint);
        }
        if self.all_tripped() {
            self.fail_waiters(CallError::Unavailable);
        }
    }

    pub(super) fn close_breaker(&mut self, endpoint: usize) {
        if std::mem::take(&mut self.endpoints[endpoint].out) {
            self.counters.endpoints_out.sub(1);
            self.actions.push_back(Action::Breaker { endpoint, open: false });
        }
    }

    /// Closes the connections of an endpoint, those in use when the last request was answered.
    fn retire_all(&mut self, now: Duration, endpoint: usize) {
        let was_held = std::mem::replace(&mut self.held, true);
        for slot in 0..self.slots.len() as u32 {
            if self.slots[slot as usize].endpoint == endpoint {
                self.retire(now, slot, Loss::Retired);
            }
        }
        self.held = was_held;
    }

    /// Closes a connection when the last request on it was answered.
    pub(super) fn retire(&mut self, now: Duration, slot: u32, loss: Loss) {
        let conn = &self.slots[slot as usize];
        let connection = ConnectionId { slot, generation: conn.generation };
        match conn.state {
            // A lease that retires ends with its holder's interest, or with the pool.
            State::Retiring if conn.pending.is_empty() && loss == Loss::Closing => self.fail(now, connection, loss),
            State::Closed | State::Retiring => {}
            State::Busy => {
                self.unready(slot);
                self.set_state(slot, State::Retiring);
            }
            State::Leased if !conn.pending.is_empty() => self.set_state(slot, State::Retiring),
            State::Checking if conn.late > 0 => {}
            State::Leased if loss == Loss::Retired => self.set_state(slot, State::Retiring),
            // There is no way to call a dial off: it counts until it has failed, or is up and is closed.
            State::Dialling => {
                self.coming -= 1;
                self.endpoints[conn.endpoint].coming -= 1;
                self.set_state(slot, State::Retiring);
            }
            State::Leased | State::Checking | State::Idle | State::Handshaking => self.fail(now, connection, loss),
        }
    }

    /// Takes no more calls: those that wait fail, and what is in flight may finish.
    pub(crate) fn drain(&mut self, now: Duration) {
        self.draining = true;
        self.fail_waiters(CallError::Closing);
        for slot in 0..self.slots.len() as u32 {
            self.retire(now, slot, Loss::Closing);
        }
    }

    /// Whether the pool has this connection still.
    pub(crate) fn knows(&mut self, connection: ConnectionId) -> bool {
        self.get(connection).is_some()
    }

    /// Takes no more calls on a connection: the next reply is its last.
    pub(crate) fn retire_soon(&mut self, now: Duration, connection: ConnectionId) {
        if self.get(connection).is_some() {
            self.retire(now, connection.slot, Loss::Retired);
        }
    }

    /// Adds an endpoint, and returns its index. It is dialled by the next call, or by [`Pool::start`].
    pub(crate) fn add_endpoint(&mut self) -> usize {
        let fresh = Endpoint::new(&self.settings);
        let gone = |endpoint: &Endpoint| !endpoint.present && endpoint.connections == 0;
        match self.endpoints.iter().position(gone) {
            Some(index) => {
                self.endpoints[index] = fresh;
                index
            }
            None => {
                self.endpoints.push(fresh);
                self.endpoints.len() - 1
            }
        }
    }

    /// Takes an endpoint off the list. What is in flight to it may finish.
    pub(crate) fn remove_endpoint(&mut self, now: Duration, endpoint: usize) {
        self.endpoints[endpoint].present = false;
        self.close_breaker(endpoint);
        self.retire_all(now, endpoint);
        self.settle(now);
    }
}
