//! What operators order, done a little in each turn: walks over the slots, and the recording of traffic.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::close_reason::CloseReason;
use crate::connection::{Flags, State};
use crate::description::Description;
use crate::driver::Driver;
use crate::ids::{Place, Token};
use crate::inspect::{
    Best, ConnectionInfo, ConnectionState, Direction, Found, KICKS_A_TURN, Kicked, MOST_TRACES, Order, Part, Query,
    Rank, SLOTS_A_TURN, Selection, Sort, TraceEvent, TraceRefusal, Tracing,
};
use crate::service::Shutdown;

use super::Reactor;

/// Why a connection closes that an operator wants closed.
pub(super) const KICKED: CloseReason = CloseReason::Other("kicked");

/// Walks that wait, the first of which goes on.
#[derive(Default)]
pub(super) struct Walks(VecDeque<Walk>);

impl Walks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One walk over all slots, or over one.
struct Walk {
    next: Token,
    /// The slot after the last one, where that is known: otherwise all there are.
    end: Option<Token>,
    job: Job,
    /// Of the connection that is looked at; its memory is used again.
    description: Description,
}

enum Job {
    List { query: Arc<Query>, part: Part<Found>, best: Best, selected: u64 },
    Kick { select: Arc<Selection>, part: Part<Kicked>, kicked: u64 },
}

impl Walk {
    fn new(job: Job, reactor: u16) -> Self {
        let select = match &job {
            Job::List { query, .. } => &query.select,
            Job::Kick { select, .. } => select,
        };
        let (next, end) = match select.handle {
            Some(handle) if handle.reactor == reactor => (handle.token, Some(handle.token.saturating_add(1))),
            Some(_) => (0, Some(0)),
            None => (0, None),
        };
        let description = Description::wanting(select.channel.clone());
        Self { next, end, job, description }
    }
}

/// What is left of a turn for orders.
struct Budget {
    slots: u32,
    kicks: u32,
}

impl<D: Driver> Reactor<D> {
    /// Whether there is something to do for operators in this turn.
    #[inline]
    pub(super) fn is_inspected(&self) -> bool {
        self.core.orders.is_any() || !self.walks.is_empty() || !self.core.traces.is_empty()
    }

    /// Does some of what operators have ordered.
    #[cold]
    pub(super) fn inspect(&mut self) {
        if self.core.orders.is_any() {
            // Nobody is refused for a trace that is over.
            self.end_traces();
            for order in self.core.orders.take() {
                self.take_order(order);
            }
        }
        let mut budget = Budget { slots: SLOTS_A_TURN, kicks: KICKS_A_TURN };
        while budget.slots > 0
            && budget.kicks > 0
            && let Some(mut walk) = self.walks.0.pop_front()
        {
            if self.go_on(&mut walk, &mut budget) {
                self.end_walk(walk, &mut budget);
            } else {
                self.walks.0.push_front(walk);
            }
        }
        self.end_traces();
    }

    fn take_order(&mut self, order: Order) {
        let reactor = self.core.reactor;
        match order {
            Order::List { query, part } => {
                let best = Best::new(query.limit(), query.after.map(|after| after.0));
                self.walks.0.push_back(Walk::new(Job::List { query, part, best, selected: 0 }, reactor));
            }
            Order::Kick { select, part } => {
                self.walks.0.push_back(Walk::new(Job::Kick { select, part, kicked: 0 }, reactor));
            }
            Order::Closed { query, part } => {
                let found = self.core.closed.find(&query, self.core.shared.id, reactor, self.core.clock);
                part.add(|all| all.extend(found));
            }
            Order::Trace { place, recorder } => {
                let clock = self.core.clock;
                let is_full = self.core.traces.len() >= MOST_TRACES;
                let Some(connection) = self.core.at(place) else {
                    return recorder.refuse(TraceRefusal::Gone);
                };
                // One at a time: what was recorded of the outbox is kept for each trace.
                if connection.flags.has(Flags::TRACED) {
                    return recorder.refuse(TraceRefusal::Traced);
                }
                if is_full {
                    return recorder.refuse(TraceRefusal::Full);
                }
                let waiting = connection.outbox.as_ref().map_or(0, |outbox| outbox.len());
                connection.flags.set(Flags::TRACED);
                self.core.traces.push(Tracing::begin(recorder, place, clock, waiting));
            }
        }
    }

    /// Takes a walk on, and says whether it is at its end.
    fn go_on(&mut self, walk: &mut Walk, budget: &mut Budget) -> bool {
        let end = walk.end.unwrap_or(u32::MAX).min(self.core.slab.end());
        while walk.next < end {
            if budget.slots == 0 || budget.kicks == 0 {
                return false;
            }
            budget.slots -= 1;
            let token = walk.next;
            walk.next += 1;
            self.look_at(token, walk, budget);
        }
        true
    }

    /// Looks at one slot.
    fn look_at(&mut self, token: Token, walk: &mut Walk, budget: &mut Budget) {
        let select = match &walk.job {
            Job::List { query, .. } => &query.select,
            Job::Kick { select, .. } => &**select,
        };
        let Some(connection) = self.core.slab.get(token) else { return };
        if ConnectionState::of(connection.state()).is_none()
            || !select.may_be(connection.service, || self.core.peers.ip(token))
            || select.handle.is_some_and(|handle| self.core.handle(token) != handle)
        {
            return;
        }
        let key = match &walk.job {
            Job::List { query, .. } => self.key(token, query.sort),
            // It closes already.
            Job::Kick { .. } if !connection.is_reachable() => return,
            Job::Kick { .. } => 0,
        };
        if select.asks_service() {
            self.describe(token, &mut walk.description);
            budget.slots = budget.slots.saturating_sub(walk.description.channel_count() as u32);
            let of_user = select.user.as_deref().is_none_or(|user| walk.description.user_name() == Some(user));
            if !of_user || (select.channel.is_some() && !walk.description.has_wanted()) {
                return;
            }
        }
        let generation = self.core.slab.generation(token).unwrap_or(0);
        match &mut walk.job {
            Job::List { best, selected, .. } => {
                *selected += 1;
                best.offer(Rank::new(key, self.core.reactor, token), generation);
            }
            Job::Kick { kicked, .. } => {
                *kicked += 1;
                budget.kicks -= 1;
                self.kick(token);
            }
        }
    }

    /// What a connection is sorted by: the greater one comes first.
    fn key(&self, token: Token, sort: Sort) -> u64 {
        let Some(connection) = self.core.slab.get(token) else { return 0 };
        match sort {
            Sort::Pending => connection.outbox_len() as u64,
            // A moment and no time: it stays the same from page to page.
            Sort::Idle => {
                let idle_ms = u64::from(self.core.now.since(connection.last_traffic()));
                u64::MAX - (self.core.clock.as_millis() as u64).saturating_sub(idle_ms)
            }
            Sort::Age => u64::MAX - u64::from(self.core.births.second(token)),
        }
    }

    /// Asks the service of a connection, and its filter.
    fn describe(&mut self, token: Token, into: &mut Description) {
        into.begin(self.core.handle(token));
        let Some(connection) = self.core.slab.get(token) else { return };
        if let Some(filter) = &connection.filter {
            filter.describe(into);
        }
        let service = connection.service;
        let (host, core) = self.host(service);
        host.describe(core, token, into);
    }

    /// Gives an answer.
    fn end_walk(&mut self, walk: Walk, budget: &mut Budget) {
        let mut description = walk.description;
        match walk.job {
            Job::Kick { part, kicked, .. } => part.add(|all| all.connections += kicked),
            Job::List { part, best, selected, .. } => {
                let (sorted, has_more) = best.into_sorted();
                budget.slots = budget.slots.saturating_sub(sorted.len() as u32);
                let mut found = Vec::with_capacity(sorted.len());
                for (rank, place) in sorted {
                    found.extend(self.info(rank, place, &mut description));
                }
                part.add(|all| {
                    all.connections.extend(found);
                    all.selected += selected;
                    all.has_more |= has_more;
                });
            }
        }
    }

    fn info(&mut self, rank: Rank, place: Place, description: &mut Description) -> Option<ConnectionInfo> {
        self.core.at(place)?;
        self.describe(place.token, description);
        // The service may have panicked over it.
        let connection = self.core.slab.get(place.token)?;
        Some(ConnectionInfo {
            handle: self.core.handle(place.token),
            service: usize::from(connection.service),
            peer: self.core.peers.of(place.token),
            state: ConnectionState::of(connection.state())?,
            age: Duration::from_secs(self.core.births.age_seconds(place.token, self.core.clock).into()),
            idle: Duration::from_millis(self.core.now.since(connection.last_traffic()).into()),
            pending: connection.outbox_len(),
            is_paused: connection.is_reading_paused(),
            description: description.clone(),
            rank,
        })
    }

    /// Closes a connection as its service has it.
    fn kick(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get(token) else { return };
        let (service, state) = (connection.service, connection.state());
        self.core.rares.of_mut(token).is_kicked = true;
        if state == State::Open {
            let (host, core) = self.host(service);
            match host.kick(core, token) {
                Shutdown::Close => core.ask_close(token, Flags::CLOSE_FLUSHED, KICKED),
                Shutdown::Reset => core.ask_close(token, Flags::CLOSE.or(Flags::RESET), KICKED),
                Shutdown::GoOn => {}
            }
        } else {
            self.core.ask_close(token, Flags::CLOSE, KICKED);
        }
        self.core.counters.kicked.add(1);
        self.settle(token);
    }

    /// Records what a connection has received.
    #[cold]
    pub(super) fn trace_received(&mut self, token: Token, length: usize, bytes: &[u8]) {
        let clock = self.core.clock;
        if let Some(tracing) = self.core.traces.iter_mut().find(|tracing| tracing.is_of(token)) {
            tracing.piece(Direction::Received, clock, length, bytes);
        }
    }

    /// Records what is new in the outbox of a connection.
    #[cold]
    pub(super) fn trace_sent(&mut self, token: Token) {
        let clock = self.core.clock;
        let Some(outbox) = self.core.slab.get(token).and_then(|connection| connection.outbox.as_ref()) else { return };
        let Some(tracing) = self.core.traces.iter_mut().find(|tracing| tracing.is_of(token)) else { return };
        let (from, length) = (tracing.recorded.min(outbox.len()), outbox.len());
        if from < length {
            let mut joined = Vec::new();
            tracing.piece(Direction::Sent, clock, length - from, outbox.piece(from, tracing.most(), &mut joined));
        }
        tracing.recorded = length;
    }

    /// Notes that so many bytes of the outbox of a connection have left it.
    #[cold]
    pub(super) fn trace_left(&mut self, token: Token, count: usize) {
        if let Some(tracing) = self.core.traces.iter_mut().find(|tracing| tracing.is_of(token)) {
            tracing.recorded = tracing.recorded.saturating_sub(count);
        }
    }

    /// Ends the trace of a connection that closes.
    #[cold]
    pub(super) fn trace_closed(&mut self, token: Token, reason: CloseReason) {
        if let Some(at) = self.core.traces.iter().position(|tracing| tracing.is_of(token)) {
            self.core.traces.swap_remove(at).end(TraceEvent::Closed(reason));
        }
    }

    /// Ends traces that are over.
    fn end_traces(&mut self) {
        let clock = self.core.clock;
        while let Some(at) = self.core.traces.iter().position(|tracing| tracing.is_over(clock)) {
            let tracing = self.core.traces.swap_remove(at);
            if let Some(connection) = self.core.at(tracing.place()) {
                connection.flags.clear(Flags::TRACED);
            }
            tracing.end(TraceEvent::Over);
        }
    }

    /// The slot that the first walk looks at next.
    #[cfg(test)]
    pub(crate) fn walk_is_at(&self) -> Option<Token> {
        self.walks.0.front().map(|walk| walk.next)
    }
}

impl<D: Driver> Drop for Reactor<D> {
    fn drop(&mut self) {
        // Whoever waits for an answer gets what there is.
        self.core.orders.close();
    }
}
