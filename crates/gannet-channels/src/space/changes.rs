//! What becomes of a shard's channels when their namespaces change.

use std::cmp::Reverse;
use std::sync::Arc;

use super::presence::Presence;
use super::shard::{Due, Shard, account};
use super::shared::Shared;
use super::stream::{Size, Stream};
use super::table::{Slot, Table};
use crate::stats::Tally;
use crate::time::Time;

/// A shard and the namespaces that it knows, under one lock.
pub(super) struct Locked {
    pub(super) table: Arc<Table>,
    pub(super) shard: Shard,
}

/// What is dropped when the lock is released: it may be much.
#[derive(Default)]
pub(super) struct Garbage {
    #[allow(dead_code, reason = "held for its end")]
    presences: Vec<Presence>,
    #[allow(dead_code, reason = "held for its end")]
    streams: Vec<Stream>,
}

impl Locked {
    pub(super) fn new(shared: &Shared, table: Arc<Table>) -> Self {
        Self { shard: Shard::new(shared, table.slots().len()), table }
    }

    /// Makes the channels what a newer table says. Whoever has the newer table first does it, so every call that follows sees
    /// both at once.
    pub(super) fn catch_up(&mut self, shared: &Shared, newer: &Arc<Table>, now: Time) -> Garbage {
        let mut garbage = Garbage::default();
        if newer.generation <= self.table.generation {
            return garbage;
        }
        let older = std::mem::replace(&mut self.table, Arc::clone(newer));
        self.shard.tallies.resize(newer.slots().len(), Tally::default());
        let is_same =
            |number: usize| older.slots().get(number).is_some_and(|slot| Arc::ptr_eq(slot, newer.slot(number)));
        if (0..newer.slots().len()).all(is_same) {
            return garbage;
        }
        let mut emptied = Vec::new();
        for channel in &mut self.shard.channels {
            let number = channel.identity.namespace();
            if is_same(number) {
                continue;
            }
            let Some(before) = older.slots().get(number) else { continue };
            let after = newer.slot(number);
            if before.options.presence && !after.options.presence || !after.is_there {
                garbage.presences.extend(channel.presence.take());
            }
            let size = channel.stream.size();
            match (before.options.has_history(), after.options.has_history()) {
                (true, false) => garbage.streams.push(std::mem::take(&mut channel.stream)),
                // What was published meanwhile is in no history: nobody may recover past it.
                (false, true) if channel.top > 0 => channel.top += 1,
                _ => channel.stream.shorten(after.options.history_size),
            }
            account(shared, size, channel.stream.size());
            if size != Size::default() && channel.is_empty() {
                emptied.push(Arc::clone(&channel.identity));
            }
        }
        for identity in emptied {
            self.shard.rest(shared, identity.name(), identity.hash(), now);
        }
        if newer.slots().iter().zip(older.slots()).any(|(after, before)| ages_otherwise(before, after)) {
            self.shard.age_anew(newer);
        }
        garbage
    }
}

fn ages_otherwise(before: &Slot, after: &Slot) -> bool {
    before.options.history_ttl != after.options.history_ttl
}

impl Shard {
    /// Orders the channels whose histories age by when that is now.
    fn age_anew(&mut self, table: &Table) {
        for Reverse(Due(_, identity)) in std::mem::take(&mut self.aging) {
            let Some(channel) = self.find_mut(&identity) else { continue };
            match channel.stream.expiry(&table.slot(identity.namespace()).options) {
                Some(expiry) => self.aging.push(Reverse(Due(expiry, identity))),
                None => channel.aging = false,
            }
        }
    }
}
