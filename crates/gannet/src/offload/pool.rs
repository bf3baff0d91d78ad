//! One pool: its queue, its bound, and its threads.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::{Job, OffloadFull, OffloadStats, Owner, Pool};
use crate::handle::Interest;

/// How long a thread of a pool for blocking work stays without work.
const LINGER: Duration = Duration::from_secs(10);

/// The jobs of one pool, and the threads that run them.
pub(super) struct Queue<O: Owner> {
    inner: Arc<Inner<O>>,
    /// The threads of the pool for compute work; `None` inside where they could not start.
    compute: OnceLock<Option<rayon::ThreadPool>>,
}

struct Inner<O> {
    pool: Pool,
    /// Jobs that may wait or run.
    limit: usize,
    most_threads: usize,
    linger: Duration,
    state: Mutex<State<O>>,
    wake: Condvar,
    /// Jobs that nobody may wait for any more, since the queue was looked through.
    disowned: AtomicUsize,
    queued: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    abandoned: AtomicU64,
    panicked: AtomicU64,
}

struct State<O> {
    waiting: VecDeque<Job<O>>,
    /// Jobs whose peer has ended its stream: they run when no other one waits.
    doubtful: VecDeque<Job<O>>,
    running: usize,
    threads: usize,
    /// Threads that wait for work and were not woken yet.
    idle: usize,
    /// Threads that were woken and have not noticed yet.
    woken: usize,
    closed: bool,
}

impl<O> Default for State<O> {
    fn default() -> Self {
        let (waiting, doubtful) = (VecDeque::new(), VecDeque::new());
        Self { waiting, doubtful, running: 0, threads: 0, idle: 0, woken: 0, closed: false }
    }
}

impl<O> State<O> {
    fn queued(&self) -> usize {
        self.waiting.len() + self.doubtful.len()
    }
}

impl<O: Owner> Queue<O> {
    pub(super) fn new(pool: Pool, limit: usize, most_threads: usize) -> Self {
        Self::with_linger(pool, limit, most_threads, LINGER)
    }

    pub(super) fn with_linger(pool: Pool, limit: usize, most_threads: usize, linger: Duration) -> Self {
        let most_threads = match most_threads {
            0 => std::thread::available_parallelism().map_or(1, Into::into),
            threads => threads,
        };
        let inner = Inner {
            pool,
            limit,
            most_threads,
            linger,
            state: Mutex::default(),
            wake: Condvar::new(),
            disowned: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner), compute: OnceLock::new() }
    }

    pub(super) fn pending(&self) -> usize {
        let state = self.inner.lock();
        state.queued() + state.running
    }

    pub(super) fn stats(&self) -> OffloadStats {
        let inner = &*self.inner;
        let (queued, running, threads) = {
            let state = inner.lock();
            (state.queued(), state.running, state.threads)
        };
        OffloadStats {
            pool: inner.pool,
            queued,
            running,
            threads,
            accepted: inner.accepted.load(Ordering::Relaxed),
            refused: inner.refused.load(Ordering::Relaxed),
            abandoned: inner.abandoned.load(Ordering::Relaxed),
            panicked: inner.panicked.load(Ordering::Relaxed),
        }
    }

    pub(super) fn refused(&self) {
        self.inner.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn panicked(&self) {
        self.inner.panicked.fetch_add(1, Ordering::Relaxed);
    }

    /// Queues a job, and has a thread for it where there may be one more.
    pub(super) fn push(&self, job: Job<O>) -> Result<(), OffloadFull> {
        let inner = &self.inner;
        let mut state = inner.lock();
        if state.queued() + state.running >= inner.limit {
            drop(state);
            self.look_through();
            state = inner.lock();
        }
        let mut given_up = None;
        if state.queued() + state.running >= inner.limit {
            // Who waits for sure comes before who may have gone.
            if job.interest() == Interest::Awaited {
                given_up = state.doubtful.pop_front();
            }
            if given_up.is_none() {
                inner.refused.fetch_add(1, Ordering::Relaxed);
                return Err(OffloadFull);
            }
        }
        state.waiting.push_back(job);
        inner.queued.store(state.queued(), Ordering::Relaxed);
        let needs_thread = if state.idle > 0 {
            state.idle -= 1;
            state.woken += 1;
            inner.wake.notify_one();
            false
        } else {
            let room = state.threads < inner.most_threads;
            state.threads += usize::from(room);
            room
        };
        drop(state);
        if let Some(job) = given_up {
            inner.abandoned.fetch_add(1, Ordering::Relaxed);
            job.give_up();
        }
        if needs_thread {
            self.start_thread()?;
        }
        inner.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Starts one more thread, which the state counts already. Fails where there is none at all.
    fn start_thread(&self) -> Result<(), OffloadFull> {
        let inner = Arc::clone(&self.inner);
        let started = if inner.pool == Pool::Compute {
            match self.compute.get_or_init(|| build(inner.most_threads)) {
                Some(threads) => {
                    threads.spawn(move || inner.work());
                    true
                }
                None => false,
            }
        } else {
            let name = format!("gannet-{}", inner.pool.name());
            match std::thread::Builder::new().name(name).spawn(move || inner.work()) {
                Ok(_) => true,
                Err(error) => {
                    tracing::error!(pool = self.inner.pool.name(), %error, "an offload thread could not start");
                    false
                }
            }
        };
        if started {
            return Ok(());
        }
        let mut state = self.inner.lock();
        state.threads -= 1;
        if state.threads > 0 {
            return Ok(());
        }
        // Nobody is there to run it, nor what came before it meanwhile.
        let refused = state.waiting.pop_back();
        let stranded = std::mem::take(&mut state.waiting);
        self.inner.queued.store(state.queued(), Ordering::Relaxed);
        drop(state);
        self.inner.refused.fetch_add(1, Ordering::Relaxed);
        drop_job(refused);
        stranded.into_iter().for_each(Job::give_up);
        Err(OffloadFull)
    }

    /// Notes that nobody may wait for so many jobs any more. They may be of another pool: it is looked through where they
    /// could be half of its queue, so that a job is looked at twice at most for each one that was disowned.
    pub(super) fn disowned(&self, jobs: usize) {
        let disowned = self.inner.disowned.fetch_add(jobs, Ordering::Relaxed) + jobs;
        let queued = self.inner.queued.load(Ordering::Relaxed);
        if queued > 0 && disowned >= queued.div_ceil(2) {
            self.look_through();
        }
    }

    /// Takes jobs out of the queue whose connections are gone, and puts those behind the others whose peers may be.
    fn look_through(&self) {
        let inner = &*self.inner;
        if inner.disowned.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        let mut gone = Vec::new();
        let mut state = inner.lock();
        let State { waiting, doubtful, .. } = &mut *state;
        for job in std::mem::take(doubtful).into_iter().chain(std::mem::take(waiting)) {
            match job.interest() {
                Interest::Awaited => waiting.push_back(job),
                Interest::Doubtful => doubtful.push_back(job),
                Interest::Gone => gone.push(job),
            }
        }
        inner.queued.store(state.queued(), Ordering::Relaxed);
        drop(state);
        inner.abandoned.fetch_add(gone.len() as u64, Ordering::Relaxed);
        gone.into_iter().for_each(drop_job);
    }
}

impl<O: Owner> Drop for Queue<O> {
    fn drop(&mut self) {
        self.inner.lock().closed = true;
        self.inner.wake.notify_all();
    }
}

impl<O: Owner> Inner<O> {
    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of a thread: runs jobs until there is none.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            let (job, gone) = self.next(&mut state);
            if job.is_some() || !gone.is_empty() {
                state.running += usize::from(job.is_some());
                self.queued.store(state.queued(), Ordering::Relaxed);
                drop(state);
                self.abandoned.fetch_add(gone.len() as u64, Ordering::Relaxed);
                gone.into_iter().for_each(drop_job);
                let runs = job.is_some();
                if let Some(Job { work, owner }) = job {
                    if catch_unwind(AssertUnwindSafe(work)).is_err() {
                        tracing::error!(pool = self.pool.name(), "an offloaded job panicked outside of its work");
                    }
                    // The last reference to the engine may go with it, and the queue with that: not while it is locked.
                    drop(owner);
                }
                state = self.lock();
                state.running -= usize::from(runs);
                continue;
            }
            if state.closed || self.pool == Pool::Compute {
                break;
            }
            let (next, has_work) = self.wait(state);
            state = next;
            if !has_work {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Takes the next job that somebody may wait for, and those before it that nobody does.
    fn next(&self, state: &mut State<O>) -> (Option<Job<O>>, Vec<Job<O>>) {
        let mut gone = Vec::new();
        while let Some(job) = state.waiting.pop_front() {
            match job.interest() {
                Interest::Awaited => return (Some(job), gone),
                Interest::Doubtful => state.doubtful.push_back(job),
                Interest::Gone => gone.push(job),
            }
        }
        while let Some(job) = state.doubtful.pop_front() {
            match job.interest() {
                Interest::Awaited | Interest::Doubtful => return (Some(job), gone),
                Interest::Gone => gone.push(job),
            }
        }
        (None, gone)
    }

    /// Waits for work; says whether there may be some, or the thread has waited long enough.
    fn wait<'a>(&self, mut state: MutexGuard<'a, State<O>>) -> (MutexGuard<'a, State<O>>, bool) {
        state.idle += 1;
        loop {
            let timed_out;
            (state, timed_out) = match self.wake.wait_timeout(state, self.linger) {
                Ok((state, timeout)) => (state, timeout.timed_out()),
                Err(poisoned) => {
                    let (state, timeout) = poisoned.into_inner();
                    (state, timeout.timed_out())
                }
            };
            if state.woken > 0 {
                // Whoever woke somebody has counted one as not idle any more.
                state.woken -= 1;
                return (state, true);
            }
            if timed_out || state.closed {
                state.idle -= 1;
                return (state, false);
            }
        }
    }
}

/// Drops a job that never runs. What it holds is the service's: a panic there ends nothing else.
fn drop_job(job: impl Sized) {
    if catch_unwind(AssertUnwindSafe(|| drop(job))).is_err() {
        tracing::error!("a panic while an abandoned offloaded job was dropped");
    }
}

fn build(threads: usize) -> Option<rayon::ThreadPool> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let pool = builder.thread_name(|index| format!("gannet-compute-{index}")).build();
    pool.inspect_err(|error| tracing::error!(%error, "the compute pool could not start; offloading to it is refused"))
        .ok()
}
