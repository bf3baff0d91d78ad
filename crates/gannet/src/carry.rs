//! Received bytes that wait for more, or for their turn. It belongs to one reactor and is used on its thread only.
//!
//! Appending and consuming take time in proportion to the bytes that come in, however small the pieces are.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::buffer::Destination;

/// Bytes that a message has to need for the next ones to be received into its carry: for fewer, a copy out of a buffer costs
/// less than a receive of their own.
const DIRECT_BYTES: usize = 32 * 1024;

/// Where a connection with an unfinished message stands in the line for room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// In no line.
    #[default]
    None,
    /// It is not read until there is room.
    Waits,
    /// It goes on although there is no room.
    Has,
}

/// What a connection holds of messages that are not complete, or that wait because reading is paused.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    bytes: Vec<u8>,
    /// So many of them were consumed: fewer than are left, so that moving those to the front costs no more than these did.
    start: usize,
    /// How many of those that are left make another look worth while; 0 where that is now.
    pub(crate) need: usize,
    /// How many of those that are left the service has looked at ahead.
    pub(crate) shown: usize,
    /// How many of those that are left are counted in [`Pools::carried`](crate::pools::Pools::carried).
    pub(crate) counted: usize,
    /// Where its connection stands in the line for room.
    pub(crate) turn: Turn,
}

impl Carry {
    /// Adds bytes behind those that are left. Reserves for as many as are needed.
    #[inline]
    pub(crate) fn append(&mut self, more: &[u8]) {
        let wanted = self.start + self.need.max(self.len() + more.len());
        if wanted > self.bytes.capacity() {
            self.grow(wanted);
        }
        self.bytes.extend_from_slice(more);
    }

    /// Doubles the room at least: a message may turn out to be larger many times, and each growth copies it.
    #[cold]
    fn grow(&mut self, wanted: usize) {
        let capacity = wanted.max(2 * self.bytes.capacity());
        self.bytes.reserve_exact(capacity - self.bytes.len());
    }

    /// Where the rest of a message goes that needs many more bytes, which are reserved.
    pub(crate) fn destination(&mut self) -> Option<Destination<'_>> {
        let missing = self.need.checked_sub(self.len()).filter(|missing| *missing >= DIRECT_BYTES)?;
        let wanted = self.start + self.need;
        if wanted > self.bytes.capacity() {
            self.grow(wanted);
        }
        Some(Destination::new(&mut self.bytes, missing))
    }

    /// Forgets the first `count` of the bytes that are left.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        self.shown = self.shown.saturating_sub(count);
        if self.start >= self.bytes.len() - self.start {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }

    /// Lends its memory, so that parts of what is left can be kept by others: the whole of it, and where what is left begins.
    /// It is empty until [`take_back`](Self::take_back).
    pub(crate) fn share(&mut self) -> (Arc<Vec<u8>>, usize) {
        (Arc::new(mem::take(&mut self.bytes)), self.start)
    }

    /// Takes back what was lent, and forgets the first `count` of the bytes that are left. Where somebody keeps the memory,
    /// what is behind them is copied: that is part of another message, and little.
    pub(crate) fn take_back(&mut self, memory: Arc<Vec<u8>>, count: usize) {
        match Arc::try_unwrap(memory) {
            Ok(bytes) => {
                self.bytes = bytes;
                self.consume(count);
            }
            Err(memory) => {
                self.bytes = memory[self.start + count..].to_vec();
                (self.start, self.shown) = (0, self.shown.saturating_sub(count));
            }
        }
    }

    /// Forgets everything; keeps its memory up to `kept` bytes.
    pub(crate) fn clear(&mut self, kept: usize) {
        let mut bytes = mem::take(&mut self.bytes);
        bytes.clear();
        if bytes.capacity() > kept {
            bytes = Vec::new();
        }
        *self = Self { bytes, ..Self::default() };
    }

    /// Bytes that it takes of memory.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// The bytes that are left, in order.
impl Deref for Carry {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl DerefMut for Carry {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A carry beside a plain vector, and how many bytes had to be moved within it or to another place.
    #[derive(Default)]
    struct Watched {
        carry: Carry,
        plain: Vec<u8>,
        appended: usize,
        moved: usize,
    }

    impl Watched {
        fn append(&mut self, more: &[u8], need: usize) {
            let (held, capacity) = (self.carry.bytes.len(), self.carry.capacity());
            self.carry.need = need;
            self.carry.append(more);
            self.plain.extend_from_slice(more);
            self.appended += more.len();
            if self.carry.capacity() != capacity {
                self.moved += held;
            }
            self.check();
        }

        fn consume(&mut self, count: usize) {
            let start = self.carry.start;
            self.carry.consume(count);
            self.plain.drain(..count);
            if self.carry.start < start + count {
                self.moved += self.carry.len();
            }
            self.check();
        }

        fn check(&self) {
            assert_eq!(self.carry.len(), self.plain.len());
            // What was consumed is moved over for less than it was; doubling moves each byte once more on average, twice
            // where half of the bytes are consumed ones.
            assert!(self.moved <= 4 * self.appended, "{} bytes moved for {}", self.moved, self.appended);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bytes_are_moved_no_more_than_four_times_whatever_comes_and_goes(
            steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0..300_usize, 0..200_usize), 1..200),
        ) {
            let mut watched = Watched::default();
            for (more, beyond, taken) in steps {
                let need = watched.plain.len() + beyond;
                watched.append(&more, need);
                watched.consume(taken.min(watched.plain.len()));
                prop_assert_eq!(&*watched.carry, &*watched.plain);
            }
        }
    }

    #[test]
    fn a_message_of_a_million_words_is_moved_a_few_times_and_not_at_each_word() {
        let mut watched = Watched::default();
        for word in 0..100_000 {
            watched.append(b"$1\r\nx\r\n", 7 * (word + 1));
        }
        assert_eq!(watched.carry.len(), 700_000);
    }

    #[test]
    fn messages_that_are_taken_one_by_one_are_not_moved_for_each() {
        let mut watched = Watched::default();
        watched.append(&[7; 500_000], 0);
        for _ in 0..5_000 {
            watched.consume(10);
        }
        assert!(watched.moved <= watched.appended, "{} bytes moved", watched.moved);
    }

    #[test]
    fn what_is_known_to_be_needed_is_reserved_at_once_and_exactly() {
        let mut carry = Carry { need: 1 << 20, ..Carry::default() };
        carry.append(b"the beginning");
        assert_eq!(carry.capacity(), 1 << 20);
    }

    #[test]
    fn a_carry_that_was_cleared_knows_nothing_of_what_it_held() {
        let mut carry = Carry::default();
        carry.append(b"hello, world");
        carry.consume(3);
        (carry.need, carry.shown) = (100, 5);
        carry.clear(100);
        assert_eq!((carry.len(), carry.start, carry.need, carry.shown), (0, 0, 0, 0));
        assert!(carry.capacity() > 0);
        carry.clear(0);
        assert_eq!(carry.capacity(), 0);
    }
}
