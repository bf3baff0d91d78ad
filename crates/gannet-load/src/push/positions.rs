//! What a client knows of its subscriptions: how far it has come in each, in few bytes.

/// What is known of a subscription, in words: the offset (two), the epoch with the flags, and the number expected next of
/// each publisher of the channel.
const WORDS: usize = 3;

const EPOCH: u32 = (1 << 29) - 1;
const SUBSCRIBED: u32 = 1 << 29;
const HAS_OFFSETS: u32 = 1 << 30;
const RECOVERS: u32 = 1 << 31;

/// A publisher's next number is not known.
const UNKNOWN: u32 = u32::MAX;

/// The positions of a client in all its channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    words: Box<[u32]>,
}

/// What a publication is, in a client's view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// It has come before.
    pub(super) is_duplicate: bool,
    /// It is a new one, and its offset says that it is not.
    pub(super) is_misplaced: bool,
    /// Publications of the channel that should have come before it and have not.
    pub(super) skipped: u64,
    /// The numbers of its publisher that should have come before it and have not.
    pub(super) skipped_numbers: (u32, u32),
}

impl Positions {
    /// Those of so many subscriptions to channels with so many publishers each.
    pub(super) fn new(subscriptions: u32, publishers: usize) -> Self {
        let words = subscriptions as usize * (WORDS + publishers);
        Self { words: vec![0; words].into_boxed_slice() }
    }

    fn of(&mut self, subscription: u32, publishers: usize) -> Option<Position<'_>> {
        let begin = subscription as usize * (WORDS + publishers);
        self.words.get_mut(begin..begin + WORDS + publishers).map(Position)
    }

    /// The position of a subscription; a client without it has no such subscription.
    pub(super) fn at(&mut self, subscription: u32, publishers: usize) -> Option<Position<'_>> {
        self.of(subscription, publishers)
    }

    /// Ends all subscriptions: the connection is gone. Positions stay.
    pub(super) fn leave_all(&mut self, publishers: usize) -> u64 {
        let mut left = 0;
        for words in self.words.chunks_exact_mut(WORDS + publishers) {
            left += u64::from(Position(words).leave());
        }
        left
    }
}

/// One subscription's position.
pub(super) struct Position<'p>(&'p mut [u32]);

impl Position<'_> {
    pub(super) fn offset(&self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 32
    }

    fn set_offset(&mut self, offset: u64) {
        (self.0[0], self.0[1]) = (offset as u32, (offset >> 32) as u32);
    }

    pub(super) fn epoch(&self) -> u32 {
        self.0[2] & EPOCH
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.0[2] & SUBSCRIBED != 0
    }

    /// Whether what is missed can be asked for.
    pub(super) fn recovers(&self) -> bool {
        self.0[2] & RECOVERS != 0
    }

    /// Whether publications have offsets.
    pub(super) fn has_offsets(&self) -> bool {
        self.0[2] & HAS_OFFSETS != 0
    }

    /// Notes that the client is subscribed, from a position on. Without one, publications have no offsets.
    pub(super) fn subscribe(&mut self, position: Option<(u64, u32)>, recovers: bool) {
        let mut word = SUBSCRIBED;
        if let Some((offset, epoch)) = position {
            self.set_offset(offset);
            word |= HAS_OFFSETS | epoch & EPOCH;
        }
        self.0[2] = if recovers { word | RECOVERS } else { word };
    }

    /// Notes what a publisher's next number is, of all publishers of the channel; `None` where nobody knows.
    pub(super) fn expect(&mut self, number: Option<u32>) {
        self.0[WORDS..].fill(number.unwrap_or(UNKNOWN));
    }

    /// Ends the subscription; returns whether there was one.
    pub(super) fn leave(&mut self) -> bool {
        let was = self.is_subscribed();
        self.0[2] &= !SUBSCRIBED;
        was
    }

    /// The number that is expected next of a publisher of the channel, where it is known.
    pub(super) fn next(&self, publisher: usize) -> Option<u32> {
        self.0.get(WORDS + publisher).copied().filter(|next| *next != UNKNOWN)
    }

    /// Takes a publication: its offset, and which publisher of the channel gave it which number; nothing where it is none
    /// of this run's.
    pub(super) fn take(&mut self, offset: u64, number: Option<(usize, u32)>) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some((publisher, number)) = number
            && let Some(next) = self.0.get_mut(WORDS + publisher)
        {
            match *next {
                UNKNOWN => *next = number + 1,
                expected if number < expected => verdict.is_duplicate = true,
                expected => {
                    verdict.skipped_numbers = (expected, number);
                    *next = number + 1;
                }
            }
        }
        if self.has_offsets() {
            let last = self.offset();
            if offset > last {
                verdict.skipped = if verdict.is_duplicate { 0 } else { offset - last - 1 };
                self.set_offset(offset);
            } else if number.is_some() {
                verdict.is_misplaced = !verdict.is_duplicate;
            } else {
                verdict.is_duplicate = true;
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribed(position: Option<(u64, u32)>, publishers: usize) -> Positions {
        let mut positions = Positions::new(2, publishers);
        let mut at = positions.at(1, publishers).expect("the second");
        at.subscribe(position, true);
        at.expect(Some(0));
        positions
    }

    fn taken(positions: &mut Positions, offset: u64, number: Option<(usize, u32)>) -> Verdict {
        positions.at(1, 1).expect("the second").take(offset, number)
    }

    #[test]
    fn publications_in_order_are_right() {
        let mut positions = subscribed(Some((u64::from(u32::MAX) - 1, 7)), 1);
        for number in 0..4 {
            let offset = u64::from(u32::MAX) + u64::from(number);
            let verdict = taken(&mut positions, offset, Some((0, number)));
            assert_eq!(verdict, Verdict { skipped_numbers: (number, number), ..Verdict::default() });
        }
        assert_eq!(taken(&mut positions, u64::from(u32::MAX) + 4, None), Verdict::default(), "somebody else's");
        let at = positions.at(1, 1).expect("the second");
        assert_eq!((at.offset(), at.epoch(), at.next(0)), (u64::from(u32::MAX) + 4, 7, Some(4)));
    }

    #[test]
    fn what_is_skipped_comes_again_or_has_a_wrong_offset_is_told_apart() {
        let mut positions = subscribed(Some((10, 7)), 1);
        assert_eq!(taken(&mut positions, 13, Some((0, 2))).skipped, 2);
        assert!(taken(&mut positions, 13, Some((0, 2))).is_duplicate);
        assert!(taken(&mut positions, 14, Some((0, 2))).is_duplicate, "with another offset");
        let misplaced = taken(&mut positions, 14, Some((0, 3)));
        assert!(misplaced.is_misplaced && !misplaced.is_duplicate, "{misplaced:?}");
        assert!(taken(&mut positions, 0, Some((0, 4))).is_misplaced, "without an offset");
        assert!(taken(&mut positions, 14, None).is_duplicate, "somebody else's");
        let lost_before_it_had_an_offset = taken(&mut positions, 15, Some((0, 7)));
        assert_eq!((lost_before_it_had_an_offset.skipped, lost_before_it_had_an_offset.skipped_numbers), (0, (5, 7)));
    }

    #[test]
    fn without_offsets_the_publishers_numbers_tell() {
        let mut positions = subscribed(None, 1);
        assert_eq!(taken(&mut positions, 0, Some((0, 0))).skipped_numbers, (0, 0));
        assert_eq!(taken(&mut positions, 0, Some((0, 3))).skipped_numbers, (1, 3));
        assert!(taken(&mut positions, 0, Some((0, 3))).is_duplicate);
        positions.at(1, 1).expect("the second").expect(None);
        assert_eq!(taken(&mut positions, 0, Some((0, 9))), Verdict::default(), "the first after a return");
    }

    #[test]
    fn each_publisher_of_a_channel_counts_for_itself() {
        let mut positions = subscribed(None, 2);
        let mut at = positions.at(1, 2).expect("the second");
        assert_eq!(at.take(0, Some((1, 0))).skipped_numbers, (0, 0));
        assert_eq!(at.take(0, Some((0, 0))).skipped_numbers, (0, 0));
        assert!(at.take(0, Some((1, 0))).is_duplicate);
        assert_eq!(at.take(0, Some((2, 5))), Verdict::default(), "there is no such publisher");
    }

    #[test]
    fn a_position_outlives_the_connection() {
        let mut positions = subscribed(Some((10, 7)), 1);
        assert_eq!(positions.leave_all(1), 1);
        assert_eq!(positions.leave_all(1), 0);
        let at = positions.at(1, 1).expect("the second");
        assert!(!at.is_subscribed() && at.recovers() && at.has_offsets());
        assert_eq!((at.offset(), at.epoch()), (10, 7));
        assert_eq!(size_of::<Positions>() + 4 * (WORDS + 1), 32, "bytes of a client with one channel");
    }
}
