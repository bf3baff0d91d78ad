//! Commands on the server.

use crate::command::Command;

pub(crate) static COMMANDS: &[Command] = &[];
