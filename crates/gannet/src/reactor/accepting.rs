//! Accepting: which connections are let in, which are refused, which have to wait, and when accepting pauses.
//!
//! A limit refuses a connection. A lack of room (no descriptor, no slot) makes it wait: in the kernel's backlog, or in the
//! reactor's queue if it was accepted already.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::address::Peer;
use crate::close_reason::CloseReason;
use crate::connection::{Flags, State};
use crate::counters::RefusalReason;
use crate::driver::Driver;
use crate::exhaustion::{EXHAUSTED, is_exhausted, is_process_full};
use crate::host::Served;
use crate::ids::{ListenerId, Token};
use crate::listener::{OwnSocket, begin, dismiss};
use crate::quota::Quota;
use crate::steps::Own;
use crate::wheel::Tick;

use super::Reactor;

/// How long accepting pauses when there is no descriptor, no memory or no slot for a connection.
const ACCEPT_PAUSE_MS: u32 = 100;

/// The share of slots that operational listeners may have for themselves: one of so many.
const LARGEST_RESERVE: u32 = 8;

/// A connection that was accepted.
pub(super) enum Arrival<I> {
    /// By this reactor's driver.
    Incoming(I),
    /// By the acceptor.
    Socket(OwnedFd),
}

/// A connection that was accepted and has to wait for room.
struct Waiting<I> {
    listener: ListenerId,
    peer: Peer,
    arrival: Arrival<I>,
}

/// The class of a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Ordinary,
    Operational,
}

impl Class {
    /// Operational listeners come first: the reserve is theirs.
    const ALL: [Self; 2] = [Self::Operational, Self::Ordinary];
}

/// What a reactor knows of its listeners, and of connections that are not in yet.
pub(super) struct Accepting<I> {
    /// By service; nothing for outbound ones.
    quotas: Vec<Option<Arc<Quota>>>,
    /// Whether new connections are refused, by service.
    suspended: Vec<bool>,
    /// Slots and descriptors that only operational listeners may take.
    reserve: u32,
    /// When accepting goes on, where it is paused, by class.
    again: [Option<Tick>; 2],
    /// Accepted connections without room, by class. The acceptor posts no more of them while there are any.
    waiting: [VecDeque<Waiting<I>>; 2],
}

impl<I> Accepting<I> {
    /// Of a reactor with so many services, of which these listen here.
    pub(super) fn new(services: usize, listening: &[ListenerId]) -> Self {
        let mut quotas = vec![None; services];
        for listener in listening {
            quotas[usize::from(*listener)] = Some(Arc::default());
        }
        Self {
            quotas,
            suspended: vec![false; services],
            reserve: 0,
            again: [None; 2],
            waiting: [VecDeque::new(), VecDeque::new()],
        }
    }

    /// The quota of a service that listens.
    pub(super) fn quota(&self, service: u16) -> Option<&Arc<Quota>> {
        self.quotas[usize::from(service)].as_ref()
    }

    /// Makes room for so many services.
    pub(super) fn make_room(&mut self, services: usize) {
        self.quotas.resize(services, None);
        self.suspended.resize(services, false);
    }

    /// Sets the quota of a service that listens.
    pub(super) fn set_quota(&mut self, service: u16, quota: Arc<Quota>) {
        self.quotas[usize::from(service)] = Some(quota);
    }

    /// Whether a connection of this service waits for room.
    pub(super) fn has_waiting(&self, service: u16) -> bool {
        self.waiting.iter().flatten().any(|waiting| waiting.listener == service)
    }

    /// Whether new connections of a listener are refused for a while.
    pub(super) fn is_suspended(&self, listener: ListenerId) -> bool {
        self.suspended[usize::from(listener)]
    }

    /// Has a listener whose socket is the acceptor's refuse what that sends, or take it again.
    pub(super) fn suspend(&mut self, listener: ListenerId, is_suspended: bool) {
        self.suspended[usize::from(listener)] = is_suspended;
    }

    /// Has a listener refuse new connections where another one does, whose socket it has got.
    pub(super) fn suspend_as(&mut self, from: ListenerId, to: ListenerId) {
        self.suspended[usize::from(to)] = self.suspended[usize::from(from)];
    }

    /// Whether a service is for operators and health checks.
    pub(super) fn is_operational(&self, service: u16) -> bool {
        self.quota(service).is_some_and(|quota| quota.operational)
    }

    fn class(&self, listener: ListenerId) -> Class {
        if self.is_operational(listener) { Class::Operational } else { Class::Ordinary }
    }

    /// The earliest moment at which accepting goes on.
    pub(super) fn next(&self) -> Option<Tick> {
        let [ordinary, operational] = self.again;
        match (ordinary, operational) {
            (Some(one), Some(other)) => Some(if other.is_before(one) { other } else { one }),
            (one, other) => one.or(other),
        }
    }
}

impl<D: Driver> Reactor<D> {
    /// Sets the quotas of all services. If any listener is operational, some slots and descriptors are kept for those.
    pub(crate) fn quotas(&mut self, quotas: Vec<Option<Arc<Quota>>>) {
        self.accepting.quotas = quotas;
        self.renew_reserve();
    }

    /// Keeps slots and descriptors for operational listeners, if there are any.
    pub(super) fn renew_reserve(&mut self) {
        let quotas = &self.accepting.quotas;
        let is_operational = |quota: &Option<Arc<Quota>>| quota.as_ref().is_some_and(|quota| quota.operational);
        if quotas.iter().any(is_operational) {
            let most = self.core.slab.limit() / LARGEST_RESERVE;
            let all = (0..quotas.len()).filter(|index| is_operational(&quotas[*index]));
            let all: Vec<ListenerId> = all.map(|index| index as ListenerId).collect();
            self.accepting.reserve = self.core.limits.operational_reserve.min(most);
            self.driver.reserve(self.core.limits.operational_reserve, &all);
        }
    }

    /// Takes the sockets that it listens on.
    pub(crate) fn listen(&mut self, sockets: Vec<(ListenerId, Own)>) -> io::Result<()> {
        sockets.into_iter().try_for_each(|(listener, own)| self.take_socket(listener, own))
    }

    /// Listens on a socket, or takes datagrams from it; nothing is accepted yet.
    pub(super) fn take_socket(&mut self, listener: ListenerId, own: Own) -> io::Result<()> {
        match own.socket {
            OwnSocket::Listen(socket) => {
                begin(&socket)?;
                self.driver.listen(listener, socket)?;
                if own.is_shared {
                    self.driver.share(listener);
                }
                self.listening.push(listener);
                Ok(())
            }
            OwnSocket::Datagram(socket) => self.driver.bind(listener, socket),
        }
    }

    /// Begins to accept.
    pub(crate) fn begin_accepting(&mut self) {
        Class::ALL.into_iter().for_each(|class| self.accept(class, true));
    }

    pub(super) fn accepted(&mut self, listener: ListenerId, incoming: D::Incoming, peer: Peer) {
        self.arrived(listener, peer, Arrival::Incoming(incoming));
        // A health check must not wait for the pace of ordinary connections.
        if self.accepting.class(listener) == Class::Ordinary
            && let Some(again) = self.pace.spend(self.core.now)
        {
            self.pause_accepting(listener, Class::Ordinary, again);
        }
    }

    pub(super) fn adopt(&mut self, listener: ListenerId, socket: OwnedFd, peer: Peer) {
        if !self.serves(listener) {
            // The acceptor may know of a service before this reactor does.
            self.take_all_steps();
        }
        self.arrived(listener, peer, Arrival::Socket(socket));
    }

    /// Whether there is an instance of a service.
    fn serves(&self, listener: ListenerId) -> bool {
        matches!(self.services.get(usize::from(listener)), Some(Served::Connections(_)))
    }

    /// Takes in an accepted connection, or queues it if there is no room.
    fn arrived(&mut self, listener: ListenerId, peer: Peer, arrival: Arrival<D::Incoming>) {
        if !self.serves(listener) {
            return match arrival {
                Arrival::Incoming(incoming) => self.driver.refuse(incoming, b""),
                Arrival::Socket(socket) => dismiss(&socket, b""),
            };
        }
        if !self.accepting.is_suspended(listener)
            && let Err(refusal) = self.screen(listener, peer)
        {
            return self.turn_away(listener, arrival, refusal);
        }
        let class = self.accepting.class(listener);
        let is_first = self.accepting.waiting[class as usize].is_empty();
        if self.accepting.is_suspended(listener) || (is_first && self.has_room(class, &arrival)) {
            return self.take_in(listener, peer, arrival);
        }
        self.warn_of_exhaustion(listener, "the reactor is full");
        self.accepting.waiting[class as usize].push_back(Waiting { listener, peer, arrival });
        self.count_waiting();
        self.pause_accepting(listener, class, self.core.now.after(ACCEPT_PAUSE_MS));
    }

    /// Whether there is a slot for a connection, and a descriptor.
    fn has_room(&self, class: Class, arrival: &Arrival<D::Incoming>) -> bool {
        let kept = if class == Class::Operational { 0 } else { self.accepting.reserve };
        // One that the driver has accepted has its descriptor.
        let has_descriptor =
            matches!(arrival, Arrival::Incoming(_)) || self.driver.has_room(class == Class::Operational);
        has_descriptor && self.core.slab.room() > kept
    }

    /// Takes in waiting connections, as far as there is room now.
    #[inline]
    pub(super) fn take_waiting(&mut self) {
        if self.core.counters.waiting.get() > 0 {
            self.take_all_with_room();
        }
    }

    #[cold]
    fn take_all_with_room(&mut self) {
        for class in Class::ALL {
            while let Some(Waiting { arrival, .. }) = self.accepting.waiting[class as usize].front()
                && self.has_room(class, arrival)
                && let Some(waiting) = self.accepting.waiting[class as usize].pop_front()
            {
                self.take_in(waiting.listener, waiting.peer, waiting.arrival);
            }
        }
        self.count_waiting();
    }

    fn count_waiting(&self) {
        let waiting = self.accepting.waiting.iter().map(VecDeque::len).sum::<usize>();
        self.core.counters.waiting.set(waiting as u64);
    }

    fn take_in(&mut self, listener: ListenerId, peer: Peer, arrival: Arrival<D::Incoming>) {
        match (self.admit(listener, peer), arrival) {
            (Err(refusal), arrival) => self.turn_away(listener, arrival, refusal),
            (Ok(token), Arrival::Incoming(incoming)) => {
                let attached = self.driver.attach(token, incoming);
                self.begin(token, listener, attached);
            }
            (Ok(token), Arrival::Socket(socket)) => {
                let adopted = self.driver.adopt(token, socket);
                self.begin(token, listener, adopted);
            }
        }
    }

    /// Refuses an accepted connection.
    fn turn_away(&mut self, listener: ListenerId, arrival: Arrival<D::Incoming>, refusal: RefusalReason) {
        let farewell = self.farewell(listener, refusal);
        match arrival {
            Arrival::Incoming(incoming) => self.driver.refuse(incoming, farewell),
            Arrival::Socket(socket) => dismiss(&socket, farewell),
        }
    }

    /// What a connection is told that is not let in. Through a filter it would understand nothing yet, and to a load balancer
    /// the text is none of its own.
    fn farewell(&mut self, listener: ListenerId, refusal: RefusalReason) -> &'static [u8] {
        let is_proxied = self.accepting.quota(listener).is_some_and(|quota| quota.proxy.is_some());
        if self.filters[usize::from(listener)].is_some() || is_proxied {
            return b"";
        }
        self.host(listener).0.refusal(refusal)
    }

    /// Finds room for a connection, or counts why there is none.
    fn admit(&mut self, listener: ListenerId, peer: Peer) -> Result<Token, RefusalReason> {
        if self.accepting.is_suspended(listener) {
            self.core.tally(listener).refused[RefusalReason::Shutdown.index()].add(1);
            return Err(RefusalReason::Shutdown);
        }
        let Some(quota) = self.accepting.quota(listener).cloned() else { return Err(RefusalReason::Room) };
        // Who the client of a load balancer is will be known later.
        let is_proxied = quota.proxy.is_some();
        let client = if is_proxied { Peer::UNIX } else { peer };
        let is_counted = match self.enter_prefix(&quota, client) {
            Ok(is_counted) => is_counted,
            Err(refusal) => {
                self.count_refused(listener, peer, refusal);
                return Err(refusal);
            }
        };
        let entered = quota.enter(&self.core.shared.totals, &self.core.limits, client);
        let state =
            if is_proxied || self.filters[usize::from(listener)].is_some() { State::Handshaking } else { State::Open };
        let token = entered.and_then(|counted| {
            let token = self.core.insert(listener, peer, state);
            if token.is_none() {
                quota.leave(&self.core.shared.totals, counted, client);
            }
            token.map(|token| (token, counted)).ok_or(RefusalReason::Room)
        });
        match token {
            Ok((token, counted)) => {
                if let Some(connection) = self.core.slab.get_mut(token) {
                    connection.flags.set_if(Flags::PROXY_HEADER, is_proxied);
                    connection.flags.set_if(Flags::PREFIXED, is_counted);
                    connection.note_counted(counted);
                }
            }
            Err(refusal) => {
                if is_counted {
                    self.leave_prefix(client);
                }
                self.core.tally(listener).refused[refusal.index()].add(1);
            }
        }
        token.map(|(token, _)| token)
    }

    /// Hands an admitted connection to its service, where the driver could take it.
    fn begin(&mut self, token: Token, listener: ListenerId, attached: io::Result<()>) {
        if let Err(error) = attached {
            tracing::debug!(%error, "the driver could not take a connection");
            self.core.tally(listener).refused[RefusalReason::Room.index()].add(1);
            self.core.live.set(token, 0);
            return self.forget(token);
        }
        let tally = self.core.tally(listener);
        tally.accepted.add(1);
        tally.connections.add(1);
        if self.core.slab.get(token).is_some_and(|connection| connection.flags.has(Flags::PROXY_HEADER)) {
            self.await_header(token);
        } else if self.filters[usize::from(listener)].is_some() {
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
            self.schedule_first_message(token);
        } else {
            core.tally(service).refused[RefusalReason::Service.index()].add(1);
            core.ask_close(token, Flags::CLOSE, CloseReason::Refused);
        }
    }

    pub(super) fn accept_failed(&mut self, listener: ListenerId, error: &io::Error) {
        self.core.tally(listener).accept_errors.add(1);
        if !is_exhausted(error) {
            tracing::debug!(%error, "a connection ended before it was accepted");
            return;
        }
        self.warn_of_exhaustion(listener, &error.to_string());
        let until = self.core.now.after(ACCEPT_PAUSE_MS);
        self.pause_accepting(listener, Class::Ordinary, until);
        if self.accepting.class(listener) == Class::Operational {
            if is_process_full(error) && self.core.shared.spares.release() {
                return self.driver.accept(listener, true);
            }
            self.pause_accepting(listener, Class::Operational, until);
        }
    }

    fn warn_of_exhaustion(&self, listener: ListenerId, error: &str) {
        if self.core.tally(listener).accept_pauses.get() == 0 {
            tracing::warn!(error, "{EXHAUSTED}");
        }
    }

    /// Stops accepting for a while, on account of a listener. What was under way may still come in.
    fn pause_accepting(&mut self, listener: ListenerId, class: Class, until: Tick) {
        if self.accepting.again[class as usize].is_none() {
            self.core.tally(listener).accept_pauses.add(1);
            self.accept(class, false);
        }
        self.accepting.again[class as usize] = Some(until);
    }

    /// Goes on accepting where a pause is over and there is room.
    pub(super) fn go_on_accepting(&mut self) {
        let now = self.core.now;
        for class in Class::ALL {
            if self.accepting.again[class as usize].is_none_or(|again| now.is_before(again)) {
                continue;
            }
            self.take_waiting();
            // What operational listeners have taken of the reserve has to be there again before others take anything.
            let has_reserve = class == Class::Operational || self.core.shared.spares.top_up();
            if has_reserve && self.accepting.waiting[class as usize].is_empty() {
                self.accepting.again[class as usize] = None;
                self.accept(class, true);
            } else {
                self.accepting.again[class as usize] = Some(now.after(ACCEPT_PAUSE_MS));
            }
        }
    }

    /// Whether nothing keeps a listener from accepting.
    pub(super) fn accepts_now(&self, listener: ListenerId) -> bool {
        let is_paused = self.accepting.again[self.accepting.class(listener) as usize].is_some();
        !is_paused && !self.accepting.is_suspended(listener) && !self.handing.is_withdrawn
    }

    fn accept(&mut self, class: Class, on: bool) {
        if self.handing.is_withdrawn {
            return;
        }
        for listener in &self.listening {
            if self.accepting.class(*listener) == class && !self.accepting.is_suspended(*listener) {
                self.driver.accept(*listener, on);
            }
        }
    }

    /// Stops accepting for good, on operational listeners only at the last. Waiting connections are refused, as the kernel
    /// refuses those in its backlog.
    pub(super) fn end_accepting(&mut self, is_last: bool) {
        for class in Class::ALL {
            if is_last || class == Class::Ordinary {
                self.accepting.again[class as usize] = None;
            }
        }
        for service in 0..self.accepting.suspended.len() as ListenerId {
            self.accepting.suspended[usize::from(service)] |= is_last || !self.accepting.is_operational(service);
        }
        let Self { listening, driver, accepting, .. } = self;
        listening.retain(|listener| {
            let is_over = accepting.is_suspended(*listener);
            if is_over {
                driver.unlisten(*listener);
            }
            !is_over
        });
        self.refuse_waiting();
    }

    /// Has a listener refuse new connections for a while, or accept them again.
    pub(super) fn suspend_accepting(&mut self, listener: ListenerId, is_suspended: bool) {
        if self.accepting.is_suspended(listener) == is_suspended {
            return;
        }
        self.accepting.suspended[usize::from(listener)] = is_suspended;
        if self.handing.is_withdrawn {
            // Another process may have its sockets by now.
            return;
        }
        if is_suspended {
            self.driver.suspend(listener);
            self.refuse_waiting();
        } else {
            let on = self.accepts_now(listener);
            if let Err(error) = self.driver.resume(listener, on) {
                tracing::error!(%error, "a listener cannot accept again; restart the server");
            }
        }
    }

    /// Refuses the connections that wait for room at listeners that accept no more.
    fn refuse_waiting(&mut self) {
        for class in Class::ALL {
            for _ in 0..self.accepting.waiting[class as usize].len() {
                let Some(waiting) = self.accepting.waiting[class as usize].pop_front() else { break };
                if self.accepting.is_suspended(waiting.listener) {
                    self.take_in(waiting.listener, waiting.peer, waiting.arrival);
                } else {
                    self.accepting.waiting[class as usize].push_back(waiting);
                }
            }
        }
        self.count_waiting();
    }
}
