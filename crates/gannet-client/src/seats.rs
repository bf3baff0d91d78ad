//! Where futures on a reactor's own thread wait for their results: a table without locks, whose places are used again.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::CallError;

type Outcome<T> = Result<T, CallError>;

/// Names a place; its generation tells it from those that had the place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    place: u32,
    generation: u32,
}

struct Seat<T> {
    generation: u32,
    outcome: Option<Outcome<T>>,
    waker: Option<Waker>,
}

struct Table<T> {
    seats: Vec<Seat<T>>,
    free: Vec<u32>,
}

/// A table of places. Clones are the same table.
pub(crate) struct Seats<T>(Rc<RefCell<Table<T>>>);

impl<T> Clone for Seats<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Seats<T> {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(Table { seats: Vec::new(), free: Vec::new() })))
    }

    /// Takes a place.
    pub(crate) fn take(&self) -> Ticket {
        let mut table = self.0.borrow_mut();
        let place = table.free.pop().unwrap_or_else(|| {
            table.seats.push(Seat { generation: 0, outcome: None, waker: None });
            (table.seats.len() - 1) as u32
        });
        Ticket { place, generation: table.seats[place as usize].generation }
    }

    /// Brings an outcome to who waits for it.
    ///
    /// # Errors
    ///
    /// Nobody does any more: it is given back.
    pub(crate) fn bring(&self, ticket: Ticket, outcome: Outcome<T>) -> Result<(), Outcome<T>> {
        let waker = {
            let mut table = self.0.borrow_mut();
            let Some(seat) = table.seats.get_mut(ticket.place as usize) else { return Err(outcome) };
            if seat.generation != ticket.generation {
                return Err(outcome);
            }
            seat.outcome = Some(outcome);
            seat.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Takes the outcome, which gives the place up, or waits for it.
    pub(crate) fn poll(&self, ticket: Ticket, cx: &Context<'_>) -> Poll<Outcome<T>> {
        let mut table = self.0.borrow_mut();
        let Some(seat) = table.seats.get_mut(ticket.place as usize).filter(|seat| seat.generation == ticket.generation)
        else {
            return Poll::Pending;
        };
        if let Some(outcome) = seat.outcome.take() {
            table.leave(ticket.place);
            return Poll::Ready(outcome);
        }
        if !seat.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            seat.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Gives a place up, and returns the outcome that nobody took.
    pub(crate) fn leave(&self, ticket: Ticket) -> Option<Outcome<T>> {
        let mut table = self.0.borrow_mut();
        let seat = table.seats.get_mut(ticket.place as usize).filter(|seat| seat.generation == ticket.generation)?;
        let outcome = seat.outcome.take();
        table.leave(ticket.place);
        outcome
    }
}

impl<T> Table<T> {
    fn leave(&mut self, place: u32) {
        let seat = &mut self.seats[place as usize];
        seat.generation = seat.generation.wrapping_add(1);
        seat.waker = None;
        self.free.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_reaches_its_own_ticket_and_none_that_has_the_place_later() {
        let (seats, cx) = (Seats::new(), &Context::from_waker(Waker::noop()));
        let first = seats.take();
        assert!(seats.poll(first, cx).is_pending());
        assert_eq!(seats.leave(first), None);
        let second = seats.take();
        assert_eq!(second.place, first.place);
        assert_eq!(seats.bring(first, Ok(1)), Err(Ok(1)));
        assert!(seats.poll(second, cx).is_pending());
        assert_eq!(seats.bring(second, Ok(2)), Ok(()));
        assert_eq!(seats.poll(second, cx), Poll::Ready(Ok(2)));
        assert_eq!(seats.bring(second, Ok(3)), Err(Ok(3)));
    }

    #[test]
    fn an_outcome_that_nobody_took_is_given_back_when_the_place_is_given_up() {
        let seats = Seats::new();
        let ticket = seats.take();
        assert_eq!(seats.bring(ticket, Ok(7)), Ok(()));
        assert_eq!(seats.leave(ticket), Some(Ok(7)));
        assert_eq!(seats.leave(ticket), None);
    }
}
