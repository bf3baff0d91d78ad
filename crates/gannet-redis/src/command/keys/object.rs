//! How keys are kept.

use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::number;
use crate::store::entry::{Entry, Value};

/// Numbers below this one are shared by all keys that hold them in Redis, which then shows this many references.
const SHARED_NUMBERS: i64 = 10_000;
const SHARED_REFERENCES: i64 = i32::MAX as i64;

const NO_FREQUENCY: Error = Error::new(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);

pub(super) fn object(call: &mut Call<'_, '_, '_>) -> Outcome {
    let subcommand = call.args[1].to_ascii_lowercase();
    let (name, words) = match &*subcommand {
        b"encoding" => ("object|encoding", 3),
        b"refcount" => ("object|refcount", 3),
        b"idletime" => ("object|idletime", 3),
        b"freq" => ("object|freq", 3),
        b"help" => ("object|help", 2),
        _ => return Err(Error::subcommand("OBJECT", call.args[1])),
    };
    if call.args.len() != words {
        return Err(Error::arity(name));
    }
    if words == 2 {
        reply_lines(call, OBJECT_HELP);
        return Ok(());
    }
    let key = call.key(2);
    let Some(slot) = call.peek(key) else {
        call.reply.null();
        return Ok(());
    };
    let now_s = call.now_ms / 1000;
    let entry = call.keys.space(call.db, key).entry(slot);
    match &*subcommand {
        b"encoding" => call.reply.bulk(entry.encoding().as_bytes()),
        b"refcount" => call.reply.integer(references(entry)),
        b"idletime" => call.reply.integer(now_s.saturating_sub(entry.used_s().into()) as i64),
        _ => return Err(NO_FREQUENCY),
    }
    Ok(())
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

pub(super) fn memory(call: &mut Call<'_, '_, '_>) -> Outcome {
    match &*call.args[1].to_ascii_lowercase() {
        b"usage" if call.args.len() < 3 => return Err(Error::arity("memory|usage")),
        b"usage" => {}
        b"help" if call.args.len() > 2 => return Err(Error::arity("memory|help")),
        b"help" => {
            reply_lines(call, MEMORY_HELP);
            return Ok(());
        }
        _ => return Err(Error::subcommand("MEMORY", call.args[1])),
    }
    for index in (3..call.args.len()).step_by(2) {
        if !call.is(index, "samples") || index + 1 == call.args.len() {
            return Err(Error::SYNTAX);
        }
        // How many there were to be does not matter: everything is counted.
        if call.integer(index + 1)? < 0 {
            return Err(Error::SYNTAX);
        }
    }
    let key = call.key(2);
    match call.peek(key) {
        Some(slot) => {
            let cost = call.space(key).entry(slot).cost();
            call.reply.integer(cost as i64);
        }
        None => call.reply.null(),
    }
    Ok(())
}

fn reply_lines(call: &mut Call<'_, '_, '_>, lines: &[&str]) {
    call.reply.array(lines.len());
    for line in lines {
        call.reply.simple(line);
    }
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
