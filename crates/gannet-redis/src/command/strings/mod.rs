//! Strings.

mod counters;
mod edit;
mod lcs;
mod set;

use super::call::Call;
use super::error::{Error, Outcome};
use super::table::{on_key, on_keys};
use super::{Flags, KeyCommand, KeyWords};
use crate::store::entry::Value;

const READ: Flags = Flags::READ;
const READ_FAST: Flags = Flags::READ.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const WRITE_FAST: Flags = WRITE.and(Flags::FAST);
/// Writes, but never needs memory.
const FREE_FAST: Flags = Flags::WRITE.and(Flags::FAST);

pub(super) static COMMANDS: &[KeyCommand] = &[
    on_key("get", 2, READ_FAST, get),
    on_key("set", -3, WRITE, set::set),
    on_key("setnx", 3, WRITE_FAST, set::setnx),
    on_key("setex", 4, WRITE, set::setex),
    on_key("psetex", 4, WRITE, set::psetex),
    on_key("getset", 3, WRITE_FAST, set::getset),
    on_key("getex", -2, FREE_FAST, set::getex),
    on_key("getdel", 2, FREE_FAST, getdel),
    on_keys("mget", -2, READ_FAST, KeyWords::Range(1, -1, 1), mget),
    on_keys("mset", -3, WRITE, KeyWords::Range(1, -1, 2), set::mset),
    on_keys("msetnx", -3, WRITE, KeyWords::Range(1, -1, 2), set::msetnx),
    on_key("strlen", 2, READ_FAST, strlen),
    on_key("append", 3, WRITE_FAST, edit::append),
    on_key("setrange", 4, WRITE, edit::setrange),
    on_key("getrange", 4, READ, edit::getrange),
    on_key("substr", 4, READ, edit::getrange),
    on_key("incr", 2, WRITE_FAST, counters::incr),
    on_key("decr", 2, WRITE_FAST, counters::decr),
    on_key("incrby", 3, WRITE_FAST, counters::incrby),
    on_key("decrby", 3, WRITE_FAST, counters::decrby),
    on_key("incrbyfloat", 3, WRITE_FAST, counters::incrbyfloat),
    on_keys("lcs", -3, READ, KeyWords::Range(1, 2, 1), lcs::lcs),
];

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
    let start = (call.reply.get_ref().len(), call.parts.len());
    call.reply.array(call.args.len() - 1);
    for index in 1..call.args.len() {
        let key = call.key(index);
        match call.find_string(key) {
            Ok(Some(slot)) => call.reply_string(key, slot),
            Ok(None) | Err(_) => call.reply.null(),
        }
        call.check_reply(start)?;
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
