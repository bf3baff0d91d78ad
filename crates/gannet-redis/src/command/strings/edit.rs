//! Commands that read or change a part of a string.

use super::bytes;
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::store::Key;
use crate::store::entry::{LARGE_BYTES, New, StringMut};
use crate::store::space::Slot;

pub(super) fn append(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (key, more) = (call.key(1), call.args[2]);
    let len = match call.find_string(key)? {
        None => {
            call.set(key, New::Bytes(more));
            more.len()
        }
        Some(slot) => {
            let len = len(call, key, slot) + more.len();
            if len > call.max_bulk {
                return Err(Error::TOO_LONG);
            }
            edit(call, key, slot, |mut bytes| bytes.extend_from_slice(more));
            len
        }
    };
    call.reply.integer(len as i64);
    Ok(())
}

pub(super) fn setrange(call: &mut Call<'_, '_, '_>) -> Outcome {
    let offset = call.integer(2)?;
    let offset = usize::try_from(offset).map_err(|_| Error::new("ERR offset is out of range"))?;
    let (key, part) = (call.key(1), call.args[3]);
    let found = call.find_string(key)?;
    let len = found.map_or(0, |slot| len(call, key, slot));
    if part.is_empty() {
        call.reply.integer(len as i64);
        return Ok(());
    }
    let end = offset.checked_add(part.len()).filter(|end| *end <= call.max_bulk).ok_or(Error::TOO_LONG)?;
    call.count_bytes(end.saturating_sub(len));
    let slot = found.unwrap_or_else(|| call.set(key, New::Bytes(b"")));
    edit(call, key, slot, |mut bytes| {
        if end > bytes.len() {
            bytes.resize(end);
        }
        bytes[offset..end].copy_from_slice(part);
    });
    call.reply.integer(len.max(end) as i64);
    Ok(())
}

pub(super) fn getrange(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (first, last) = (call.integer(2)?, call.integer(3)?);
    let key = call.key(1);
    let Some(slot) = call.find_string(key)? else {
        call.reply.bulk(b"");
        return Ok(());
    };
    let entry = call.keys.space(call.db, key).entry(slot);
    let whole = bytes(entry.value()).ok_or(Error::WRONG_TYPE)?;
    let part = part(whole, first, last);
    match entry.large_string().filter(|_| part.len() >= LARGE_BYTES) {
        Some(string) => call.parts.bulk(call.reply, string.slice_ref(part)),
        None => call.reply.bulk(part),
    }
    Ok(())
}

/// The bytes from one place to another, that one included; from -1 on downwards they count from the end.
fn part(whole: &[u8], first: i64, last: i64) -> &[u8] {
    let len = whole.len() as i64;
    // Both would be moved to the first byte, and give it, if they were before it.
    if first < 0 && last < first {
        return &[];
    }
    let place = |index: i64| if index < 0 { (len + index).max(0) } else { index };
    let (first, last) = (place(first), place(last).min(len - 1));
    if first > last { &[] } else { &whole[first as usize..=last as usize] }
}

/// The length of the string at a place.
fn len(call: &mut Call<'_, '_, '_>, key: Key<'_>, slot: Slot) -> usize {
    bytes(call.space(key).entry(slot).value()).map_or(0, <[u8]>::len)
}

/// Changes the string at a place.
fn edit(call: &mut Call<'_, '_, '_>, key: Key<'_>, slot: Slot, change: impl FnOnce(StringMut<'_>)) {
    call.space(key).edit(slot, |entry| entry.bytes_mut().map(change));
}
