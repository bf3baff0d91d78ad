//! Strings.

use super::call::Call;
use super::error::Outcome;
use super::{Command, Flags, KeyWords, Run};
use crate::store::entry::New;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "get",
        arity: 2,
        flags: Flags::READ.and(Flags::FAST),
        keys: KeyWords::Range(1, 1, 1),
        run: Run::Keys(get),
    },
    Command {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        keys: KeyWords::Range(1, 1, 1),
        run: Run::Keys(set),
    },
];

fn get(call: &mut Call<'_, '_, '_>) -> Outcome {
    let key = call.key(1);
    match call.find_string(key)? {
        Some(slot) => call.reply_string(key, slot),
        None => call.reply.null(),
    }
    Ok(())
}

fn set(call: &mut Call<'_, '_, '_>) -> Outcome {
    let key = call.key(1);
    let value = call.args[2];
    let slot = call.set(key, New::Bytes(value));
    call.space(key).set_deadline(slot, None);
    call.reply.ok();
    Ok(())
}
