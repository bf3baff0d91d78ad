//! What a roster calls while it delivers.

use std::sync::Arc;

use crate::client::ClientKey;
use crate::delivery::Delivery;

/// Where a roster's deliveries go: the gateway's transports.
///
/// All methods are called on the roster's thread, from [`Roster::deliver`](crate::Roster::deliver) and
/// [`Roster::flush`](crate::Roster::flush). The roster cannot be called from them; what a method wants done with a client
/// it does afterwards.
pub trait Sink<T> {
    /// Sends an event of a channel to one client.
    ///
    /// The roster has applied order, duplicates and policies. A client gets the events of a channel in their order.
    fn push(&mut self, client: ClientKey, value: &mut T, format: u8, delivery: &Arc<Delivery>) -> Pushed;

    /// Tells a client that publications of a channel were lost to it: unsubscribe with 2500, or close with 3010 if the
    /// server had subscribed it.
    ///
    /// The subscription is over; the roster removes it.
    fn gap(&mut self, client: ClientKey, value: &mut T, channel: &str, server_side: bool);

    /// Closes a client that was too slow for its channel's policy (3008).
    ///
    /// It gets nothing any more. Its subscriptions stay until [`Roster::disconnect`](crate::Roster::disconnect).
    fn slow(&mut self, client: ClientKey, value: &mut T);

    /// Notes that a delivery has passed the last subscriber of its channel on this reactor.
    ///
    /// Called once for each delivery, not for each subscriber: to measure how long deliveries take, for instance. A client that
    /// had no room may still wait for it. Does nothing unless it is implemented.
    fn passed(&mut self, _delivery: &Delivery) {}
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The client has it.
    Taken,
    /// The client has no room, and was sent nothing. The channel's policy decides; after it, call
    /// [`Roster::flush`](crate::Roster::flush) when there is room again.
    Full,
    /// The client is gone. It gets nothing any more.
    Gone,
}
