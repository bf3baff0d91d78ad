//! The commands on connections and on the server.

pub(crate) mod connection;
pub(crate) mod server;

mod client;

use crate::command::error::Outcome;
use crate::command::{Command, Flags, KeyWords, Run};
use crate::service::turn::Turn;

/// An entry of the table for a command that knows no keys.
pub(crate) const fn entry(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: fn(&mut Turn<'_, '_, '_>) -> Outcome,
) -> Command {
    Command { name, arity, flags, keys: KeyWords::None, run: Run::Connection(run) }
}

/// An entry of the table for a command that has subcommands.
pub(crate) const fn parent(name: &'static str, arity: i16, subcommands: &'static [Command]) -> Command {
    Command { name, arity, flags: Flags::NONE, keys: KeyWords::None, run: Run::Subcommands(subcommands) }
}

/// Writes what HELP answers: `lines` between what is the same for all commands.
pub(crate) fn help(turn: &mut Turn<'_, '_, '_>, lines: &[&str]) -> Outcome {
    let name = turn.command.name.split('|').next().unwrap_or_default().to_uppercase();
    let reply = turn.reply();
    reply.array(lines.len() + 3);
    reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        reply.simple(line);
    }
    reply.simple("HELP");
    reply.simple("    Prints this help.");
    Ok(())
}
