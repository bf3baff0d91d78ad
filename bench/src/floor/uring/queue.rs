//! The submission side of a ring with the waiting that ends a turn.

use std::io;

use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{SubmissionQueue, Submitter};

/// Submission queue and the calls that hand it over.
pub struct Queue<'ring> {
    submitter: Submitter<'ring>,
    entries: SubmissionQueue<'ring>,
}

impl<'ring> Queue<'ring> {
    /// Over the two parts of a split ring.
    pub fn new(submitter: Submitter<'ring>, entries: SubmissionQueue<'ring>) -> Self {
        Self { submitter, entries }
    }

    /// Adds a request. A full queue is handed over first.
    ///
    /// # Safety
    ///
    /// The memory that `entry` names must live, unchanged, until the request has completed.
    pub unsafe fn push(&mut self, entry: &Entry) -> io::Result<()> {
        // SAFETY: the caller's word.
        while unsafe { self.entries.push(entry) }.is_err() {
            self.entries.sync();
            self.submitter.submit()?;
            self.entries.sync();
        }
        Ok(())
    }

    /// Hands over all requests and waits for `want` completions; with `patience_us`, only for one after
    /// that time.
    pub fn turn(&mut self, want: usize, patience_us: u32) -> io::Result<()> {
        /// The bound of the wait that `min_wait` needs; nothing depends on it.
        const LONG: Timespec = Timespec::new().sec(1);
        self.entries.sync();
        let result = if patience_us == 0 {
            self.submitter.submit_and_wait(want)
        } else {
            let args = SubmitArgs::new().min_wait_usec(patience_us).timespec(&LONG);
            self.submitter.submit_with_args(want, &args)
        };
        self.entries.sync();
        match result {
            Ok(_) => Ok(()),
            // Interrupted, timed out, or completions have to be reaped first: the next turn sees to it.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN)) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
