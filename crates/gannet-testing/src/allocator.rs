//! Allocators that count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The system's allocator, with counts: make it the `#[global_allocator]` of a test program.
///
/// The counts are the process's, so that only one test of a program may run at a time.
#[derive(Default)]
pub struct Counting {
    allocations: AtomicU64,
    bytes: AtomicI64,
}

impl Counting {
    /// An allocator that has counted nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { allocations: AtomicU64::new(0), bytes: AtomicI64::new(0) }
    }

    /// Gives how often memory was allocated or reallocated.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.allocations.load(Ordering::Relaxed)
    }

    /// Gives the bytes that are allocated now.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of this method, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.bytes.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of this method, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of this method, which is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

thread_local! {
    static ASKED_FOR: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread: make it the `#[global_allocator]` of a test program.
///
/// The tests of the program may run at the same time.
#[derive(Default)]
pub struct CountingByThread;

impl CountingByThread {
    /// Gives the bytes that this thread asks for during `work`, those that it gives back included.
    pub fn allocated(work: impl FnOnce()) -> usize {
        let before = ASKED_FOR.get();
        work();
        ASKED_FOR.get() - before
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for CountingByThread {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED_FOR.set(ASKED_FOR.get() + layout.size());
        // SAFETY: the caller keeps to the contract of this method, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of this method, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}
