//! How an order reaches the reactors, and how their answers become one.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ids::Place;

use super::InspectError;
use super::closed::{ClosedConnection, ClosedQuery};
use super::page::{Found, Kicked};
use super::query::{Query, Selection};
use super::trace::Recorder;

/// Orders that wait at one reactor.
const MOST_WAITING: usize = 256;

/// What a reactor is to do for an operator.
pub(crate) enum Order {
    /// Find connections.
    List { query: Arc<Query>, part: Part<Found> },
    /// Close connections.
    Kick { select: Arc<Selection>, part: Part<Kicked> },
    /// Show those that have closed.
    Closed { query: Arc<ClosedQuery>, part: Part<Vec<ClosedConnection>> },
    /// Record the traffic of one.
    Trace { place: Place, recorder: Recorder },
}

#[derive(Default)]
struct Waiting {
    orders: Vec<Order>,
    closed: bool,
}

/// The orders that wait at one reactor. They need no room in its mailbox, so an operator is heard when that is full.
#[derive(Default)]
pub(crate) struct Orders {
    any: AtomicBool,
    waiting: Mutex<Waiting>,
}

impl Orders {
    /// Leaves an order, on any thread. The caller rings.
    pub(crate) fn leave(&self, order: Order) -> Result<(), InspectError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return Err(InspectError::NotRunning);
        }
        if waiting.orders.len() >= MOST_WAITING {
            return Err(InspectError::Busy);
        }
        waiting.orders.push(order);
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether any waits. Costs one load of memory that is seldom written.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Takes all that wait, on the reactor's thread.
    pub(crate) fn take(&self) -> Vec<Order> {
        self.any.swap(false, Ordering::AcqRel);
        mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner).orders)
    }

    /// Takes no more: the reactor ends. What waits is dropped, and counts as answered.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        let dropped = mem::take(&mut waiting.orders);
        // Whoever is called back may want to give another order.
        drop(waiting);
        drop(dropped);
    }
}

type Done<T> = Box<dyn FnOnce(T) + Send>;

struct Sum<T> {
    parts: usize,
    /// Until it was given away.
    answer: Option<(T, Done<T>)>,
}

/// One reactor's part of an answer. The last one that goes calls back, also where it was dropped without an answer.
pub(crate) struct Part<T> {
    sum: Arc<Mutex<Sum<T>>>,
}

impl<T: Default> Part<T> {
    /// So many parts of one answer.
    pub(crate) fn all(parts: usize, done: impl FnOnce(T) + Send + 'static) -> Vec<Self> {
        let sum = Arc::new(Mutex::new(Sum { parts, answer: Some((T::default(), Box::new(done))) }));
        (0..parts).map(|_| Self { sum: sum.clone() }).collect()
    }
}

impl<T> Part<T> {
    /// Adds to the answer.
    pub(crate) fn add(&self, add: impl FnOnce(&mut T)) {
        if let Some((value, _)) = &mut self.sum.lock().unwrap_or_else(PoisonError::into_inner).answer {
            add(value);
        }
    }

    /// Drops an answer that nobody is called back with.
    pub(crate) fn forget(&self) {
        self.sum.lock().unwrap_or_else(PoisonError::into_inner).answer = None;
    }
}

impl<T> Drop for Part<T> {
    fn drop(&mut self) {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.parts -= 1;
        let answer = if sum.parts == 0 { sum.answer.take() } else { None };
        drop(sum);
        if let Some((value, done)) = answer {
            done(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_last_part_calls_back_with_what_all_have_added_also_where_some_were_dropped() {
        let (sender, receiver) = mpsc::channel();
        let parts: Vec<Part<u32>> = Part::all(3, move |sum| sender.send(sum).expect("the test waits"));
        for (index, part) in parts.into_iter().enumerate() {
            receiver.try_recv().expect_err("not all have answered");
            if index != 1 {
                part.add(|sum| *sum += 5);
            }
        }
        assert_eq!(receiver.try_recv(), Ok(10));
    }

    #[test]
    fn a_reactor_that_ends_answers_what_waits_and_takes_no_more() {
        let (sender, receiver) = mpsc::channel();
        let orders = Orders::default();
        let kick = |parts: &mut Vec<Part<Kicked>>| Order::Kick {
            select: Arc::default(),
            part: parts.pop().expect("one for each order"),
        };
        let mut parts = Part::all(2, move |kicked| sender.send(kicked).expect("the test waits"));
        orders.leave(kick(&mut parts)).expect("there is room");
        assert!(orders.is_any());
        orders.close();
        assert_eq!(orders.leave(kick(&mut parts)), Err(InspectError::NotRunning));
        assert_eq!(receiver.try_recv(), Ok(Kicked::default()));
    }

    #[test]
    fn a_reactor_takes_a_bounded_number_of_orders() {
        let orders = Orders::default();
        let mut parts = Part::<Kicked>::all(MOST_WAITING + 1, |_| {});
        let mut leave = || {
            let part = parts.pop().expect("one for each order");
            orders.leave(Order::Kick { select: Arc::default(), part })
        };
        (0..MOST_WAITING).for_each(|_| leave().expect("there is room"));
        assert_eq!(leave(), Err(InspectError::Busy));
        assert_eq!(orders.take().len(), MOST_WAITING);
        assert!(!orders.is_any());
    }
}
