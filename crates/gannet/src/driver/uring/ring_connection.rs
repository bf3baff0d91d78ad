//! A connection as the io_uring driver knows it.

use super::large::Large;

/// No direct descriptor.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// A connection, as this driver knows it.
pub(super) struct RingConnection {
    /// Its direct descriptor.
    pub(super) slot: u32,
    pub(super) generation: u32,
    /// Requests in flight that will complete.
    pub(super) pending: u8,
    /// The reactor wants to receive.
    pub(super) receiving: bool,
    /// The multishot receive, or the poll in its place, is in flight.
    pub(super) armed: bool,
    /// A cancel of that is in flight.
    pub(super) stopping: bool,
    /// How it is received for.
    pub(super) large: Large,
    pub(super) outward: Outward,
    /// A poll for errors is in flight.
    pub(super) watching: bool,
    pub(super) closing: Closing,
}

impl Default for RingConnection {
    fn default() -> Self {
        Self {
            slot: NO_SLOT,
            generation: 0,
            pending: 0,
            receiving: false,
            armed: false,
            stopping: false,
            large: Large::default(),
            outward: Outward::Nothing,
            watching: false,
            closing: Closing::No,
        }
    }
}

/// What goes to the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outward {
    Nothing,
    Connects,
    Sends,
    /// Nothing any more: our direction of the stream has ended, or does with what is in flight.
    Ended,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    /// Waits for the last completion.
    Asked {
        reset: bool,
    },
    /// The descriptor's close is in flight.
    Begun,
    /// The descriptor is closed; the receive that was stopped has not been reported yet.
    Done,
}
