//! Threads on which the application is asked and keys are waited for, so that no reactor waits.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Work for a thread that may wait.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Jobs that wait for a thread. Requests to the application never do: there are as many threads as may be under way.
const MOST_WAITING: usize = 16_384;

/// How long a thread waits for its next job before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// A pool of threads that start when there is work for them.
#[derive(Debug)]
pub(crate) struct Askers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    most_threads: AtomicUsize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("jobs", &self.jobs.len()).field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Askers {
    /// Makes a pool of at most so many threads, of which none runs yet.
    pub(crate) fn new(most_threads: usize) -> Self {
        let shared = Shared {
            most_threads: AtomicUsize::new(most_threads.max(1)),
            state: Mutex::default(),
            work: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets how many threads there are at most. Those that are there and too many end when they have nothing to do.
    pub(crate) fn set_most(&self, most_threads: usize) {
        self.shared.most_threads.store(most_threads.max(1), Ordering::Relaxed);
    }

    /// Runs a job on a thread of the pool, and never waits for one.
    ///
    /// # Errors
    ///
    /// [`MOST_WAITING`] jobs wait, or there is no thread and the system starts none. The job is dropped.
    pub(crate) fn run(&self, job: Job) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.jobs.len() >= MOST_WAITING {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.shared.work.notify_one();
            return Ok(());
        }
        if state.threads >= self.shared.most_threads.load(Ordering::Relaxed) {
            return Ok(());
        }
        let shared = self.shared.clone();
        match std::thread::Builder::new().name("gannet-ask".to_owned()).spawn(move || shared.serve()) {
            Ok(_) => state.threads += 1,
            // A thread that runs will come to it.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                state.jobs.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Askers {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes job after job, until none comes for a while.
    fn serve(self: Arc<Self>) {
        let _running = Running(&self);
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        if state.jobs.is_empty() {
            state.idle += 1;
            let is_idle = |state: &mut State| state.jobs.is_empty() && !state.closed;
            let waited = self.work.wait_timeout_while(state, IDLE, is_idle);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        state.jobs.pop_front()
    }
}

/// Counts a thread as long as it runs, even where a job panics.
struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use gannet_testing::until;

    use super::*;

    #[test]
    fn jobs_share_a_few_threads_and_none_is_lost() {
        let askers = Askers::new(3);
        let (sender, done) = mpsc::channel();
        for number in 0..1_000 {
            let sender = sender.clone();
            askers
                .run(Box::new(move || sender.send((number, std::thread::current().id())).expect("heard")))
                .expect("room");
        }
        let mut all: Vec<_> = done.iter().take(1_000).collect();
        let threads: std::collections::HashSet<_> = all.iter().map(|(_, thread)| *thread).collect();
        assert!(threads.len() <= 3, "{}", threads.len());
        all.sort_unstable_by_key(|(number, _)| *number);
        assert!(all.iter().map(|(number, _)| *number).eq(0..1_000));
    }

    #[test]
    fn a_full_queue_refuses_and_a_job_that_panics_leaves_its_place() {
        let askers = Askers::new(1);
        let (release, held) = mpsc::channel::<()>();
        askers
            .run(Box::new(move || {
                let _ = held.recv();
            }))
            .expect("a thread");
        until("the thread to take its job", || askers.shared.lock().jobs.is_empty());
        for _ in 0..MOST_WAITING {
            askers.run(Box::new(|| {})).expect("room");
        }
        assert_eq!(askers.run(Box::new(|| {})).expect_err("full").kind(), io::ErrorKind::WouldBlock);
        drop(release);
        until("room", || askers.shared.lock().jobs.is_empty());
        askers.run(Box::new(|| panic!("as a test wants"))).expect("room");
        until("the end of its thread", || askers.shared.lock().threads == 0);
        let (sender, done) = mpsc::channel();
        askers.run(Box::new(move || sender.send(()).expect("heard"))).expect("a new thread");
        done.recv().expect("it ran");
        let shared = askers.shared.clone();
        drop(askers);
        until("the end of the threads", || shared.lock().threads == 0);
    }
}
