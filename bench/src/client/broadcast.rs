//! Members of a broadcast: a word from the first of them, one payload to each.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::idle::{Exchange, Idle};
use crate::epoll::{Epoll, READ};
use crate::floor::broadcast::PAYLOAD;
use crate::measure::Usage;
use crate::socket;

/// Broadcasts before counting starts.
const WARM_UP: u32 = 3;

/// The result of the broadcasts that counted.
pub struct Outcome {
    /// Payloads received and verified.
    pub deliveries: u64,
    /// From the first trigger to the last byte.
    pub elapsed: Duration,
    /// Each broadcast from its trigger to its last byte.
    pub each: Vec<Duration>,
    /// The server's usage.
    pub server: Usage,
}

/// The messages of a broadcast benchmark.
pub struct Form {
    /// The exchanges of each member before the greeting.
    pub opening: Vec<Exchange>,
    /// The request that triggers one broadcast.
    pub trigger: Vec<u8>,
    /// The message that every member gets; the greeting is the same.
    pub payload: Vec<u8>,
}

impl Form {
    /// One byte, and the payload as it is.
    pub fn raw() -> Self {
        Self { opening: Vec::new(), trigger: b"!".to_vec(), payload: PAYLOAD.to_vec() }
    }
}

/// Opens `connections`, waits for the greeting on each, then triggers one broadcast after the other.
pub fn run(port: u16, pid: u32, form: Form, connections: usize, broadcasts: u32) -> io::Result<Outcome> {
    let mut members = Members::join(port, form, connections)?;
    for _ in 0..WARM_UP {
        members.broadcast()?;
    }
    let before = Usage::of(pid)?;
    let started = Instant::now();
    let mut each = Vec::new();
    for _ in 0..broadcasts {
        each.push(members.broadcast()?);
    }
    Ok(Outcome {
        deliveries: connections as u64 * u64::from(broadcasts),
        elapsed: started.elapsed(),
        each,
        server: Usage::of(pid)? - before,
    })
}

/// Connections that were greeted.
pub struct Members {
    epoll: Epoll,
    trigger: Vec<u8>,
    payload: Vec<u8>,
    /// Each with its position in the payload.
    members: Vec<(OwnedFd, usize)>,
}

impl Members {
    /// Opens so many, and waits for the greeting on each.
    pub fn join(port: u16, form: Form, connections: usize) -> io::Result<Self> {
        /// Joins are greeted in portions, so that no backlog overflows.
        const PORTION: usize = 1_000;
        let Form { opening, trigger, payload } = form;
        let mut members = Self { epoll: Epoll::new()?, trigger, payload, members: Vec::with_capacity(connections) };
        let mut opened = Idle::new(port, opening);
        while members.members.len() < connections {
            let first = members.members.len();
            opened.open_until(PORTION.min(connections - first))?;
            for (index, fd) in (first..).zip(opened.take()) {
                members.epoll.add(fd.as_raw_fd(), READ, index as u64)?;
                members.members.push((fd, 0));
            }
            members.receive((members.members.len() - first) * members.payload.len())?;
        }
        Ok(members)
    }

    /// Has one broadcast made; returns how long it took until everybody had it.
    pub fn broadcast(&mut self) -> io::Result<Duration> {
        let started = Instant::now();
        let Some((first, _)) = self.members.first() else {
            return Ok(Duration::ZERO);
        };
        if socket::send(first.as_raw_fd(), &self.trigger)? != Some(self.trigger.len()) {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        self.receive(self.members.len() * self.payload.len())?;
        if self.members.iter().any(|(_, position)| *position != 0) {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(started.elapsed())
    }

    /// Receives `bytes` in all, each where it belongs.
    fn receive(&mut self, mut bytes: usize) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while bytes > 0 {
            for event in 0..super::wait(&mut self.epoll)? {
                let (_, token) = self.epoll.event(event);
                let (fd, position) = &mut self.members[token as usize];
                let received = match socket::receive(fd.as_raw_fd(), &mut buffer)? {
                    Some(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    Some(received) => received,
                    None => continue,
                };
                for byte in &buffer[..received] {
                    if *byte != self.payload[*position] {
                        return Err(io::Error::from(io::ErrorKind::InvalidData));
                    }
                    *position = (*position + 1) % self.payload.len();
                }
                bytes = bytes.checked_sub(received).ok_or(io::ErrorKind::InvalidData)?;
            }
        }
        Ok(())
    }
}
