//! Messages that a session keeps beyond its poll: copies in memory that is used again.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;

/// Messages whose memory a thread keeps: as many as sessions of one reactor usually hold at a time.
const KEPT: usize = 64;

/// The most memory of a message that is kept, in bytes.
const KEPT_BYTES: usize = 4 * 1024;

// Boxed on purpose: a session holds eight bytes of a message across an await, and not twenty-four.
#[allow(clippy::box_collection)]
type Memory = Box<Vec<u8>>;

thread_local! {
    static POOL: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// Holds a message that [`Connection::next`](super::Connection::next) received: a copy, which a session may keep across
/// awaits.
///
/// It derefs to its bytes. Its memory comes from a pool of the reactor's thread, and goes back to one when it is dropped: a
/// dialogue in the steady state allocates nothing. At most 64 of up to 4 KiB each are kept by a thread.
pub struct Message {
    /// `None` only while it is dropped.
    memory: Option<Memory>,
}

impl Message {
    #[inline]
    pub(super) fn copy(bytes: &[u8]) -> Self {
        let mut memory = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
        memory.extend_from_slice(bytes);
        Self { memory: Some(memory) }
    }

    /// Returns the bytes in a vector of their own, without a copy.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<u8> {
        self.memory.take().map_or_else(Vec::new, |memory| *memory)
    }
}

impl Drop for Message {
    #[inline]
    fn drop(&mut self) {
        let Some(mut memory) = self.memory.take().filter(|memory| memory.capacity() <= KEPT_BYTES) else { return };
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
}

impl Deref for Message {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.memory.as_deref().map_or(&[], Vec::as_slice)
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
