//! Hashes against a model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Bytes = Vec<u8>;

#[derive(Clone, Debug)]
enum Step {
    Set(Bytes, Bytes),
    Prepare(Vec<(Bytes, Bytes)>),
    Remove(Bytes),
    /// Removes all fields but so many.
    Thin(usize),
}

fn field() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        40 => (0..400u32).prop_map(|number| format!("field{number}").into_bytes()),
        1 => Just(Bytes::new()),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![60 => 0..=64usize, 1 => 65..300usize].prop_map(|len| vec![len as u8; len])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (field(), value()).prop_map(|(field, value)| Step::Set(field, value)),
        5 => prop::collection::vec((field(), value()), 0..9).prop_map(Step::Prepare),
        20 => field().prop_map(Step::Remove),
        1 => (0..200usize).prop_map(Step::Thin),
    ]
}

/// What the hash answers is what the model does.
fn compare(hash: &Hash, model: &BTreeMap<Bytes, Bytes>) {
    assert_eq!(hash.len(), model.len());
    assert_eq!(hash.is_empty(), model.is_empty());
    let pairs: BTreeMap<Bytes, Bytes> = hash.iter().map(|(field, value)| (field.into(), value.into())).collect();
    assert_eq!(&pairs, model);
    let picks = hash.picks();
    let picked: BTreeSet<&[u8]> = (0..hash.len()).map(|number| picks.at(number).0).collect();
    assert_eq!(picked.len(), model.len());
    match &hash.0 {
        Body::Packed(packed) => {
            assert!(packed.len() <= 128);
            assert!(packed.iter().all(|(field, value)| Packed::takes(field, value)));
        }
        Body::Table(table) => table.check(),
    }
}

proptest! {
    #[test]
    fn a_hash_holds_what_a_map_does(steps in prop::collection::vec(step(), 1..800)) {
        let (mut hash, mut model) = (Hash::default(), BTreeMap::new());
        for step in steps {
            let large = hash.encoding() == "hashtable";
            match step {
                Step::Set(field, value) => {
                    prop_assert_eq!(hash.set(&field, &value), model.insert(field, value).is_none());
                }
                Step::Prepare(pairs) => {
                    hash.prepare(pairs.iter().map(|(field, value)| (&field[..], &value[..])));
                }
                Step::Remove(field) => {
                    prop_assert_eq!(hash.get(&field).is_some(), model.contains_key(&field));
                    prop_assert_eq!(hash.remove(&field), model.remove(&field).is_some());
                }
                Step::Thin(left) => {
                    while model.len() > left {
                        let Some((field, value)) = model.pop_first() else { break };
                        prop_assert_eq!(hash.get(&field), Some(&value[..]));
                        prop_assert!(hash.remove(&field));
                    }
                }
            }
            prop_assert!(!large || hash.encoding() == "hashtable", "a table stays one");
        }
        compare(&hash, &model);
        compare(&hash.clone(), &model);
    }

    #[test]
    fn a_scan_meets_each_field_that_was_there_from_its_beginning_to_its_end(
        churn in prop::collection::vec((any::<bool>(), 0..300u32), 0..600),
        most in 1..40usize,
    ) {
        let mut hash = Hash::default();
        let stays = |number: u32| format!("stays{number}");
        for number in 0..300 {
            hash.set(stays(number).as_bytes(), b"1");
            hash.set(format!("goes{number}").as_bytes(), b"1");
        }
        let (mut cursor, mut met, mut churn) = (0, BTreeSet::new(), churn.into_iter());
        loop {
            let (next, pairs) = hash.scan(cursor, most);
            met.extend(pairs.map(|(field, _)| field.to_vec()));
            if next == 0 {
                break;
            }
            cursor = next;
            for (add, number) in churn.by_ref().take(most) {
                let field = format!("goes{number}");
                if add { hash.set(field.as_bytes(), b"2") } else { hash.remove(field.as_bytes()) };
            }
        }
        prop_assert!((0..300).all(|number| met.contains(stays(number).as_bytes())));
    }
}

#[test]
fn a_small_hash_keeps_its_fields_in_the_order_in_which_they_came() {
    let mut hash = Hash::default();
    for field in ["b", "a", "c"] {
        assert!(hash.set(field.as_bytes(), b"old"));
    }
    assert!(!hash.set(b"a", b"a longer value"));
    assert!(hash.remove(b"c"));
    assert!(hash.set(b"", b""));
    let pairs: Vec<_> = hash.iter().collect();
    assert_eq!(pairs, [(&b"b"[..], &b"old"[..]), (b"a", b"a longer value"), (b"", b"")]);
}

#[test]
fn a_hash_is_a_table_from_the_129th_field_or_the_65th_byte_on() {
    let mut hash = Hash::default();
    for number in 0..128 {
        hash.set(format!("{number}").as_bytes(), &[b'x'; 64]);
    }
    assert_eq!(hash.encoding(), "listpack");
    hash.set(b"0", b"a field that was there");
    assert_eq!(hash.encoding(), "listpack");
    hash.set(b"128", b"");
    assert_eq!(hash.encoding(), "hashtable");
    (0..=128).for_each(|number| assert!(hash.remove(format!("{number}").as_bytes())));
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 0));

    let mut hash = Hash::default();
    hash.set(b"field", &[b'x'; 65]);
    assert_eq!(hash.encoding(), "hashtable");
    let mut hash = Hash::default();
    hash.set(&[b'x'; 65], b"value");
    assert_eq!(hash.encoding(), "hashtable");
}

#[test]
fn memory_is_given_back_when_most_fields_are_gone() {
    let mut hash = Hash::default();
    for number in 0..100_000 {
        hash.set(format!("{number}").as_bytes(), &[b'x'; 20]);
    }
    let full = hash.cost();
    // The pair, what finds it, and the gaps in both: parts of the index are tiny here, and so less thrifty.
    assert!((70 * 100_000..85 * 100_000).contains(&full), "{full}");
    (100..100_000).for_each(|number| assert!(hash.remove(format!("{number}").as_bytes())));
    assert!(hash.cost() < full / 100, "{} of {full}", hash.cost());
}

#[test]
fn a_few_short_fields_take_little_more_than_their_bytes() {
    let mut hash = Hash::default();
    hash.prepare([(&b"name"[..], &b"somebody"[..]), (b"age", b"42")].into_iter());
    hash.set(b"name", b"somebody");
    hash.set(b"age", b"42");
    assert_eq!(hash.cost(), 32);
}
