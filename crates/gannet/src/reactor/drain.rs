//! The drain: listeners stop, connections are told to leave at an even pace, and what is left is closed in the end.
//!
//! A drain goes through its [`Phase`]s in order. Any thread orders one or takes it back ([`crate::drain`]); a reactor
//! compares what is wanted with what it does when the version has changed.

use crate::close_reason::CloseReason;
use crate::connection::{Flags, State};
use crate::drain::{Departure, Order};
use crate::driver::Driver;
use crate::ids::{ListenerId, Token};
use crate::service::Shutdown;
use crate::wheel::Tick;

use super::Reactor;

/// Slots that are told to drain, or closed, in one turn.
const DRAINED_A_TURN: u32 = 2_048;

/// Slots that are looked at in one turn for those of one listener.
const LOOKED_AT_A_TURN: u32 = 16_384;

/// How often some connections are told to leave.
const STEP_MS: u32 = 10;

/// Where a drain is.
#[derive(Clone, Copy)]
enum Phase {
    /// Nothing has happened yet.
    Delayed { until: Tick },
    /// Accepted connections are told to leave, some in each step.
    Releasing { began: Tick, next: Tick, walk: Walk },
    /// All that were not told yet are told.
    Remaining { from: Token },
    /// Connections have this long to leave. Where operational listeners still accept, it is looked at whether they need to.
    Waiting { look: Tick },
    /// What is left is closed.
    Closing { from: Token },
    /// Nothing more is to do until it is cancelled.
    Over,
}

/// Visits every slot once, in an order in which neighbours are far apart.
#[derive(Clone, Copy)]
struct Walk {
    slots: u32,
    stride: u32,
    at: u32,
    visited: u32,
}

impl Walk {
    fn new(slots: u32) -> Self {
        // The golden section of the slots spreads any part of the walk evenly over them; a stride without a common
        // divisor comes to each.
        let golden = (u64::from(slots) * 618 / 1_000).max(1) as u32;
        let stride = (golden..=slots.max(1)).find(|stride| greatest_common_divisor(*stride, slots) == 1).unwrap_or(1);
        Self { slots, stride, at: 0, visited: 0 }
    }

    /// The next slot, until so many were visited.
    fn next(&mut self, until: u32) -> Option<Token> {
        if self.visited >= until.min(self.slots) {
            return None;
        }
        self.visited += 1;
        let at = self.at;
        self.at = ((u64::from(at) + u64::from(self.stride)) % u64::from(self.slots)) as u32;
        Some(at)
    }

    fn is_over(&self) -> bool {
        self.visited >= self.slots
    }
}

fn greatest_common_divisor(mut one: u32, mut other: u32) -> u32 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// A drain that a reactor carries out.
struct Draining {
    order: Order,
    phase: Phase,
    /// When its time is over; known once it has begun.
    by: Option<Tick>,
    /// All reactors were told that nothing is left here.
    has_reported: bool,
}

impl Draining {
    fn is_whole(&self) -> bool {
        self.order.listeners.is_none()
    }

    fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Delayed { .. })
    }

    /// Whether operational listeners go on: those who watch a drain, or take it back, come by them.
    fn spares_operators(&self) -> bool {
        self.is_whole() && !self.order.is_deserted
    }

    /// When there is something to do; `None` is not by time.
    fn due(&self, now: Tick) -> Option<Tick> {
        match self.phase {
            Phase::Delayed { until } => Some(until),
            Phase::Releasing { next, .. } => Some(next),
            Phase::Remaining { .. } | Phase::Closing { .. } => Some(now),
            Phase::Waiting { look } if self.spares_operators() => match self.by {
                Some(by) if by.is_before(look) => Some(by),
                _ => Some(look),
            },
            Phase::Waiting { .. } => self.by,
            Phase::Over => None,
        }
    }
}

/// The drains of a reactor.
#[derive(Default)]
pub(super) struct Drainings {
    /// Of what is wanted, as it was last read.
    version: u32,
    all: Vec<Draining>,
}

impl Drainings {
    /// When there is something to do.
    pub(super) fn next(&self, now: Tick) -> Option<Tick> {
        let due = self.all.iter().filter_map(|draining| draining.due(now));
        due.reduce(|one, other| if other.is_before(one) { other } else { one })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether the engine ends: no reactor has any connections.
    pub(super) fn is_over(&self) -> bool {
        self.all.iter().any(|draining| draining.order.is_done)
    }
}

impl<D: Driver> Reactor<D> {
    /// Carries out what is wanted, as far as it is due.
    #[inline]
    pub(super) fn drain(&mut self) {
        if self.core.shared.drains.version() != self.drains.version {
            self.read_drains();
            self.read_requests();
        }
        self.go_on_withdrawing();
        if !self.drains.all.is_empty() {
            self.drain_on();
        }
    }

    /// Compares the drains that are wanted with those that are carried out.
    #[cold]
    fn read_drains(&mut self) {
        self.drains.version = self.core.shared.drains.version();
        let wanted = self.core.shared.drains.orders();
        let is_wanted = |draining: &Draining| wanted.iter().any(|order| order.id == draining.order.id);
        self.drains.all.retain(is_wanted);
        for order in wanted {
            let until = self.core.now.after(if order.is_hurried { 0 } else { order.times.delay_ms });
            match self.drains.all.iter_mut().find(|draining| draining.order.id == order.id) {
                Some(draining) => {
                    if order.is_hurried && !draining.has_begun() {
                        draining.phase = Phase::Delayed { until };
                    }
                    if order.is_deserted && !draining.order.is_deserted {
                        // Operators may have come since.
                        draining.phase = match draining.phase {
                            Phase::Remaining { .. } | Phase::Waiting { .. } => Phase::Remaining { from: 0 },
                            Phase::Closing { .. } | Phase::Over => Phase::Closing { from: 0 },
                            before => before,
                        };
                    }
                    draining.order = order;
                }
                None => {
                    let phase = Phase::Delayed { until };
                    self.drains.all.push(Draining { order, phase, by: None, has_reported: false });
                }
            }
        }
        let is_leaving = self.drains.all.iter().any(|draining| {
            draining.is_whole() && draining.has_begun() && !matches!(draining.phase, Phase::Releasing { .. })
        });
        if self.core.departure == Departure::All && !is_leaving {
            self.core.departure = Departure::Some;
        }
        self.stop_and_resume_accepting();
    }

    fn drain_on(&mut self) {
        let is_aborting = self.core.shared.is_aborting();
        for index in 0..self.drains.all.len() {
            let draining = &self.drains.all[index];
            if is_aborting && draining.is_whole() {
                if self.core.departure != Departure::All || draining.by.is_some() {
                    self.abort(index);
                }
            } else if draining.due(self.core.now).is_some_and(|due| !self.core.now.is_before(due)) {
                self.drain_one(index);
            }
            self.report_drained(index);
        }
    }

    /// Closes everything at once.
    fn abort(&mut self, index: usize) {
        self.core.departure = Departure::All;
        self.drains.all[index].phase = Phase::Over;
        self.drains.all[index].by = None;
        self.stop_and_resume_accepting();
        let all: Vec<Token> = self.core.slab.iter_indices().collect();
        for token in all {
            self.core.ask_close(token, Flags::CLOSE, CloseReason::Shutdown);
            self.settle(token);
        }
    }

    /// Takes a drain a step further.
    fn drain_one(&mut self, index: usize) {
        match self.drains.all[index].phase {
            Phase::Delayed { .. } => self.begin_drain(index),
            Phase::Releasing { began, walk, .. } => self.release_some(index, began, walk),
            Phase::Remaining { from } => {
                let end = self.core.slab.end();
                let to = end.min(from.saturating_add(DRAINED_A_TURN));
                for token in from..to {
                    if self.is_covered(index, token) {
                        self.tell(token);
                    }
                }
                let look = self.core.now;
                self.drains.all[index].phase =
                    if to < end { Phase::Remaining { from: to } } else { Phase::Waiting { look } };
            }
            Phase::Waiting { .. } => {
                // Data that had come in time is read first.
                let Some(by) = self.drains.all[index].by else { return };
                let is_over = !self.caught_up.is_before(by);
                if self.drains.all[index].spares_operators() && (is_over || self.is_deserted(index)) {
                    self.desert(index);
                }
                if is_over {
                    self.drains.all[index].phase = Phase::Closing { from: 0 };
                    self.warn_of_late(index);
                    self.close_some(index, 0);
                } else {
                    self.drains.all[index].phase = Phase::Waiting { look: self.core.now.after(STEP_MS) };
                }
            }
            Phase::Closing { from } => self.close_some(index, from),
            Phase::Over => {}
        }
        let draining = &self.drains.all[index];
        let tells_all = !matches!(draining.phase, Phase::Delayed { .. } | Phase::Releasing { .. });
        if draining.is_whole() && tells_all {
            self.core.departure = Departure::All;
        } else if self.core.departure == Departure::None && draining.has_begun() {
            self.core.departure = Departure::Some;
        }
    }

    fn begin_drain(&mut self, index: usize) {
        let now = self.core.now;
        let draining = &mut self.drains.all[index];
        let times = draining.order.times;
        draining.by = Some(now.after(times.spread_ms.saturating_add(times.timeout_ms)));
        draining.phase = match times.spread_ms {
            0 => Phase::Remaining { from: 0 },
            _ => Phase::Releasing { began: now, next: now, walk: Walk::new(self.core.slab.end()) },
        };
        self.stop_and_resume_accepting();
        self.drain_one(index);
    }

    /// Tells as many connections to leave as the pace asks for by now.
    fn release_some(&mut self, index: usize, began: Tick, mut walk: Walk) {
        let (now, spread_ms) = (self.core.now, self.drains.all[index].order.times.spread_ms);
        let passed_ms = now.since(began).saturating_add(STEP_MS).min(spread_ms);
        let until = (u64::from(walk.slots) * u64::from(passed_ms) / u64::from(spread_ms.max(1))) as u32;
        let (mut told, mut looked_at) = (0, 0);
        let is_behind = loop {
            if told == DRAINED_A_TURN || looked_at == LOOKED_AT_A_TURN {
                break true;
            }
            let Some(token) = walk.next(until) else { break false };
            looked_at += 1;
            if self.is_covered(index, token) && self.leaves_in_turn(index, token) {
                self.tell(token);
                told += 1;
            }
        };
        // With nobody left there is nothing to wait for.
        let is_over = walk.is_over() && !now.is_before(began.after(spread_ms)) || self.is_deserted(index);
        self.drains.all[index].phase = if is_over {
            Phase::Remaining { from: 0 }
        } else {
            Phase::Releasing { began, next: if is_behind { now } else { now.after(STEP_MS) }, walk }
        };
    }

    /// Whether no connections are left that have a turn of their own in a drain, on any reactor: those that are left may
    /// need what others do.
    fn is_deserted(&self, index: usize) -> bool {
        let order = &self.drains.all[index].order;
        let has_left = |service: u16| {
            let mut gates = self.core.shared.gates().iter();
            gates.all(|gate| gate.counters.connections_of(service) == 0)
        };
        let mut services = 0..self.services.len() as u16;
        services.all(|service| !order.covers(service) || !self.has_turn(index, service) || has_left(service))
    }

    /// Has every thread know that operational listeners are needed no more.
    fn desert(&mut self, index: usize) {
        let shared = &self.core.shared;
        if shared.drains.desert(self.drains.all[index].order.id) {
            shared.ring();
        }
    }

    fn is_covered(&self, index: usize, token: Token) -> bool {
        let order = &self.drains.all[index].order;
        self.core.slab.get(token).is_some_and(|connection| order.covers(connection.service))
    }

    /// Whether a connection leaves when its turn in the spread has come.
    fn leaves_in_turn(&self, index: usize, token: Token) -> bool {
        self.core.slab.get(token).is_some_and(|connection| self.has_turn(index, connection.service))
    }

    /// Whether the connections of a service leave one after the other: outbound ones serve these, and operators watch them;
    /// both leave last.
    fn has_turn(&self, index: usize, service: u16) -> bool {
        let is_last = self.drains.all[index].is_whole() && self.accepting.is_operational(service);
        self.accepting.quota(service).is_some() && !is_last
    }

    fn warn_of_late(&self, index: usize) {
        let late = self.core.slab.iter_indices().filter(|token| self.is_covered(index, *token)).count();
        if late > 0 {
            tracing::warn!(connections = late, "the drain timeout is over: closing the connections that are left");
        }
    }

    fn close_some(&mut self, index: usize, from: Token) {
        let end = self.core.slab.end();
        let to = end.min(from.saturating_add(DRAINED_A_TURN));
        for token in from..to {
            if self.is_covered(index, token) {
                self.core.ask_close(token, Flags::CLOSE, CloseReason::Shutdown);
                self.settle(token);
            }
        }
        self.drains.all[index].phase = if to < end { Phase::Closing { from: to } } else { Phase::Over };
    }

    /// Says once that nothing is left here. When that holds for every reactor, the engine ends.
    fn report_drained(&mut self, index: usize) {
        let draining = &mut self.drains.all[index];
        let has_told_all = matches!(draining.phase, Phase::Waiting { .. } | Phase::Closing { .. } | Phase::Over);
        let is_told = has_told_all && (draining.order.is_deserted || self.core.shared.is_aborting());
        if !draining.is_whole() || draining.has_reported || !is_told || !self.core.slab.is_empty() {
            return;
        }
        draining.has_reported = true;
        let shared = &self.core.shared;
        if shared.drains.drained(draining.order.id, shared.gates().len()) {
            shared.ring();
        }
    }

    /// Tells a connection to leave.
    fn tell(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let service = connection.service;
        match connection.state() {
            State::Connecting | State::Handshaking => connection.ask_close(Flags::CLOSE, CloseReason::Shutdown),
            State::Open if !connection.flags.has(Flags::SHUTDOWN_CALLED) => {
                connection.flags.set(Flags::SHUTDOWN_CALLED);
                if self.core.departure == Departure::None {
                    self.core.departure = Departure::Some;
                }
                let (host, core) = self.host(service);
                match host.shutdown(core, token) {
                    Shutdown::Close => core.ask_close(token, Flags::CLOSE_FLUSHED, CloseReason::Shutdown),
                    Shutdown::Reset => core.ask_close(token, Flags::CLOSE.or(Flags::RESET), CloseReason::Shutdown),
                    Shutdown::GoOn => {}
                }
            }
            State::Open | State::Draining | State::Closed => {}
        }
        self.settle(token);
    }

    /// Whether clients are accepted never again.
    pub(super) fn is_ending(&self) -> bool {
        let is_final = |drain: &Draining| drain.is_whole() && drain.order.is_final && drain.has_begun();
        self.core.shared.is_aborting() || self.drains.all.iter().any(is_final)
    }

    /// Brings every listener to what the drains want of it.
    pub(super) fn stop_and_resume_accepting(&mut self) {
        if self.is_ending() {
            let is_over = |drain: &Draining| drain.is_whole() && drain.order.is_deserted;
            let is_last = self.core.shared.is_aborting() || self.drains.all.iter().any(is_over);
            self.end_accepting(is_last);
            if is_last {
                return;
            }
        }
        for listener in 0..self.services.len() as ListenerId {
            if self.accepting.quota(listener).is_none() {
                continue;
            }
            let is_spared = self.accepting.is_operational(listener);
            let is_stopped = self.drains.all.iter().any(|drain| {
                drain.has_begun() && drain.order.covers(listener) && !(is_spared && drain.spares_operators())
            });
            if self.listening.contains(&listener) {
                self.suspend_accepting(listener, is_stopped);
            } else {
                // The acceptor may have sent some on the way already.
                self.accepting.suspend(listener, is_stopped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_comes_to_every_slot_once_and_never_to_neighbours_in_turn() {
        for slots in [1, 2, 3, 511, 512, 513, 1_024, 65_536, 99_991] {
            let mut walk = Walk::new(slots);
            let visited: Vec<Token> = std::iter::from_fn(|| walk.next(u32::MAX)).collect();
            let mut sorted = visited.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..slots), "each of {slots} slots once");
            assert!(walk.is_over());
            if slots > 100 {
                let nearest = visited.windows(2).map(|pair| pair[0].abs_diff(pair[1])).min();
                assert!(nearest > Some(slots / 10), "neighbours among {slots} slots");
            }
        }
    }

    #[test]
    fn every_part_of_a_walk_is_spread_evenly_over_the_slots() {
        let mut walk = Walk::new(102_400);
        for part in 1..=100 {
            let mut quarters = [0u32; 4];
            while let Some(slot) = walk.next(part * 1_024) {
                quarters[(slot / 25_600) as usize] += 1;
            }
            assert!(quarters.iter().all(|count| (246..=266).contains(count)), "part {part}: {quarters:?}");
        }
    }
}
