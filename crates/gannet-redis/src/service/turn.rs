//! A command while it runs on its connection or on the server.

use gannet::Context;

use super::clients::Client;
use super::server::Server;
use super::{Redis, Session};
use crate::command::Command;
use crate::command::call::Reply;

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

impl Turn<'_, '_, '_> {
    /// Where the reply goes.
    pub(crate) fn reply(&mut self) -> &mut Reply {
        &mut self.service.reply
    }

    /// What all instances share.
    pub(crate) fn server(&self) -> &Server {
        &self.service.server
    }

    /// What others may know of this connection.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.session.client.as_deref()
    }

    /// Whether a word is this one, in whatever case.
    #[must_use]
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.args.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }
}
