//! Strings as rows of bits. Bit 0 is the highest one of the first byte.

mod combine;
mod field;
mod range;
mod single;
#[cfg(test)]
mod tests;
mod words;

use super::call::Call;
use super::error::Error;
use super::table::{on_key, on_keys};
use super::{Flags, KeyCommand, KeyWords, number};
use crate::store::Key;
use crate::store::entry::{New, Value};
use crate::store::space::Slot;

const GROW: Flags = Flags::WRITE.and(Flags::DENY_OOM);

pub(super) static COMMANDS: &[KeyCommand] = &[
    on_key("setbit", 4, GROW, single::setbit),
    on_key("getbit", 3, Flags::READ.and(Flags::FAST), single::getbit),
    on_key("bitcount", -2, Flags::READ, range::bitcount),
    on_key("bitpos", -3, Flags::READ, range::bitpos),
    on_keys("bitop", -4, GROW, KeyWords::Range(2, -1, 1), combine::bitop),
    on_key("bitfield", -2, GROW, field::bitfield),
    on_key("bitfield_ro", -2, Flags::READ.and(Flags::FAST), field::bitfield_ro),
];

/// The string at a key.
fn string<'c>(call: &'c mut Call<'_, '_, '_>, key: Key<'_>) -> Result<Option<&'c [u8]>, Error> {
    match call.value(key) {
        Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
        Some(Value::Hash(_)) => Err(Error::WRONG_TYPE),
        None => Ok(None),
    }
}

/// The string at a place that [`Call::find_string`] has found.
fn string_at<'c>(call: &'c mut Call<'_, '_, '_>, key: Key<'_>, slot: Slot) -> &'c [u8] {
    match call.space(key).entry(slot).value() {
        Value::Bytes(bytes) => bytes,
        Value::Hash(_) => &[],
    }
}

/// Changes the string at a key in place, when it was made at least so long with zeros. Where there is none, it begins
/// empty. `change` says whether any bit is another one now: if not, and if the string has its old length, whoever watches
/// the key is not told.
fn edit<R>(
    call: &mut Call<'_, '_, '_>,
    key: Key<'_>,
    len: usize,
    change: impl FnOnce(&mut [u8]) -> (R, bool),
) -> Result<R, Error> {
    let slot = match call.find_string(key)? {
        Some(slot) => slot,
        None => call.set(key, New::Bytes(b"")),
    };
    let mut grown = 0;
    let changed = call.space(key).edit_or_leave(slot, |entry| {
        let Some(mut bytes) = entry.bytes_mut() else { return (None, false) };
        let grows = bytes.len() < len;
        if grows {
            grown = len - bytes.len();
            bytes.resize(len);
        }
        let (result, is_different) = change(&mut bytes);
        (Some(result), grows || is_different)
    });
    call.count_bytes(grown);
    changed.ok_or(Error::WRONG_TYPE)
}

/// A word as the number of a bit that a string can have, where each step is `step` bits wide.
fn offset(call: &Call<'_, '_, '_>, word: &[u8], step: usize) -> Result<usize, Error> {
    number::integer(word)
        .and_then(|number| usize::try_from(number).ok()?.checked_mul(step))
        .filter(|offset| offset / 8 < call.max_bulk)
        .ok_or(Error::new("ERR bit offset is not an integer or out of range"))
}
