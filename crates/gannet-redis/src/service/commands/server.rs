//! Commands on the server: what is asked of it by operators and tools, and what it refuses since it has no such thing.

use std::time::Duration;

use super::{command_info, config, help, info};
use crate::command::Flags;
use crate::command::error::{Error, Outcome};
use crate::service::table::{Command, entry, parent};
use crate::service::turn::Turn;

pub(crate) static COMMANDS: &[Command] = &[
    entry("info", -1, Flags::NONE, info::info),
    entry("time", 1, Flags::FAST, time),
    entry("role", 1, Flags::FAST, role),
    parent("command", -1, command_info::SUBCOMMANDS),
    parent("config", -2, config::SUBCOMMANDS),
    parent("acl", -2, ACL),
    parent("function", -2, FUNCTION),
    entry("debug", -2, Flags::ADMIN, debug),
    entry("save", 1, Flags::ADMIN.and(Flags::NO_MULTI), memory_only),
    entry("bgsave", -1, Flags::ADMIN, memory_only),
    entry("bgrewriteaof", 1, Flags::ADMIN, memory_only),
    entry("lastsave", 1, Flags::FAST, memory_only),
    entry("shutdown", -1, Flags::ADMIN.and(Flags::NO_MULTI), shutdown),
    entry("replicaof", 3, Flags::ADMIN, replicaof),
    entry("slaveof", 3, Flags::ADMIN, replicaof),
];

static ACL: &[Command] = &[entry("acl|whoami", 2, Flags::NONE, whoami), entry("acl|help", 2, Flags::NONE, acl_help)];

static FUNCTION: &[Command] =
    &[entry("function|flush", -2, Flags::WRITE, flush), entry("function|help", 2, Flags::NONE, function_help)];

fn time(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let time = turn.time();
    let mut number = itoa::Buffer::new();
    let reply = turn.reply();
    reply.array(2);
    reply.bulk(number.format(time.as_secs()).as_bytes());
    reply.bulk(number.format(time.subsec_micros()).as_bytes());
    Ok(())
}

fn role(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let reply = turn.reply();
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(0);
    reply.array(0);
    Ok(())
}

fn whoami(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    turn.reply().bulk(b"default");
    Ok(())
}

fn acl_help(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    help(turn, &["WHOAMI", "    Return the current connection username."])
}

/// There are no functions, so they are gone at once.
fn flush(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    if turn.args.len() > 3 {
        let name = String::from_utf8_lossy(turn.args[1]);
        let text = format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try FUNCTION HELP.");
        return Err(Error::of(text));
    }
    if turn.args.len() == 3 && !turn.is(2, "SYNC") && !turn.is(2, "ASYNC") {
        return Err(Error::new("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    turn.reply().ok();
    Ok(())
}

fn function_help(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    help(turn, &["FLUSH [ASYNC|SYNC]", "    There are no functions here: does nothing."])
}

/// DEBUG SLEEP makes this connection wait, and no other: its reactor goes on with those. In EXEC, which holds locks, the
/// time is slept when all commands have run.
fn debug(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    if !turn.is(1, "SLEEP") || turn.args.len() != 3 {
        if turn.is(1, "HELP") && turn.args.len() == 2 {
            return help(
                turn,
                &["SLEEP <seconds>", "    Answer after <seconds>. Decimals allowed. Others are served."],
            );
        }
        let name = String::from_utf8_lossy(turn.args[1]);
        return Err(Error::of(format!(
            "ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
        )));
    }
    // What is no number is none, as in Redis; so is a negative one.
    let seconds = str::from_utf8(turn.args[2]).ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    if turn.session.in_exec {
        let dream = turn.session.dream.get_or_insert_default();
        dream.time = dream.time.saturating_add(time);
        turn.reply().ok();
        return Ok(());
    }
    turn.session.asleep = true;
    turn.cx.pause();
    turn.cx.set_timer(time);
    Ok(())
}

fn memory_only(_: &mut Turn<'_, '_, '_>) -> Outcome {
    Err(Error::new("ERR this store is memory only: nothing is saved"))
}

fn shutdown(_: &mut Turn<'_, '_, '_>) -> Outcome {
    Err(Error::new("ERR this server may have other services, and is stopped by a signal: send SIGTERM to its process"))
}

fn replicaof(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    if !turn.is(1, "NO") || !turn.is(2, "ONE") {
        return Err(Error::new("ERR this store does not replicate: it is always a master without replicas"));
    }
    turn.reply().ok();
    Ok(())
}
