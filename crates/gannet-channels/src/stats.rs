//! Counters of a space.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a shard counts for one namespace, under its lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) channels: u64,
    pub(crate) subscribed: u64,
    pub(crate) unsubscribed: u64,
    pub(crate) publications: u64,
    pub(crate) publication_bytes: u64,
    pub(crate) duplicates: u64,
    pub(crate) joins: u64,
    pub(crate) leaves: u64,
    pub(crate) recovered: u64,
    pub(crate) recovered_publications: u64,
    pub(crate) unrecovered: u64,
    pub(crate) history_evicted: u64,
    pub(crate) history_refused: u64,
    pub(crate) forgotten_early: u64,
}

/// What a roster counts for one namespace. Only its own thread writes.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) deliveries: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) replaced: AtomicU64,
    pub(crate) slow: AtomicU64,
    pub(crate) gaps: AtomicU64,
}

/// Adds to a counter that only this thread writes.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// What was refused, for the whole space.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    pub(crate) names: AtomicU64,
    pub(crate) publications: AtomicU64,
    pub(crate) channels: AtomicU64,
    pub(crate) subscribers: AtomicU64,
    pub(crate) channels_per_client: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) keys: AtomicU64,
    pub(crate) presence: AtomicU64,
    pub(crate) orders: AtomicU64,
}

/// Figures of a space, as [`Space::stats`](crate::Space::stats) reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceStats {
    /// Clients that are connected.
    pub clients: u64,
    /// Users with at least one client; the anonymous ones count as one.
    pub users: u64,
    /// Channels that exist, with those that only remember their position.
    pub channels: u64,
    /// Publications in all histories.
    pub history_publications: u64,
    /// Bytes of all histories, as [`Limits::history_bytes`](crate::Limits::history_bytes) counts them.
    pub history_bytes: u64,
    /// Idempotency keys that are remembered.
    pub idempotency_keys: u64,
    /// Deliveries that wait in inboxes.
    pub inbox_items: u64,
    /// Deliveries that an inbox had no room for.
    pub inbox_lost: u64,
    /// Bytes of those.
    pub inbox_lost_bytes: u64,
    /// Calls refused for a channel's name: malformed, too long, or of no namespace.
    pub refused_names: u64,
    /// Publications refused for their size.
    pub refused_publications: u64,
    /// Calls refused because the space had no room for another channel.
    pub refused_channels: u64,
    /// Subscriptions refused because the channel had too many.
    pub refused_subscribers: u64,
    /// Subscriptions refused because the client had too many.
    pub refused_channels_per_client: u64,
    /// Clients refused because their user had too many.
    pub refused_connections: u64,
    /// Publications refused for their idempotency key: too long, or one too many.
    pub refused_keys: u64,
    /// Reads of a presence refused because too many clients were there.
    pub refused_presence: u64,
    /// Orders refused because an inbox had too many.
    pub refused_orders: u64,
    /// Figures by namespace, in the order of the settings.
    pub namespaces: Vec<NamespaceStats>,
}

/// Figures of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceStats {
    /// The namespace's name.
    pub name: String,
    /// Channels that exist now.
    pub channels: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
    /// Subscriptions made since the start.
    pub subscribed: u64,
    /// Subscriptions ended since the start.
    pub unsubscribed: u64,
    /// Publications taken.
    pub publications: u64,
    /// Bytes of their data.
    pub publication_bytes: u64,
    /// Publications that were not made, because their idempotency key was known.
    pub duplicates: u64,
    /// Events of all kinds that a subscriber took.
    pub deliveries: u64,
    /// Bytes of the data in them.
    pub delivery_bytes: u64,
    /// Pushes that carried them: fewer than deliveries where events are coalesced.
    pub frames: u64,
    /// Join events sent.
    pub joins: u64,
    /// Leave events sent.
    pub leaves: u64,
    /// Recoveries that succeeded.
    pub recovered: u64,
    /// Publications that they returned.
    pub recovered_publications: u64,
    /// Recoveries that were refused.
    pub unrecovered: u64,
    /// Events dropped for a slow subscriber without a position.
    pub dropped: u64,
    /// Publications replaced by a newer one while they waited for a slow subscriber.
    pub replaced: u64,
    /// Subscribers closed because they were too slow.
    pub slow: u64,
    /// Subscriptions ended with the word that publications were lost.
    pub gaps: u64,
    /// Publications that left a history early, for the limit of bytes.
    pub history_evicted: u64,
    /// Publications that no history had room for.
    pub history_refused: u64,
    /// Channels that forgot their position early, for the limit of channels.
    pub forgotten_early: u64,
}

impl NamespaceStats {
    pub(crate) fn add_tally(&mut self, tally: &Tally) {
        self.channels += tally.channels;
        self.subscriptions += tally.subscribed - tally.unsubscribed;
        self.subscribed += tally.subscribed;
        self.unsubscribed += tally.unsubscribed;
        self.publications += tally.publications;
        self.publication_bytes += tally.publication_bytes;
        self.duplicates += tally.duplicates;
        self.joins += tally.joins;
        self.leaves += tally.leaves;
        self.recovered += tally.recovered;
        self.recovered_publications += tally.recovered_publications;
        self.unrecovered += tally.unrecovered;
        self.history_evicted += tally.history_evicted;
        self.history_refused += tally.history_refused;
        self.forgotten_early += tally.forgotten_early;
    }

    pub(crate) fn add_deliveries(&mut self, roster: &Deliveries) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.deliveries += read(&roster.deliveries);
        self.delivery_bytes += read(&roster.bytes);
        self.frames += read(&roster.frames);
        self.dropped += read(&roster.dropped);
        self.replaced += read(&roster.replaced);
        self.slow += read(&roster.slow);
        self.gaps += read(&roster.gaps);
    }
}
