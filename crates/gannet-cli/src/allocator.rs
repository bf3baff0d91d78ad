//! The allocator of the whole program: one that gives memory back to the system some seconds after a burst.
//!
//! docs/internals/allocator.md has the figures that it was chosen by.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
