//! What is known of the whole store without a lock.
//!
//! Every shard tells what has changed in it before it is let go: the number of keys always, bytes where it is worth it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::DATABASES;

/// Sums over all shards.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) bytes: AtomicI64,
    pub(super) expired: AtomicU64,
    pub(super) databases: [Database; DATABASES],
}

#[derive(Debug, Default)]
pub(super) struct Database {
    pub(super) keys: AtomicI64,
    pub(super) expiring: AtomicI64,
}

impl Counts {
    /// Bytes that all entries take, as the allocator rounds them; each shard may be off by a KiB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        read(&self.bytes)
    }

    /// Keys that were removed because their time had come.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// The keys of a database, those that have expired and were not removed yet included.
    #[must_use]
    pub fn keys(&self, db: u8) -> usize {
        read(&self.databases[usize::from(db)].keys)
    }

    /// Those of them that expire.
    #[must_use]
    pub fn expiring(&self, db: u8) -> usize {
        read(&self.databases[usize::from(db)].expiring)
    }

    /// The keys of all databases.
    #[must_use]
    pub fn all_keys(&self) -> usize {
        self.databases.iter().map(|database| read(&database.keys)).sum()
    }

    /// Those of them that expire.
    #[must_use]
    pub fn all_expiring(&self) -> usize {
        self.databases.iter().map(|database| read(&database.expiring)).sum()
    }
}

/// One shard may tell what it has lost before another one tells what it has gained: below 0 is not shown.
fn read(sum: &AtomicI64) -> usize {
    usize::try_from(sum.load(Ordering::Relaxed)).unwrap_or(0)
}
