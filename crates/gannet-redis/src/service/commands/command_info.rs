//! COMMAND: what commands there are.

use super::command_docs::{self, Docs};
use super::command_keys::{self, KeySpec};
use super::help;
use crate::command::call::Reply;
use crate::command::error::{Error, Outcome};
use crate::command::{Flags, KeyWords};
use crate::glob;
use crate::service::table::{self, Command, entry};
use crate::service::turn::Turn;

/// The first one is also what COMMAND alone does.
pub(super) static SUBCOMMANDS: &[Command] = &[
    entry("command|info", -2, Flags::NONE, info),
    entry("command|count", 2, Flags::NONE, count),
    entry("command|list", -2, Flags::NONE, list),
    entry("command|docs", -2, Flags::NONE, docs),
    entry("command|getkeys", -4, Flags::NONE, getkeys),
    entry("command|getkeysandflags", -4, Flags::NONE, getkeysandflags),
    entry("command|help", 2, Flags::NONE, help_text),
];

/// What Redis calls each flag.
const FLAGS: [(Flags, &str); 8] = [
    (Flags::WRITE, "write"),
    (Flags::READ, "readonly"),
    (Flags::DENY_OOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_MULTI, "no_multi"),
];

/// Categories that follow neither from a command's flags nor from its group, as Redis 7.0 has them.
const FURTHER: &[(&str, &[&str])] = &[
    ("keyspace", &["dbsize", "flushall", "flushdb", "swapdb"]),
    ("bitmap", &["bitfield", "bitfield_ro"]),
    ("admin", &["lastsave", "role"]),
    ("dangerous", &["flushall", "flushdb", "info", "keys", "lastsave", "role", "swapdb"]),
    ("connection", &["command"]),
];

fn info(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let names = turn.args.get(2..).unwrap_or_default();
    let reply = turn.reply();
    if names.is_empty() {
        reply.array(table::all().count());
        table::all().for_each(|command| describe(reply, command));
        return Ok(());
    }
    reply.array(names.len());
    for name in names {
        match table::find_either(name) {
            Some(command) => describe(reply, command),
            None => reply.null(),
        }
    }
    Ok(())
}

/// An array of ten: name, words, flags, first and last key and the step between them, categories, tips, specifications
/// of keys, subcommands.
fn describe(reply: &mut Reply, command: &Command) {
    let (first, last, step) = match command.keys {
        KeyWords::Range(first, last, step) => (first.into(), last.into(), step.into()),
        KeyWords::None | KeyWords::All => (0, 0, 0),
    };
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(command.arity.into());
    let flags = || FLAGS.iter().filter(|(flag, _)| command.flags.has(*flag));
    reply.set(flags().count());
    flags().for_each(|(_, name)| reply.simple(name));
    for number in [first, last, step] {
        reply.integer(number);
    }
    let categories = categories(command);
    reply.set(categories.len());
    categories.iter().for_each(|category| reply.simple(&format!("@{category}")));
    let tips = command_keys::tips(command);
    reply.set(tips.clone().count());
    tips.for_each(|tip| reply.bulk(tip.as_bytes()));
    let specs = command_keys::specs(command);
    reply.set(specs.len());
    specs.iter().for_each(|spec| specify(reply, spec));
    match command.subcommands() {
        [] => reply.set(0),
        subcommands => reply.array(subcommands.len()),
    }
    command.subcommands().iter().for_each(|command| describe(reply, command));
}

/// Where keys are: how to find the first, and then the others.
fn specify(reply: &mut Reply, spec: &KeySpec) {
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(spec.flags().count());
    spec.flags().for_each(|flag| reply.simple(flag));
    reply.bulk(b"begin_search");
    typed(reply, "index", &[("index", spec.first as i64)]);
    reply.bulk(b"find_keys");
    typed(reply, "range", &[("lastkey", spec.last), ("keystep", spec.step as i64), ("limit", 0)]);
}

/// A step of the search for keys: its type, and what that needs to know.
fn typed(reply: &mut Reply, kind: &str, fields: &[(&str, i64)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(fields.len());
    for (name, number) in fields {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

/// The categories of access lists that a command is in, in the order in which Redis has them. One that has subcommands
/// leaves it to those.
fn categories(command: &Command) -> Vec<&'static str> {
    let has = |flag| command.flags.has(flag);
    let group = if command.subcommands().is_empty() { command_docs::group(command) } else { "" };
    let all = [
        ("keyspace", group == "generic"),
        ("read", has(Flags::READ)),
        ("write", has(Flags::WRITE)),
        ("hash", group == "hash"),
        ("string", group == "string"),
        ("bitmap", group == "bitmap"),
        ("pubsub", has(Flags::PUBSUB)),
        ("admin", has(Flags::ADMIN)),
        ("fast", has(Flags::FAST)),
        ("slow", !has(Flags::FAST)),
        ("dangerous", has(Flags::ADMIN)),
        ("connection", group == "connection"),
        ("transaction", group == "transactions"),
        ("scripting", group == "scripting"),
    ];
    let is_further = |category: &str| {
        let named = FURTHER.iter().find(|(name, _)| *name == category).map_or(&[][..], |(_, commands)| commands);
        // COMMAND has its subcommands in its category.
        named.contains(&command.name) || (category == "connection" && command.name.starts_with("command|"))
    };
    all.into_iter().filter(|(name, is_in)| *is_in || is_further(name)).map(|(name, _)| name).collect()
}

fn count(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    turn.reply().integer(table::all().count() as i64);
    Ok(())
}

fn list(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let found: Vec<&Command> = match *turn.args {
        [_, _] => table::with_subcommands().collect(),
        [_, _, _, _, word] if turn.is(2, "FILTERBY") => {
            if turn.is(3, "MODULE") {
                Vec::new()
            } else if turn.is(3, "ACLCAT") {
                let word = word.to_ascii_lowercase();
                let is_in = |command: &&Command| categories(command).iter().any(|name| name.as_bytes() == word);
                table::with_subcommands().filter(is_in).collect()
            } else if turn.is(3, "PATTERN") {
                let word = word.to_ascii_lowercase();
                table::with_subcommands().filter(|command| glob::matches(&word, command.name.as_bytes())).collect()
            } else {
                return Err(Error::SYNTAX);
            }
        }
        _ => return Err(Error::SYNTAX),
    };
    let reply = turn.reply();
    reply.array(found.len());
    found.iter().for_each(|command| reply.bulk(command.name.as_bytes()));
    Ok(())
}

fn docs(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let found: Vec<&Command> = match &turn.args[2..] {
        [] => table::all().collect(),
        names => names.iter().filter_map(|name| table::find_either(name)).collect(),
    };
    let reply = turn.reply();
    reply.map(found.len());
    found.iter().for_each(|command| document(reply, command));
    Ok(())
}

fn document(reply: &mut Reply, command: &Command) {
    let subcommands = command.subcommands();
    let docs = command_docs::of(command);
    reply.bulk(command.name.as_bytes());
    reply.map(3 * usize::from(docs.is_some()) + usize::from(!subcommands.is_empty()));
    if let Some(Docs { summary, since, group, .. }) = docs {
        for (field, text) in [("summary", summary), ("since", since), ("group", group)] {
            reply.bulk(field.as_bytes());
            reply.bulk(text.as_bytes());
        }
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        subcommands.iter().for_each(|command| document(reply, command));
    }
}

fn getkeys(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let keys = keys_and_access(&turn.args[2..])?;
    let reply = turn.reply();
    reply.array(keys.len());
    keys.iter().for_each(|(key, _)| reply.bulk(key));
    Ok(())
}

fn getkeysandflags(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let keys = keys_and_access(&turn.args[2..])?;
    let reply = turn.reply();
    reply.array(keys.len());
    for (key, access) in keys {
        reply.array(2);
        reply.bulk(key);
        reply.set(access.split(' ').count());
        access.split(' ').for_each(|flag| reply.simple(flag));
    }
    Ok(())
}

/// The keys of a command, each with what is done with it.
fn keys_and_access<'a>(words: &[&'a [u8]]) -> Result<Vec<(&'a [u8], &'static str)>, Error> {
    let mut command = table::find(words[0]).ok_or(Error::new("ERR Invalid command specified"))?;
    if let Some(name) = words.get(1).filter(|_| !command.subcommands().is_empty()) {
        let found = command.subcommands().iter().find(|one| one.own_name().as_bytes().eq_ignore_ascii_case(name));
        command = found.ok_or(Error::new("ERR Invalid command specified"))?;
    }
    let specs = command_keys::specs(command);
    if specs.iter().all(KeySpec::are_no_keys) {
        return Err(Error::new("ERR The command has no key arguments"));
    }
    command.check(words).map_err(|_| Error::new("ERR Invalid number of arguments specified for command"))?;
    let with_access = |spec: &KeySpec| {
        let access = command_keys::access(command, spec, words);
        spec.places(words.len()).map(|at| (words[at], access)).collect::<Vec<_>>()
    };
    Ok(specs.iter().flat_map(with_access).collect())
}

fn help_text(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    help(
        turn,
        &[
            "(no subcommand)",
            "    Return details about all Redis commands.",
            "COUNT",
            "    Return the total number of commands in this Redis server.",
            "LIST",
            "    Return a list of all commands in this Redis server.",
            "INFO [<command-name> ...]",
            "    Return details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "DOCS [<command-name> ...]",
            "    Return documentation details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "GETKEYS <full-command>",
            "    Return the keys from a full Redis command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Return the keys and the access flags from a full Redis command.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands that came with later versions.
    const LATER: [&str; 3] = ["client|maint_notifications", "client|no-touch", "client|setinfo"];

    /// What redis-server 7.0.15 says of each command that Gannet has too: its flags and its categories.
    const RECORDED: &str = include_str!("recorded_categories.txt");

    #[test]
    fn each_command_has_the_categories_and_the_flags_that_redis_gives_it() {
        let recorded = |name: &str| {
            let line = RECORDED.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
            line.split_once("; ")
        };
        let mut compared = 0;
        for command in table::with_subcommands() {
            let Some((flags, expected)) = recorded(command.name) else {
                assert!(LATER.contains(&command.name), "{} was not recorded", command.name);
                continue;
            };
            compared += 1;
            let got: Vec<String> = categories(command).iter().map(|category| format!("@{category}")).collect();
            assert_eq!(got.join(" "), expected, "{}", command.name);
            for (flag, name) in FLAGS {
                let is_flag = flags.split(' ').any(|flag| flag == name);
                assert_eq!(command.flags.has(flag), is_flag, "{} {name}", command.name);
            }
        }
        assert_eq!(compared, RECORDED.lines().count(), "a recorded command is gone");
    }
}
