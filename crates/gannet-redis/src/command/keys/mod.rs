//! Keys, whatever they hold.

mod databases;
mod expiry;
mod object;
#[cfg(test)]
mod properties;
mod scan;
#[cfg(test)]
mod tests;

pub(super) use self::scan::MOST_AT_ONCE;
use super::call::Call;
use super::error::{Error, Outcome};
use super::table::{on_key, on_keys, parent};
use super::{Flags, KeyCommand, KeyWords};
use crate::store::entry::{Entry, Value};
use crate::store::garbage::Garbage;
use crate::store::{Key, Keys};

const READ: Flags = Flags::READ;
const READ_FAST: Flags = READ.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = WRITE.and(Flags::FAST);

const TWO: KeyWords = KeyWords::Range(1, 2, 1);
const ANY: KeyWords = KeyWords::Range(1, -1, 1);
/// Behind a subcommand.
const SECOND: KeyWords = KeyWords::Range(2, 2, 1);

pub(super) static COMMANDS: &[KeyCommand] = &[
    on_keys("del", -2, WRITE, ANY, remove),
    on_keys("unlink", -2, WRITE_FAST, ANY, remove),
    on_keys("exists", -2, READ_FAST, ANY, exists),
    on_keys("touch", -2, READ_FAST, ANY, touch),
    on_key("type", 2, READ_FAST, type_of),
    on_key("expire", -3, WRITE_FAST, expiry::expire),
    on_key("pexpire", -3, WRITE_FAST, expiry::pexpire),
    on_key("expireat", -3, WRITE_FAST, expiry::expireat),
    on_key("pexpireat", -3, WRITE_FAST, expiry::pexpireat),
    on_key("ttl", 2, READ_FAST, expiry::ttl),
    on_key("pttl", 2, READ_FAST, expiry::pttl),
    on_key("expiretime", 2, READ_FAST, expiry::expiretime),
    on_key("pexpiretime", 2, READ_FAST, expiry::pexpiretime),
    on_key("persist", 2, WRITE_FAST, expiry::persist),
    on_keys("rename", 3, WRITE, TWO, rename),
    on_keys("renamenx", 3, WRITE_FAST, TWO, renamenx),
    on_keys("copy", -3, WRITE.and(Flags::DENY_OOM), TWO, copy),
    on_key("move", 3, WRITE_FAST, move_key),
    on_keys("randomkey", 1, READ, KeyWords::All, scan::randomkey),
    on_keys("keys", 2, READ, KeyWords::All, scan::keys),
    on_keys("scan", -2, READ.and(Flags::WALK), KeyWords::All, scan::scan),
    on_keys("dbsize", 1, READ_FAST, KeyWords::None, databases::dbsize),
    on_keys("flushdb", -1, WRITE, KeyWords::All, databases::flushdb),
    on_keys("flushall", -1, WRITE, KeyWords::All, databases::flushall),
    on_keys("swapdb", 3, WRITE_FAST, KeyWords::All, databases::swapdb),
    parent("object", -2, object::OBJECT),
    parent("memory", -2, object::MEMORY),
];

/// Replies with the number of words for which something is true.
fn count(call: &mut Call<'_, '_, '_>, mut is: impl FnMut(&mut Call<'_, '_, '_>, Key<'_>) -> bool) -> Outcome {
    let count = (1..call.args.len()).filter(|index| is(call, call.key(*index))).count();
    call.reply.integer(count as i64);
    Ok(())
}

fn remove(call: &mut Call<'_, '_, '_>) -> Outcome {
    count(call, |call, key| call.remove(key))
}

fn exists(call: &mut Call<'_, '_, '_>) -> Outcome {
    count(call, |call, key| call.live(key).is_some())
}

fn touch(call: &mut Call<'_, '_, '_>) -> Outcome {
    count(call, |call, key| call.find(key).is_some())
}

fn type_of(call: &mut Call<'_, '_, '_>) -> Outcome {
    let key = call.key(1);
    let name = match call.live(key) {
        Some(slot) => type_name(call.space(key).entry(slot)),
        None => "none",
    };
    call.reply.simple(name);
    Ok(())
}

fn type_name(entry: &Entry) -> &'static str {
    match entry.value() {
        Value::Bytes(_) => "string",
        Value::Hash(_) => "hash",
    }
}

/// A key in a database.
type Target<'a> = (u8, Key<'a>);

const SAME: Error = Error::new("ERR source and destination objects are the same");

fn rename(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (from, to) = (call.key(1), call.key(2));
    if call.find(from).is_none() {
        return Err(Error::NO_KEY);
    }
    if from.bytes != to.bytes {
        relocate(call, (call.db, from), (call.db, to));
    }
    call.reply.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (from, to) = (call.key(1), call.key(2));
    if call.find(from).is_none() {
        return Err(Error::NO_KEY);
    }
    let free = call.find(to).is_none();
    if free {
        relocate(call, (call.db, from), (call.db, to));
    }
    call.reply.integer(free.into());
    Ok(())
}

fn move_key(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (key, db, now_ms) = (call.key(1), call.database(2)?, call.now_ms);
    if db == call.db {
        return Err(SAME);
    }
    let moves = call.find(key).is_some() && call.keys.space(db, key).find(key, now_ms).is_none();
    if moves {
        relocate(call, (call.db, key), (db, key));
    }
    call.reply.integer(moves.into());
    Ok(())
}

/// Puts a value under another key, whatever that one held.
fn relocate(call: &mut Call<'_, '_, '_>, from: Target<'_>, to: Target<'_>) {
    if let Some(entry) = call.keys.space(from.0, from.1).remove(from.1, call.now_ms) {
        put(call.keys, to, entry, call.now_ms, call.garbage);
    }
}

fn put(keys: &mut Keys<'_>, (db, key): Target<'_>, entry: Entry, now_ms: u64, garbage: &mut Vec<Garbage>) {
    let space = keys.space(db, key);
    match space.find(key, now_ms) {
        Some(slot) => Garbage::keep(space.exchange(slot, entry), garbage),
        None => {
            space.put(key, entry, now_ms);
        }
    }
}

fn copy(call: &mut Call<'_, '_, '_>) -> Outcome {
    let (from, to, now_ms) = (call.key(1), call.key(2), call.now_ms);
    let (mut db, mut replace, mut index) = (call.db, false, 3);
    while index < call.args.len() {
        if call.is(index, "replace") {
            replace = true;
        } else if call.is(index, "db") && index + 1 < call.args.len() {
            index += 1;
            db = call.database(index)?;
        } else {
            return Err(Error::SYNTAX);
        }
        index += 1;
    }
    if db == call.db && from.bytes == to.bytes {
        return Err(SAME);
    }
    let found = call.find(from);
    let free = replace || call.keys.space(db, to).find(to, now_ms).is_none();
    if let Some(slot) = found
        && free
    {
        let entry = call.space(from).entry(slot).copy(to.bytes);
        call.count_bytes(entry.cost());
        put(call.keys, (db, to), entry, now_ms, call.garbage);
    }
    call.reply.integer((found.is_some() && free).into());
    Ok(())
}
