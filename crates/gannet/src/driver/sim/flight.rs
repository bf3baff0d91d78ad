//! A send that the simulated kernel has accepted and not completed: it points at the outbox's memory and reads it late,
//! as io_uring does.

use std::io::IoSlice;

use crate::outbox::{Outbox, SLICES};

/// Where the bytes of one send lie, and what they were when it began.
pub(super) struct Flight {
    slices: Vec<(*const u8, usize)>,
    /// What the memory has to hold until the send is over.
    expected: Vec<u8>,
    /// Only waits for room, as a readiness driver does: nothing leaves with it.
    pub(super) waits_only: bool,
}

impl Flight {
    pub(super) fn new(outbox: &Outbox) -> Self {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = outbox.slices(&mut slices);
        let slices = &slices[..count];
        Self {
            slices: slices.iter().map(|slice| (slice.as_ptr(), slice.len())).collect(),
            expected: slices.iter().flat_map(|slice| slice.iter().copied()).collect(),
            waits_only: false,
        }
    }

    /// Bytes of the send.
    pub(super) fn len(&self) -> usize {
        self.expected.len()
    }

    /// The bytes, as they lie in memory now.
    ///
    /// # Safety
    ///
    /// The reactor has not been told that the send is over: until then it keeps the outbox's bytes where they are.
    pub(super) unsafe fn read(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        for (data, length) in &self.slices {
            // SAFETY: by `Sent::Later` nothing of the outbox moves or is freed before the send is over, and the caller
            // vouches that it is not.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(*data, *length) });
        }
        assert!(bytes == self.expected, "the bytes of a send changed before it was over");
        bytes
    }
}
