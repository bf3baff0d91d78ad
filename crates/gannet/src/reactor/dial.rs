//! Outbound connections: how they begin, and how it is told that one is up or will not be.

use std::io;

use crate::address::Peer;
use crate::close_reason::CloseReason;
use crate::connection::{Flags, State};
use crate::core::MakeSessionHere;
use crate::counters::RefusalReason;
use crate::drain::Departure;
use crate::driver::Driver;
use crate::ids::Token;
use crate::route::Route;

use super::Reactor;
use super::racing::Failed;

impl<D: Driver> Reactor<D> {
    /// Begins an outbound connection.
    pub(super) fn dial(&mut self, service: u16, mut route: Route, timeout_ms: u32, session: MakeSessionHere) {
        route.keepalive.get_or_insert(self.core.keepalive);
        let route = &route;
        let peer = match route.to {
            crate::address::Target::Tcp(address) => address.into(),
            crate::address::Target::Unix(_) => Peer::UNIX,
        };
        self.core.shared.totals.connections.enter(0);
        let Some(token) = self.core.insert(service, peer, State::Connecting) else {
            // Without a slot there is no context to report the failure in: count it as what it is.
            self.core.shared.totals.connections.leave();
            self.core.tally(service).refused[RefusalReason::Room.index()].add(1);
            return;
        };
        let (host, _) = self.host(service);
        let (session, auto_pause) = (session(host), host.auto_pause());
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.session = session;
            connection.set_auto_pause(auto_pause);
        }
        if self.core.departure == Departure::All {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "the engine is shutting down");
            self.connect_failed(token, &error);
            return self.forget(token);
        }
        if !route.others.is_empty() {
            self.begin_race(token, service, session, route, timeout_ms);
            match self.driver.connect(token, route) {
                Ok(()) => self.pace_race(token),
                Err(error) => {
                    self.connect_failed(token, &error);
                    self.forget(token);
                }
            }
            return;
        }
        let begun = self.dial_through(token, route).and_then(|()| self.driver.connect(token, route));
        match begun {
            Ok(()) => self.set_phase(token, timeout_ms),
            Err(error) => {
                self.connect_failed(token, &error);
                self.forget(token);
            }
        }
    }

    pub(super) fn connected(&mut self, token: Token, result: io::Result<()>) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        if connection.state() != State::Connecting {
            return;
        }
        if let Err(error) = result.and_then(|()| self.attempt_connected(token)) {
            self.connect_failed(token, &error);
            self.driver.close(token, true);
            return self.run_deferred();
        }
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        if connection.filter.is_some() {
            connection.become_state(State::Handshaking);
            self.start_filter(token);
        } else {
            self.up(token);
        }
        self.settle(token);
    }

    /// Tells the service that an outbound connection is up.
    pub(super) fn up(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        connection.become_state(State::Open);
        connection.flags.clear(Flags::PHASE);
        (connection.last_read, connection.last_write) = (self.core.now, self.core.now);
        let service = connection.service;
        let tally = self.core.tally(service);
        tally.connected.add(1);
        tally.connections.add(1);
        let (host, core) = self.host(service);
        host.connected(core, token);
        self.schedule_first_message(token);
    }

    /// Tells the service that an outbound connection will not be; the slot stays for the driver's last event.
    pub(super) fn connect_failed(&mut self, token: Token, error: &io::Error) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        connection.become_state(State::Closed);
        let service = connection.service;
        self.core.live.set(token, 0);
        self.core.wheel.cancel(&mut self.core.slab, token);
        self.core.groups.leave_all(token);
        let of_race;
        let error = match self.attempt_failed(token, error) {
            Failed::Connection => error,
            Failed::Race(error) => {
                of_race = error;
                &of_race
            }
            Failed::Attempt => return,
        };
        self.core.tally(service).count_closed(CloseReason::ConnectFailed(error.kind()));
        let (host, core) = self.host(service);
        host.connect_failed(core, token, error);
    }
}
