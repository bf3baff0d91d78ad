//! The space: all channels of a process, reachable from every thread.

mod changes;
mod channel;
mod idempotency;
mod presence;
mod shard;
mod shared;
mod stream;
mod table;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::changes::{Garbage, Locked};
use self::presence::Users;
pub(crate) use self::presence::shrink;
use self::shard::Shard;
pub(crate) use self::shard::{Join, Joined};
use self::shared::{Found, Named, Shared, Wakes, count, unknown};
pub use self::table::ChannelOptions;
pub(crate) use self::table::Table;
use crate::client::ClientInfo;
use crate::current::Seen;
use crate::error::{
    ChannelError, ConnectError, HistoryError, OrderError, PresenceError, PublishError, SettingsError, SubscribeError,
};
use crate::history::{History, HistoryRequest};
use crate::inbox::{Inbox, Waker};
use crate::limits::Limits;
use crate::name::{self, Identity};
use crate::order::{Issued, Order, Target};
use crate::position::Position;
use crate::publication::Publish;
use crate::settings::Settings;
use crate::stats::{NamespaceStats, SpaceStats};
use crate::subscribe::Flags;
use crate::tap::Tap;
use crate::time::Time;

/// Shards of a space: enough that threads seldom meet in one, and few enough that a sweep is short.
const SHARDS: usize = 64;

/// Entries that one call of `tick` looks at, and those of them under one lock.
const TICK: usize = 4096;
const TICK_AT_ONCE: usize = 256;

/// All channels of a process.
///
/// Every method may be called from any thread, and none waits for a subscriber. A call holds the lock of one shard for
/// the time of its work there, and the lock of an inbox inside it; wakers are called when both are released.
pub struct Space {
    shared: Shared,
    shards: Box<[Padded<Mutex<Locked>>]>,
    users: Box<[Mutex<Users>]>,
    /// Counts orders: a client knows which came before it.
    orders: AtomicU64,
    /// Clients that are connected.
    clients: AtomicU64,
    /// One reconfiguration comes after the other.
    changing: Mutex<()>,
    /// The shard at which the next tick begins.
    ticked: AtomicUsize,
}

/// Keeps neighbours in an array off each other's cache line.
#[repr(align(128))]
struct Padded<T>(T);

/// How many clients and users are present in a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Clients that are present.
    pub clients: u32,
    /// Users with at least one of these clients.
    pub users: u32,
}

impl Space {
    /// Makes a space without channels.
    ///
    /// `reactors` is how many rosters it serves. The seed has to differ from run to run: it goes into epochs, by which a
    /// client learns that its position is of another run, and keys the tables of names.
    ///
    /// # Errors
    ///
    /// If the settings cannot work; see [`SettingsError`].
    pub fn new(settings: Settings, reactors: usize, seed: u64) -> Result<Arc<Self>, SettingsError> {
        let shared = Shared::new(settings, reactors, seed)?;
        let table = shared.table.get().shared();
        Ok(Arc::new(Self {
            shards: (0..SHARDS).map(|_| Padded(Mutex::new(Locked::new(&shared, table.clone())))).collect(),
            users: (0..SHARDS).map(|_| Mutex::default()).collect(),
            orders: AtomicU64::new(0),
            clients: AtomicU64::new(0),
            changing: Mutex::new(()),
            ticked: AtomicUsize::new(0),
            shared,
        }))
    }

    /// Sets what is called when a reactor's inbox is not empty any more. Only the first waker of a reactor counts.
    ///
    /// It is called on the thread that published, with no lock held, and not again before the reactor's
    /// [`Roster::deliver`](crate::Roster::deliver) has found the inbox empty.
    ///
    /// # Panics
    ///
    /// If there is no such reactor.
    pub fn set_waker(&self, reactor: usize, waker: Waker) {
        self.shared.inboxes()[reactor].set_waker(waker);
    }

    /// Sets what sees the publications of namespaces with [`Options::redis`](crate::Options::redis); see [`Tap`] for what it
    /// may do. Only the first tap counts. Other namespaces never look for it.
    ///
    /// A publication is seen once, whether or not its channel has subscribers or a history. One that is refused, or repeats
    /// an idempotency key, is not seen.
    pub fn set_tap(&self, tap: Tap) {
        let _ = self.shared.tap.set(tap);
    }

    /// Returns how many rosters the space serves.
    #[must_use]
    pub fn reactors(&self) -> usize {
        self.shared.inboxes().len()
    }

    /// Returns the limits that are in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.table().limits.clone()
    }

    /// Checks whether [`Space::reconfigure`] would take these settings, and changes nothing.
    ///
    /// # Errors
    ///
    /// If the settings cannot work; see [`SettingsError`].
    pub fn check(&self, settings: Settings) -> Result<(), SettingsError> {
        self.table().next(settings, self.reactors()).map(drop)
    }

    /// Replaces the namespaces and the limits of a space that is in use, from any thread.
    ///
    /// - Histories are shortened to new sizes and times. A namespace without history any more drops its publications.
    /// - A namespace without presence any more forgets who is present. Where presence is turned on, the clients that subscribe
    ///   from then on are present.
    /// - A subscription keeps what it was given: its position, recovery, join and leave events.
    /// - The channels of a namespace that is gone refuse everything. [`Roster::gone`](crate::Roster::gone) lists their
    ///   subscriptions.
    /// - Of the limits, [`publication`](Limits::publication), [`history_bytes`](Limits::history_bytes) and
    ///   [`connections_per_user`](Limits::connections_per_user) change; the others stay as the space was made with. A lower
    ///   limit removes nothing at once.
    ///
    /// Each shard is locked for the time of a walk over its channels. All calls that begin after this one has returned, and
    /// some that begin before, see the new settings.
    ///
    /// # Errors
    ///
    /// If the settings cannot work, or the space would have had more than 65,536 different namespaces. Then nothing changes.
    pub fn reconfigure(&self, settings: Settings, now: Time) -> Result<(), SettingsError> {
        let _turn = lock(&self.changing);
        let limits = Limits {
            publication: settings.limits.publication,
            history_bytes: settings.limits.history_bytes,
            connections_per_user: settings.limits.connections_per_user,
            ..self.shared.limits.clone()
        };
        let next = self.table().next(Settings { limits, ..settings }, self.reactors())?;
        self.shared.table.set(next);
        let table = self.table().shared();
        for shard in &self.shards {
            let garbage = lock(&shard.0).catch_up(&self.shared, &table, now);
            drop(garbage);
        }
        Ok(())
    }

    /// Returns the options that apply to a channel, after a check of its name. It need not exist.
    ///
    /// The check leaves out [`Options::channel_pattern`](crate::Options::channel_pattern), which is for clients alone: see
    /// [`Space::fits_pattern`].
    ///
    /// # Errors
    ///
    /// If the name is malformed or too long, or its namespace is not configured.
    pub fn options(&self, channel: &str) -> Result<ChannelOptions, ChannelError> {
        let found = self.shared.find(channel)?;
        Ok(ChannelOptions::new(found.table, found.namespace))
    }

    /// Returns whether a name fits its namespace's pattern; the pattern sees what follows the namespace.
    ///
    /// # Errors
    ///
    /// If the name is malformed or too long, or its namespace is not configured.
    pub fn fits_pattern(&self, channel: &str) -> Result<bool, ChannelError> {
        let options = self.options(channel)?;
        let (_, rest) = name::split_name(channel);
        Ok(options.channel_pattern.as_ref().is_none_or(|pattern| pattern.is_match(rest)))
    }

    /// Publishes to a channel: gives the publication its offset, keeps it in the history, and puts it into the inbox of
    /// each reactor with subscribers.
    ///
    /// Returns where the stream stands after it; without history, and with `skip_history`, the empty position. A channel
    /// without subscribers and history takes the publication and forgets it. Two publications with one idempotency key
    /// are one: the second returns the position of the first.
    ///
    /// # Errors
    ///
    /// If the name is wrong, a limit is reached, or the publication is too large.
    pub fn publish(&self, channel: &str, publish: Publish, now: Time) -> Result<Position, PublishError> {
        let found = self.shared.find(channel)?;
        self.check_size_in(&found.table, publish.size())?;
        let (length, limit) =
            (publish.idempotency_key.as_ref().map_or(0, String::len), self.shared.limits.channel_name);
        if length > limit {
            count(&self.shared.refusals.keys);
            return Err(PublishError::KeyTooLong { length, limit });
        }
        let mut wakes = Wakes::default();
        let position =
            self.enter(&found, now, |shard, named| shard.publish(&self.shared, named, publish, now, &mut wakes));
        wakes.call(&self.shared);
        position?
    }

    /// Checks that a publication may have so many bytes; counts a refusal.
    ///
    /// [`Space::publish`] does so itself. Call it before, where it is costly to make the publication.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooLarge`].
    pub fn check_size(&self, size: usize) -> Result<(), PublishError> {
        self.check_size_in(&self.table(), size)
    }

    fn check_size_in(&self, table: &Table, size: usize) -> Result<(), PublishError> {
        let limit = table.limits.publication;
        if size > limit {
            count(&self.shared.refusals.publications);
            return Err(PublishError::TooLarge { size, limit });
        }
        Ok(())
    }

    /// Returns who is present in a channel, in no order.
    ///
    /// # Errors
    ///
    /// If the name is wrong, the namespace has no presence, or more clients are present than one call returns.
    pub fn presence(&self, channel: &str) -> Result<Vec<Arc<ClientInfo>>, PresenceError> {
        let found = self.shared.find(channel)?;
        self.enter(&found, Time::default(), |shard, named| {
            let Some(presence) = shard.presence(named) else {
                return if named.options.presence { Ok(Vec::new()) } else { Err(PresenceError::Off) };
            };
            let (clients, limit) = (presence.len(), self.shared.limits.presence);
            if clients > limit {
                count(&self.shared.refusals.presence);
                return Err(PresenceError::TooMany { clients, limit });
            }
            Ok(presence.clients().cloned().collect())
        })?
    }

    /// Returns how many clients and users are present in a channel. Takes the same time for any number.
    ///
    /// # Errors
    ///
    /// If the name is wrong, or the namespace has no presence.
    pub fn presence_stats(&self, channel: &str) -> Result<PresenceStats, PresenceError> {
        let found = self.shared.find(channel)?;
        self.enter(&found, Time::default(), |shard, named| {
            let Some(presence) = shard.presence(named) else {
                return if named.options.presence { Ok(PresenceStats::default()) } else { Err(PresenceError::Off) };
            };
            Ok(PresenceStats { clients: presence.len() as u32, users: presence.users() as u32 })
        })?
    }

    /// Returns how many subscribers a channel has.
    ///
    /// # Errors
    ///
    /// If the name is wrong.
    pub fn subscribers(&self, channel: &str) -> Result<u32, ChannelError> {
        let found = self.shared.find(channel)?;
        self.enter(&found, Time::default(), |shard, named| shard.subscribers(named))
    }

    /// Reads publications from a channel's history.
    ///
    /// # Errors
    ///
    /// If the name is wrong, the namespace has no history, or the position to read from is of another epoch.
    pub fn history(&self, channel: &str, request: &HistoryRequest, now: Time) -> Result<History, HistoryError> {
        let found = self.shared.find(channel)?;
        self.enter(&found, now, |shard, named| match named.options.has_history() {
            true => shard.history(&self.shared, named, request, now),
            false => Err(HistoryError::Off),
        })?
    }

    /// Removes all publications from a channel's history; its offset and epoch stay. Returns where the stream stands.
    ///
    /// # Errors
    ///
    /// If the name is wrong, or the namespace has no history.
    pub fn history_remove(&self, channel: &str, now: Time) -> Result<Position, HistoryError> {
        let found = self.shared.find(channel)?;
        self.enter(&found, now, |shard, named| match named.options.has_history() {
            true => Ok(shard.clear(&self.shared, named, now)),
            false => Err(HistoryError::Off),
        })?
    }

    /// Lists channels with subscribers, and how many each has; at most `limit`, in no order.
    ///
    /// In `pattern`, `*` stands for any characters and `?` for one; `None` lists all.
    #[must_use]
    pub fn channels(&self, pattern: Option<&str>, limit: usize) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(&shard.0);
            let matching =
                shard.shard.channels().filter(|(name, _)| pattern.is_none_or(|pattern| name::matches(pattern, name)));
            found.extend(matching.take(limit - found.len()).map(|(name, count)| (name.to_owned(), count)));
            if found.len() == limit {
                break;
            }
        }
        found
    }

    /// Gives an order to clients; [`Roster::deliver`](crate::Roster::deliver) returns it on their reactors.
    ///
    /// Each reactor gets it in the order of this thread's publications. Clients that connect later do not get it.
    /// Returns how many clients it is for, before the order itself leaves any out: for a user, its clients now; for one
    /// client, 1 if its identifier could be one.
    ///
    /// # Errors
    ///
    /// If a reactor has too many orders that wait. Others may have got it; to give it again does no harm.
    pub fn order(&self, target: Target, order: Order) -> Result<usize, OrderError> {
        let number = self.orders.fetch_add(1, Ordering::SeqCst) + 1;
        let (clients, reactors) = match &target {
            Target::User { user, client: None, .. } => {
                let hash = self.shared.hash.of(user);
                (lock(self.users_of(hash)).of(hash, user) as usize, 0..self.reactors())
            }
            Target::User { client: Some(client), .. } | Target::Client(client) => {
                let reactor = usize::from(client.place(&self.shared.hash).0);
                (usize::from(reactor < self.reactors()), reactor..reactor + 1)
            }
        };
        if clients == 0 {
            return Ok(0);
        }
        let issued = Arc::new(Issued { number, target, order });
        let mut result = Ok(clients);
        for inbox in &self.shared.inboxes()[reactors] {
            match inbox.order(&issued, &self.shared.limits) {
                Some(true) => inbox.wake(),
                Some(false) => {}
                None => {
                    count(&self.shared.refusals.orders);
                    result = Err(OrderError { limit: self.shared.limits.inbox_orders });
                }
            }
        }
        result
    }

    /// Forgets what is too old: publications, positions, idempotency keys. Call it about once a second.
    ///
    /// One call does a bounded amount of work. Returns whether more is due already: then call it again soon. No result of
    /// another call depends on it, only memory does.
    pub fn tick(&self, now: Time) -> bool {
        let mut left = TICK;
        for _ in 0..SHARDS {
            let at = self.ticked.load(Ordering::Relaxed) % SHARDS;
            loop {
                let most = left.min(TICK_AT_ONCE);
                let Locked { table, shard } = &mut *lock(&self.shards[at].0);
                let done = shard.tick(&self.shared, table, now, most);
                left -= done;
                if left == 0 {
                    return true;
                }
                if done < most {
                    break;
                }
            }
            self.ticked.store(at + 1, Ordering::Relaxed);
        }
        false
    }

    /// Reads all figures. Each is right by itself; they are not of one moment. Takes each shard's lock in turn.
    #[must_use]
    pub fn stats(&self) -> SpaceStats {
        let refusals = &self.shared.refusals;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let table = self.table();
        let named = |slot: &Arc<table::Slot>| NamespaceStats { name: slot.name.clone(), ..NamespaceStats::default() };
        let mut stats = SpaceStats {
            clients: read(&self.clients),
            users: self.users.iter().map(|users| lock(users).len() as u64).sum(),
            channels: self.shared.channels.load(Ordering::Relaxed) as u64,
            history_publications: self.shared.history_publications.load(Ordering::Relaxed) as u64,
            history_bytes: self.shared.history_bytes.load(Ordering::Relaxed) as u64,
            idempotency_keys: self.shared.keys.load(Ordering::Relaxed) as u64,
            refused_names: read(&refusals.names),
            refused_publications: read(&refusals.publications),
            refused_channels: read(&refusals.channels),
            refused_subscribers: read(&refusals.subscribers),
            refused_channels_per_client: read(&refusals.channels_per_client),
            refused_connections: read(&refusals.connections),
            refused_keys: read(&refusals.keys),
            refused_presence: read(&refusals.presence),
            refused_orders: read(&refusals.orders),
            namespaces: table.slots().iter().map(named).collect(),
            ..SpaceStats::default()
        };
        for shard in &self.shards {
            let shard = lock(&shard.0);
            for (sum, tally) in stats.namespaces.iter_mut().zip(&shard.shard.tallies) {
                sum.add_tally(tally);
            }
        }
        for (inbox, reactor) in self.shared.inboxes().iter().zip(0u16..) {
            let (items, lost, bytes) = inbox.figures();
            stats.inbox_items += items as u64;
            stats.inbox_lost += lost;
            stats.inbox_lost_bytes += bytes;
            for (sum, slot) in stats.namespaces.iter_mut().zip(table.slots()) {
                sum.add_deliveries(slot.deliveries(reactor));
            }
        }
        // One that is gone is listed for as long as it has channels.
        let mut slots = table.slots().iter();
        stats.namespaces.retain(|own| slots.next().is_none_or(|slot| slot.is_there) || own.channels > 0);
        stats
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn inbox(&self, reactor: u16) -> &Inbox {
        self.shared.inbox(reactor)
    }

    /// A number that differs after each reconfiguration.
    pub(crate) fn generation(&self) -> u64 {
        self.shared.table.generation()
    }

    /// The namespaces and limits of this moment.
    pub(crate) fn table(&self) -> Seen<Table> {
        self.shared.table.get()
    }

    /// Works on a channel under the lock of its shard, with the options that are in force there.
    fn enter<R>(
        &self,
        found: &Found<'_>,
        now: Time,
        work: impl FnOnce(&mut Shard, Named<'_>) -> R,
    ) -> Result<R, ChannelError> {
        let mut guard = self.shard(found.hash);
        let garbage = self.catch_up(&mut guard, &found.table, now);
        let Locked { table, shard } = &mut *guard;
        let slot = table.slot(found.namespace.into());
        if !slot.is_there {
            // It went since it was found.
            count(&self.shared.refusals.names);
            return Err(unknown(found.name));
        }
        let named = Named {
            name: found.name,
            hash: found.hash,
            namespace: found.namespace,
            options: &slot.options,
            history_bytes: table.limits.history_bytes,
        };
        let done = work(shard, named);
        drop(guard);
        drop(garbage);
        Ok(done)
    }

    #[inline]
    fn catch_up(&self, locked: &mut Locked, table: &Seen<Table>, now: Time) -> Option<Garbage> {
        (table.generation > locked.table.generation).then(|| locked.catch_up(&self.shared, &table.shared(), now))
    }

    /// Counts a client. Returns the number of the last order that is not for it.
    pub(crate) fn connect(&self, info: &Arc<ClientInfo>) -> Result<u64, ConnectError> {
        let mut users = lock(self.users_of(info.user_hash()));
        if let Some(limit) = self.table().limits.connections_per_user
            && !info.user().is_empty()
            && users.of(info.user_hash(), info.user()) >= limit
        {
            count(&self.shared.refusals.connections);
            return Err(ConnectError::TooManyConnections { limit });
        }
        users.add(info);
        self.clients.fetch_add(1, Ordering::Relaxed);
        // After the count: an order that does not count this client has a number that this one does not expect.
        Ok(self.orders.load(Ordering::SeqCst))
    }

    pub(crate) fn disconnect(&self, info: &ClientInfo) {
        lock(self.users_of(info.user_hash())).remove(info.user_hash(), info.user());
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// Checks a channel's name and finds its namespace.
    pub(crate) fn find<'a>(&self, channel: &'a str) -> Result<Found<'a>, ChannelError> {
        self.shared.find(channel)
    }

    pub(crate) fn join(&self, found: &Found<'_>, join: &Join<'_>, now: Time) -> Result<Joined, SubscribeError> {
        let mut wakes = Wakes::default();
        let joined = self.enter(found, now, |shard, named| shard.join(&self.shared, named, join, now, &mut wakes));
        wakes.call(&self.shared);
        joined?
    }

    pub(crate) fn leave(&self, channel: &Identity, reactor: u16, who: (&Arc<ClientInfo>, Flags), now: Time) {
        let mut wakes = Wakes::default();
        self.shard(channel.hash()).shard.leave(&self.shared, channel, reactor, who, now, &mut wakes);
        wakes.call(&self.shared);
    }

    pub(crate) fn update(&self, channel: &Identity, info: &Arc<ClientInfo>) {
        self.shard(channel.hash()).shard.update(channel, info);
    }

    /// The newest offset of a channel and the number of its next event; `None` if this life of it is over.
    pub(crate) fn head(&self, channel: &Arc<Identity>) -> Option<(u64, u64)> {
        let shard = self.shard(channel.hash());
        let (there, top, seq) = shard.shard.head(channel)?;
        Arc::ptr_eq(there, channel).then_some((top, seq))
    }

    /// Whether no channel, client or user is left.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| lock(&shard.0).shard.is_empty())
            && self.users.iter().all(|users| lock(users).len() == 0)
            && self.clients.load(Ordering::Relaxed) == 0
            && self.shared.history_bytes.load(Ordering::Relaxed) == 0
            && self.shared.channels.load(Ordering::Relaxed) == 0
            && self.shared.keys.load(Ordering::Relaxed) == 0
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Locked> {
        // The tables inside use the lowest and the highest bits.
        lock(&self.shards[(hash >> 40) as usize % SHARDS].0)
    }

    fn users_of(&self, hash: u64) -> &Mutex<Users> {
        &self.users[(hash >> 40) as usize % SHARDS]
    }
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space").field("reactors", &self.reactors()).finish_non_exhaustive()
    }
}

/// Locks, whether or not a thread panicked under this lock: one channel may be left half changed by that, and no other.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
