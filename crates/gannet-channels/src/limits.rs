//! Limits of a space: everything in it that grows.

use std::time::Duration;

/// Limits of a whole space. Each has a default, a counter in [`SpaceStats`](crate::SpaceStats), and a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Channels, with those that only remember their position. Default: 1,048,576. Beyond it, the channel that would
    /// be forgotten first goes, if nobody is subscribed to it and its history is empty; else the call is refused.
    pub channels: usize,
    /// Subscribers of one channel. Default: 4,194,304. Beyond it, subscribing is refused.
    pub subscribers_per_channel: usize,
    /// Subscriptions of one client. Default: 128. Beyond it, subscribing is refused.
    pub channels_per_client: usize,
    /// Clients of one user in the whole process; clients without a user are not limited. Default: none. Beyond it,
    /// connecting is refused.
    pub connections_per_user: Option<u32>,
    /// Bytes of a channel's name, and of an idempotency key. Default: 255. A longer one is refused.
    pub channel_name: usize,
    /// Bytes of a publication: its data and tags. Default: 64 KiB. A larger one is refused.
    pub publication: usize,
    /// Bytes of all histories. Default: 1 GiB. Beyond it, the oldest publications of the channel that is published to
    /// make room. If that is not enough, the publication is delivered, but not kept.
    pub history_bytes: usize,
    /// Publications that one recovery returns. Default: 300. If a client missed more, recovery is refused.
    pub recovery: usize,
    /// Bytes of publications that one recovery returns, each with its overhead. Default: 1 MiB. If a client missed more,
    /// recovery is refused; but one publication alone is returned always.
    pub recovery_bytes: usize,
    /// Clients that [`Space::presence`](crate::Space::presence) returns. Default: 100,000. If more are present, the
    /// call is refused.
    pub presence: usize,
    /// Deliveries that wait for one reactor. Default: 65,536. Beyond it, the delivery is lost for this reactor, and its
    /// subscribers with a position are told.
    pub inbox_items: usize,
    /// Bytes of publications that wait for one reactor. Default: 64 MiB. The response is that of `inbox_items`.
    pub inbox_bytes: usize,
    /// Orders that wait for one reactor. Default: 16,384. Beyond it, the order is refused.
    pub inbox_orders: usize,
    /// Idempotency keys that the space remembers. Default: 262,144. Beyond it, publications with a new key are refused.
    pub idempotency_keys: usize,
    /// How long an idempotency key is remembered. Default: 5 minutes.
    pub idempotency_ttl: Duration,
    /// Events that one coalesced frame holds. Default: 1,024. A full frame is sent before its time.
    pub batch_events: usize,
    /// Bytes of publications that one coalesced frame holds. Default: 64 KiB. A full frame is sent before its time.
    pub batch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            channels: 1 << 20,
            subscribers_per_channel: 1 << 22,
            channels_per_client: 128,
            connections_per_user: None,
            channel_name: 255,
            publication: 64 << 10,
            history_bytes: 1 << 30,
            recovery: 300,
            recovery_bytes: 1 << 20,
            presence: 100_000,
            inbox_items: 1 << 16,
            inbox_bytes: 64 << 20,
            inbox_orders: 1 << 14,
            idempotency_keys: 1 << 18,
            idempotency_ttl: Duration::from_secs(300),
            batch_events: 1024,
            batch_bytes: 64 << 10,
        }
    }
}
