//! Connecting to a host with several addresses: attempts side by side, of which the first that is up wins (RFC 8305 §5).
//!
//! Each attempt is a connection that is being established, without a session. The winner gets the session; the others end without a
//! word to the service.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::net::SocketAddr;

use crate::address::Target;
use crate::connection::{NO_SESSION, State};
use crate::drain::Departure;
use crate::driver::Driver;
use crate::ids::Token;
use crate::route::Route;
use crate::wheel::Tick;

use super::Reactor;

/// How long an attempt may take before the next one begins beside it (RFC 8305 §5, Connection Attempt Delay).
const ATTEMPT_DELAY_MS: u32 = 250;

/// Attempts for one connection.
struct Race {
    service: u16,
    session: u32,
    route: Route,
    /// Addresses that were not tried yet.
    untried: VecDeque<SocketAddr>,
    /// Attempts under way.
    attempts: Vec<Token>,
    by: Tick,
    /// What the first attempt that failed said: it was for the address that comes first.
    error: Option<io::Error>,
}

/// All races of a reactor; empty where nobody connects to a host with several addresses.
#[derive(Default)]
pub(super) struct Races {
    all: HashMap<u64, Race>,
    of: HashMap<Token, u64>,
    next: u64,
}

impl Races {
    /// Whether nobody races.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.of.is_empty()
    }
}

/// What the failure of an attempt means.
pub(super) enum Failed {
    /// Nothing races: the connection failed.
    Connection,
    /// The last attempt of a race failed, and so does the connection, for this reason.
    Race(io::Error),
    /// Another attempt is under way.
    Attempt,
}

impl<D: Driver> Reactor<D> {
    /// Begins a race with the attempt that is `first`, where its route has more than one address.
    pub(super) fn begin_race(&mut self, first: Token, service: u16, session: u32, route: &Route, timeout_ms: u32) {
        let races = &mut self.races;
        let id = races.next;
        races.next += 1;
        races.of.insert(first, id);
        let by = self.core.now.after(timeout_ms);
        let untried = route.others.iter().copied().collect();
        let route = Route { others: Vec::new(), ..route.clone() };
        races.all.insert(id, Race { service, session, route, untried, attempts: vec![first], by, error: None });
        if let Some(connection) = self.core.slab.get_mut(first) {
            connection.session = NO_SESSION;
        }
    }

    /// Sets the deadline of an attempt that has begun: until the next one begins, or the end of them all.
    pub(super) fn pace_race(&mut self, token: Token) {
        let now = self.core.now;
        let Some(race) = self.races.of.get(&token).and_then(|id| self.races.all.get(id)) else { return };
        let left_ms = if race.by.is_before(now) { 0 } else { race.by.since(now) };
        let wait_ms = if race.untried.is_empty() { left_ms } else { left_ms.min(ATTEMPT_DELAY_MS) };
        self.set_phase(token, wait_ms);
    }

    /// An attempt's time is over: begins the next one beside it. Says whether it may go on.
    pub(super) fn begin_next_attempt(&mut self, token: Token) -> bool {
        let now = self.core.now;
        let Some(id) = self.races.of.get(&token).copied() else { return false };
        let Some(race) = self.races.all.get(&id) else { return false };
        if !now.is_before(race.by) {
            return false;
        }
        let left_ms = race.by.since(now);
        self.attempt(id);
        self.set_phase(token, left_ms);
        true
    }

    /// Tries the next address that can be tried; says whether there was one.
    fn attempt(&mut self, id: u64) -> bool {
        loop {
            let Some(race) = self.races.all.get_mut(&id) else { return false };
            if self.core.departure == Departure::All {
                return false;
            }
            let Some(address) = race.untried.pop_front() else { return false };
            let (service, route) = (race.service, Route { to: Target::Tcp(address), ..race.route.clone() });
            let Some(token) = self.core.insert(service, address.into(), State::Connecting) else { return false };
            self.core.shared.totals.connections.enter(0);
            match self.driver.connect(token, &route) {
                Ok(()) => {
                    if let Some(race) = self.races.all.get_mut(&id) {
                        race.attempts.push(token);
                    }
                    self.races.of.insert(token, id);
                    self.pace_race(token);
                    return true;
                }
                Err(error) => {
                    if let Some(race) = self.races.all.get_mut(&id) {
                        race.error.get_or_insert(error);
                    }
                    self.core.live.set(token, 0);
                    self.forget(token);
                }
            }
        }
    }

    /// An attempt is up: it gets the session, and the others end. Fails where its filter cannot be made.
    pub(super) fn attempt_connected(&mut self, token: Token) -> io::Result<()> {
        let Some(id) = self.races.of.remove(&token) else { return Ok(()) };
        let Some(race) = self.races.all.remove(&id) else { return Ok(()) };
        for other in race.attempts.into_iter().filter(|other| *other != token) {
            self.races.of.remove(&other);
            if let Some(connection) = self.core.slab.get_mut(other) {
                connection.become_state(State::Closed);
                self.core.live.set(other, 0);
                self.core.wheel.cancel(&mut self.core.slab, other);
                self.driver.close(other, true);
            }
        }
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.session = race.session;
        }
        let now = self.core.now;
        self.set_phase(token, if race.by.is_before(now) { 0 } else { race.by.since(now) });
        self.dial_through(token, &race.route)
    }

    /// An attempt failed; begins another one where nothing else is under way.
    pub(super) fn attempt_failed(&mut self, token: Token, error: &io::Error) -> Failed {
        let Some(id) = self.races.of.remove(&token) else { return Failed::Connection };
        let now = self.core.now;
        let Some(race) = self.races.all.get_mut(&id) else { return Failed::Connection };
        race.attempts.retain(|attempt| *attempt != token);
        race.error.get_or_insert_with(|| io::Error::new(error.kind(), error.to_string()));
        // The next address need not wait for the time of this one.
        let begun = now.is_before(race.by) && self.attempt(id);
        let Some(race) = self.races.all.get_mut(&id) else { return Failed::Connection };
        if begun || !race.attempts.is_empty() {
            return Failed::Attempt;
        }
        let session = mem::replace(&mut race.session, NO_SESSION);
        let error = race.error.take().unwrap_or_else(|| io::ErrorKind::NotConnected.into());
        self.races.all.remove(&id);
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.session = session;
        }
        Failed::Race(error)
    }
}
