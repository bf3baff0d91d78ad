//! What happens to connections by time alone: deadlines, heartbeats and pauses of accepting.
//!
//! A connection has one entry in the wheel. Receiving and sending only store a tick; the entry looks at the ticks
//! when it fires and moves on.

use std::io;
use std::time::Duration;

use crate::close_reason::CloseReason;
use crate::connection::{Connection, Flags, State};
use crate::counters::ReactorCounters;
use crate::driver::Driver;
use crate::host::Served;
use crate::ids::Token;
use crate::service::{Heartbeat, Idle};
use crate::wheel::{Tick, milliseconds, tick};

use super::{Reactor, TRIM_MS};

/// Turns that a driver may be behind for, beside those that it needs to come to every connection.
const ROUNDS_BEHIND: u32 = 4;

/// How long a handshake's deadline is put off where the handshake waits in line.
const IN_LINE_MS: u32 = 100;

/// The milliseconds from one moment to another, none where that one comes first.
pub(super) fn passed(from: Tick, to: Tick) -> u32 {
    if to.is_before(from) { 0 } else { to.since(from) }
}

/// The deadlines of a service in milliseconds; 0 is none.
#[derive(Clone, Copy, Default)]
pub(super) struct Deadlines {
    idle_ms: u32,
    read_idle_ms: u32,
    write_idle_ms: u32,
    heartbeat_ms: u32,
    heartbeats_missed: u8,
    first_message_ms: u32,
    pub(super) handshake_ms: u32,
    pub(super) slow_write_ms: u32,
    pub(super) linger_ms: u32,
    pub(super) half_close_ms: u32,
}

impl Deadlines {
    pub(super) fn of(service: &Served) -> Self {
        let Served::Connections(host) = service else { return Self::default() };
        let timeouts = host.timeouts();
        // A deadline that is given is at least one tick: 0 stands for none.
        let ms = |given: Option<Duration>| given.map_or(0, |given| milliseconds(given).max(1));
        Self {
            idle_ms: ms(timeouts.idle),
            read_idle_ms: ms(timeouts.read_idle),
            write_idle_ms: ms(timeouts.write_idle),
            heartbeat_ms: ms(timeouts.heartbeat),
            heartbeats_missed: timeouts.heartbeats_missed,
            first_message_ms: ms(timeouts.first_message),
            handshake_ms: ms(Some(timeouts.handshake)),
            slow_write_ms: ms(timeouts.slow_write),
            linger_ms: ms(Some(timeouts.linger)),
            half_close_ms: ms(Some(timeouts.half_close)),
        }
    }

    /// The earliest moment at which something may be due for a connection.
    fn next(&self, connection: &Connection, now: Tick) -> Option<Tick> {
        let flags = connection.flags;
        let mut next: Option<Tick> = None;
        let mut at = |due: Tick| {
            if next.is_none_or(|next| due.is_before(next)) {
                next = Some(due);
            }
        };
        if flags.has(Flags::PHASE) {
            at(connection.phase_deadline);
        }
        if self.slow_write_ms != 0
            && let Some(since) = connection.stuck_since()
        {
            at(since.after(self.slow_write_ms));
        }
        if connection.state() == State::Open {
            // An exact moment whose millisecond has come is not the wheel's any more.
            if flags.has(Flags::TIMER)
                && (!connection.user_fraction.is_exact() || now.is_before(connection.user_deadline))
            {
                at(connection.user_deadline);
            }
            if self.idle_ms != 0 {
                at(connection.last_traffic().after(self.idle_ms));
            }
            if self.read_idle_ms != 0 {
                at(connection.last_read.after(self.read_idle_ms));
            }
            if self.write_idle_ms != 0 && !flags.has(Flags::SHUT_WRITE) {
                at(connection.last_write.after(self.write_idle_ms));
            }
            if self.heartbeat_ms != 0 && !flags.has(Flags::NO_HEARTBEAT.or(Flags::SHUT_WRITE)) {
                at(connection.last_read.after(self.heartbeat_after(connection.missed)));
            }
        }
        next
    }

    /// How long the first unanswered heartbeat of a connection is ago, from whose bytes that now came it is answered.
    fn round_trip(&self, connection: &Connection, now: Tick) -> Duration {
        Duration::from_millis(u64::from(passed(connection.last_read.after(self.heartbeat_ms), now)))
    }

    /// Counts the answer to a heartbeat, which may be any bytes.
    #[cold]
    pub(super) fn answered(&self, connection: &mut Connection, now: Tick, counters: &ReactorCounters) {
        counters.round_trips.record(self.round_trip(connection, now));
        connection.missed = 0;
    }

    /// Notes that a send of a connection is in flight. Says when it takes too long, if nothing in the wheel comes before.
    #[inline]
    pub(super) fn begin_send(&self, connection: &mut Connection, now: Tick) -> Option<Tick> {
        let is_stuck = connection.flags.has(Flags::STUCK);
        let outbox = connection.wire().as_mut()?;
        outbox.set_in_flight(true);
        if is_stuck && outbox.stuck_since.is_some() {
            return None;
        }
        outbox.stuck_since = Some(now);
        connection.flags.set(Flags::STUCK);
        let due = now.after(self.slow_write_ms);
        let is_covered = connection.links.is_scheduled() && !due.is_before(connection.links.deadline());
        (self.slow_write_ms != 0 && !is_covered).then_some(due)
    }

    /// The silence after which the next heartbeat is due when so many went unanswered.
    fn heartbeat_after(&self, missed: u8) -> u32 {
        self.heartbeat_ms.saturating_mul(u32::from(missed) + 1).min(Tick::MAX_DELAY)
    }
}

impl<D: Driver> Reactor<D> {
    /// How long the driver may wait; `None` is for ever.
    pub(super) fn until_due(&self) -> Option<Duration> {
        if !self.core.dirty.is_empty()
            || !self.core.deferred.is_empty()
            || !self.handshakes.is_empty()
            || !self.walks.is_empty()
            || self.changing.goes_on()
        {
            return Some(Duration::ZERO);
        }
        let now = tick(self.clock);
        // A wait for whole milliseconds ends in the middle of one, which is soon enough for all but exact moments.
        let is_exact = self.core.moments.is_used();
        let passed = Duration::from_nanos(if is_exact { u64::from(self.clock.subsec_nanos()) % 1_000_000 } else { 0 });
        let trim = self.core.pools.has_excess().then(|| self.trimmed.after(TRIM_MS));
        [
            self.core.wheel.next_deadline(),
            self.core.timers.next_service(),
            self.accepting.next(),
            self.drains.next(now),
            trim,
            self.room_due(),
        ]
        .into_iter()
        .flatten()
        .map(|due| if due.is_before(now) { 0 } else { due.since(now) })
        .min()
        .map(|ms| Duration::from_millis(u64::from(ms)).saturating_sub(passed))
        .into_iter()
        .chain(self.core.moments.until_next(self.clock))
        .min()
    }

    /// Sets the deadline of the phase that a connection is in (handshake or first message, connecting, lingering).
    pub(super) fn set_phase(&mut self, token: Token, after_ms: u32) {
        let due = self.core.now.after(after_ms);
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.flags.set(Flags::PHASE);
            connection.phase_deadline = due;
            self.core.due(token, due);
        }
    }

    /// Sets the deadlines of a connection that has just opened.
    pub(super) fn schedule_first_message(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let deadlines = self.deadlines[usize::from(connection.service)];
        if deadlines.first_message_ms != 0 {
            connection.flags.set(Flags::PHASE);
            connection.phase_deadline = self.core.now.after(deadlines.first_message_ms);
        }
        if let Some(due) = deadlines.next(connection, self.core.now) {
            self.core.due(token, due);
        }
    }

    /// Wants a look at a connection at the earliest of its deadlines, as they are now.
    pub(super) fn schedule(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get(token).filter(|connection| connection.state() != State::Closed)
        else {
            return;
        };
        if let Some(due) = self.deadlines[usize::from(connection.service)].next(connection, self.caught_up) {
            self.core.due(token, due);
        }
    }

    /// Notes up to when everything that had happened has been handled: up to the begin of a wait that left nothing. A
    /// deadline counts only when its moment lies before that. So data that had arrived in time is always read first, also
    /// where the process was stopped for a while or the reactor is late.
    ///
    /// Where the driver is always behind, it has come to everybody after a number of turns, and these are enough.
    pub(super) fn catch_up(&mut self) {
        let most = ROUNDS_BEHIND + self.core.slab.end() / D::FOUND_AT_ONCE;
        if self.driver.is_behind() && self.behind < most {
            self.behind += 1;
        } else {
            self.behind = 0;
            self.caught_up = tick(self.clock);
        }
    }

    pub(super) fn fire_timers(&mut self) {
        self.go_on_accepting();
        let mut expired = std::mem::take(&mut self.expired);
        self.core.wheel.advance(&mut self.core.slab, self.caught_up, &mut expired);
        for token in expired.drain(..) {
            if self.waits_for_buffer(token) {
                self.core.due(token, self.core.now.after(1));
                continue;
            }
            if !self.postpone(token) {
                self.fire(token);
            }
            self.settle(token);
            let Some(connection) = self.core.slab.get(token) else { continue };
            if connection.state() != State::Closed
                && let Some(due) = self.deadlines[usize::from(connection.service)].next(connection, self.caught_up)
            {
                self.core.due(token, due);
            }
            if self.core.slab.get(token).is_some_and(|connection| connection.flags.has(Flags::NAMED_TIMERS))
                && let Some(due) = self.core.timers.next(token)
            {
                self.core.due(token, due);
            }
        }
        self.fire_moments(&mut expired);
        self.expired = expired;
        self.fire_service_timers();
    }

    /// Calls those whose exact moment has come. What they set meanwhile waits for the next turn.
    fn fire_moments(&mut self, come: &mut Vec<Token>) {
        while let Some(place) = self.core.moments.pop(self.core.clock) {
            if self.core.slab.check(place.token, place.generation) {
                come.push(place.token);
            }
        }
        for token in come.drain(..) {
            let clock = self.core.clock;
            let Some(connection) = self.core.slab.get_mut(token) else { continue };
            // It may have been taken back, or set again.
            if connection.state() != State::Open || !connection.flags.has(Flags::TIMER) || !connection.has_come(clock) {
                continue;
            }
            connection.flags.clear(Flags::TIMER);
            let service = connection.service;
            let (host, core) = self.host(service);
            host.timer(core, token);
            self.settle(token);
        }
    }

    /// Whether no buffer was free for what a connection may have sent: then nothing is known of it yet.
    fn waits_for_buffer(&self, token: Token) -> bool {
        let connection = self.core.slab.get(token);
        let receives =
            connection.is_some_and(|connection| matches!(connection.state(), State::Open | State::Handshaking));
        receives && self.driver.waits_for_buffer(token)
    }

    /// Whether a connection whose entry in the wheel has fired is looked at later: a turn later where it had more to read
    /// than a turn has room for, and after its handshake had its turn where that waits in line.
    fn postpone(&mut self, token: Token) -> bool {
        let Some(connection) = self.core.slab.get_mut(token) else { return false };
        if !matches!(connection.state(), State::Open | State::Handshaking) {
            return false;
        }
        let waits_in_line = connection.filter.as_ref().is_some_and(|filter| filter.waits_in_line());
        if connection.state() == State::Handshaking && waits_in_line {
            connection.phase_deadline = self.core.now.after(IN_LINE_MS);
            return true;
        }
        let waits = connection.has_more_to_decode() && !connection.is_halted();
        if !connection.flags.has(Flags::POSTPONED) && (waits || self.driver.has_unread(token)) {
            connection.flags.set(Flags::POSTPONED);
            return true;
        }
        connection.flags.clear(Flags::POSTPONED);
        false
    }

    /// Looks at a connection whose entry in the wheel has fired.
    fn fire(&mut self, token: Token) {
        let now = self.caught_up;
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let (service, state) = (connection.service, connection.state());
        let deadlines = self.deadlines[usize::from(service)];
        if state == State::Connecting
            && connection.flags.has(Flags::PHASE)
            && !now.is_before(connection.phase_deadline)
            && self.begin_next_attempt(token)
        {
            return;
        }
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        if connection.flags.has(Flags::PHASE) && !now.is_before(connection.phase_deadline) {
            connection.flags.clear(Flags::PHASE);
            match state {
                State::Connecting | State::Handshaking if connection.is_dialling() => {
                    let error = io::Error::new(io::ErrorKind::TimedOut, "the connection was not up in time");
                    self.connect_failed(token, &error);
                    return self.driver.close(token, true);
                }
                State::Open if connection.is_reading_paused() && !connection.flags.has(Flags::WATCHED) => {
                    // The first message may wait for the end of the pause: it has its time again.
                    if !connection.flags.has(Flags::SPOKE) {
                        connection.flags.set(Flags::PHASE);
                        connection.phase_deadline = self.core.now.after(deadlines.first_message_ms);
                    }
                }
                State::Open if !connection.flags.has(Flags::SPOKE.or(Flags::WATCHED)) => {
                    return self.core.ask_close(token, Flags::CLOSE, CloseReason::OpeningTimeout);
                }
                State::Open if connection.flags.has(Flags::WATCHED) => {
                    return self.half_close_over(token, deadlines);
                }
                State::Draining => connection.flags.set(Flags::CLOSE),
                State::Connecting | State::Handshaking => {
                    return self.core.ask_close(token, Flags::CLOSE, CloseReason::OpeningTimeout);
                }
                State::Open | State::Closed => {}
            }
        }
        if deadlines.slow_write_ms != 0
            && connection.stuck_since().is_some_and(|since| passed(since, now) >= deadlines.slow_write_ms)
        {
            return self.core.ask_close(token, Flags::CLOSE, CloseReason::SlowWrite);
        }
        if state != State::Open {
            return;
        }
        if connection.flags.has(Flags::TIMER) && !now.is_before(connection.user_deadline) {
            if connection.user_fraction.is_exact() {
                self.core.await_moment(token);
            } else {
                connection.flags.clear(Flags::TIMER);
                let (host, core) = self.host(service);
                host.timer(core, token);
                // Where that ended a pause, what waited for it is delivered before the peer may count as silent.
                self.settle(token);
            }
        }
        if self.core.slab.get(token).is_some_and(|connection| connection.flags.has(Flags::NAMED_TIMERS)) {
            self.fire_named(token);
        }
        self.fire_idle(token, service, deadlines);
    }

    /// The time for replies to a peer that ended its stream is over, unless something has left meanwhile.
    fn half_close_over(&mut self, token: Token, deadlines: Deadlines) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let due = connection.last_write.after(deadlines.half_close_ms);
        if self.caught_up.is_before(due) {
            connection.flags.set(Flags::PHASE);
            connection.phase_deadline = due;
        } else if connection.outbox_len() > 0 {
            connection.ask_close(Flags::CLOSE, CloseReason::SlowWrite);
        } else {
            connection.ask_close(Flags::CLOSE_FLUSHED, CloseReason::Peer);
        }
    }

    fn fire_idle(&mut self, token: Token, service: u16, deadlines: Deadlines) {
        let (now, caught_up) = (self.core.now, self.caught_up);
        let Some(connection) = self.core.slab.get_mut(token).filter(|connection| connection.state() == State::Open)
        else {
            return;
        };
        if connection.flags.has(Flags::ENDED) || connection.is_reading_paused() {
            // Nothing can come while reading is paused, or after the peer's end: that is not the peer's silence.
            (connection.last_read, connection.missed) = (now, 0);
        }
        if deadlines.idle_ms != 0 && passed(connection.last_traffic(), caught_up) >= deadlines.idle_ms {
            // A service that does not close it is asked again after the same time.
            (connection.last_read, connection.last_write) = (now, now);
            let (host, core) = self.host(service);
            return host.idle(core, token, Idle::Both);
        }
        // After it was shut down nothing is sent: neither is that silence, nor can a heartbeat ask for an answer.
        let is_shut = connection.flags.has(Flags::SHUT_WRITE);
        if deadlines.write_idle_ms != 0
            && !is_shut
            && passed(connection.last_write, caught_up) >= deadlines.write_idle_ms
        {
            connection.last_write = now;
            let (host, core) = self.host(service);
            host.idle(core, token, Idle::Write);
        }
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let silence_ms = passed(connection.last_read, caught_up);
        if deadlines.read_idle_ms != 0 && silence_ms >= deadlines.read_idle_ms {
            (connection.last_read, connection.missed) = (now, 0);
            let (host, core) = self.host(service);
            return host.idle(core, token, Idle::Read);
        }
        if deadlines.heartbeat_ms == 0
            || is_shut
            || connection.flags.has(Flags::NO_HEARTBEAT)
            || silence_ms < deadlines.heartbeat_after(connection.missed)
        {
            return;
        }
        if connection.missed > 0 {
            self.core.counters.heartbeats_missed.add(1);
        }
        if connection.missed >= deadlines.heartbeats_missed {
            return self.core.ask_close(token, Flags::CLOSE, CloseReason::HeartbeatMissed);
        }
        // The peer has its time to answer, also where it is asked late.
        connection.last_read = now.before(deadlines.heartbeat_after(connection.missed));
        connection.missed += 1;
        let (host, core) = self.host(service);
        if host.heartbeat(core, token) != Heartbeat::None {
            core.counters.heartbeats.add(1);
        } else if let Some(connection) = core.slab.get_mut(token) {
            connection.flags.set(Flags::NO_HEARTBEAT);
            connection.missed = 0;
        }
    }
}
