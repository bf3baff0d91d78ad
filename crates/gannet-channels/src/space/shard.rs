//! A shard: the channels whose names hash to it, behind one lock.
//!
//! Everything that changes a channel happens here, and the deliveries that tell of it enter the inboxes before the lock
//! is released. So every reactor sees the events of a channel in the order of their numbers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashTable;

use super::channel::{Channel, is_same_stream};
use super::idempotency::Idempotency;
use super::presence::{Presence, shrink};
use super::shared::{Named, Shared, Wakes, count};
use super::stream::Size;
use super::table::Table;
use crate::client::ClientInfo;
use crate::delivery::Event;
use crate::error::{HistoryError, PublishError, SubscribeError};
use crate::history::{History, HistoryRequest};
use crate::name::Identity;
use crate::position::{Epoch, Position};
use crate::publication::{Publication, Publish};
use crate::stats::Tally;
use crate::subscribe::{Flags, Granted, Subscribe, Subscribed};
use crate::time::Time;

/// A channel and when something is to be done with it. Ordered by time alone.
pub(super) struct Due(pub(super) Time, pub(super) Arc<Identity>);

/// The channels of one shard.
pub(super) struct Shard {
    pub(super) channels: HashTable<Box<Channel>>,
    /// Channels with a history, by when their oldest publication is too old. One entry each at most.
    pub(super) aging: BinaryHeap<Reverse<Due>>,
    /// Channels that only remember their position, by when they forget it. One entry each at most.
    resting: BinaryHeap<Reverse<Due>>,
    /// Numbers the lives of channels.
    epochs: u64,
    /// The newest epoch that existed when a stream with publications was last forgotten.
    forgotten: u64,
    keys: Idempotency,
    pub(super) tallies: Vec<Tally>,
}

/// What a roster keeps of a subscription that was made.
pub(crate) struct Joined {
    pub(crate) channel: Arc<Identity>,
    /// The number of the first event that the subscriber gets.
    pub(crate) since: u64,
    /// The newest offset that the subscriber does not get any more.
    pub(crate) top: u64,
    pub(crate) subscribed: Subscribed,
    pub(crate) flags: Flags,
}

/// A client that subscribes.
pub(crate) struct Join<'a> {
    pub(crate) reactor: u16,
    /// The roster's index of the channel.
    pub(crate) local: u32,
    pub(crate) request: &'a Subscribe,
    pub(crate) info: &'a Arc<ClientInfo>,
}

impl Shard {
    pub(super) fn new(shared: &Shared, namespaces: usize) -> Self {
        Self {
            channels: HashTable::new(),
            aging: BinaryHeap::new(),
            resting: BinaryHeap::new(),
            epochs: 0,
            forgotten: 0,
            keys: Idempotency::new(shared.hash),
            tallies: vec![Tally::default(); namespaces],
        }
    }

    pub(super) fn publish(
        &mut self,
        shared: &Shared,
        named: Named<'_>,
        publish: Publish,
        now: Time,
        wakes: &mut Wakes,
    ) -> Result<Position, PublishError> {
        let key = publish.idempotency_key;
        if let Some(key) = &key {
            if let Some(position) = self.keys.find(named.name, key) {
                self.tallies[usize::from(named.namespace)].duplicates += 1;
                return Ok(position);
            }
            let limit = shared.limits.idempotency_keys;
            if shared.keys.load(Ordering::Relaxed) >= limit {
                count(&shared.refusals.keys);
                return Err(PublishError::TooManyKeys { limit });
            }
        }
        let options = named.options;
        let keep = options.has_history() && !publish.skip_history;
        let bytes = publish.data.len() as u64;
        let channel = if keep {
            Some(self.channel(shared, named, now).map_err(|limit| PublishError::TooManyChannels { limit })?)
        } else {
            find_mut(&mut self.channels, named.name, named.hash)
        };
        // Nothing refuses the publication from here on, and the lock gives every other one its place after it.
        if options.redis
            && let Some(tap) = shared.tap.get()
        {
            tap(named.name, &publish.data);
        }
        let mut position = Position::default();
        let mut kept = Default::default();
        let (mut age, mut rest) = (None, false);
        if let Some(channel) = channel {
            let mut offset = 0;
            if keep {
                offset = channel.top + 1;
                channel.top = offset;
                channel.remembered_until = channel.remembered_until.max(now + options.history_meta_ttl);
            }
            let Publish { data, info, tags, .. } = publish;
            let publication = Arc::new(Publication { data, offset, info, tags, time: now });
            if keep {
                let before = channel.stream.size();
                channel.stream.expire(options, now);
                let others = shared.history_bytes.load(Ordering::Relaxed).saturating_sub(before.bytes);
                let room = named.history_bytes.saturating_sub(others);
                kept = channel.stream.push(Arc::clone(&publication), options.history_size, room);
                account(shared, before, channel.stream.size());
                if !channel.aging && !channel.stream.is_empty() {
                    channel.aging = true;
                    age = channel.stream.expiry(options).map(|expiry| Due(expiry, Arc::clone(&channel.identity)));
                }
                rest = channel.is_empty();
                position = channel.position();
            }
            if channel.has_subscribers() {
                channel.send(Event::Publication(publication), shared, wakes);
            }
        }
        self.aging.extend(age.map(Reverse));
        if rest {
            self.rest(shared, named.name, named.hash, now);
        }
        let tally = &mut self.tallies[usize::from(named.namespace)];
        tally.publications += 1;
        tally.publication_bytes += bytes;
        tally.history_evicted += kept.evicted;
        tally.history_refused += u64::from(kept.refused);
        if let Some(key) = key {
            self.keys.insert(named.name, &key, position, now + shared.limits.idempotency_ttl);
            shared.keys.fetch_add(1, Ordering::Relaxed);
        }
        Ok(position)
    }

    pub(super) fn join(
        &mut self,
        shared: &Shared,
        named: Named<'_>,
        join: &Join<'_>,
        now: Time,
        wakes: &mut Wakes,
    ) -> Result<Joined, SubscribeError> {
        let forgotten = self.forgotten;
        let channel = self.channel(shared, named, now).map_err(|limit| SubscribeError::SpaceFull { limit })?;
        let limit = shared.limits.subscribers_per_channel;
        if channel.subscribers as usize >= limit {
            count(&shared.refusals.subscribers);
            return Err(SubscribeError::ChannelFull { limit });
        }
        let before = channel.stream.size();
        channel.stream.expire(named.options, now);
        account(shared, before, channel.stream.size());
        let epoch = channel.identity.epoch();
        let granted = Granted::new(join.request, named.options);
        let subscribed = channel.recover(join.request, granted, named.options, &shared.limits, |since| {
            is_same_stream(since, epoch, forgotten)
        });
        let flags = granted.flags;
        channel.add(join.reactor, join.local, flags);
        if flags.has(Flags::PRESENT) {
            channel.presence.get_or_insert_default().add(join.info);
        }
        let joined = Joined {
            channel: Arc::clone(&channel.identity),
            since: channel.seq(),
            top: channel.top,
            subscribed,
            flags,
        };
        let told =
            flags.has(Flags::TELLS_JOIN_LEAVE) && channel.tell(Event::Join(Arc::clone(join.info)), shared, wakes);
        let tally = &mut self.tallies[usize::from(named.namespace)];
        tally.joins += u64::from(told);
        tally.subscribed += 1;
        match joined.subscribed.recovered {
            Some(true) => {
                tally.recovered += 1;
                tally.recovered_publications += joined.subscribed.publications.len() as u64;
            }
            Some(false) => tally.unrecovered += 1,
            None => {}
        }
        Ok(joined)
    }

    pub(super) fn leave(
        &mut self,
        shared: &Shared,
        identity: &Identity,
        reactor: u16,
        (info, flags): (&Arc<ClientInfo>, Flags),
        now: Time,
        wakes: &mut Wakes,
    ) {
        let Some(channel) = find_mut(&mut self.channels, identity.name(), identity.hash()) else {
            debug_assert!(false, "{} has a subscriber and is not there", identity.name());
            return;
        };
        channel.remove(reactor, flags);
        if flags.has(Flags::PRESENT)
            && let Some(presence) = &mut channel.presence
        {
            // It may have been turned off and on since the client subscribed.
            presence.remove(info.client());
            if presence.len() == 0 {
                channel.presence = None;
            }
        }
        let told = flags.has(Flags::TELLS_JOIN_LEAVE) && channel.tell(Event::Leave(Arc::clone(info)), shared, wakes);
        let rest = channel.is_empty();
        let tally = &mut self.tallies[identity.namespace()];
        tally.leaves += u64::from(told);
        tally.unsubscribed += 1;
        if rest {
            self.rest(shared, identity.name(), identity.hash(), now);
        }
    }

    /// Replaces what is known of a client in a channel.
    pub(super) fn update(&mut self, identity: &Identity, info: &Arc<ClientInfo>) {
        let channel = find_mut(&mut self.channels, identity.name(), identity.hash());
        if let Some(presence) = channel.and_then(|channel| channel.presence.as_mut()) {
            presence.replace(info);
        }
    }

    pub(super) fn history(
        &mut self,
        shared: &Shared,
        named: Named<'_>,
        request: &HistoryRequest,
        now: Time,
    ) -> Result<History, HistoryError> {
        let forgotten = self.forgotten;
        let Some(channel) = find_mut(&mut self.channels, named.name, named.hash) else {
            // Nothing is kept for it: the next life of the channel will know offset 0 of this epoch as its own.
            let epoch = self.next_epoch(shared);
            return match &request.since {
                Some(since) if !is_same_stream(since, epoch, forgotten) => Err(HistoryError::Unrecoverable),
                _ => Ok(History { publications: Vec::new(), position: Position { offset: 0, epoch } }),
            };
        };
        if let Some(since) = &request.since
            && !is_same_stream(since, channel.identity.epoch(), forgotten)
        {
            return Err(HistoryError::Unrecoverable);
        }
        let before = channel.stream.size();
        channel.stream.expire(named.options, now);
        account(shared, before, channel.stream.size());
        let history = History { publications: request.choose(channel.stream.iter()), position: channel.position() };
        if channel.is_empty() {
            self.rest(shared, named.name, named.hash, now);
        }
        Ok(history)
    }

    /// Drops the publications of a channel, but neither its offset nor its epoch.
    pub(super) fn clear(&mut self, shared: &Shared, named: Named<'_>, now: Time) -> Position {
        let Some(channel) = find_mut(&mut self.channels, named.name, named.hash) else { return Position::default() };
        account(shared, channel.stream.size(), Size::default());
        channel.stream.clear();
        let position = channel.position();
        if channel.is_empty() {
            self.rest(shared, named.name, named.hash, now);
        }
        position
    }

    /// The channel of this name, its newest offset and the number of its next event.
    pub(super) fn head(&self, identity: &Identity) -> Option<(&Arc<Identity>, u64, u64)> {
        let channel = self.find(identity.name(), identity.hash())?;
        Some((&channel.identity, channel.top, channel.seq()))
    }

    pub(super) fn presence(&self, named: Named<'_>) -> Option<&Presence> {
        self.find(named.name, named.hash)?.presence.as_ref()
    }

    pub(super) fn subscribers(&self, named: Named<'_>) -> u32 {
        self.find(named.name, named.hash).map_or(0, |channel| channel.subscribers)
    }

    /// All channels with subscribers, and how many these are.
    pub(super) fn channels(&self) -> impl Iterator<Item = (&str, u32)> {
        let all = self.channels.iter().map(|channel| (channel.identity.name(), channel.subscribers));
        all.filter(|(_, subscribers)| *subscribers > 0)
    }

    /// Does at most `most` of what is due by now. Returns how much was done.
    pub(super) fn tick(&mut self, shared: &Shared, table: &Table, now: Time, most: usize) -> usize {
        let keys = self.keys.expire(now, most);
        shared.keys.fetch_sub(keys, Ordering::Relaxed);
        let mut done = keys;
        while done < most && self.aging.peek().is_some_and(|Reverse(due)| due.0 <= now) {
            done += 1;
            if let Some(Reverse(Due(_, identity))) = self.aging.pop() {
                self.age(shared, table, identity, now);
            }
        }
        while done < most && self.resting.peek().is_some_and(|Reverse(due)| due.0 <= now) {
            done += 1;
            if let Some(Reverse(Due(_, identity))) = self.resting.pop() {
                self.wake_rest(shared, identity, now);
            }
        }
        done
    }

    /// Whether nothing is left: no channel, no key, nothing that waits for its time.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.keys.len() == 0
    }

    pub(super) fn find_mut(&mut self, identity: &Arc<Identity>) -> Option<&mut Channel> {
        let found = find_mut(&mut self.channels, identity.name(), identity.hash())?;
        Arc::ptr_eq(&found.identity, identity).then_some(found)
    }

    fn find(&self, name: &str, hash: u64) -> Option<&Channel> {
        self.channels.find(hash, |channel| channel.identity.is_named(name)).map(|channel| &**channel)
    }

    /// Finds a channel, or makes it. The error is the limit of channels.
    ///
    /// Threads that make channels in several shards at once may exceed the limit by as many channels.
    fn channel(&mut self, shared: &Shared, named: Named<'_>, now: Time) -> Result<&mut Channel, usize> {
        let limit = shared.limits.channels;
        if shared.channels.load(Ordering::Relaxed) >= limit
            && self.find(named.name, named.hash).is_none()
            && !self.forget_one(shared, now)
        {
            count(&shared.refusals.channels);
            return Err(limit);
        }
        let entry = match self.channels.find_entry(named.hash, |channel| channel.identity.is_named(named.name)) {
            Ok(there) => there,
            Err(absent) => {
                // One without history may get one.
                self.epochs += 1;
                let epoch = Epoch::new(shared.seed, self.epochs);
                let identity = Identity::new(named.name, named.hash, epoch, named.namespace);
                let channel = Box::new(Channel::new(Arc::new(identity)));
                shared.channels.fetch_add(1, Ordering::Relaxed);
                self.tallies[usize::from(named.namespace)].channels += 1;
                absent.into_table().insert_unique(named.hash, channel, |channel| channel.identity.hash())
            }
        };
        Ok(entry.into_mut())
    }

    fn next_epoch(&mut self, shared: &Shared) -> Epoch {
        self.epochs += 1;
        Epoch::new(shared.seed, self.epochs)
    }

    /// A channel has neither subscribers nor publications: it goes, or remembers its position for a while.
    pub(super) fn rest(&mut self, shared: &Shared, name: &str, hash: u64, now: Time) {
        let Some(channel) = find_mut(&mut self.channels, name, hash) else { return };
        if channel.top == 0 || channel.remembered_until <= now {
            self.forget(shared, name, hash);
        } else if !channel.resting {
            channel.resting = true;
            self.resting.push(Reverse(Due(channel.remembered_until, Arc::clone(&channel.identity))));
        }
    }

    /// The oldest publication of a channel is too old, unless the channel changed since.
    fn age(&mut self, shared: &Shared, table: &Table, identity: Arc<Identity>, now: Time) {
        let Some(channel) = find_mut(&mut self.channels, identity.name(), identity.hash()) else { return };
        if !Arc::ptr_eq(&channel.identity, &identity) {
            return;
        }
        let options = &table.slot(identity.namespace()).options;
        let before = channel.stream.size();
        channel.stream.expire(options, now);
        account(shared, before, channel.stream.size());
        if let Some(expiry) = channel.stream.expiry(options) {
            self.aging.push(Reverse(Due(expiry, identity)));
            return;
        }
        channel.aging = false;
        if channel.is_empty() {
            self.rest(shared, identity.name(), identity.hash(), now);
        }
    }

    /// A channel has remembered its position for long enough, unless it changed since.
    fn wake_rest(&mut self, shared: &Shared, identity: Arc<Identity>, now: Time) {
        let Some(channel) = find_mut(&mut self.channels, identity.name(), identity.hash()) else { return };
        if Arc::ptr_eq(&channel.identity, &identity) {
            channel.resting = false;
            if channel.is_empty() {
                self.rest(shared, identity.name(), identity.hash(), now);
            }
        }
    }

    /// Forgets the channel that would be forgotten first. Returns whether there was one.
    fn forget_one(&mut self, shared: &Shared, now: Time) -> bool {
        while let Some(Reverse(Due(_, identity))) = self.resting.pop() {
            let Some(channel) = find_mut(&mut self.channels, identity.name(), identity.hash()) else { continue };
            if !Arc::ptr_eq(&channel.identity, &identity) {
                continue;
            }
            channel.resting = false;
            if channel.is_empty() {
                let early = channel.remembered_until > now;
                self.tallies[identity.namespace()].forgotten_early += u64::from(early);
                self.forget(shared, identity.name(), identity.hash());
                return true;
            }
        }
        false
    }

    fn forget(&mut self, shared: &Shared, name: &str, hash: u64) {
        let Ok(entry) = self.channels.find_entry(hash, |channel| channel.identity.is_named(name)) else { return };
        let (channel, _) = entry.remove();
        debug_assert!(channel.is_empty());
        shared.channels.fetch_sub(1, Ordering::Relaxed);
        self.tallies[channel.identity.namespace()].channels -= 1;
        if channel.top > 0 {
            self.forgotten = self.epochs;
        }
        shrink(&mut self.channels, |channel| channel.identity.hash());
    }
}

fn find_mut<'a>(channels: &'a mut HashTable<Box<Channel>>, name: &str, hash: u64) -> Option<&'a mut Channel> {
    channels.find_mut(hash, |channel| channel.identity.is_named(name)).map(|channel| &mut **channel)
}

/// Counts how the size of a history changed.
pub(super) fn account(shared: &Shared, before: Size, after: Size) {
    if before.bytes != after.bytes {
        shared.history_bytes.fetch_add(after.bytes.wrapping_sub(before.bytes), Ordering::Relaxed);
    }
    if before.publications != after.publications {
        let more = after.publications.wrapping_sub(before.publications);
        shared.history_publications.fetch_add(more, Ordering::Relaxed);
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
