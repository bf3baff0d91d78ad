//! Hashes.

mod count;
mod random;
mod read;
mod scan;
#[cfg(test)]
mod tests;
mod write;

use super::call::Call;
use super::error::{Error, Outcome};
use super::{Command, Flags, KeyWords, Run};
use crate::store::Key;
use crate::store::entry::New;
use crate::store::hash::Hash;

/// Reads, in a time that does not depend on what there is.
const LOOK: Flags = Flags::READ.and(Flags::FAST);

/// Writes what may need memory, in such a time.
const GROW: Flags = Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST);

pub(super) static COMMANDS: &[Command] = &[
    command("hset", -4, GROW, write::hset),
    command("hsetnx", 4, GROW, write::hsetnx),
    command("hget", 3, LOOK, read::hget),
    command("hmset", -4, GROW, write::hmset),
    command("hmget", -3, LOOK, read::hmget),
    command("hgetall", 2, Flags::READ, read::hgetall),
    command("hdel", -3, Flags::WRITE.and(Flags::FAST), write::hdel),
    command("hexists", 3, LOOK, read::hexists),
    command("hlen", 2, LOOK, read::hlen),
    command("hstrlen", 3, LOOK, read::hstrlen),
    command("hkeys", 2, Flags::READ, read::hkeys),
    command("hvals", 2, Flags::READ, read::hvals),
    command("hincrby", 4, GROW, count::hincrby),
    command("hincrbyfloat", 4, GROW, count::hincrbyfloat),
    command("hrandfield", -2, Flags::READ, random::hrandfield),
    command("hscan", -3, Flags::READ, scan::hscan),
];

const fn command(name: &'static str, arity: i16, flags: Flags, run: fn(&mut Call<'_, '_, '_>) -> Outcome) -> Command {
    Command { name, arity, flags, keys: KeyWords::Range(1, 1, 1), run: Run::Keys(run) }
}

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
