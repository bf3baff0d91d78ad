//! How a connection ends: its session first, its slot when the driver has done with it.

use std::io;

use crate::address::Peer;
use crate::close_reason::CloseReason;
use crate::connection::{Flags, State};
use crate::driver::Driver;
use crate::ids::{Place, Token};

use super::Reactor;
use super::inspect::KICKED;

impl<D: Driver> Reactor<D> {
    /// Ends a connection: its session goes now, its slot when the driver has done with it.
    pub(super) fn begin_close(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let (service, mut reason) = (connection.service, connection.reason());
        // A farewell that the peer has answered ends like any other, and its cause is another one.
        if self.core.rares.of(token).is_kicked && matches!(reason, CloseReason::Service | CloseReason::Peer) {
            reason = KICKED;
        }
        if connection.is_dialling() {
            let kind = match reason {
                CloseReason::Io(kind) => kind,
                CloseReason::Peer => io::ErrorKind::UnexpectedEof,
                _ => io::ErrorKind::ConnectionAborted,
            };
            let error = io::Error::new(kind, "closed before it was up");
            self.connect_failed(token, &error);
            return self.driver.close(token, true);
        }
        connection.become_state(State::Closed);
        let (peer, is_traced) = (self.core.peers.of(token), connection.flags.has(Flags::TRACED));
        // Where bytes are lost, a clean end of the stream would say that it is whole.
        let reset = connection.resets() || connection.flags.has(Flags::RESET) || connection.outbox_len() > 0;
        if let Some(carry) = connection.carry.take() {
            self.core.pools.return_carry(carry);
        }
        let offloads = self.core.rares.of(token).offloads;
        if connection.flags.has(Flags::NAMED_TIMERS) {
            self.core.timers.forget(token);
        }
        self.core.live.set(token, 0);
        self.remember(token, service, peer, reason);
        if is_traced {
            self.trace_closed(token, reason);
        }
        if offloads > 0 {
            self.core.shared.offload.disowned(offloads);
        }
        self.core.wheel.cancel(&mut self.core.slab, token);
        self.core.groups.leave_all(token);
        let tally = self.core.tally(service);
        tally.count_closed(reason);
        tally.connections.sub(1);
        let (host, core) = self.host(service);
        host.close(core, token, reason);
        self.core.causes.forget(token);
        // The service may know of something that was not sent yet.
        let reset = reset || self.core.slab.get(token).is_some_and(|connection| connection.flags.has(Flags::RESET));
        self.driver.close(token, reset);
    }

    /// Remembers a connection that closes, for operators.
    fn remember(&mut self, token: Token, service: u16, peer: Peer, reason: CloseReason) {
        let generation = self.core.slab.generation(token).unwrap_or(0);
        let age_seconds = self.core.births.age_seconds(token, self.core.clock);
        self.core.closed.note(Place { token, generation }, service, peer, reason, age_seconds, self.core.clock);
    }

    /// The driver has done with a connection: everything of it goes.
    pub(super) fn closed(&mut self, token: Token) {
        self.forget(token);
        self.take_waiting();
    }

    pub(super) fn forget(&mut self, token: Token) {
        let Some(connection) = self.core.slab.remove(token) else { return };
        self.core.causes.forget(token);
        if connection.flags.has(Flags::OVER_HIGH) {
            self.core.counters.slow_readers.sub(1);
        }
        let (counted, peer) = (connection.counted(), self.core.peers.of(token));
        if let Some(outbox) = connection.outbox {
            self.core.discard_outbox(outbox);
        }
        if let Some(filter) = connection.filter {
            let left = filter.dissolve(&mut self.core.pools);
            self.core.counters.outboxes_shrank(left);
        }
        if connection.flags.has(Flags::PREFIXED) {
            self.leave_prefix(peer);
        }
        match self.accepting.quota(connection.service) {
            Some(quota) => quota.leave(&self.core.shared.totals, counted, peer),
            None => self.core.shared.totals.connections.leave(),
        }
        self.left(connection.service);
    }
}
