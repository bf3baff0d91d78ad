//! How keys are kept.

use super::{READ, SECOND};
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::table::on_keys;
use crate::command::{Flags, KeyCommand, KeyWords, number};
use crate::store::Key;
use crate::store::entry::{Entry, Value};
use crate::store::space::Slot;

/// Numbers below this one are shared by all keys that hold them in Redis, which then shows this many references.
const SHARED_NUMBERS: i64 = 10_000;
const SHARED_REFERENCES: i64 = i32::MAX as i64;

const NO_FREQUENCY: Error = Error::new(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);

pub(super) static OBJECT: &[KeyCommand] = &[
    on_keys("object|encoding", 3, READ, SECOND, encoding),
    on_keys("object|refcount", 3, READ, SECOND, refcount),
    on_keys("object|idletime", 3, READ, SECOND, idletime),
    on_keys("object|freq", 3, READ, SECOND, freq),
    on_keys("object|help", 2, Flags::NONE, KeyWords::None, object_help),
];

pub(super) static MEMORY: &[KeyCommand] = &[
    on_keys("memory|usage", -3, READ, SECOND, usage),
    on_keys("memory|help", 2, Flags::NONE, KeyWords::None, memory_help),
];

/// Where the key is; where there is none, that is the reply.
fn find_or_reply<'a>(call: &mut Call<'_, '_, 'a>) -> Option<(Key<'a>, Slot)> {
    let key = call.key(2);
    let found = call.live(key);
    if found.is_none() {
        call.reply.null();
    }
    Some((key, found?))
}

fn encoding(call: &mut Call<'_, '_, '_>) -> Outcome {
    if let Some((key, slot)) = find_or_reply(call) {
        let name = call.space(key).entry(slot).encoding();
        call.reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn refcount(call: &mut Call<'_, '_, '_>) -> Outcome {
    if let Some((key, slot)) = find_or_reply(call) {
        let references = references(call.space(key).entry(slot));
        call.reply.integer(references);
    }
    Ok(())
}

fn idletime(call: &mut Call<'_, '_, '_>) -> Outcome {
    if let Some((key, slot)) = find_or_reply(call) {
        let idle_s = (call.now_ms / 1000).saturating_sub(call.space(key).entry(slot).used_s().into());
        call.reply.integer(idle_s as i64);
    }
    Ok(())
}

fn freq(call: &mut Call<'_, '_, '_>) -> Outcome {
    if find_or_reply(call).is_some() { Err(NO_FREQUENCY) } else { Ok(()) }
}

fn references(entry: &Entry) -> i64 {
    match entry.value() {
        Value::Bytes(string) if entry.encoding() == "int" && is_shared(string) => SHARED_REFERENCES,
        _ => 1,
    }
}

fn is_shared(string: &[u8]) -> bool {
    number::integer(string).is_some_and(|number| (0..SHARED_NUMBERS).contains(&number))
}

fn usage(call: &mut Call<'_, '_, '_>) -> Outcome {
    for index in (3..call.args.len()).step_by(2) {
        if !call.is(index, "samples") || index + 1 == call.args.len() {
            return Err(Error::SYNTAX);
        }
        // How many there were to be does not matter: everything is counted.
        if call.integer(index + 1)? < 0 {
            return Err(Error::SYNTAX);
        }
    }
    if let Some((key, slot)) = find_or_reply(call) {
        let cost = call.space(key).entry(slot).cost();
        call.reply.integer(cost as i64);
    }
    Ok(())
}

fn object_help(call: &mut Call<'_, '_, '_>) -> Outcome {
    reply_lines(call, OBJECT_HELP)
}

fn memory_help(call: &mut Call<'_, '_, '_>) -> Outcome {
    reply_lines(call, MEMORY_HELP)
}

fn reply_lines(call: &mut Call<'_, '_, '_>, lines: &[&str]) -> Outcome {
    call.reply.array(lines.len());
    for line in lines {
        call.reply.simple(line);
    }
    Ok(())
}

const OBJECT_HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

const MEMORY_HELP: &[&str] = &[
    "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "USAGE <key> [SAMPLES <count>]",
    "    Return memory in bytes used by <key> and its value.",
    "HELP",
    "    Prints this help.",
];
