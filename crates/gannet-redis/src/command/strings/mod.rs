//! Strings.

mod counters;
mod edit;
mod lcs;
mod set;

use super::call::Call;
use super::error::{Error, Outcome};
use super::{Command, Flags, KeyWords, Run};
use crate::store::entry::Value;

const READ: Flags = Flags::READ;
const READ_FAST: Flags = Flags::READ.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const WRITE_FAST: Flags = WRITE.and(Flags::FAST);
/// Writes, but never needs memory.
const FREE_FAST: Flags = Flags::WRITE.and(Flags::FAST);

const FIRST: KeyWords = KeyWords::Range(1, 1, 1);

pub(super) static COMMANDS: &[Command] = &[
    command("get", 2, READ_FAST, FIRST, get),
    command("set", -3, WRITE, FIRST, set::set),
    command("setnx", 3, WRITE_FAST, FIRST, set::setnx),
    command("setex", 4, WRITE, FIRST, set::setex),
    command("psetex", 4, WRITE, FIRST, set::psetex),
    command("getset", 3, WRITE_FAST, FIRST, set::getset),
    command("getex", -2, FREE_FAST, FIRST, set::getex),
    command("getdel", 2, FREE_FAST, FIRST, getdel),
    command("mget", -2, READ_FAST, KeyWords::Range(1, -1, 1), mget),
    command("mset", -3, WRITE, KeyWords::Range(1, -1, 2), set::mset),
    command("msetnx", -3, WRITE, KeyWords::Range(1, -1, 2), set::msetnx),
    command("strlen", 2, READ_FAST, FIRST, strlen),
    command("append", 3, WRITE_FAST, FIRST, edit::append),
    command("setrange", 4, WRITE, FIRST, edit::setrange),
    command("getrange", 4, READ, FIRST, edit::getrange),
    command("substr", 4, READ, FIRST, edit::getrange),
    command("incr", 2, WRITE_FAST, FIRST, counters::incr),
    command("decr", 2, WRITE_FAST, FIRST, counters::decr),
    command("incrby", 3, WRITE_FAST, FIRST, counters::incrby),
    command("decrby", 3, WRITE_FAST, FIRST, counters::decrby),
    command("incrbyfloat", 3, WRITE_FAST, FIRST, counters::incrbyfloat),
    command("lcs", -3, READ, KeyWords::Range(1, 2, 1), lcs::lcs),
];

const fn command(
    name: &'static str,
    arity: i16,
    flags: Flags,
    keys: KeyWords,
    run: fn(&mut Call<'_, '_, '_>) -> Outcome,
) -> Command {
    Command { name, arity, flags, keys, run: Run::Keys(run) }
}

/// The bytes of a string; `None` for what is none.
fn bytes(value: Value<'_>) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Hash(_) => None,
    }
}

fn get(call: &mut Call<'_, '_, '_>) -> Outcome {
    let key = call.key(1);
    match call.find_string(key)? {
        Some(slot) => call.reply_string(key, slot),
        None => call.reply.null(),
    }
    Ok(())
}

fn getdel(call: &mut Call<'_, '_, '_>) -> Outcome {
    get(call)?;
    let key = call.key(1);
    call.remove(key);
    Ok(())
}

fn mget(call: &mut Call<'_, '_, '_>) -> Outcome {
    call.reply.array(call.args.len() - 1);
    for index in 1..call.args.len() {
        let key = call.key(index);
        match call.find_string(key) {
            Ok(Some(slot)) => call.reply_string(key, slot),
            Ok(None) | Err(_) => call.reply.null(),
        }
    }
    Ok(())
}

fn strlen(call: &mut Call<'_, '_, '_>) -> Outcome {
    let key = call.key(1);
    let len = match call.value(key) {
        None => 0,
        Some(value) => bytes(value).ok_or(Error::WRONG_TYPE)?.len(),
    };
    call.reply.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests;
