//! What one connection has subscribed to.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::quality::RandomState;
use gannet::Context;
use gannet::proto::resp::Version;

use super::registry::Kind;
use crate::command::error::{Error, Outcome};
use crate::service::Redis;
use crate::service::server::Server;
use crate::service::session::Session;

/// Names that one connection may subscribe to, of all kinds.
pub(crate) const MOST_NAMES: usize = 65_536;

/// Bytes that these may have together.
pub(crate) const MOST_NAME_BYTES: usize = 64 << 20;

type Names = HashSet<Arc<[u8]>, RandomState>;

/// See the module. A connection that has subscribed to nothing has none of these.
///
/// It counts itself out of the registry when it is dropped: however its connection ends, that happens once.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    server: Arc<Server>,
    /// The version of the groups that were joined.
    version: Version,
    channels: Names,
    patterns: Names,
    shards: Names,
    /// Bytes of all names.
    bytes: usize,
}

impl Subscriptions {
    fn new(server: Arc<Server>, version: Version) -> Self {
        let (channels, patterns, shards) = Default::default();
        Self { server, version, channels, patterns, shards, bytes: 0 }
    }

    fn of(&mut self, kind: Kind) -> &mut Names {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        }
    }

    /// Shows all channels, shard channels included; patterns are none.
    pub(crate) fn each_channel(&self, show: impl FnMut(&[u8])) {
        self.channels.iter().chain(&self.shards).map(|name| &**name).for_each(show);
    }

    /// All names of a kind.
    pub(super) fn names(&mut self, kind: Kind) -> Vec<Arc<[u8]>> {
        self.of(kind).iter().cloned().collect()
    }

    /// As the replies count: shard channels for themselves, the others together.
    pub(super) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.shards.len(),
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
        }
    }

    fn len(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shards.len()
    }

    /// Whether there is room for more names.
    ///
    /// # Errors
    ///
    /// There is not.
    pub(super) fn check_room(&mut self, kind: Kind, names: &[&[u8]]) -> Outcome {
        let known = self.of(kind);
        let (mut more, mut bytes) = (0, 0);
        for name in names.iter().filter(|name| !known.contains(**name)) {
            (more, bytes) = (more + 1, bytes + name.len());
        }
        if self.len() + more > MOST_NAMES {
            return Err(Error::of(format!("ERR too many subscriptions, a connection may have {MOST_NAMES}")));
        }
        if self.bytes + bytes > MOST_NAME_BYTES {
            let text = format!("ERR too many subscriptions, their names may have {MOST_NAME_BYTES} bytes together");
            return Err(Error::of(text));
        }
        Ok(())
    }

    /// Subscribes to a name; doing so twice is doing so once.
    ///
    /// # Errors
    ///
    /// The engine's limits on groups are reached.
    pub(super) fn add(&mut self, kind: Kind, name: &[u8], cx: &mut Context<'_, Redis>) -> Outcome {
        if self.of(kind).contains(name) {
            return Ok(());
        }
        let (name, group) = self.server.registry.add(kind, name, self.version);
        if let Err(error) = cx.join(group) {
            self.server.registry.remove(kind, &name, self.version);
            return Err(Error::of(format!("ERR too many subscriptions: {error}")));
        }
        self.bytes += name.len();
        self.of(kind).insert(name);
        Ok(())
    }

    /// Ends the subscription to a name, if there is one.
    pub(super) fn remove(&mut self, kind: Kind, name: &[u8], cx: &mut Context<'_, Redis>) {
        if self.of(kind).remove(name) {
            self.bytes -= name.len();
            if let Some(group) = self.server.registry.remove(kind, name, self.version) {
                cx.leave(group);
            }
        }
    }

    /// Takes messages in another version of the protocol from now on.
    fn switch(&mut self, version: Version, cx: &mut Context<'_, Redis>) {
        if self.version == version {
            return;
        }
        for (kind, names) in
            [(Kind::Channel, &self.channels), (Kind::Pattern, &self.patterns), (Kind::Shard, &self.shards)]
        {
            for name in names {
                let registry = &self.server.registry;
                // In first, so that the name stays.
                let (_, group) = registry.add(kind, name, version);
                if let Some(group) = registry.remove(kind, name, self.version) {
                    cx.leave(group);
                }
                // There is room: the connection has just left another one.
                let _ = cx.join(group);
            }
        }
        self.version = version;
    }

    /// Ends all, without a word.
    fn end(&mut self, cx: &mut Context<'_, Redis>) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            for name in self.names(kind) {
                self.remove(kind, &name, cx);
            }
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        let registry = &self.server.registry;
        for (kind, names) in
            [(Kind::Channel, &self.channels), (Kind::Pattern, &self.patterns), (Kind::Shard, &self.shards)]
        {
            if !names.is_empty() {
                registry.remove_all(kind, names.iter(), self.version);
            }
        }
    }
}

impl Session {
    /// The connection's subscriptions, to add to.
    pub(super) fn subscriptions(&mut self, server: &Arc<Server>) -> &mut Subscriptions {
        let version = self.version;
        self.subscriptions.get_or_insert_with(|| Box::new(Subscriptions::new(Arc::clone(server), version)))
    }

    /// Forgets the subscriptions where there are none any more, and with them the mode that they bring.
    pub(super) fn settle_subscriptions(&mut self) {
        self.subscriptions.take_if(|subscriptions| subscriptions.len() == 0);
        if let Some(client) = &self.client {
            let subscriptions = self.subscriptions.as_deref();
            let count = |of: fn(&Subscriptions) -> usize| subscriptions.map_or(0, of) as u32;
            client.channels.store(count(|subscriptions| subscriptions.channels.len()), Ordering::Relaxed);
            client.patterns.store(count(|subscriptions| subscriptions.patterns.len()), Ordering::Relaxed);
            client.shards.store(count(|subscriptions| subscriptions.shards.len()), Ordering::Relaxed);
        }
    }

    /// HELLO has changed the version: messages are to come in it.
    pub(crate) fn switch_subscriptions(&mut self, cx: &mut Context<'_, Redis>) {
        if let Some(subscriptions) = &mut self.subscriptions {
            subscriptions.switch(self.version, cx);
        }
    }

    /// Ends all subscriptions, without a word.
    pub(crate) fn end_subscriptions(&mut self, cx: &mut Context<'_, Redis>) {
        if let Some(mut subscriptions) = self.subscriptions.take() {
            subscriptions.end(cx);
            self.settle_subscriptions();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::server::Options;

    #[test]
    fn subscriptions_are_counted_out_once_however_the_session_goes() {
        let server = Server::new(Options::default());
        let subscribed = |version| {
            let mut subscriptions = Subscriptions::new(Arc::clone(&server), version);
            let (name, _) = server.registry.add(Kind::Channel, b"a", version);
            subscriptions.channels.insert(name);
            let (name, _) = server.registry.add(Kind::Pattern, b"*", version);
            subscriptions.patterns.insert(name);
            subscriptions
        };
        let count = || server.registry.audience(Kind::Channel, b"a").map_or(0, |audience| audience.len());
        let (one, other) = (subscribed(Version::Resp2), subscribed(Version::Resp3));
        assert_eq!(count(), 2);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _one = one;
            panic!("while it is open");
        }));
        assert!(panicked.is_err());
        assert_eq!(count(), 1);
        drop(other);
        assert_eq!((server.registry.len(Kind::Channel), server.registry.len(Kind::Pattern)), (0, 0));
    }
}
