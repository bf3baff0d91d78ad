//! Sets and removes fields.

use super::change;
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};

pub(super) fn hset(call: &mut Call<'_, '_, '_>) -> Outcome {
    let added = set_pairs(call)?;
    call.reply.integer(added as i64);
    Ok(())
}

pub(super) fn hmset(call: &mut Call<'_, '_, '_>) -> Outcome {
    set_pairs(call)?;
    call.reply.ok();
    Ok(())
}

/// Sets what the words say, and counts the fields that were not there before.
fn set_pairs(call: &mut Call<'_, '_, '_>) -> Result<usize, Error> {
    let (pairs, []) = call.args[2..].as_chunks() else { return Err(Error::arity(call.command.name)) };
    let pairs = pairs.iter().map(|[field, value]| (*field, *value));
    change(call, call.key(1), |hash| {
        hash.prepare(pairs.clone());
        pairs.filter(|(field, value)| hash.set(field, value)).count()
    })
}

pub(super) fn hsetnx(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (key, field, value) = (call.key(1), call.args[2], call.args[3]);
    let there = call.hash(key)?.is_some_and(|hash| hash.get(field).is_some());
    if !there {
        change(call, key, |hash| hash.set(field, value))?;
    }
    call.reply.integer((!there).into());
    Ok(())
}

pub(super) fn hdel(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (key, fields) = (call.key(1), &call.args[2..]);
    // Whoever watches the key is told of what is removed, not of what was not there.
    let any = call.hash(key)?.is_some_and(|hash| fields.iter().any(|field| hash.get(field).is_some()));
    if !any {
        call.reply.integer(0);
        return Ok(());
    }
    let (removed, empty) = change(call, key, |hash| {
        let removed = fields.iter().filter(|field| hash.remove(field)).count();
        (removed, hash.is_empty())
    })?;
    if empty {
        call.remove(key);
    }
    call.reply.integer(removed as i64);
    Ok(())
}
