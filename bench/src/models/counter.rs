//! `counter`: one number that several threads add to: behind a lock, atomic, or owned by a reactor and reached by letters.

use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use gannet::proto::Raw;
use gannet::{Context, Notice, Refused, Service};
use serde::{Deserialize, Serialize};

use super::Options;
use super::owner::{Opened, Owners, Way};
use super::table::{Comparison, Measured, Table};
use super::task::{self, PATIENCE, both_cpus};
use super::workers::{self, Answer, BATCH, COLUMNS, CPU_NS, Outcome, Samples, Times, Worker};

/// How the counter is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// `fetch_add`.
    Atomic,
    /// `std::sync::Mutex`.
    Mutex,
    /// By a reactor: a letter for each increment, without an answer.
    Told,
    /// By a reactor: a letter for each 64 increments, which a thread adds up by itself before.
    ToldSums,
    /// By a reactor: a letter for each increment, which is answered with the new count.
    Asked,
}

const ATOMIC: &str = "atomic";
const KINDS: [(&str, Kind); 5] = [
    (ATOMIC, Kind::Atomic),
    ("mutex", Kind::Mutex),
    ("reactor, told", Kind::Told),
    ("reactor, told sums of 64", Kind::ToldSums),
    ("reactor, asked", Kind::Asked),
];

/// Describes the measurement of one process.
#[derive(Serialize, Deserialize)]
pub struct Task {
    kind: Kind,
    threads: u32,
    times: Times,
}

/// Measures all kinds with each number of threads.
pub fn measure(options: &Options) -> io::Result<Vec<Table>> {
    let (plan, times) = (&options.plan, task::times(&options.plan)?);
    let table = |&threads: &u32| {
        let plural = if threads == 1 { "" } else { "s" };
        let title = format!("A counter that {threads} thread{plural} add{} to", if threads == 1 { "s" } else { "" });
        let comparison = Comparison { plan, title, columns: COLUMNS, compared: CPU_NS, against: ATOMIC };
        comparison.of(KINDS.map(|(name, kind)| (name.to_owned(), kind)), |&kind| {
            let task = task::Task::Counter(Task { kind, threads, times });
            Ok(Measured::Figures(task::ask::<Outcome>(&task, &both_cpus(plan))?.figures()))
        })
    };
    options.threads.iter().map(table).collect()
}

/// Measures one kind in this process, and fails unless the count is the number of increments.
pub fn perform(task: &Task, cpus: &[usize]) -> io::Result<Outcome> {
    let count = Arc::<AtomicU64>::default();
    let (outcome, total) = match task.kind {
        Kind::Atomic => {
            let add = {
                let count = count.clone();
                move || count.fetch_add(1, Ordering::Relaxed) + 1
            };
            run(task, cpus, || Shared(add.clone()))?
        }
        Kind::Mutex => {
            let locked = Arc::<Mutex<u64>>::default();
            let add = {
                let locked = locked.clone();
                move || {
                    let mut count = locked.lock().unwrap_or_else(PoisonError::into_inner);
                    *count += 1;
                    *count
                }
            };
            let done = run(task, cpus, || Shared(add.clone()))?;
            count.store(*locked.lock().unwrap_or_else(PoisonError::into_inner), Ordering::Relaxed);
            done
        }
        Kind::Told | Kind::ToldSums | Kind::Asked => owned(task, cpus, &count)?,
    };
    let counted = count.load(Ordering::Relaxed);
    if counted != total {
        return Err(io::Error::other(format!("{total} increments were made, and {counted} counted")));
    }
    Ok(outcome)
}

fn run<W: Worker + 'static>(task: &Task, cpus: &[usize], worker: impl Fn() -> W) -> io::Result<(Outcome, u64)> {
    let workers = (0..task.threads).map(|_| Box::new(worker()) as Box<dyn Worker>);
    workers::run(workers.collect(), cpus, task.times, None)
}

fn owned(task: &Task, cpus: &[usize], count: &Arc<AtomicU64>) -> io::Result<(Outcome, u64)> {
    let samples = Arc::new(Samples::new()?);
    let owners = {
        let (count, samples) = (count.clone(), samples.clone());
        Owners::start(1, move |opened| Counter { count: count.clone(), samples: samples.clone(), opened })?
    };
    let way = || owners.way::<Counter>();
    let worker = || -> Box<dyn Worker> {
        match task.kind {
            Kind::Asked => Box::new(Asking { way: way(), answer: Arc::default(), last: 0 }),
            _ => Box::new(Telling { way: way(), sums: task.kind == Kind::ToldSums }),
        }
    };
    let workers = (0..task.threads).map(|_| worker()).collect();
    let (outcome, total) = workers::run(workers, cpus, task.times, Some((count, &samples)))?;
    // Letters that are in the mailbox still.
    let end = Instant::now() + PATIENCE;
    while count.load(Ordering::Relaxed) < total && Instant::now() < end {
        thread::yield_now();
    }
    Ok((outcome, total))
}

/// Adds by a call that all threads share.
struct Shared<A>(A);

impl<A: Fn() -> u64 + Send> Worker for Shared<A> {
    fn step(&mut self, samples: &Samples) -> io::Result<u64> {
        let started = Instant::now();
        black_box((self.0)());
        samples.record(started.elapsed());
        for _ in 1..BATCH {
            black_box((self.0)());
        }
        Ok(BATCH)
    }
}

enum Letter {
    /// Adds; where the letter says when it was posted, the time that it took is recorded.
    Add { count: u64, posted: Option<Instant> },
    /// Adds one and gives the new count.
    Ask(Arc<Answer<u64>>),
}

/// The owner of the count. Others read it, and only this service writes it.
struct Counter {
    count: Arc<AtomicU64>,
    samples: Arc<Samples>,
    opened: Opened,
}

impl Counter {
    fn add(&self, count: u64) -> u64 {
        let sum = self.count.load(Ordering::Relaxed) + count;
        self.count.store(sum, Ordering::Relaxed);
        sum
    }
}

impl Service for Counter {
    type Codec = Raw;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.opened.send((cx.reactor(), cx.handle())).map_err(|_| Refused)
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

impl Notice<Letter> for Counter {
    fn notice(&mut self, (): &mut (), letter: Letter, _: &mut Context<'_, Self>) {
        match letter {
            Letter::Add { count, posted } => {
                self.add(count);
                if let Some(posted) = posted {
                    self.samples.record(posted.elapsed());
                }
            }
            Letter::Ask(answer) => answer.give(self.add(1)),
        }
    }
}

struct Telling {
    way: Way<Counter>,
    sums: bool,
}

impl Worker for Telling {
    fn step(&mut self, _: &Samples) -> io::Result<u64> {
        let posted = Some(Instant::now());
        if self.sums {
            let mut count = 0;
            for _ in 0..BATCH {
                // Each is an addition to something of this thread's own.
                count = black_box(count + 1);
            }
            self.way.post(0, Letter::Add { count, posted })?;
            return Ok(BATCH);
        }
        self.way.post(0, Letter::Add { count: 1, posted })?;
        for _ in 1..BATCH {
            self.way.post(0, Letter::Add { count: 1, posted: None })?;
        }
        Ok(BATCH)
    }
}

struct Asking {
    way: Way<Counter>,
    answer: Arc<Answer<u64>>,
    last: u64,
}

impl Worker for Asking {
    fn step(&mut self, samples: &Samples) -> io::Result<u64> {
        let started = Instant::now();
        self.way.post(0, Letter::Ask(self.answer.clone()))?;
        let count = self.answer.wait()?;
        samples.record(started.elapsed());
        if count <= self.last {
            return Err(io::Error::other(format!("the count went from {} to {count}", self.last)));
        }
        self.last = count;
        Ok(1)
    }
}
