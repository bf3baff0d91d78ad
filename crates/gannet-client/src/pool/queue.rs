//! Those that wait: in order, and with the connections that are begun for them.

use std::time::Duration;

use super::{Action, ConnectionId, Endpoint, Entry, Holder, Pool, Role, State, Waiter, Want};
use crate::error::{CallError, Loss};

impl<R, C> Pool<R, C> {
    pub(super) fn check_may_wait(&self) -> Result<(), CallError> {
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

    pub(super) fn wait(&mut self, now: Duration, waiter: Waiter<R, C>) {
        self.counters.waited.add(1);
        self.note_due(waiter.until);
        self.waiters.push_back(waiter);
        self.settle(now);
    }

    /// Gives connections with room to those that wait, in order, and begins what they will need.
    pub(super) fn settle(&mut self, now: Duration) {
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
                self.note_due(deadline);
                let (role, request) = (Role::Call(caller), Some(request));
                let entry = Entry { key, role, since: since.into(), deadline: deadline.into(), request, retry };
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
    pub(super) fn provide(&mut self, now: Duration) {
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

    pub(super) fn begin_check(&mut self, now: Duration, slot: u32, role: Role<C>) {
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
        conn.pending.push_back(Entry {
            key: 0,
            role,
            since: now.into(),
            deadline: deadline.into(),
            request: None,
            retry: false,
        });
        let (endpoint, connection) = (conn.endpoint, ConnectionId { slot, generation: conn.generation });
        self.endpoints[endpoint].in_flight += 1;
        self.endpoints[endpoint].coming += 1;
        self.coming += 1;
        self.set_state(slot, State::Checking);
        self.note_due(deadline);
        self.actions.push_back(if resets { Action::Reset { connection } } else { Action::Ping { connection } });
    }

    /// Whether the breaker of every endpoint is open.
    pub(super) fn all_tripped(&self) -> bool {
        let mut present = self.endpoints.iter().filter(|endpoint| endpoint.present).peekable();
        present.peek().is_some() && present.all(Endpoint::is_tripped)
    }

    /// Gives a call or a wait for a lease up, as its caller is gone. One that waits is forgotten, and its request returned; one
    /// in flight keeps its place, so that its reply reaches nobody else. Returns whether others may have room now.
    pub(crate) fn cancel(&mut self, key: u64) -> (bool, Option<R>) {
        if let Some(at) = self.waiters.iter().rposition(|waiter| waiter.key == key) {
            let Some(waiter) = self.waiters.remove(at) else { return (false, None) };
            self.counters.cancelled.add(1);
            self.counters.waiters.set(self.waiters.len() as u64);
            return match waiter.want {
                Want::Call(request) => (at == 0, Some(request)),
                Want::Lease(_) => {
                    self.lease_waiters -= 1;
                    (at == 0, None)
                }
            };
        }
        let mut in_flight = self.slots.iter_mut().flat_map(|conn| conn.pending.iter_mut());
        let call = in_flight.find(|entry| entry.key == key && matches!(entry.role, Role::Call(_)));
        let Some(entry) = call else { return (false, None) };
        entry.role = Role::Left;
        entry.retry = false;
        self.counters.cancelled.add(1);
        (false, entry.request.take())
    }

    pub(super) fn fail_waiters(&mut self, error: CallError) {
        let counter = match error {
            CallError::Unavailable => Some(&self.counters.unavailable),
            _ => None,
        };
        while let Some(waiter) = self.waiters.pop_front() {
            if let Some(counter) = counter {
                counter.add(1);
            }
            if let Want::Call(request) = waiter.want {
                self.actions.push_back(Action::Recycle { request });
            }
            self.actions.push_back(Action::Fail { caller: waiter.caller, error });
        }
        self.lease_waiters = 0;
        self.counters.waiters.set(0);
    }
}
