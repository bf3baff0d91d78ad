//! Each job here waits for the test, never for a time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::{Queue, State};
use crate::counters::ReactorCounters;
use crate::drain::Times;
use crate::handle::{Handle, Live};
use crate::ids::Token;
use crate::limits::Limits;
use crate::mailbox::{Receiver as Mailbox, Wake, mailbox};
use crate::offload::{Job, OffloadFull, Pool};
use crate::remote::{Gate, JobOwner, Letter, Remote, Shared};

const LONG: Duration = Duration::from_secs(600);

fn job(work: impl FnOnce() + Send + 'static) -> Job<JobOwner> {
    Job { owner: None, work: Box::new(work) }
}

/// Waits until the queue is in some state.
fn until(queue: &Queue<JobOwner>, what: &str, mut holds: impl FnMut(&State<JobOwner>) -> bool) {
    gannet_testing::until(what, || holds(&queue.inner.lock()));
}

/// Occupies a thread of the queue until what it returns is dropped.
fn occupy(queue: &Queue<JobOwner>) -> Sender<()> {
    let (held, until_dropped) = channel::<()>();
    let (begun, begins) = channel();
    let work = move || {
        begun.send(()).expect("the test listens");
        until_dropped.recv().expect_err("nothing is sent");
    };
    queue.push(job(work)).expect("there is room");
    begins.recv().expect("it begins");
    held
}

struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

/// An engine of one reactor, as far as jobs can see.
struct Connections {
    remote: Remote,
    live: Arc<Live>,
    letters: Mailbox<Letter>,
}

impl Connections {
    fn new() -> Self {
        let shared = Arc::new(Shared::new(0, &Limits::default(), Times::default()));
        let (sender, letters) = mailbox(16, 0, Arc::new(NoWake));
        let live = Arc::new(Live::new());
        let counters = Arc::new(ReactorCounters::new(1));
        let gate = Gate { sender, counters, live: live.clone(), orders: Arc::default() };
        assert!(shared.gates.set(vec![gate].into_boxed_slice()).is_ok(), "a new engine has no gates");
        Self { remote: Remote::new(shared), live, letters }
    }

    fn job(&self, token: Token, said: &Sender<Token>) -> Job<JobOwner> {
        self.live.set(token, 1);
        let handle = Handle { engine: self.remote.engine(), reactor: 0, token, generation: 1 };
        let said = said.clone();
        let work = Box::new(move || said.send(token).expect("the test listens"));
        Job { owner: Some(JobOwner { remote: self.remote.clone(), handle }), work }
    }

    fn gone(&self, token: Token) {
        self.live.set(token, 0);
    }
}

fn heard(said: &Receiver<Token>) -> Vec<Token> {
    said.try_iter().collect()
}

#[test]
fn a_pool_for_blocking_work_has_a_thread_for_each_job_up_to_its_bound() {
    let queue = Queue::with_linger(Pool::Blocking, 100, 4, LONG);
    let all_run = Arc::new(Barrier::new(5));
    for _ in 0..4 {
        let all_run = all_run.clone();
        let meet_twice = move || {
            all_run.wait();
            all_run.wait();
        };
        queue.push(job(meet_twice)).expect("there is room");
    }
    all_run.wait();
    queue.push(job(|| ())).expect("it may wait");
    let stats = queue.stats();
    assert_eq!((stats.running, stats.queued, stats.threads), (4, 1, 4));
    all_run.wait();
    until(&queue, "the last job", |state| state.queued() + state.running == 0);
}

#[test]
fn threads_of_a_pool_for_blocking_work_end_when_they_are_idle() {
    let queue = Queue::with_linger(Pool::Blocking, 100, 4, Duration::from_millis(1));
    for _ in 0..3 {
        drop((occupy(&queue), occupy(&queue)));
        until(&queue, "the end of all threads", |state| state.threads == 0);
    }
}

#[test]
fn two_jobs_never_wait_for_the_same_idle_thread() {
    let queue = Queue::with_linger(Pool::Blocking, 100, 2, LONG);
    let meet = Arc::new(Barrier::new(2));
    for _ in 0..1_000 {
        for _ in 0..2 {
            let meet = meet.clone();
            // Each needs the other to run at the same time.
            queue.push(job(move || _ = meet.wait())).expect("there is room");
        }
        until(&queue, "both jobs", |state| state.queued() + state.running == 0);
    }
}

#[test]
fn the_threads_of_a_queue_that_is_dropped_end() {
    let queue = Queue::with_linger(Pool::Files, 100, 2, LONG);
    drop((occupy(&queue), occupy(&queue)));
    until(&queue, "idle threads", |state| state.running == 0 && state.idle > 0);
    let inner = Arc::downgrade(&queue.inner);
    drop(queue);
    while inner.strong_count() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn one_job_more_than_the_limit_is_refused_and_counted() {
    for pool in Pool::ALL {
        let queue = Queue::with_linger(pool, 2, 1, LONG);
        let held = occupy(&queue);
        queue.push(job(|| ())).expect("there is room for two");
        assert_eq!(queue.push(job(|| ())), Err(OffloadFull));
        assert_eq!((queue.stats().accepted, queue.stats().refused), (2, 1));
        drop(held);
        until(&queue, "both jobs", |state| state.queued() + state.running == 0);
    }
}

#[test]
fn jobs_of_connections_that_are_gone_are_never_started_and_free_their_place_at_once() {
    for pool in Pool::ALL {
        let connections = Connections::new();
        let (said, listen) = channel();
        let queue = Queue::with_linger(pool, 11, 1, LONG);
        let held = occupy(&queue);
        for round in 0..100 {
            for token in 0..10 {
                queue.push(connections.job(token, &said)).expect("those before have gone");
            }
            (0..10).for_each(|token| connections.gone(token));
            queue.disowned(10);
            assert_eq!(queue.stats().queued, 0, "round {round}");
        }
        queue.push(connections.job(10, &said)).expect("there is room");
        drop(held);
        until(&queue, "the last job", |state| state.queued() + state.running == 0);
        assert_eq!(heard(&listen), [10]);
        assert_eq!(queue.stats().abandoned, 1_000);
    }
}

/// A single one that goes is not worth a look at a long queue: a thread skips it.
#[test]
fn a_job_whose_connection_goes_while_it_waits_is_skipped() {
    let connections = Connections::new();
    let (said, listen) = channel();
    let queue = Queue::with_linger(Pool::Compute, 100, 1, LONG);
    let held = occupy(&queue);
    for token in 0..10 {
        queue.push(connections.job(token, &said)).expect("there is room");
    }
    connections.gone(3);
    queue.disowned(1);
    assert_eq!(queue.stats().queued, 10);
    drop(held);
    until(&queue, "the last job", |state| state.queued() + state.running == 0);
    assert_eq!(heard(&listen), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!(queue.stats().abandoned, 1);
}

#[test]
fn jobs_of_peers_that_ended_their_stream_run_after_all_others() {
    let connections = Connections::new();
    let (said, listen) = channel();
    let queue = Queue::with_linger(Pool::Compute, 100, 1, LONG);
    let held = occupy(&queue);
    for token in 0..6 {
        queue.push(connections.job(token, &said)).expect("there is room");
    }
    for token in 0..3 {
        connections.live.set_ended(token);
        queue.disowned(1);
    }
    drop(held);
    until(&queue, "the last job", |state| state.queued() + state.running == 0);
    assert_eq!(heard(&listen), [3, 4, 5, 0, 1, 2]);
}

#[test]
fn over_the_limit_a_job_of_a_peer_that_ended_its_stream_is_given_up_for_one_that_is_awaited() {
    let mut connections = Connections::new();
    let (said, listen) = channel();
    let queue = Queue::with_linger(Pool::Compute, 4, 1, LONG);
    let held = occupy(&queue);
    for token in 0..3 {
        queue.push(connections.job(token, &said)).expect("there is room");
    }
    for token in 0..2 {
        connections.live.set_ended(token);
        queue.disowned(1);
    }
    queue.push(connections.job(3, &said)).expect("it takes the place of the first");
    let doubtful = connections.job(4, &said);
    connections.live.set_ended(4);
    assert_eq!(queue.push(doubtful), Err(OffloadFull), "it is no better than who waits");
    drop(held);
    until(&queue, "the last job", |state| state.queued() + state.running == 0);
    assert_eq!(heard(&listen), [2, 3, 1]);
    let Some(Letter::Run { place, .. }) = connections.letters.take() else { panic!("the session hears of it") };
    assert_eq!(place.token, 0);
    assert!(connections.letters.take().is_none());
}

#[test]
fn a_job_that_panics_leaves_its_thread_to_others() {
    for pool in Pool::ALL {
        let queue = Queue::with_linger(pool, 100, 1, LONG);
        queue.push(job(|| panic!("a job that panics"))).expect("there is room");
        let (said, listen) = channel();
        queue.push(job(move || said.send(()).expect("the test listens"))).expect("there is room");
        listen.recv().expect("the second job runs");
        until(&queue, "the end", |state| state.running == 0);
    }
}
