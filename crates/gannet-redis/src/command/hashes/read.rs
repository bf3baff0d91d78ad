//! Reads fields and values.

use crate::command::call::Call;
use crate::command::error::Outcome;

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
    let fields = &call.args[2..];
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    reply.array(fields.len());
    for field in fields {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => reply.bulk(value),
            None => reply.null(),
        }
    }
    Ok(())
}

pub(super) fn hgetall(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    reply.map(hash.map_or(0, |hash| hash.len()));
    for (field, value) in hash.into_iter().flat_map(|hash| hash.iter()) {
        reply.bulk(field);
        reply.bulk(value);
    }
    Ok(())
}

pub(super) fn hkeys(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    reply.array(hash.map_or(0, |hash| hash.len()));
    hash.into_iter().flat_map(|hash| hash.iter()).for_each(|(field, _)| reply.bulk(field));
    Ok(())
}

pub(super) fn hvals(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (hash, reply) = call.hash_and_reply(call.key(1))?;
    reply.array(hash.map_or(0, |hash| hash.len()));
    hash.into_iter().flat_map(|hash| hash.iter()).for_each(|(_, value)| reply.bulk(value));
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
