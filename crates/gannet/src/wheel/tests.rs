//! What the wheel promises to the reactor, by example and against a model that is plainly right.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Entries, Links, Tick, Wheel};

struct Table(Vec<Links>);

impl Table {
    fn new(len: usize) -> Self {
        Self((0..len).map(|_| Links::default()).collect())
    }
}

impl Entries for Table {
    fn links(&mut self, index: u32) -> &mut Links {
        &mut self.0[index as usize]
    }
}

fn advance(wheel: &mut Wheel, table: &mut Table, now: u32) -> Vec<u32> {
    let mut expired = Vec::new();
    wheel.advance(table, Tick(now), &mut expired);
    expired
}

#[test]
fn ticks_compare_across_the_wrap() {
    let late = Tick(u32::MAX - 5);
    let early = late.after(10);
    assert_eq!(early, Tick(4));
    assert!(late.is_before(early));
    assert!(!early.is_before(late));
    assert!(!late.is_before(late));
    assert_eq!(early.since(late), 10);
}

#[test]
fn a_delay_is_cut_to_what_ticks_can_tell_from_the_past() {
    let now = Tick(77);
    assert_eq!(now.after(u32::MAX).since(now), Tick::MAX_DELAY);
    assert!(now.is_before(now.after(u32::MAX)));
}

#[test]
fn an_entry_fires_at_its_deadline_and_not_a_tick_before() {
    for delay in [1, 255, 256, 257, 65_535, 65_536, 1 << 24, Tick::MAX_DELAY] {
        for start in [0, 1, 255, 256, 0x00FF_FFFF, u32::MAX - 1, u32::MAX] {
            let (mut wheel, mut table) = (Wheel::new(Tick(start)), Table::new(1));
            let deadline = Tick(start).after(delay);
            wheel.schedule(&mut table, 0, deadline);
            let before = deadline.0.wrapping_sub(1);
            assert!(advance(&mut wheel, &mut table, before).is_empty());
            assert!(table.0[0].is_scheduled());
            assert_eq!(advance(&mut wheel, &mut table, deadline.0), [0]);
            assert!(!table.0[0].is_scheduled());
            assert_eq!(wheel.len(), 0);
        }
    }
}

#[test]
fn a_deadline_that_has_passed_fires_at_the_next_advance_even_to_the_same_moment() {
    let (mut wheel, mut table) = (Wheel::new(Tick(1000)), Table::new(3));
    wheel.schedule(&mut table, 0, Tick(1000));
    wheel.schedule(&mut table, 1, Tick(3));
    wheel.schedule(&mut table, 2, Tick(1001));
    assert_eq!(wheel.next_deadline(), Some(Tick(1000)));
    let mut expired = advance(&mut wheel, &mut table, 1000);
    expired.sort_unstable();
    assert_eq!(expired, [0, 1]);
    assert_eq!(wheel.next_deadline(), Some(Tick(1001)));
}

#[test]
fn the_longest_delay_counted_from_a_clock_ahead_of_the_wheel_is_still_the_future() {
    let (mut wheel, mut table) = (Wheel::new(Tick(0)), Table::new(1));
    let deadline = Tick(60_000).after(u32::MAX);
    wheel.schedule(&mut table, 0, deadline);
    assert!(advance(&mut wheel, &mut table, 60_000).is_empty());
    assert!(advance(&mut wheel, &mut table, deadline.0 - 1).is_empty());
    assert_eq!(advance(&mut wheel, &mut table, deadline.0), [0]);
}

#[test]
fn an_entry_cancelled_after_time_moved_on_leaves_its_neighbours_in_place() {
    let (mut wheel, mut table) = (Wheel::new(Tick(0)), Table::new(3));
    for index in 0..3 {
        wheel.schedule(&mut table, index, Tick(300));
    }
    // From here a deadline of 300 would go to another level than it did.
    assert!(advance(&mut wheel, &mut table, 100).is_empty());
    wheel.cancel(&mut table, 2);
    wheel.cancel(&mut table, 0);
    wheel.cancel(&mut table, 0);
    assert_eq!(wheel.len(), 1);
    assert_eq!(advance(&mut wheel, &mut table, 300), [1]);
}

#[test]
fn an_emptied_wheel_has_no_next_deadline() {
    let (mut wheel, mut table) = (Wheel::new(Tick(9)), Table::new(1));
    for delay in [0, 1, 300, 70_000, 1 << 25] {
        wheel.schedule(&mut table, 0, Tick(9).after(delay));
        wheel.cancel(&mut table, 0);
        assert_eq!(wheel.next_deadline(), None);
        assert_eq!(wheel.len(), 0);
    }
}

#[test]
fn a_moved_entry_fires_once_at_the_new_deadline() {
    let (mut wheel, mut table) = (Wheel::new(Tick(0)), Table::new(1));
    wheel.schedule(&mut table, 0, Tick(10));
    wheel.schedule(&mut table, 0, Tick(5000));
    assert_eq!(wheel.len(), 1);
    assert_eq!(table.0[0].deadline(), Tick(5000));
    assert!(advance(&mut wheel, &mut table, 4999).is_empty());
    assert_eq!(advance(&mut wheel, &mut table, 5000), [0]);
}

#[test]
fn entries_fire_in_the_order_of_their_ticks_after_a_long_stall() {
    let (mut wheel, mut table) = (Wheel::new(Tick(50)), Table::new(6));
    for (index, delay) in [70_000, 3, 20_000_000, 256, 255, 65_600].into_iter().enumerate() {
        wheel.schedule(&mut table, index as u32, Tick(50).after(delay));
    }
    let expired = advance(&mut wheel, &mut table, 4_000_000_000 / 2);
    assert_eq!(expired, [1, 4, 3, 5, 0, 2]);
}

#[test]
fn a_moment_behind_the_wheel_does_not_turn_it_back() {
    let (mut wheel, mut table) = (Wheel::new(Tick(1000)), Table::new(1));
    wheel.schedule(&mut table, 0, Tick(1100));
    assert!(advance(&mut wheel, &mut table, 900).is_empty());
    assert_eq!(wheel.next_deadline(), Some(Tick(1100)));
    assert_eq!(advance(&mut wheel, &mut table, 1100), [0]);
}

#[test]
fn an_empty_wheel_follows_a_jump_of_any_length() {
    let (mut wheel, mut table) = (Wheel::new(Tick(1000)), Table::new(1));
    assert!(advance(&mut wheel, &mut table, 900).is_empty());
    wheel.schedule(&mut table, 0, Tick(901));
    assert!(advance(&mut wheel, &mut table, 900).is_empty());
    assert_eq!(advance(&mut wheel, &mut table, 901), [0]);
}

#[derive(Clone, Debug)]
enum Step {
    Schedule { index: u32, delay: i64 },
    Cancel { index: u32 },
    Advance { by: u32 },
    AdvanceToNext,
}

/// Distances of every level, with the boundaries of the levels more often than chance would have them.
fn distance() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..4u32,
        0..600u32,
        0..140_000u32,
        0..40_000_000u32,
        0..=Tick::MAX_DELAY,
        (0..31u32, 0..3u32).prop_map(|(bit, off)| ((1u32 << bit) + off).saturating_sub(1)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = 0..ENTRIES;
    prop_oneof![
        4 => (index.clone(), distance())
            .prop_map(|(index, delay)| Step::Schedule { index, delay: i64::from(delay) }),
        1 => (index.clone(), 0..100_000i64)
            .prop_map(|(index, late)| Step::Schedule { index, delay: -late }),
        1 => index.prop_map(|index| Step::Cancel { index }),
        2 => distance().prop_map(|by| Step::Advance { by }),
        2 => Just(Step::AdvanceToNext),
    ]
}

const ENTRIES: u32 = 24;

/// The wheel beside a map, with time in 64 bits so that the model knows no wrap.
struct Pair {
    wheel: Wheel,
    table: Table,
    now: i64,
    model: BTreeMap<u32, i64>,
}

impl Pair {
    fn new(start: u32) -> Self {
        Self {
            wheel: Wheel::new(Tick(start)),
            table: Table::new(ENTRIES as usize),
            // One turn in, so that a deadline in the past is never negative.
            now: i64::from(start) + (1 << 32),
            model: BTreeMap::new(),
        }
    }

    fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Schedule { index, delay } => {
                let deadline = self.now + delay;
                self.wheel.schedule(&mut self.table, index, Tick(deadline as u32));
                self.model.insert(index, deadline);
                prop_assert_eq!(self.table.links(index).deadline(), Tick(deadline as u32), "the deadline is kept");
            }
            Step::Cancel { index } => {
                self.wheel.cancel(&mut self.table, index);
                self.model.remove(&index);
            }
            Step::Advance { by } => {
                self.advance(self.now + i64::from(by))?;
            }
            Step::AdvanceToNext => {
                if let Some(ahead) = self.next()? {
                    self.advance(self.now + ahead)?;
                }
            }
        }
        self.check()
    }

    /// Advances both and gives how many fired.
    fn advance(&mut self, now: i64) -> Result<usize, TestCaseError> {
        let began = std::mem::replace(&mut self.now, now);
        let mut expired = Vec::new();
        self.wheel.advance(&mut self.table, Tick(now as u32), &mut expired);
        let deadlines: Vec<i64> = expired
            .iter()
            .map(|index| self.model.get(index).map_or(i64::MAX, |&deadline| deadline.max(began)))
            .collect();
        prop_assert!(deadlines.is_sorted(), "not in the order of ticks: {:?}", deadlines);
        expired.sort_unstable();
        let due: Vec<u32> =
            self.model.iter().filter(|&(_, &deadline)| deadline <= now).map(|(&index, _)| index).collect();
        prop_assert_eq!(&expired, &due);
        self.model.retain(|_, deadline| *deadline > now);
        Ok(expired.len())
    }

    /// How far ahead the wheel's next deadline is, checked against the true one.
    fn next(&self) -> Result<Option<i64>, TestCaseError> {
        let earliest = self.model.values().min();
        let next = self.wheel.next_deadline();
        prop_assert_eq!(next.is_some(), earliest.is_some());
        let (Some(next), Some(&earliest)) = (next, earliest) else {
            return Ok(None);
        };
        let ahead = i64::from(next.since(Tick(self.now as u32)));
        prop_assert!(ahead <= (earliest - self.now).max(0), "later than the earliest");
        prop_assert!(ahead > 0 || earliest <= self.now, "a busy loop: now, and nothing due");
        Ok(Some(ahead))
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.wheel.len(), self.model.len());
        for index in 0..ENTRIES {
            let scheduled = self.table.links(index).is_scheduled();
            prop_assert_eq!(scheduled, self.model.contains_key(&index));
        }
        self.next().map(drop)
    }
}

fn cases() -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { 600 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn start() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (0..1000u32).prop_map(|before| u32::MAX - before)]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_wheel_fires_what_a_plain_map_of_deadlines_would(
        start in start(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut pair = Pair::new(start);
        for step in &steps {
            pair.apply(step)?;
        }
    }

    #[test]
    fn going_from_next_deadline_to_next_deadline_fires_the_earliest_within_four_steps(
        start in start(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut pair = Pair::new(start);
        for step in &steps {
            pair.apply(step)?;
        }
        while let Some(mut ahead) = pair.next()? {
            let mut advances = 1;
            while pair.advance(pair.now + ahead)? == 0 {
                advances += 1;
                prop_assert!(advances <= 4, "no entry fired in four advances");
                ahead = pair.next()?.unwrap();
            }
        }
        prop_assert_eq!(pair.wheel.len(), 0);
    }

    #[test]
    fn next_deadline_is_exact_for_what_was_scheduled_less_than_256_ms_ahead(
        start in start(),
        delays in prop::collection::vec(1..256u32, 1..20),
    ) {
        let (mut wheel, mut table) = (Wheel::new(Tick(start)), Table::new(20));
        for (index, &delay) in delays.iter().enumerate() {
            wheel.schedule(&mut table, index as u32, Tick(start).after(delay));
        }
        let earliest = delays.iter().min().copied().unwrap();
        prop_assert_eq!(wheel.next_deadline(), Some(Tick(start).after(earliest)));
    }
}
