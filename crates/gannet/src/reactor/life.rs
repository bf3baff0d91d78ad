//! The life of a connection: how it begins, what is due after something happened to it, and how it ends.

use std::io;
use std::mem;

use bytes::Bytes;

use crate::address::Peer;
use crate::connection::{CloseReason, Connection, Flags, State};
use crate::core::{Deferred, MakeSessionHere};
use crate::counters::Refusal;
use crate::driver::{Driver, Route, Sent, Token};
use crate::service::HalfClose;
use crate::share::SHARE_BYTES;

use super::Reactor;
use super::racing::Failed;

/// How often one connection may go from sending to decoding and back before others have their turn.
const ROUNDS: usize = 16;

/// What a full outbox that was emptied counts as in the share of its connection, whose service may fill it again: a peer
/// that reads as fast as it is sent to gets a few of them in one turn.
const DRAINED_BYTES: usize = SHARE_BYTES / 4;

/// Connections that have a little to send wait until they are so many, or all that came was handled.
const TOGETHER: usize = 32;

/// Bytes in an outbox from which it does not wait for what else a turn brings.
const TOGETHER_BYTES: usize = 16 << 10;

/// Payloads up to this size are copied where several leave together.
const SMALL_BYTES: usize = 512;

impl<D: Driver> Reactor<D> {
    /// Begins an outbound connection.
    fn dial(&mut self, service: u16, mut route: Route, timeout_ms: u32, session: MakeSessionHere) {
        route.keepalive.get_or_insert(self.core.shared.keepalive);
        let route = &route;
        let peer = match route.to {
            crate::address::Target::Tcp(address) => address.into(),
            crate::address::Target::Unix(_) => Peer::UNIX,
        };
        self.core.shared.connections.enter(0);
        let Some(token) = self.core.insert(service, peer, State::Opening) else {
            // Without a slot there is no context to report the failure in: count it as what it is.
            self.core.shared.connections.leave();
            self.core.tally(service).refused[Refusal::Room.index()].add(1);
            return;
        };
        let (host, _) = self.host(service);
        let (session, auto_pause) = (session(host), host.auto_pause());
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.session = session;
            connection.set_auto_pause(auto_pause);
        }
        if self.core.draining {
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
        if connection.state() != State::Opening {
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
        self.schedule_opening(token);
    }

    /// Tells the service that an outbound connection will not be; the slot stays for the driver's last event.
    pub(super) fn connect_failed(&mut self, token: Token, error: &io::Error) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        connection.become_state(State::Closed);
        let service = connection.service;
        self.core.live.set(token, 0);
        self.core.wheel.cancel(&mut self.core.slab, token);
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

    /// Does what is due for a connection after something happened to it, and then what that led to for others.
    #[inline]
    pub(super) fn settle(&mut self, token: Token) {
        self.settle_one(token);
        if !self.core.deferred.is_empty() {
            self.run_deferred();
        }
    }

    /// The same after bytes were received. Where a little has to be sent and nothing else is due, that waits for what else
    /// came, if the driver called the kernel for just this chunk: it is cheaper to receive from several connections and then
    /// to send to them than to change between the two, and a client that waits for several of them is woken once.
    #[inline]
    pub(super) fn settle_received(&mut self, token: Token, at_once: bool) {
        if at_once
            && self.core.deferred.is_empty()
            && let Some(connection) = self.core.slab.get(token)
            && !connection.is_halted()
            && !connection.has_more_to_decode()
            && (1..TOGETHER_BYTES).contains(&connection.outbox_len())
        {
            self.core.mark(token);
            if self.core.dirty.len() >= TOGETHER {
                self.settle_marked();
            }
        } else if !self.is_followed(token) {
            self.settle(token);
        }
    }

    /// Sends what an outbox has borrowed of the chunk that was handled, and copies what does not leave at once. Where that
    /// cannot be tried, a send is in flight that began before: it does not read what was borrowed since.
    pub(super) fn send_lent(&mut self, token: Token) {
        let closes = self.core.slab.get(token).is_none_or(|connection| connection.flags.has(Flags::CLOSE));
        if !closes {
            self.flush_by::<true>(token);
        }
        if let Some(outbox) = self.core.slab.get_mut(token).and_then(|connection| connection.outbox.as_mut()) {
            outbox.own();
        }
    }

    /// Whether what was received has its continuation in the next completion, and nothing is due before.
    #[inline]
    fn is_followed(&self, token: Token) -> bool {
        self.driver.receives_more(token)
            && self.core.deferred.is_empty()
            && self.core.slab.get(token).is_some_and(|connection| {
                !connection.is_halted() && !connection.has_more_to_decode() && !connection.flags.has(Flags::ENDED)
            })
    }

    /// Settles every connection on the list; those that need it once more wait for the next turn.
    pub(super) fn settle_marked(&mut self) {
        if self.core.dirty.is_empty() {
            return;
        }
        let mut marked = mem::take(&mut self.core.dirty);
        for token in marked.drain(..) {
            if let Some(connection) = self.core.slab.get_mut(token) {
                connection.flags.clear(Flags::DIRTY);
                self.settle(token);
            }
        }
        if self.core.dirty.is_empty() {
            self.core.dirty = marked;
        }
    }

    /// Does what callbacks wanted done for others, until they want nothing more. Where what is done leads to more and more,
    /// as with a service that dials again whenever it failed, the rest waits for the next turn.
    pub(super) fn run_deferred(&mut self) {
        while !self.core.deferred.is_empty() {
            let batch = mem::take(&mut self.core.deferred);
            let is_one = batch.len() == 1;
            for deferred in batch {
                match deferred {
                    Deferred::Broadcast { group, payload, except } => {
                        let members = self.core.groups.members(group).to_vec();
                        for token in members {
                            if Some(token) != except {
                                self.pass_on(token, payload.clone(), is_one);
                            }
                        }
                    }
                    Deferred::Write { place, payload } => match self.core.at(place) {
                        Some(connection) if connection.takes_output() => {
                            self.core.fulfil(place.token, payload.len());
                            self.pass_on(place.token, payload, is_one);
                        }
                        _ => self.core.counters.stale.add(1),
                    },
                    Deferred::Close { place, mode } => {
                        if self.core.at(place).is_some() {
                            let how = mode.flags();
                            self.core.ask_close(place.token, how, CloseReason::Service);
                            self.settle_one(place.token);
                        } else {
                            self.core.counters.stale.add(1);
                        }
                    }
                    Deferred::ShutWrite { place } => {
                        if self.core.at(place).is_none() {
                            self.core.counters.stale.add(1);
                        } else if self.core.shut_write(place.token) {
                            self.settle_one(place.token);
                        }
                    }
                    Deferred::Dial { service, route, timeout_ms, session } => {
                        self.dial(service, route, timeout_ms, session);
                    }
                }
            }
            if self.deferred_rounds == 0 {
                break;
            }
            self.deferred_rounds -= 1;
        }
        self.core.counters.groups.set(self.core.groups.len() as u64);
    }

    /// Queues what somebody else sends to a connection. Where it is all that is to be sent it leaves at once, while the
    /// connection is in the cache; where more is to come it leaves at the end of the turn, with that, or before its outbox
    /// gets long.
    fn pass_on(&mut self, token: Token, payload: Bytes, at_once: bool) {
        if at_once || payload.len() > SMALL_BYTES {
            self.core.append_shared(token, payload);
        } else {
            // One piece for the kernel, where each shared payload would be one of its own.
            self.core.append(token, &[&payload]);
        }
        let queued = self.core.slab.get(token).map_or(0, |connection| connection.outbox_len());
        if at_once || queued >= TOGETHER_BYTES {
            self.settle_one(token);
        } else {
            self.core.mark(token);
        }
    }

    fn settle_one(&mut self, token: Token) {
        for _ in 0..ROUNDS {
            let Some(connection) = self.core.slab.get_mut(token) else { return };
            if connection.state() == State::Closed {
                return;
            }
            if connection.flags.has(Flags::CLOSE) {
                return self.begin_close(token);
            }
            let sends = connection.outbox.is_some() || connection.filter.is_some();
            if sends && connection.state() != State::Opening && !self.flush(token) {
                return;
            }
            if self.core.slab.get(token).is_some_and(Connection::is_at_rest) {
                return;
            }
            if !self.advance(token) {
                return self.sync_receiving(token);
            }
        }
        self.core.mark(token);
        self.sync_receiving(token);
    }

    /// Takes a connection one step on in its life, and says whether there may be another.
    fn advance(&mut self, token: Token) -> bool {
        let Some(connection) = self.core.slab.get_mut(token) else { return false };
        let service = connection.service;
        match connection.state() {
            State::Opening => {
                if connection.flags.has(Flags::CLOSE_FLUSHED) {
                    connection.flags.set(Flags::CLOSE);
                    return true;
                }
                false
            }
            State::Handshaking => self.advance_handshake(token),
            State::Open => {
                if connection.flags.has(Flags::CLOSE_FLUSHED) {
                    connection.become_state(State::Draining);
                    connection.flags.clear(Flags::PHASE.or(Flags::TIMER));
                    if let Some(carry) = connection.carry.take() {
                        self.core.pools.return_carry(carry);
                    }
                    return true;
                }
                if connection.flags.has(Flags::SHUT_WRITE)
                    && !connection.flags.has(Flags::SHUT)
                    && connection.outbox_len() == 0
                {
                    return self.end_sending(token);
                }
                if connection.flags.has(Flags::OVER_HIGH) && connection.outbox_len() <= self.core.limits.outbox_low() {
                    if connection.share.is_spent(self.core.turn) {
                        self.core.mark(token);
                        return false;
                    }
                    connection.share.spend(self.core.turn, DRAINED_BYTES);
                    connection.flags.clear(Flags::OVER_HIGH);
                    connection.end_pause(Flags::CHOKED, self.core.now);
                    let (host, core) = self.host(service);
                    host.writable(core, token);
                    return true;
                }
                if connection.is_halted() {
                    return false;
                }
                if connection.has_more_to_decode() {
                    if connection.share.is_spent(self.core.turn) {
                        // Others first: the rest has the next turn's share.
                        self.core.mark(token);
                        return false;
                    }
                    let (host, core) = self.host(service);
                    host.resume(core, token);
                    return true;
                }
                connection.flags.has(Flags::ENDED) && self.advance_half_closed(token)
            }
            State::Draining => {
                if connection.outbox_len() > 0 {
                    return false;
                }
                if connection.filter.is_some() && self.end_filter(token) {
                    return true;
                }
                let Some(connection) = self.core.slab.get_mut(token) else { return false };
                if connection.flags.has(Flags::ENDED) || connection.reason().resets() {
                    connection.flags.set(Flags::CLOSE);
                    return true;
                }
                if !connection.flags.has(Flags::LINGERS) {
                    connection.flags.set(Flags::LINGERS);
                    if !connection.flags.has(Flags::SHUT) {
                        connection.flags.set(Flags::SHUT);
                        self.driver.shutdown(token);
                    }
                    let linger_ms = self.deadlines[usize::from(service)].linger_ms;
                    self.set_phase(token, linger_ms);
                }
                false
            }
            State::Closed => false,
        }
    }

    /// Ends our direction of the stream of an open connection, where everything was sent: its filter's good-bye goes before.
    /// Says whether there may be another step.
    #[cold]
    fn end_sending(&mut self, token: Token) -> bool {
        if self.end_filter(token) {
            return true;
        }
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.flags.set(Flags::SHUT);
            self.driver.shutdown(token);
        }
        true
    }

    /// Takes an open connection one step on whose peer ended its stream, when all before was decoded.
    fn advance_half_closed(&mut self, token: Token) -> bool {
        let Some(connection) = self.core.slab.get_mut(token) else { return false };
        let service = connection.service;
        if !connection.flags.has(Flags::HALF_CLOSED) {
            connection.flags.set(Flags::HALF_CLOSED);
            self.drop_what_was_cut_off(token);
            let (host, core) = self.host(service);
            if host.finish(core, token) {
                return true;
            }
        }
        let queued = self.core.slab.get(token).map_or(0, |connection| connection.outbox_len());
        let (host, core) = self.host(service);
        let wish = host.half_closed(core, token);
        let Some(connection) = core.slab.get_mut(token) else { return false };
        if connection.outbox_len() > queued || connection.flags.has(Flags::CLOSE.or(Flags::CLOSE_FLUSHED)) {
            return true;
        }
        // Where both directions have ended there is nothing left to do with it.
        if connection.flags.has(Flags::SHUT_WRITE) || (wish == HalfClose::Close && connection.offloads_pending == 0) {
            connection.ask_close(Flags::CLOSE_FLUSHED, CloseReason::Peer);
            return true;
        }
        // It goes on to send. Nothing is received any more that would show a peer which is gone.
        if !connection.flags.has(Flags::WATCHED) {
            connection.flags.set(Flags::WATCHED);
            let half_close_ms = self.deadlines[usize::from(service)].half_close_ms;
            self.set_phase(token, half_close_ms);
            self.sync_receiving(token);
            self.driver.watch(token);
        }
        false
    }

    /// Hands the outbox to the driver; says whether the connection still lives.
    #[inline]
    pub(super) fn flush(&mut self, token: Token) -> bool {
        self.flush_by::<false>(token)
    }

    /// The same, or in one attempt what leaves at once.
    #[inline]
    fn flush_by<const AT_ONCE: bool>(&mut self, token: Token) -> bool {
        loop {
            let Some(connection) = self.core.slab.get_mut(token) else { return false };
            if connection.filter.is_some() && !self.seal(token) {
                return false;
            }
            let Some(connection) = self.core.slab.get_mut(token) else { return false };
            let Some(outbox) = connection.wire().as_mut() else { return true };
            if outbox.is_in_flight() {
                return true;
            }
            if outbox.is_empty() {
                if let Some(outbox) = connection.wire().take() {
                    self.core.pools.return_outbox(outbox);
                }
                return true;
            }
            let sent = if AT_ONCE { self.driver.send_at_once(token, outbox) } else { self.driver.send(token, outbox) };
            match sent {
                Sent::Now(0) => {}
                Sent::Now(count) => {
                    let is_whole = count == outbox.len();
                    if !is_whole {
                        outbox.consume(count, &mut self.core.pools);
                    }
                    connection.last_write = self.core.now;
                    connection.flags.clear(Flags::STUCK);
                    let (service, is_filtered) = (connection.service, connection.filter.is_some());
                    let sent = if is_whole { connection.wire().take() } else { None };
                    self.core.tally(service).bytes_out.add(count as u64);
                    self.core.counters.outbox_bytes.sub(count as u64);
                    if let Some(outbox) = sent {
                        self.core.pools.return_outbox(outbox);
                        if !is_filtered {
                            return true;
                        }
                    }
                }
                Sent::Later => {
                    outbox.set_in_flight(true);
                    if !connection.flags.has(Flags::STUCK) {
                        connection.flags.set(Flags::STUCK);
                        connection.stuck_since = self.core.now;
                        let slow_ms = self.deadlines[usize::from(connection.service)].slow_write_ms;
                        if slow_ms != 0 {
                            self.core.due(token, self.core.now.after(slow_ms));
                        }
                    }
                    return true;
                }
                Sent::Failed(error) => {
                    connection.ask_close(Flags::CLOSE, CloseReason::Io(error.kind()));
                    self.begin_close(token);
                    return false;
                }
            }
            if AT_ONCE {
                return true;
            }
        }
    }

    pub(super) fn sent(&mut self, token: Token, result: io::Result<usize>) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let Some(outbox) = connection.wire().as_mut() else { return };
        outbox.set_in_flight(false);
        match result {
            Ok(count) => {
                if count > 0 {
                    outbox.consume(count, &mut self.core.pools);
                    connection.last_write = self.core.now;
                    connection.flags.clear(Flags::STUCK);
                    let service = connection.service;
                    self.core.tally(service).bytes_out.add(count as u64);
                    self.core.counters.outbox_bytes.sub(count as u64);
                }
            }
            Err(error) => connection.ask_close(Flags::CLOSE, CloseReason::Io(error.kind())),
        }
        self.settle(token);
    }

    /// Lets the driver receive where the connection wants to, and stops it where not.
    #[inline]
    fn sync_receiving(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let wants = connection.wants_input();
        if wants != connection.flags.has(Flags::RECEIVING) && connection.state() != State::Closed {
            if wants {
                connection.flags.set(Flags::RECEIVING);
            } else {
                connection.flags.clear(Flags::RECEIVING);
            }
            self.driver.receive(token, wants);
        }
    }

    /// Ends a connection: its session goes now, its slot when the driver has done with it.
    pub(super) fn begin_close(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let (service, reason) = (connection.service, connection.reason());
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
        // Where bytes are lost, a clean end of the stream would say that it is whole.
        let reset = reason.resets() || connection.flags.has(Flags::RESET) || connection.outbox_len() > 0;
        if let Some(carry) = connection.carry.take() {
            self.core.pools.return_carry(carry);
        }
        let offloads = connection.offloads_pending;
        self.core.live.set(token, 0);
        if offloads > 0 {
            self.core.shared.offload.disowned(offloads);
        }
        self.core.wheel.cancel(&mut self.core.slab, token);
        self.core.groups.leave_all(&mut self.core.slab, token);
        let tally = self.core.tally(service);
        tally.count_closed(reason);
        tally.connections.sub(1);
        let (host, core) = self.host(service);
        host.close(core, token, reason);
        // The service may know of something that was not sent yet.
        let reset = reset || self.core.slab.get(token).is_some_and(|connection| connection.flags.has(Flags::RESET));
        self.driver.close(token, reset);
    }

    /// The driver has done with a connection: everything of it goes.
    pub(super) fn closed(&mut self, token: Token) {
        self.forget(token);
        self.take_waiting();
    }

    pub(super) fn forget(&mut self, token: Token) {
        let Some(connection) = self.core.slab.remove(token) else { return };
        if let Some(outbox) = connection.outbox {
            self.core.counters.outbox_bytes.sub(outbox.len() as u64);
            self.core.pools.return_outbox(outbox);
        }
        if let Some(filter) = connection.filter {
            let left = filter.dissolve(&mut self.core.pools);
            self.core.counters.outbox_bytes.sub(left as u64);
        }
        match self.accepting.quota(connection.service) {
            Some(quota) => quota.leave(&self.core.shared, &self.core.limits, connection.peer),
            None => self.core.shared.connections.leave(),
        }
    }
}
