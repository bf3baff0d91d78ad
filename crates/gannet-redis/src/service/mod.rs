//! The service: takes commands from connections, runs them, and answers.

mod clock;
pub mod memory;
pub mod server;
mod session;
pub mod turn;

use std::sync::Arc;

use gannet::proto::DecodeError;
use gannet::proto::resp::{Args, Commands, Version, Writer};
use gannet::{Context, Service};

use self::clock::Clock;
use self::server::Server;
pub use self::session::Session;
use self::turn::Turn;
use crate::command::call::{Call, Reply};
use crate::command::error::{Error, Outcome};
use crate::command::{self, Command, Run};
use crate::store::Keys;
use crate::store::garbage::Garbage;
use crate::store::random::Random;

/// A reply from this size on is handed over instead of copied.
const LARGE_BYTES: usize = 32 << 10;

/// The instance of one reactor.
#[derive(Debug)]
pub struct Redis {
    pub(crate) server: Arc<Server>,
    /// Replies to the command that runs, until it is done.
    pub(crate) reply: Reply,
    pub(crate) clock: Clock,
    pub(crate) garbage: Vec<Garbage>,
    pub(crate) random: Random,
}

impl Redis {
    /// An instance on the store of a server.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        let random = Random::new(server.next_seed());
        let reply = Writer::new(Vec::new(), Version::Resp2);
        Self { server, reply, clock: Clock::default(), garbage: Vec::new(), random }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&mut self, cx: &Context<'_, Self>) -> u64 {
        self.clock.time(cx.now()).as_millis() as u64
    }

    /// Runs what a connection sent, or says why not. Nothing is written in the latter case.
    fn execute(&mut self, session: &mut Session, args: &[&[u8]], cx: &mut Context<'_, Self>) -> Outcome {
        let command = command::find(args[0]).ok_or_else(|| unknown(args))?;
        command.check(args)?;
        self.run(command, session, args, None, cx)
    }

    /// Runs a command with its keys locked: here, or before by EXEC.
    pub(crate) fn run(
        &mut self,
        command: &'static Command,
        session: &mut Session,
        args: &[&[u8]],
        locked: Option<&mut Keys<'_>>,
        cx: &mut Context<'_, Self>,
    ) -> Outcome {
        let run = match command.run {
            Run::Connection(run) => return run(&mut Turn { command, args, service: self, session, cx }),
            Run::Keys(run) => run,
        };
        let now_ms = self.now_ms(cx);
        let Self { server, reply, garbage, random, .. } = self;
        let (db, max_bulk) = (session.db, server.options.max_bulk);
        match locked {
            Some(keys) => run(&mut Call { command, args, keys, db, now_ms, max_bulk, reply, garbage, random }),
            None => {
                let keys = &mut command.lock(&server.store, args);
                run(&mut Call { command, args, keys, db, now_ms, max_bulk, reply, garbage, random })
            }
        }
    }

    /// Sends what was written.
    #[inline]
    fn flush(&mut self, cx: &mut Context<'_, Self>) {
        let reply = self.reply.get_mut();
        if reply.len() < LARGE_BYTES {
            cx.answer(reply);
            reply.clear();
        } else {
            cx.answer_shared(std::mem::take(reply).into());
        }
    }
}

impl Service for Redis {
    type Codec = Commands;
    type Session = Session;

    fn name(&self) -> &str {
        "redis"
    }

    fn codec(&self) -> Commands {
        Commands::default().max_bulk(self.server.options.max_bulk)
    }

    fn message(&mut self, session: &mut Session, args: Args<'_>, cx: &mut Context<'_, Self>) {
        if args.is_empty() {
            return;
        }
        self.reply.set_version(session.version);
        if let Err(error) = self.execute(session, &args, cx) {
            self.reply.error(&error.0);
        }
        self.flush(cx);
    }

    fn malformed(&mut self, session: &mut Session, error: &DecodeError, cx: &mut Context<'_, Self>) {
        self.reply.set_version(session.version);
        self.reply.error(&format!("ERR {error}"));
        self.flush(cx);
    }
}

#[cold]
fn unknown(args: &[&[u8]]) -> Error {
    let mut text =
        format!("ERR unknown command '{:.128}', with args beginning with: ", String::from_utf8_lossy(args[0]));
    for arg in &args[1..] {
        if text.len() >= 128 {
            break;
        }
        text += &format!("'{:.128}' ", String::from_utf8_lossy(arg));
    }
    Error::of(text)
}
