//! Connections with a filter: its handshake, and the way of bytes through it.

use std::io;
use std::time::Duration;

use crate::close_reason::CloseReason;
use crate::connection::{Flags, State};
use crate::driver::Driver;
use crate::filter::{FilterError, FilterProgress, FilterState, make_filter};
use crate::host::Served;
use crate::ids::{Place, Token};
use crate::route::Route;

use super::Reactor;

/// What handshakes may take of one turn; those that come then wait for the next, so that connections that are up are
/// not held up by many that come. The last one of a turn takes as long as it takes.
const HANDSHAKES_A_TURN: Duration = Duration::from_millis(5);

/// How often a reactor says in the log that a filter failed: peers are who makes it fail, and they must not fill the log.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// When it was last said that a filter failed, and how many failed since.
#[derive(Debug, Default)]
pub(super) struct Failures {
    said: Option<Duration>,
    unsaid: u64,
}

impl Failures {
    /// One more has failed: gives the number of those before it of which nothing was said, where this one is to be said.
    pub(super) fn count(&mut self, now: Duration) -> Option<u64> {
        if self.said.is_some_and(|said| now.saturating_sub(said) < SAID_EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl<D: Driver> Reactor<D> {
    /// Gives an accepted connection its filter.
    pub(super) fn begin_filter(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let service = connection.service;
        let Some(filters) = &self.filters[usize::from(service)] else { return };
        match make_filter(&**filters) {
            Ok(filter) => connection.filter = Some(Box::new(FilterState::new(filter, false))),
            Err(error) => {
                tracing::error!(%error, "closing: no filter could be made for the connection");
                return self.core.ask_close_for(token, Flags::CLOSE, CloseReason::Filter, error.into());
            }
        }
        self.set_phase(token, self.deadlines[usize::from(service)].handshake_ms);
        self.start_filter(token);
    }

    /// Gives an outbound connection its filter, where it has one.
    pub(super) fn dial_through(&mut self, token: Token, route: &Route) -> io::Result<()> {
        let Some(filters) = &route.through else { return Ok(()) };
        let filter = make_filter(&**filters).map_err(io::Error::other)?;
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.filter = Some(Box::new(FilterState::new(filter, true)));
        }
        Ok(())
    }

    /// Begins the handshake of a connection.
    pub(super) fn start_filter(&mut self, token: Token) {
        let Self { core, scratch, .. } = self;
        let Some(filter) = core.slab.get_mut(token).and_then(|connection| connection.filter.as_mut()) else { return };
        let (started, added) = filter.start(scratch, &mut core.pools);
        core.counters.outboxes_grew(added);
        if let Err(error) = started {
            self.filter_failed(token, error);
        }
    }

    /// Bytes came for a connection with a filter.
    pub(super) fn filter_input(&mut self, token: Token, received: &mut [u8]) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        match connection.state() {
            State::Handshaking => self.handshake_input(token, received),
            State::Open => {
                let result = self.pass_through(token, received);
                self.filtered(token, result);
            }
            // What comes while it drains is dropped.
            State::Connecting | State::Draining | State::Closed => {}
        }
    }

    /// Goes on with a handshake, or has it wait in line.
    fn handshake_input(&mut self, token: Token, received: &mut [u8]) {
        let generation = self.core.slab.generation(token).unwrap_or(0);
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let Some(filter) = connection.filter.as_mut() else { return };
        if filter.in_line || !self.handshakes.is_empty() || self.handshaken >= HANDSHAKES_A_TURN {
            if !filter.in_line {
                filter.in_line = true;
                self.handshakes.push_back(Place { token, generation });
            }
            return filter.hold(received, &mut self.core.pools);
        }
        self.shake_hands(token, received);
    }

    fn shake_hands(&mut self, token: Token, received: &mut [u8]) {
        let began = self.driver.now();
        let result = self.pass_through(token, received);
        self.handshaken += self.driver.now().saturating_sub(began);
        self.filtered(token, result);
    }

    /// Goes on with handshakes that wait in line, for as long as this turn has time for them. What this turn has for
    /// connections that are up leaves before.
    pub(super) fn go_on_with_handshakes(&mut self) {
        if !self.handshakes.is_empty() {
            self.driver.submit();
        }
        while self.handshaken < HANDSHAKES_A_TURN {
            let Some(place) = self.handshakes.pop_front() else { return };
            let waiting = self.core.at(place).and_then(|connection| connection.filter.as_mut());
            if let Some(filter) = waiting {
                filter.in_line = false;
                self.shake_hands(place.token, &mut []);
                self.settle(place.token);
            }
        }
    }

    /// Shows the filter of a connection what was received.
    fn pass_through(&mut self, token: Token, received: &mut [u8]) -> Result<FilterProgress, FilterError> {
        let Self { core, scratch, .. } = self;
        let Some(filter) = core.slab.get_mut(token).and_then(|connection| connection.filter.as_mut()) else {
            return Ok(FilterProgress::default());
        };
        let (result, added) = filter.receive(received, scratch, &mut core.pools);
        core.counters.outboxes_grew(added);
        result
    }

    /// What follows from what a filter made of received bytes.
    fn filtered(&mut self, token: Token, result: Result<FilterProgress, FilterError>) {
        let filtered = match result {
            Ok(filtered) => filtered,
            Err(error) => return self.filter_failed(token, error),
        };
        if filtered.ready {
            self.filter_ready(token);
        }
        if !self.scratch.plain.is_empty()
            && let Some(connection) = self.core.slab.get(token)
            && connection.state() == State::Open
        {
            let (service, is_traced) = (connection.service, connection.flags.has(Flags::TRACED));
            let mut plain = std::mem::take(&mut self.scratch.plain);
            if is_traced {
                self.trace_received(token, plain.len(), &plain);
            }
            let (host, core) = self.host(service);
            host.input(core, token, &mut plain);
            self.scratch.plain = plain;
        }
        if filtered.ended
            && let Some(connection) = self.core.slab.get_mut(token)
            && let Some(filter) = connection.filter.as_mut()
        {
            filter.ended = true;
            self.core.peer_ended(token);
        }
    }

    /// Tells the service of a connection whose handshake is done.
    fn filter_ready(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        if connection.state() != State::Handshaking {
            return;
        }
        self.core.counters.handshakes.add(1);
        if connection.is_dialling() {
            return self.up(token);
        }
        connection.become_state(State::Open);
        connection.flags.clear(Flags::PHASE);
        let service = connection.service;
        self.open(token, service);
    }

    /// Ends a connection whose filter cannot go on, when it was said why.
    #[cold]
    fn filter_failed(&mut self, token: Token, error: FilterError) {
        self.log_panic_of_filter(token, &error);
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        // Whoever dials is told.
        let others = if connection.is_dialling() { None } else { self.failures.count(self.core.clock) };
        let peer = self.core.peers.of(token);
        match others {
            Some(others) => tracing::info!(%peer, %error, others, "closing: the filter failed"),
            None => tracing::debug!(%peer, %error, "closing: the filter failed"),
        }
        if let Some(filter) = connection.filter.as_mut() {
            filter.fail(&mut self.core.pools);
        }
        if connection.is_dialling() {
            // What there is to say to the peer leaves if it can at once.
            if self.flush(token) {
                self.connect_failed(token, &io::Error::new(io::ErrorKind::InvalidData, error));
                self.driver.close(token, false);
            }
            return;
        }
        // Nothing can be sent to the peer any more that it would understand.
        if let Some(outbox) = connection.outbox.take() {
            self.core.discard_outbox(outbox);
        }
        self.core.ask_close_for(token, Flags::CLOSE_FLUSHED, CloseReason::Filter, error.into());
    }

    /// Takes a connection whose handshake is under way one step on, and says whether there may be another.
    pub(super) fn advance_handshake(&mut self, token: Token) -> bool {
        let Some(connection) = self.core.slab.get_mut(token) else { return false };
        if connection.flags.has(Flags::CLOSE_FLUSHED) {
            if connection.is_dialling() {
                connection.flags.set(Flags::CLOSE);
            } else {
                connection.become_state(State::Draining);
                connection.flags.clear(Flags::PHASE);
            }
            return true;
        }
        let waits = connection.filter.as_ref().is_some_and(|filter| filter.waits_in_line());
        if connection.flags.has(Flags::ENDED) && !waits {
            connection.ask_close(Flags::CLOSE, CloseReason::Peer);
            return true;
        }
        false
    }

    /// Has the filter turn what waits in the outbox into what leaves; says whether the connection still lives.
    pub(super) fn seal(&mut self, token: Token) -> bool {
        let Self { core, scratch, .. } = self;
        let Some(connection) = core.slab.get_mut(token) else { return false };
        if !matches!(connection.state(), State::Open | State::Draining) {
            return true;
        }
        let (Some(filter), Some(outbox)) = (connection.filter.as_mut(), connection.outbox.as_mut()) else {
            return true;
        };
        let (sealed, added) = filter.seal(outbox, scratch, &mut core.pools);
        core.counters.outboxes_grew(added);
        match sealed {
            Ok(taken) => {
                core.counters.outboxes_shrank(taken);
                let is_traced = connection.flags.has(Flags::TRACED);
                if outbox.is_empty()
                    && let Some(outbox) = connection.outbox.take()
                {
                    core.pools.return_outbox(outbox);
                }
                if is_traced {
                    self.trace_left(token, taken);
                }
                true
            }
            Err(error) => {
                tracing::debug!(peer = %core.peers.of(token), %error, "closing: the filter cannot send");
                self.log_panic_of_filter(token, &error);
                self.core.ask_close_for(token, Flags::CLOSE, CloseReason::Filter, error.into());
                self.begin_close(token);
                false
            }
        }
    }

    /// Says so where a filter failed by a panic: that is no fault of the peer's.
    #[cold]
    fn log_panic_of_filter(&self, token: Token, error: &FilterError) {
        let (Some(panic), Some(connection)) = (error.panic(), self.core.slab.get(token)) else { return };
        if let Served::Connections(host) = &self.services[usize::from(connection.service)] {
            tracing::error!(
                service = host.name(),
                peer = %self.core.peers.of(token),
                panic,
                "a filter panicked; its connection is closed, the others go on"
            );
        }
    }

    /// Everything was sent: has the filter say good-bye; says whether there was something to say.
    pub(super) fn end_filter(&mut self, token: Token) -> bool {
        let Self { core, scratch, .. } = self;
        let Some(filter) = core.slab.get_mut(token).and_then(|connection| connection.filter.as_mut()) else {
            return false;
        };
        let (ended, added) = filter.end(scratch, &mut core.pools);
        core.counters.outboxes_grew(added);
        if let Err(error) = ended {
            self.log_panic_of_filter(token, &error);
        }
        added > 0
    }

    /// A stream that ended without a good-bye may have been cut off by anybody: what is left of it is no message.
    pub(super) fn drop_what_was_cut_off(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        if connection.filter.as_ref().is_some_and(|filter| !filter.ended)
            && let Some(carry) = connection.carry.take()
        {
            self.core.pools.return_carry(carry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_a_second_is_said_with_the_number_of_the_others() {
        let mut failures = Failures::default();
        let mut at = |ms| failures.count(Duration::from_millis(ms));
        assert_eq!([at(5), at(6), at(1_004), at(1_005), at(1_006)], [Some(0), None, None, Some(2), None]);
        assert_eq!([at(60_000), at(61_000)], [Some(1), Some(0)]);
    }
}
