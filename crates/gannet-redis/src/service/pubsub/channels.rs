//! Channels that exist outside the store too, and messages that come from there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gannet::proto::resp::Commands;

use super::message::{self, Reason};
use super::registry::Kind;
use crate::service::server::Server;

/// Publishes to channels that exist outside the store too; give it to [`Server::set_channels`].
///
/// `PUBLISH` asks it first. The messages of such a channel have one order, which its implementation decides: it passes each
/// of them, those of `PUBLISH` too, to [`Server::deliver`] in that order.
pub trait Channels: Send + Sync {
    /// Returns true if a channel exists outside the store. All messages to it go through [`Channels::publish`].
    fn has(&self, channel: &[u8]) -> bool;

    /// Publishes to a channel for which [`Channels::has`] is true; returns how many receivers it has outside the store.
    ///
    /// It is called on a reactor's thread, and a transaction that publishes holds locks of the store meanwhile. So it must
    /// neither wait nor use the store.
    ///
    /// # Errors
    ///
    /// The text says why the message is refused. The client gets it as an error with the code `ERR`.
    fn publish(&self, channel: &[u8], message: &[u8]) -> Result<u64, String>;
}

impl Server {
    /// Sets the channels that exist outside the store too. Only the first call counts.
    pub fn set_channels(&self, channels: Arc<dyn Channels>) {
        let _ = self.outside.set(channels);
    }

    pub(super) fn channels(&self) -> Option<&dyn Channels> {
        self.outside.get().map(|channels| &**channels)
    }

    /// Sends a message to the Redis clients that subscribed to its channel or to a pattern for it. Returns how many get it.
    ///
    /// Any thread may call it, and none waits. Messages of one thread arrive in their order, as do those of threads that
    /// call it under one lock. A reactor whose mailbox is full misses the message, as it misses one of `PUBLISH`; the
    /// error is counted in [`ReactorStats::mailbox_full`](gannet::ReactorStats::mailbox_full). Before the engine starts
    /// there are no subscribers.
    pub fn deliver(&self, channel: &[u8], message: &[u8]) -> u64 {
        let Some(remote) = self.remote.get() else { return 0 };
        let codec = Commands::default();
        let (mut receivers, mut lost) = (0, 0);
        if let Some(audience) = self.registry.audience(Kind::Channel, channel) {
            receivers += audience.len();
            lost += message::send(&audience, &Reason::Channel, channel, message, |group, reply| {
                remote.broadcast(group, &codec, reply)
            });
        }
        for (pattern, audience) in self.registry.matching(channel, &mut 0) {
            receivers += audience.len();
            lost += message::send(&audience, &Reason::Pattern(&pattern), channel, message, |group, reply| {
                remote.broadcast(group, &codec, reply)
            });
        }
        self.lost.fetch_add(lost, Ordering::Relaxed);
        receivers
    }

    /// Whether some reactor has much to send that came from outside. Without channels outside, nothing does.
    pub(super) fn is_crowded(&self) -> bool {
        self.outside.get().is_some() && self.remote.get().is_some_and(gannet::Remote::is_crowded)
    }

    /// How many receive a message to a channel, and how many patterns were looked at to know that.
    pub(super) fn subscribers(&self, channel: &[u8]) -> (u64, usize) {
        let mut looked_at = 0;
        let audience = self.registry.audience(Kind::Channel, channel).map_or(0, |audience| audience.len());
        let matching = self.registry.matching(channel, &mut looked_at);
        (audience + matching.iter().map(|(_, audience)| audience.len()).sum::<u64>(), looked_at)
    }
}
