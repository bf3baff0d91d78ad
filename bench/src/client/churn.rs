//! Connections that come and go: connect, one exchange, close. A few are under way at a time.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::taped::{Done, wrong};
use crate::epoll::{Epoll, READ};
use crate::http::BODY;
use crate::socket;
use crate::wire::{Letters, Wire};

/// Source addresses that connections take in turn: each has some 28,000 ports, and one that was used rests for a second
/// on loopback (`net.ipv4.tcp_tw_reuse`).
const SOURCES: u32 = 16;
/// The longest response.
const BUFFER_BYTES: usize = 4 * 1024;
/// Bytes of a message of echo.
const MESSAGE_BYTES: usize = 64;

/// The one exchange of a connection, and who closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Bytes that come back; then the client closes.
    Echo,
    /// `GET /`, after which the server closes as it is asked to.
    Http,
}

struct Slot {
    fd: OwnedFd,
    received: Vec<u8>,
}

/// The connections under way.
pub struct Churn {
    port: u16,
    exchange: Exchange,
    epoll: Epoll,
    slots: Vec<Slot>,
    letters: Letters,
    begun: u64,
    done: Done,
}

impl Churn {
    /// Opens as many connections as are under way at a time.
    pub fn begin(port: u16, exchange: Exchange, at_once: usize) -> io::Result<Self> {
        let mut churn = Self {
            port,
            exchange,
            epoll: Epoll::new()?,
            slots: Vec::with_capacity(at_once),
            letters: Letters::new(),
            begun: 0,
            done: Done::default(),
        };
        for index in 0..at_once {
            let slot = churn.open(index)?;
            churn.slots.push(slot);
        }
        Ok(churn)
    }

    /// Goes on for so long; returns how many connections were done with so far.
    pub fn run_for(&mut self, time: Duration) -> io::Result<Done> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for event in 0..super::wait(&mut self.epoll)? {
                self.advance(self.epoll.event(event).1 as usize)?;
            }
        }
        Ok(self.done)
    }

    fn open(&mut self, index: usize) -> io::Result<Slot> {
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 2)) + (self.begun % u64::from(SOURCES)) as u32);
        let fd = socket::connect_from(source, self.port)?;
        let request = self.request(index);
        self.begun += 1;
        if socket::send(fd.as_raw_fd(), &request)? != Some(request.len()) {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        self.epoll.add(fd.as_raw_fd(), READ, index as u64)?;
        Ok(Slot { fd, received: Vec::new() })
    }

    fn request(&self, index: usize) -> Vec<u8> {
        match self.exchange {
            Exchange::Echo => {
                let mut request = Vec::new();
                self.letters.request(Wire::Raw, index, 0, MESSAGE_BYTES, &mut request);
                request
            }
            Exchange::Http => b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".to_vec(),
        }
    }

    /// Reads what is there; when the exchange is over, closes and opens the next connection.
    fn advance(&mut self, index: usize) -> io::Result<()> {
        let mut buffer = [0; BUFFER_BYTES];
        let mut is_ended = false;
        let request = self.request(index);
        let slot = &mut self.slots[index];
        // Until there is no more: a change of the socket is reported once.
        while let Some(count) = socket::receive(slot.fd.as_raw_fd(), &mut buffer)? {
            if count == 0 {
                is_ended = true;
                break;
            }
            self.done.reads += 1;
            slot.received.extend_from_slice(&buffer[..count]);
        }
        let received = &slot.received;
        let is_done = match self.exchange {
            Exchange::Echo => received.len() >= MESSAGE_BYTES,
            Exchange::Http => is_ended,
        };
        if !is_done {
            return if is_ended { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) } else { Ok(()) };
        }
        let is_right = match self.exchange {
            Exchange::Echo => *received == request,
            Exchange::Http => received.starts_with(b"HTTP/1.1 200 ") && received.ends_with(BODY.as_bytes()),
        };
        if !is_right {
            return Err(wrong(received));
        }
        self.done.operations += 1;
        // The one before is closed by this.
        self.slots[index] = self.open(index)?;
        Ok(())
    }
}
