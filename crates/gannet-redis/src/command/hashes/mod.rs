//! Hashes.

mod count;
mod random;
mod read;
mod scan;
#[cfg(test)]
mod tests;
mod write;

use super::call::Call;
use super::error::Error;
use super::table::on_key;
use super::{Flags, KeyCommand};
use crate::store::Key;
use crate::store::entry::New;
use crate::store::hash::Hash;

/// Reads, in a time that does not depend on what there is.
const LOOK: Flags = Flags::READ.and(Flags::FAST);

/// Writes what may need memory, in such a time.
const GROW: Flags = Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST);

pub(super) static COMMANDS: &[KeyCommand] = &[
    on_key("hset", -4, GROW, write::hset),
    on_key("hsetnx", 4, GROW, write::hsetnx),
    on_key("hget", 3, LOOK, read::hget),
    on_key("hmset", -4, GROW, write::hmset),
    on_key("hmget", -3, LOOK, read::hmget),
    on_key("hgetall", 2, Flags::READ, read::hgetall),
    on_key("hdel", -3, Flags::WRITE.and(Flags::FAST), write::hdel),
    on_key("hexists", 3, LOOK, read::hexists),
    on_key("hlen", 2, LOOK, read::hlen),
    on_key("hstrlen", 3, LOOK, read::hstrlen),
    on_key("hkeys", 2, Flags::READ, read::hkeys),
    on_key("hvals", 2, Flags::READ, read::hvals),
    on_key("hincrby", 4, GROW, count::hincrby),
    on_key("hincrbyfloat", 4, GROW, count::hincrbyfloat),
    on_key("hrandfield", -2, Flags::READ, random::hrandfield),
    on_key("hscan", -3, Flags::READ, scan::hscan),
];

/// Changes the hash at a key, which begins without fields where there is none.
fn change<R>(call: &mut Call<'_, '_, '_>, key: Key<'_>, change: impl FnOnce(&mut Hash) -> R) -> Result<R, Error> {
    if let Some(slot) = call.find_hash(key)? {
        return call.space(key).edit(slot, |entry| entry.hash_mut().map(change)).ok_or(Error::WRONG_TYPE);
    }
    let mut hash = Box::<Hash>::default();
    let result = change(&mut hash);
    call.set(key, New::Hash(hash));
    Ok(result)
}
