//! Connections that somebody has alone.

use std::time::Duration;

use super::{ConnectionId, Pool, Role, State, Waiter, Want};
use crate::error::{CallError, Loss};

impl<R, C> Pool<R, C> {
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
}
