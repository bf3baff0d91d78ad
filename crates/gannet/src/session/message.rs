//! Messages that a session keeps beyond its poll: copies in memory that is used again.

use std::cell::RefCell;
use std::fmt;

pub use super::raw::Message;

/// Messages whose memory a thread keeps: as many as sessions of one reactor usually hold at a time.
const KEPT: usize = 64;

/// The most memory of a message that is kept, in bytes.
const KEPT_BYTES: usize = 4 * 1024;

// Boxed on purpose: a session holds eight bytes of a message across an await, and not twenty-four.
#[allow(clippy::box_collection)]
pub(super) type Memory = Box<Vec<u8>>;

thread_local! {
    static POOL: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// Memory for a message: what the thread has kept, or new.
#[inline]
pub(super) fn take() -> Memory {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keeps the memory of a message, if there is room for it.
#[inline]
pub(super) fn put_back(mut memory: Memory) {
    if memory.capacity() > KEPT_BYTES {
        return;
    }
    memory.clear();
    // A message may be dropped while its thread ends: then its memory goes too.
    let _ = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut()
            && pool.len() < KEPT
        {
            pool.push(memory);
        }
    });
}

impl Message {
    #[inline]
    pub(super) fn copy(bytes: &[u8]) -> Self {
        let mut memory = take();
        memory.extend_from_slice(bytes);
        Self::of(memory)
    }

    /// Returns the bytes in a vector of their own, without a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        *self.into_memory()
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}
