//! The provided-buffer ring: where the kernel takes buffers from when something arrives (io_uring_provided_buffers(7)).
//!
//! The crate io-uring has its entries but no type for it, so it is here. Buffers are used in ring order; there are few
//! of them, so that all stay in the second-level cache. They come in two kinds. Where the kernel can fill a buffer by several
//! receives (IOU_PBUF_RING_INC, Linux 6.12), they are large: a large message then arrives in one piece, and small ones lie
//! side by side. Elsewhere each receive takes a buffer for itself, and they are small.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::buffer::Chunk;

/// How receives take buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each receive takes what it fills, from where the last one ended.
    Shared,
    /// Each receive takes a buffer.
    Whole,
}

impl Kind {
    /// Bytes of a buffer.
    const fn bytes(self) -> usize {
        match self {
            Self::Shared => 64 * 1024,
            Self::Whole => 4_096,
        }
    }

    /// Buffers of a reactor: a power of two (at most 32,768). All of them are a megabyte.
    const fn count(self) -> u16 {
        match self {
            Self::Shared => SHARED_COUNT as u16,
            Self::Whole => 256,
        }
    }

    /// From one buffer to the next: a cache line more, or all first lines would share one cache set.
    const fn stride(self) -> usize {
        self.bytes() + 64
    }

    /// What the kernel is told at registration.
    const fn flags(self) -> u16 {
        /// IOU_PBUF_RING_INC, which the crate does not export.
        const INCREMENTAL: u16 = 2;
        match self {
            Self::Shared => INCREMENTAL,
            Self::Whole => 0,
        }
    }
}

const SHARED_COUNT: usize = 16;

const PAGE_BYTES: usize = 4_096;

/// The group that all receives name.
pub(super) const GROUP: u16 = 0;

/// Of each shared buffer, how many bytes were reported: what is reported next begins there, since the kernel fills one
/// buffer after the other and reports that in the same order.
#[derive(Clone, Copy, Default)]
struct Filled {
    bytes: [u32; SHARED_COUNT],
}

/// See the module.
pub(super) struct Buffers {
    kind: Kind,
    ring: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// What is published to the kernel; more may have been written behind it.
    tail: u16,
    filled: Filled,
    /// The shared buffer that the last report was of.
    current: u16,
    /// Buffers, or parts of shared ones, that were reported and not put back.
    out: usize,
}

impl Buffers {
    fn layouts(kind: Kind) -> (Layout, Layout) {
        let count = usize::from(kind.count());
        let ring = Layout::from_size_align(count * size_of::<BufRingEntry>(), PAGE_BYTES);
        let memory = Layout::from_size_align(count * kind.stride(), PAGE_BYTES);
        (ring.expect("a constant layout"), memory.expect("a constant layout"))
    }

    /// Makes the buffers, of the first kind that the kernel has, and gives all of them to it.
    pub(super) fn new(submitter: &Submitter<'_>, kinds: &[Kind]) -> io::Result<Self> {
        let mut result = Err(io::ErrorKind::Unsupported.into());
        for kind in kinds {
            result = Self::of_kind(submitter, *kind);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn of_kind(submitter: &Submitter<'_>, kind: Kind) -> io::Result<Self> {
        let (ring_layout, memory_layout) = Self::layouts(kind);
        // SAFETY: neither layout is empty.
        let (ring, memory) = unsafe { (alloc_zeroed(ring_layout), alloc_zeroed(memory_layout)) };
        let Some(ring) = NonNull::new(ring) else { handle_alloc_error(ring_layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(memory_layout) };
        let (tail, filled, current) = (0, Filled::default(), 0);
        let mut buffers = Self { kind, ring: ring.cast(), memory, tail, filled, current, out: 0 };
        // SAFETY: the ring is page-aligned, has so many entries, and lives until `Drop`, which comes after the io_uring
        // instance has gone, or after it has refused the ring here.
        unsafe { submitter.register_buf_ring_with_flags(ring.as_ptr() as u64, kind.count(), GROUP, kind.flags())? };
        for buffer in 0..kind.count() {
            buffers.give(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    fn address(&self, buffer: u16) -> NonNull<u8> {
        assert!(buffer < self.kind.count(), "the kernel named a buffer that does not exist");
        // SAFETY: the offset is within the allocation, as just checked.
        unsafe { self.memory.add(usize::from(buffer) * self.kind.stride()) }
    }

    /// Where in a buffer the bytes of a report lie: behind those that are in `filled`.
    #[inline]
    fn begin(kind: Kind, filled: &mut Filled, buffer: u16, length: u32) -> usize {
        let mut begin = 0;
        if kind == Kind::Shared {
            let reported = &mut filled.bytes[usize::from(buffer)];
            begin = *reported as usize;
            *reported += length;
        }
        assert!(begin + length as usize <= kind.bytes(), "the kernel wrote more than a buffer holds");
        begin
    }

    /// Takes note of what the kernel reports next; says where the bytes lie.
    #[inline]
    fn take(&mut self, buffer: u16, length: u32) -> NonNull<u8> {
        // SAFETY: the offset is within the buffer.
        let start = unsafe { self.address(buffer).add(Self::begin(self.kind, &mut self.filled, buffer, length)) };
        self.out += 1;
        if self.kind == Kind::Shared && buffer != self.current {
            let before = std::mem::replace(&mut self.current, buffer);
            if self.filled.bytes[usize::from(before)] > 0 {
                // The kernel has left it before it was full.
                self.give(before);
            }
        }
        start
    }

    /// A chunk of what the kernel has put into a buffer. Called for all that it reports, in that order.
    #[inline]
    pub(super) fn chunk(&mut self, buffer: u16, length: u32) -> Chunk {
        let start = self.take(buffer, length);
        // SAFETY: the kernel has written `length` bytes there and given them to us until the buffer is put back, which
        // takes the chunk; the memory lives as long as the driver.
        unsafe { Chunk::new(start, length, buffer) }
    }

    /// A look at what the kernel has reported and [`Buffers::chunk`] was not called for yet.
    pub(super) fn ahead(&self) -> Ahead<'_> {
        Ahead { buffers: self, filled: self.filled }
    }

    /// Takes what the kernel has reported and nobody looks at.
    pub(super) fn discard(&mut self, buffer: u16, length: u32) {
        self.take(buffer, length);
        self.put(buffer);
    }

    /// Puts a buffer back, unless more will come in it. The kernel sees it after `publish`.
    #[inline]
    pub(super) fn put(&mut self, buffer: u16) {
        self.out -= 1;
        let is_done = match self.kind {
            Kind::Shared => self.filled.bytes[usize::from(buffer)] as usize == self.kind.bytes(),
            Kind::Whole => true,
        };
        if is_done {
            self.give(buffer);
        }
    }

    #[inline]
    fn give(&mut self, buffer: u16) {
        if self.kind == Kind::Shared {
            self.filled.bytes[usize::from(buffer)] = 0;
        }
        let address = self.address(buffer).as_ptr() as u64;
        let index = usize::from(self.tail & (self.kind.count() - 1));
        // SAFETY: the index is within the ring, and the entry is ours: there are as many entries as buffers, so the
        // kernel has none to read where this one goes.
        let entry = unsafe { &mut *self.ring.as_ptr().add(index) };
        entry.set_addr(address);
        entry.set_len(self.kind.bytes() as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see all that was put back.
    #[inline]
    pub(super) fn publish(&self) {
        // SAFETY: the tail lies in the ring's first entry, in a field that `give` does not write; the kernel reads it
        // with acquire.
        unsafe {
            let tail = BufRingEntry::tail(self.ring.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    /// Bytes of one.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.kind.bytes()
    }

    /// Which kind they are.
    #[cfg(test)]
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// How often a buffer was given to the kernel.
    #[cfg(test)]
    pub(super) fn given(&self) -> u16 {
        self.tail
    }

    /// Buffers, or parts of them, that we hold.
    #[cfg(test)]
    pub(super) fn out(&self) -> usize {
        self.out
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let (ring_layout, memory_layout) = Self::layouts(self.kind);
        // SAFETY: allocated with these layouts, and the io_uring instance that knew them has gone, or does not know them.
        unsafe {
            dealloc(self.ring.as_ptr().cast(), ring_layout);
            dealloc(self.memory.as_ptr(), memory_layout);
        }
    }
}

/// See [`Buffers::ahead`].
pub(super) struct Ahead<'a> {
    buffers: &'a Buffers,
    filled: Filled,
}

impl<'a> Ahead<'a> {
    /// What is reported next. Called for all that is, in that order.
    pub(super) fn next(&mut self, buffer: u16, length: u32) -> &'a [u8] {
        let start = self.buffers.address(buffer);
        let begin = Buffers::begin(self.buffers.kind, &mut self.filled, buffer, length);
        // SAFETY: the offset is within the buffer. As for a chunk: the kernel has written the bytes and given them to us,
        // and nobody has them before they are taken out of the batch of completions, which the borrow of the driver forbids.
        unsafe { std::slice::from_raw_parts(start.add(begin).as_ptr(), length as usize) }
    }
}
