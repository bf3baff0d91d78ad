//! Which keys go when the store takes more memory than it may.
//!
//! Keys are chosen among a few that are looked at by chance, one shard locked at a time and never while any other is:
//! so this is done before a command locks its keys, and by the thread that removes keys whose time has come.

use super::memory::Policy;
use super::server::Server;
use crate::command::error::{Error, Outcome};
use crate::store::garbage::Garbage;
use crate::store::random::Random;
use crate::store::{Key, SHARDS, Store};

/// Keys that go before one command at most: it is not to wait for long. Whatever is left is for the next one.
const MOST_AT_ONCE: usize = 128;

/// Keys that are looked at for each one that goes.
const SAMPLES: usize = 5;

/// Places that are looked at for one that is used.
const PROBES: usize = 16;

/// Candidates that are remembered: the best of many that were looked at are better than the best of a few.
const POOL: usize = 16;

const NO_MEMORY: Error = Error::new("OOM command not allowed when used memory > 'maxmemory'.");

/// A key that may go.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The lowest goes first: when it was used last, or when it expires.
    rank: u64,
    db: u8,
    key: Box<[u8]>,
}

/// Chooses what goes.
#[derive(Debug, Default)]
pub(crate) struct Eviction {
    /// The best candidates so far, in order.
    pool: Vec<Candidate>,
    /// What it was that they were ranked by.
    policy: Policy,
}

impl Eviction {
    /// Removes keys until the store takes no more than it may, or some have gone. No shard may be locked by the caller.
    ///
    /// # Errors
    ///
    /// The store takes more than it may, and nothing can go.
    pub(crate) fn make_room(&mut self, server: &Server, random: &mut Random, garbage: &mut Vec<Garbage>) -> Outcome {
        let (limit, store, policy) = (server.memory.limit(), &server.store, server.memory.policy());
        if policy != self.policy {
            *self = Self { pool: Vec::new(), policy };
        }
        for evicted in 0..MOST_AT_ONCE {
            if limit == 0 || store.bytes() <= limit {
                break;
            }
            if !self.evict(store, random, garbage) {
                return if evicted == 0 { Err(NO_MEMORY) } else { Ok(()) };
            }
            server.memory.count_evicted();
        }
        Ok(())
    }

    /// Removes the best candidate. `false` if there is none.
    fn evict(&mut self, store: &Store, random: &mut Random, garbage: &mut Vec<Garbage>) -> bool {
        if self.policy == Policy::NoEviction {
            return false;
        }
        // The second time, keys that were remembered and have changed are no longer in the way.
        for _ in 0..2 {
            self.look(store, random);
            while !self.pool.is_empty() {
                let Candidate { rank, db, key } = self.pool.remove(0);
                let key = Key::new(&key);
                let mut locked = store.lock_one(key);
                let space = locked.space(db, key);
                let unchanged = space.ranked(key).is_some_and(|entry| rank_of(entry, self.policy) == Some(rank));
                if unchanged && let Some(entry) = space.evict(key) {
                    drop(locked);
                    Garbage::keep(entry, garbage);
                    return true;
                }
            }
        }
        false
    }

    /// Looks at a few keys, from a shard chosen by chance on.
    fn look(&mut self, store: &Store, random: &mut Random) {
        let start = random.below(SHARDS);
        let mut seen = 0;
        for shard in (start..SHARDS).chain(0..start) {
            if seen >= SAMPLES {
                break;
            }
            let mut locked = store.lock_shard(shard);
            let shard = locked.shard(shard);
            for db in shard.databases() {
                let Some(space) = shard.existing(db) else { continue };
                let entry = match self.policy {
                    Policy::VolatileTtl => space.soonest(),
                    _ => space.sample(random, PROBES),
                };
                if let Some(entry) = entry
                    && let Some(rank) = rank_of(entry, self.policy)
                {
                    seen += 1;
                    self.remember(rank, db, entry.key());
                }
            }
        }
    }

    fn remember(&mut self, rank: u64, db: u8, key: &[u8]) {
        let at = self.pool.partition_point(|other| other.rank < rank);
        let known = self.pool.iter().any(|other| other.db == db && *other.key == *key);
        if at < POOL && !known {
            self.pool.insert(at, Candidate { rank, db, key: key.into() });
            self.pool.truncate(POOL);
        }
    }
}
