//! That what arrives in small pieces does not cost more than its size: bytes looked at are counted, not time.

use std::cell::Cell;

use super::{Commands, Replies};
use crate::{Codec, Decoded};

thread_local! {
    static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

/// Notes that so many bytes were looked at.
pub(super) fn looked_at(bytes: usize) {
    LOOKED_AT.with(|total| total.set(total.get() + bytes));
}

/// How many bytes are looked at when `stream` arrives in pieces of `size` bytes. It is one message, or the beginning
/// of one.
fn cost<C: Codec>(codec: &C, mut stream: Vec<u8>, size: usize) -> usize {
    LOOKED_AT.set(0);
    let mut state = C::State::default();
    let len = stream.len();
    for end in (size..len).step_by(size) {
        let decoded = codec.decode(&mut state, &mut stream[..end]);
        assert!(matches!(decoded, Ok(Decoded::Partial { .. })), "the stream is no longer than {end} bytes");
    }
    assert!(codec.decode(&mut state, &mut stream).is_ok());
    LOOKED_AT.get()
}

#[test]
fn a_million_words_in_small_pieces_are_walked_through_twice() {
    let stream = ["*1000000\r\n", &"$1\r\nx\r\n".repeat(1_000_000)].concat().into_bytes();
    let whole = stream.len();
    assert!(cost(&Commands::new(), stream.clone(), whole) <= whole);
    for size in [100, 1024, 100_000] {
        let cost = cost(&Commands::new(), stream.clone(), size);
        // A word that is cut is looked at again with the next piece.
        assert!(cost <= 2 * whole + 7 * (whole / size + 1), "{cost} bytes looked at of {whole}");
    }
}

#[test]
fn a_million_values_in_small_pieces_are_walked_through_twice() {
    let stream = ["*1000\r\n", &["%500\r\n", &"+x\r\n:1\r\n".repeat(500)].concat().repeat(1_000)].concat().into_bytes();
    let whole = stream.len();
    for size in [100, 1024, 100_000] {
        let cost = cost(&Replies::new(), stream.clone(), size);
        assert!(cost <= 2 * whole + 7 * (whole / size + 1), "{cost} bytes looked at of {whole}");
    }
}

#[test]
fn lines_that_arrive_byte_by_byte_are_searched_once() {
    let line = |start: &str| [start, &"1".repeat(60_000)].concat().into_bytes();
    for start in ["*", "*1\r\n$", "x"] {
        let cost = cost(&Commands::new(), line(start), 1);
        // A number is read up to its tenth digit before it is taken for an unusual one.
        assert!(cost <= 13 * 60_000, "{cost} bytes looked at behind {start}");
    }
    for start in ["+", "*1\r\n+"] {
        let cost = cost(&Replies::new(), line(start), 1);
        assert!(cost <= 2 * 60_000, "{cost} bytes looked at behind {start}");
    }
}
