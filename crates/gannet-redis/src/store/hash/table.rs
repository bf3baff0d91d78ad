//! A large hash: its fields are found through an index, and each lies with its value in one heap block.

use super::Pair;
use super::index::Index;
use crate::store::entry::block;
use crate::store::hash_of;

/// Fields with values. Numbers of places are 32 bits wide: the memory for more fields is above 200 GB.
///
/// The pairs fill the first places without gaps: the last one moves to where one is removed. A scan goes from the last
/// place down to the first, so what moves comes to meet it, and no pair that was there throughout is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    index: Index,
    pairs: Vec<Packet>,
    /// Bytes that the pairs take on the heap.
    bytes: usize,
}

/// The length of the field, the field, and the value.
///
/// The length is in groups of 7 bits, the lowest first, each but the last with its highest bit set.
#[derive(Clone, Debug)]
struct Packet(Box<[u8]>);

impl Packet {
    fn new(field: &[u8], value: &[u8]) -> Self {
        let (mut head, mut head_len, mut rest) = ([0; 10], 0, field.len());
        while rest >= 0x80 {
            head[head_len] = rest as u8 | 0x80;
            rest >>= 7;
            head_len += 1;
        }
        head[head_len] = rest as u8;
        Self([&head[..=head_len], field, value].concat().into())
    }

    #[inline]
    fn pair(&self) -> Pair<'_> {
        let (mut at, mut len) = (0, 0);
        loop {
            let group = self.0[at];
            len |= usize::from(group & 0x7f) << (7 * at);
            at += 1;
            if group < 0x80 {
                return self.0[at..].split_at(len);
            }
        }
    }

    fn field(&self) -> &[u8] {
        self.pair().0
    }

    fn cost(&self) -> usize {
        block(self.0.len())
    }
}

impl Table {
    pub(super) fn cost(&self) -> usize {
        self.index.cost() + block(self.pairs.capacity() * size_of::<Packet>()) + self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<&[u8]> {
        let place = self.find(field, hash_of(field))?;
        Some(self.at(place as usize).1)
    }

    /// Sets a field; says whether it was not there before.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let hash = hash_of(field);
        if let Some(place) = self.find(field, hash) {
            let old = &mut self.pairs[place as usize];
            let start = old.0.len() - old.pair().1.len();
            if old.0.len() - start == value.len() {
                old.0[start..].copy_from_slice(value);
            } else {
                let new = Packet::new(field, value);
                self.bytes = self.bytes - old.cost() + new.cost();
                *old = new;
            }
            return false;
        }
        let pair = Packet::new(field, value);
        self.bytes += pair.cost();
        if self.pairs.len() == self.pairs.capacity() {
            // An eighth at a time: doubling would leave half of the memory empty.
            self.pairs.reserve_exact(self.pairs.len() / 8 + 8);
        }
        self.pairs.push(pair);
        let pairs = &self.pairs;
        self.index.insert(hash, (pairs.len() - 1) as u32, |place| hash_of(pairs[place as usize].field()));
        true
    }

    /// Removes a field; says whether it was there.
    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        let hash = hash_of(field);
        let Some(place) = self.find(field, hash) else { return false };
        let (pairs, last) = (&self.pairs, (self.pairs.len() - 1) as u32);
        self.index.remove(hash, place, |place| hash_of(pairs[place as usize].field()));
        if place != last {
            self.index.replace(hash_of(pairs[last as usize].field()), last, place);
        }
        let removed = self.pairs.swap_remove(place as usize);
        self.bytes -= removed.cost();
        if self.pairs.len() < self.pairs.capacity() / 4 {
            self.pairs.shrink_to(self.pairs.len() + self.pairs.len() / 8 + 8);
        }
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Pair<'_>> {
        self.pairs.iter().map(Packet::pair)
    }

    /// Pairs, and the cursor for the next ones: how many places are left to look at.
    pub(super) fn scan(&self, cursor: u64, most: usize) -> (u64, impl Iterator<Item = Pair<'_>>) {
        let len = self.pairs.len();
        let end = match cursor {
            0 => len,
            left => usize::try_from(left).unwrap_or(len).min(len),
        };
        let start = end.saturating_sub(most.max(1));
        (start as u64, self.pairs[start..end].iter().map(Packet::pair))
    }

    pub(super) fn at(&self, place: usize) -> Pair<'_> {
        self.pairs[place].pair()
    }

    /// Checks what must be true between any two changes.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.index.check();
        assert_eq!(self.bytes, self.pairs.iter().map(Packet::cost).sum::<usize>());
        for (place, pair) in self.pairs.iter().enumerate() {
            assert_eq!(self.find(pair.field(), hash_of(pair.field())), Some(place as u32));
        }
    }

    #[inline]
    fn find(&self, field: &[u8], hash: u64) -> Option<u32> {
        self.index.find(hash, |place| self.pairs[place as usize].field() == field)
    }
}
