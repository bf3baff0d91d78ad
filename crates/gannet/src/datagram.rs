//! What a datagram service can do while it handles a datagram.

use std::io;
use std::net::SocketAddr;

/// Gives a callback the sender of a datagram, and the way back to it. Lives for one callback, on the reactor's thread.
pub struct DatagramContext<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) reply: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
}

impl DatagramContext<'_> {
    /// Returns the address of the sender.
    #[must_use]
    pub fn from(&self) -> SocketAddr {
        self.from
    }

    /// Sends a datagram back to the sender, at once.
    ///
    /// # Errors
    ///
    /// The kernel's: it has no room now (`WouldBlock`), or the payload is larger than a datagram can be. The datagram is
    /// then lost; it is not queued.
    pub fn reply(&mut self, payload: &[u8]) -> io::Result<()> {
        (self.reply)(payload)
    }
}
