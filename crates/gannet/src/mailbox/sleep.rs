//! What a mailbox's two ends tell each other beside the letters: whether the reactor sleeps, or is gone.
//!
//! The reactor and its senders each write one thing and then read the other's:
//!
//! | a sender | the reactor |
//! |---|---|
//! | lays its letter down | says that it sleeps, or that it is gone |
//! | full fence | full fence |
//! | reads the reactor's state | looks for letters |
//!
//! One of the two fences comes first in the order that all threads agree on, and the thread with the second
//! sees what the other wrote. So either the reactor finds the letter, or the sender finds the reactor asleep
//! and rings. Without either fence both reads may be too early, and the letter lies there while the reactor
//! sleeps. Nothing is asked of the queue's own memory ordering beyond handing a letter over intact.
//!
//! It is apart from the queue so that every interleaving of it can be tried: the tests below run under loom
//! with `RUSTFLAGS="--cfg loom" cargo test --release loom`.

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicU8, Ordering, fence};
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicU8, Ordering, fence};

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const CLOSED: u8 = 2;

/// What a sender has to do after it laid its letter down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AfterPost {
    /// Nothing: the reactor is awake, or another sender is about to ring.
    Done,
    /// Ring the waker.
    Ring,
    /// Drop the letters that lie there: the reactor is gone and may not have seen them.
    Closed,
}

/// The state of the reactor as its senders see it.
pub(super) struct Sleep {
    state: AtomicU8,
}

impl Sleep {
    /// Of a reactor that is awake.
    pub(super) fn new() -> Self {
        Self { state: AtomicU8::new(AWAKE) }
    }

    /// Whether the reactor is gone. By any thread.
    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CLOSED
    }

    /// By any sender, after its letter lies there.
    pub(super) fn posted(&self) -> AfterPost {
        fence(Ordering::SeqCst);
        let mut state = self.state.load(Ordering::Relaxed);
        if state == ASLEEP {
            // One ring is enough for all who post to the same sleep: who ends it rings. An exchange, and not a
            // swap, because the reactor may be closing.
            state = match self.state.compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return AfterPost::Ring,
                Err(state) => state,
            };
        }
        if state == CLOSED { AfterPost::Closed } else { AfterPost::Done }
    }

    /// By the reactor, before it blocks. `false` if there are letters, and then it must not block.
    pub(super) fn prepare(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.state.store(ASLEEP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let sleeps = is_empty();
        if !sleeps {
            self.awake();
        }
        sleeps
    }

    /// By the reactor, after it blocked.
    pub(super) fn awake(&self) {
        // Who rang has already written this; reading first leaves the line shared with the senders. An exchange,
        // though a store would do: the language puts a store after the exchange of a sender who read what it
        // overwrites, but loom does not, and a proof is worth one locked instruction a sleep.
        if self.state.load(Ordering::Relaxed) != AWAKE {
            self.state.swap(AWAKE, Ordering::Relaxed);
        }
    }

    /// By the reactor, for good. It has to drop the letters after this.
    pub(super) fn close(&self) {
        // An exchange for the reason given in `awake`.
        self.state.swap(CLOSED, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod loom_model {
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::{AfterPost, Sleep};

    /// A queue that keeps only a count, with no ordering of its own. One behind a mutex would order the two
    /// sides by itself, and the model would pass without the fences that it is there to check.
    struct Model {
        sleep: Sleep,
        letters: AtomicUsize,
        rung: Mutex<bool>,
        bell: Condvar,
    }

    impl Model {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                sleep: Sleep::new(),
                letters: AtomicUsize::new(0),
                rung: Mutex::new(false),
                bell: Condvar::new(),
            })
        }

        fn post(&self) -> bool {
            if self.sleep.is_closed() {
                return false;
            }
            self.letters.fetch_add(1, Ordering::Relaxed);
            match self.sleep.posted() {
                AfterPost::Done => {}
                AfterPost::Ring => {
                    *self.rung.lock().expect("nobody panics with it") = true;
                    self.bell.notify_one();
                }
                AfterPost::Closed => while self.take() {},
            }
            true
        }

        fn take(&self) -> bool {
            let mut letters = self.letters.load(Ordering::Relaxed);
            while letters > 0 {
                match self.letters.compare_exchange(letters, letters - 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return true,
                    Err(now) => letters = now,
                }
            }
            false
        }

        fn is_empty(&self) -> bool {
            self.letters.load(Ordering::Relaxed) == 0
        }

        /// Like an eventfd: a ring from before the call is enough to return.
        fn block(&self) {
            let mut rung = self.rung.lock().expect("nobody panics with it");
            while !*rung {
                rung = self.bell.wait(rung).expect("nobody panics with it");
            }
            *rung = false;
        }

        /// Takes `expected` letters the way the reactor does, asleep whenever there is none. A lost wake-up is
        /// a deadlock, which loom reports.
        fn receive(&self, expected: usize) {
            let mut taken = 0;
            while taken < expected {
                if self.take() {
                    taken += 1;
                } else if self.sleep.prepare(|| self.is_empty()) {
                    self.block();
                    self.sleep.awake();
                }
            }
        }
    }

    fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        // Three preemptions find every bug that was planted here, and keep the run to seconds.
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    #[test]
    fn a_reactor_that_falls_asleep_while_letters_are_posted_gets_them_all() {
        check(|| {
            let model = Model::new();
            let sender = Arc::clone(&model);
            let thread = thread::spawn(move || {
                sender.post();
                sender.post();
            });
            model.receive(2);
            thread.join().unwrap();
        });
    }

    #[test]
    fn of_two_senders_who_post_to_one_sleep_the_one_that_does_not_ring_is_heard_too() {
        check(|| {
            let model = Model::new();
            let threads = [(); 2].map(|()| {
                let sender = Arc::clone(&model);
                thread::spawn(move || {
                    sender.post();
                })
            });
            model.receive(2);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn a_letter_posted_while_the_mailbox_closes_is_not_left_behind() {
        check(|| {
            let model = Model::new();
            let threads = [(); 2].map(|()| {
                let sender = Arc::clone(&model);
                thread::spawn(move || {
                    sender.post();
                })
            });
            // A reactor goes awake or, when it is torn down by a panic in the driver, announced as asleep.
            model.sleep.prepare(|| model.is_empty());
            model.sleep.close();
            while model.take() {}
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(model.is_empty(), "a letter nobody will ever look at");
            assert!(!model.post(), "closed for good");
        });
    }
}
