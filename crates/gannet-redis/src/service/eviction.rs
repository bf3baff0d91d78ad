//! Which keys go when the store takes more memory than it may.
//!
//! Keys are chosen among a few that are looked at by chance, one shard locked at a time and never while any other is:
//! so this is done before a command locks its keys, and by the thread that removes keys whose time has come.

use super::memory::Policy;
use super::server::Server;
use crate::command::error::Error;
use crate::store::entry::Entry;
use crate::store::garbage::Garbage;
use crate::store::random::Random;
use crate::store::space::Slot;
use crate::store::{Key, SHARDS, Store};

/// Keys that go before one command at most: it is not to wait for long.
const MOST_AT_ONCE: usize = 128;

/// From so many bytes over the limit on, keys go by the dozen: choosing each with care would take too long.
const FAR_OVER_BYTES: usize = 1 << 20;

/// Keys of a shard that are looked at together when they go by the dozen; one of [`SAMPLES`] goes.
const LOOKED_AT: usize = 64;

/// Shards that are looked at for one command at most, when keys go by the dozen.
const SHARDS_AT_ONCE: usize = 8;

/// Bytes that go for one command at most, when keys go by the dozen: dropping them takes time too.
const BYTES_AT_ONCE: usize = 64 << 20;

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
    /// Keys that were looked at together.
    ranked: Vec<(u64, Slot)>,
}

impl Eviction {
    /// Removes keys until the store takes no more than it may, or some have gone; says whether there is room now. No shard
    /// may be locked by the caller.
    ///
    /// # Errors
    ///
    /// The store takes more than it may, and nothing can go.
    pub(crate) fn make_room(
        &mut self,
        server: &Server,
        random: &mut Random,
        garbage: &mut Vec<Garbage>,
    ) -> Result<bool, Error> {
        let (store, policy) = (&server.store, server.memory.policy());
        if policy != self.policy {
            *self = Self { policy, ..Self::default() };
        }
        if server.memory.excess(store) >= FAR_OVER_BYTES && self.evict_many(server, random, garbage) > 0 {
            return Ok(!server.memory.is_over(store));
        }
        for evicted in 0..MOST_AT_ONCE {
            if !server.memory.is_over(store) {
                break;
            }
            if !self.evict(store, random, garbage) {
                return if evicted == 0 { Err(NO_MEMORY) } else { Ok(!server.memory.is_over(store)) };
            }
            server.memory.count_evicted(1);
        }
        Ok(!server.memory.is_over(store))
    }

    /// Removes those keys of a few shards that should go first, until the store is not far over its limit, and says how
    /// many went.
    fn evict_many(&mut self, server: &Server, random: &mut Random, garbage: &mut Vec<Garbage>) -> usize {
        let (store, policy) = (&server.store, self.policy);
        let (mut number, mut evicted, mut bytes) = (random.below(SHARDS), 0, 0);
        for _ in 0..SHARDS_AT_ONCE {
            // What goes from this shard is counted when it is let go.
            let mut excess = server.memory.excess(store);
            if excess < FAR_OVER_BYTES || bytes >= BYTES_AT_ONCE {
                break;
            }
            let mut locked = store.lock_shard(number);
            let shard = locked.shard(number);
            for db in shard.databases() {
                let Some(space) = shard.existing(db) else { continue };
                self.ranked.clear();
                match policy {
                    Policy::NoEviction => return 0,
                    Policy::AllKeysLru => {
                        space.sample_ranks(random, LOOKED_AT, |entry| rank_of(entry, policy), &mut self.ranked);
                        self.ranked.sort_unstable_by_key(|(rank, _)| *rank);
                        self.ranked.truncate(self.ranked.len().div_ceil(SAMPLES));
                    }
                    Policy::VolatileTtl => space.first_to_expire(LOOKED_AT / SAMPLES, &mut self.ranked),
                }
                for (_, slot) in &self.ranked {
                    if excess < FAR_OVER_BYTES || bytes >= BYTES_AT_ONCE {
                        break;
                    }
                    let entry = space.remove_at(*slot);
                    (evicted, bytes) = (evicted + 1, bytes + entry.cost());
                    excess = excess.saturating_sub(entry.cost());
                    Garbage::keep(entry, garbage);
                }
            }
            number = (number + 1) % SHARDS;
        }
        server.memory.count_evicted(evicted as u64);
        evicted
    }

    /// Removes the best candidate. `false` if there is none.
    fn evict(&mut self, store: &Store, random: &mut Random, garbage: &mut Vec<Garbage>) -> bool {
        if self.policy == Policy::NoEviction {
            return false;
        }
        // The second time, few keys in many places are found too.
        for probes in [PROBES, usize::MAX] {
            self.look(store, random, probes);
            while !self.pool.is_empty() {
                let Candidate { rank, db, key } = self.pool.remove(0);
                let key = Key::new(&key);
                let mut locked = store.lock_one(key);
                let evicted = locked.space(db, key).evict(key, |entry| rank_of(entry, self.policy) == Some(rank));
                drop(locked);
                if let Some(entry) = evicted {
                    Garbage::keep(entry, garbage);
                    return true;
                }
            }
        }
        false
    }

    /// Looks at a few keys, from a shard chosen by chance on.
    fn look(&mut self, store: &Store, random: &mut Random, probes: usize) {
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
                    _ => space.sample(random, probes),
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

/// The lowest goes first; `None` stays.
fn rank_of(entry: &Entry, policy: Policy) -> Option<u64> {
    match policy {
        Policy::NoEviction => None,
        Policy::AllKeysLru => Some(entry.used_s().into()),
        Policy::VolatileTtl => entry.deadline_ms(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::server::Options;
    use crate::store::entry::New;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn set(server: &Server, name: &str, now_ms: u64, deadline_ms: Option<u64>) {
        let key = Key::new(name.as_bytes());
        let mut keys = server.store.lock_one(key);
        let space = keys.space(0, key);
        let slot = space.set(key, New::Bytes(&[b'x'; 1000]), now_ms);
        space.set_deadline(slot, deadline_ms);
    }

    fn has(server: &Server, name: &str) -> bool {
        let key = Key::new(name.as_bytes());
        server.store.lock_one(key).space(0, key).live(key, NOW_MS).is_some()
    }

    /// Makes room until there is some, as one command after the other does.
    fn make_room(server: &Server) -> Result<(), Error> {
        let (mut eviction, mut random, mut garbage) = (Eviction::default(), Random::new(1), Vec::new());
        while !eviction.make_room(server, &mut random, &mut garbage)? {}
        Ok(())
    }

    #[test]
    fn keys_that_were_not_used_for_long_go_first() {
        let server = Server::new(Options { policy: Policy::AllKeysLru, ..Options::default() });
        for number in 0..10_000 {
            set(&server, &format!("key {number}"), NOW_MS + number * 1000, None);
        }
        server.memory.set_limit(server.store.bytes() * 9 / 10);
        make_room(&server).expect("there is enough to go");
        let kept =
            |numbers: std::ops::Range<u32>| numbers.filter(|number| has(&server, &format!("key {number}"))).count();
        // With five looked at for each that goes, some of the oldest are never looked at.
        assert!(kept(0..1_000) < 700, "{} of the oldest tenth", kept(0..1_000));
        assert!(kept(2_500..10_000) > 7_400, "{} of all but the oldest quarter", kept(2_500..10_000));
        assert_eq!(server.memory.evicted(), 10_000 - server.store.counts().keys(0) as u64);
    }

    #[test]
    fn keys_that_expire_go_before_others_and_soonest_first() {
        let server = Server::new(Options { policy: Policy::VolatileTtl, ..Options::default() });
        for number in 0..1_000 {
            set(&server, &format!("stays {number}"), NOW_MS, None);
            set(&server, &format!("goes {number}"), NOW_MS, Some(NOW_MS + 1000 + number));
        }
        server.memory.set_limit(server.store.bytes() * 3 / 4);
        make_room(&server).expect("there is enough to go");
        let early = (0..250).filter(|number| has(&server, &format!("goes {number}"))).count();
        assert!(early < 50, "{early} of the soonest quarter");
        server.memory.set_limit(1000);
        assert_eq!(make_room(&server), Err(NO_MEMORY));
        assert_eq!((server.store.counts().keys(0), server.store.counts().expiring(0)), (1_000, 0));
    }

    #[test]
    fn the_last_keys_in_many_places_are_found() {
        let server = Server::new(Options { policy: Policy::AllKeysLru, ..Options::default() });
        for number in 0..200_000 {
            set(&server, &number.to_string(), NOW_MS, None);
        }
        for number in 5..200_000 {
            let name = number.to_string();
            let key = Key::new(name.as_bytes());
            server.store.lock_one(key).space(0, key).remove(key, NOW_MS);
        }
        server.memory.set_limit(1);
        make_room(&server).expect("every key can go");
        assert_eq!(server.store.bytes(), 0);
    }

    #[test]
    fn many_keys_go_together_where_one_takes_the_room_of_many() {
        let server = Server::new(Options { policy: Policy::AllKeysLru, ..Options::default() });
        for number in 0..100_000 {
            set(&server, &format!("key {number}"), NOW_MS + number * 100, None);
        }
        server.memory.set_limit(server.store.bytes() / 2);
        let (mut eviction, mut random, mut garbage) = (Eviction::default(), Random::new(1), Vec::new());
        let mut calls = 0;
        while !eviction.make_room(&server, &mut random, &mut garbage).expect("there is enough to go") {
            calls += 1;
        }
        let evicted = server.memory.evicted();
        assert_eq!(evicted, 100_000 - server.store.counts().keys(0) as u64);
        assert!((calls as u64) < evicted / 50, "{calls} calls for {evicted} keys");
        let newest = (90_000..100_000).filter(|number| has(&server, &format!("key {number}"))).count();
        assert!(newest > 9_500, "{newest} of the newest tenth");
        let oldest = (0..10_000).filter(|number| has(&server, &format!("key {number}"))).count();
        assert!(oldest < 2_000, "{oldest} of the oldest tenth");
    }

    #[test]
    fn nothing_goes_where_nothing_is_to_go() {
        let server = Server::new(Options { max_memory: 1, ..Options::default() });
        set(&server, "key", NOW_MS, Some(NOW_MS + 1));
        assert_eq!(make_room(&server), Err(NO_MEMORY));
        assert!(has(&server, "key"));
    }
}
