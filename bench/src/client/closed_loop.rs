//! A closed loop: each connection keeps `depth` requests under way and sends the next as replies come.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::epoll::{Epoll, READ_WRITE};
use crate::measure::{Usage, histogram};
use crate::socket;
use crate::wire::{Letters, Wire};

/// One read takes at most this much.
const BUFFER_BYTES: usize = 64 * 1024;

/// Describes the client's load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections, all opened before the first request.
    pub connections: usize,
    /// Requests under way on each.
    pub depth: usize,
    /// Bytes of a request, framing included.
    pub size: usize,
    /// Form of the messages.
    pub wire: Wire,
    /// Time before counting starts.
    pub warm_up: Duration,
    /// Time in which everything counts.
    pub measured: Duration,
}

/// The result in the measured time.
pub struct Outcome {
    /// Verified replies.
    pub messages: u64,
    /// The measured time as it turned out.
    pub elapsed: Duration,
    /// Round trips in nanoseconds.
    pub round_trips: Histogram<u64>,
    /// The server's usage.
    pub server: Usage,
    /// This process's usage.
    pub client: Usage,
}

/// Runs the load against a server on loopback whose process is `pid`.
pub fn run(port: u16, pid: u32, load: &Load) -> io::Result<Outcome> {
    run_and(port, pid, load, || Ok(())).map(|(outcome, ())| outcome)
}

/// Runs the load, and calls `at_end` after the measured time, while all connections are still open.
pub fn run_and<T>(
    port: u16,
    pid: u32,
    load: &Load,
    at_end: impl FnOnce() -> io::Result<T>,
) -> io::Result<(Outcome, T)> {
    let mut client = Client::connect(port, *load)?;
    client.run_for(load.warm_up)?;
    client.messages = 0;
    client.round_trips.reset();
    let usage = || Ok::<_, io::Error>((Usage::of(pid)?, Usage::of(std::process::id())?));
    let (server, own) = usage()?;
    let started = Instant::now();
    client.run_for(load.measured)?;
    let elapsed = started.elapsed();
    let (server_after, own_after) = usage()?;
    let seen = at_end()?;
    let outcome = Outcome {
        messages: client.messages,
        elapsed,
        round_trips: client.round_trips,
        server: server_after - server,
        client: own_after - own,
    };
    Ok((outcome, seen))
}

struct Connection {
    fd: OwnedFd,
    /// Number of the next request to be sent.
    next: u64,
    /// Number of the reply that is being received.
    awaited: u64,
    /// Bytes of that reply that are here.
    received: usize,
}

struct Client {
    load: Load,
    epoll: Epoll,
    connections: Vec<Connection>,
    letters: Letters,
    epoch: Instant,
    /// When each request under way was sent, in nanoseconds since `epoch`: `depth` places for each
    /// connection.
    sent_at: Vec<u64>,
    /// The bytes that a full socket did not take.
    unsent: HashMap<usize, Vec<u8>>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    started: bool,
    messages: u64,
    round_trips: Histogram<u64>,
}

impl Client {
    fn connect(port: u16, load: Load) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut connections = Vec::with_capacity(load.connections);
        for index in 0..load.connections {
            let fd = socket::connect(port)?;
            epoll.add(fd.as_raw_fd(), READ_WRITE, index as u64)?;
            connections.push(Connection { fd, next: 0, awaited: 0, received: 0 });
        }
        Ok(Self {
            load,
            epoll,
            connections,
            letters: Letters::new(),
            epoch: Instant::now(),
            sent_at: vec![0; load.connections * load.depth],
            unsent: HashMap::new(),
            buffer: vec![0; BUFFER_BYTES],
            scratch: Vec::new(),
            started: false,
            messages: 0,
            round_trips: histogram()?,
        })
    }

    fn run_for(&mut self, time: Duration) -> io::Result<()> {
        if !self.started {
            self.started = true;
            for index in 0..self.connections.len() {
                self.send(index, self.load.depth)?;
            }
        }
        let end = Instant::now() + time;
        while Instant::now() < end {
            for event in 0..super::wait(&mut self.epoll)? {
                let (flags, token) = self.epoll.event(event);
                let index = token as usize;
                if flags & libc::EPOLLOUT as u32 != 0 && !self.unsent.is_empty() {
                    self.flush(index)?;
                }
                if flags & libc::EPOLLIN as u32 != 0 {
                    self.receive(index)?;
                }
            }
        }
        Ok(())
    }

    /// Reads what is there, verifies it, and sends as many requests as replies were completed.
    fn receive(&mut self, index: usize) -> io::Result<()> {
        loop {
            let fd = self.connections[index].fd.as_raw_fd();
            let Some(count) = socket::receive(fd, &mut self.buffer)? else {
                return Ok(());
            };
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let completed = self.verify(index, count)?;
            if completed > 0 {
                self.send(index, completed)?;
            }
            if count < self.buffer.len() {
                return Ok(());
            }
        }
    }

    /// Compares `count` bytes of the buffer with the replies awaited; returns how many were completed.
    fn verify(&mut self, index: usize, count: usize) -> io::Result<usize> {
        let Load { wire, size, depth, .. } = self.load;
        let now = self.now();
        let connection = &mut self.connections[index];
        let mut chunk = &self.buffer[..count];
        let mut completed = 0;
        while !chunk.is_empty() {
            self.scratch.clear();
            self.letters.reply(wire, index, connection.awaited, size, &mut self.scratch);
            let expected = &self.scratch[connection.received..];
            let part = expected.len().min(chunk.len());
            if connection.awaited == connection.next || chunk[..part] != expected[..part] {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("connection {index}, reply {}: not what was expected", connection.awaited),
                ));
            }
            chunk = &chunk[part..];
            connection.received += part;
            if part == expected.len() {
                let place = index * depth + (connection.awaited % depth as u64) as usize;
                self.round_trips.record(now.saturating_sub(self.sent_at[place])).map_err(io::Error::other)?;
                connection.awaited += 1;
                connection.received = 0;
                completed += 1;
            }
        }
        self.messages += completed as u64;
        Ok(completed)
    }

    /// Sends `count` requests with one write.
    fn send(&mut self, index: usize, count: usize) -> io::Result<()> {
        let Load { wire, size, depth, .. } = self.load;
        let now = self.now();
        let connection = &mut self.connections[index];
        self.scratch.clear();
        for _ in 0..count {
            let place = index * depth + (connection.next % depth as u64) as usize;
            self.sent_at[place] = now;
            self.letters.request(wire, index, connection.next, size, &mut self.scratch);
            connection.next += 1;
        }
        if !self.unsent.is_empty()
            && let Some(unsent) = self.unsent.get_mut(&index)
        {
            unsent.extend_from_slice(&self.scratch);
            return Ok(());
        }
        let sent = socket::send(connection.fd.as_raw_fd(), &self.scratch)?.unwrap_or(0);
        if sent < self.scratch.len() {
            self.unsent.insert(index, self.scratch[sent..].to_vec());
        }
        Ok(())
    }

    fn flush(&mut self, index: usize) -> io::Result<()> {
        let Some(unsent) = self.unsent.get_mut(&index) else {
            return Ok(());
        };
        let fd = self.connections[index].fd.as_raw_fd();
        while !unsent.is_empty() {
            match socket::send(fd, unsent)? {
                Some(sent) => drop(unsent.drain(..sent)),
                None => return Ok(()),
            }
        }
        self.unsent.remove(&index);
        Ok(())
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}
