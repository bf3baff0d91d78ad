//! The roster: the clients of one reactor, and the channels that they are subscribed to.

mod batch;
mod clients;
mod deliver;
mod locals;
mod waiting;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hashbrown::HashTable;

use self::batch::Dues;
use self::clients::{Client, Clients, Held, Holds, NOBODY};
use self::deliver::Run;
use self::locals::{Local, Locals, Subscriber};
use self::waiting::Waiting;
use crate::client::{ClientId, ClientInfo, ClientKey};
use crate::delivery::WIRES;
use crate::error::{ConnectError, SubscribeError};
use crate::hash::Draw;
use crate::inbox::{ByIndex, Item, Lost};
use crate::order::{Issued, Order, Ordered, Target};
use crate::space::{Join, Space, Table, shrink};
use crate::subscribe::{Flags, Subscribe, Subscribed};
use crate::time::Time;

/// A client that connects.
#[derive(Debug)]
pub struct Connect<T> {
    /// The user; empty for an anonymous client.
    pub user: Box<str>,
    /// What the application says about the connection.
    pub conn_info: Option<Bytes>,
    /// The wire format of its deliveries, below [`WIRES`]. The roster gives it to the sink.
    pub format: u8,
    /// The caller's own value for the client.
    pub value: T,
}

/// What a call of [`Roster::deliver`] did.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Pushes that a client took.
    pub pushed: usize,
    /// There is more: call [`Roster::deliver`] again.
    pub more: bool,
    /// An order for clients of this reactor, to be carried out before the next call.
    pub order: Option<Ordered>,
}

/// The clients of one reactor, and the channels that they are subscribed to.
///
/// A reactor has one roster and keeps it on its thread. `T` is the caller's own value for each client: a handle and a
/// little state. A roster that is dropped disconnects its clients.
pub struct Roster<T> {
    space: Arc<Space>,
    /// The namespaces as the roster knows them.
    table: Arc<Table>,
    known: u64,
    /// The channel at which the search for subscriptions of namespaces that are gone goes on, if there is one.
    searched: Option<u32>,
    reactor: u16,
    clients: Clients<T>,
    /// The first client of each user; the others follow in a list.
    users: HashTable<u32>,
    locals: Locals,
    /// What others learn of a client in one channel, where that differs; by client and channel.
    infos: HashMap<(u32, u32), Arc<ClientInfo>, std::hash::BuildHasherDefault<crate::inbox::Spread>>,
    /// What waits for clients that had no room.
    waiting: Waiting,
    /// What was taken from the inbox, the last first.
    taken: Vec<Item>,
    /// What did not fit into the inbox, by channel.
    lost: Vec<(u32, Lost)>,
    run: Option<Run>,
    /// Subscriptions whose clients were told of a loss.
    broken: Vec<(ClientKey, u32)>,
    dues: Dues,
    /// Channels whose newest offset had not arrived when they were checked, and when that was.
    suspects: ByIndex<u32, Suspect>,
    /// The channel at which the next check begins.
    checked: u32,
    /// How often the inbox was found empty.
    drained: u64,
    draw: Draw,
    /// The newest time that any call gave.
    now: Time,
}

/// A channel that was ahead of the roster.
#[derive(Debug)]
struct Suspect {
    lost: Lost,
    /// How often the inbox had been found empty.
    drained: u64,
}

impl<T> Roster<T> {
    /// Makes the roster of a reactor.
    ///
    /// # Panics
    ///
    /// If the space has no such reactor, or the reactor has a roster.
    #[must_use]
    pub fn new(space: &Arc<Space>, reactor: usize) -> Self {
        assert!(reactor < space.reactors(), "reactor {reactor} of {}", space.reactors());
        let reactor = reactor as u16;
        assert!(space.inbox(reactor).open(), "reactor {reactor} has a roster");
        Self {
            space: Arc::clone(space),
            known: space.generation(),
            table: space.table().shared(),
            searched: None,
            reactor,
            clients: Clients::new(),
            users: HashTable::new(),
            locals: Locals::default(),
            infos: HashMap::default(),
            waiting: Waiting::default(),
            taken: Vec::new(),
            lost: Vec::new(),
            run: None,
            broken: Vec::new(),
            dues: Dues::default(),
            suspects: ByIndex::default(),
            checked: 0,
            drained: 0,
            draw: Draw::new(space.shared().hash.of_numbers(space.shared().seed, reactor.into())),
            now: Time::default(),
        }
    }

    /// Returns the space.
    #[must_use]
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// Adds a client.
    ///
    /// # Errors
    ///
    /// If its user has too many clients, or the format is not below [`WIRES`].
    pub fn connect(&mut self, connect: Connect<T>) -> Result<(ClientKey, ClientId), ConnectError> {
        let Connect { user, conn_info, format, value } = connect;
        if usize::from(format) >= WIRES {
            return Err(ConnectError::Format { format });
        }
        let key = self.clients.next_key().ok_or(ConnectError::RosterFull)?;
        let hash = &self.space.shared().hash;
        let id = ClientId::new(hash, self.reactor, key, self.draw.next());
        let user_hash = hash.of(&user);
        let info = Arc::new(ClientInfo::new(id, user, user_hash, conn_info));
        let ordered = self.space.connect(&info)? as u32;
        let next = match self.users.find_mut(user_hash, is_of(&self.clients, info.user())) {
            Some(first) => std::mem::replace(first, key.index),
            None => NOBODY,
        };
        let client = Client {
            value,
            info,
            holds: Holds::new(),
            ordered,
            next,
            previous: NOBODY,
            format,
            ended: false,
            waits: false,
        };
        self.clients.insert(key, client);
        if let Some((_, next)) = self.clients.at_mut(next) {
            next.previous = key.index;
        } else {
            let clients = &self.clients;
            self.users.insert_unique(user_hash, key.index, |index| user_hash_at(clients, *index));
        }
        Ok((key, id))
    }

    /// Subscribes a client to a channel, and gives it what it missed.
    ///
    /// The position, the missed publications and the place in the channel's order are of one moment: the next delivery
    /// continues exactly there.
    ///
    /// # Errors
    ///
    /// If the client is gone or subscribed already, the name is wrong, or a limit is reached.
    pub fn subscribe(
        &mut self,
        client: ClientKey,
        channel: &str,
        request: &Subscribe,
        now: Time,
    ) -> Result<Subscribed, SubscribeError> {
        self.now = now;
        let found = self.space.find(channel)?;
        let there = self.clients.get_mut(client).ok_or(SubscribeError::UnknownClient)?;
        let known = self.locals.find(channel, found.hash);
        if known.is_some_and(|local| there.holds.find(local).is_some()) {
            return Err(SubscribeError::AlreadySubscribed);
        }
        let limit = self.space.shared().limits.channels_per_client;
        if there.holds.as_slice().len() >= limit {
            self.space.shared().refusals.channels_per_client.fetch_add(1, Ordering::Relaxed);
            return Err(SubscribeError::TooManyChannels { limit });
        }
        let local = known.unwrap_or_else(|| self.locals.next_index());
        let own = request.chan_info.clone().map(|own| Arc::new(there.info.in_channel(own)));
        let info = own.as_ref().unwrap_or(&there.info);
        let joined = self.space.join(&found, &Join { reactor: self.reactor, local, request, info }, now)?;
        if known.is_none() {
            self.locals.insert(Local::new(Arc::clone(&joined.channel), joined.since, joined.top));
        }
        if let Some(channel) = self.locals.get_mut(local) {
            debug_assert!(Arc::ptr_eq(&channel.channel, &joined.channel));
            if channel.positioned == 0 {
                // Nobody minds what is skipped where a history has been turned on.
                channel.top = channel.top.max(joined.top);
            }
            there.holds.add(Held { local, at: channel.subscribers.len() as u32 });
            channel.add(Subscriber {
                since: joined.since,
                client: client.index,
                flags: joined.flags,
                format: there.format,
            });
        }
        if let Some(own) = own {
            self.infos.insert((client.index, local), own);
        }
        Ok(joined.subscribed)
    }

    /// Ends a client's subscription. Returns whether there was one.
    ///
    /// The client gets nothing of the channel any more, not even what was published before.
    pub fn unsubscribe(&mut self, client: ClientKey, channel: &str, now: Time) -> bool {
        self.now = now;
        match self.locals.find(channel, self.space.shared().hash.of(channel)) {
            Some(local) => self.end(client, local),
            None => false,
        }
    }

    /// Removes a client with all its subscriptions. Returns its value.
    pub fn disconnect(&mut self, client: ClientKey, now: Time) -> Option<T> {
        self.now = now;
        let gone = self.clients.get(client)?;
        for held in gone.holds.as_slice().to_vec() {
            self.end(client, held.local);
        }
        let gone = self.clients.remove(client)?;
        let hash = gone.info.user_hash();
        if let Some((_, next)) = self.clients.at_mut(gone.next) {
            next.previous = gone.previous;
        }
        if let Some((_, previous)) = self.clients.at_mut(gone.previous) {
            previous.next = gone.next;
        } else if let Ok(mut entry) = self.users.find_entry(hash, |index| *index == client.index) {
            if gone.next == NOBODY {
                entry.remove();
                let clients = &self.clients;
                shrink(&mut self.users, |index| user_hash_at(clients, *index));
            } else {
                *entry.get_mut() = gone.next;
            }
        }
        self.space.disconnect(&gone.info);
        Some(gone.value)
    }

    /// Replaces what others learn of a client's connection, in its channels too.
    ///
    /// Returns whether the roster has the client.
    pub fn set_conn_info(&mut self, client: ClientKey, conn_info: Option<Bytes>) -> bool {
        let Some(there) = self.clients.get_mut(client) else { return false };
        let info = Arc::new(there.info.with_connection(conn_info.clone()));
        there.info = Arc::clone(&info);
        for held in there.holds.as_slice() {
            let Some(local) = self.locals.get(held.local) else { continue };
            let mut info = &info;
            if let Some(own) = self.infos.get_mut(&(client.index, held.local)) {
                *own = Arc::new(own.with_connection(conn_info.clone()));
                info = own;
            }
            if local.subscribers[held.at as usize].flags.has(Flags::PRESENT) {
                self.space.update(&local.channel, info);
            }
        }
        true
    }

    /// Returns the caller's value for a client.
    pub fn value(&mut self, client: ClientKey) -> Option<&mut T> {
        self.clients.get_mut(client).map(|client| &mut client.value)
    }

    /// Returns what others learn of a client in a channel: for [`Publish::info`](crate::Publish::info), for instance.
    ///
    /// In a channel that it is not subscribed to, that is what holds for all channels.
    #[must_use]
    pub fn info(&self, client: ClientKey, channel: &str) -> Option<Arc<ClientInfo>> {
        let there = self.clients.get(client)?;
        let own = self
            .locals
            .find(channel, self.space.shared().hash.of(channel))
            .and_then(|local| self.infos.get(&(client.index, local)));
        Some(Arc::clone(own.unwrap_or(&there.info)))
    }

    /// Returns a client's identifier.
    #[must_use]
    pub fn id(&self, client: ClientKey) -> Option<ClientId> {
        Some(self.clients.get(client)?.info.client())
    }

    /// Returns the user of a client.
    #[must_use]
    pub fn user(&self, client: ClientKey) -> Option<&str> {
        Some(self.clients.get(client)?.info.user())
    }

    /// Finds a client of this roster by its identifier.
    #[must_use]
    pub fn find(&self, id: ClientId) -> Option<ClientKey> {
        let (reactor, key) = id.place(&self.space.shared().hash);
        let there = self.clients.get(key).filter(|_| reactor == self.reactor)?;
        (there.info.client() == id).then_some(key)
    }

    /// Returns whether a client is subscribed to a channel.
    #[must_use]
    pub fn is_subscribed(&self, client: ClientKey, channel: &str) -> bool {
        let local = self.locals.find(channel, self.space.shared().hash.of(channel));
        local.zip(self.clients.get(client)).is_some_and(|(local, client)| client.holds.find(local).is_some())
    }

    /// Returns the channels that a client is subscribed to, and whether the server subscribed it.
    pub fn channels(&self, client: ClientKey) -> impl Iterator<Item = (&str, bool)> {
        let holds = self.clients.get(client).map_or(&[][..], |client| client.holds.as_slice());
        holds.iter().filter_map(|held| {
            let local = self.locals.get(held.local)?;
            let flags = local.subscribers[held.at as usize].flags;
            Some((local.channel.name(), flags.has(Flags::SERVER_SIDE)))
        })
    }

    /// Returns the keys of all clients.
    pub fn clients(&self) -> impl Iterator<Item = ClientKey> {
        self.clients.iter().map(|(key, _)| key)
    }

    /// Returns the keys of a user's clients on this reactor.
    pub fn clients_of(&self, user: &str) -> impl Iterator<Item = ClientKey> {
        let hash = self.space.shared().hash.of(user);
        let mut at = self.users.find(hash, is_of(&self.clients, user)).copied().unwrap_or(NOBODY);
        std::iter::from_fn(move || {
            let (key, client) = self.clients.at(at)?;
            at = client.next;
            Some(key)
        })
    }

    /// Returns how many clients there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Returns whether there are no clients.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many channels have subscribers on this reactor.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.locals.len()
    }

    /// Looks at the namespaces again after [`Space::reconfigure`]. It costs one load where nothing has changed.
    pub fn refresh(&mut self) {
        if self.space.generation() != self.known {
            self.known = self.space.generation();
            self.table = self.space.table().shared();
            self.searched = Some(0);
        }
    }

    /// Lists subscriptions to channels whose namespaces are gone, for the caller to end them. Returns whether there may be
    /// more: then call this again soon, when those that it returned have ended.
    ///
    /// It looks at `most` channels, and returns as many subscriptions. Where no namespace went, it does nothing.
    pub fn gone(&mut self, most: usize) -> (Vec<(ClientKey, Box<str>)>, bool) {
        self.refresh();
        let mut found = Vec::new();
        for _ in 0..most {
            let Some(index) = self.searched.filter(|index| *index < self.locals.end()) else {
                self.searched = None;
                return (found, false);
            };
            let local = self.locals.get(index).filter(|local| !self.table.slot(local.channel.namespace()).is_there);
            if let Some(local) = local {
                for subscriber in &local.subscribers {
                    if found.len() == most {
                        return (found, true);
                    }
                    let key = self.clients.at(subscriber.client).map(|(key, _)| key);
                    found.extend(key.map(|key| (key, local.channel.name().into())));
                }
            }
            self.searched = Some(index + 1);
        }
        (found, true)
    }

    /// Returns for how many clients something waits until they have room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Compares where at most `most` channels stand here with where they stand in the space. Returns whether a round
    /// over all channels is complete.
    ///
    /// Call it when [`Roster::deliver`] has nothing more, so that each channel has its turn about every 40 s. A channel
    /// that is behind gets time until its next turn. If it has not caught up by then although the inbox was empty in
    /// between, subscribers with a position are told of a loss by the next `deliver`.
    pub fn check_positions(&mut self, most: usize) -> bool {
        for _ in 0..most {
            if self.checked >= self.locals.end() {
                self.checked = 0;
                return true;
            }
            let index = self.checked;
            self.checked += 1;
            let Some(local) = self.locals.get(index).filter(|local| local.positioned > 0) else { continue };
            // A life that is over cannot have subscribers; if it has, they lost whatever its next life brings.
            let (top, seq) = self.space.head(&local.channel).unwrap_or((u64::MAX, u64::MAX));
            let before =
                self.suspects.remove(&index).filter(|before| Arc::ptr_eq(&before.lost.channel, &local.channel));
            if top <= local.top {
                continue;
            }
            match before {
                Some(before) if before.drained < self.drained && before.lost.top > local.top => {
                    self.lost.push((index, before.lost));
                }
                _ => {
                    let lost = Lost { channel: Arc::clone(&local.channel), seq: seq.saturating_sub(1), top };
                    self.suspects.insert(index, Suspect { lost, drained: self.drained });
                }
            }
        }
        self.checked >= self.locals.end()
    }

    /// Ends a subscription. Returns whether there was one.
    fn end(&mut self, key: ClientKey, local: u32) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        let Some(held) = client.holds.find(local) else { return false };
        client.holds.remove(local);
        if client.waits {
            client.waits = self.waiting.remove(key.index, local);
        }
        let shared_info = Arc::clone(&client.info);
        let Some(there) = self.locals.get_mut(local) else { return false };
        let at = held.at as usize;
        let flags = there.subscribers[at].flags;
        let cursor = self.run.as_mut().filter(|run| run.local == local).map(|run| &mut run.cursor);
        for moved in there.remove(at, cursor).into_iter().flatten() {
            if let Some((_, client)) = self.clients.at_mut(there.subscribers[moved].client) {
                client.holds.moved(local, moved as u32);
            }
        }
        let channel = Arc::clone(&there.channel);
        if there.subscribers.is_empty() {
            self.locals.remove(local);
            self.suspects.remove(&local);
            self.run.take_if(|run| run.local == local);
        }
        let own = if flags.has(Flags::OWN_INFO) { self.infos.remove(&(key.index, local)) } else { None };
        self.space.leave(&channel, self.reactor, (&own.unwrap_or(shared_info), flags), self.now);
        true
    }

    /// The clients of this roster that an order is for.
    fn targets(&self, issued: &Issued) -> Vec<ClientKey> {
        let mut clients: Vec<ClientKey> = match &issued.target {
            Target::User { user, client: None, .. } => self.clients_of(user).collect(),
            Target::User { user, client: Some(id), .. } => {
                self.find(*id).into_iter().filter(|key| self.user(*key) == Some(user)).collect()
            }
            Target::Client(id) => self.find(*id).into_iter().collect(),
        };
        clients.retain(|key| {
            let Some(client) = self.clients.get(*key) else { return false };
            let left_out = match &issued.order {
                Order::Disconnect { except, .. } => except.contains(&client.info.client()),
                _ => false,
            };
            !left_out && (issued.number as u32).wrapping_sub(client.ordered).cast_signed() > 0
        });
        clients
    }
}

impl<T> Drop for Roster<T> {
    /// Disconnects all clients. What is on its way to the reactor is dropped.
    fn drop(&mut self) {
        let clients: Vec<ClientKey> = self.clients().collect();
        for client in clients {
            self.disconnect(client, self.now);
        }
        self.space.inbox(self.reactor).close();
    }
}

impl<T> std::fmt::Debug for Roster<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster")
            .field("reactor", &self.reactor)
            .field("clients", &self.len())
            .field("channels", &self.channel_count())
            .finish_non_exhaustive()
    }
}

fn is_of<T>(clients: &Clients<T>, user: &str) -> impl Fn(&u32) -> bool {
    move |index| clients.at(*index).is_some_and(|(_, client)| client.info.is_of(user))
}

fn user_hash_at<T>(clients: &Clients<T>, index: u32) -> u64 {
    clients.at(index).map_or(0, |(_, client)| client.info.user_hash())
}
