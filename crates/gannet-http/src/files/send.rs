//! Sends a file piece by piece, as the client reads.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gannet::Pool;

use crate::stream::{Source, Stream};

/// What is read at a time, in bytes.
const PIECE: u64 = 128 << 10;

/// Where the pool has too much to do, it is asked again after this.
const PAUSE: Duration = Duration::from_millis(10);

/// How many files may be streamed at a time.
#[derive(Debug)]
pub(super) struct Permits {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// The right to stream a file, for as long as it is there.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicUsize>);

impl Permits {
    pub(super) fn new(limit: usize) -> Self {
        Self { taken: Arc::default(), limit }
    }

    /// One, if there is one left.
    pub(super) fn take(&self) -> Option<Permit> {
        let permit = Permit(Arc::clone(&self.taken));
        // Where it is too many, dropping it takes it back.
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of a file. The next piece of it is read when the ones before have left the outbox far enough.
#[derive(Debug)]
pub(super) struct FileSource {
    file: Arc<File>,
    left: Range<u64>,
    _permit: Permit,
}

impl FileSource {
    pub(super) fn new(file: File, range: Range<u64>, permit: Permit) -> Self {
        Self { file: Arc::new(file), left: range, _permit: permit }
    }
}

impl Source for FileSource {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        let (file, at, end) = (Arc::clone(&self.file), self.left.start, self.left.end);
        let next = end.min(at + PIECE);
        if at == next {
            return out.end();
        }
        let read = move || {
            let mut piece = vec![0; (next - at) as usize];
            file.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
        };
        let started = out.offload_to(Pool::Files, read, move |piece, out| match piece {
            Ok(piece) => {
                // What it says is seen by whether there is room for the next.
                let _ = out.send_shared(piece);
                if next == end {
                    out.end();
                }
            }
            Err(error) => {
                // It has become shorter, most likely: nothing else would be what was promised.
                tracing::warn!(%error, "a file could not be read to the end that it had; its connection is broken");
                out.abort();
            }
        });
        match started {
            Ok(()) => self.left.start = next,
            Err(_) => out.again_in(PAUSE),
        }
    }
}
