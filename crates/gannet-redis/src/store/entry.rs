//! A key and its value.

use super::hash::Hash;

/// What an entry and its place in the table take beside the heap blocks they point to, in bytes.
const FIXED_COST: usize = size_of::<Entry>() + 2 * size_of::<u32>();

/// What a deadline takes in the order of deadlines: 16 bytes, in nodes that are seldom full.
const DEADLINE_COST: usize = 28;

/// A key with its value, when it expires and when it was used last.
///
/// A string lies behind its key in one heap block, until it is edited in place.
#[derive(Debug)]
pub struct Entry {
    /// The key, and behind it the string of [`Body::Inline`].
    blob: Box<[u8]>,
    body: Body,
    /// Milliseconds since 1970; 0 is never.
    pub(super) deadline_ms: u64,
    key_len: u32,
    /// Seconds since 1970, for the choice of what to evict.
    pub(super) used_s: u32,
}

#[derive(Clone, Debug)]
enum Body {
    /// A string, in the blob.
    Inline,
    /// A string that is the decimal form of this number.
    Int(i64),
    /// A string that was edited in place, with room to grow.
    #[allow(clippy::box_collection, reason = "an entry of 48 bytes instead of 56")]
    Raw(Box<Vec<u8>>),
    Hash(Box<Hash>),
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// A string that is the decimal form of this number.
    Int(i64),
    /// A hash.
    Hash(&'a Hash),
}

/// A value on its way into the store.
#[derive(Debug)]
pub enum New<'a> {
    /// A string; a number in its shortest decimal form is kept as one.
    Bytes(&'a [u8]),
    /// A string, also where it is a number.
    Text(&'a [u8]),
    /// A number.
    Int(i64),
    /// A hash.
    Hash(Box<Hash>),
}

impl Entry {
    pub(super) fn new(key: &[u8], value: New<'_>) -> Self {
        let mut entry =
            Self { blob: Box::default(), body: Body::Inline, deadline_ms: 0, key_len: key.len() as u32, used_s: 0 };
        match value {
            New::Bytes(bytes) => match crate::command::number::integer(bytes) {
                Some(number) => (entry.blob, entry.body) = (key.into(), Body::Int(number)),
                None => entry.blob = [key, bytes].concat().into(),
            },
            New::Text(bytes) => entry.blob = [key, bytes].concat().into(),
            New::Int(number) => (entry.blob, entry.body) = (key.into(), Body::Int(number)),
            New::Hash(hash) => (entry.blob, entry.body) = (key.into(), Body::Hash(hash)),
        }
        entry
    }

    /// The key.
    #[must_use]
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.blob[..self.key_len as usize]
    }

    /// When it expires, in milliseconds since 1970.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        (self.deadline_ms != 0).then_some(self.deadline_ms)
    }

    /// When it was used last, in seconds since 1970.
    #[must_use]
    pub fn used_s(&self) -> u32 {
        self.used_s
    }

    /// The value.
    #[must_use]
    #[inline]
    pub fn value(&self) -> Value<'_> {
        match &self.body {
            Body::Inline => Value::Bytes(&self.blob[self.key_len as usize..]),
            Body::Int(number) => Value::Int(*number),
            Body::Raw(bytes) => Value::Bytes(bytes),
            Body::Hash(hash) => Value::Hash(hash),
        }
    }

    /// The hash, where it is one.
    #[must_use]
    pub fn hash_mut(&mut self) -> Option<&mut Hash> {
        match &mut self.body {
            Body::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    /// The string, to edit in place; `None` for a hash. It stays a string of bytes until it is set anew.
    #[must_use]
    pub fn bytes_mut(&mut self) -> Option<&mut Vec<u8>> {
        let bytes = match &self.body {
            Body::Inline => Some(self.blob[self.key_len as usize..].to_vec()),
            Body::Int(number) => Some(itoa::Buffer::new().format(*number).as_bytes().to_vec()),
            Body::Raw(_) | Body::Hash(_) => None,
        };
        if let Some(bytes) = bytes {
            self.blob = self.key().into();
            self.body = Body::Raw(Box::new(bytes));
        }
        match &mut self.body {
            Body::Raw(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Puts another value in place of this one. A string of the same length is written over the old one.
    #[inline]
    pub(super) fn set(&mut self, value: New<'_>) {
        let key_len = self.key_len as usize;
        if let (New::Bytes(bytes), Body::Inline) = (&value, &self.body)
            && self.blob.len() - key_len == bytes.len()
            && crate::command::number::integer(bytes).is_none()
        {
            return self.blob[key_len..].copy_from_slice(bytes);
        }
        if let (New::Int(number), Body::Int(old)) = (&value, &mut self.body) {
            *old = *number;
            return;
        }
        let Self { blob, body, .. } = Self::new(&self.blob[..key_len], value);
        (self.blob, self.body) = (blob, body);
    }

    /// The value, to be put under another key.
    pub(super) fn rename(&mut self, key: &[u8]) {
        self.blob = [key, &self.blob[self.key_len as usize..]].concat().into();
        self.key_len = key.len() as u32;
    }

    /// The same value under another key, with its deadline.
    #[must_use]
    pub fn copy(&self, key: &[u8]) -> Self {
        let mut copy = Self { blob: self.blob.clone(), body: self.body.clone(), ..*self };
        copy.rename(key);
        copy
    }

    /// What Redis calls the way this value is kept.
    #[must_use]
    pub fn encoding(&self) -> &'static str {
        match &self.body {
            Body::Int(_) => "int",
            // As large as fits with its header into 64 bytes there.
            Body::Inline if self.blob.len() - self.key_len as usize <= 44 => "embstr",
            Body::Inline | Body::Raw(_) => "raw",
            Body::Hash(hash) => hash.encoding(),
        }
    }

    /// Bytes that this entry takes, everything included, as the allocator rounds them.
    #[must_use]
    pub fn cost(&self) -> usize {
        let body = match &self.body {
            Body::Inline | Body::Int(_) => 0,
            Body::Raw(bytes) => block(size_of::<Vec<u8>>()) + block(bytes.capacity()),
            Body::Hash(hash) => block(size_of::<Hash>()) + hash.cost(),
        };
        let deadline = if self.deadline_ms == 0 { 0 } else { DEADLINE_COST };
        FIXED_COST + block(self.blob.len()) + body + deadline
    }
}

/// What the allocator takes for a block of so many bytes.
#[must_use]
pub fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}
