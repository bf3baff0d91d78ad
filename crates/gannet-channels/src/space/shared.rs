//! What all shards of a space share, and which reactors to wake after a lock was released.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::error::{ChannelError, SettingsError};
use crate::hash::NameHash;
use crate::inbox::Inbox;
use crate::limits::Limits;
use crate::name;
use crate::settings::{Namespace, Options, Settings};
use crate::stats::Refusals;
use crate::tap::Tap;

/// What all shards of a space share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) namespaces: Vec<Namespace>,
    by_name: BTreeMap<Box<str>, u16>,
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
}

impl Shared {
    pub(crate) fn new(settings: Settings, reactors: usize, seed: u64) -> Result<Self, SettingsError> {
        settings.check(reactors)?;
        let by_name = (0u16..).zip(&settings.namespaces).map(|(index, space)| (space.name.as_str().into(), index));
        Ok(Self {
            by_name: by_name.collect(),
            limits: settings.limits,
            namespaces: settings.namespaces,
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
    pub(crate) fn named<'a>(&'a self, channel: &'a str) -> Result<Named<'a>, ChannelError> {
        self.find(channel).inspect_err(|_| {
            self.refusals.names.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn find<'a>(&'a self, channel: &'a str) -> Result<Named<'a>, ChannelError> {
        name::check(channel, self.limits.channel_name)?;
        let (namespace, _) = name::split_name(channel);
        let Some(index) = self.by_name.get(namespace).copied() else {
            return Err(ChannelError::UnknownNamespace { namespace: namespace.into() });
        };
        let options = &self.namespaces[usize::from(index)].options;
        Ok(Named { name: channel, hash: self.hash.of(channel), namespace: index, options })
    }

    pub(crate) fn inbox(&self, reactor: u16) -> &Inbox {
        &self.inboxes[usize::from(reactor)]
    }

    pub(crate) fn inboxes(&self) -> &[Inbox] {
        &self.inboxes
    }
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
