//! Bits in a part of a string: how many are set, and where the first one is.

use super::{string_at, words};
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};

/// From one bit to another, both included.
struct Range {
    first: usize,
    last: usize,
}

impl Range {
    /// Bytes in between.
    fn bytes(&self) -> usize {
        (self.last - self.first) / 8 + 1
    }

    /// From one unit to another of a string, as Redis reads them: negative ones count from the end, and what is outside
    /// is moved to the next one inside. `None` where there is no bit in between.
    fn new(first: i64, last: i64, bytes: &[u8], unit_bits: usize) -> Option<Self> {
        let units = (bytes.len() * 8 / unit_bits) as i64;
        let inside = |at: i64| if at < 0 { at.saturating_add(units).max(0) } else { at };
        let (first, last) = (inside(first), inside(last).min(units - 1));
        let (first_unit, last_unit) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        (first <= last).then(|| Self { first: first_unit * unit_bits, last: (last_unit + 1) * unit_bits - 1 })
    }
}

/// How many bits a word says that a unit has.
fn unit_bits(call: &Call<'_, '_, '_>, index: usize) -> Result<usize, Error> {
    match call.args.get(index) {
        None => Ok(8),
        Some(_) if call.is(index, "byte") => Ok(8),
        Some(_) if call.is(index, "bit") => Ok(1),
        Some(_) => Err(Error::SYNTAX),
    }
}

pub(super) fn bitcount(call: &mut Call<'_, '_, '_>) -> Outcome {
    // The words are not looked at where there is nothing to count.
    let key = call.key(1);
    let Some(slot) = call.find_string(key)? else {
        call.reply.integer(0);
        return Ok(());
    };
    let (first, last) = match call.args.len() {
        2 => (0, -1),
        4 | 5 => (call.integer(2)?, call.integer(3)?),
        _ => return Err(Error::SYNTAX),
    };
    // From one unit to another before it, both before the beginning: not the first unit, as elsewhere.
    if first < 0 && last < 0 && first > last {
        call.reply.integer(0);
        return Ok(());
    }
    let unit_bits = unit_bits(call, 4)?;
    let bytes = string_at(call, key, slot);
    let range = Range::new(first, last, bytes, unit_bits);
    let count = range.as_ref().map_or(0, |range| words::count(bytes, range.first, range.last));
    call.count_bytes(range.map_or(0, |range| range.bytes()));
    call.reply.integer(count as i64);
    Ok(())
}

pub(super) fn bitpos(call: &mut Call<'_, '_, '_>) -> Outcome {
    let bit = match call.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(Error::new("ERR The bit argument must be 1 or 0.")),
    };
    // Nothing is a row of zeros without an end, and the words are not looked at.
    let key = call.key(1);
    let Some(slot) = call.find_string(key)? else {
        call.reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let words = call.args.len();
    if words > 6 {
        return Err(Error::SYNTAX);
    }
    let first = if words > 3 { call.integer(3)? } else { 0 };
    let unit_bits = unit_bits(call, 5)?;
    let last = if words > 4 { call.integer(4)? } else { -1 };
    let bytes = string_at(call, key, slot);
    let range = Range::new(first, last, bytes, unit_bits);
    let first = range.as_ref().and_then(|range| words::first(bytes, bit, range.first, range.last));
    let found = match first {
        // Behind the end there are zeros, unless the client said where the end is.
        None if range.is_some() && !bit && words < 5 => Some(bytes.len() * 8),
        found => found,
    };
    call.count_bytes(range.map_or(0, |range| first.map_or(range.bytes(), |at| (at - range.first) / 8)));
    call.reply.integer(found.map_or(-1, |at| at as i64));
    Ok(())
}
