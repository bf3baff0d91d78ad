//! What the mailbox promises to the reactor and to its senders, with real threads where those matter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::{NotPosted, Receiver, Sender, Wake, mailbox};

/// Far beyond any delay of a busy machine: who waits this long was never woken.
const LOST: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    rings: AtomicUsize,
}

impl Bell {
    /// Blocks like the driver does; panics instead of waiting for ever.
    fn block(&self) {
        let rung = self.rung.lock().expect("nobody panics with it");
        let (mut rung, timeout) =
            self.changed.wait_timeout_while(rung, LOST, |rung| !*rung).expect("nobody panics with it");
        assert!(!timeout.timed_out(), "a wake-up was lost");
        *rung = false;
    }

    fn rings(&self) -> usize {
        self.rings.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        *self.rung.lock().expect("nobody panics with it") = true;
        self.changed.notify_one();
    }
}

fn with_bell<T>(capacity: usize) -> (Sender<T>, Receiver<T>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    let (sender, receiver) = mailbox(capacity, 2, bell.clone());
    (sender, receiver, bell)
}

#[test]
fn senders_cross_threads_and_the_receiver_moves_to_its_own() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Sync>(_: &T) {}
    let (sender, receiver, _) = with_bell::<Box<u32>>(1);
    is_send(&sender);
    is_sync(&sender);
    is_send(&receiver);
}

#[test]
fn letters_of_one_sender_arrive_in_order() {
    let (sender, mut receiver, _) = with_bell(4);
    for letter in 0..4 {
        sender.post(letter).unwrap();
    }
    assert!(!receiver.is_empty());
    let taken: Vec<_> = std::iter::from_fn(|| receiver.take()).collect();
    assert_eq!(taken, [0, 1, 2, 3]);
    assert!(receiver.is_empty());
}

#[test]
fn a_full_mailbox_gives_the_letter_back_and_takes_letters_again_after_one_was_taken() {
    let (sender, mut receiver, _) = with_bell(1);
    sender.post("first").unwrap();
    assert_eq!(sender.post("second"), Err(NotPosted::Full("second")));
    assert_eq!(receiver.take(), Some("first"));
    assert_eq!(sender.post("third"), Ok(()));
}

#[test]
fn a_capacity_of_nothing_still_holds_one_letter() {
    let (sender, mut receiver, _) = with_bell(0);
    sender.post(1).unwrap();
    assert_eq!(sender.post(2), Err(NotPosted::Full(2)));
    assert_eq!(receiver.take(), Some(1));
}

#[test]
fn a_reactor_that_is_awake_is_not_rung() {
    let (sender, receiver, bell) = with_bell(8);
    sender.post(1).unwrap();
    assert_eq!(bell.rings(), 0);
    assert!(!receiver.prepare_sleep(), "letters are waiting");
    sender.post(2).unwrap();
    assert_eq!(bell.rings(), 0, "it did not go to sleep");
}

#[test]
fn a_sleep_is_rung_once_however_many_letters_are_posted_to_it() {
    let (sender, mut receiver, bell) = with_bell(8);
    assert!(receiver.prepare_sleep());
    sender.post(1).unwrap();
    sender.clone().post(2).unwrap();
    assert_eq!(bell.rings(), 1);
    bell.block();
    receiver.awake();
    while receiver.take().is_some() {}
    assert!(receiver.prepare_sleep());
    sender.post(3).unwrap();
    assert_eq!(bell.rings(), 2, "the next sleep is another one");
}

#[test]
fn a_reactor_that_woke_for_another_reason_is_not_rung() {
    let (sender, receiver, bell) = with_bell(8);
    assert!(receiver.prepare_sleep());
    receiver.awake();
    sender.post(1).unwrap();
    assert_eq!(bell.rings(), 0);
}

#[test]
fn a_forced_ring_reaches_a_reactor_that_is_awake() {
    let (sender, _receiver, bell) = with_bell::<()>(1);
    sender.ring();
    assert_eq!(bell.rings(), 1);
}

#[test]
fn dropping_the_receiver_drops_the_letters_left_and_refuses_later_ones() {
    let (sender, receiver, bell) = with_bell(8);
    let letter = Arc::new(());
    sender.post(letter.clone()).unwrap();
    sender.post(letter.clone()).unwrap();
    assert_eq!(Arc::strong_count(&letter), 3);
    assert!(!receiver.prepare_sleep());
    drop(receiver);
    assert_eq!(Arc::strong_count(&letter), 1);
    assert_eq!(sender.post(letter.clone()), Err(NotPosted::Closed(letter.clone())));
    assert_eq!(bell.rings(), 0);
}

#[test]
fn every_letter_of_many_senders_is_received_by_a_reactor_that_sleeps_between_them() {
    const SENDERS: usize = 4;
    const LETTERS: usize = if cfg!(miri) { 40 } else { 10_000 };
    // Small, so that both the empty and the full mailbox are met often.
    let (sender, mut receiver, bell) = with_bell(16);
    let threads = (0..SENDERS).map(|who| {
        let sender = sender.clone();
        thread::spawn(move || {
            for number in 0..LETTERS {
                let mut letter = (who, number);
                loop {
                    match sender.post(letter) {
                        Ok(()) => break,
                        Err(NotPosted::Full(back)) => letter = back,
                        // The receiver failed, and says why by itself.
                        Err(NotPosted::Closed(_)) => return,
                    }
                    thread::yield_now();
                }
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    let mut next = [0; SENDERS];
    while next.iter().sum::<usize>() < SENDERS * LETTERS {
        while let Some((who, number)) = receiver.take() {
            assert_eq!(number, next[who], "in the order of its sender");
            next[who] += 1;
        }
        if next.iter().sum::<usize>() < SENDERS * LETTERS && receiver.prepare_sleep() {
            bell.block();
            receiver.awake();
        }
    }
    assert!(receiver.is_empty());
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn letters_posted_while_the_receiver_goes_are_all_dropped_though_senders_live_on() {
    let rounds = if cfg!(miri) { 5 } else { 500 };
    for _ in 0..rounds {
        let (sender, receiver, _) = with_bell(64);
        let letter = Arc::new(());
        let started = Arc::new(std::sync::Barrier::new(3));
        let threads = [(); 2].map(|()| {
            let (sender, letter, started) = (sender.clone(), letter.clone(), started.clone());
            thread::spawn(move || {
                started.wait();
                // Bounded, and enough to be still at it when the receiver goes.
                for _ in 0..64 {
                    if let Err(NotPosted::Closed(_)) = sender.post(letter.clone()) {
                        break;
                    }
                }
            })
        });
        started.wait();
        drop(receiver);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(Arc::strong_count(&letter), 1, "a letter lies in the mailbox of nobody");
    }
}

#[test]
fn calls_need_no_room_and_several_before_the_reactor_looks_are_one() {
    let (sender, mut receiver, bell) = with_bell(1);
    sender.post("a letter that takes all the room").unwrap();
    sender.call(1);
    sender.call(1);
    sender.call(7);
    assert!(receiver.is_called() && !receiver.prepare_sleep(), "a call is waiting");
    assert_eq!(bell.rings(), 0, "the reactor is awake");
    let mut called = Vec::new();
    receiver.take_calls(&mut called);
    receiver.take();
    assert_eq!(called, [1, 7], "one is a service that came later");
    assert!(!receiver.is_called() && receiver.prepare_sleep());
    sender.call(0);
    sender.call(1);
    assert_eq!(bell.rings(), 1, "one ring for both");
    called.clear();
    receiver.take_calls(&mut called);
    assert_eq!(called, [0, 1]);
}

#[test]
fn a_reactor_that_falls_asleep_while_it_is_called_hears_every_last_call() {
    const CALLS: usize = 20_000;
    let (sender, mut receiver, bell) = with_bell::<()>(1);
    let said = Arc::new(AtomicUsize::new(0));
    let saying = said.clone();
    let caller = thread::spawn(move || {
        for number in 1..=CALLS {
            saying.store(number, Ordering::Relaxed);
            sender.call(number % 2);
        }
    });
    let mut called = Vec::new();
    // What was said before a call is seen behind it, so the last one is too.
    while said.load(Ordering::Relaxed) < CALLS || !called.is_empty() {
        called.clear();
        if receiver.prepare_sleep() {
            if said.load(Ordering::Relaxed) == CALLS && !receiver.is_called() {
                break;
            }
            bell.block();
            receiver.awake();
        }
        receiver.take_calls(&mut called);
    }
    caller.join().unwrap();
}
