//! A small hash: its fields and values behind each other in one heap block.

use super::Pair;
use crate::store::entry::block;

/// The most fields, as Redis's `hash-max-listpack-entries`.
const MAX_FIELDS: u8 = 128;

/// The longest field or value in bytes, as Redis's `hash-max-listpack-value`. Lengths take a byte each.
const MAX_BYTES: usize = 64;

/// The number of fields, then each field and its value in the order in which they were added, each with its length in
/// front. Without fields there may be no byte at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    /// Whether it can hold such a field and value at all.
    pub(super) fn takes(field: &[u8], value: &[u8]) -> bool {
        field.len() <= MAX_BYTES && value.len() <= MAX_BYTES
    }

    pub(super) fn cost(&self) -> usize {
        block(self.0.capacity())
    }

    pub(super) fn len(&self) -> usize {
        self.0.first().copied().unwrap_or_default().into()
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(other, _)| *other == field).map(|(_, value)| value)
    }

    /// Makes room for pairs that fit.
    pub(super) fn reserve<'a>(&mut self, pairs: impl Iterator<Item = Pair<'a>>) {
        let bytes = pairs.take(MAX_FIELDS.into()).map(size).sum();
        if self.0.is_empty() {
            self.0.reserve_exact(usable(1 + bytes));
            self.0.push(0);
        }
        // A field that is there already needs no more room: most changes are such.
        if self.len() == 0 {
            self.make_room(bytes);
        }
    }

    /// Sets a field that fits; says whether it was not there before. `None` where no more fields fit.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8]) -> Option<bool> {
        let Some((_, start)) = self.find(field) else { return self.push(field, value).then_some(true) };
        let old = usize::from(self.0[start]);
        if old == value.len() {
            self.0[start + 1..][..old].copy_from_slice(value);
        } else {
            self.make_room(value.len().saturating_sub(old));
            self.0[start] = value.len() as u8;
            self.0.splice(start + 1..start + 1 + old, value.iter().copied());
        }
        Some(false)
    }

    fn push(&mut self, field: &[u8], value: &[u8]) -> bool {
        if self.len() == usize::from(MAX_FIELDS) {
            return false;
        }
        if self.0.is_empty() {
            self.0.reserve_exact(usable(1 + size((field, value))));
            self.0.push(0);
        }
        self.make_room(size((field, value)));
        for text in [field, value] {
            self.0.push(text.len() as u8);
            self.0.extend_from_slice(text);
        }
        self.0[0] += 1;
        true
    }

    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        let Some((start, value)) = self.find(field) else { return false };
        let end = value + 1 + usize::from(self.0[value]);
        self.0.drain(start..end);
        self.0[0] -= 1;
        if self.0.len() < self.0.capacity() / 2 {
            self.0.shrink_to(usable(self.0.len()));
        }
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Pair<'_>> {
        let mut rest = self.0.get(1..).unwrap_or_default();
        std::iter::from_fn(move || {
            let field = split(&mut rest)?;
            Some((field, split(&mut rest)?))
        })
    }

    /// Where a field with its length begins, and where its value does.
    fn find(&self, field: &[u8]) -> Option<(usize, usize)> {
        let mut start = 1;
        while let Some(len) = self.0.get(start) {
            let value = start + 1 + usize::from(*len);
            if self.0[start + 1..value] == *field {
                return Some((start, value));
            }
            start = value + 1 + usize::from(self.0[value]);
        }
        None
    }

    fn make_room(&mut self, bytes: usize) {
        let (len, need) = (self.0.len(), self.0.len() + bytes);
        if need > self.0.capacity() {
            // An eighth more: doubling would leave half of the memory empty.
            self.0.reserve_exact(usable(need + need / 8) - len);
        }
    }
}

/// Takes a text with its length off the front.
fn split<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, texts) = rest.split_first()?;
    let (text, behind) = texts.split_at_checked((*len).into())?;
    *rest = behind;
    Some(text)
}

/// Bytes of a pair with its lengths.
fn size((field, value): Pair<'_>) -> usize {
    2 + field.len() + value.len()
}

/// Bytes that fit into the block that the allocator takes for so many.
fn usable(bytes: usize) -> usize {
    block(bytes) - 8
}
