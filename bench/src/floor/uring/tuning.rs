//! The choices of the io_uring floor, so that each can be measured against the one taken.

use std::io;

use io_uring::IoUring;

/// When the kernel runs the completions of a request that had to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TaskRun {
    /// Only inside `io_uring_enter` (DEFER_TASKRUN).
    Deferred,
    /// At the next system call of the thread (COOP_TASKRUN).
    Cooperative,
    /// At once, by interrupting the thread.
    Interrupting,
}

/// How the end of a send is learned. Sends are submitted with MSG_DONTWAIT in any case, so each is over
/// when the call that submitted it returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sends {
    /// Only a failed or short one posts a completion. Sound with [`TaskRun::Deferred`] only: there all
    /// of them precede the receives of the same call.
    Silent,
    /// Each posts a completion; the wait asks for one more than were submitted.
    Counted,
    /// Each posts a completion, and the wait is over with the first of them.
    Reported,
}

/// One set of choices.
#[derive(Clone, Copy)]
pub struct Tuning {
    /// See [`TaskRun`].
    pub task_run: TaskRun,
    /// See [`Sends`].
    pub sends: Sends,
    /// Entries of the submission queue.
    pub submissions: u32,
    /// Entries of the completion queue.
    pub completions: u32,
    /// Number of provided buffers, a power of two.
    pub buffers: u16,
    /// Bytes of each.
    pub buffer_bytes: u32,
    /// Bytes from one buffer to the next beyond its size; 64 keeps their first lines out of one cache set.
    pub gap_bytes: u32,
    /// One buffer takes many messages, one behind the other (IOU_PBUF_RING_INC, 6.12).
    pub incremental: bool,
    /// How many receives to wait for. It is also the most that one call takes up: asked for fewer than 20,
    /// the kernel (6.13 and later) runs 20 at most.
    pub want: usize,
    /// Wait for that many only after a turn with this many completions; for one otherwise.
    pub busy_from: usize,
    /// After this time one is enough (min_wait, 6.12); 0 turns it off.
    pub patience_us: u32,
    /// Register the ring's own descriptor.
    pub registered_ring: bool,
    /// No indirection from submission ring to entries (NO_SQARRAY, 6.6).
    pub no_array: bool,
    /// Receive waits for readiness before its first attempt.
    pub poll_first: bool,
    /// One receive request per message in place of multishot.
    pub single_shot: bool,
}

impl Tuning {
    /// The settings that were measured to be best.
    pub const FLOOR: Self = Self {
        task_run: TaskRun::Deferred,
        sends: Sends::Silent,
        submissions: 1024,
        completions: 4096,
        buffers: 256,
        buffer_bytes: 4096,
        gap_bytes: 64,
        incremental: false,
        want: 64,
        busy_from: 8,
        patience_us: 20,
        registered_ring: true,
        no_array: true,
        poll_first: false,
        single_shot: false,
    };

    /// Makes the ring on the calling thread.
    pub fn build(&self) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(self.completions).setup_single_issuer();
        match self.task_run {
            TaskRun::Deferred => builder.setup_defer_taskrun(),
            TaskRun::Cooperative => builder.setup_coop_taskrun(),
            TaskRun::Interrupting => &mut builder,
        };
        if self.no_array {
            builder.setup_no_sqarray();
        }
        builder.build(self.submissions)
    }
}
