//! The allocator of the whole program: one that gives memory back to the system some seconds after a burst.
//!
//! docs/internals/allocator.md has the figures that it was chosen by.

use std::hint::black_box;

use tikv_jemalloc_ctl::{background_thread, epoch, stats};

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

/// What the program holds, by the allocator's own account, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// What is in use.
    pub(crate) allocated: usize,
    /// The pages that has: more by what lies unused between.
    pub(crate) active: usize,
}

/// Reads it, on any thread. That takes some microseconds for each thread that allocates.
pub(crate) fn memory() -> Option<Memory> {
    // The figures are those of the last time that they were asked to be renewed.
    epoch::advance().ok()?;
    Some(Memory { allocated: stats::allocated::read().ok()?, active: stats::active::read().ok()? })
}

#[cfg(test)]
mod tests {
    use gannet_testing::until;

    use super::*;

    #[test]
    fn what_is_allocated_and_freed_shows() {
        const BYTES: usize = 64 << 20;
        let read = || memory().expect("jemalloc has statistics");
        // Other tests allocate and free meanwhile, which mostly is far less than the block.
        until("a block to be counted", || {
            let before = read();
            let block = black_box(vec![1_u8; BYTES]);
            let with = read();
            drop(block);
            let after = read();
            let half = BYTES / 2;
            with.allocated >= before.allocated + half
                && with.active >= with.allocated
                && after.allocated + half <= with.allocated
        });
    }
}
