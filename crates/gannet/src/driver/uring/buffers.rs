//! The provided-buffer ring: where the kernel takes buffers from when something arrives (io_uring_provided_buffers(7)).
//!
//! The crate io-uring has its entries but no type for it, so it is here. Buffers are used in ring order; there are few
//! of them, so that all stay in the second-level cache.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::buffer::Chunk;

/// Bytes of a buffer.
const BUFFER_BYTES: usize = 4_096;

/// From one buffer to the next: a cache line more, or all first lines would share one cache set.
const STRIDE_BYTES: usize = BUFFER_BYTES + 64;

/// Buffers of a reactor: a power of two (at most 32,768). All of them are a megabyte.
const COUNT: u16 = 256;

const PAGE_BYTES: usize = 4_096;

/// The group that all receives name.
pub(super) const GROUP: u16 = 0;

/// See the module.
pub(super) struct Buffers {
    ring: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// What is published to the kernel; more may have been written behind it.
    tail: u16,
    /// Buffers that are neither the kernel's nor written to the ring.
    out: usize,
}

impl Buffers {
    fn layouts() -> (Layout, Layout) {
        let ring = Layout::from_size_align(usize::from(COUNT) * size_of::<BufRingEntry>(), PAGE_BYTES);
        let memory = Layout::from_size_align(usize::from(COUNT) * STRIDE_BYTES, PAGE_BYTES);
        (ring.expect("a constant layout"), memory.expect("a constant layout"))
    }

    /// Makes the buffers and gives all of them to the kernel.
    pub(super) fn new(submitter: &Submitter<'_>) -> io::Result<Self> {
        let (ring_layout, memory_layout) = Self::layouts();
        // SAFETY: neither layout is empty.
        let (ring, memory) = unsafe { (alloc_zeroed(ring_layout), alloc_zeroed(memory_layout)) };
        let Some(ring) = NonNull::new(ring) else { handle_alloc_error(ring_layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(memory_layout) };
        let mut buffers = Self { ring: ring.cast(), memory, tail: 0, out: usize::from(COUNT) };
        // SAFETY: the ring is page-aligned, has COUNT entries, and lives until `Drop`, which comes after the io_uring
        // instance has gone.
        unsafe { submitter.register_buf_ring_with_flags(ring.as_ptr() as u64, COUNT, GROUP, 0)? };
        for buffer in 0..COUNT {
            buffers.put(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    fn address(&self, buffer: u16) -> NonNull<u8> {
        assert!(buffer < COUNT, "the kernel named a buffer that does not exist");
        // SAFETY: the offset is within the allocation, as just checked.
        unsafe { self.memory.add(usize::from(buffer) * STRIDE_BYTES) }
    }

    /// A chunk of what the kernel has put into a buffer.
    #[inline]
    pub(super) fn chunk(&mut self, buffer: u16, length: u32) -> Chunk {
        assert!(length as usize <= BUFFER_BYTES, "the kernel wrote more than a buffer holds");
        self.out += 1;
        // SAFETY: the kernel has written `length` bytes and given the buffer to us until it is put back, which takes
        // the chunk; the memory lives as long as the driver.
        unsafe { Chunk::new(self.address(buffer), length, buffer) }
    }

    /// What the kernel has put into a buffer, of which [`Buffers::chunk`] is not made yet.
    pub(super) fn show(&self, buffer: u16, length: u32) -> &[u8] {
        assert!(length as usize <= BUFFER_BYTES, "the kernel wrote more than a buffer holds");
        // SAFETY: as for a chunk: the kernel has written it and given it to us, and nobody has it before it is taken out
        // of the batch of completions, which the borrow of the driver forbids.
        unsafe { std::slice::from_raw_parts(self.address(buffer).as_ptr(), length as usize) }
    }

    /// Takes a buffer that the kernel has given and nobody looked at.
    pub(super) fn discard(&mut self, buffer: u16) {
        self.out += 1;
        self.put(buffer);
    }

    /// Puts a buffer back; the kernel sees it after `publish`.
    #[inline]
    pub(super) fn put(&mut self, buffer: u16) {
        let address = self.address(buffer).as_ptr() as u64;
        // SAFETY: the index is within the ring, and the entry is ours: there are as many entries as buffers, so the
        // kernel has none to read where this one goes.
        let entry = unsafe { &mut *self.ring.as_ptr().add(usize::from(self.tail & (COUNT - 1))) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.out -= 1;
    }

    /// Lets the kernel see all that was put back.
    #[inline]
    pub(super) fn publish(&self) {
        // SAFETY: the tail lies in the ring's first entry, in a field that `put` does not write; the kernel reads it
        // with acquire.
        unsafe {
            let tail = BufRingEntry::tail(self.ring.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    /// Buffers that we hold.
    #[cfg(test)]
    pub(super) fn out(&self) -> usize {
        self.out
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let (ring_layout, memory_layout) = Self::layouts();
        // SAFETY: allocated with these layouts, and the io_uring instance that knew them has gone.
        unsafe {
            dealloc(self.ring.as_ptr().cast(), ring_layout);
            dealloc(self.memory.as_ptr(), memory_layout);
        }
    }
}
