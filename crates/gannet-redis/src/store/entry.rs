//! A key and its value.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;

use super::hash::Hash;
use super::held::{Held, Weigh as _};
use super::large::Large;

/// What is in front of the key, in the byte order of this machine: when the entry expires (8 bytes, milliseconds since
/// 1970, 0 is never), when it was used last (4, seconds since 1970), the lengths of the key and of the string (4 each).
const HEADER: usize = 20;

/// What an entry's place and its share of the table take, in bytes.
const FIXED_COST: usize = size_of::<Entry>() + 2 * size_of::<u32>();

/// What a deadline takes in the order of deadlines: 16 bytes, in nodes that are seldom full.
const DEADLINE_COST: usize = 28;

/// The room to grow that a string gets with a length far over the one that it had, at the most, in bytes.
const GROWTH_BYTES: usize = 1 << 20;

/// The room that a string gets which has none left: as much again up to a MiB, and a quarter as much beyond, which is the
/// distance between jemalloc's sizes of blocks. The string may be copied each time: so the steps have to grow with it.
fn room(len: usize) -> usize {
    if len <= GROWTH_BYTES { len } else { (len / 4).max(GROWTH_BYTES) }
}

/// Strings from this length on have a heap block of their own, which replies read without a copy.
pub const LARGE_BYTES: usize = 32 << 10;

/// What that block has beside the string, and what leads to it, in bytes.
const LARGE_COST: usize = 96;

/// The bit of the string's length that says that it was edited in place. No string is so long.
const EDITED: u32 = 1 << 31;

/// A key with its value, when it expires and when it was used last.
///
/// All of it is one heap block, but for a hash and for a large string: a look at a key costs the cache lines of that block
/// and no others.
#[derive(Debug, Default)]
pub struct Entry {
    /// Header, key, string unless it is large, room to grow.
    block: Box<[u8]>,
    body: Option<Box<Body>>,
}

/// What is not in the block.
#[derive(Clone, Debug)]
enum Body {
    Hash(Hash),
    String(Held<Large>),
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// A hash.
    Hash(&'a Hash),
}

/// A value on its way into the store.
#[derive(Debug)]
pub enum New<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// A string in the memory in which it was received.
    Received(Bytes),
    /// A string: the decimal form of this number.
    Int(i64),
    /// A hash.
    Hash(Box<Hash>),
}

impl Entry {
    pub(super) fn new(key: &[u8], value: New<'_>) -> Self {
        let mut digits = itoa::Buffer::new();
        let (string, body) = match value {
            New::Bytes(bytes) if bytes.len() >= LARGE_BYTES => {
                (&[][..], Some(Box::new(Body::String(Held::new(Large::Own(bytes.to_vec()))))))
            }
            New::Received(bytes) => (&[][..], Some(Box::new(Body::String(Held::new(Large::Received(bytes)))))),
            New::Bytes(bytes) => (bytes, None),
            New::Int(number) => (digits.format(number).as_bytes(), None),
            New::Hash(hash) => (&[][..], Some(Box::new(Body::Hash(*hash)))),
        };
        let mut block = Vec::with_capacity(HEADER + key.len() + string.len());
        block.extend_from_slice(&[0; 12]);
        block.extend_from_slice(&(key.len() as u32).to_ne_bytes());
        block.extend_from_slice(&(string.len() as u32).to_ne_bytes());
        block.extend_from_slice(key);
        block.extend_from_slice(string);
        Self { block: block.into(), body }
    }

    /// Whether this is a place without an entry.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.block.is_empty()
    }

    /// Reads the first and the last byte, so that the processor fetches their cache lines.
    #[inline]
    pub(super) fn fetch(&self) -> u8 {
        self.block.first().copied().unwrap_or(0) ^ self.block.last().copied().unwrap_or(0)
    }

    #[inline]
    fn word(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.block[at..at + 4]);
        u32::from_ne_bytes(word)
    }

    #[inline]
    fn set_word(&mut self, at: usize, word: u32) {
        self.block[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }

    /// Where the string begins.
    #[inline]
    fn string_at(&self) -> usize {
        HEADER + self.word(12) as usize
    }

    /// The length of the string that is in the block.
    #[inline]
    fn inner_len(&self) -> usize {
        (self.word(16) & !EDITED) as usize
    }

    /// The string that is in the block.
    #[inline]
    fn inner(&self) -> &[u8] {
        let at = self.string_at();
        &self.block[at..at + self.inner_len()]
    }

    /// The key.
    #[must_use]
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.block[HEADER..self.string_at()]
    }

    /// When it expires, in milliseconds since 1970.
    #[must_use]
    #[inline]
    pub fn deadline_ms(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.block[..8]);
        Some(u64::from_ne_bytes(bytes)).filter(|deadline_ms| *deadline_ms != 0)
    }

    pub(super) fn set_deadline(&mut self, deadline_ms: Option<u64>) {
        self.block[..8].copy_from_slice(&deadline_ms.unwrap_or(0).to_ne_bytes());
    }

    /// When it was used last, in seconds since 1970.
    #[must_use]
    #[inline]
    pub fn used_s(&self) -> u32 {
        self.word(8)
    }

    #[inline]
    pub(super) fn set_used(&mut self, used_s: u32) {
        // Most are used many times in a second: the cache line stays clean.
        if self.used_s() != used_s {
            self.set_word(8, used_s);
        }
    }

    /// The value.
    #[must_use]
    #[inline]
    pub fn value(&self) -> Value<'_> {
        match self.body.as_deref() {
            None => Value::Bytes(self.inner()),
            Some(Body::String(string)) => Value::Bytes(string),
            Some(Body::Hash(hash)) => Value::Hash(hash),
        }
    }

    /// The string as it is now, without a copy, where it is a large one.
    #[must_use]
    #[inline]
    pub fn large_string(&self) -> Option<Bytes> {
        match self.body.as_deref() {
            Some(Body::String(string)) => Some(Bytes::from_owner(string.lease())),
            _ => None,
        }
    }

    /// The hash, where it is one.
    #[must_use]
    pub fn hash_mut(&mut self) -> Option<&mut Hash> {
        match self.body.as_deref_mut() {
            Some(Body::Hash(hash)) => Some(hash),
            _ => None,
        }
    }

    /// The string, to edit in place; `None` for a hash.
    #[must_use]
    pub fn bytes_mut(&mut self) -> Option<StringMut<'_>> {
        if matches!(self.body.as_deref(), Some(Body::Hash(_))) {
            return None;
        }
        self.set_word(16, self.word(16) | EDITED);
        Some(StringMut { entry: self })
    }

    /// Puts another value in place of this one, which is given back. A string of the same length is written over the old
    /// one.
    #[inline]
    pub(super) fn set(&mut self, value: New<'_>) -> Option<Self> {
        if let New::Bytes(bytes) = value
            && self.body.is_none()
            && self.string_at() + bytes.len() == self.block.len()
        {
            let at = self.string_at();
            self.block[at..].copy_from_slice(bytes);
            self.set_word(16, bytes.len() as u32);
            return None;
        }
        if let New::Bytes(bytes) = value
            && let Some(Body::String(string)) = self.body.as_deref_mut()
            && let Some(Large::Own(string)) = string.get_mut()
            && string.len() == bytes.len()
        {
            string.copy_from_slice(bytes);
            self.set_word(16, 0);
            return None;
        }
        let mut other = Self::new(self.key(), value);
        other.block[..12].copy_from_slice(&self.block[..12]);
        Some(std::mem::replace(self, other))
    }

    /// Puts the value under another key.
    pub(super) fn rename(&mut self, key: &[u8]) {
        self.block = self.block_for(key);
    }

    fn block_for(&self, key: &[u8]) -> Box<[u8]> {
        let mut other = Self::new(key, New::Bytes(self.inner()));
        other.block[..12].copy_from_slice(&self.block[..12]);
        // The length, and with it how the string is kept.
        other.set_word(16, self.word(16));
        other.block
    }

    /// The same value under another key, with its deadline.
    #[must_use]
    pub fn copy(&self, key: &[u8]) -> Self {
        Self { block: self.block_for(key), body: self.body.clone() }
    }

    /// What Redis calls the way this value is kept.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match self.body.as_deref() {
            Some(Body::Hash(hash)) => hash.encoding(),
            Some(Body::String(_)) => "raw",
            None if self.word(16) & EDITED != 0 => "raw",
            None if crate::decimal::integer(self.inner()).is_some() => "int",
            // As large as fits with its header into 64 bytes there.
            None if self.inner_len() <= 44 => "embstr",
            None => "raw",
        }
    }

    /// Bytes that this entry takes, everything included, as the allocator rounds them.
    #[must_use]
    #[inline]
    pub fn cost(&self) -> usize {
        let body = match self.body.as_deref() {
            None => 0,
            Some(Body::Hash(hash)) => block(size_of::<Body>()) + hash.cost(),
            Some(Body::String(string)) => LARGE_COST + block(string.bytes()),
        };
        let deadline = if self.deadline_ms().is_some() { DEADLINE_COST } else { 0 };
        FIXED_COST + block(self.block.len()) + body + deadline
    }
}

/// A string that is edited in place. Derefs to its bytes.
#[derive(Debug)]
pub struct StringMut<'e> {
    entry: &'e mut Entry,
}

impl StringMut<'_> {
    /// Makes it so long; new bytes are zero.
    pub fn resize(&mut self, len: usize) {
        if let Some(string) = self.large() {
            return resize_large(string, len);
        }
        if len >= LARGE_BYTES {
            return self.become_large(len);
        }
        let (at, old) = (self.entry.string_at(), self.entry.inner_len());
        let room = self.entry.block.len() - at;
        if len > room {
            let wanted = 2 * len;
            let mut larger = Vec::with_capacity(at + wanted);
            larger.extend_from_slice(&self.entry.block[..at + old]);
            larger.resize(at + wanted, 0);
            self.entry.block = larger.into();
        } else if len < old {
            // What is cut off must not show again.
            self.entry.block[at + len..at + old].fill(0);
        }
        self.entry.set_word(16, len as u32 | EDITED);
    }

    /// The string where it is a large one, to be changed.
    fn large(&mut self) -> Option<&mut Vec<u8>> {
        match self.entry.body.as_deref_mut() {
            Some(Body::String(string)) => Some(string.make_mut().to_mut()),
            _ => None,
        }
    }

    /// Gives the string a heap block of its own, with room to grow.
    fn become_large(&mut self, len: usize) {
        let string = zeros(self.entry.inner(), len);
        let at = self.entry.string_at();
        self.entry.block = self.entry.block[..at].into();
        self.entry.set_word(16, EDITED);
        self.entry.body = Some(Box::new(Body::String(Held::new(Large::Own(string)))));
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let old = self.len();
        self.resize(old + bytes.len());
        self[old..].copy_from_slice(bytes);
    }
}

impl Deref for StringMut<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.entry.body.as_deref() {
            Some(Body::String(string)) => string,
            _ => self.entry.inner(),
        }
    }
}

impl DerefMut for StringMut<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        if matches!(self.entry.body.as_deref(), Some(Body::String(_))) {
            return self.large().map_or(&mut [], Vec::as_mut_slice);
        }
        let (at, len) = (self.entry.string_at(), self.entry.inner_len());
        &mut self.entry.block[at..at + len]
    }
}

/// A string of so many bytes, with room to grow: these, and zeros behind them. The zeros take no time where the system gives
/// memory that is zero already.
fn zeros(begin: &[u8], len: usize) -> Vec<u8> {
    let mut string = vec![0; len + len.min(GROWTH_BYTES)];
    string[..begin.len()].copy_from_slice(begin);
    string.truncate(len);
    string
}

fn resize_large(string: &mut Vec<u8>, len: usize) {
    if len > string.capacity() && string.len() < len / 2 {
        *string = zeros(string, len);
        return;
    }
    if len > string.capacity() {
        string.reserve_exact(len + room(len) - string.len());
    }
    string.resize(len, 0);
}

/// What the allocator takes for a block of so many bytes.
#[must_use]
#[inline]
pub fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_was_cut_and_grows_again_has_zeros_where_it_was_cut() {
        let mut entry = Entry::new(b"key", New::Bytes(b"0123456789"));
        let mut string = entry.bytes_mut().expect("a string");
        string.resize(4);
        string.resize(6);
        assert_eq!(&*string, b"0123\0\0");
        string.extend_from_slice(&[b'x'; 100]);
        string[0] = b'!';
        assert_eq!((string.len(), &string[..7]), (106, &b"!123\0\0x"[..]));
        assert_eq!((entry.key(), entry.encoding()), (&b"key"[..], "raw"));
        entry.set(New::Int(-5));
        assert!(matches!(entry.value(), Value::Bytes(b"-5")) && entry.encoding() == "int");
    }

    /// With 64 MiB, steps of a MiB would copy it 32 times.
    #[test]
    fn a_string_that_grows_by_little_is_copied_a_few_times_and_has_a_bound_on_its_room() {
        let mut entry = Entry::new(b"key", New::Bytes(b""));
        let (mut copied, mut block) = (0, 0);
        let piece = [b'x'; 1 << 10];
        for _ in 0..64 << 10 {
            let mut string = entry.bytes_mut().expect("a string");
            let len = string.len();
            string.extend_from_slice(&piece);
            let cost = entry.cost();
            if cost != block {
                (block, copied) = (cost, copied + len);
            }
            let len = len + piece.len();
            let most = if len <= 4 << 20 { 2 * len } else { len + len / 4 };
            assert!(cost <= most + 1_000, "{cost} bytes for {len}");
        }
        assert!(copied < 6 * (64 << 20), "{copied} bytes were copied");
    }

    #[test]
    fn another_key_or_value_leaves_the_deadline_as_it_is() {
        let mut entry = Entry::new(b"key", New::Bytes(b"value"));
        entry.set_deadline(Some(77));
        entry.set_used(5);
        entry.rename(b"another key");
        entry.set(New::Bytes(b"another value"));
        assert_eq!((entry.key(), entry.deadline_ms(), entry.used_s()), (&b"another key"[..], Some(77), 5));
        entry.set(New::Hash(Box::default()));
        assert!(entry.bytes_mut().is_none() && entry.hash_mut().is_some());
        entry.rename(b"k");
        assert!(matches!(entry.value(), Value::Hash(_)) && entry.deadline_ms() == Some(77));
    }
}
