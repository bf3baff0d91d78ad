//! Connections that make one exchange and then stay open without a word.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::commands::wrong;
use crate::socket;
use crate::wire::{Letters, Wire};

/// How many connections make their exchange at once.
const AT_ONCE: usize = 256;
/// Longer than any reply of a server that is alive.
const PATIENCE_MS: i32 = 5_000;

/// Open connections; dropping it closes them.
pub struct Idle {
    port: u16,
    wire: Wire,
    size: usize,
    letters: Letters,
    connections: Vec<OwnedFd>,
}

impl Idle {
    /// None yet.
    pub fn new(port: u16, wire: Wire, size: usize) -> Self {
        Self { port, wire, size, letters: Letters::new(), connections: Vec::new() }
    }

    /// Opens connections until there are `total`, with one verified exchange on each.
    pub fn open_until(&mut self, total: usize) -> io::Result<()> {
        let mut message = Vec::new();
        while self.connections.len() < total {
            let first = self.connections.len();
            let end = total.min(first + AT_ONCE);
            for index in first..end {
                let fd = socket::connect(self.port)?;
                message.clear();
                self.letters.request(self.wire, index, 0, self.size, &mut message);
                if socket::send(fd.as_raw_fd(), &message)? != Some(message.len()) {
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
                self.connections.push(fd);
            }
            for index in first..end {
                message.clear();
                self.letters.reply(self.wire, index, 0, self.size, &mut message);
                expect(&self.connections[index], &message)?;
            }
        }
        Ok(())
    }
}

/// Receives exactly `expected`, or fails.
pub fn expect(fd: &OwnedFd, mut expected: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; expected.len()];
    while !expected.is_empty() {
        wait_readable(fd)?;
        let room = expected.len();
        match socket::receive(fd.as_raw_fd(), &mut buffer[..room])? {
            Some(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Some(count) if buffer[..count] == expected[..count] => expected = &expected[count..],
            Some(count) => return Err(wrong(&buffer[..count])),
            None => {}
        }
    }
    Ok(())
}

fn wait_readable(fd: &OwnedFd) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one pollfd and lives for the call.
    match socket::check(unsafe { libc::poll(&mut poll, 1, PATIENCE_MS) })? {
        0 => Err(io::Error::from(io::ErrorKind::TimedOut)),
        _ => Ok(()),
    }
}
