//! The buffers of a reactor: received chunks, and the blocks that outboxes draw from.
//!
//! All of it belongs to one reactor and is used on its thread only. An idle connection owns none of it.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes of a block. Not a power of two: blocks that begin 4 KiB apart would share their cache set.
pub(crate) const BLOCK_BYTES: usize = 2048 + 64;

/// Things of a kind that are kept for later in any case.
const KEPT: usize = 128;

/// Received bytes in a buffer that belongs to a driver. It has to go back there by `Driver::recycle`.
#[derive(Debug)]
pub(crate) struct Chunk {
    data: NonNull<u8>,
    len: u32,
    buffer: u16,
}

impl Chunk {
    /// A chunk of `len` bytes at `data`, in the driver's buffer number `buffer`.
    ///
    /// # Safety
    ///
    /// `data` points to `len` initialised bytes that nobody else reads or writes until the chunk was recycled, and
    /// that live as long as the driver does. The driver outlives its chunks.
    pub(crate) unsafe fn new(data: NonNull<u8>, len: u32, buffer: u16) -> Self {
        Self { data, len, buffer }
    }

    /// The driver's number of the buffer.
    pub(crate) fn buffer(&self) -> u16 {
        self.buffer
    }
}

/// A part of the chunk that a reactor handles, which an outbox may send from without a copy while it does so.
#[derive(Debug)]
pub(crate) struct Lent {
    data: NonNull<u8>,
    len: usize,
}

impl Lent {
    /// The bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: it was made of a part of the chunk that `Blocks::lend` was told of. The reactor has what is lent of it
        // sent or copied before the chunk goes back (`Outbox::own`), and until then nobody changes what was decoded.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.len, "consumed more than there is");
        // SAFETY: it stays within the part, as just checked.
        self.data = unsafe { self.data.add(count) };
        self.len -= count;
    }
}

/// The chunk that is lent, if any, and whether an outbox has borrowed of it.
#[derive(Debug, Default)]
struct Lending {
    chunk: Option<(NonNull<u8>, usize)>,
    /// Whether an outbox that is appended to now may borrow.
    may_borrow: bool,
    is_borrowed: bool,
}

/// What holds for the outbox of the connection whose chunk is lent, while another one is appended to.
#[derive(Debug)]
pub(crate) struct Own {
    may_borrow: bool,
    is_borrowed: bool,
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `new` was promised that these bytes are initialised, alive and ours alone.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len as usize) }
    }
}

impl DerefMut for Chunk {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len as usize) }
    }
}

/// Room at the end of a vector, for bytes that a driver receives.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    bytes: &'a mut Vec<u8>,
    most: usize,
}

impl<'a> Destination<'a> {
    /// A destination for at most so many bytes, of those that are reserved.
    pub(crate) fn new(bytes: &'a mut Vec<u8>, most: usize) -> Self {
        let most = most.min(bytes.capacity() - bytes.len());
        Self { bytes, most }
    }

    /// The same with room for at most so many.
    pub(crate) fn first(self, most: usize) -> Self {
        Self { most: most.min(self.most), ..self }
    }

    /// Bytes that there is room for.
    pub(crate) fn len(&self) -> usize {
        self.most
    }

    /// Where they go.
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        &mut self.bytes.spare_capacity_mut()[..self.most]
    }

    /// Makes the first `count` bytes of the room part of the vector.
    ///
    /// # Safety
    ///
    /// They have been written.
    pub(crate) unsafe fn fill(self, count: usize) {
        assert!(count <= self.most, "more was written than there was room");
        // SAFETY: they are within the capacity, as just checked, and were written, as the caller promises.
        unsafe { self.bytes.set_len(self.bytes.len() + count) };
    }

    /// Puts these bytes there, if there is room for all of them; says whether there was.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn put(self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.most;
        if fits {
            self.bytes.extend_from_slice(bytes);
        }
        fits
    }
}

/// A fixed piece of memory that outboxes append small messages to. Its bytes never move.
#[derive(Debug)]
pub(crate) struct Block {
    data: Box<[u8; BLOCK_BYTES]>,
    start: u16,
    end: u16,
}

impl Block {
    /// What is in it and was not consumed.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.data[usize::from(self.start)..usize::from(self.end)]
    }

    /// Whether nothing is left in it.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that fit behind those in it.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        BLOCK_BYTES - usize::from(self.end)
    }

    /// Empties it.
    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Appends as much of `bytes` as fits and says how much that was. What is already in it stays where it is.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let end = usize::from(self.end);
        let taken = bytes.len().min(BLOCK_BYTES - end);
        self.data[end..end + taken].copy_from_slice(&bytes[..taken]);
        self.end += taken as u16;
        taken
    }

    /// Forgets the first `count` bytes.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= usize::from(self.end - self.start), "consumed more than there is");
        self.start += count as u16;
    }
}

/// Things that are borrowed and given back, and how many were out at once lately.
pub(crate) struct Stock<T> {
    free: Vec<T>,
    out: usize,
    most_out: usize,
}

impl<T> Default for Stock<T> {
    fn default() -> Self {
        Self { free: Vec::new(), out: 0, most_out: 0 }
    }
}

impl<T> Stock<T> {
    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        self.out += 1;
        self.most_out = self.most_out.max(self.out);
        self.free.pop()
    }

    /// The last one given back is the first one taken again: it is still in the cache.
    #[inline]
    pub(crate) fn put(&mut self, thing: T) {
        self.out -= 1;
        self.free.push(thing);
    }

    pub(crate) fn has_excess(&self) -> bool {
        self.free.len() > KEPT
    }

    /// Frees what was not needed since the last time: a burst must not become the resident size for ever.
    pub(crate) fn trim(&mut self) {
        self.trim_with(drop);
    }

    /// As [`trim`](Self::trim), with a last use of what goes.
    pub(crate) fn trim_with(&mut self, last: impl FnMut(T)) {
        let kept = KEPT.max(self.most_out - self.out).min(self.free.len());
        self.free.drain(kept..).for_each(last);
        self.free.shrink_to(2 * KEPT);
        self.most_out = self.out;
    }

    /// Those that are not out.
    #[cfg(test)]
    pub(crate) fn free(&self) -> &[T] {
        &self.free
    }

    /// How many are out.
    #[cfg(test)]
    pub(crate) fn out(&self) -> usize {
        self.out
    }
}

/// The blocks of a reactor, and what of a chunk outboxes may borrow instead of copying it to blocks.
#[derive(Default)]
pub(crate) struct Blocks {
    free: Stock<Box<[u8; BLOCK_BYTES]>>,
    lending: Lending,
    /// How often another connection's outbox has borrowed.
    #[cfg(test)]
    pub(crate) lent_to_others: usize,
}

impl Blocks {
    /// Lets outboxes borrow of a chunk, until [`end_lending`](Self::end_lending): those of other connections
    /// ([`lend_to_other`](Self::lend_to_other)), and with `to_own` that of its own connection.
    #[inline]
    pub(crate) fn lend(&mut self, chunk: &Chunk, to_own: bool) {
        self.lending.chunk = Some((chunk.data, chunk.len as usize));
        self.lending.may_borrow = to_own;
    }

    /// Whether a chunk is lent: what is sent meanwhile has to leave at once, or is copied.
    pub(crate) fn is_lending(&self) -> bool {
        self.lending.chunk.is_some()
    }

    /// Lets the outbox of another connection borrow, or not, until [`end_other`](Self::end_other).
    #[inline]
    pub(crate) fn lend_to_other(&mut self, may_borrow: bool) -> Own {
        let own = Own { may_borrow: self.lending.may_borrow, is_borrowed: self.lending.is_borrowed };
        (self.lending.may_borrow, self.lending.is_borrowed) = (may_borrow, false);
        own
    }

    /// Ends that; says whether that outbox has borrowed something.
    #[inline]
    pub(crate) fn end_other(&mut self, own: Own) -> bool {
        let is_borrowed = self.lending.is_borrowed;
        (self.lending.may_borrow, self.lending.is_borrowed) = (own.may_borrow, own.is_borrowed);
        #[cfg(test)]
        {
            self.lent_to_others += usize::from(is_borrowed);
        }
        is_borrowed
    }

    /// Ends lending; says whether the outbox of the chunk's own connection has borrowed something, which has to be sent or
    /// copied now.
    #[inline]
    pub(crate) fn end_lending(&mut self) -> bool {
        std::mem::take(&mut self.lending).is_borrowed
    }

    /// These bytes without a copy, where they are of the chunk that is lent.
    pub(crate) fn borrow(&mut self, bytes: &[u8]) -> Option<Lent> {
        let (data, length) = self.lending.chunk.filter(|_| self.lending.may_borrow)?;
        let offset = (bytes.as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
        if offset + bytes.len() > length {
            return None;
        }
        self.lending.is_borrowed = true;
        // SAFETY: the offset is within the chunk, as just checked.
        Some(Lent { data: unsafe { data.add(offset) }, len: bytes.len() })
    }

    /// An empty block.
    #[inline]
    pub(crate) fn block(&mut self) -> Block {
        let data = self.free.take().unwrap_or_else(|| Box::new([0; BLOCK_BYTES]));
        Block { data, start: 0, end: 0 }
    }

    /// Takes a block back.
    #[inline]
    pub(crate) fn return_block(&mut self, block: Block) {
        self.free.put(block.data);
    }

    /// Whether [`Blocks::trim`] might free something.
    pub(crate) fn has_excess(&self) -> bool {
        self.free.has_excess()
    }

    /// Frees what was not needed since the last call.
    pub(crate) fn trim(&mut self) {
        self.free.trim();
    }

    /// Blocks that are in use.
    #[cfg(test)]
    pub(crate) fn out(&self) -> usize {
        self.free.out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Outbox;

    #[test]
    fn a_block_takes_what_fits_and_no_more() {
        let mut blocks = Blocks::default();
        let mut block = blocks.block();
        assert_eq!(block.append(&[7; BLOCK_BYTES - 1]), BLOCK_BYTES - 1);
        assert_eq!(block.append(&[8; 3]), 1);
        assert_eq!(block.append(&[9; 3]), 0);
        block.consume(BLOCK_BYTES - 1);
        assert_eq!(block.bytes(), &[8]);
        blocks.return_block(block);
        assert_eq!(blocks.block().bytes(), &[0; 0], "a pooled block comes back empty");
    }

    #[test]
    fn a_pool_gives_up_what_a_burst_left_behind() {
        let mut blocks = Blocks::default();
        let out: Vec<_> = (0..KEPT * 4).map(|_| blocks.block()).collect();
        out.into_iter().for_each(|block| blocks.return_block(block));
        assert_eq!((blocks.out(), blocks.free.free.len()), (0, KEPT * 4));
        blocks.trim();
        assert_eq!(blocks.free.free.len(), KEPT * 4, "they were needed since the last time");
        assert!(blocks.has_excess());
        blocks.trim();
        assert_eq!(blocks.free.free.len(), KEPT);
        assert!(!blocks.has_excess());
    }

    #[test]
    fn a_large_part_of_a_lent_chunk_is_copied_only_when_the_chunk_goes() {
        let mut blocks = Blocks::default();
        let mut buffer: Vec<u8> = (0..30_000).map(|index| (index % 251) as u8).collect();
        let data = NonNull::new(buffer.as_mut_ptr()).expect("a vector with something in it");
        // SAFETY: the buffer outlives the chunk and is not touched while the chunk lives.
        let chunk = unsafe { Chunk::new(data, 30_000, 0) };
        blocks.lend(&chunk, true);
        let mut outbox = Outbox::default();
        outbox.append(&chunk[1_000..21_000], &mut blocks);
        assert_eq!(outbox.front().as_ptr() as usize, data.as_ptr() as usize + 1_000, "it is where it was received");
        outbox.append(&[1; 20_000], &mut blocks);
        assert!(blocks.end_lending());
        outbox.consume(5_000, &mut blocks);
        let expected = chunk[6_000..21_000].to_vec();
        outbox.own();
        buffer.fill(0);
        assert!(outbox.front() == expected, "a copy was made in time");
        outbox.clear(&mut blocks);
        outbox.append(&buffer[..20_000], &mut blocks);
        assert_ne!(outbox.front().as_ptr(), data.as_ptr().cast_const(), "nothing is lent any more");
        assert!(!blocks.end_lending());
        outbox.clear(&mut blocks);
    }

    #[test]
    fn a_chunk_reads_and_writes_the_drivers_buffer() {
        let mut buffer = vec![1u8, 2, 3, 4].into_boxed_slice();
        let data = NonNull::new(buffer.as_mut_ptr()).expect("a box is not null");
        // SAFETY: the buffer outlives the chunk and is not touched while the chunk lives.
        let mut chunk = unsafe { Chunk::new(data, 3, 9) };
        chunk[0] = 10;
        assert_eq!((&*chunk, chunk.buffer()), (&[10u8, 2, 3][..], 9));
    }
}
