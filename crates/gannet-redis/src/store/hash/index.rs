//! Finds numbers by their hashes, in a table that grows a part at a time.

use hashbrown::HashTable;

use crate::store::entry::block;

/// Numbers for each part, on average, from which on there is one part more. Moving the numbers of a part, which looks
/// at what they stand for, takes well under a millisecond.
const PART_LEN: usize = if cfg!(test) { 8 } else { 4 << 10 };

/// A hash table made of parts.
///
/// A single table with millions of numbers would keep a reactor from its work for a second when it grows. Here one part
/// is split into two at a time (linear hashing), so no insertion takes long.
#[derive(Clone, Debug)]
pub(super) struct Index {
    parts: Vec<HashTable<u32>>,
    len: usize,
    /// Bytes that the parts' tables take on the heap.
    bytes: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { parts: vec![HashTable::new()], len: 0, bytes: 0 }
    }
}

impl Index {
    pub(super) fn cost(&self) -> usize {
        block(self.parts.capacity() * size_of::<HashTable<u32>>()) + self.bytes
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.parts[self.part(hash)].find(hash, |number| is(*number)).copied()
    }

    /// Adds a number that is not there. `hash_of` gives the hash of any number.
    pub(super) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        self.len += 1;
        if self.len > self.parts.len() * PART_LEN {
            self.split(&hash_of);
        }
        let part = self.part(hash);
        self.change(part, |part| {
            part.insert_unique(hash, number, |number| hash_of(*number));
        });
    }

    /// Puts a number in place of another one with the same hash.
    pub(super) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        let part = self.part(hash);
        if let Some(number) = self.parts[part].find_mut(hash, |number| *number == old) {
            *number = new;
        }
    }

    /// Removes a number that is there.
    pub(super) fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let part = self.part(hash);
        if let Ok(found) = self.parts[part].find_entry(hash, |other| *other == number) {
            found.remove();
            self.len -= 1;
        }
        if self.len < self.parts.len() * (PART_LEN / 4) {
            self.merge(&hash_of);
        }
        let part = self.part(hash);
        if self.parts[part].len() < self.parts[part].capacity() / 8 {
            self.change(part, |part| part.shrink_to(part.len() * 2, |number| hash_of(*number)));
        }
    }

    /// Which part a hash belongs to: as many of its bits as number all parts, or one less where there is no such part.
    #[inline]
    fn part(&self, hash: u64) -> usize {
        let all = self.parts.len();
        let mask = all.next_power_of_two() - 1;
        // Bits that the part's table does not look at.
        let part = (hash >> 32) as usize & mask;
        if part < all { part } else { part & (mask >> 1) }
    }

    /// Adds a part, which takes over half of the numbers of another one.
    fn split(&mut self, hash_of: impl Fn(u32) -> u64) {
        let old = buddy(self.parts.len());
        let moved = self.take(old);
        self.parts.push(HashTable::new());
        self.put(moved, hash_of);
    }

    /// Removes the last part: the one that it was split from takes its numbers back.
    fn merge(&mut self, hash_of: impl Fn(u32) -> u64) {
        if self.parts.len() > 1 {
            let moved = self.take(self.parts.len() - 1);
            self.parts.pop();
            self.put(moved, hash_of);
        }
        if self.parts.len() < self.parts.capacity() / 4 {
            self.parts.shrink_to(self.parts.len() * 2);
        }
    }

    /// Checks what must be true between any two changes.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.len, self.parts.iter().map(HashTable::len).sum::<usize>());
        assert_eq!(self.bytes, self.parts.iter().map(cost).sum::<usize>());
        assert!(self.len <= self.parts.len() * PART_LEN);
        assert!(self.parts.len() == 1 || self.len >= (self.parts.len() - 1) * (PART_LEN / 4) - 1);
    }

    fn take(&mut self, part: usize) -> HashTable<u32> {
        let taken = std::mem::take(&mut self.parts[part]);
        self.bytes -= cost(&taken);
        taken
    }

    fn put(&mut self, numbers: HashTable<u32>, hash_of: impl Fn(u32) -> u64) {
        for number in numbers {
            let hash = hash_of(number);
            let part = self.part(hash);
            self.change(part, |part| {
                part.insert_unique(hash, number, |number| hash_of(*number));
            });
        }
    }

    #[inline]
    fn change(&mut self, part: usize, change: impl FnOnce(&mut HashTable<u32>)) {
        let part = &mut self.parts[part];
        let before = cost(part);
        change(part);
        self.bytes = self.bytes - before + cost(part);
    }
}

fn cost(part: &HashTable<u32>) -> usize {
    block(part.allocation_size())
}

/// The part that is split to make the one with this number, which is not 0: the number without its highest bit.
fn buddy(number: usize) -> usize {
    number - (1 << number.ilog2())
}
