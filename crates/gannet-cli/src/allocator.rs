//! The allocator of the whole program: one that gives memory back to the system some seconds after a burst.
//!
//! docs/internals/allocator.md has the figures that it was chosen by.

use std::hint::black_box;

use tikv_jemalloc_ctl::background_thread;

/// More than the size, 8 MiB, from which on blocks are in an arena of their own (`oversize_threshold`).
const LARGE_BYTES: usize = 16 << 20;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Has blocks of 8 MiB and more go back to the system when they are freed. Before anything else runs.
///
/// jemalloc decides that when it makes their arena: only while there are no background threads. With those, what a large
/// string of the store leaves behind at each step of its growth stayed for 10 s, eight times the string in all.
pub(crate) fn start() {
    // On musl there are no background threads, and nothing to turn off and on.
    if background_thread::write(false).is_ok() {
        drop(black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
        let _ = background_thread::write(true);
    }
}
