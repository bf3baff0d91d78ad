//! What the slab promises to the reactor, by example and against a map.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::{SLOTS_PER_CHUNK, Slab, Slot};

const CHUNK: u32 = SLOTS_PER_CHUNK as u32;

fn filled(count: u32) -> Slab<u32> {
    let mut slab = Slab::new();
    for value in 0..count {
        assert_eq!(slab.insert(value).map(|(index, _)| index), Some(value));
    }
    slab
}

#[test]
fn a_value_is_found_under_its_index_until_it_is_removed() {
    let mut slab = Slab::new();
    let (index, generation) = slab.insert(String::from("one")).unwrap();
    assert_ne!(generation, 0);
    assert_eq!(slab.get(index).map(String::as_str), Some("one"));
    slab.get_mut(index).unwrap().push('!');
    assert!(slab.check(index, generation));
    assert_eq!(slab.generation(index), Some(generation));
    assert_eq!(slab.remove(index).as_deref(), Some("one!"));
    assert!(!slab.check(index, generation));
    assert_eq!(slab.generation(index), None);
    assert_eq!(slab.remove(index), None);
    assert!(slab.is_empty());
}

#[test]
fn indexes_that_were_never_given_out_are_answered_with_nothing() {
    let mut slab = filled(1);
    for index in [1, CHUNK, u32::MAX] {
        assert_eq!(slab.get(index), None);
        assert_eq!(slab.get_mut(index), None);
        assert_eq!(slab.remove(index), None);
        assert!(!slab.check(index, 1) && !slab.check(index, 0));
    }
}

#[test]
fn a_slot_used_again_does_not_answer_to_the_old_generation() {
    let mut slab = Slab::new();
    let (index, old) = slab.insert('a').unwrap();
    slab.remove(index);
    let (again, new) = slab.insert('b').unwrap();
    assert_eq!(again, index);
    assert!(slab.check(index, new));
    assert!(!slab.check(index, old));
}

#[test]
fn beyond_the_limit_a_value_is_refused_and_dropped_until_another_leaves() {
    let mut slab = Slab::with_limit(2);
    let value = Arc::new(());
    let (first, _) = slab.insert(value.clone()).unwrap();
    slab.insert(value.clone()).unwrap();
    assert_eq!(slab.insert(value.clone()), None);
    assert_eq!(Arc::strong_count(&value), 3);
    assert_eq!(slab.len(), 2);
    slab.remove(first);
    assert!(slab.insert(value).is_some());
}

#[test]
fn a_limit_of_nothing_allocates_nothing() {
    let mut slab = Slab::with_limit(0);
    assert_eq!(slab.insert(1), None);
    assert_eq!(slab.resident_chunks(), 0);
}

#[test]
fn values_keep_their_address_while_the_slab_grows() {
    let mut slab = filled(1);
    let before = std::ptr::from_ref(slab.get(0).unwrap());
    for value in 0..4 * CHUNK {
        slab.insert(value).unwrap();
    }
    assert_eq!(std::ptr::from_ref(slab.get(0).unwrap()), before);
}

#[test]
fn dropping_the_slab_drops_its_values() {
    let value = Arc::new(());
    let mut slab = Slab::new();
    for _ in 0..CHUNK + 1 {
        slab.insert(value.clone()).unwrap();
    }
    slab.remove(3);
    drop(slab);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn chunks_that_empty_are_given_back_but_for_one() {
    let mut slab = filled(4 * CHUNK);
    assert_eq!(slab.resident_chunks(), 4);
    for index in 0..4 * CHUNK {
        slab.remove(index).unwrap();
    }
    assert_eq!(slab.resident_chunks(), 1);
    assert_eq!(slab.insert(7).map(|(index, _)| index / CHUNK), Some(0));
}

#[test]
fn coming_and_going_at_the_edge_of_a_chunk_makes_no_new_one_each_time() {
    let mut slab = filled(CHUNK);
    let (edge, _) = slab.insert(0).unwrap();
    let address = std::ptr::from_ref(slab.get(edge).unwrap());
    for _ in 0..10 {
        slab.remove(edge).unwrap();
        assert_eq!(slab.resident_chunks(), 2);
        assert_eq!(slab.insert(0).map(|(index, _)| index), Some(edge));
        assert_eq!(std::ptr::from_ref(slab.get(edge).unwrap()), address);
    }
}

#[test]
fn a_chunk_in_use_is_filled_before_an_empty_or_a_higher_one() {
    let mut slab = filled(3 * CHUNK);
    for index in 0..CHUNK {
        slab.remove(index).unwrap();
    }
    slab.remove(2 * CHUNK + 5).unwrap();
    slab.remove(CHUNK + 9).unwrap();
    let mut next = || slab.insert(0).map(|(index, _)| index);
    assert_eq!(next(), Some(CHUNK + 9), "the lowest in use");
    assert_eq!(next(), Some(2 * CHUNK + 5), "the other in use");
    assert_eq!(next().map(|index| index / CHUNK), Some(0), "the empty one that was kept");
}

#[test]
fn generations_survive_the_freeing_of_their_chunk() {
    let mut slab = filled(2 * CHUNK);
    let stale: Vec<_> = (0..2 * CHUNK).map(|index| (index, slab.generation(index).unwrap())).collect();
    for round in 0..3 {
        for index in 0..2 * CHUNK {
            slab.remove(index).unwrap();
        }
        assert_eq!(slab.resident_chunks(), 1, "the second chunk went");
        for value in 0..2 * CHUNK {
            slab.insert(value).unwrap();
        }
        for &(index, generation) in &stale {
            assert!(!slab.check(index, generation), "in round {round} at {index}");
        }
    }
}

#[test]
fn a_slot_whose_generations_are_used_up_is_left_out() {
    let mut slab = filled(2);
    if let Slot::Occupied { generation, .. } = &mut slab.directory[0].as_mut().unwrap()[1] {
        *generation = u32::MAX;
    }
    slab.positions[0].newest = u32::MAX;
    slab.remove(1).unwrap();
    for _ in 2..CHUNK {
        assert_ne!(slab.insert(0).map(|(index, _)| index), Some(1));
    }
    assert_eq!(slab.insert(0).map(|(index, _)| index), Some(CHUNK), "the first chunk counts as full");
    // The position has no generation left, so its memory goes and no chunk is ever made there.
    for index in (0..CHUNK).filter(|&index| index != 1) {
        slab.remove(index).unwrap();
    }
    assert_eq!(slab.resident_chunks(), 1);
    assert_eq!(slab.get(0), None);
    for _ in 0..CHUNK {
        let (index, generation) = slab.insert(0).unwrap();
        assert!(index >= CHUNK && generation < u32::MAX);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert {
        count: u32,
    },
    /// Removes `count` of the live values in the order of their indexes, from `from` on, going round.
    Remove {
        from: usize,
        count: usize,
    },
    RemoveAt {
        index: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..900u32).prop_map(|count| Step::Insert { count }),
        1 => (1..4u32).prop_map(|count| Step::Insert { count }),
        3 => (any::<usize>(), 1..1500usize).prop_map(|(from, count)| Step::Remove { from, count }),
        1 => (0..5 * CHUNK).prop_map(|index| Step::RemoveAt { index }),
    ]
}

const LIMIT: u32 = 4 * CHUNK + 100;

fn cases() -> ProptestConfig {
    let cases = if cfg!(miri) { 2 } else { 60 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_slab_holds_what_a_map_would_and_no_stale_handle_is_ever_good_again(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let mut slab = Slab::with_limit(LIMIT);
        let mut live: HashMap<u32, (u32, u64)> = HashMap::new();
        let mut given_out: HashSet<(u32, u32)> = HashSet::new();
        let mut value = 0u64;
        for step in steps {
            let mut gone = Vec::new();
            match step {
                Step::Insert { count } => for _ in 0..count {
                    value += 1;
                    let Some((index, generation)) = slab.insert(value) else {
                        prop_assert_eq!(live.len(), LIMIT as usize);
                        break;
                    };
                    prop_assert_ne!(generation, 0);
                    prop_assert!(given_out.insert((index, generation)), "given out twice");
                    prop_assert!(live.insert(index, (generation, value)).is_none());
                },
                Step::Remove { from, count } => {
                    let mut indexes: Vec<u32> = live.keys().copied().collect();
                    indexes.sort_unstable();
                    let len = indexes.len();
                    gone = (0..count.min(len)).map(|step| indexes[(from % len + step) % len]).collect();
                }
                Step::RemoveAt { index } => gone.push(index),
            }
            for index in gone {
                prop_assert_eq!(slab.remove(index), live.remove(&index).map(|(_, value)| value));
            }

            prop_assert_eq!(slab.len() as usize, live.len());
            let mut indexes: Vec<u32> = live.keys().copied().collect();
            indexes.sort_unstable();
            prop_assert_eq!(slab.iter_indices().collect::<Vec<_>>(), indexes);
            for &(index, generation) in &given_out {
                let known = live.get(&index).filter(|&&(current, _)| current == generation);
                prop_assert_eq!(slab.check(index, generation), known.is_some());
            }
            for (&index, &(generation, value)) in &live {
                prop_assert_eq!(slab.generation(index), Some(generation));
                prop_assert_eq!(slab.get(index), Some(&value));
                prop_assert_eq!(slab.get_mut(index).copied(), Some(value));
            }
            let in_use: HashSet<u32> = live.keys().map(|index| index / CHUNK).collect();
            prop_assert!(slab.resident_chunks() <= in_use.len() + 1, "more than one empty chunk");
        }
    }
}
