//! The life of a connection: how it begins, what is due after something happened to it, and how it ends.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;

use bytes::Bytes;

use crate::acceptor::{EXHAUSTED, is_exhausted};
use crate::address::Peer;
use crate::connection::{CloseReason, Flags, State};
use crate::core::{Deferred, MakeSessionHere};
use crate::counters::Refusal;
use crate::driver::{Driver, ListenerId, Route, Sent, Token};
use crate::listener::reset_on_close;
use crate::share::SHARE_BYTES;
use crate::wheel::Tick;

use super::Reactor;

/// How often one connection may go from sending to decoding and back before others have their turn.
const ROUNDS: usize = 16;

/// What a full outbox that was emptied counts as in the share of its connection, whose service may fill it again: a peer
/// that reads as fast as it is sent to gets a few of them in one turn.
const DRAINED_BYTES: usize = SHARE_BYTES / 4;

/// How long accepting pauses when the kernel has no descriptor or no memory for a connection.
const ACCEPT_PAUSE_MS: u32 = 100;

/// Connections that have a little to send wait until they are so many, or all that came was handled.
const TOGETHER: usize = 32;

/// Bytes in an outbox from which it does not wait for what else a turn brings.
const TOGETHER_BYTES: usize = 16 << 10;

/// Payloads up to this size are copied where several leave together.
const SMALL_BYTES: usize = 512;

impl<D: Driver> Reactor<D> {
    pub(super) fn accepted(&mut self, listener: ListenerId, incoming: D::Incoming, peer: Peer) {
        match self.admit(listener, peer) {
            None => self.driver.refuse(incoming),
            Some(token) => {
                let attached = self.driver.attach(token, incoming);
                self.begin(token, listener, attached);
            }
        }
        if let Some(again) = self.pace.spend(self.core.now) {
            self.pause_accepting(listener, again);
        }
    }

    pub(super) fn adopt(&mut self, listener: ListenerId, socket: OwnedFd, peer: Peer) {
        let Some(token) = self.admit(listener, peer) else { return reset_on_close(&socket) };
        let adopted = self.driver.adopt(token, socket);
        self.begin(token, listener, adopted);
    }

    /// Finds room for a connection, or counts why there is none.
    fn admit(&mut self, listener: ListenerId, peer: Peer) -> Option<Token> {
        let (shared, limits) = (&self.core.shared, &self.core.limits);
        let refuse = |refusal: Refusal| {
            self.core.tally(listener).refused[refusal.index()].add(1);
            None
        };
        if self.core.draining {
            return refuse(Refusal::Shutdown);
        }
        if !shared.count_in(limits.connections) {
            return refuse(Refusal::Connections);
        }
        let counted = peer.ip().filter(|_| limits.connections_per_peer != 0);
        if let Some(ip) = counted
            && !shared.peer_in(ip, limits.connections_per_peer)
        {
            shared.count_out();
            return refuse(Refusal::Peer);
        }
        let filtered = self.filters[usize::from(listener)].is_some();
        let state = if filtered { State::Handshaking } else { State::Open };
        let Some(token) = self.core.insert(listener, peer, state) else {
            self.core.shared.count_out();
            if let Some(ip) = counted {
                self.core.shared.peer_out(ip);
            }
            self.core.tally(listener).refused[Refusal::Room.index()].add(1);
            return None;
        };
        if let Some(connection) = self.core.slab.get_mut(token).filter(|_| counted.is_some()) {
            connection.flags.set(Flags::PEER_COUNTED);
        }
        Some(token)
    }

    /// Hands an admitted connection to its service, where the driver could take it.
    fn begin(&mut self, token: Token, listener: ListenerId, attached: io::Result<()>) {
        if let Err(error) = attached {
            tracing::debug!(%error, "the driver could not take a connection");
            self.core.tally(listener).refused[Refusal::Room.index()].add(1);
            self.core.live.set(token, 0);
            return self.forget(token);
        }
        let tally = self.core.tally(listener);
        tally.accepted.add(1);
        tally.connections.add(1);
        if self.filters[usize::from(listener)].is_some() {
            self.begin_filter(token);
        } else {
            self.open(token, listener);
        }
        self.settle(token);
    }

    /// Tells the service of an accepted connection.
    pub(super) fn open(&mut self, token: Token, service: u16) {
        let (host, core) = self.host(service);
        if host.open(core, token) {
            self.schedule_opening(token);
        } else {
            core.tally(service).refused[Refusal::Service.index()].add(1);
            core.ask_close(token, Flags::CLOSE, CloseReason::Refused);
        }
    }

    pub(super) fn accept_failed(&mut self, listener: ListenerId, error: &io::Error) {
        let tally = self.core.tally(listener);
        tally.accept_errors.add(1);
        if !is_exhausted(error) {
            tracing::debug!(%error, "a connection went before it was accepted");
            return;
        }
        if tally.accept_pauses.get() == 0 {
            tracing::warn!(%error, "{EXHAUSTED}");
        }
        self.pause_accepting(listener, self.core.now.after(ACCEPT_PAUSE_MS));
    }

    /// Stops accepting for a while, on account of a listener. What was under way may still come in.
    fn pause_accepting(&mut self, listener: ListenerId, until: Tick) {
        if self.accept_again.is_none() {
            self.core.tally(listener).accept_pauses.add(1);
            for listener in &self.listening {
                self.driver.accept(*listener, false);
            }
        }
        self.accept_again = Some(until);
    }

    /// Begins an outbound connection.
    fn dial(&mut self, service: u16, route: &Route, timeout_ms: u32, session: MakeSessionHere) {
        let peer = match route.to {
            crate::address::Target::Tcp(address) => address.into(),
            crate::address::Target::Unix(_) => Peer::UNIX,
        };
        self.core.shared.count_in(0);
        let Some(token) = self.core.insert(service, peer, State::Opening) else {
            // Without a slot there is no context to report the failure in: count it as what it is.
            self.core.shared.count_out();
            self.core.tally(service).refused[Refusal::Room.index()].add(1);
            return;
        };
        let (host, _) = self.host(service);
        let session = session(host);
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.session = session;
        }
        if self.core.draining {
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, "the engine is shutting down");
            self.connect_failed(token, &error);
            return self.forget(token);
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
        if let Err(error) = result {
            self.connect_failed(token, &error);
            self.driver.close(token, true);
            return self.run_deferred();
        }
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
        self.core.tally(service).closed[CloseReason::ConnectFailed(error.kind()).index()].add(1);
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
    /// came, if the driver calls the kernel for each send: it is cheaper to receive from several connections and then to
    /// send to them than to change between the two, and a client that waits for several of them is woken once.
    #[inline]
    pub(super) fn settle_received(&mut self, token: Token) {
        if D::SENDS_AT_ONCE
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
        } else {
            self.settle(token);
        }
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

    /// Does what callbacks wanted done for others, until they want nothing more.
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
                        Some(connection) if connection.takes_output() => self.pass_on(place.token, payload, is_one),
                        _ => self.core.counters.stale.add(1),
                    },
                    Deferred::Close { place, flushed } => {
                        if self.core.at(place).is_some() {
                            let how = if flushed { Flags::CLOSE_FLUSHED } else { Flags::CLOSE };
                            self.core.ask_close(place.token, how, CloseReason::Service);
                            self.settle_one(place.token);
                        } else {
                            self.core.counters.stale.add(1);
                        }
                    }
                    Deferred::Dial { service, route, timeout_ms, session } => {
                        self.dial(service, &route, timeout_ms, session);
                    }
                }
            }
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
                if connection.flags.has(Flags::CHOKED) && connection.outbox_len() <= self.core.limits.outbox_low() {
                    if connection.share.is_spent(self.core.turn) {
                        self.core.mark(token);
                        return false;
                    }
                    connection.share.spend(self.core.turn, DRAINED_BYTES);
                    connection.flags.clear(Flags::CHOKED);
                    let (host, core) = self.host(service);
                    host.drained(core, token);
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
                if connection.flags.has(Flags::ENDED) {
                    self.drop_what_was_cut_off(token);
                    let (host, core) = self.host(service);
                    host.end(core, token);
                    return true;
                }
                false
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
                if !connection.flags.has(Flags::SHUT) {
                    connection.flags.set(Flags::SHUT);
                    self.driver.shutdown(token);
                    let linger_ms = self.deadlines[usize::from(service)].linger_ms;
                    self.set_phase(token, linger_ms);
                }
                false
            }
            State::Closed => false,
        }
    }

    /// Hands the outbox to the driver; says whether the connection still lives.
    #[inline]
    pub(super) fn flush(&mut self, token: Token) -> bool {
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
            match self.driver.send(token, outbox) {
                Sent::Now(count) => {
                    outbox.consume(count, &mut self.core.pools);
                    connection.last_write = self.core.now;
                    connection.flags.clear(Flags::STUCK);
                    let service = connection.service;
                    self.core.tally(service).bytes_out.add(count as u64);
                    self.core.counters.outbox_bytes.sub(count as u64);
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
        self.core.live.set(token, 0);
        self.core.wheel.cancel(&mut self.core.slab, token);
        self.core.groups.leave_all(&mut self.core.slab, token);
        let tally = self.core.tally(service);
        tally.closed[reason.index()].add(1);
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
    }

    fn forget(&mut self, token: Token) {
        let Some(connection) = self.core.slab.remove(token) else { return };
        if let Some(outbox) = connection.outbox {
            self.core.counters.outbox_bytes.sub(outbox.len() as u64);
            self.core.pools.return_outbox(outbox);
        }
        if let Some(filter) = connection.filter {
            let left = filter.dissolve(&mut self.core.pools);
            self.core.counters.outbox_bytes.sub(left as u64);
        }
        self.core.shared.count_out();
        if let Some(ip) = connection.peer.ip().filter(|_| connection.flags.has(Flags::PEER_COUNTED)) {
            self.core.shared.peer_out(ip);
        }
    }
}
