//! A ring of provided buffers: the kernel takes one per receive, the loop gives it back after the send.

use std::alloc::{self, Layout};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The only group in use.
pub const GROUP: u16 = 0;
/// The alignment that the kernel requires of the ring's address.
const PAGE_BYTES: usize = 4096;
/// IOU_PBUF_RING_INC, which the crate does not export.
const INCREMENTAL: u16 = 2;

/// Buffers and the ring in which the kernel finds them.
pub struct Buffers {
    entries: NonNull<BufRingEntry>,
    entries_layout: Layout,
    memory: NonNull<u8>,
    memory_layout: Layout,
    count: u16,
    buffer_bytes: u32,
    stride: usize,
    tail: u16,
    incremental: bool,
    /// Incremental buffers only: what is known of each.
    shares: Vec<Share>,
}

#[derive(Clone, Copy, Default)]
struct Share {
    used: u32,
    in_flight: u32,
    finished: bool,
}

fn allocate(layout: Layout) -> io::Result<NonNull<u8>> {
    // SAFETY: no layout made here has size zero.
    let memory = unsafe { alloc::alloc_zeroed(layout) };
    NonNull::new(memory).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

impl Buffers {
    /// Allocates `count` buffers (a power of two) of `buffer_bytes`, `gap_bytes` apart.
    pub fn new(count: u16, buffer_bytes: u32, gap_bytes: u32, incremental: bool) -> io::Result<Self> {
        let stride = buffer_bytes as usize + gap_bytes as usize;
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        if !count.is_power_of_two() || buffer_bytes == 0 {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let entries_layout =
            Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), PAGE_BYTES).map_err(invalid)?;
        let memory_layout = Layout::from_size_align(usize::from(count) * stride, PAGE_BYTES).map_err(invalid)?;
        Ok(Self {
            entries: allocate(entries_layout)?.cast(),
            entries_layout,
            memory: allocate(memory_layout)?,
            memory_layout,
            count,
            buffer_bytes,
            stride,
            tail: 0,
            incremental,
            shares: vec![Share::default(); if incremental { usize::from(count) } else { 0 }],
        })
    }

    /// Tells the kernel of the ring and gives it all buffers.
    ///
    /// # Safety
    ///
    /// The io_uring must be closed before `self` is dropped.
    pub unsafe fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        // SAFETY: the entries are allocated for `count`; that they outlive the ring is the caller's word.
        unsafe {
            submitter.register_buf_ring_with_flags(
                self.entries.as_ptr() as u64,
                self.count,
                GROUP,
                if self.incremental { INCREMENTAL } else { 0 },
            )?;
        }
        for id in 0..self.count {
            self.give(id);
        }
        self.publish();
        Ok(())
    }

    fn start(&self, id: u16) -> *mut u8 {
        assert!(id < self.count);
        // SAFETY: `id` is below `count`, so the result lies inside the allocation.
        unsafe { self.memory.as_ptr().add(usize::from(id) * self.stride) }
    }

    fn give(&mut self, id: u16) {
        let address = self.start(id) as u64;
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: `index` is below `count`. The kernel does not read this entry before the tail passes it.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel the buffers released since the last call.
    pub fn publish(&mut self) {
        // SAFETY: `entries` is the base of the ring; its tail is shared with the kernel, hence atomic.
        let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast_mut().cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Claims what a completion has put into a buffer: its address. `more` is the completion's BUF_MORE.
    pub fn take(&mut self, id: u16, len: u32, more: bool) -> *const u8 {
        let start = self.start(id);
        if !self.incremental {
            return start;
        }
        let share = &mut self.shares[usize::from(id)];
        // SAFETY: the kernel has filled `used + len` bytes of this buffer at most.
        let address = unsafe { start.add(share.used as usize) };
        share.used += len;
        share.in_flight += 1;
        share.finished = !more;
        address
    }

    /// Ends the use of what [`Self::take`] returned.
    pub fn release(&mut self, id: u16) {
        if self.incremental {
            let share = &mut self.shares[usize::from(id)];
            share.in_flight -= 1;
            if share.in_flight > 0 || !share.finished {
                return;
            }
            *share = Share::default();
        }
        self.give(id);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were allocated with these layouts, and the ring that knew them is closed.
        unsafe {
            alloc::dealloc(self.entries.as_ptr().cast(), self.entries_layout);
            alloc::dealloc(self.memory.as_ptr(), self.memory_layout);
        }
    }
}
