//! Which sessions were woken: a bit each, in two levels, set by any thread and taken by the reactor.
//!
//! A waker sets the session's bit, and, where its word was empty, the word's bit in the summary. The reactor takes a summary
//! before the words that it names. So a bit that is set while the reactor looks is either in the word that it is about to
//! take, or finds the word empty again, and is announced once more: nothing is lost, nothing is ever full.

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicU64, Ordering};

use std::sync::OnceLock;

/// Words of a leaf.
const WORDS: usize = if cfg!(all(test, loom)) { 2 } else { 64 };

/// Bits of a leaf.
const LEAF_BITS: usize = WORDS * 64;

/// Leaves: room for as many bits as a reactor has connections.
const LEAVES: usize = crate::handle::Live::CAPACITY as usize / (64 * 64);

struct Leaf {
    /// A bit for each word that may have bits.
    summary: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Leaf {
    fn new() -> Self {
        Self { summary: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Sets a bit; says whether the reactor has to be told. On any thread.
    fn set(&self, index: usize) -> bool {
        let (word, bit) = (index / 64, 1 << (index % 64));
        // Who finds bits there is announced with them: the reactor has yet to take this word. What was written before is
        // visible to the reactor, since it reads this word by an exchange.
        if self.words[word].fetch_or(bit, Ordering::AcqRel) != 0 {
            return false;
        }
        self.summary.fetch_or(1 << word, Ordering::AcqRel);
        true
    }

    /// Takes the bits that are set, and adds their indexes, with `base`, to `taken`. On the reactor's thread.
    fn take(&self, base: usize, taken: &mut Vec<u32>) {
        if self.summary.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut summary = self.summary.swap(0, Ordering::AcqRel);
        while summary != 0 {
            let word = summary.trailing_zeros() as usize;
            summary &= summary - 1;
            let mut bits = self.words[word].swap(0, Ordering::AcqRel);
            while bits != 0 {
                taken.push((base + word * 64) as u32 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
    }
}

/// See the module.
pub(super) struct Bits {
    leaves: Box<[OnceLock<Box<Leaf>>]>,
}

impl Bits {
    pub(super) fn new() -> Self {
        Self { leaves: (0..LEAVES).map(|_| OnceLock::new()).collect() }
    }

    /// Sets a bit; says whether the reactor has to be told. On any thread.
    pub(super) fn set(&self, index: usize) -> bool {
        let Some(leaf) = self.leaves.get(index / LEAF_BITS) else { return false };
        leaf.get_or_init(|| Box::new(Leaf::new())).set(index % LEAF_BITS)
    }

    /// Takes the bits below `end` that are set. On the reactor's thread.
    pub(super) fn take(&self, end: usize, taken: &mut Vec<u32>) {
        for (place, leaf) in self.leaves.iter().take(end.div_ceil(LEAF_BITS)).enumerate() {
            if let Some(leaf) = leaf.get() {
                leaf.take(place * LEAF_BITS, taken);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn taken(bits: &Bits) -> Vec<u32> {
        let mut taken = Vec::new();
        bits.take(usize::MAX / 2, &mut taken);
        taken
    }

    #[test]
    fn each_bit_is_taken_once_however_often_it_was_set() {
        let bits = Bits::new();
        let indexes = [0, 1, 63, 64, 4_095, 4_096, 70_000, 4_194_303];
        for index in indexes {
            bits.set(index);
            bits.set(index);
        }
        assert_eq!(taken(&bits), indexes.map(|index| index as u32));
        assert_eq!(taken(&bits), [0; 0]);
        assert!(!bits.set(4_194_304), "there is no such connection");
    }

    #[test]
    fn only_the_first_bit_of_a_word_has_to_be_announced() {
        let bits = Bits::new();
        assert!(bits.set(5) && !bits.set(6) && bits.set(64));
        assert_eq!(taken(&bits), [5, 6, 64]);
        assert!(bits.set(6));
    }
}

#[cfg(all(test, loom))]
mod loom_model {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use loom::thread;

    use super::Leaf;

    /// The call of a mailbox: who is told looks at the bits again.
    struct Model {
        leaf: Leaf,
        called: AtomicBool,
        /// What each waker wrote before it woke.
        written: [AtomicUsize; 2],
    }

    fn wake(model: &Model, index: usize, of: usize) {
        model.written[of].store(1, Ordering::Relaxed);
        if model.leaf.set(index) {
            model.called.swap(true, Ordering::AcqRel);
        }
    }

    /// Two threads wake; the reactor looks while they do, and once more where it was called after that.
    fn check(indexes: [usize; 2]) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let model = Arc::new(Model {
                leaf: Leaf::new(),
                called: AtomicBool::new(false),
                written: [AtomicUsize::new(0), AtomicUsize::new(0)],
            });
            let threads = [0, 1].map(|of| {
                let model = Arc::clone(&model);
                thread::spawn(move || wake(&model, indexes[of], of))
            });
            let mut taken = Vec::new();
            let look = |taken: &mut Vec<u32>| {
                if model.called.swap(false, Ordering::AcqRel) {
                    let before = taken.len();
                    model.leaf.take(0, taken);
                    for index in &taken[before..] {
                        let of = indexes.iter().position(|known| known == &(*index as usize)).unwrap();
                        assert!(
                            indexes[0] == indexes[1] || model.written[of].load(Ordering::Relaxed) == 1,
                            "what was written before a wake is visible after it"
                        );
                    }
                }
            };
            look(&mut taken);
            look(&mut taken);
            for thread in threads {
                thread.join().unwrap();
            }
            look(&mut taken);
            for index in indexes {
                assert!(taken.contains(&(index as u32)), "a wake was lost");
            }
        });
    }

    #[test]
    fn loom_two_sessions_of_one_word_that_are_woken_at_once_are_both_polled() {
        check([3, 4]);
    }

    #[test]
    fn loom_two_sessions_of_two_words_that_are_woken_at_once_are_both_polled() {
        check([3, 70]);
    }

    #[test]
    fn loom_a_session_that_two_threads_wake_is_polled_after_both() {
        check([3, 3]);
    }
}
