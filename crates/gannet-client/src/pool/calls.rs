//! A call, from the connection that it finds to its reply.

use std::time::Duration;

use super::{Action, ConnectionId, Entry, Placed, Pool, Replied, Role, State, Terms, Waiter, Want};
use crate::error::{CallError, Loss};

impl<R, C> Pool<R, C> {
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
            self.note_due(deadline);
            let (role, request) = (Role::Call(caller), retry.then(keep));
            let entry = Entry { key, role, since: now.into(), deadline: deadline.into(), request, retry };
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
            since: now.into(),
            deadline: deadline.into(),
            request: None,
            retry: false,
        });
        let endpoint = leased.endpoint;
        self.endpoints[endpoint].in_flight += 1;
        self.note_due(deadline);
        Ok(())
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
                self.counters.answer.record(now.saturating_sub(entry.since.into()));
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

    /// Puts a request on a connection with room. When it is due has been noted.
    #[inline(always)]
    pub(super) fn place(&mut self, now: Duration, slot: u32, entry: Entry<R, C>) -> ConnectionId {
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

    /// Returns a request that was kept, to be sent.
    pub(crate) fn request(&mut self, connection: ConnectionId, key: u64) -> Option<&R> {
        let conn = self.get(connection)?;
        conn.pending.iter().rev().find(|entry| entry.key == key)?.request.as_ref()
    }
}
