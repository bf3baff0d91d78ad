//! The offload pools: where work goes that would hold up a reactor.
//!
//! There is one pool for each kind of work, so that none waits behind another. Each has a bound on its jobs, and a queue
//! that forgets the jobs of connections that are gone. Reactors push, the pools' own threads pop.

mod pool;

use crate::handle::Interest;
use crate::limits::Limits;

use self::pool::Queue;

/// Says that a job was refused, because as many wait or run as [`Limits`] allows for the pool, or 65,535 of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many offloaded jobs wait or run as the limit allows")]
pub struct OffloadFull;

/// Names a pool of threads for offloaded work; pass it to [`Context::offload_to`](crate::Context::offload_to).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pool {
    /// For work that keeps a processor busy. It has one thread for each processor by default; more would only take time from
    /// each other.
    ///
    /// The pool is one of `rayon`: parallel iterators inside of a job use its threads.
    Compute,
    /// For work that waits: for a database, for another server, for a lock. It has up to 64 threads by default, which start
    /// when they are needed and end when idle for 10 s.
    Blocking,
    /// For reading and writing local files. It has up to 8 threads by default, which start when they are needed and end when
    /// idle for 10 s.
    ///
    /// `gannet-http` serves files on it, so files never wait behind jobs that sleep.
    Files,
}

impl Pool {
    pub(crate) const ALL: [Self; 3] = [Self::Compute, Self::Blocking, Self::Files];

    /// Returns the name in logs and metrics, such as `blocking`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Blocking => "blocking",
            Self::Files => "files",
        }
    }
}

/// Holds the counters of one offload pool at a moment, read by [`Remote::offload_stats`](crate::Remote::offload_stats).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OffloadStats {
    /// The pool that these counters belong to.
    pub pool: Pool,
    /// Gauge: jobs that wait for a thread.
    pub queued: usize,
    /// Gauge: jobs that run.
    pub running: usize,
    /// Gauge: threads that the pool has; for [`Pool::Compute`], those that work.
    pub threads: usize,
    /// Counter: jobs that were taken.
    pub accepted: u64,
    /// Counter: jobs that were refused with [`OffloadFull`].
    pub refused: u64,
    /// Counter: jobs that were never started, because their connection was gone.
    pub abandoned: u64,
    /// Counter: jobs that panicked.
    pub panicked: u64,
}

/// The pools of an engine. They start their threads when they are first used.
pub(crate) struct Offload<O: Owner> {
    queues: [Queue<O>; 3],
}

impl<O: Owner> Offload<O> {
    pub(crate) fn new(limits: &Limits) -> Self {
        let queue = |pool| match pool {
            Pool::Compute => Queue::new(pool, limits.offloads, limits.offload_threads),
            Pool::Blocking => Queue::new(pool, limits.blocking_offloads, limits.blocking_threads),
            Pool::Files => Queue::new(pool, limits.file_offloads, limits.file_threads),
        };
        Self { queues: Pool::ALL.map(queue) }
    }

    /// Jobs of all pools that wait or run.
    pub(crate) fn pending(&self) -> usize {
        self.queues.iter().map(Queue::pending).sum()
    }

    pub(crate) fn stats(&self) -> Vec<OffloadStats> {
        self.queues.iter().map(Queue::stats).collect()
    }

    /// Has a pool run a job. With an owner, it is not started if that connection is gone by then.
    pub(crate) fn run(
        &self,
        pool: Pool,
        owner: Option<O>,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), OffloadFull> {
        self.queues[pool as usize].push(Job { owner, work: Box::new(work) })
    }

    /// Notes that a connection with so many jobs is gone, or that its peer has ended its stream.
    pub(crate) fn disowned(&self, jobs: u16) {
        self.queues.iter().for_each(|queue| queue.disowned(usize::from(jobs)));
    }

    /// Counts a job that was refused before it came to its pool.
    pub(crate) fn refused(&self, pool: Pool) {
        self.queues[pool as usize].refused();
    }

    /// Counts a job that panicked.
    pub(crate) fn panicked(&self, pool: Pool) {
        self.queues[pool as usize].panicked();
    }
}

/// A job that waits for a thread.
struct Job<O> {
    owner: Option<O>,
    work: Box<dyn FnOnce() + Send>,
}

/// The connection that a job works for, as the pools see it.
pub(crate) trait Owner: Send + 'static {
    /// Whether it waits for the result.
    fn interest(&self) -> Interest;
    /// Ends the connection in place of running the job, whose result its session would wait for.
    fn give_up(self);
}

impl<O: Owner> Job<O> {
    fn interest(&self) -> Interest {
        self.owner.as_ref().map_or(Interest::Awaited, O::interest)
    }

    fn give_up(self) {
        if let Some(owner) = self.owner {
            owner.give_up();
        }
    }
}
