//! The simulated kernel's receive buffers: few, so that they run out.

use std::ptr::NonNull;

use crate::buffer::Chunk;

/// What a buffer holds while it is free, so that bytes which are used after their chunk was given back show.
const POISON: u8 = 0xdd;

/// A bounded pool of receive buffers. The last returned is the first used.
pub(super) struct Buffers {
    /// Each from `Box::into_raw`: chunks point into them, so no reference to the whole may be made meanwhile.
    memory: Vec<NonNull<u8>>,
    bytes: usize,
    free: Vec<u16>,
}

impl Buffers {
    pub(super) fn new(count: usize, bytes: usize) -> Self {
        let memory = (0..count).map(|_| {
            let buffer: Box<[u8]> = vec![POISON; bytes].into_boxed_slice();
            NonNull::from(Box::leak(buffer)).cast()
        });
        Self { memory: memory.collect(), bytes, free: (0..count as u16).collect() }
    }

    /// Bytes of one buffer.
    pub(super) fn size(&self) -> usize {
        self.bytes
    }

    /// Buffers that are not in the pool.
    pub(super) fn out(&self) -> usize {
        self.memory.len() - self.free.len()
    }

    /// A chunk of these bytes, or `None` where no buffer is free.
    pub(super) fn fill(&mut self, bytes: impl ExactSizeIterator<Item = u8>) -> Option<Chunk> {
        let number = self.free.pop()?;
        let (data, length) = (self.memory[usize::from(number)], bytes.len());
        assert!(length <= self.bytes, "a chunk fits its buffer");
        for (offset, byte) in bytes.enumerate() {
            // SAFETY: the buffer has `self.bytes` bytes, and it was free: nobody else has a chunk of it.
            unsafe { data.add(offset).write(byte) };
        }
        // SAFETY: `length` bytes were just written; the buffer is off the free list until this chunk comes back, and is
        // freed only with the pool, which the driver owns.
        Some(unsafe { Chunk::new(data, length as u32, number) })
    }

    /// Takes a chunk back.
    pub(super) fn recycle(&mut self, mut chunk: Chunk) {
        assert!(!self.free.contains(&chunk.buffer()), "a chunk was given back twice");
        chunk.fill(POISON);
        self.free.push(chunk.buffer());
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        for data in &self.memory {
            let slice = NonNull::slice_from_raw_parts(*data, self.bytes);
            // SAFETY: it came from a leaked box of this length, and the driver outlives its chunks.
            drop(unsafe { Box::from_raw(slice.as_ptr()) });
        }
    }
}
