//! Who listens to what, over all reactors: the names that have subscribers, with how many and where messages go.
//!
//! It is locked for the time of a look-up only, and nothing else is locked meanwhile. EXEC publishes while it holds
//! locks of the store, so whoever holds this lock must not ask for one of the store.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::quality::RandomState;
use gannet::Group;
use gannet::proto::resp::Version;
use smallvec::SmallVec;

use crate::glob;

/// What a name stands for. Each kind has names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A channel, as `SUBSCRIBE` takes it.
    Channel,
    /// A pattern of channels, as `PSUBSCRIBE` takes it.
    Pattern,
    /// A channel of one shard of a cluster, as `SSUBSCRIBE` takes it.
    Shard,
}

/// The subscribers of one name: two groups, since a message looks different in each version of the protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience {
    groups: [Group; 2],
    counts: [u32; 2],
}

impl Audience {
    fn new() -> Self {
        Self { groups: [Group::new(), Group::new()], counts: [0; 2] }
    }

    /// Those that understand a version, if there are any.
    #[inline]
    pub(crate) fn of(&self, version: Version) -> Option<Group> {
        (self.counts[version as usize] > 0).then_some(self.groups[version as usize])
    }

    /// How many they are.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.counts[0]) + u64::from(self.counts[1])
    }
}

type Names = HashMap<Arc<[u8]>, Audience, RandomState>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    channels: RwLock<Names>,
    patterns: RwLock<Names>,
    shards: RwLock<Names>,
}

impl Registry {
    /// Counts a subscriber in. Gives the name as it is kept, and the group that the subscriber has to join.
    pub(crate) fn add(&self, kind: Kind, name: &[u8], version: Version) -> (Arc<[u8]>, Group) {
        let mut names = self.write(kind);
        if let Some((kept, _)) = names.get_key_value(name) {
            let kept = Arc::clone(kept);
            if let Some(audience) = names.get_mut(name) {
                audience.counts[version as usize] += 1;
                return (kept, audience.groups[version as usize]);
            }
        }
        let (kept, mut audience) = (Arc::<[u8]>::from(name), Audience::new());
        audience.counts[version as usize] = 1;
        names.insert(Arc::clone(&kept), audience);
        (kept, audience.groups[version as usize])
    }

    /// Counts a subscriber out that was counted in. Gives the group that it has to leave.
    pub(crate) fn remove(&self, kind: Kind, name: &[u8], version: Version) -> Option<Group> {
        count_out(&mut self.write(kind), name, version)
    }

    /// Counts a subscriber out of several names at once.
    pub(crate) fn remove_all<'n>(&self, kind: Kind, names: impl Iterator<Item = &'n Arc<[u8]>>, version: Version) {
        let mut kept = self.write(kind);
        for name in names {
            count_out(&mut kept, name, version);
        }
    }

    /// The subscribers of a name.
    #[inline]
    pub(crate) fn audience(&self, kind: Kind, name: &[u8]) -> Option<Audience> {
        self.read(kind).get(name).copied()
    }

    /// The patterns that describe a channel, with their subscribers. Adds to `looked_at` how many there are in all.
    #[inline]
    pub(crate) fn matching(&self, channel: &[u8], looked_at: &mut usize) -> SmallVec<[(Arc<[u8]>, Audience); 2]> {
        let patterns = self.read(Kind::Pattern);
        if patterns.is_empty() {
            return SmallVec::new();
        }
        *looked_at += patterns.len();
        let matching = patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel));
        matching.map(|(pattern, audience)| (Arc::clone(pattern), *audience)).collect()
    }

    /// All names, or those that a pattern describes.
    pub(crate) fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        let names = self.read(kind);
        let wanted = names.keys().filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name)));
        wanted.cloned().collect()
    }

    /// How many names there are.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.read(kind).len()
    }

    fn of(&self, kind: Kind) -> &RwLock<Names> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shards,
        }
    }

    fn read(&self, kind: Kind) -> RwLockReadGuard<'_, Names> {
        self.of(kind).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, kind: Kind) -> RwLockWriteGuard<'_, Names> {
        self.of(kind).write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count_out(names: &mut Names, name: &[u8], version: Version) -> Option<Group> {
    let audience = names.get_mut(name)?;
    let count = &mut audience.counts[version as usize];
    *count = count.saturating_sub(1);
    let group = audience.groups[version as usize];
    if audience.len() == 0 {
        names.remove(name);
    }
    Some(group)
}
