//! Transactions: MULTI queues commands, EXEC runs them with the shards of all their keys locked, so that nobody sees
//! or changes anything in between. WATCH makes EXEC depend on keys that have not changed since.
//!
//! EXEC checks the watches after it has locked, the shards of the watched keys included. No lock is held while commands
//! are queued.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::quality::RandomState;
use smallvec::SmallVec;

use super::LARGE_BYTES;
use super::server::Server;
use super::session::{Replies, Session};
use super::turn::Turn;
use crate::command::error::{Error, Outcome};
use crate::command::{Flags, KeyWords};
use crate::service::table::{Command, Run, entry, naming_keys};
use crate::store::{Key, Keys, Store};

pub(crate) static COMMANDS: &[Command] = &[
    entry("multi", 1, Flags::FAST, multi),
    entry("exec", 1, Flags::NONE, exec),
    entry("discard", 1, Flags::FAST, discard),
    naming_keys(entry("watch", -2, Flags::FAST, watch), KeyWords::Range(1, -1, 1)),
    entry("unwatch", 1, Flags::FAST, unwatch),
];

/// Bytes that the commands of one transaction may take. Redis allows 1 GiB and closes the connection over it; here
/// one more command is refused, and the transaction with it.
const MOST_QUEUED_BYTES: usize = 64 << 20;

/// Changes of what a transaction has queued below which the server's sum is not told.
const COUNTED_BYTES: usize = 4 << 10;

/// Keys that one connection may watch.
const MOST_WATCHED: usize = 65_536;

/// Bytes that these may have together.
const MOST_WATCHED_BYTES: usize = 64 << 20;

/// Bytes that the replies to one transaction may have together, without strings from 32 KiB on and hashes from 1 MiB on,
/// which are not copied; a connection that asks for more is closed.
const MOST_REPLY_BYTES: usize = 256 << 20;

/// What a large part of a reply takes beside the value that it shows, about.
const PART_BYTES: usize = 128;

/// What a connection has begun. One that has begun nothing has none of these.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// There after MULTI.
    queue: Option<Queue>,
    /// There after WATCH.
    watches: Option<Watches>,
}

/// Bytes of a queue that are counted toward the memory of the server, for as long as this lives.
#[derive(Debug, Default)]
struct Counted {
    server: Option<Arc<Server>>,
    bytes: usize,
}

impl Counted {
    /// Counts so many in place of those before. Small changes are not worth while: all reactors share the sum.
    fn set(&mut self, bytes: usize) {
        if self.bytes.abs_diff(bytes) < COUNTED_BYTES && bytes != 0 {
            return;
        }
        if let Some(server) = &self.server {
            server.memory.count_queued(self.bytes, bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Commands that wait for EXEC, one behind the other.
#[derive(Debug, Default)]
struct Queue {
    /// All words of all commands.
    words: Vec<u8>,
    /// Where each word ends.
    ends: Vec<usize>,
    /// The commands, with how many words each has.
    commands: Vec<(&'static Command, usize)>,
    /// A command was refused: EXEC will run none.
    spoiled: bool,
    counted: Counted,
}

impl Queue {
    /// An empty one, whose bytes count toward the memory of a server.
    fn new(server: Arc<Server>) -> Self {
        Self { counted: Counted { server: Some(server), bytes: 0 }, ..Self::default() }
    }

    fn push(&mut self, command: &'static Command, args: &[&[u8]]) -> Outcome {
        let words: usize = args.iter().map(|word| word.len()).sum();
        let more = words + args.len() * size_of::<usize>() + size_of::<(&Command, usize)>();
        if self.bytes() + more > MOST_QUEUED_BYTES {
            self.spoil();
            let text = format!("ERR transaction too large, its commands may take {MOST_QUEUED_BYTES} bytes together");
            return Err(Error::of(text));
        }
        for word in args {
            self.words.extend_from_slice(word);
            self.ends.push(self.words.len());
        }
        self.commands.push((command, args.len()));
        self.counted.set(self.memory());
        Ok(())
    }

    /// Bytes of what is in it.
    fn bytes(&self) -> usize {
        let (ends, commands) = (self.ends.len() * size_of::<usize>(), size_of_val(&*self.commands));
        self.words.len() + ends + commands
    }

    /// Bytes that it takes, with its room to grow.
    fn memory(&self) -> usize {
        let ends = self.ends.capacity() * size_of::<usize>();
        self.words.capacity() + ends + self.commands.capacity() * size_of::<(&Command, usize)>()
    }

    /// What is queued will not be run.
    fn spoil(&mut self) {
        *self = Self { spoiled: true, ..Self::default() };
    }

    /// Calls `each` with every command and its words.
    fn for_each<'q>(&'q self, mut each: impl FnMut(&'static Command, &[&'q [u8]])) {
        let (mut start, mut ends) = (0, self.ends.iter());
        for (command, words) in &self.commands {
            let args: SmallVec<[&[u8]; 8]> =
                ends.by_ref().take(*words).map(|end| &self.words[mem::replace(&mut start, *end)..*end]).collect();
            each(command, &args);
        }
    }

    /// Locks what all commands need, and the shards of what is watched.
    fn lock<'s>(&self, store: &'s Store, watches: Option<&Watches>) -> Keys<'s> {
        let works_on_keys = |command: &Command| matches!(command.run, Run::Keys(_));
        if self.commands.iter().any(|(command, _)| works_on_keys(command) && command.keys == KeyWords::All) {
            return store.lock_all();
        }
        let mut keys: Vec<Key<'_>> = Vec::new();
        self.for_each(|command, args| {
            if works_on_keys(command) {
                keys.extend(command.keys_of(args));
            }
        });
        keys.extend(watches.into_iter().flat_map(|watches| &watches.keys).map(|(_, key)| Key::new(key)));
        store.lock_some(keys.into_iter())
    }
}

/// Keys that must not change. They are watched until this is dropped, which must not happen with any shard locked.
#[derive(Debug)]
struct Watches {
    server: Arc<Server>,
    /// Set by whoever changes one of them.
    changed: Arc<AtomicBool>,
    /// With their databases.
    keys: HashSet<(u8, Box<[u8]>), RandomState>,
    /// Bytes of all keys.
    bytes: usize,
}

impl Watches {
    fn new(server: Arc<Server>) -> Self {
        Self { server, changed: Arc::default(), keys: HashSet::default(), bytes: 0 }
    }

    fn add(&mut self, db: u8, key: &[u8], now_ms: u64) -> Outcome {
        let owned = (db, Box::from(key));
        if self.keys.contains(&owned) {
            return Ok(());
        }
        if self.keys.len() == MOST_WATCHED || self.bytes + key.len() > MOST_WATCHED_BYTES {
            let text = format!(
                "ERR too many watched keys, a connection may watch {MOST_WATCHED} with {MOST_WATCHED_BYTES} bytes together"
            );
            return Err(Error::of(text));
        }
        let place = Key::new(key);
        let mut locked = self.server.store.lock_one(place);
        let space = locked.space(db, place);
        // One that has expired goes now: that it is removed is no change.
        space.find(place, now_ms);
        space.watch(key, Arc::clone(&self.changed));
        self.bytes += key.len();
        self.keys.insert(owned);
        Ok(())
    }

    /// Whether any has changed, with the shards of all of them locked.
    fn have_changed(&self, keys: &mut Keys<'_>, now_ms: u64) -> bool {
        for (db, key) in &self.keys {
            // One that has expired since it is watched has changed: it is removed here, and that is told.
            let key = Key::new(key);
            keys.space(*db, key).find(key, now_ms);
        }
        self.changed.load(Ordering::Relaxed)
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for (db, key) in &self.keys {
            let place = Key::new(key);
            self.server.store.lock_one(place).space(*db, place).unwatch(key, &self.changed);
        }
    }
}

/// A command was refused. If it was to be queued, the others will not be run either; if it was EXEC, that was it. Gives
/// what is answered.
#[cold]
pub(super) fn refused(session: &mut Session, args: &[&[u8]], error: Error) -> Error {
    if args[0].eq_ignore_ascii_case(b"exec") {
        end(session);
        return aborted(&error);
    }
    if let Some(queue) = session.transaction.as_mut().and_then(|transaction| transaction.queue.as_mut()) {
        queue.spoil();
    }
    error
}

/// What EXEC answers where something else than a queued command keeps it from running.
fn aborted(error: &Error) -> Error {
    let why = error.0.strip_prefix("ERR ").unwrap_or(&error.0);
    Error::of(format!("EXECABORT Transaction discarded because of: {why}"))
}

/// Says whether a command may be sent after MULTI.
///
/// # Errors
///
/// It may not.
pub(super) fn admit(session: &Session, command: &Command) -> Outcome {
    if command.flags.has(Flags::NO_MULTI) && !runs_at_once(command) && is_queueing(session) {
        return Err(Error::new("ERR Command not allowed inside a transaction"));
    }
    Ok(())
}

/// Whether the connection has sent MULTI, and neither EXEC nor DISCARD.
pub(crate) fn is_queueing(session: &Session) -> bool {
    session.transaction.as_ref().is_some_and(|transaction| transaction.queue.is_some())
}

/// Keeps a command for EXEC. `false` where it has to run now.
///
/// # Errors
///
/// There is no room.
pub(super) fn queue(session: &mut Session, command: &'static Command, args: &[&[u8]]) -> Result<bool, Error> {
    let Some(queue) = session.transaction.as_mut().and_then(|transaction| transaction.queue.as_mut()) else {
        return Ok(false);
    };
    if runs_at_once(command) {
        return Ok(false);
    }
    if !queue.spoiled {
        queue.push(command, args)?;
    }
    note(session);
    Ok(true)
}

/// Whether a command may take memory because it is sent after MULTI, as what is queued does.
#[inline]
pub(super) fn takes_room(session: &Session, command: &Command) -> bool {
    session.transaction.is_some()
        && is_queueing(session)
        && !matches!(command.name, "exec" | "discard" | "quit" | "reset")
}

/// Whether a command is not queued after MULTI.
fn runs_at_once(command: &Command) -> bool {
    matches!(command.name, "multi" | "exec" | "discard" | "watch" | "quit" | "reset")
}

/// Ends what MULTI and WATCH have begun.
pub(crate) fn end(session: &mut Session) {
    if session.transaction.take().is_some() {
        note(session);
    }
}

/// Tells others how many commands are queued.
fn note(session: &Session) {
    if let Some(client) = &session.client {
        let queue = session.transaction.as_ref().and_then(|transaction| transaction.queue.as_ref());
        client.queued.store(queue.map_or(0, |queue| queue.commands.len() as u32 + 1), Ordering::Relaxed);
        client.queued_bytes.store(queue.map_or(0, Queue::memory) as u32, Ordering::Relaxed);
    }
}

fn multi(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let transaction = turn.session.transaction.get_or_insert_default();
    if transaction.queue.is_some() {
        return Err(Error::new("ERR MULTI calls can not be nested"));
    }
    transaction.queue = Some(Queue::new(Arc::clone(&turn.service.server)));
    note(turn.session);
    turn.service.reply.ok();
    Ok(())
}

fn discard(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    if !is_queueing(turn.session) {
        return Err(Error::new("ERR DISCARD without MULTI"));
    }
    end(turn.session);
    turn.service.reply.ok();
    Ok(())
}

fn watch(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    if is_queueing(turn.session) {
        return Err(Error::new("ERR WATCH inside MULTI is not allowed"));
    }
    let (now_ms, db) = (turn.service.now_ms(turn.cx), turn.session.db);
    let transaction = turn.session.transaction.get_or_insert_default();
    let is_first = transaction.watches.is_none();
    let watches = transaction.watches.get_or_insert_with(|| Watches::new(Arc::clone(&turn.service.server)));
    if is_first && let Some(client) = &turn.session.client {
        client.rename(|names| names.watched = Arc::downgrade(&watches.changed));
    }
    for key in &turn.args[1..] {
        watches.add(db, key, now_ms)?;
    }
    turn.service.reply.ok();
    Ok(())
}

fn unwatch(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    // In EXEC, which holds locks, nothing is watched any more.
    if !is_queueing(turn.session) {
        end(turn.session);
    }
    turn.service.reply.ok();
    Ok(())
}

fn exec(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    if !is_queueing(turn.session) {
        return Err(Error::new("ERR EXEC without MULTI"));
    }
    // From here on the connection watches nothing, and is in no transaction. The locks go before the watches, also
    // when a command panics: what is declared last is dropped first.
    let Transaction { queue, watches } = turn.session.transaction.take().map(|begun| *begun).unwrap_or_default();
    let queue = queue.unwrap_or_default();
    note(turn.session);
    if queue.spoiled {
        return Err(Error::new("EXECABORT Transaction discarded because of previous errors."));
    }
    if queue.commands.iter().any(|(command, _)| command.flags.has(Flags::DENY_OOM)) {
        turn.service.make_room().map_err(|error| aborted(&error))?;
    }
    let server = Arc::clone(&turn.service.server);
    let now_ms = turn.service.now_ms(turn.cx);
    let mut keys = queue.lock(&server.store, watches.as_ref());
    if watches.as_ref().is_some_and(|watches| watches.have_changed(&mut keys, now_ms)) {
        turn.service.reply.null_array();
        return Ok(());
    }
    turn.service.reply.array(queue.commands.len());
    turn.session.in_exec = true;
    let mut written = 0;
    queue.for_each(|command, args| {
        written += run_one(turn, command, args, &mut keys);
        if written > MOST_REPLY_BYTES {
            turn.service.forget_reply();
            turn.cx.close();
        }
    });
    turn.session.in_exec = false;
    if let Some(dream) = &mut turn.session.dream {
        dream.replies = mem::take(turn.service.reply.get_mut());
        dream.parts = mem::take(&mut turn.service.parts);
        turn.session.asleep = true;
        turn.cx.pause();
        turn.cx.set_timer(dream.time);
        return Ok(());
    }
    if turn.session.replies != Replies::On {
        // What was answered before the client asked for no replies is sent.
        turn.service.send_so_far(turn.session, turn.cx);
    }
    Ok(())
}

/// Runs one command of a transaction, and says how many bytes its reply has.
fn run_one(turn: &mut Turn<'_, '_, '_>, command: &'static Command, args: &[&[u8]], keys: &mut Keys<'_>) -> usize {
    let (start, replies) = (turn.service.written(), turn.session.replies);
    if let Err(error) = turn.service.run(command, turn.session, args, Some(keys), turn.cx) {
        turn.service.truncate_reply(start);
        turn.service.statistics.error(&error.0);
        turn.service.reply.error(&error.0);
    }
    // HELLO may have been one of them.
    turn.service.reply.set_version(turn.session.version);
    let (end, parts) = turn.service.written();
    if turn.session.replies == Replies::Off {
        turn.service.truncate_reply(start);
        if replies == Replies::On {
            turn.service.flush(turn.session, turn.cx);
        }
    }
    if end >= LARGE_BYTES {
        turn.service.send_so_far(turn.session, turn.cx);
    }
    end.saturating_sub(start.0) + parts.saturating_sub(start.1) * PART_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::server::Options;
    use crate::store::entry::New;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn set(server: &Server, name: &[u8], deadline_ms: Option<u64>, now_ms: u64) {
        let key = Key::new(name);
        let mut keys = server.store.lock_one(key);
        let space = keys.space(0, key);
        let slot = space.set(key, New::Bytes(b"value"), now_ms);
        space.set_deadline(slot, deadline_ms);
    }

    fn have_changed(watches: &Watches, server: &Server, now_ms: u64) -> bool {
        watches.have_changed(&mut Queue::default().lock(&server.store, Some(watches)), now_ms)
    }

    #[test]
    fn a_watched_key_that_expires_has_changed() {
        let server = Server::new(Options::default());
        set(&server, b"key", Some(NOW_MS + 10), NOW_MS);
        let mut watches = Watches::new(server.clone());
        watches.add(0, b"key", NOW_MS).expect("room");
        assert!(!have_changed(&watches, &server, NOW_MS + 9));
        assert!(have_changed(&watches, &server, NOW_MS + 10));
    }

    #[test]
    fn a_key_that_had_expired_when_it_was_watched_changes_only_when_it_is_set_again() {
        let server = Server::new(Options::default());
        set(&server, b"key", Some(NOW_MS + 10), NOW_MS);
        let later = NOW_MS + 20;
        let mut watches = Watches::new(server.clone());
        watches.add(0, b"key", later).expect("room");
        let key = Key::new(b"key");
        server.store.lock_one(key).space(0, key).remove(key, later);
        assert!(!have_changed(&watches, &server, later));
        set(&server, b"key", None, later);
        assert!(have_changed(&watches, &server, later));
    }

    #[test]
    fn nothing_is_watched_any_more_when_a_panic_takes_the_session_away() {
        let server = Server::new(Options::default());
        let mut watches = Watches::new(server.clone());
        watches.add(0, b"key", NOW_MS).expect("room");
        let changed = Arc::downgrade(&watches.changed);
        let (owner, queue) = (server.clone(), Queue::default());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let watches = watches;
            let _keys = queue.lock(&owner.store, Some(&watches));
            panic!("a command panics with shards locked");
        }));
        assert!(panicked.is_err());
        assert_eq!(changed.strong_count(), 0);
    }

    #[test]
    fn what_is_queued_takes_memory_of_the_server_until_it_has_run_or_was_given_up() {
        let server = Server::new(Options::default());
        let set = crate::service::table::find(b"set").expect("there");
        let mut queues = [(); 3].map(|()| Queue::new(server.clone()));
        for queue in &mut queues {
            queue.push(set, &[b"set", b"key", &[7; 1 << 20]]).expect("room");
        }
        assert!((3 << 20..4 << 20).contains(&server.memory.queued()), "{}", server.memory.queued());
        assert_eq!(server.memory.used(&server.store), server.memory.queued());
        let [ran, mut spoiled, panicked] = queues;
        drop(ran);
        spoiled.spoil();
        assert!((1 << 20..2 << 20).contains(&server.memory.queued()));
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _queue = panicked;
            panic!("a command panics");
        }));
        assert!(unwound.is_err());
        assert_eq!(server.memory.queued(), 0);
    }

    #[test]
    fn what_was_queued_comes_back_word_by_word() {
        let mut queue = Queue::default();
        let (get, set) =
            (crate::service::table::find(b"get").expect("there"), crate::service::table::find(b"set").expect("there"));
        queue.push(set, &[b"set", b"", b"value"]).expect("room");
        queue.push(get, &[b"get", b"a"]).expect("room");
        let mut all = Vec::new();
        queue.for_each(|command, args| all.push((command.name, args.concat(), args.len())));
        assert_eq!(all, [("set", b"setvalue".to_vec(), 3), ("get", b"geta".to_vec(), 2)]);
    }
}
