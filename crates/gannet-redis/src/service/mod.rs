//! The service: takes commands from connections, runs them, and answers.

mod clients;
mod clock;
mod command_statistics;
pub(crate) mod commands;
mod eviction;
pub mod expiry;
mod guards;
pub mod memory;
mod password;
mod pending;
pub(crate) mod pubsub;
mod room;
pub mod server;
mod session;
pub mod statistics;
pub(crate) mod table;
pub(crate) mod transaction;
pub mod turn;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gannet::proto::resp::{self, Args, Commands, Version, Writer, upcoming_keys};
use gannet::{
    CloseReason, Context, Description, Idle, Prefetch, RefusalReason, Refused, Service, Shutdown, StartError, Starting,
};

use self::clock::Clock;
use self::command_statistics::CommandCounters;
use self::eviction::Eviction;
use self::server::Server;
use self::session::Replies;
pub use self::session::Session;
use self::statistics::Statistics;
use self::table::{Command, Run};
use self::turn::Turn;
use crate::command::Flags;
use crate::command::call::{Call, Reply};
use crate::command::error::{Error, Outcome};
use crate::command::parts::Parts;
use crate::store::garbage::Garbage;
use crate::store::random::Random;
use crate::store::{Key, Keys, WARMED};

/// A reply from this size on is handed over instead of copied.
pub(crate) const LARGE_BYTES: usize = 32 << 10;

/// How long a client that was told that its connection ends has to make another one.
const MOVING: Duration = Duration::from_secs(10);

/// Replies from this size on, made up of many small pieces, count as work of their own.
const COMPOSED_BYTES: usize = 1 << 10;

/// What a byte of such a reply counts as, in bytes of work: INFO takes some 15 µs for 4 KiB.
const COMPOSED_WORK: usize = 8;

/// The size of the largest command with all its words, in bytes: 1 GiB. A larger one closes its connection.
///
/// It corresponds to Redis's `client-query-buffer-limit`. Set the engine's [`Limits::carry`](gannet::Limits) to at least this
/// size, or large commands are refused earlier.
pub const LARGEST_COMMAND_BYTES: usize = 1 << 30;

/// Serves a [`Server`] to Redis clients: the service of a listener. Each reactor has an instance.
#[derive(Debug)]
pub struct Redis {
    pub(crate) server: Arc<Server>,
    /// Replies to the command that runs, until it is done.
    pub(crate) reply: Reply,
    /// Large parts of them.
    pub(crate) parts: Parts,
    pub(crate) clock: Clock,
    pub(crate) garbage: Vec<Garbage>,
    pub(crate) random: Random,
    /// Bytes of work that the commands of this message have counted, beyond their words.
    pub(crate) work: usize,
    pub(crate) statistics: Arc<Statistics>,
    /// Which of the server's listeners it is for.
    listener: usize,
    /// The largest word of a command, in bytes.
    max_word: usize,
    eviction: Eviction,
    /// The command that runs has found no room, though there will be some.
    crowded: bool,
    /// The reactor's clock when a client that waits has made room last.
    made_room_at: Duration,
    /// Keys of commands that will come, by their hashes.
    noted: Vec<(u8, u64)>,
}

impl Redis {
    /// Makes an instance that works on the store of `server`.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        Self {
            statistics: server.instances.add(),
            random: Random::new(server.next_seed()),
            work: 0,
            max_word: server.max_bulk(),
            server,
            reply: Writer::new(Vec::new(), Version::Resp2),
            parts: Parts::default(),
            clock: Clock::default(),
            garbage: Vec::new(),
            listener: 0,
            eviction: Eviction::default(),
            crowded: false,
            made_room_at: Duration::ZERO,
            noted: Vec::with_capacity(WARMED),
        }
    }

    /// Tells the instance which listener it serves, by the number from [`Server::add_listener`].
    ///
    /// `INFO`, `CONFIG GET` and `CLIENT LIST` then name the address.
    #[must_use]
    pub fn at(self, listener: usize) -> Self {
        Self { listener, ..self }
    }

    /// Sets the size of the largest word of a command that the clients of this instance may send, in bytes (default: the
    /// server's [`Options::max_bulk`](crate::Options::max_bulk) when the instance is made).
    #[must_use]
    pub fn max_word(self, bytes: usize) -> Self {
        Self { max_word: bytes, ..self }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&mut self, cx: &Context<'_, Self>) -> u64 {
        self.clock.milliseconds(cx.now())
    }

    /// Runs what a connection sent, or keeps it for EXEC, or says why not. Nothing is written in the latter case.
    fn execute(&mut self, session: &mut Session, args: &[&[u8]], cx: &mut Context<'_, Self>) -> Outcome {
        let command = match self.admit(session, args, cx) {
            Ok(command) => command,
            Err(_) if guards::is_of_browser(args[0]) => {
                let now_s = self.clock.seconds(cx.now());
                self.server.guards.attacked(cx.peer(), now_s);
                cx.close();
                return Ok(());
            }
            Err(error) => {
                if let Some(counters) = table::named(args).and_then(|command| self.statistics.of(command)) {
                    counters.reject();
                }
                return Err(transaction::refused(session, args, error));
            }
        };
        if session.transaction.is_some() && transaction::queue(session, command, args)? {
            self.reply.simple("QUEUED");
            return Ok(());
        }
        self.run(command, session, args, None, cx)
    }

    /// The command that was sent, if this connection may send it now.
    #[inline]
    fn admit(&mut self, session: &Session, args: &[&[u8]], cx: &Context<'_, Self>) -> Result<&'static Command, Error> {
        let command = table::asked(args)?;
        if let Some(client) = &session.client {
            client.note(command, self.clock.seconds(cx.now()));
        }
        if !session.authenticated && !command.flags.has(Flags::NO_AUTH) && self.server.password.is_set() {
            return Err(Error::new("NOAUTH Authentication required."));
        }
        if session.transaction.is_some() {
            transaction::admit(session, command)?;
        }
        if pubsub::is_restricted(session) {
            pubsub::admit(command)?;
        }
        if command.flags.has(Flags::DENY_OOM) || transaction::takes_room(session, command) {
            self.make_room()?;
        }
        Ok(command)
    }

    /// Runs a command with its keys locked, here or before by EXEC, and counts that.
    pub(crate) fn run(
        &mut self,
        command: &'static Command,
        session: &mut Session,
        args: &[&[u8]],
        locked: Option<&mut Keys<'_>>,
        cx: &mut Context<'_, Self>,
    ) -> Outcome {
        let began = self.statistics.of(command).and_then(CommandCounters::begin);
        let outcome = self.call(command, session, args, locked, cx);
        // As in Redis, what a command says of itself does not include it.
        self.statistics.command(self.clock.seconds(cx.now()));
        if let Some(counters) = self.statistics.of(command) {
            counters.end(began, outcome.is_err());
        }
        outcome
    }

    #[inline]
    fn call(
        &mut self,
        command: &'static Command,
        session: &mut Session,
        args: &[&[u8]],
        locked: Option<&mut Keys<'_>>,
        cx: &mut Context<'_, Self>,
    ) -> Outcome {
        let run = match command.run {
            Run::Connection(run) => return self.call_on_connection(run, command, session, args, cx),
            Run::Keys(run) => run,
            // It was asked for without one: then its number of words was wrong.
            Run::Subcommands(_) => return Err(Error::arity(command.name)),
        };
        let now_ms = self.now_ms(cx);
        let received = if cx.may_keep() { kept(args, cx) } else { None };
        let Self { server, reply, parts, garbage, random, work, statistics, .. } = self;
        let (db, max_bulk) = (session.db, server.max_bulk());
        match locked {
            Some(keys) => {
                let keys = &mut *keys;
                run(&mut Call {
                    command: &command.signature,
                    args,
                    keys,
                    db,
                    now_ms,
                    max_bulk,
                    received,
                    reply,
                    parts,
                    garbage,
                    random,
                    work,
                    lookups: &statistics.lookups,
                })
            }
            None => {
                let keys = &mut command.lock(&server.store, args);
                run(&mut Call {
                    command: &command.signature,
                    args,
                    keys,
                    db,
                    now_ms,
                    max_bulk,
                    received,
                    reply,
                    parts,
                    garbage,
                    random,
                    work,
                    lookups: &statistics.lookups,
                })
            }
        }
    }

    /// Runs a command that knows no keys. A long reply is made up anew each time, of many small pieces.
    fn call_on_connection(
        &mut self,
        run: fn(&mut Turn<'_, '_, '_>) -> Outcome,
        command: &'static Command,
        session: &mut Session,
        args: &[&[u8]],
        cx: &mut Context<'_, Self>,
    ) -> Outcome {
        let before = self.reply.get_ref().len();
        let outcome = run(&mut Turn { command, args, service: self, session, cx });
        let written = self.reply.get_ref().len().saturating_sub(before);
        // Those of a transaction were counted one by one, and an echo is a copy.
        if written >= COMPOSED_BYTES && !matches!(command.name, "exec" | "echo" | "ping") {
            self.work = self.work.saturating_add(COMPOSED_WORK * written);
        }
        outcome
    }

    /// Sends what was written in answer to a command, unless the client does not want it, and does what the command has
    /// put off until then.
    #[inline]
    pub(crate) fn answer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        if !session.takes_reply() {
            // No outbox shows what it has cost.
            self.work = self.work.saturating_add(self.reply.get_ref().len());
            self.forget_reply();
        }
        self.flush(session, cx);
        if session.ending && session.pending.is_none() {
            cx.close_flushed();
        }
    }

    /// Drops what was written.
    #[inline]
    pub(crate) fn forget_reply(&mut self) {
        self.reply.get_mut().clear();
        if !self.parts.is_empty() {
            self.parts.truncate(0);
        }
    }

    /// How much was written: bytes, and large parts.
    pub(crate) fn written(&self) -> (usize, usize) {
        (self.reply.get_ref().len(), self.parts.len())
    }

    /// Drops what was written since.
    pub(crate) fn truncate_reply(&mut self, (bytes, parts): (usize, usize)) {
        self.reply.get_mut().truncate(bytes);
        self.parts.truncate(parts);
    }

    /// Sends what was written before the command that runs is done, unless the client does not want it.
    pub(crate) fn send_so_far(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        if matches!(session.replies, Replies::Off | Replies::Skip) {
            self.forget_reply();
        }
        self.flush(session, cx);
    }

    /// Removes keys where the store takes more memory than it may, before a command that may need some. No shard may be
    /// locked on this thread.
    ///
    /// # Errors
    ///
    /// There is nothing to remove: the command is refused.
    #[inline]
    pub(crate) fn make_room(&mut self) -> Outcome {
        if !self.server.memory.is_over(&self.server.store) {
            return Ok(());
        }
        let Self { server, random, garbage, eviction, .. } = self;
        self.crowded = !eviction.make_room(server, random, garbage)?;
        Ok(())
    }

    /// Sends what was written.
    #[inline]
    pub(crate) fn flush(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        if !self.garbage.is_empty() {
            self.server.disposal.drop_later(mem::take(&mut self.garbage));
        }
        let reply = self.reply.get_mut();
        if reply.is_empty() && self.parts.is_empty() {
            return;
        }
        if !self.parts.is_empty() || session.pending.is_some() {
            let (text, mut parts) = (mem::take(reply), mem::take(&mut self.parts));
            return pending::send(self, session, text, &mut parts, cx);
        }
        if reply.len() < LARGE_BYTES {
            cx.answer(reply);
            reply.clear();
        } else {
            cx.answer_shared(mem::take(reply).into());
        }
    }
}

impl Prefetch<Session> for Redis {
    fn look_ahead(&mut self, session: &Session, received: &[u8]) {
        let room = WARMED.saturating_sub(self.noted.len());
        self.noted.extend(upcoming_keys(received).take(room).map(|key| (session.db, Key::new(key).hash)));
    }

    fn fetch(&mut self) {
        if self.noted.len() > 1 {
            self.server.store.warm(&self.noted);
        }
        self.noted.clear();
    }
}

/// The large word that is most of a command, without a copy.
#[cold]
fn kept(args: &[&[u8]], cx: &Context<'_, Redis>) -> Option<Bytes> {
    args.iter().filter(|word| word.len() >= LARGE_BYTES).find_map(|word| cx.keep(word))
}

impl Service for Redis {
    type Codec = Commands;
    type Session = Session;

    fn name(&self) -> &str {
        "redis"
    }

    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        // The first instance of the first engine says it.
        let _ = self.server.remote.set(starting.remote().clone());
        Ok(())
    }

    fn codec(&self) -> Commands {
        Commands::default().max_bulk(self.max_word).max_total(LARGEST_COMMAND_BYTES)
    }

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Session, Refused> {
        let now_s = self.clock.seconds(cx.now());
        self.statistics.connections.count();
        if self.server.guards.protects() && !self.server.password.is_set() && !guards::is_local(cx.peer()) {
            self.statistics.denied.count();
            self.statistics.error(guards::DENIED);
            cx.answer(format!("-{}\r\n", guards::DENIED).as_bytes());
            cx.close_flushed();
            return Ok(Session::default());
        }
        let client = self.server.clients.add(cx.handle(), cx.peer(), self.listener, now_s);
        let authenticated = !self.server.password.is_set();
        cx.codec_state().set_unauthenticated(!authenticated);
        Ok(Session { client: Some(client), authenticated, ..Session::default() })
    }

    fn refusal(&self, why: RefusalReason) -> &'static [u8] {
        match why {
            RefusalReason::Connections
            | RefusalReason::Peer
            | RefusalReason::Listener
            | RefusalReason::ListenerPeer
            | RefusalReason::Prefix
            | RefusalReason::Network => b"-ERR max number of clients reached\r\n",
            _ => b"",
        }
    }

    fn prefetch(&mut self) -> Option<&mut dyn Prefetch<Session>> {
        Some(self)
    }

    fn message(&mut self, session: &mut Session, args: Args<'_>, cx: &mut Context<'_, Self>) {
        if args.is_empty() {
            return;
        }
        // Something is there where a command for another connection panicked.
        self.forget_reply();
        self.reply.set_version(session.version);
        if let Err(error) = self.execute(session, &args, cx) {
            self.statistics.error(&error.0);
            self.reply.error(&error.0);
        }
        // One that sleeps is answered when it wakes.
        if !session.asleep {
            self.answer(session, cx);
        }
        if mem::take(&mut self.crowded) {
            room::hold(self, session, cx);
        }
        if self.work > 0 {
            cx.charge(mem::take(&mut self.work));
        }
    }

    fn malformed(&mut self, session: &mut Session, error: &resp::Error, cx: &mut Context<'_, Self>) {
        self.reply.set_version(session.version);
        let text = format!("ERR {error}");
        self.statistics.error(&text);
        self.reply.error(&text);
        self.flush(session, cx);
    }

    /// A client that waits for messages has nothing to say: like Redis, it stays.
    fn idle(&mut self, session: &mut Session, _: Idle, cx: &mut Context<'_, Self>) {
        if session.subscriptions.is_none() {
            cx.close_idle();
        }
    }

    fn timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        if session.waits_for_room {
            self.forget_reply();
            room::held(self, session, cx);
            self.flush(session, cx);
        }
        if session.held {
            pubsub::held(&self.server, session, cx);
        }
        if mem::take(&mut session.asleep) {
            self.forget_reply();
            match session.dream.take() {
                Some(dream) => {
                    self.reply.get_mut().extend_from_slice(&dream.replies);
                    self.parts = dream.parts;
                }
                None => self.reply.ok(),
            }
            self.answer(session, cx);
            if !session.is_held() {
                cx.resume();
            }
        }
        if session.is_moving && !session.is_held() {
            cx.close_flushed();
        }
    }

    fn writable(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        pending::writable(self, session, cx);
    }

    fn shutdown(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Shutdown {
        // A reply leaves whole or not at all.
        if session.pending.is_some() {
            return Shutdown::GoOn;
        }
        if !session.wants_notices || session.version == Version::Resp2 {
            return Shutdown::Close;
        }
        self.forget_reply();
        self.reply.set_version(session.version);
        // Without another endpoint (null), the client connects anew to the name that it knows.
        self.reply.push(4);
        self.reply.bulk(b"MOVING");
        self.reply.integer(session.id() as i64);
        self.reply.integer(MOVING.as_secs() as i64);
        self.reply.null();
        self.flush(session, cx);
        session.is_moving = true;
        if !session.is_held() {
            cx.set_timer(MOVING);
        }
        Shutdown::GoOn
    }

    fn describe(&self, session: &Session, into: &mut Description) {
        into.protocol(match session.version {
            Version::Resp2 => "resp2",
            Version::Resp3 => "resp3",
        });
        if session.authenticated {
            into.user("default");
        }
        if let Some(client) = &session.client {
            client.with_name(|name| into.client(name));
        }
        if let Some(subscriptions) = &session.subscriptions {
            subscriptions.each_channel(|channel| into.channel(&String::from_utf8_lossy(channel)));
        }
    }

    fn close(&mut self, mut session: Session, _: CloseReason, _: &mut Context<'_, Self>) {
        if let Some(pending) = session.pending.take() {
            pending::forget(self, *pending);
        }
        // A transaction's watches and a subscriber's channels go with the session, which sees to that itself.
        self.server.clients.remove(session.id());
    }
}
