//! A command while it runs on its connection or on the server.

use gannet::Context;

use super::{Redis, Session};
use crate::command::Command;

/// See the module. Replies are written to `service.reply`.
pub struct Turn<'t, 'c, 'a> {
    /// The command itself.
    pub command: &'static Command,
    /// All its words, the name first. As many as its arity asks for.
    pub args: &'t [&'a [u8]],
    /// The instance that this reactor has.
    pub service: &'t mut Redis,
    /// The connection's state.
    pub session: &'t mut Session,
    /// The way to the engine.
    pub cx: &'t mut Context<'c, Redis>,
}
