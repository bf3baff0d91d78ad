//! The space: all channels of a process, reachable from every thread.

mod channel;
mod idempotency;
mod presence;
mod shard;
mod shared;
mod stream;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::presence::Users;
pub(crate) use self::presence::shrink;
use self::shard::Shard;
pub(crate) use self::shard::{Join, Joined};
use self::shared::{Named, Shared, Wakes, count};
use crate::client::ClientInfo;
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
use crate::settings::{Options, Settings};
use crate::stats::{Deliveries, NamespaceStats, SpaceStats};
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
    shards: Box<[Padded<Mutex<Shard>>]>,
    users: Box<[Mutex<Users>]>,
    /// Counts orders: a client knows which came before it.
    orders: AtomicU64,
    /// Clients that are connected.
    clients: AtomicU64,
    /// By reactor and namespace.
    deliveries: Box<[Box<[Deliveries]>]>,
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
        let namespaces = shared.namespaces.len();
        Ok(Arc::new(Self {
            shards: (0..SHARDS).map(|_| Padded(Mutex::new(Shard::new(&shared)))).collect(),
            users: (0..SHARDS).map(|_| Mutex::default()).collect(),
            orders: AtomicU64::new(0),
            clients: AtomicU64::new(0),
            deliveries: (0..reactors).map(|_| (0..namespaces).map(|_| Deliveries::default()).collect()).collect(),
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

    /// Sets what sees the publications of namespaces with [`Options::redis`]; see [`Tap`] for what it may do. Only the first
    /// tap counts. Other namespaces never look for it.
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

    /// Returns the limits that the space was made with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Returns the options that apply to a channel, after a check of its name. It need not exist.
    ///
    /// The check leaves out [`Options::channel_pattern`], which is for clients alone: see [`Space::fits_pattern`].
    ///
    /// # Errors
    ///
    /// If the name is malformed or too long, or its namespace is not configured.
    pub fn options<'a>(&'a self, channel: &'a str) -> Result<&'a Options, ChannelError> {
        Ok(self.shared.named(channel)?.options)
    }

    /// Returns whether a name fits its namespace's pattern; the pattern sees what follows the namespace.
    ///
    /// # Errors
    ///
    /// If the name is malformed or too long, or its namespace is not configured.
    pub fn fits_pattern(&self, channel: &str) -> Result<bool, ChannelError> {
        let named = self.shared.named(channel)?;
        let (_, rest) = name::split_name(channel);
        Ok(named.options.channel_pattern.as_ref().is_none_or(|pattern| pattern.is_match(rest)))
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
        let named = self.shared.named(channel)?;
        self.check_size(publish.size())?;
        let (length, limit) =
            (publish.idempotency_key.as_ref().map_or(0, String::len), self.shared.limits.channel_name);
        if length > limit {
            count(&self.shared.refusals.keys);
            return Err(PublishError::KeyTooLong { length, limit });
        }
        let mut wakes = Wakes::default();
        let position = self.shard(named.hash).publish(&self.shared, named, publish, now, &mut wakes);
        wakes.call(&self.shared);
        position
    }

    /// Checks that a publication may have so many bytes; counts a refusal.
    ///
    /// [`Space::publish`] does so itself. Call it before, where it is costly to make the publication.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooLarge`].
    pub fn check_size(&self, size: usize) -> Result<(), PublishError> {
        let limit = self.shared.limits.publication;
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
        let named = self.shared.named(channel)?;
        let shard = self.shard(named.hash);
        let Some(presence) = shard.presence(named) else {
            return if named.options.presence { Ok(Vec::new()) } else { Err(PresenceError::Off) };
        };
        let (clients, limit) = (presence.len(), self.shared.limits.presence);
        if clients > limit {
            count(&self.shared.refusals.presence);
            return Err(PresenceError::TooMany { clients, limit });
        }
        Ok(presence.clients().cloned().collect())
    }

    /// Returns how many clients and users are present in a channel. Takes the same time for any number.
    ///
    /// # Errors
    ///
    /// If the name is wrong, or the namespace has no presence.
    pub fn presence_stats(&self, channel: &str) -> Result<PresenceStats, PresenceError> {
        let named = self.shared.named(channel)?;
        let shard = self.shard(named.hash);
        let Some(presence) = shard.presence(named) else {
            return if named.options.presence { Ok(PresenceStats::default()) } else { Err(PresenceError::Off) };
        };
        Ok(PresenceStats { clients: presence.len() as u32, users: presence.users() as u32 })
    }

    /// Returns how many subscribers a channel has.
    ///
    /// # Errors
    ///
    /// If the name is wrong.
    pub fn subscribers(&self, channel: &str) -> Result<u32, ChannelError> {
        let named = self.shared.named(channel)?;
        Ok(self.shard(named.hash).subscribers(named))
    }

    /// Reads publications from a channel's history.
    ///
    /// # Errors
    ///
    /// If the name is wrong, the namespace has no history, or the position to read from is of another epoch.
    pub fn history(&self, channel: &str, request: &HistoryRequest, now: Time) -> Result<History, HistoryError> {
        let named = self.shared.named(channel)?;
        if !named.options.has_history() {
            return Err(HistoryError::Off);
        }
        self.shard(named.hash).history(&self.shared, named, request, now)
    }

    /// Removes all publications from a channel's history; its offset and epoch stay. Returns where the stream stands.
    ///
    /// # Errors
    ///
    /// If the name is wrong, or the namespace has no history.
    pub fn history_remove(&self, channel: &str, now: Time) -> Result<Position, HistoryError> {
        let named = self.shared.named(channel)?;
        if !named.options.has_history() {
            return Err(HistoryError::Off);
        }
        Ok(self.shard(named.hash).clear(&self.shared, named, now))
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
                shard.channels().filter(|(name, _)| pattern.is_none_or(|pattern| name::matches(pattern, name)));
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
                let done = lock(&self.shards[at].0).tick(&self.shared, now, most);
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
        let named =
            |namespace: &crate::Namespace| NamespaceStats { name: namespace.name.clone(), ..NamespaceStats::default() };
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
            namespaces: self.shared.namespaces.iter().map(named).collect(),
            ..SpaceStats::default()
        };
        for shard in &self.shards {
            let shard = lock(&shard.0);
            for (sum, tally) in stats.namespaces.iter_mut().zip(&shard.tallies) {
                sum.add_tally(tally);
            }
        }
        for (inbox, deliveries) in self.shared.inboxes().iter().zip(&self.deliveries) {
            let (items, lost, bytes) = inbox.figures();
            stats.inbox_items += items as u64;
            stats.inbox_lost += lost;
            stats.inbox_lost_bytes += bytes;
            for (sum, roster) in stats.namespaces.iter_mut().zip(deliveries) {
                sum.add_deliveries(roster);
            }
        }
        stats
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn inbox(&self, reactor: u16) -> &Inbox {
        self.shared.inbox(reactor)
    }

    pub(crate) fn deliveries(&self, reactor: u16, namespace: usize) -> &Deliveries {
        &self.deliveries[usize::from(reactor)][namespace]
    }

    /// Counts a client. Returns the number of the last order that is not for it.
    pub(crate) fn connect(&self, info: &Arc<ClientInfo>) -> Result<u64, ConnectError> {
        let mut users = lock(self.users_of(info.user_hash()));
        if let Some(limit) = self.shared.limits.connections_per_user
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

    pub(crate) fn join(&self, named: Named<'_>, join: &Join<'_>, now: Time) -> Result<Joined, SubscribeError> {
        let mut wakes = Wakes::default();
        let joined = self.shard(named.hash).join(&self.shared, named, join, now, &mut wakes);
        wakes.call(&self.shared);
        joined
    }

    pub(crate) fn leave(&self, channel: &Identity, reactor: u16, who: (&Arc<ClientInfo>, Flags), now: Time) {
        let mut wakes = Wakes::default();
        self.shard(channel.hash()).leave(&self.shared, channel, reactor, who, now, &mut wakes);
        wakes.call(&self.shared);
    }

    pub(crate) fn update(&self, channel: &Identity, info: &Arc<ClientInfo>) {
        self.shard(channel.hash()).update(channel, info);
    }

    /// The newest offset of a channel and the number of its next event; `None` if this life of it is over.
    pub(crate) fn head(&self, channel: &Arc<Identity>) -> Option<(u64, u64)> {
        let shard = self.shard(channel.hash());
        let (there, top, seq) = shard.head(channel)?;
        Arc::ptr_eq(there, channel).then_some((top, seq))
    }

    /// Whether no channel, client or user is left.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| lock(&shard.0).is_empty())
            && self.users.iter().all(|users| lock(users).len() == 0)
            && self.clients.load(Ordering::Relaxed) == 0
            && self.shared.history_bytes.load(Ordering::Relaxed) == 0
            && self.shared.channels.load(Ordering::Relaxed) == 0
            && self.shared.keys.load(Ordering::Relaxed) == 0
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
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
