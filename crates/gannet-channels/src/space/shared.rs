//! What all shards of a space share, and which reactors to wake after a lock was released.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use smallvec::SmallVec;

use super::table::Table;
use crate::current::{Current, Seen};
use crate::error::{ChannelError, SettingsError};
use crate::hash::NameHash;
use crate::inbox::Inbox;
use crate::limits::Limits;
use crate::name;
use crate::settings::{Options, Settings};
use crate::stats::Refusals;
use crate::tap::Tap;

/// What all shards of a space share.
pub(crate) struct Shared {
    /// Those that the space was made with. What may change is in the table.
    pub(crate) limits: Limits,
    pub(crate) table: Current<Table>,
    pub(crate) hash: NameHash,
    pub(crate) seed: u64,
    inboxes: Box<[Inbox]>,
    /// Channels of all shards.
    pub(crate) channels: AtomicUsize,
    /// Bytes of all histories. Shards add what changed, which may be less than nothing: it wraps.
    pub(crate) history_bytes: AtomicUsize,
    /// Publications of all histories, counted in the same way.
    pub(crate) history_publications: AtomicUsize,
    /// Idempotency keys of all shards.
    pub(crate) keys: AtomicUsize,
    pub(crate) refusals: Refusals,
    /// Sees the publications of namespaces that are open to Redis clients.
    pub(crate) tap: OnceLock<Tap>,
}

/// A channel's name, checked.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: u64,
    pub(crate) namespace: u16,
    pub(crate) options: &'a Options,
    /// The limit of all histories.
    pub(crate) history_bytes: usize,
}

/// A channel's name, checked, and the number of its namespace.
pub(crate) struct Found<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: u64,
    pub(crate) namespace: u16,
    pub(crate) table: Seen<Table>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, reactors: usize, seed: u64) -> Result<Self, SettingsError> {
        let limits = settings.limits.clone();
        Ok(Self {
            limits,
            table: Current::new(Table::new(settings, reactors)?),
            hash: NameHash::new(seed),
            seed,
            inboxes: (0..reactors).map(|_| Inbox::default()).collect(),
            channels: AtomicUsize::new(0),
            history_bytes: AtomicUsize::new(0),
            history_publications: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
            refusals: Refusals::default(),
            tap: OnceLock::new(),
        })
    }

    /// Checks a channel's name and finds its namespace.
    pub(crate) fn find<'a>(&self, channel: &'a str) -> Result<Found<'a>, ChannelError> {
        self.try_find(channel).inspect_err(|_| count(&self.refusals.names))
    }

    fn try_find<'a>(&self, channel: &'a str) -> Result<Found<'a>, ChannelError> {
        name::check(channel, self.limits.channel_name)?;
        let (namespace, _) = name::split_name(channel);
        let table = self.table.get();
        let Some(number) = table.number(namespace) else { return Err(unknown(channel)) };
        Ok(Found { name: channel, hash: self.hash.of(channel), namespace: number, table })
    }

    pub(crate) fn inbox(&self, reactor: u16) -> &Inbox {
        &self.inboxes[usize::from(reactor)]
    }

    pub(crate) fn inboxes(&self) -> &[Inbox] {
        &self.inboxes
    }
}

/// Says that a channel's namespace is not configured.
pub(crate) fn unknown(channel: &str) -> ChannelError {
    ChannelError::UnknownNamespace { namespace: name::split_name(channel).0.into() }
}

/// Reactors whose wakers are called when no lock is held any more.
#[derive(Default)]
pub(crate) struct Wakes(SmallVec<[u16; 16]>);

impl Wakes {
    pub(crate) fn push(&mut self, reactor: u16) {
        self.0.push(reactor);
    }

    /// Calls the wakers.
    pub(crate) fn call(self, shared: &Shared) {
        for reactor in self.0 {
            shared.inbox(reactor).wake();
        }
    }
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
