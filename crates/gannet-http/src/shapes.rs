//! How a path finds its route where patterns are simple: by what it has in fixed places, in a table.
//! However many routes there are, a search touches little memory that they do not share: a slot, and what is fixed.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::pattern::{Segment, segments};

/// Segments that a simple pattern may have.
const SEGMENTS: usize = 16;

/// Shapes with the same number of segments: so many tables are searched at most.
const SHAPES: usize = 8;

/// The place of a slot that has none.
const FREE: u32 = u32::MAX;

/// The names of a pattern's parameters and the segments they are.
type Names = Box<[(Box<str>, u8)]>;

/// Simple patterns by their shapes. A pattern is simple if each of its segments is fixed or exactly `{name}`; its shape
/// is their number, and which of them are parameters.
pub(crate) struct Shapes {
    /// By their segments, and where these are as many, in the order of search: where two differ first, what is fixed
    /// goes before a parameter.
    shapes: Box<[Shape]>,
    /// Where those with so many segments or fewer end.
    ends: [usize; SEGMENTS + 1],
    /// What is fixed in each pattern, one behind the other.
    fixed: Vec<u8>,
    /// Each once: many patterns have the same.
    names: Vec<Names>,
}

struct Shape {
    /// Neighbouring segments that are fixed.
    runs: Box<[Range<u8>]>,
    /// A power of two, at least twice as many as there are patterns.
    slots: Box<[Slot]>,
}

/// A pattern, in 16 bytes, so that it is never in two lines.
#[derive(Clone, Copy)]
struct Slot {
    /// The upper half of the hash of what is fixed.
    tag: u32,
    /// Which route it is.
    place: u32,
    /// Where what is fixed begins, and its length.
    start: u32,
    len: u16,
    /// Which names its parameters have.
    names: u16,
}

/// A pattern while its shape's table is made, with the place of its route.
type Pattern<'p> = (u32, &'p str, Cuts, Names);

impl Shapes {
    /// Whether a pattern is simple, and not too long.
    pub(crate) fn takes(pattern: &str) -> bool {
        Cuts::of(pattern).is_some() && names_of(pattern).is_some() && u16::try_from(pattern.len()).is_ok()
    }

    /// The patterns with the places of their routes: no two that match the same paths. Nothing where one is not
    /// simple, or there are too many shapes.
    pub(crate) fn of<'p>(patterns: &[(u32, &'p str)]) -> Option<Self> {
        // The bits of parameters, the first segment's the highest, are in the order of search.
        let mut groups: BTreeMap<(usize, u16), Vec<Pattern<'p>>> = BTreeMap::new();
        let mut made = Self { shapes: Box::default(), ends: [0; SEGMENTS + 1], fixed: Vec::new(), names: Vec::new() };
        for &(place, pattern) in patterns {
            let cuts = Cuts::of(pattern)?;
            let names = names_of(pattern)?;
            let bits = names.iter().fold(0, |bits: u16, (_, segment)| bits | (0x8000 >> segment));
            groups.entry((cuts.segments, bits)).or_default().push((place, pattern, cuts, names));
        }
        let mut shapes = Vec::with_capacity(groups.len());
        for ((segments, bits), patterns) in groups {
            let mut runs: Vec<Range<u8>> = Vec::new();
            for segment in (0..segments as u8).filter(|segment| bits & (0x8000 >> segment) == 0) {
                match runs.last_mut() {
                    Some(run) if run.end == segment => run.end += 1,
                    _ => runs.push(segment..segment + 1),
                }
            }
            let free = Slot { tag: 0, place: FREE, start: 0, len: 0, names: 0 };
            let slots = vec![free; (2 * patterns.len()).next_power_of_two()].into_boxed_slice();
            let mut shape = Shape { runs: runs.into(), slots };
            for (place, pattern, cuts, names) in patterns {
                let names = made.names_at(names)?;
                let start = u32::try_from(made.fixed.len()).ok()?;
                made.fixed.extend(shape.runs(pattern, &cuts).flatten());
                let len = u16::try_from(made.fixed.len() - start as usize).ok()?;
                let hash = shape.hash(pattern, &cuts);
                shape.put(hash, Slot { tag: (hash >> 32) as u32, place, start, len, names });
            }
            shapes.push(shape);
            made.ends[segments..].fill(shapes.len());
            if made.ends[segments] - made.ends[segments - 1] > SHAPES {
                return None;
            }
        }
        made.shapes = shapes.into();
        Some(made)
    }

    /// Where names are that may be there already.
    fn names_at(&mut self, names: Names) -> Option<u16> {
        let at = self.names.iter().position(|known| *known == names).unwrap_or(self.names.len());
        if at == self.names.len() {
            self.names.push(names);
        }
        u16::try_from(at).ok()
    }

    /// The place of a path's route, and its parameters.
    #[inline]
    pub(crate) fn at<'a>(&'a self, path: &'a str) -> Option<(u32, Params<'a>)> {
        let cuts = Cuts::of(path)?;
        for shape in &self.shapes[self.ends[cuts.segments - 1]..self.ends[cuts.segments]] {
            let Some(slot) = shape.find(&self.fixed, path, &cuts) else { continue };
            let names = &self.names[usize::from(slot.names)];
            if names.iter().all(|&(_, segment)| !cuts.segment(path, segment).is_empty()) {
                return Some((slot.place, Params { names, path, cuts }));
            }
        }
        None
    }
}

impl Shape {
    /// What a path has where this shape is fixed: each with the slash before it, so that the runs of two paths are
    /// the same if they are one behind the other.
    #[inline]
    fn runs<'a>(&self, path: &'a str, cuts: &Cuts) -> impl Iterator<Item = &'a [u8]> {
        let cut = |at: u8| cuts.at[usize::from(at)] as usize;
        self.runs.iter().map(move |run| &path.as_bytes()[cut(run.start)..cut(run.end)])
    }

    #[inline]
    fn hash(&self, path: &str, cuts: &Cuts) -> u64 {
        self.runs(path, cuts).fold(0, hash)
    }

    fn put(&mut self, hash: u64, slot: Slot) {
        let (mut at, mask) = (hash as usize, self.slots.len() - 1);
        while self.slots[at & mask].place != FREE {
            at = at.wrapping_add(1);
        }
        self.slots[at & mask] = slot;
    }

    #[inline]
    fn find(&self, fixed: &[u8], path: &str, cuts: &Cuts) -> Option<&Slot> {
        let hash = self.hash(path, cuts);
        let (mut at, mask) = (hash as usize, self.slots.len() - 1);
        loop {
            let slot = &self.slots[at & mask];
            if slot.place == FREE {
                return None;
            }
            if slot.tag == (hash >> 32) as u32 {
                let fixed = &fixed[slot.start as usize..][..usize::from(slot.len)];
                let left = self.runs(path, cuts).try_fold(fixed, |left, run| left.strip_prefix(run));
                if left.is_some_and(<[u8]>::is_empty) {
                    return Some(slot);
                }
            }
            at = at.wrapping_add(1);
        }
    }
}

/// The parameters of a path.
pub(crate) struct Params<'a> {
    names: &'a [(Box<str>, u8)],
    path: &'a str,
    cuts: Cuts,
}

impl<'a> Params<'a> {
    /// What the path has in the place of the first parameter of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let (_, segment) = self.names.iter().find(|(known, _)| **known == *name)?;
        Some(self.cuts.segment(self.path, *segment))
    }

    /// Names and values, in the pattern's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.names.iter().map(|(name, segment)| (&**name, self.cuts.segment(self.path, *segment)))
    }
}

/// Where the slashes of a path are, and its end.
struct Cuts {
    at: [u32; SEGMENTS + 1],
    segments: usize,
}

impl Cuts {
    /// Nothing where a path does not begin with a slash, or has more segments than a simple pattern may have.
    #[inline]
    fn of(path: &str) -> Option<Self> {
        if !path.starts_with('/') {
            return None;
        }
        let mut cuts = Self { at: [0; SEGMENTS + 1], segments: 0 };
        for (word, bytes) in path.as_bytes().chunks(8).enumerate() {
            let mut slashes = slashes(little_endian(bytes));
            while slashes != 0 {
                *cuts.at.get_mut(cuts.segments)? = 8 * word as u32 + slashes.trailing_zeros() / 8;
                cuts.segments += 1;
                slashes &= slashes - 1;
            }
        }
        *cuts.at.get_mut(cuts.segments)? = u32::try_from(path.len()).ok()?;
        Some(cuts)
    }

    #[inline]
    fn segment<'a>(&self, path: &'a str, segment: u8) -> &'a str {
        let at = usize::from(segment);
        &path[self.at[at] as usize + 1..self.at[at + 1] as usize]
    }
}

/// Up to eight bytes as a number, the first one lowest.
#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    if let Ok(bytes) = bytes.try_into() {
        return u64::from_le_bytes(bytes);
    }
    match (bytes.first_chunk(), bytes.last_chunk()) {
        // Bytes in both are in the same place twice.
        (Some(&low), Some(&high)) => {
            u64::from(u32::from_le_bytes(low)) | (u64::from(u32::from_le_bytes(high)) << (8 * (bytes.len() - 4)))
        }
        _ => bytes.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)),
    }
}

/// The highest bit of each byte that is a slash.
fn slashes(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    let other = word ^ u64::from_ne_bytes([b'/'; 8]);
    !(((other & LOW) + LOW) | other | LOW)
}

/// Goes on with a hash. Nobody outside can choose what is in the tables, so it need not withstand anybody.
#[inline]
fn hash(hash: u64, run: &[u8]) -> u64 {
    // Digits of the golden ratio, an odd number whose bits have no order, and of π.
    let start = hash.wrapping_add(run.len() as u64) ^ 0x243f_6a88_85a3_08d3;
    run.chunks(8).fold(start, |hash, bytes| {
        let product = u128::from(hash ^ little_endian(bytes)) * 0x9e37_79b9_7f4a_7c15;
        product as u64 ^ (product >> 64) as u64
    })
}

/// The parameters of a simple pattern.
fn names_of(pattern: &str) -> Option<Names> {
    let mut names = Vec::new();
    for (at, segment) in segments(pattern).enumerate() {
        match segment {
            Segment::Fixed(_) => {}
            Segment::Param(name) => names.push((name.into(), u8::try_from(at).ok()?)),
            Segment::Affixed | Segment::Rest => return None,
        }
    }
    Some(names.into())
}

#[cfg(test)]
mod tests;
