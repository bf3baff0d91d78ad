//! A command while it runs on its connection or on the server.

use std::time::Duration;

use gannet::Context;

use super::clients::Client;
use super::server::Server;
use super::{Redis, Session};
use crate::command::call::{ENTRY_WORK, Reply};
use crate::service::table::Command;

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

    /// Counts names or clients that were looked at, as [`Call::count_entries`](crate::command::call::Call::count_entries)
    /// does keys.
    pub(crate) fn count_entries(&mut self, entries: usize) {
        self.service.work = self.service.work.saturating_add(entries.saturating_mul(ENTRY_WORK));
    }

    /// What all instances share.
    pub(crate) fn server(&self) -> &Server {
        &self.service.server
    }

    /// What others may know of this connection.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.session.client.as_deref()
    }

    /// Since 1970.
    pub(crate) fn time(&mut self) -> Duration {
        self.service.clock.time(self.cx.now())
    }

    /// The same, in seconds.
    pub(crate) fn now_s(&mut self) -> u32 {
        self.time().as_secs() as u32
    }

    /// Whether a word is this one, in whatever case.
    #[must_use]
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.args.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }
}
