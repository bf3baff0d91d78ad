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

#[cfg(test)]
mod tests {
    use crate::command::trial::Trial;

    #[test]
    fn what_was_set_is_what_one_gets() {
        Trial::default().expect(&[
            ("get name", "$-1\r\n"),
            ("set name \"a value\"", "+OK\r\n"),
            ("get name", "$7\r\na value\r\n"),
            ("set name 12", "+OK\r\n"),
            ("GET name", "$2\r\n12\r\n"),
            ("get", "-ERR wrong number of arguments for 'get' command\r\n"),
        ]);
    }
}
