//! All connections, as CLIENT LIST shows them to whoever asks, on any reactor.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gannet::{Handle, Peer};

use crate::service::table::Command;

/// What others may know of a connection. It is written by the connection's own reactor only, by plain stores: the
/// numbers that one reads may be from slightly different moments.
#[derive(Debug)]
pub(crate) struct Client {
    /// Counts up from 1 over all reactors; no two are ever the same.
    pub(crate) id: u64,
    pub(crate) handle: Handle,
    pub(crate) peer: Peer,
    /// Which of the server's listeners it came by.
    pub(crate) listener: usize,
    /// In seconds since 1970.
    pub(crate) opened_s: u32,
    /// When the last command came, in seconds since 1970.
    last_s: AtomicU32,
    /// That command: only compared with those that there are.
    last: AtomicPtr<Command>,
    pub(crate) db: AtomicU8,
    /// 2 or 3.
    pub(crate) version: AtomicU8,
    /// Some of [`Marks`].
    marks: AtomicU8,
    /// Channels subscribed to.
    pub(crate) channels: AtomicU32,
    /// Patterns subscribed to.
    pub(crate) patterns: AtomicU32,
    /// Shard channels subscribed to.
    pub(crate) shards: AtomicU32,
    /// Commands queued by MULTI, and one more; 0 is outside of MULTI.
    pub(crate) queued: AtomicU32,
    /// Bytes that they take.
    pub(crate) queued_bytes: AtomicU32,
    names: Mutex<Option<Box<Names>>>,
}

/// What a client calls itself, and what else few clients have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) name: String,
    pub(crate) lib_name: String,
    pub(crate) lib_version: String,
    /// Set when a key has changed that it watches; gone when it watches none any more.
    pub(crate) watched: Weak<AtomicBool>,
}

/// What is on or off for a connection.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Mark {
    /// CLIENT NO-EVICT.
    NoEvict = 1,
    /// CLIENT NO-TOUCH.
    NoTouch = 2,
    /// It is to be closed.
    Closing = 4,
}

impl Client {
    fn new(id: u64, handle: Handle, peer: Peer, listener: usize, now_s: u32) -> Self {
        Self {
            id,
            handle,
            peer,
            listener,
            opened_s: now_s,
            last_s: AtomicU32::new(now_s),
            last: AtomicPtr::new(ptr::null_mut()),
            db: AtomicU8::new(0),
            version: AtomicU8::new(2),
            marks: AtomicU8::new(0),
            channels: AtomicU32::new(0),
            patterns: AtomicU32::new(0),
            shards: AtomicU32::new(0),
            queued: AtomicU32::new(0),
            queued_bytes: AtomicU32::new(0),
            names: Mutex::new(None),
        }
    }

    /// Notes that a command came.
    #[inline]
    pub(crate) fn note(&self, command: &'static Command, now_s: u32) {
        self.last.store(ptr::from_ref(command).cast_mut(), Ordering::Relaxed);
        self.last_s.store(now_s, Ordering::Relaxed);
    }

    /// The last command, where there was one.
    pub(crate) fn last(&self) -> Option<&'static Command> {
        let last = self.last.load(Ordering::Relaxed).cast_const();
        crate::service::table::with_subcommands().find(|command| ptr::eq(*command, last))
    }

    /// When the last command came, in seconds since 1970.
    pub(crate) fn last_s(&self) -> u32 {
        self.last_s.load(Ordering::Relaxed)
    }

    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.marks.load(Ordering::Relaxed) & mark as u8 != 0
    }

    pub(crate) fn mark(&self, mark: Mark, on: bool) {
        if on {
            self.marks.fetch_or(mark as u8, Ordering::Relaxed);
        } else {
            self.marks.fetch_and(!(mark as u8), Ordering::Relaxed);
        }
    }

    /// What it calls itself.
    pub(crate) fn names(&self) -> Names {
        self.lock_names().as_deref().cloned().unwrap_or_default()
    }

    /// Shows the name that it has given itself, if any.
    pub(crate) fn with_name(&self, show: impl FnOnce(&str)) {
        if let Some(names) = self.lock_names().as_deref().filter(|names| !names.name.is_empty()) {
            show(&names.name);
        }
    }

    /// Changes what it calls itself.
    pub(crate) fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(self.lock_names().get_or_insert_default());
    }

    fn lock_names(&self) -> MutexGuard<'_, Option<Box<Names>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All clients, by their ids. The lock is taken when a connection comes, when it goes, and by commands that are about
/// clients: by none of those that clients send all the time.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last_id: AtomicU64,
    all: Mutex<BTreeMap<u64, Arc<Client>>>,
}

impl Clients {
    /// Takes in a connection.
    pub(crate) fn add(&self, handle: Handle, peer: Peer, listener: usize, now_s: u32) -> Arc<Client> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client::new(id, handle, peer, listener, now_s));
        self.lock().insert(id, client.clone());
        client
    }

    /// Forgets one.
    pub(crate) fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// One of them.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.lock().get(&id).cloned()
    }

    /// All there are now, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
