//! Unpacking what a peer sends.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use crate::FrameError;
use crate::ws::Error;

/// What a sender leaves out at the end of a message (RFC 7692 §7.2.2).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The least that a message is given room for, in bytes.
const FIRST_ROOM: usize = 256;

/// Unpacks the messages of one connection.
pub(in crate::ws) struct Inflater {
    /// Without context takeover there is one only while a message is under way.
    stream: Option<Decompress>,
    window_bits: u8,
    takeover: bool,
    /// The last message ended with a block that said it was the last one.
    ended: bool,
}

impl Inflater {
    pub fn new(window_bits: u8, takeover: bool) -> Self {
        Self { stream: None, window_bits: window_bits.max(9), takeover, ended: false }
    }

    /// Appends to `out` what `fragment` is unpacked to; `out` is a message so far, of at most `limit` bytes.
    pub fn inflate(&mut self, fragment: &[u8], last: bool, out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        self.unpack(fragment, out, limit)?;
        if last {
            // After a last block (RFC 7692 §7.2.3.4) there may be nothing that the tail would complete.
            if !self.ended {
                self.unpack(&TAIL, out, limit)?;
            }
            if !self.takeover {
                self.stream = None;
            }
            self.ended = false;
        }
        Ok(())
    }

    fn unpack(&mut self, mut packed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        let bits = self.window_bits;
        let stream = self.stream.get_or_insert_with(|| Decompress::new_with_window_bits(false, bits));
        loop {
            if out.len() > limit {
                return Err(FrameError::TooLarge { length: out.len() as u64, limit }.into());
            }
            if out.len() == out.capacity() {
                // One byte more than the limit shows that a message is over it.
                let room = out.len().max(packed.len()).max(FIRST_ROOM).min(limit.saturating_add(1) - out.len());
                #[cfg(test)]
                crate::work::looked_at(out.len());
                out.reserve_exact(room);
            }
            let (before, length) = (stream.total_in(), out.len());
            let status = stream.decompress_vec(packed, out, FlushDecompress::Sync).map_err(|_| Error::Damaged)?;
            let taken = (stream.total_in() - before) as usize;
            #[cfg(test)]
            crate::work::looked_at(taken + out.len() - length);
            packed = packed.get(taken..).unwrap_or_default();
            if status == Status::StreamEnd {
                stream.reset(false);
                self.ended = true;
            } else if taken > 0 {
                self.ended = false;
            }
            // With room left, everything that could come out has.
            let stuck = taken == 0 && out.len() == length;
            if packed.is_empty() && (out.len() < out.capacity() || self.ended) && out.len() <= limit {
                return Ok(());
            }
            if stuck && out.len() < out.capacity() {
                return Err(Error::Damaged);
            }
        }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window_bits, takeover, .. } = self;
        f.debug_struct("Inflater").field("window_bits", window_bits).field("takeover", takeover).finish_non_exhaustive()
    }
}
