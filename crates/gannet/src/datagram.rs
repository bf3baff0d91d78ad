//! What a datagram service can do while it handles a datagram.

use std::io;
use std::net::SocketAddr;

/// One datagram's sender, and the way back to it. Lives for one callback, on the reactor's thread.
pub struct DatagramContext<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) reply: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
}

impl DatagramContext<'_> {
    /// Who sent the datagram.
    #[must_use]
    pub fn from(&self) -> SocketAddr {
        self.from
    }

    /// Sends a datagram back, at once.
    ///
    /// # Errors
    ///
    /// The kernel's: no room for it now (`WouldBlock`), or larger than a datagram can be. It is then not sent; nobody
    /// keeps it.
    pub fn reply(&mut self, payload: &[u8]) -> io::Result<()> {
        (self.reply)(payload)
    }
}
