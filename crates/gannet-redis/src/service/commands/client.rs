//! CLIENT: what is known of connections.

use super::{entry, help};
use crate::command::error::{Error, Outcome};
use crate::command::{Command, Flags};
use crate::service::turn::Turn;

pub(super) static SUBCOMMANDS: &[Command] = &[
    entry("client|id", 2, Flags::NONE, id),
    entry("client|getname", 2, Flags::NONE, getname),
    entry("client|setname", 3, Flags::NONE, setname),
    entry("client|help", 2, Flags::NONE, help_text),
];

fn id(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let id = turn.session.id();
    turn.reply().integer(id as i64);
    Ok(())
}

fn getname(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    match turn.client().map(|client| client.names().name).filter(|name| !name.is_empty()) {
        Some(name) => turn.reply().bulk(name.as_bytes()),
        None => turn.reply().null(),
    }
    Ok(())
}

fn setname(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let name = valid_name(turn.args[2])?;
    rename(turn, name);
    turn.reply().ok();
    Ok(())
}

/// A name that fits into CLIENT LIST: printable, without blanks.
pub(super) fn valid_name(name: &[u8]) -> Result<String, Error> {
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(Error::new("ERR Client names cannot contain spaces, newlines or special characters."));
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// Gives this connection a name; an empty one is none.
pub(super) fn rename(turn: &mut Turn<'_, '_, '_>, name: String) {
    if let Some(client) = turn.client() {
        client.rename(|names| names.name = name);
    }
}

fn help_text(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    help(turn, &[])
}
