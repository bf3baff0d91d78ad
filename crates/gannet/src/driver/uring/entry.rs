//! A connection as the io_uring driver knows it.

/// No direct descriptor.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// A connection, as this driver knows it.
pub(super) struct Entry {
    /// Its direct descriptor.
    pub(super) slot: u32,
    pub(super) generation: u32,
    /// Requests in flight that will complete.
    pub(super) pending: u8,
    /// The reactor wants to receive.
    pub(super) receiving: bool,
    /// The multishot receive is in flight.
    pub(super) armed: bool,
    /// A cancel of the receive is in flight.
    pub(super) stopping: bool,
    /// A send is in flight.
    pub(super) sending: bool,
    /// A connect is in flight.
    pub(super) connecting: bool,
    /// A poll for errors is in flight.
    pub(super) watching: bool,
    pub(super) closing: Closing,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            slot: NO_SLOT,
            generation: 0,
            pending: 0,
            receiving: false,
            armed: false,
            stopping: false,
            sending: false,
            connecting: false,
            watching: false,
            closing: Closing::No,
        }
    }
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
}
