//! One simulated connection: the bytes under way in both directions, and what each side has done.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::ids::Token;

use super::flight::Flight;

/// How a direction of a connection goes on behind its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// More may come.
    Open,
    /// The writer ended its stream.
    Finished,
    /// The connection is broken.
    Reset,
}

/// One direction: bytes that were written and not read.
pub(super) struct Stream {
    pub(super) bytes: VecDeque<u8>,
    pub(super) end: End,
}

impl Stream {
    fn new() -> Self {
        Self { bytes: VecDeque::new(), end: End::Open }
    }

    /// Breaks it behind the first `kept` bytes.
    pub(super) fn reset(&mut self, kept: usize) {
        self.bytes.truncate(kept);
        self.end = End::Reset;
    }
}

/// See the module. The reactor's side is the server, also where the reactor connected.
pub(super) struct Link {
    pub(super) client: SocketAddr,
    pub(super) to_server: Stream,
    pub(super) to_client: Stream,
    /// What the reactor calls it, from `attach` to `Event::Closed`.
    pub(super) token: Option<Token>,
    /// The reactor wants to receive.
    pub(super) wanted: bool,
    /// Receiving goes on: turning it off takes a while.
    pub(super) armed: bool,
    /// Receiving waits for a buffer.
    pub(super) starved: bool,
    /// There is a buffer for it, which was missing before; nothing was received since.
    pub(super) fed: bool,
    /// A look at what can be received is due.
    pub(super) receive_due: bool,
    /// The end of the client's stream was reported.
    pub(super) over: bool,
    /// The reactor wants to know whether it is broken.
    pub(super) watched: bool,
    pub(super) flight: Option<Flight>,
    /// A look at the flight is due.
    pub(super) send_due: bool,
    pub(super) shut: bool,
    pub(super) connecting: bool,
    /// The reactor closed it, with a reset or without.
    pub(super) closing: Option<bool>,
    /// The server's side is gone from the kernel.
    pub(super) server_gone: bool,
    /// The client's side is.
    pub(super) client_gone: bool,
}

impl Link {
    pub(super) fn new(client: SocketAddr) -> Self {
        Self {
            client,
            to_server: Stream::new(),
            to_client: Stream::new(),
            token: None,
            wanted: false,
            armed: false,
            starved: false,
            fed: false,
            receive_due: false,
            over: false,
            watched: false,
            flight: None,
            send_due: false,
            shut: false,
            connecting: false,
            closing: None,
            server_gone: false,
            client_gone: false,
        }
    }

    /// Whether there is something to receive or to report.
    pub(super) fn is_receivable(&self) -> bool {
        !self.over && (!self.to_server.bytes.is_empty() || self.to_server.end != End::Open)
    }
}
