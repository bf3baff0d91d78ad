//! Strings that are numbers.

use super::bytes;
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::{long_double, number};
use crate::store::entry::{New, Value};

pub(super) fn incr(call: &mut Call<'_, '_, '_>) -> Outcome {
    add(call, 1)
}

pub(super) fn decr(call: &mut Call<'_, '_, '_>) -> Outcome {
    add(call, -1)
}

pub(super) fn incrby(call: &mut Call<'_, '_, '_>) -> Outcome {
    add(call, call.integer(2)?)
}

pub(super) fn decrby(call: &mut Call<'_, '_, '_>) -> Outcome {
    let increment = call.integer(2)?.checked_neg();
    add(call, increment.ok_or(Error::new("ERR decrement would overflow"))?)
}

pub(super) fn incrbyfloat(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (key, increment) = (call.key(1), call.args[2]);
    let Some(slot) = call.find_string(key)? else {
        let sum = long_double::add_float(b"0", increment)?;
        call.set(key, New::Bytes(sum.as_bytes()));
        call.reply.bulk(sum.as_bytes());
        return Ok(());
    };
    let old = bytes(call.space(key).entry(slot).value()).ok_or(Error::WRONG_TYPE)?;
    let sum = long_double::add_float(old, increment)?;
    call.space(key).replace(slot, New::Bytes(sum.as_bytes()));
    call.reply.bulk(sum.as_bytes());
    Ok(())
}

fn add(call: &mut Call<'_, '_, '_>, increment: i64) -> Outcome {
    let key = call.key(1);
    let slot = call.find(key);
    let old = match slot.map(|slot| call.space(key).entry(slot).value()) {
        None => 0,
        Some(Value::Bytes(bytes)) => number::integer(bytes).ok_or(Error::NOT_INTEGER)?,
        Some(Value::Hash(_)) => return Err(Error::WRONG_TYPE),
    };
    let sum = old.checked_add(increment).ok_or(Error::OVERFLOW)?;
    let mut digits = itoa::Buffer::new();
    let value = New::Bytes(digits.format(sum).as_bytes());
    match slot {
        Some(slot) => call.space(key).replace(slot, value),
        None => _ = call.set(key, value),
    }
    call.reply.integer(sum);
    Ok(())
}
