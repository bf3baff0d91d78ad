//! The commands on connections and on the server.

pub(crate) mod connection;
pub(crate) mod server;

mod client;
mod client_kill;
mod client_list;
mod command_docs;
mod command_info;
mod command_keys;
mod config;
mod info;
mod process;

use crate::command::error::Outcome;
use crate::service::turn::Turn;

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
