//! Counters: written by one reactor each, read by anybody at any time without stopping it.

mod counter;
pub(crate) mod histogram;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

pub(crate) use self::counter::Counter;
use self::histogram::{Histogram, HistogramCounter};
use crate::close_reason::CloseReason;
use crate::ids::ServiceId;
use crate::own_reason::{MOST_OWN, own_names, place_of};

/// Says why a connection was refused. Refused connections are counted by this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// [`Limits::connections`](crate::Limits) was reached.
    Connections,
    /// [`Limits::connections_per_peer`](crate::Limits) was reached.
    Peer,
    /// [`ListenOptions::connections`](crate::ListenOptions::connections) was reached.
    Listener,
    /// [`ListenOptions::connections_per_peer`](crate::ListenOptions::connections_per_peer) was reached.
    ListenerPeer,
    /// The service refused it in [`Service::open`](crate::Service::open).
    Service,
    /// The engine was shutting down.
    Shutdown,
    /// There was no slot, or the driver could not take the connection.
    Room,
    /// The lists of [`AccessRules`](crate::AccessRules) deny its address.
    Denied,
    /// Its address connected more often than [`AccessRules::connection_rate`](crate::AccessRules) says.
    Rate,
    /// [`AccessRules::connections_per_prefix`](crate::AccessRules) was reached.
    Prefix,
    /// [`AccessRules::connections_per_network`](crate::AccessRules) was reached.
    Network,
    /// The listener takes the PROXY protocol, and not from this address ([`ProxyProtocol`](crate::ProxyProtocol)).
    Untrusted,
}

impl RefusalReason {
    pub(crate) const COUNT: usize = 12;
    pub(crate) const NAMES: [&'static str; Self::COUNT] = [
        "connections",
        "peer",
        "listener",
        "listener_peer",
        "service",
        "shutdown",
        "room",
        "denied",
        "rate",
        "prefix",
        "network",
        "untrusted",
    ];

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// What one reactor counts for one listener, or for one outbound service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCounters {
    pub(crate) connections: Counter,
    pub(crate) accepted: Counter,
    pub(crate) connected: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) accept_pauses: Counter,
    pub(crate) refused: [Counter; RefusalReason::COUNT],
    pub(crate) closed: [Counter; CloseReason::COUNT],
    /// Closed for services' own reasons, by their places.
    pub(crate) closed_own: [Counter; MOST_OWN],
    pub(crate) messages_in: Counter,
    pub(crate) messages_out: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) dropped: Counter,
}

/// What one reactor counts.
#[derive(Debug)]
pub(crate) struct ReactorCounters {
    pub(crate) wakeups: Counter,
    pub(crate) turns: HistogramCounter,
    pub(crate) stalls: Counter,
    pub(crate) starved: Counter,
    pub(crate) letters: Counter,
    pub(crate) stale: Counter,
    pub(crate) timers: Counter,
    pub(crate) named_timers: Counter,
    /// Values for other connections of the reactor that were one too many.
    pub(crate) notices_refused: Counter,
    pub(crate) groups: Counter,
    pub(crate) joins_refused: Counter,
    pub(crate) outbox_bytes: Counter,
    pub(crate) outbox_high: Counter,
    pub(crate) carry_bytes: Counter,
    pub(crate) carry_waits: Counter,
    /// Accepted connections that wait for room. The acceptor looks at it too.
    pub(crate) waiting: Counter,
    /// Connections whose outbox is over its high mark.
    pub(crate) slow_readers: Counter,
    pub(crate) heartbeats: Counter,
    pub(crate) heartbeats_missed: Counter,
    pub(crate) round_trips: HistogramCounter,
    pub(crate) handshakes: Counter,
    pub(crate) handshakes_waiting: Counter,
    /// Connections that operators had closed.
    pub(crate) kicked: Counter,
    /// By service. The reactor itself has them in `Core::tallies`; more come with the services of a plan.
    services: RwLock<Vec<Arc<ServiceCounters>>>,
}

impl ReactorCounters {
    pub(crate) fn new(services: usize) -> Self {
        Self {
            wakeups: Counter::default(),
            turns: HistogramCounter::new(),
            stalls: Counter::default(),
            starved: Counter::default(),
            letters: Counter::default(),
            stale: Counter::default(),
            timers: Counter::default(),
            named_timers: Counter::default(),
            notices_refused: Counter::default(),
            groups: Counter::default(),
            joins_refused: Counter::default(),
            outbox_bytes: Counter::default(),
            outbox_high: Counter::default(),
            carry_bytes: Counter::default(),
            carry_waits: Counter::default(),
            waiting: Counter::default(),
            slow_readers: Counter::default(),
            heartbeats: Counter::default(),
            heartbeats_missed: Counter::default(),
            round_trips: HistogramCounter::new(),
            handshakes: Counter::default(),
            handshakes_waiting: Counter::default(),
            kicked: Counter::default(),
            services: RwLock::new((0..services).map(|_| Arc::default()).collect()),
        }
    }

    pub(crate) fn read(&self) -> ReactorStats {
        ReactorStats {
            wakeups: self.wakeups.get(),
            turns: self.turns.read(),
            stalls: self.stalls.get(),
            starved: self.starved.get(),
            letters: self.letters.get(),
            stale_handles: self.stale.get(),
            timers: self.timers.get(),
            named_timers: self.named_timers.get(),
            groups: self.groups.get(),
            joins_refused: self.joins_refused.get(),
            // Those of the mailbox are its senders'.
            mailbox_letters: 0,
            mailbox_full: 0,
            outbox_bytes: self.outbox_bytes.get(),
            outbox_high: self.outbox_high.get(),
            carry_bytes: self.carry_bytes.get(),
            carry_waits: self.carry_waits.get(),
            waiting: self.waiting.get(),
            slow_readers: self.slow_readers.get(),
            heartbeats: self.heartbeats.get(),
            heartbeats_missed: self.heartbeats_missed.get(),
            round_trips: self.round_trips.read(),
            handshakes: self.handshakes.get(),
            handshakes_waiting: self.handshakes_waiting.get(),
            kicked: self.kicked.get(),
            services: self.lock().iter().map(|service| service.read()).collect(),
        }
    }

    /// The counters of each service.
    pub(crate) fn tallies(&self) -> Vec<Arc<ServiceCounters>> {
        self.lock().clone()
    }

    /// Counters for one service more, unless it has some already.
    pub(crate) fn tally_for(&self, service: ServiceId) -> Arc<ServiceCounters> {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        let count = services.len().max(usize::from(service) + 1);
        services.resize_with(count, Arc::default);
        services[usize::from(service)].clone()
    }

    /// Connections of one service.
    pub(crate) fn connections_of(&self, service: ServiceId) -> u64 {
        self.lock().get(usize::from(service)).map_or(0, |service| service.connections.get())
    }

    /// Connections of all services.
    pub(crate) fn connections(&self) -> u64 {
        self.lock().iter().map(|service| service.connections.get()).sum()
    }

    fn lock(&self) -> RwLockReadGuard<'_, Vec<Arc<ServiceCounters>>> {
        // A list that only grows is always in order.
        self.services.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that came into outboxes, those of filters included.
    #[inline]
    pub(crate) fn outboxes_grew(&self, bytes: usize) {
        self.outbox_bytes.add(bytes as u64);
    }

    /// Counts bytes that left outboxes: sent, dropped, or gone with their connection.
    #[inline]
    pub(crate) fn outboxes_shrank(&self, bytes: usize) {
        self.outbox_bytes.sub(bytes as u64);
    }
}

impl ServiceCounters {
    /// Counts a connection that was closed.
    pub(crate) fn count_closed(&self, reason: CloseReason) {
        match (reason, reason.index()) {
            (CloseReason::Other(name), _) => place_of(name).iter().for_each(|place| self.closed_own[*place].add(1)),
            (_, index) => index.iter().for_each(|index| self.closed[*index].add(1)),
        }
    }

    fn read(&self) -> ServiceStats {
        ServiceStats {
            connections: self.connections.get(),
            accepted: self.accepted.get(),
            connected: self.connected.get(),
            accept_errors: self.accept_errors.get(),
            accept_pauses: self.accept_pauses.get(),
            refused: std::array::from_fn(|index| self.refused[index].get()),
            closed: std::array::from_fn(|index| self.closed[index].get()),
            closed_own: std::array::from_fn(|place| self.closed_own[place].get()),
            messages_in: self.messages_in.get(),
            messages_out: self.messages_out.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            dropped: self.dropped.get(),
        }
    }
}

/// Holds the counters of one reactor at a moment, read by [`Remote::stats`](crate::Remote::stats).
///
/// Counters count from the start of the engine; gauges say what is so now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReactorStats {
    /// Counter: times that the reactor came back from waiting, which is once per turn.
    pub wakeups: u64,
    /// Histogram: how long turns took, from the end of waiting until everything was handled.
    ///
    /// This is how long an event may have to wait while others are served.
    pub turns: Histogram,
    /// Counter: turns that took longer than 25 ms.
    pub stalls: u64,
    /// Counter: times that receiving stood still because no buffer was free (ENOBUFS). Only the io_uring driver counts them.
    pub starved: u64,
    /// Counter: letters taken from the mailbox.
    pub letters: u64,
    /// Counter: letters, and orders of services, for a connection that was gone.
    pub stale_handles: u64,
    /// Gauge: connections with a deadline or a timer.
    pub timers: u64,
    /// Gauge: timers that were set by [`Context::set_named_timer`](crate::Context::set_named_timer).
    pub named_timers: u64,
    /// Gauge: groups with a member on this reactor.
    pub groups: u64,
    /// Counter: joins that were refused by [`Limits::groups`](crate::Limits) or
    /// [`Limits::groups_per_connection`](crate::Limits).
    pub joins_refused: u64,
    /// Gauge: letters that wait in the mailbox.
    pub mailbox_letters: u64,
    /// Counter: letters that were refused because the mailbox was full ([`Limits::mailbox`](crate::Limits)), and values of
    /// [`Context::notify_other`](crate::Context::notify_other) that were refused by the same limit.
    pub mailbox_full: u64,
    /// Gauge: bytes that wait to be sent.
    pub outbox_bytes: u64,
    /// Counter: times that an outbox went over [`Limits::outbox_high`](crate::Limits).
    pub outbox_high: u64,
    /// Gauge: bytes of received messages that are not complete, or that wait because reading is paused.
    pub carry_bytes: u64,
    /// Counter: times that a connection with a large message had to wait for room ([`Limits::carries`](crate::Limits)).
    pub carry_waits: u64,
    /// Gauge: accepted connections that wait for a slot or a descriptor.
    pub waiting: u64,
    /// Gauge: connections whose outbox went over [`Limits::outbox_high`](crate::Limits) and has not emptied since.
    pub slow_readers: u64,
    /// Counter: heartbeats that were sent to silent peers.
    pub heartbeats: u64,
    /// Counter: heartbeats that a peer left unanswered until the next one was due.
    pub heartbeats_missed: u64,
    /// Histogram: time from the first unanswered heartbeat to the next bytes from that peer, to the millisecond.
    pub round_trips: Histogram,
    /// Counter: handshakes of filters, such as TLS, that were completed.
    pub handshakes: u64,
    /// Gauge: handshakes that wait for their share of a turn.
    pub handshakes_waiting: u64,
    /// Counter: connections that operators had closed ([`Remote::kick`](crate::Remote::kick)).
    pub kicked: u64,
    /// The counters of each listener and outbound service, in the order in which they were added to the engine. Those of a
    /// removed listener stay: [`Remote::listeners`](crate::Remote::listeners) says which they are.
    pub services: Vec<ServiceStats>,
}

/// Holds the counters of one listener, or of one outbound service, on one reactor at a moment.
///
/// [`merge`](Self::merge) adds those of other reactors.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServiceStats {
    /// Gauge: connections now.
    pub connections: u64,
    /// Counter: connections accepted.
    pub accepted: u64,
    /// Counter: outbound connections established.
    pub connected: u64,
    /// Counter: accepts that failed, for example because no descriptor was free.
    pub accept_errors: u64,
    /// Counter: times that accepting paused, because descriptors or slots were short or by the limit on accepts per second.
    pub accept_pauses: u64,
    /// Connections refused, by [`RefusalReason`].
    refused: [u64; RefusalReason::COUNT],
    /// Connections closed, by [`CloseReason`].
    closed: [u64; CloseReason::COUNT],
    /// Connections closed for services' own reasons.
    closed_own: [u64; MOST_OWN],
    /// Counter: messages received.
    pub messages_in: u64,
    /// Counter: messages queued for sending.
    pub messages_out: u64,
    /// Counter: bytes received.
    pub bytes_in: u64,
    /// Counter: bytes that the kernel took.
    pub bytes_out: u64,
    /// Counter: messages dropped by an [`Overflow`](crate::Overflow) policy.
    pub dropped: u64,
}

impl ServiceStats {
    /// Returns the number of connections that were refused for this reason.
    #[must_use]
    pub fn refused(&self, refusal: RefusalReason) -> u64 {
        self.refused[refusal.index()]
    }

    /// Returns the number of connections that closed for this reason.
    ///
    /// [`CloseReason::Io`] and [`CloseReason::ConnectFailed`] count all error kinds together.
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        match (reason, reason.index()) {
            (CloseReason::Other(name), _) => place_of(name).map_or(0, |place| self.closed_own[place]),
            (_, index) => index.map_or(0, |index| self.closed[index]),
        }
    }

    /// Returns the names and counts of all reasons for refusals.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RefusalReason::NAMES.into_iter().zip(self.refused)
    }

    /// Returns the names and counts of all close reasons: first the engine's, then the services' own.
    pub fn closings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CloseReason::NAMES.into_iter().zip(self.closed).chain(own_names().zip(self.closed_own))
    }

    /// Adds another reactor's counters of the same listener to these.
    pub fn merge(&mut self, other: &Self) {
        self.connections += other.connections;
        self.accepted += other.accepted;
        self.connected += other.connected;
        self.accept_errors += other.accept_errors;
        self.accept_pauses += other.accept_pauses;
        self.refused.iter_mut().zip(other.refused).for_each(|(sum, more)| *sum += more);
        self.closed.iter_mut().zip(other.closed).for_each(|(sum, more)| *sum += more);
        self.closed_own.iter_mut().zip(other.closed_own).for_each(|(sum, more)| *sum += more);
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.dropped += other.dropped;
    }
}
