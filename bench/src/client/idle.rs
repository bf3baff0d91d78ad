//! Connections that make a few exchanges and then stay open without a word.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use super::taped::wrong;
use crate::socket;
use crate::tape::Tape;
use crate::wire::{Letters, Wire};

/// The number of connections that make their exchanges at once: fewer than any backlog.
const AT_ONCE: usize = 256;

/// Requests, and the right reply to each; the first connection takes the first.
pub struct Exchange {
    /// The request.
    pub requests: Tape,
    /// The reply that has to come back.
    pub replies: Tape,
}

impl Exchange {
    /// An echo of so many bytes, framing included.
    pub fn echo(wire: Wire, size: usize) -> Self {
        let letters = Letters::new();
        Self {
            requests: Tape::new(0..AT_ONCE, |index, out| letters.request(wire, index, 0, size, out)),
            replies: Tape::new(0..AT_ONCE, |index, out| letters.reply(wire, index, 0, size, out)),
        }
    }

    fn send(&self, index: usize, fd: &OwnedFd) -> io::Result<()> {
        let piece = self.requests.piece();
        let request = self.requests.at(index as u64 * piece, piece);
        if socket::send(fd.as_raw_fd(), request)? != Some(request.len()) {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        Ok(())
    }

    fn receive(&self, index: usize, fd: &OwnedFd) -> io::Result<()> {
        expect(fd, &self.replies, index as u64 * self.replies.piece())
    }
}

/// Open connections; dropping it closes them.
pub struct Idle {
    port: u16,
    exchanges: Vec<Exchange>,
    connections: Vec<OwnedFd>,
}

impl Idle {
    /// None yet. Each is going to make these exchanges, one after the other.
    pub fn new(port: u16, exchanges: Vec<Exchange>) -> Self {
        Self { port, exchanges, connections: Vec::new() }
    }

    /// Opens connections until there are `total`, with verified exchanges on each.
    pub fn open_until(&mut self, total: usize) -> io::Result<()> {
        while self.connections.len() < total {
            let first = self.connections.len();
            let end = total.min(first + AT_ONCE);
            for _ in first..end {
                self.connections.push(socket::connect(self.port)?);
            }
            let opened = || self.connections[first..end].iter().enumerate();
            for exchange in &self.exchanges {
                opened().try_for_each(|(index, fd)| exchange.send(index, fd))?;
                opened().try_for_each(|(index, fd)| exchange.receive(index, fd))?;
            }
        }
        Ok(())
    }

    /// The connections so far, for another client to go on with; after it there are none.
    pub fn take(&mut self) -> Vec<OwnedFd> {
        mem::take(&mut self.connections)
    }
}

/// Receives exactly one piece of `tape`, which begins at `position`, or fails.
fn expect(fd: &OwnedFd, tape: &Tape, mut position: u64) -> io::Result<()> {
    let mut buffer = vec![0; tape.piece() as usize];
    let mut awaited = buffer.len();
    while awaited > 0 {
        super::wait_for(fd, libc::POLLIN)?;
        match socket::receive(fd.as_raw_fd(), &mut buffer[..awaited])? {
            Some(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Some(count) if tape.has(position, &buffer[..count]) => {
                position += count as u64;
                awaited -= count;
            }
            Some(count) => return Err(wrong(&buffer[..count])),
            None => {}
        }
    }
    Ok(())
}
