//! Coalescing: the events of a channel that wait for the end of their window, to leave as one frame.
//!
//! A window belongs to a channel on a reactor, not to a client: all subscribers of the channel get the same events at its
//! end, so the joined frame is built once for each wire format. Windows end at whole multiples of the delay. So all
//! channels of a namespace send in the same turn, and the frames of one client leave in one system call.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::delivery::{Delivery, Event};
use crate::limits::Limits;
use crate::time::Time;

/// The events of one window.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) due: Time,
    deliveries: Vec<Arc<Delivery>>,
    bytes: usize,
}

/// A batch that is to be sent.
#[derive(Debug)]
pub(super) struct Frames {
    /// All events; the events themselves, for subscribers that came in the middle of the window.
    pub(super) all: Arc<Delivery>,
    /// The same without join and leave events, for subscribers that did not ask for them; `None` if none are left.
    pub(super) plain: Option<Arc<Delivery>>,
}

impl Batch {
    pub(super) fn new(due: Time) -> Self {
        Self { due, deliveries: Vec::new(), bytes: 0 }
    }

    /// Adds the next event. Returns whether the batch is full.
    pub(super) fn push(&mut self, delivery: Arc<Delivery>, limits: &Limits) -> bool {
        self.bytes += delivery.size();
        self.deliveries.push(delivery);
        self.deliveries.len() >= limits.batch_events || self.bytes >= limits.batch_bytes
    }

    /// Joins the events. A batch is never empty.
    pub(super) fn close(self) -> Option<Frames> {
        let publications = || self.deliveries.iter().filter(|delivery| !delivery.is_about_presence());
        let plain = match publications().count() {
            0 => None,
            all if all == self.deliveries.len() => Some(None),
            _ => Some(Some(join(publications().cloned().collect())?)),
        };
        let all = join(self.deliveries)?;
        // Without joins and leaves, both are one, and are encoded once.
        let plain = plain.map(|plain| plain.unwrap_or_else(|| Arc::clone(&all)));
        Some(Frames { all, plain })
    }
}

/// One delivery of several; a single one stays as it is, and as it may be encoded already.
fn join(deliveries: Vec<Arc<Delivery>>) -> Option<Arc<Delivery>> {
    let (first, last) = (deliveries.first()?, deliveries.last()?);
    if deliveries.len() == 1 {
        return Some(Arc::clone(first));
    }
    let (channel, seq, top) = (Arc::clone(first.identity()), first.seq(), last.top());
    Some(Arc::new(Delivery::new(channel, seq, top, Event::Batch(deliveries))))
}

/// When which channel's window ends. Entries may be out of date: the batch itself knows.
#[derive(Debug, Default)]
pub(super) struct Dues(BinaryHeap<Reverse<(Time, u32)>>);

impl Dues {
    pub(super) fn push(&mut self, due: Time, local: u32) {
        self.0.push(Reverse((due, local)));
    }

    /// The end of the first window.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    /// A channel whose window may have ended.
    pub(super) fn pop(&mut self, now: Time) -> Option<u32> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, local))| local)
    }
}
