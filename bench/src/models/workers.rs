//! Threads that do one kind of operation again and again: how many they did, at which cost, and how long one took.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::clock;
use super::table::Column;
use crate::measure::histogram;
use crate::socket;

/// The figures of an [`Outcome`].
pub const COLUMNS: &[Column] = &[
    Column::new("per_second", "a second", 0),
    Column::new("cpu_ns_each", "CPU ns each", 1),
    Column::new("p50_ns", "p50 ns", 0),
    Column::new("p99_ns", "p99 ns", 0),
];
/// The place of the CPU time among them.
pub const CPU_NS: usize = 1;

/// Operations between two looks at the clock: often enough for a quantile, and too seldom to matter in the mean.
pub const BATCH: u64 = 64;

/// How long threads run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Times {
    /// Time before counting starts.
    pub warm_up: Duration,
    /// Time in which everything counts.
    pub measured: Duration,
}

/// What threads did in the measured time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    operations: u64,
    seconds: f64,
    /// Of all threads of the process.
    cpu_ns: f64,
    p50_ns: f64,
    p99_ns: f64,
}

impl Outcome {
    /// The figures of [`COLUMNS`].
    pub fn figures(&self) -> Vec<f64> {
        let operations = self.operations.max(1) as f64;
        vec![operations / self.seconds, self.cpu_ns / operations, self.p50_ns, self.p99_ns]
    }
}

/// How long single operations took. Each thread has its own; the lock is for the thread that reads them at the end.
pub struct Samples(Mutex<Histogram<u64>>);

impl Samples {
    /// Without any.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Mutex::new(histogram()?)))
    }

    /// Adds one. Any thread may.
    pub fn record(&self, took: Duration) {
        self.histogram().saturating_record(took.as_nanos() as u64);
    }

    fn histogram(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a thread does again and again.
pub trait Worker: Send {
    /// Does some operations, records how long one of them took, and returns their number.
    fn step(&mut self, samples: &Samples) -> io::Result<u64>;
}

/// Has each worker run on a thread of its own, on these processors in turn. Returns the outcome, and the number of all
/// operations from the first to the last, the warm-up included.
///
/// `done_elsewhere` is for operations that the threads only ask for: how many were done so far, and how long each took.
pub fn run(
    workers: Vec<Box<dyn Worker>>,
    cpus: &[usize],
    Times { warm_up, measured }: Times,
    done_elsewhere: Option<(&AtomicU64, &Samples)>,
) -> io::Result<(Outcome, u64)> {
    let stop = AtomicBool::new(false);
    let threads = workers.iter().map(|_| Ok(Progress { done: AtomicU64::new(0), samples: Samples::new()? }));
    let threads: Vec<Progress> = threads.collect::<io::Result<_>>()?;
    let own = || threads.iter().map(|thread| thread.done.load(Ordering::Relaxed)).sum::<u64>();
    let done = || done_elsewhere.map_or_else(own, |(done, _)| done.load(Ordering::Relaxed));
    let samples = || threads.iter().map(|thread| &thread.samples).chain(done_elsewhere.map(|(_, samples)| samples));

    let outcome = thread::scope(|scope| {
        // On every way out, since the scope waits for its threads.
        let stop = Stop(&stop);
        let mut running = Vec::new();
        for (index, (mut worker, progress)) in workers.into_iter().zip(&threads).enumerate() {
            let (cpu, stop) = (cpus[index % cpus.len()], stop.0);
            running.push(scope.spawn(move || progress.run(&mut *worker, cpu, stop)));
        }
        // The threads work by themselves: these are the times in which they are not counted, and counted.
        thread::sleep(warm_up);
        samples().for_each(|samples| samples.histogram().reset());
        let (done_before, cpu_before, started) = (done(), clock::process_cpu()?, Instant::now());
        // As above: the time that is measured.
        thread::sleep(measured);
        let (operations, cpu, elapsed) = (done() - done_before, clock::process_cpu()? - cpu_before, started.elapsed());
        drop(stop);
        for thread in running {
            thread.join().map_err(|_| io::Error::other("a thread that was measured panicked"))??;
        }
        let mut all = histogram()?;
        for samples in samples() {
            all.add(&*samples.histogram()).map_err(io::Error::other)?;
        }
        let at = |quantile| all.value_at_quantile(quantile) as f64;
        io::Result::Ok(Outcome {
            operations,
            seconds: elapsed.as_secs_f64(),
            cpu_ns: cpu.as_nanos() as f64,
            p50_ns: at(0.5),
            p99_ns: at(0.99),
        })
    });
    Ok((outcome?, own()))
}

/// Stops the threads when it is dropped.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a thread has done, on cache lines of its own, so that counting slows no other thread.
#[repr(align(128))]
struct Progress {
    done: AtomicU64,
    samples: Samples,
}

impl Progress {
    fn run(&self, worker: &mut dyn Worker, cpu: usize, stop: &AtomicBool) -> io::Result<()> {
        socket::pin(cpu)?;
        // Once at least, so that a thread that got no processor in time is no thread without fault.
        loop {
            let operations = worker.step(&self.samples)?;
            self.done.store(self.done.load(Ordering::Relaxed) + operations, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }
}

/// An answer that one thread waits for and another gives.
pub struct Answer<T> {
    value: Mutex<Option<T>>,
    given: Condvar,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self { value: Mutex::new(None), given: Condvar::new() }
    }
}

impl<T> Answer<T> {
    /// Gives it.
    pub fn give(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        self.given.notify_one();
    }

    /// Waits until it is given, and takes it.
    pub fn wait(&self) -> io::Result<T> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.given.wait_timeout_while(value, super::task::PATIENCE, |value| value.is_none());
        let (mut value, _) = waited.unwrap_or_else(PoisonError::into_inner);
        value.take().ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "an owner did not answer"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Counting(Arc<AtomicU64>);

    impl Worker for Counting {
        fn step(&mut self, samples: &Samples) -> io::Result<u64> {
            self.0.fetch_add(BATCH, Ordering::Relaxed);
            samples.record(Duration::from_nanos(500));
            Ok(BATCH)
        }
    }

    struct Failing;

    impl Worker for Failing {
        fn step(&mut self, _: &Samples) -> io::Result<u64> {
            Err(io::Error::other("out of order"))
        }
    }

    const SHORT: Times = Times { warm_up: Duration::from_millis(5), measured: Duration::from_millis(20) };

    #[test]
    fn every_operation_of_every_thread_is_counted() {
        let counter = Arc::<AtomicU64>::default();
        let workers = (0..3).map(|_| Box::new(Counting(counter.clone())) as Box<dyn Worker>).collect();
        let (outcome, total) = run(workers, &[0], SHORT, None).expect("figures");
        assert_eq!(total, counter.load(Ordering::Relaxed));
        assert!(outcome.operations <= total);
    }

    #[test]
    fn a_thread_that_fails_fails_the_measurement() {
        let error = run(vec![Box::new(Failing)], &[0], SHORT, None).expect_err("it failed");
        assert_eq!(error.to_string(), "out of order");
    }

    #[test]
    fn an_answer_that_was_given_before_is_not_waited_for() {
        let answer = Answer::default();
        answer.give(3);
        assert_eq!(answer.wait().expect("it was given"), 3);
    }
}
