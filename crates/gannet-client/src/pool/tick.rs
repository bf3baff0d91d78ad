//! What time alone does: deadlines, tombstones, ages, checks, probes.

use std::time::Duration;

use super::{Action, ConnectionId, Pool, Role, State, Want};
use crate::breaker::BreakerState;
use crate::error::{CallError, Loss};

/// What the deadlines of a connection's requests came to.
enum Overdue {
    No,
    /// The connection closes, for this.
    Close(Loss),
}

impl<R, C> Pool<R, C> {
    /// Does what is due. To be called when [`Pool::due`] says so; a call too early does nothing.
    pub(crate) fn tick(&mut self, now: Duration) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        self.held = true;
        self.expire_waiters(now);
        for slot in 0..self.slots.len() as u32 {
            self.tick_connection(now, slot);
        }
        for endpoint in 0..self.endpoints.len() {
            self.tick_endpoint(now, endpoint);
        }
        self.held = false;
        self.settle(now);
    }

    fn expire_waiters(&mut self, now: Duration) {
        let mut waiters = std::mem::take(&mut self.waiters);
        let mut next: Option<Duration> = None;
        for waiter in waiters.drain(..) {
            if waiter.until > now || self.draining {
                next = Some(next.map_or(waiter.until, |next| next.min(waiter.until)));
                self.waiters.push_back(waiter);
                continue;
            }
            self.counters.no_connection.add(1);
            match waiter.want {
                Want::Call(request) => self.actions.push_back(Action::Recycle { request }),
                Want::Lease(_) => self.lease_waiters -= 1,
            }
            self.actions.push_back(Action::Fail { caller: waiter.caller, error: CallError::NoConnection });
        }
        if let Some(at) = next {
            self.note_due(at);
        }
        self.counters.waiters.set(self.waiters.len() as u64);
    }

    fn tick_connection(&mut self, now: Duration, slot: u32) {
        let conn = &self.slots[slot as usize];
        let connection = ConnectionId { slot, generation: conn.generation };
        let (state, since, used, expires) = (conn.state, conn.since, conn.used, conn.expires);
        match state {
            State::Closed => return,
            // The owner says when it has failed, after the same time.
            State::Dialling => return,
            State::Handshaking => {
                let by = since + self.settings.connect;
                if by <= now {
                    self.fail(now, connection, Loss::Handshake);
                } else {
                    self.note_due(by);
                }
                return;
            }
            _ => {}
        }
        if let Overdue::Close(loss) = self.expire_entries(now, slot) {
            return self.fail(now, connection, loss);
        }
        match state {
            State::Idle if expires <= now => self.retire(now, slot, Loss::Retired),
            State::Idle if used + self.settings.idle <= now && self.may_shrink() => {
                self.retire(now, slot, Loss::Retired);
            }
            State::Idle if since + self.settings.keepalive <= now && self.features.pings => {
                self.unready(slot);
                self.begin_check(now, slot, Role::Check);
            }
            State::Idle => {
                self.note_due(expires);
                if self.features.pings {
                    self.note_due(since + self.settings.keepalive);
                }
                let idle = used + self.settings.idle;
                // One that stays because it is needed is looked at again after as long.
                self.note_due(if idle > now { idle } else { now + self.settings.idle });
            }
            State::Busy if expires <= now => self.retire(now, slot, Loss::Retired),
            State::Busy => {
                self.note_due(expires);
                self.note_due(now + self.settings.keepalive);
            }
            State::Leased => self.look_for_leak(now, slot),
            _ => {}
        }
    }

    /// Whether an idle connection is not needed.
    fn may_shrink(&self) -> bool {
        self.roomy > self.settings.min_idle
    }

    /// Tells the callers of requests whose time is over. Each leaves a tombstone in its place.
    fn expire_entries(&mut self, now: Duration, slot: u32) -> Overdue {
        let (pipelines, most) = (self.features.pipelines, self.settings.tombstones);
        let mut next: Option<Duration> = None;
        let (mut expired, mut close) = (0, None);
        let conn = &mut self.slots[slot as usize];
        for entry in &mut conn.pending {
            let due = entry.due();
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            match std::mem::replace(&mut entry.role, Role::Late) {
                Role::Call(caller) => {
                    expired += 1;
                    conn.late += 1;
                    self.counters.timed_out.add(1);
                    self.counters.tombstones.add(1);
                    self.actions.push_back(Action::Fail { caller, error: CallError::TimedOut });
                    // Overdue by as long again, it closes the connection.
                    let due = entry.extend();
                    next = Some(next.map_or(due, |next| next.min(due)));
                    if due <= now {
                        close = Some(Loss::Stalled);
                    }
                }
                // Its caller has gone before; the server is as late.
                Role::Left => {
                    expired += 1;
                    conn.late += 1;
                    self.counters.tombstones.add(1);
                    let due = entry.extend();
                    next = Some(next.map_or(due, |next| next.min(due)));
                    if due <= now {
                        close = Some(Loss::Stalled);
                    }
                }
                Role::Late => close = Some(Loss::Stalled),
                own @ (Role::Check | Role::Reset) => {
                    entry.role = own;
                    close = close.or(Some(Loss::Check));
                }
            }
        }
        let (late, endpoint) = (conn.late, conn.endpoint);
        if let Some(at) = next {
            self.note_due(at);
        }
        let state = self.slots[slot as usize].state;
        if expired > 0 && state == State::Busy {
            // Others are better while replies are overdue.
            let full = self.slots[slot as usize].pending.len() >= self.settings.depth;
            self.unready(slot);
            if !full {
                self.make_ready(slot, false);
            }
        }
        for _ in 0..expired {
            self.endpoint_failed(now, endpoint, None);
        }
        // Where nothing can be sent behind it, the place of a late reply is not worth keeping.
        if late >= most || (expired > 0 && !pipelines) {
            close = Some(Loss::Stalled);
        }
        close.map_or(Overdue::No, Overdue::Close)
    }

    fn look_for_leak(&mut self, now: Duration, slot: u32) {
        let after = self.settings.leak_after;
        let Some(holder) = &mut self.slots[slot as usize].holder else { return };
        if holder.leaked {
            return;
        }
        let due = holder.taken + after;
        if due > now {
            return self.note_due(due);
        }
        holder.leaked = true;
        let (label, out) = (holder.label, now.saturating_sub(holder.taken));
        self.counters.leaks.add(1);
        self.actions.push_back(Action::Leaked { label, out });
    }

    /// Probes an endpoint that is out of service, when it is time.
    fn tick_endpoint(&mut self, now: Duration, endpoint: usize) {
        let owner = &mut self.endpoints[endpoint];
        if !owner.present || self.draining {
            return;
        }
        owner.breaker.try_half_open(now);
        match owner.breaker.state() {
            BreakerState::Closed => {}
            BreakerState::Open { until } => self.note_due(until),
            BreakerState::HalfOpen if owner.coming > 0 || (!owner.out && owner.connections > 0) => {}
            BreakerState::HalfOpen => {
                if self.open < self.settings.max || self.make_room(now) {
                    self.dial(now, endpoint);
                } else {
                    self.note_due(now + self.settings.breaker_open);
                }
            }
        }
    }

    /// Closes an idle connection, so that another endpoint can be probed. Returns whether there was one.
    fn make_room(&mut self, now: Duration) -> bool {
        let idle = self.slots.iter().position(|conn| conn.state == State::Idle);
        if let Some(slot) = idle {
            self.retire(now, slot as u32, Loss::Retired);
        }
        // Its end may have begun another connection.
        idle.is_some() && self.open < self.settings.max
    }
}
