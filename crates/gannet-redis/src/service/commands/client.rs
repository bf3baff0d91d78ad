//! CLIENT: what is known of connections, and what can be asked of one's own.

use gannet::proto::resp::Version;

use super::{client_kill, client_list, help};
use crate::command::Flags;
use crate::command::error::{Error, Outcome};
use crate::service::clients::Mark;
use crate::service::session::Replies;
use crate::service::table::{Command, entry};
use crate::service::turn::Turn;

/// A longer name, or one of a library, is refused, in bytes: each connection keeps its own.
const LONGEST_NAME: usize = 4096;

pub(super) static SUBCOMMANDS: &[Command] = &[
    entry("client|id", 2, Flags::NONE, id),
    entry("client|info", 2, Flags::NONE, client_list::info),
    entry("client|list", -2, Flags::ADMIN, client_list::list),
    entry("client|getname", 2, Flags::NONE, getname),
    entry("client|setname", 3, Flags::NONE, setname),
    entry("client|setinfo", 4, Flags::NONE, setinfo),
    entry("client|kill", -3, Flags::ADMIN, client_kill::kill),
    entry("client|no-evict", 3, Flags::ADMIN, no_evict),
    entry("client|no-touch", 3, Flags::NONE, no_touch),
    entry("client|maint_notifications", -3, Flags::NONE, maint_notifications),
    entry("client|reply", 3, Flags::NONE, reply),
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

fn setinfo(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let option = String::from_utf8_lossy(turn.args[2]);
    let (is_name, is_version) = (turn.is(2, "lib-name"), turn.is(2, "lib-ver"));
    if !is_name && !is_version {
        return Err(Error::of(format!("ERR Unrecognized option '{option}'")));
    }
    let value = valid(turn.args[3], &option)?;
    if let Some(client) = turn.client() {
        client.rename(|names| *if is_name { &mut names.lib_name } else { &mut names.lib_version } = value);
    }
    turn.reply().ok();
    Ok(())
}

fn no_evict(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    switch(turn, Mark::NoEvict)
}

fn no_touch(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    switch(turn, Mark::NoTouch)
}

fn switch(turn: &mut Turn<'_, '_, '_>, mark: Mark) -> Outcome {
    let on = turn.is(2, "ON");
    if !on && !turn.is(2, "OFF") {
        return Err(Error::SYNTAX);
    }
    if let Some(client) = turn.client() {
        client.mark(mark, on);
    }
    turn.reply().ok();
    Ok(())
}

/// `ON`, or `OFF`, with pairs of options: the only notice here names no other endpoint, so none of them matters.
fn maint_notifications(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let on = turn.is(2, "ON");
    if (!on && !turn.is(2, "OFF")) || turn.args.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    if on && turn.session.version == Version::Resp2 {
        return Err(Error::new("ERR maintenance notifications are pushes: choose RESP3 first, with HELLO 3"));
    }
    turn.session.wants_notices = on;
    turn.reply().ok();
    Ok(())
}

fn reply(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    if turn.is(2, "ON") {
        turn.session.replies = Replies::On;
        turn.reply().ok();
    } else if turn.is(2, "OFF") {
        turn.session.replies = Replies::Off;
    } else if !turn.is(2, "SKIP") {
        return Err(Error::SYNTAX);
    } else if turn.session.replies != Replies::Off {
        turn.session.replies = Replies::SkipNext;
    }
    Ok(())
}

/// A name that fits into CLIENT LIST.
pub(super) fn valid_name(name: &[u8]) -> Result<String, Error> {
    valid(name, "Client names")
}

/// A text that fits into CLIENT LIST: printable, without blanks.
fn valid(text: &[u8], what: &str) -> Result<String, Error> {
    if !text.iter().all(u8::is_ascii_graphic) {
        return Err(Error::of(format!("ERR {what} cannot contain spaces, newlines or special characters.")));
    }
    if text.len() > LONGEST_NAME {
        return Err(Error::of(format!("ERR {what} cannot be longer than {LONGEST_NAME} bytes.")));
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Gives this connection a name; an empty one is none.
pub(super) fn rename(turn: &mut Turn<'_, '_, '_>, name: String) {
    if let Some(client) = turn.client() {
        client.rename(|names| names.name = name);
    }
}

fn help_text(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    help(
        turn,
        &[
            "GETNAME",
            "    Return the name of the current connection.",
            "ID",
            "    Return the ID of the current connection.",
            "INFO",
            "    Return information about the current client connection.",
            "KILL <ip:port>",
            "    Kill connection made from <ip:port>.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Kill connections. Options are:",
            "    * ADDR (<ip:port>|<unixsocket>:0)",
            "      Kill connections made from the specified address",
            "    * LADDR (<ip:port>|<unixsocket>:0)",
            "      Kill connections made to specified local address",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Kill connections by type.",
            "    * USER <username>",
            "      Kill connections authenticated by <username>.",
            "    * SKIPME (YES|NO)",
            "      Skip killing current connection (default: yes).",
            "    * ID <client-id>",
            "      Kill the connection with this id.",
            "LIST [options ...]",
            "    Return information about client connections. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Return clients of specified type.",
            "    * ID <client-id> [<client-id> ...]",
            "      Return clients with these ids.",
            "MAINT_NOTIFICATIONS (ON|OFF) [<option> <value> ...]",
            "    Control the notices before the server ends this connection.",
            "NO-EVICT (ON|OFF)",
            "    Noted and shown: clients are never closed to free memory here.",
            "NO-TOUCH (ON|OFF)",
            "    Noted and shown only.",
            "REPLY (ON|OFF|SKIP)",
            "    Control the replies sent to the current connection.",
            "SETNAME <name>",
            "    Assign the name <name> to the current connection.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "    Say which library the current connection is made by.",
        ],
    )
}
