//! The channels that have subscribers on this reactor.

use std::sync::Arc;

use hashbrown::HashTable;

use super::batch::Batch;
use crate::name::Identity;
use crate::space::shrink;
use crate::subscribe::Flags;

/// A subscriber in a channel's list, which a delivery walks: 16 bytes, so that four are in a cache line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscriber {
    /// The number of the first event that it gets.
    pub(super) since: u64,
    /// The index among the roster's clients.
    pub(super) client: u32,
    pub(super) flags: Flags,
    pub(super) format: u8,
}

/// A channel with subscribers on this reactor.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) channel: Arc<Identity>,
    pub(super) subscribers: Vec<Subscriber>,
    /// The newest offset that arrived here, or that was passed over with a word to the subscribers.
    pub(super) top: u64,
    /// The number of the channel's next event when the reactor got its first subscriber.
    pub(super) first: u64,
    /// Subscribers with a position.
    pub(super) positioned: u32,
    /// Events that wait for the end of the coalescing delay.
    pub(super) batch: Option<Box<Batch>>,
}

impl Local {
    pub(super) fn new(channel: Arc<Identity>, first: u64, top: u64) -> Self {
        Self { channel, subscribers: Vec::new(), top, first, positioned: 0, batch: None }
    }

    pub(super) fn add(&mut self, subscriber: Subscriber) {
        // Doubling would leave a large channel with half of its list empty.
        if self.subscribers.len() == self.subscribers.capacity() {
            self.subscribers.reserve_exact(self.subscribers.len() / 4 + 1);
        }
        self.positioned += u32::from(subscriber.flags.has(Flags::POSITIONED));
        self.subscribers.push(subscriber);
    }

    /// Removes the subscriber at a place. `cursor` is how many of the list a delivery has passed; these stay in front of
    /// the others, so that the delivery reaches each subscriber once. Returns the places that have another subscriber now.
    pub(super) fn remove(&mut self, at: usize, cursor: Option<&mut usize>) -> [Option<usize>; 2] {
        self.positioned -= u32::from(self.subscribers[at].flags.has(Flags::POSITIONED));
        let mut hole = at;
        let mut moved = [None; 2];
        if let Some(cursor) = cursor
            && at < *cursor
        {
            *cursor -= 1;
            if at != *cursor {
                self.subscribers[at] = self.subscribers[*cursor];
                moved[0] = Some(at);
            }
            hole = *cursor;
        }
        self.subscribers.swap_remove(hole);
        if hole < self.subscribers.len() {
            moved[1] = Some(hole);
        }
        if self.subscribers.capacity() > 64 && self.subscribers.len() < self.subscribers.capacity() / 4 {
            self.subscribers.shrink_to(self.subscribers.len() * 2);
        }
        moved
    }
}

/// Channels of a chunk: chunks never move, so that many channels are not copied to make room for one more.
const CHUNK: usize = 64;

/// The channels with subscribers on this reactor, at indices that stay while they have some.
#[derive(Debug, Default)]
pub(super) struct Locals {
    chunks: Vec<Vec<Option<Local>>>,
    vacant: Vec<u32>,
    names: HashTable<u32>,
}

impl Locals {
    pub(super) fn find(&self, name: &str, hash: u64) -> Option<u32> {
        self.names.find(hash, |local| self.get(*local).is_some_and(|there| there.channel.is_named(name))).copied()
    }

    pub(super) fn get(&self, local: u32) -> Option<&Local> {
        at(&self.chunks, local)
    }

    pub(super) fn get_mut(&mut self, local: u32) -> Option<&mut Local> {
        self.slot(local)?.as_mut()
    }

    fn slot(&mut self, local: u32) -> Option<&mut Option<Local>> {
        self.chunks.get_mut(local as usize / CHUNK)?.get_mut(local as usize % CHUNK)
    }

    /// The index that the next channel gets.
    pub(super) fn next_index(&self) -> u32 {
        self.vacant.last().copied().unwrap_or_else(|| self.end())
    }

    /// Adds a channel at the index that `next_index` gave.
    pub(super) fn insert(&mut self, local: Local) {
        let (index, hash) = (self.next_index(), local.channel.hash());
        if self.vacant.pop().is_some() {
            if let Some(slot) = self.slot(index) {
                *slot = Some(local);
            }
        } else {
            match self.chunks.last_mut() {
                Some(chunk) if chunk.len() < CHUNK => chunk.push(Some(local)),
                _ => {
                    let mut chunk = Vec::with_capacity(CHUNK);
                    chunk.push(Some(local));
                    self.chunks.push(chunk);
                }
            }
        }
        let chunks = &self.chunks;
        self.names.insert_unique(hash, index, |index| hash_at(chunks, *index));
    }

    pub(super) fn remove(&mut self, local: u32) {
        let Some(gone) = self.slot(local).and_then(Option::take) else { return };
        if let Ok(entry) = self.names.find_entry(gone.channel.hash(), |index| *index == local) {
            entry.remove();
        }
        self.vacant.push(local);
        let chunks = &self.chunks;
        shrink(&mut self.names, |index| hash_at(chunks, *index));
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// One more than the highest index that was ever used.
    pub(super) fn end(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        (full + self.chunks.last().map_or(0, Vec::len)) as u32
    }
}

fn at(chunks: &[Vec<Option<Local>>], local: u32) -> Option<&Local> {
    chunks.get(local as usize / CHUNK)?.get(local as usize % CHUNK)?.as_ref()
}

fn hash_at(chunks: &[Vec<Option<Local>>], local: u32) -> u64 {
    at(chunks, local).map_or(0, |local| local.channel.hash())
}

const _: () = assert!(size_of::<Subscriber>() == 16);
