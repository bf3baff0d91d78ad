//! The keyspace: shards, and how commands lock them.
//!
//! Keys are spread over shards by a hash; each shard has a lock. A command locks the shards of all its keys before it
//! looks at any, always in the order of their numbers, and lets go of all when it is done. So commands on different
//! shards run at the same time on different reactors, each is atomic, and no two can wait for each other in a circle:
//! whoever waits holds only locks with lower numbers than the one it waits for. No other lock is taken before a shard's.

pub mod counts;
pub mod entry;
pub mod garbage;
pub mod hash;
pub mod held;
pub mod large;
pub mod random;
pub mod space;

use std::hash::BuildHasher as _;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use smallvec::SmallVec;

use self::counts::Counts;
use self::space::Space;

/// Shards. Many more than cores, so that two reactors seldom want the same one; and each stays small, so that growing
/// its table takes little time; few enough to stay in a core's own cache.
pub const SHARDS: usize = 256;

/// Databases, as `SELECT` numbers them.
pub const DATABASES: usize = 16;

/// As many keys as it is worth while to give to [`Store::warm`] at once.
pub const WARMED: usize = 64;

/// A key and its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key itself.
    pub bytes: &'a [u8],
    /// Its hash, which differs from process to process.
    pub hash: u64,
}

impl<'a> Key<'a> {
    /// Hashes a key.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, hash: hash_of(bytes) }
    }

    /// The shard it belongs to.
    #[must_use]
    #[inline]
    pub fn shard(self) -> usize {
        shard_of(self.hash)
    }
}

#[inline]
fn shard_of(hash: u64) -> usize {
    // Bits that the table inside the shard does not look at.
    (hash >> 40) as usize % SHARDS
}

/// Seeded anew in each process, so that nobody can choose keys that collide.
#[inline]
fn hash_of(key: &[u8]) -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);
    SEED.hash_one(key)
}

/// What is behind one lock.
#[derive(Debug, Default)]
pub struct Shard {
    spaces: [Option<Box<Space>>; DATABASES],
    /// The databases that were handed out for writing, as bits.
    used: u16,
}

impl Shard {
    /// The keys of a database in this shard.
    #[inline]
    pub fn space(&mut self, db: u8) -> &mut Space {
        self.used |= 1 << db;
        self.spaces[usize::from(db)].get_or_insert_default()
    }

    /// The same, where there ever was a key.
    pub fn existing(&mut self, db: u8) -> Option<&mut Space> {
        self.used |= 1 << db;
        self.spaces[usize::from(db)].as_deref_mut()
    }

    /// Takes all keys of a database out, for them to be dropped where that holds nobody up. Whoever watches keys goes
    /// on watching.
    pub fn take(&mut self, db: u8) -> Option<Box<Space>> {
        self.used |= 1 << db;
        let mut taken = self.spaces[usize::from(db)].take()?;
        // What is counted in the sums stays to be counted down from.
        let space = self.space(db);
        space.swap_report(&mut taken);
        space.swap_watchers(&mut taken);
        Some(taken)
    }

    /// Exchanges two databases. Whoever watches keys watches those of the same database as before.
    pub fn swap(&mut self, one: u8, other: u8) {
        let (one, other) = (usize::from(one), usize::from(other));
        self.used |= 1 << one | 1 << other;
        let mut taken = self.spaces[one].take().unwrap_or_default();
        let space = self.spaces[other].get_or_insert_default();
        // The sums and the watchers are those of the number.
        taken.swap_report(space);
        taken.swap_watchers(space);
        self.spaces[one] = self.spaces[other].replace(taken);
    }

    /// The databases where there ever was a key.
    pub fn databases(&self) -> impl Iterator<Item = u8> + use<> {
        let mut bits: u16 = 0;
        for (db, space) in self.spaces.iter().enumerate() {
            bits |= u16::from(space.is_some()) << db;
        }
        (0..DATABASES as u8).filter(move |db| bits & 1 << db != 0)
    }

    /// Adds what has changed since this was done last to the sums.
    #[inline]
    fn report(&mut self, counts: &Counts) {
        let mut used = std::mem::take(&mut self.used);
        while used != 0 {
            let db = used.trailing_zeros() as usize;
            used &= used - 1;
            if let Some(space) = self.spaces[db].as_deref_mut() {
                space.report(db, counts);
            }
        }
    }
}

/// All keys of all databases.
#[derive(Debug)]
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    counts: Counts,
}

impl Default for Store {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), counts: Counts::default() }
    }
}

impl Store {
    /// Locks the shard of one key.
    #[must_use]
    #[inline]
    pub fn lock_one(&self, key: Key<'_>) -> Keys<'_> {
        let shard = key.shard();
        Keys { store: self, locked: Locked::One(shard, self.lock(shard)) }
    }

    /// Locks the shards of several keys.
    #[must_use]
    pub fn lock_some<'a>(&self, keys: impl Iterator<Item = Key<'a>>) -> Keys<'_> {
        let mut shards: SmallVec<[usize; 8]> = keys.map(Key::shard).collect();
        shards.sort_unstable();
        shards.dedup();
        Keys { store: self, locked: Locked::Some(shards.into_iter().map(|shard| (shard, self.lock(shard))).collect()) }
    }

    /// Locks all shards.
    #[must_use]
    pub fn lock_all(&self) -> Keys<'_> {
        Keys { store: self, locked: Locked::All((0..SHARDS).map(|shard| self.lock(shard)).collect()) }
    }

    /// Locks nothing yet, for a command that looks at one shard after the other by [`Keys::walk_to`].
    #[must_use]
    pub fn walk(&self) -> Keys<'_> {
        Keys { store: self, locked: Locked::Some(SmallVec::new()) }
    }

    /// Locks one shard by its number, below [`SHARDS`].
    #[must_use]
    pub fn lock_shard(&self, shard: usize) -> Keys<'_> {
        Keys { store: self, locked: Locked::One(shard, self.lock(shard)) }
    }

    /// Bytes that all entries take, as the allocator rounds them; each shard may be off by a KiB.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.counts.bytes()
    }

    /// What is counted without a lock: keys, and those that have expired.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Looks at keys that commands will look at soon, given by database and hash, so that they are in the processor's caches by then.
    ///
    /// A look-up is a chain of reads that each wait for the one before. Those of different keys do not: in loops without
    /// anything else the processor makes several at a time. Locking would make it wait, so that is done before; a lock
    /// that somebody holds, be it this thread, is left out.
    #[inline]
    pub fn warm(&self, keys: &[(u8, u64)]) {
        let mut locked: SmallVec<[(MutexGuard<'_, Shard>, u8, u64); WARMED]> = SmallVec::new();
        for &(db, hash) in keys {
            if let Ok(shard) = self.shards[shard_of(hash)].try_lock() {
                locked.push((shard, db, hash));
            }
        }
        let mut found: SmallVec<[(&Space, u32); WARMED]> = SmallVec::new();
        for (shard, db, hash) in &locked {
            if let Some(space) = shard.spaces[usize::from(*db)].as_deref()
                && let Some(place) = space.candidate(*hash)
            {
                found.push((space, place));
            }
        }
        let sum = found.iter().fold(0, |sum: u8, (space, place)| sum.wrapping_add(space.fetch_place(*place)));
        // Nobody wants to know; but it has to be read.
        std::hint::black_box(sum);
    }

    #[inline]
    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        // A command that panicked has left its keys in some state that is valid for each of them.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shards that are locked, for as long as this lives.
#[derive(Debug)]
pub struct Keys<'s> {
    store: &'s Store,
    locked: Locked<'s>,
}

#[derive(Debug)]
enum Locked<'s> {
    One(usize, MutexGuard<'s, Shard>),
    Some(SmallVec<[(usize, MutexGuard<'s, Shard>); 4]>),
    All(Vec<MutexGuard<'s, Shard>>),
}

impl Keys<'_> {
    /// The keys of a database that share a shard with `key`.
    ///
    /// # Panics
    ///
    /// That shard was not locked: the command's description in the table does not name this key.
    #[inline]
    pub fn space(&mut self, db: u8, key: Key<'_>) -> &mut Space {
        self.shard(key.shard()).space(db)
    }

    /// A shard by its number.
    ///
    /// # Panics
    ///
    /// It was not locked.
    #[inline]
    pub fn shard(&mut self, number: usize) -> &mut Shard {
        let found = match &mut self.locked {
            Locked::One(locked, shard) if *locked == number => Some(shard),
            Locked::One(..) => None,
            // In the order of their numbers, as they were locked.
            Locked::Some(shards) => {
                let found = shards.binary_search_by_key(&number, |(locked, _)| *locked);
                found.ok().map(|index| &mut shards[index].1)
            }
            Locked::All(shards) => shards.get_mut(number),
        };
        found.expect("a command uses a key that its description does not name")
    }

    /// A shard by its number, for a command that looks at one after the other: the one before is let go, unless all
    /// are locked.
    pub fn walk_to(&mut self, number: usize) -> &mut Shard {
        let there = match &self.locked {
            Locked::One(locked, _) => *locked == number,
            Locked::Some(_) => false,
            Locked::All(_) => true,
        };
        if !there {
            self.report();
            // None is held while another one is waited for.
            self.locked = Locked::Some(SmallVec::new());
            self.locked = Locked::One(number, self.store.lock(number));
        }
        self.shard(number)
    }

    /// What is counted, with all that was done under these locks so far.
    pub fn counts(&mut self) -> &Counts {
        self.report();
        self.store.counts()
    }

    /// All shards that are locked.
    pub fn shards(&mut self) -> impl Iterator<Item = &mut Shard> {
        let (one, some, all) = match &mut self.locked {
            Locked::One(_, shard) => (Some(shard), None, None),
            Locked::Some(shards) => (None, Some(shards.iter_mut().map(|(_, shard)| shard)), None),
            Locked::All(shards) => (None, None, Some(shards.iter_mut())),
        };
        let all = all.into_iter().flatten();
        one.into_iter().chain(some.into_iter().flatten()).chain(all).map(|shard| &mut **shard)
    }
}

impl Keys<'_> {
    #[inline]
    fn report(&mut self) {
        let counts = &self.store.counts;
        match &mut self.locked {
            Locked::One(_, shard) => shard.report(counts),
            Locked::Some(shards) => shards.iter_mut().for_each(|(_, shard)| shard.report(counts)),
            Locked::All(shards) => shards.iter_mut().for_each(|shard| shard.report(counts)),
        }
    }
}

impl Drop for Keys<'_> {
    #[inline]
    fn drop(&mut self) {
        self.report();
    }
}

#[cfg(test)]
mod tests {
    use super::entry::New;
    use super::*;

    #[test]
    fn a_look_ahead_waits_for_no_lock_and_changes_nothing() {
        let store = Store::default();
        let names: Vec<String> = (0..1_000).map(|number| format!("key {number}")).collect();
        let keys = || names.iter().map(|name| Key::new(name.as_bytes()));
        for key in keys() {
            store.lock_one(key).space(0, key).set(key, New::Bytes(b"value"), 1_000);
        }
        // The same shard twice, more keys than there are shards, another database, and all locks held by this thread.
        let all = |db| -> Vec<(u8, u64)> { keys().map(|key| (db, key.hash)).collect() };
        store.warm(&[all(0)[0], all(0)[0]]);
        store.warm(&all(0));
        store.warm(&all(7));
        let held = store.lock_all();
        store.warm(&all(0));
        drop(held);
        for key in keys() {
            assert!(store.lock_one(key).space(0, key).live(key, 1_000).is_some());
        }
        assert_eq!((store.counts().keys(0), store.counts().keys(7)), (1_000, 0));
    }
}
