//! The other ends of the simulated network, which a test drives: each as blocking-free as a real socket.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use super::link::End;
use super::network::{LinkId, Network};

/// A client of a simulated connection. Dropping it closes it, as with a socket: by a reset where something was unread.
pub(crate) struct SimClient {
    network: Rc<RefCell<Network>>,
    link: LinkId,
    closed: bool,
}

impl SimClient {
    pub(super) fn new(network: Rc<RefCell<Network>>, link: LinkId) -> Self {
        Self { network, link, closed: false }
    }

    /// The address it comes from.
    pub(crate) fn address(&self) -> SocketAddr {
        self.network.borrow().links[self.link].client
    }

    /// Writes as much as the window has room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let network = &mut *self.network.borrow_mut();
        let link = &mut network.links[self.link];
        assert!(link.to_server.end != End::Finished, "the test writes behind its end of stream");
        if link.to_client.end == End::Reset || link.to_server.end == End::Reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if link.server_gone {
            // The kernel takes it and learns only then that nobody is there.
            network.reset_client(self.link);
            return Ok(bytes.len());
        }
        let count = bytes.len().min(network.faults.window.saturating_sub(link.to_server.bytes.len()));
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        link.to_server.bytes.extend(&bytes[..count]);
        network.look(self.link);
        Ok(count)
    }

    /// Reads what is there; 0 is the end of the stream.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let network = &mut *self.network.borrow_mut();
        let stream = &mut network.links[self.link].to_client;
        let count = into.len().min(stream.bytes.len());
        if count == 0 {
            return match stream.end {
                End::Open => Err(io::ErrorKind::WouldBlock.into()),
                End::Finished => Ok(0),
                End::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            };
        }
        for (to, from) in into.iter_mut().zip(stream.bytes.drain(..count)) {
            *to = from;
        }
        network.look(self.link);
        Ok(count)
    }

    /// Ends its direction of the stream.
    pub(crate) fn shutdown(&mut self) {
        let network = &mut *self.network.borrow_mut();
        let stream = &mut network.links[self.link].to_server;
        if stream.end == End::Open {
            stream.end = End::Finished;
        }
        network.look(self.link);
    }

    /// Breaks the connection.
    pub(crate) fn reset(mut self) {
        self.break_off();
    }

    fn break_off(&mut self) {
        let network = &mut *self.network.borrow_mut();
        let link = &mut network.links[self.link];
        (self.closed, link.client_gone) = (true, true);
        link.to_client.reset(0);
        network.reset_server(self.link);
    }
}

impl Drop for SimClient {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        if !self.network.borrow().links[self.link].to_client.bytes.is_empty() {
            return self.break_off();
        }
        self.shutdown();
        self.network.borrow_mut().links[self.link].client_gone = true;
    }
}
