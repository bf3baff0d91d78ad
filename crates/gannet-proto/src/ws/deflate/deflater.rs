//! Compresses outgoing messages.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use crate::Sink;
use crate::ws::write::{Kind, put_payload};
use crate::ws::{Error, Opcode};

/// A message's memory is kept for the next one if it is no larger than this, in bytes.
const SPARE: usize = 64 * 1024;

/// Compresses messages (RFC 7692 §7.2.1). [`Params::server_deflater`](super::Params::server_deflater) and
/// [`Params::client_deflater`](super::Params::client_deflater) make one.
///
/// With context takeover, each connection needs one of its own for all its compressed messages; it may send
/// uncompressed ones too. Without takeover, one compressor serves all connections that agreed on a window at least as
/// large as its own. Control frames are never compressed.
pub struct Deflater {
    stream: Compress,
    takeover: bool,
    packed: Vec<u8>,
}

impl Deflater {
    pub(super) fn new(level: u32, window_bits: u8, takeover: bool) -> Self {
        let level = Compression::new(level.min(9));
        Self { stream: Compress::new_with_window_bits(level, false, window_bits), takeover, packed: Vec::new() }
    }

    /// Writes a text message. `mask` is a client's.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`]: the compressor failed, which should not happen. Nothing was written; close the connection.
    pub fn text(&mut self, out: &mut impl Sink, text: &str, mask: Option<[u8; 4]>) -> Result<(), Error> {
        self.write(out, Opcode::Text, text.as_bytes(), mask)
    }

    /// Writes a binary message. `mask` is a client's.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn binary(&mut self, out: &mut impl Sink, bytes: &[u8], mask: Option<[u8; 4]>) -> Result<(), Error> {
        self.write(out, Opcode::Binary, bytes, mask)
    }

    fn write(
        &mut self,
        out: &mut impl Sink,
        opcode: Opcode,
        payload: &[u8],
        mask: Option<[u8; 4]>,
    ) -> Result<(), Error> {
        self.packed.clear();
        self.pack(payload)?;
        let packed = self.packed.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap_or(&self.packed);
        put_payload(out, Kind { last: true, compressed: true, opcode }, &[packed], packed.len(), mask);
        if !self.takeover {
            self.stream.reset();
        }
        self.packed.truncate(SPARE);
        self.packed.shrink_to(SPARE);
        Ok(())
    }

    /// Makes `packed` of the payload.
    fn pack(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        if payload.is_empty() {
            // The compressor writes nothing if there is nothing new (RFC 7692 §7.2.3.6).
            self.packed.push(0);
            return Ok(());
        }
        loop {
            // Enough for most, and for the five bytes that a flush writes.
            self.packed.reserve(payload.len() / 2 + 64);
            let before = self.stream.total_in();
            let flushed = self.stream.compress_vec(payload, &mut self.packed, FlushCompress::Sync);
            flushed.map_err(|_| Error::Damaged)?;
            payload = payload.get((self.stream.total_in() - before) as usize..).unwrap_or_default();
            // With room left, the flush is complete.
            if payload.is_empty() && self.packed.len() < self.packed.capacity() {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}
