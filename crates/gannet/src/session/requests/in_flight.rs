//! The requests of a connection that are in flight: their futures in memory that is used again, and their outcomes.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

/// Places for futures that are kept while no request is in flight, and requests that there is room for then.
const KEPT: usize = 4;

/// What a request is answered with.
pub(super) enum Outcome<R> {
    Reply(R),
    Failed(String),
    TimedOut,
    Cancelled,
}

/// Room for a future, which stays in its place.
type Room<F> = Pin<Box<Option<F>>>;

enum State<F, R> {
    Runs(Room<F>),
    Ends(Outcome<R>),
}

struct Slot<F, R> {
    id: u32,
    /// When it times out, on the reactor's clock.
    due: Option<Duration>,
    state: State<F, R>,
}

/// See the module. In the order of their arrival; all have the same time, so the first is due first.
pub(super) struct InFlight<F, R> {
    slots: VecDeque<Slot<F, R>>,
    spare: Vec<Room<F>>,
    /// Those that have an outcome.
    ended: usize,
}

impl<F, R> InFlight<F, R> {
    pub(super) fn new() -> Self {
        Self { slots: VecDeque::new(), spare: Vec::new(), ended: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn has(&self, id: u32) -> bool {
        self.slots.iter().any(|slot| slot.id == id)
    }

    /// Ends the request at this place, if it runs: its future is dropped.
    fn end(&mut self, index: usize, outcome: Outcome<R>) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if let State::Runs(room) = &mut slot.state {
            room.set(None);
            if let State::Runs(room) = std::mem::replace(&mut slot.state, State::Ends(outcome)) {
                self.spare.push(room);
            }
            self.ended += 1;
        }
    }

    /// Ends a request, if it runs.
    pub(super) fn cancel(&mut self, id: u32) {
        if let Some(index) = self.slots.iter().position(|slot| slot.id == id) {
            self.end(index, Outcome::Cancelled);
        }
    }

    /// Ends those that are due, and says when the next one is.
    pub(super) fn expire(&mut self, now: Duration) -> Option<Duration> {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            if let (State::Runs(_), Some(due)) = (&slot.state, slot.due) {
                if due > now {
                    return Some(due);
                }
                self.end(index, Outcome::TimedOut);
            }
        }
        None
    }

    /// The request that is to be answered next, if one is.
    pub(super) fn next_ended(&self, in_order: bool) -> Option<usize> {
        if self.ended == 0 {
            return None;
        }
        let mut ended = self.slots.iter().map(|slot| matches!(slot.state, State::Ends(_)));
        if in_order { ended.next().filter(|is| *is).map(|_| 0) } else { ended.position(|is| is) }
    }

    /// Takes out a request that has an outcome.
    pub(super) fn take(&mut self, index: usize) -> Option<(u32, Outcome<R>)> {
        let Slot { id, state, .. } = self.slots.remove(index)?;
        if self.slots.is_empty() && self.slots.capacity() > 2 * KEPT {
            // A connection without requests keeps little.
            self.slots = VecDeque::new();
            self.spare.truncate(KEPT);
            self.spare.shrink_to_fit();
        }
        match state {
            State::Ends(outcome) => {
                self.ended -= 1;
                Some((id, outcome))
            }
            State::Runs(_) => None,
        }
    }
}

impl<F, R, E> InFlight<F, R>
where
    F: Future<Output = Result<R, E>>,
    E: Display,
{
    /// Adds a request, and polls its future for the first time.
    pub(super) fn start(&mut self, id: u32, due: Option<Duration>, future: F, cx: &mut TaskContext<'_>) {
        let mut room = self.spare.pop().unwrap_or_else(|| Box::pin(None));
        room.set(Some(future));
        self.slots.push_back(Slot { id, due, state: State::Runs(room) });
        self.poll_at(self.slots.len() - 1, cx);
    }

    /// Polls all that run.
    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) {
        for index in 0..self.slots.len() {
            self.poll_at(index, cx);
        }
    }

    fn poll_at(&mut self, index: usize, cx: &mut TaskContext<'_>) {
        let State::Runs(room) = &mut self.slots[index].state else { return };
        let Some(future) = room.as_mut().as_pin_mut() else { return };
        if let Poll::Ready(result) = future.poll(cx) {
            let outcome = match result {
                Ok(reply) => Outcome::Reply(reply),
                Err(error) => Outcome::Failed(error.to_string()),
            };
            self.end(index, outcome);
        }
    }
}
