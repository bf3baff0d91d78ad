//! Reads fields and values.

use crate::command::call::Call;
use crate::command::error::Outcome;
use crate::command::parts::{Fields, LARGE_HASH_BYTES, Part, Shown};
use crate::store::hash::Hash;

pub(super) fn hget(call: &mut Call<'_, '_, '_>) -> Outcome {
    let field = call.args[2];
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    match hash.and_then(|hash| hash.get(field)) {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn hmget(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (fields, max_bulk) = (&call.args[2..], call.max_bulk);
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    let start = reply.get_ref().len();
    reply.array(fields.len());
    for field in fields {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => reply.bulk(value),
            None => reply.null(),
        }
        if reply.get_ref().len() - start > max_bulk {
            break;
        }
    }
    let parts = call.parts.len();
    call.check_reply((start, parts))
}

pub(super) fn hgetall(call: &mut Call<'_, '_, '_>) -> Outcome {
    all(call, Shown::Pairs)
}

pub(super) fn hkeys(call: &mut Call<'_, '_, '_>) -> Outcome {
    all(call, Shown::Names)
}

pub(super) fn hvals(call: &mut Call<'_, '_, '_>) -> Outcome {
    all(call, Shown::Values)
}

/// Shows something of all fields, of many of them piece by piece.
fn all(call: &mut Call<'_, '_, '_>, shown: Shown) -> Outcome {
    let (hash, reply, parts) = call.hash_and_parts(call.key(1))?;
    let len = hash.map_or(0, Hash::len);
    match shown {
        Shown::Pairs => reply.map(len),
        _ => reply.array(len),
    }
    let Some(hash) = hash else { return Ok(()) };
    if hash.cost() >= LARGE_HASH_BYTES {
        parts.push(reply, Part::Fields(Box::new(Fields::all(hash.lease(), len, shown))));
        return Ok(());
    }
    for (field, value) in hash.iter() {
        if shown != Shown::Values {
            reply.bulk(field);
        }
        if shown != Shown::Names {
            reply.bulk(value);
        }
    }
    Ok(())
}

pub(super) fn hexists(call: &mut Call<'_, '_, '_>) -> Outcome {
    let field = call.args[2];
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    reply.integer(hash.is_some_and(|hash| hash.get(field).is_some()).into());
    Ok(())
}

pub(super) fn hlen(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    reply.integer(hash.map_or(0, |hash| hash.len()) as i64);
    Ok(())
}

pub(super) fn hstrlen(call: &mut Call<'_, '_, '_>) -> Outcome {
    let field = call.args[2];
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    reply.integer(hash.and_then(|hash| hash.get(field)).map_or(0, <[u8]>::len) as i64);
    Ok(())
}
