//! Large parts of replies: values that are not copied, and what is written only when the client takes it.
//!
//! A command writes its reply as text, and notes where in it a large part belongs. What such a part shows is what was there
//! when the command ran, whenever it is read.

use std::mem;

use bytes::Bytes;
use gannet::proto::Sink as _;
use gannet::proto::resp::{Version, Writer};

use super::call::Reply;
use crate::store::hash::{Leased, Picks};
use crate::store::random::Random;

/// Bytes that are written of a part at a time, unless a value is larger.
pub const PIECE_BYTES: usize = 64 << 10;

/// From so many bytes on, fields of a hash are written piece by piece.
pub const LARGE_HASH_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub enum Part {
    /// Bytes that belong to somebody else, too.
    Bytes(Bytes),
    /// Fields of a hash.
    Fields(Box<Fields>),
}

/// The large parts of a reply, each with how much of the text is in front of it.
#[derive(Debug, Default)]
pub struct Parts(Vec<(usize, Part)>);

impl Parts {
    /// Whether the text is all there is.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a part behind what is written so far.
    pub fn push(&mut self, reply: &Reply, part: Part) {
        self.0.push((reply.get_ref().len(), part));
    }

    /// Writes a bulk string that belongs to somebody else, too.
    pub fn bulk(&mut self, reply: &mut Reply, bytes: Bytes) {
        let mut digits = itoa::Buffer::new();
        let out = reply.get_mut();
        out.put(b"$");
        out.put(digits.format(bytes.len()).as_bytes());
        out.put(b"\r\n");
        self.push(reply, Part::Bytes(bytes));
        reply.get_mut().put(b"\r\n");
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all but the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.0.truncate(count);
    }

    /// Text and parts in their order, with nothing left here.
    pub fn drain(&mut self, text: Vec<u8>) -> impl Iterator<Item = Part> {
        let (mut text, mut start) = (Bytes::from(text), 0);
        let parts = mem::take(&mut self.0);
        let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
        for (at, part) in parts {
            if at > start {
                pieces.push(Part::Bytes(text.split_to(at - start)));
                start = at;
            }
            pieces.push(part);
        }
        if !text.is_empty() {
            pieces.push(Part::Bytes(text));
        }
        pieces.into_iter()
    }
}

/// What is shown of each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Its name.
    Names,
    /// Its value.
    Values,
    /// Both.
    Pairs,
    /// Both, as an array of two.
    Nested,
}

/// Fields of a hash, to be written a few at a time.
#[derive(Debug)]
pub struct Fields {
    hash: Leased,
    len: usize,
    shown: Shown,
    order: Order,
}

/// Which fields are shown.
#[derive(Debug)]
enum Order {
    /// All, from this one on.
    All(usize),
    /// So many more, each of which may be any.
    Any(usize, Random),
    /// So many more different ones, from this one on.
    Different(usize, usize, Random),
}

impl Fields {
    /// All fields of a hash with so many.
    #[must_use]
    pub fn all(hash: Leased, len: usize, shown: Shown) -> Self {
        Self { hash, len, shown, order: Order::All(0) }
    }

    /// So many fields, each chosen by chance.
    #[must_use]
    pub fn any(hash: Leased, len: usize, shown: Shown, count: usize, random: Random) -> Self {
        Self { hash, len, shown, order: Order::Any(count, random) }
    }

    /// So many different fields chosen by chance, at most as many as there are.
    #[must_use]
    pub fn different(hash: Leased, len: usize, shown: Shown, count: usize, random: Random) -> Self {
        Self { hash, len, shown, order: Order::Different(count, 0, random) }
    }

    /// The hash, when it has been read: it may take long to drop.
    #[must_use]
    pub fn into_hash(self) -> Leased {
        self.hash
    }

    /// How many fields are still to be written.
    #[must_use]
    pub fn left(&self) -> usize {
        match self.order {
            Order::All(next) => self.len - next,
            Order::Any(left, _) | Order::Different(left, ..) => left,
        }
    }

    /// Writes the next fields.
    pub fn write(&mut self, version: Version, out: Vec<u8>) -> Vec<u8> {
        let mut writer = Writer::new(out, version);
        let picks = self.hash.picks();
        while writer.get_ref().len() < PIECE_BYTES
            && let Some(number) = self.order.next(self.len)
        {
            show(&picks, number, self.shown, &mut writer);
        }
        writer.into_inner()
    }
}

fn show(picks: &Picks<'_>, number: usize, shown: Shown, writer: &mut Reply) {
    let (field, value) = picks.at(number);
    if shown == Shown::Nested {
        writer.array(2);
    }
    if shown != Shown::Values {
        writer.bulk(field);
    }
    if shown != Shown::Names {
        writer.bulk(value);
    }
}

impl Order {
    fn next(&mut self, len: usize) -> Option<usize> {
        match self {
            Self::All(next) => {
                let number = *next;
                *next += 1;
                (number < len).then_some(number).or_else(|| {
                    *next = len;
                    None
                })
            }
            Self::Any(left, random) => {
                *left = left.checked_sub(1)?;
                Some(random.below(len))
            }
            // One after the other is chosen or not, so that each choice of so many is as likely as any other (Knuth's
            // Algorithm S), without a note of which ones were.
            Self::Different(left, next, random) => {
                if *left == 0 {
                    return None;
                }
                while random.below(len - *next) >= *left {
                    *next += 1;
                }
                (*left, *next) = (*left - 1, *next + 1);
                Some(*next - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_of_different_fields_is_about_as_likely_as_any_other() {
        let (mut seed, mut seen) = (Random::new(1), [0; 10]);
        for _ in 0..10_000 {
            let mut order = Order::Different(3, 0, Random::new(seed.number()));
            let chosen: Vec<usize> = std::iter::from_fn(|| order.next(10)).collect();
            assert_eq!(chosen.len(), 3);
            assert!(chosen.is_sorted_by(|one, other| one < other));
            chosen.into_iter().for_each(|number| seen[number] += 1);
        }
        assert!(seen.iter().all(|times| (2_800..3_200).contains(times)), "{seen:?}");
    }

    #[test]
    fn parts_come_where_they_were_put() {
        let (mut reply, mut parts) = (Writer::new(Vec::new(), Version::Resp2), Parts::default());
        reply.array(3);
        parts.bulk(&mut reply, Bytes::from_static(b"one"));
        parts.bulk(&mut reply, Bytes::from_static(b"two"));
        let end = reply.get_ref().len();
        parts.bulk(&mut reply, Bytes::from_static(b"gone"));
        reply.get_mut().truncate(end);
        parts.truncate(2);
        reply.integer(3);
        let all: Vec<u8> = parts
            .drain(reply.into_inner())
            .flat_map(|part| match part {
                Part::Bytes(bytes) => bytes,
                Part::Fields(_) => panic!("there is none"),
            })
            .collect();
        assert_eq!(all, b"*3\r\n$3\r\none\r\n$3\r\ntwo\r\n:3\r\n");
        assert!(parts.is_empty());
    }
}
