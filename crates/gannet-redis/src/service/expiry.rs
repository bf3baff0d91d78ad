//! The thread that removes keys whose time has come, though nobody asks for them, and drops what takes long to drop.
//!
//! It waits for no lock that is held for long, and holds each for a short time only: at most [`MOST_AT_ONCE`] keys are
//! removed at a time, and they are dropped when the shard is free again.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::clock;
use super::eviction::Eviction;
use super::server::Server;
use crate::store::garbage::Garbage;
use crate::store::random::Random;
use crate::store::{SHARDS, Store};

/// How late a key is removed at most, unless very many are due.
const TURN: Duration = Duration::from_millis(100);

/// Keys that are removed under one lock.
const MOST_AT_ONCE: usize = 64;

/// How often room is made before it is looked for something else to do.
const EVICTIONS: usize = 64;

/// Commands whose garbage may wait; that of further ones is dropped by whoever ran them.
const WAITING: usize = 16;

/// The way to the thread for what is to be dropped there.
#[derive(Debug, Default)]
pub(crate) struct Disposal(Mutex<Option<SyncSender<Vec<Garbage>>>>);

impl Disposal {
    /// Drops garbage on the thread, or here where there is none or it has too much to do.
    pub(crate) fn drop_later(&self, garbage: Vec<Garbage>) {
        let sent = match &*self.sender() {
            Some(sender) => sender.try_send(garbage).map_err(|error| match error {
                std::sync::mpsc::TrySendError::Full(garbage) => garbage,
                std::sync::mpsc::TrySendError::Disconnected(garbage) => garbage,
            }),
            None => Err(garbage),
        };
        drop(sent);
    }

    fn sender(&self) -> std::sync::MutexGuard<'_, Option<SyncSender<Vec<Garbage>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the thread running that removes expired keys. The thread ends when this or the server is dropped.
///
/// Without the thread, an expired key is invisible to clients too, but takes memory until a command looks at it.
#[derive(Debug)]
pub struct Expiry {
    server: Weak<Server>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Expiry {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade() {
            // The thread ends when nobody can send to it.
            *server.disposal.sender() = None;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that removes expired keys panicked");
        }
    }
}

impl Server {
    /// Starts the thread that removes expired keys. It ends when the returned guard is dropped.
    ///
    /// # Errors
    ///
    /// The thread runs already, or the system allows no further thread.
    pub fn start_expiry(self: &Arc<Self>) -> io::Result<Expiry> {
        let mut sender = self.disposal.sender();
        if sender.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "expired keys are removed already"));
        }
        let (send, receive) = sync_channel(WAITING);
        let mut work = Work {
            server: Arc::downgrade(self),
            eviction: Eviction::default(),
            random: Random::new(self.next_seed()),
            garbage: Vec::new(),
        };
        let thread = thread::Builder::new().name("redis-expiry".into()).spawn(move || work.run(&receive))?;
        *sender = Some(send);
        Ok(Expiry { server: Arc::downgrade(self), thread: Some(thread) })
    }
}

/// What the thread has.
struct Work {
    server: Weak<Server>,
    eviction: Eviction,
    random: Random,
    garbage: Vec<Garbage>,
}

impl Work {
    fn run(&mut self, garbage: &Receiver<Vec<Garbage>>) {
        let mut wait = TURN;
        loop {
            match garbage.recv_timeout(wait) {
                Ok(garbage) => drop(garbage),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(server) = self.server.upgrade() else { return };
            let now_ms = clock::time_of_day().as_millis() as u64;
            let expired = expire(&server.store, now_ms, &mut self.garbage);
            let evicted = self.evict(&server);
            wait = if expired || evicted { Duration::ZERO } else { TURN };
        }
    }

    /// Goes on where a command had to stop; says whether there is more to do.
    fn evict(&mut self, server: &Server) -> bool {
        for _ in 0..EVICTIONS {
            if !server.memory.is_over(&server.store) {
                return false;
            }
            let made_room = self.eviction.make_room(server, &mut self.random, &mut self.garbage);
            self.garbage.clear();
            if made_room.is_err() {
                return false;
            }
        }
        true
    }
}

/// Removes keys whose time has come from every shard; says whether there may be more.
fn expire(store: &Store, now_ms: u64, garbage: &mut Vec<Garbage>) -> bool {
    let mut more = false;
    if store.counts().all_expiring() == 0 {
        return more;
    }
    for number in 0..SHARDS {
        let mut locked = store.lock_shard(number);
        let shard = locked.shard(number);
        for db in shard.databases() {
            if let Some(space) = shard.existing(db) {
                more |= space.expire(now_ms, MOST_AT_ONCE, garbage) == MOST_AT_ONCE;
            }
        }
        drop(locked);
        garbage.clear();
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::server::Options;
    use crate::store::Key;
    use crate::store::entry::New;

    fn set(server: &Server, name: &str, deadline_ms: u64) {
        let key = Key::new(name.as_bytes());
        let mut keys = server.store.lock_one(key);
        let space = keys.space(3, key);
        let slot = space.set(key, New::Bytes(b"value"), 1);
        space.set_deadline(slot, Some(deadline_ms));
    }

    #[test]
    fn what_is_due_goes_a_little_from_each_shard_at_a_time() {
        let server = Server::new(Options::default());
        for number in 0..SHARDS * MOST_AT_ONCE * 2 {
            set(&server, &number.to_string(), 10);
        }
        set(&server, "later", 11);
        let mut turns = 1;
        while expire(&server.store, 10, &mut Vec::new()) {
            turns += 1;
        }
        let counts = server.store.counts();
        assert_eq!((counts.keys(3), counts.expiring(3)), (1, 1));
        assert_eq!(counts.expired(), (SHARDS * MOST_AT_ONCE * 2) as u64);
        assert!((3..6).contains(&turns), "{turns}");
    }

    #[test]
    fn the_thread_removes_what_nobody_asks_for_and_drops_what_it_is_given() {
        let server = Server::new(Options::default());
        let expiry = server.start_expiry().expect("a thread");
        assert!(server.start_expiry().is_err(), "one is enough");
        set(&server, "key", 1);
        while server.store.counts().expired() == 0 {
            thread::yield_now();
        }
        for _ in 0..1000 {
            server.disposal.drop_later(vec![Garbage::Space(Box::default())]);
        }
        drop(expiry);
        server.disposal.drop_later(vec![Garbage::Space(Box::default())]);
        let again = server.start_expiry().expect("one after the other");
        drop(server);
        drop(again);
    }
}
