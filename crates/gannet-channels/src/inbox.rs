//! Inboxes: how deliveries and orders reach a reactor.
//!
//! Any thread puts something in; the reactor's roster takes all at once. Nothing here waits for room: what is over the
//! bound is noted as lost, by channel.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::delivery::Delivery;
use crate::hash::spread;
use crate::limits::Limits;
use crate::name::Identity;
use crate::order::Issued;

/// Called when an inbox is not empty any more, on the thread that put something in. It must not call into the space.
pub type Waker = Box<dyn Fn() + Send + Sync>;

/// Something on its way to a reactor.
#[derive(Debug)]
pub(crate) enum Item {
    /// An event of the channel that the roster keeps at this index.
    Delivery(u32, Arc<Delivery>),
    Order(Arc<Issued>),
}

/// What a reactor did not get of a channel.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) channel: Arc<Identity>,
    /// The number of the newest event that was lost.
    pub(crate) seq: u64,
    /// The channel's newest offset after that event.
    pub(crate) top: u64,
}

/// Hashes the small numbers that we gave ourselves.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl std::hash::Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = spread(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = spread(self.0 ^ u64::from(number));
    }
}

/// A map by numbers that we gave ourselves.
pub(crate) type ByIndex<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

#[derive(Debug, Default)]
struct Waiting {
    items: Vec<Item>,
    /// Of the deliveries in `items`.
    bytes: usize,
    deliveries: usize,
    orders: usize,
    /// By the roster's index of the channel.
    lost: ByIndex<u32, Lost>,
    /// The waker was called, and the roster has not found the inbox empty since.
    awake: bool,
    /// The roster is there: see `open` and `close`.
    open: bool,
    /// Deliveries that were lost, since the start.
    lost_deliveries: u64,
    lost_bytes: u64,
}

/// What waits for one reactor.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    waker: OnceLock<Waker>,
}

impl Inbox {
    /// Sets what is called when the inbox gets its first item. Returns whether there was none so far.
    pub(crate) fn set_waker(&self, waker: Waker) -> bool {
        self.waker.set(waker).is_ok()
    }

    /// Calls the waker. No lock is held.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker();
        }
    }

    /// A roster begins. Returns whether there was none.
    pub(crate) fn open(&self) -> bool {
        !std::mem::replace(&mut self.lock().open, true)
    }

    /// The roster ended: what comes from now on is dropped.
    pub(crate) fn close(&self) {
        let dropped = {
            let mut waiting = self.lock();
            std::mem::take(&mut *waiting)
        };
        let mut waiting = self.lock();
        (waiting.lost_deliveries, waiting.lost_bytes) = (dropped.lost_deliveries, dropped.lost_bytes);
    }

    /// Adds an event of a channel. Called under the lock of the channel's shard. Returns whether to call `wake` later.
    pub(crate) fn push(&self, local: u32, delivery: &Arc<Delivery>, limits: &Limits) -> bool {
        let mut waiting = self.lock();
        if !waiting.open {
            return false;
        }
        let bytes = waiting.bytes + delivery.size();
        if waiting.deliveries >= limits.inbox_items || bytes > limits.inbox_bytes {
            waiting.lost_deliveries += 1;
            waiting.lost_bytes += delivery.size() as u64;
            let channel = Arc::clone(delivery.identity());
            waiting.lost.insert(local, Lost { channel, seq: delivery.seq(), top: delivery.top() });
        } else {
            waiting.bytes = bytes;
            waiting.deliveries += 1;
            waiting.items.push(Item::Delivery(local, Arc::clone(delivery)));
        }
        !std::mem::replace(&mut waiting.awake, true)
    }

    /// Adds an order. Returns whether to call `wake` later, and `None` if there are too many.
    pub(crate) fn order(&self, order: &Arc<Issued>, limits: &Limits) -> Option<bool> {
        let mut waiting = self.lock();
        if !waiting.open {
            return Some(false);
        }
        if waiting.orders >= limits.inbox_orders {
            return None;
        }
        waiting.orders += 1;
        waiting.items.push(Item::Order(Arc::clone(order)));
        Some(!std::mem::replace(&mut waiting.awake, true))
    }

    /// Takes all, into two lists that are empty. Returns whether there was anything.
    pub(crate) fn take(&self, items: &mut Vec<Item>, lost: &mut Vec<(u32, Lost)>) -> bool {
        let mut waiting = self.lock();
        if waiting.items.is_empty() && waiting.lost.is_empty() {
            waiting.awake = false;
            return false;
        }
        std::mem::swap(&mut waiting.items, items);
        (waiting.bytes, waiting.deliveries, waiting.orders) = (0, 0, 0);
        if !waiting.lost.is_empty() {
            lost.extend(waiting.lost.drain());
        }
        true
    }

    /// How many deliveries wait, and how many deliveries and bytes were lost since the start.
    pub(crate) fn figures(&self) -> (usize, u64, u64) {
        let waiting = self.lock();
        (waiting.deliveries, waiting.lost_deliveries, waiting.lost_bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What a panic left behind is still a list of items: each of them stands for itself.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
