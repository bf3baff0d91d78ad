//! Adds to the number that is a field's value.

use super::change;
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::long_double::{add_float, is_float};
use crate::command::number;

pub(super) fn hincrby(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (key, field, increment) = (call.key(1), call.args[2], call.integer(3)?);
    let old = match call.hash(key)?.and_then(|hash| hash.get(field)) {
        Some(value) => number::integer(value).ok_or(Error::new("ERR hash value is not an integer"))?,
        None => 0,
    };
    let sum = old.checked_add(increment).ok_or(Error::OVERFLOW)?;
    change(call, key, |hash| hash.set(field, itoa::Buffer::new().format(sum).as_bytes()))?;
    call.reply.integer(sum);
    Ok(())
}

pub(super) fn hincrbyfloat(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (key, field, increment) = (call.key(1), call.args[2], call.args[3]);
    if !is_float(increment) {
        return Err(Error::NOT_FLOAT);
    }
    if add_float(b"0", increment).is_err() {
        return Err(Error::new("ERR value is NaN or Infinity"));
    }
    let old = call.hash(key)?.and_then(|hash| hash.get(field)).unwrap_or(b"0");
    if !is_float(old) {
        return Err(Error::new("ERR hash value is not a float"));
    }
    let sum = add_float(old, increment)?;
    change(call, key, |hash| hash.set(field, sum.as_bytes()))?;
    call.reply.bulk(sum.as_bytes());
    Ok(())
}
