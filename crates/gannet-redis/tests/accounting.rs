//! What the store says it takes is what the process grows by. Alone in its process, so that nothing else grows in it.
#![cfg(target_os = "linux")]

use std::fs;

use gannet_redis::store::entry::New;
use gannet_redis::store::{Key, Store};

const NOW_MS: u64 = 1_700_000_000_000;

/// Memory of this process that is in use, in bytes.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("the kernel says what a process takes");
    let line = text.lines().find(|line| line.starts_with("Rss:")).expect("a line with it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
}

/// Fills a store with keys, and gives what it says it takes and what the process has grown by.
fn fill(store: &Store, prefix: &str, expires: bool, value_bytes: impl Fn(usize) -> usize) -> (usize, usize) {
    let (said, taken) = (store.bytes(), resident());
    for number in 0..200_000 {
        let name = format!("{prefix}:{number:012}");
        let key = Key::new(name.as_bytes());
        let mut keys = store.lock_one(key);
        let space = keys.space(0, key);
        let slot = space.set(key, New::Bytes(&vec![b'x'; value_bytes(number)]), NOW_MS);
        if expires {
            // In an order of their own, as they come in life.
            let offset_ms = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 3_600_000;
            space.set_deadline(slot, Some(NOW_MS + 1 + offset_ms));
        }
    }
    (store.bytes() - said, resident() - taken)
}

#[test]
fn the_store_takes_as_much_as_it_says() {
    let stores: Vec<Store> = (0..4).map(|_| Store::default()).collect();
    for (store, (prefix, expires, value_bytes)) in stores.iter().zip([
        ("small", false, (|_| 8) as fn(usize) -> usize),
        ("expiring", true, |_| 8),
        ("mixed", false, |number| number % 300),
        ("larger", true, |number| 1000 + number % 1000),
    ]) {
        let (said, taken) = fill(store, prefix, expires, value_bytes);
        println!("{prefix}: {said} bytes said, {taken} taken, {:.3}", said as f64 / taken as f64);
        assert!(said.abs_diff(taken) < taken / 4, "{prefix}: {said} bytes said, {taken} taken");
    }
}
