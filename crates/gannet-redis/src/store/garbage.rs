//! What was taken out of the store and may take long to drop.

use super::entry::Entry;
use super::hash::Leased;
use super::space::Space;

/// What was taken out of the store, to be dropped where that holds nobody up.
#[derive(Debug)]
pub enum Garbage {
    /// All keys of a database in one shard.
    Space(Box<Space>),
    /// One key with its value.
    Entry(Entry),
    /// A hash that a reply has read, and that may be in no store any more.
    Leased(Leased),
}

/// Entries from this size on are dropped elsewhere: one thread has to tell the other, which takes some time too.
const LARGE_BYTES: usize = 64 << 10;

impl Garbage {
    /// Keeps an entry to be dropped elsewhere, if it is large.
    pub fn keep(entry: Entry, garbage: &mut Vec<Self>) {
        if entry.cost() >= LARGE_BYTES {
            garbage.push(Self::Entry(entry));
        }
    }
}
