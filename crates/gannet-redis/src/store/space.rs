//! The keys of one database in one shard.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;

use super::Key;
use super::counts::Counts;
use super::entry::{Entry, New};
use super::garbage::Garbage;
use super::random::Random;

/// The place of a key that was found. Good until the key is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// Changes in bytes below which the store's sum is not told.
const REPORT_BYTES: usize = 1024;

/// Places that are looked at for each key of several that lie together.
const PROBES: usize = 16;

/// Places up to which an empty space keeps its memory: a single key may come and go often.
const KEPT_PLACES: usize = 64;

/// The keys of one database in one shard, with their values.
///
/// Entries stay in their places while they live, so a scan that walks the places meets each key that was there from its
/// beginning to its end. The table holds numbers of places only: it is small, and growing it moves little.
#[derive(Debug)]
pub struct Space {
    table: HashTable<u32>,
    places: Vec<Entry>,
    /// Places without an entry.
    free: Vec<u32>,
    /// The keys that expire, soonest first.
    deadlines: BTreeSet<(u64, u32)>,
    watchers: HashMap<Box<[u8]>, Vec<Arc<AtomicBool>>>,
    /// Bytes that all entries take.
    bytes: usize,
    /// Keys that were removed because their time had come, since it was reported.
    expired: u64,
    reported: Reported,
}

/// What was added to the store's sums.
#[derive(Debug, Default)]
struct Reported {
    bytes: usize,
    keys: usize,
    expiring: usize,
}

impl Default for Space {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            places: Vec::new(),
            free: Vec::new(),
            deadlines: BTreeSet::new(),
            watchers: HashMap::new(),
            bytes: 0,
            expired: 0,
            reported: Reported::default(),
        }
    }
}

impl Space {
    /// Finds a key and counts this as a use. A key that has expired is removed, and not found.
    #[inline]
    pub fn find(&mut self, key: Key<'_>, now_ms: u64) -> Option<Slot> {
        let slot = self.live(key, now_ms)?;
        self.places[slot.0 as usize].set_used((now_ms / 1000) as u32);
        Some(slot)
    }

    /// Finds a key without counting this as a use. A key that has expired is removed, and not found.
    #[inline]
    pub fn live(&mut self, key: Key<'_>, now_ms: u64) -> Option<Slot> {
        let slot = self.locate(key)?;
        if self.entry(slot).deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            self.take_out(slot, key.hash);
            self.expired += 1;
            return None;
        }
        Some(slot)
    }

    /// The place of what may be the key with this hash. It is not looked at.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> Option<u32> {
        self.table.find(hash, |_| true).copied()
    }

    /// Reads something of what is at a place, from each cache line that a look at a small string needs.
    #[inline]
    pub(super) fn fetch_place(&self, place: u32) -> u8 {
        self.places[place as usize].fetch()
    }

    /// The place of a key, whether it has expired or not.
    #[inline]
    fn locate(&self, key: Key<'_>) -> Option<Slot> {
        let places = &self.places;
        self.table.find(key.hash, |place| places[*place as usize].key() == key.bytes).map(|place| Slot(*place))
    }

    /// What is at a place that was found.
    ///
    /// # Panics
    ///
    /// The key was removed since.
    #[must_use]
    #[inline]
    pub fn entry(&self, slot: Slot) -> &Entry {
        &self.places[slot.0 as usize]
    }

    /// Changes a value in place. Whoever watches the key is told.
    pub fn edit<R>(&mut self, slot: Slot, change: impl FnOnce(&mut Entry) -> R) -> R {
        self.edit_or_leave(slot, |entry| (change(entry), true))
    }

    /// The same, for a change that may leave everything as it was: whoever watches the key is told only where `change`
    /// says that something is different.
    pub fn edit_or_leave<R>(&mut self, slot: Slot, change: impl FnOnce(&mut Entry) -> (R, bool)) -> R {
        let entry = &mut self.places[slot.0 as usize];
        let before = entry.cost();
        let (result, is_different) = change(entry);
        let after = entry.cost();
        self.bytes = self.bytes - before + after;
        if is_different {
            self.tell_watchers_of(slot);
        }
        result
    }

    /// Sets a key's value. A deadline that it has stays.
    pub fn set(&mut self, key: Key<'_>, value: New<'_>, now_ms: u64) -> Slot {
        self.set_and_keep(key, value, now_ms, &mut Vec::new())
    }

    /// Sets a key's value, and keeps the one that it had where that takes long to drop. A deadline that it has stays.
    #[inline]
    pub fn set_and_keep(&mut self, key: Key<'_>, value: New<'_>, now_ms: u64, garbage: &mut Vec<Garbage>) -> Slot {
        if let Some(slot) = self.find(key, now_ms) {
            if let Some(old) = self.edit(slot, |entry| entry.set(value)) {
                Garbage::keep(old, garbage);
            }
            return slot;
        }
        let entry = Entry::new(key.bytes, value);
        self.put_in(key.hash, entry, now_ms)
    }

    /// Puts another value in the place of one that was found and is small. A deadline that it has stays.
    #[inline]
    pub fn replace(&mut self, slot: Slot, value: New<'_>) {
        self.edit(slot, |entry| entry.set(value));
    }

    /// Sets when a key expires, in milliseconds since 1970; `None` is never.
    pub fn set_deadline(&mut self, slot: Slot, deadline_ms: Option<u64>) {
        let entry = &mut self.places[slot.0 as usize];
        let old = entry.deadline_ms();
        // Setting the same one again is a change too, as whoever watches the key sees it.
        if old.is_none() && deadline_ms.is_none() {
            return;
        }
        let before = entry.cost();
        entry.set_deadline(deadline_ms);
        let after = entry.cost();
        self.bytes = self.bytes - before + after;
        if let Some(old) = old {
            self.deadlines.remove(&(old, slot.0));
        }
        if let Some(deadline_ms) = deadline_ms {
            self.deadlines.insert((deadline_ms, slot.0));
        }
        self.tell_watchers_of(slot);
    }

    /// Removes a key, for its value to be dropped or put elsewhere.
    pub fn remove(&mut self, key: Key<'_>, now_ms: u64) -> Option<Entry> {
        let slot = self.find(key, now_ms)?;
        Some(self.take_out(slot, key.hash))
    }

    /// Puts an entry that was removed elsewhere under a key that is not there, with its deadline.
    pub fn put(&mut self, key: Key<'_>, mut entry: Entry, now_ms: u64) -> Slot {
        if entry.key() != key.bytes {
            entry.rename(key.bytes);
        }
        let deadline_ms = entry.deadline_ms();
        entry.set_deadline(None);
        let slot = self.put_in(key.hash, entry, now_ms);
        self.set_deadline(slot, deadline_ms);
        slot
    }

    /// Puts an entry that was removed elsewhere in the place of another one, with its deadline. The key is there all
    /// the time, so it keeps its place.
    pub fn exchange(&mut self, slot: Slot, mut entry: Entry) -> Entry {
        let old = self.entry(slot);
        if entry.key() != old.key() {
            entry.rename(old.key());
        }
        let deadline_ms = entry.deadline_ms();
        entry.set_deadline(old.deadline_ms());
        let old = self.edit(slot, |place| mem::replace(place, entry));
        self.set_deadline(slot, deadline_ms);
        old
    }

    fn put_in(&mut self, hash: u64, mut entry: Entry, now_ms: u64) -> Slot {
        entry.set_used((now_ms / 1000) as u32);
        self.bytes += entry.cost();
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = entry;
                place
            }
            None => {
                if self.places.len() == self.places.capacity() {
                    // An eighth at a time: doubling would leave half of the memory empty.
                    self.places.reserve_exact(self.places.len() / 8 + 8);
                }
                self.places.push(entry);
                (self.places.len() - 1) as u32
            }
        };
        let places = &self.places;
        self.table.insert_unique(hash, place, |place| super::hash_of(places[*place as usize].key()));
        self.tell_watchers_of(Slot(place));
        Slot(place)
    }

    fn take_out(&mut self, slot: Slot, hash: u64) -> Entry {
        self.tell_watchers_of(slot);
        if let Ok(found) = self.table.find_entry(hash, |place| *place == slot.0) {
            found.remove();
        }
        let entry = mem::take(&mut self.places[slot.0 as usize]);
        self.free.push(slot.0);
        if let Some(deadline_ms) = entry.deadline_ms() {
            self.deadlines.remove(&(deadline_ms, slot.0));
        }
        self.bytes -= entry.cost();
        if self.table.is_empty() && self.places.len() > KEPT_PLACES {
            (self.table, self.places, self.free) = (HashTable::new(), Vec::new(), Vec::new());
        }
        entry
    }

    /// Removes at most `most` keys whose time has come, and says how many it removed.
    pub fn expire(&mut self, now_ms: u64, most: usize, garbage: &mut Vec<Garbage>) -> usize {
        let mut expired = 0;
        while expired < most
            && let Some(&(deadline_ms, place)) = self.deadlines.first()
            && deadline_ms <= now_ms
        {
            let hash = super::hash_of(self.places[place as usize].key());
            garbage.push(Garbage::Entry(self.take_out(Slot(place), hash)));
            expired += 1;
        }
        self.expired += expired as u64;
        expired
    }

    /// A key chosen by chance, unless there is none in so many places from where the search for one begins. Each is as
    /// likely as any other, unless most places are free.
    #[must_use]
    pub fn sample(&self, random: &mut Random, probes: usize) -> Option<&Entry> {
        if self.is_empty() {
            return None;
        }
        // A free place must not make the key behind it more likely.
        for _ in 0..PROBES {
            let entry = &self.places[random.below(self.places.len())];
            if !entry.is_free() {
                return Some(entry);
            }
        }
        let (before, from) = self.places.split_at(random.below(self.places.len()));
        from.iter().chain(before).take(probes).find(|entry| !entry.is_free())
    }

    /// The key that expires soonest.
    #[must_use]
    pub fn soonest(&self) -> Option<&Entry> {
        self.deadlines.first().map(|(_, place)| self.entry(Slot(*place)))
    }

    /// Up to `most` keys that lie together, from a place chosen by chance on, each with its rank where it has one. Fewer
    /// where most places are free.
    pub(crate) fn sample_ranks(
        &self,
        random: &mut Random,
        most: usize,
        rank: impl Fn(&Entry) -> Option<u64>,
        found: &mut Vec<(u64, Slot)>,
    ) {
        if self.is_empty() {
            return;
        }
        let start = random.below(self.places.len());
        let places = (start..self.places.len()).chain(0..start);
        let used = places.take(PROBES * most).filter(|place| !self.places[*place].is_free());
        let ranked = used.take(most).filter_map(|place| Some((rank(&self.places[place])?, Slot(place as u32))));
        found.extend(ranked);
    }

    /// Removes the key at a place that was found.
    pub(crate) fn remove_at(&mut self, slot: Slot) -> Entry {
        let hash = super::hash_of(self.entry(slot).key());
        self.take_out(slot, hash)
    }

    /// Up to `most` of the keys that expire, soonest first.
    pub(crate) fn first_to_expire(&self, most: usize, found: &mut Vec<(u64, Slot)>) {
        found.extend(self.deadlines.iter().take(most).map(|(deadline_ms, place)| (*deadline_ms, Slot(*place))));
    }

    /// Removes a key that was chosen to make room, if it still is what it was chosen for.
    pub fn evict(&mut self, key: Key<'_>, is_chosen: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        let slot = self.locate(key)?;
        is_chosen(self.entry(slot)).then(|| self.take_out(slot, key.hash))
    }

    /// Keys, those that have expired and were not removed yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keys that expire.
    #[must_use]
    pub fn expiring(&self) -> usize {
        self.deadlines.len()
    }

    /// Bytes that all entries take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Places, used and free: the numbers that [`Space::at`] takes.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// What is at a place by its number, unless it is free or has expired.
    #[must_use]
    pub fn at(&self, place: usize, now_ms: u64) -> Option<&Entry> {
        let entry = self.places.get(place).filter(|entry| !entry.is_free())?;
        entry.deadline_ms().is_none_or(|deadline_ms| deadline_ms > now_ms).then_some(entry)
    }

    /// Tells `flag` when a key changes.
    pub fn watch(&mut self, key: &[u8], flag: Arc<AtomicBool>) {
        self.watchers.entry(key.into()).or_default().push(flag);
    }

    /// Tells it no more.
    pub fn unwatch(&mut self, key: &[u8], flag: &Arc<AtomicBool>) {
        if let Some(flags) = self.watchers.get_mut(key) {
            flags.retain(|other| !Arc::ptr_eq(other, flag));
            if flags.is_empty() {
                self.watchers.remove(key);
            }
        }
    }

    /// Tells the watchers of all keys that are there, for a command that changes them all.
    pub fn tell_watchers_of_all(&mut self, now_ms: u64) {
        let watched: Vec<Box<[u8]>> = self.watchers.keys().cloned().collect();
        for bytes in watched {
            if self.find(Key::new(&bytes), now_ms).is_some() {
                self.tell_watchers(&bytes);
            }
        }
    }

    /// Tells all who watch a key that is there, when this space has taken the place of another one whose watchers were told.
    /// A key that has expired is removed, and nobody is told: it was not there for them before, and is not now.
    pub fn tell_watchers_of_all_brought_in(&mut self, now_ms: u64) {
        let watchers = mem::take(&mut self.watchers);
        for bytes in watchers.keys() {
            self.live(Key::new(bytes), now_ms);
        }
        self.watchers = watchers;
        self.tell_watchers_of_all(now_ms);
    }

    /// Takes the watchers out, to be put into the space that takes this one's place.
    pub fn swap_watchers(&mut self, other: &mut Self) {
        mem::swap(&mut self.watchers, &mut other.watchers);
    }

    /// Exchanges what was reported, for what is put in the place of the other.
    pub(super) fn swap_report(&mut self, other: &mut Self) {
        mem::swap(&mut self.reported, &mut other.reported);
        // Whoever stays tells.
        self.expired += mem::take(&mut other.expired);
    }

    /// Adds what has changed since this was done last to the store's sums.
    #[inline]
    pub(super) fn report(&mut self, db: usize, counts: &Counts) {
        if self.table.len() != self.reported.keys
            || self.deadlines.len() != self.reported.expiring
            || self.bytes.abs_diff(self.reported.bytes) >= REPORT_BYTES
            || self.expired != 0
        {
            self.report_change(db, counts);
        }
    }

    fn report_change(&mut self, db: usize, counts: &Counts) {
        let now = Reported { bytes: self.bytes, keys: self.table.len(), expiring: self.deadlines.len() };
        let before = mem::replace(&mut self.reported, now);
        let database = &counts.databases[db];
        for (sum, before, now) in [
            (&counts.bytes, before.bytes, self.reported.bytes),
            (&database.keys, before.keys, self.reported.keys),
            (&database.expiring, before.expiring, self.reported.expiring),
        ] {
            if now != before {
                sum.fetch_add(now as i64 - before as i64, Ordering::Relaxed);
            }
        }
        if self.expired != 0 {
            counts.expired.fetch_add(mem::take(&mut self.expired), Ordering::Relaxed);
        }
    }

    #[inline]
    fn tell_watchers_of(&mut self, slot: Slot) {
        if !self.watchers.is_empty() {
            self.tell_watchers(self.entry(slot).key());
        }
    }

    fn tell_watchers(&self, key: &[u8]) {
        for flag in self.watchers.get(key).into_iter().flatten() {
            flag.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::hash::Hash;

    #[test]
    fn a_key_that_is_replaced_keeps_its_place_and_an_empty_space_its_memory_no_longer() {
        let (mut space, now_ms) = (Space::default(), 1);
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        for name in &names {
            space.set(Key::new(name.as_bytes()), New::Bytes(b"value"), now_ms);
        }
        for name in &names[..99] {
            space.remove(Key::new(name.as_bytes()), now_ms);
        }
        let mut other = Entry::new(b"other", New::Bytes(b"another value"));
        other.set_deadline(Some(77));
        let slot = space.find(Key::new(b"99"), now_ms).expect("it is there");
        assert_eq!(space.exchange(slot, other).key(), b"99");
        let entry = space.at(99, now_ms).expect("it is where it was");
        assert_eq!((entry.key(), entry.deadline_ms(), space.expiring()), (&b"99"[..], Some(77), 1));
        assert_eq!(space.bytes(), entry.cost());
        assert_eq!((space.expire(77, 10, &mut Vec::new()), space.places(), space.bytes()), (1, 0, 0));
    }

    #[test]
    fn a_large_value_that_is_replaced_is_dropped_by_somebody_else() {
        let (mut space, mut garbage) = (Space::default(), Vec::new());
        let key = Key::new(b"key");
        let mut hash = Box::<Hash>::default();
        (0..10_000).for_each(|number: u32| _ = hash.set(&number.to_le_bytes(), b"value"));
        space.set_and_keep(key, New::Hash(hash), 1, &mut garbage);
        space.set_and_keep(key, New::Bytes(b"small"), 1, &mut garbage);
        assert!(matches!(&garbage[..], [Garbage::Entry(entry)] if entry.cost() > 100_000));
        space.set_and_keep(key, New::Bytes(&[0; 1 << 20]), 1, &mut garbage);
        assert_eq!(garbage.len(), 1, "a small one is dropped at once");
        space.set_and_keep(key, New::Int(1), 1, &mut garbage);
        assert_eq!(garbage.len(), 2);
    }
}
