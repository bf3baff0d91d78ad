//! An open loop: each message has its moment, whether answers have come or not. An answer takes from the moment at which
//! its message was due: what a slow server makes wait counts as well.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::PATIENCE;
use super::taped::wrong;
use crate::epoll::{Epoll, READ_WRITE};
use crate::measure::{Usage, histogram};
use crate::socket;
use crate::wire::{Letters, Wire};

/// One read takes at most this much.
const BUFFER_BYTES: usize = 64 * 1024;

/// Messages under way at which a server counts as one that cannot keep up: minutes of work.
const MOST_UNDER_WAY: u64 = 4_000_000;

/// Describes the client's load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections, which take their turns.
    pub connections: usize,
    /// Bytes of a message; it is answered with the same bytes.
    pub size: usize,
    /// Messages of all connections in a second.
    pub per_second: f64,
    /// Time before counting starts.
    pub warm_up: Duration,
    /// Time whose messages count.
    pub measured: Duration,
}

/// The result of a run.
pub struct Outcome {
    /// Answers that came in the measured time.
    pub answered: u64,
    /// The measured time as it turned out.
    pub elapsed: Duration,
    /// From the moment at which a message was due to its answer, in nanoseconds; at least so long where none has come.
    pub responses: Histogram<u64>,
    /// By how much messages were sent late, in nanoseconds: what is the client's own part of the responses.
    pub late: Histogram<u64>,
    /// The server's usage.
    pub server: Usage,
}

/// Runs the load against a server on loopback whose process is `pid`.
pub fn run(port: u16, pid: u32, load: &Load) -> io::Result<Outcome> {
    let mut client = Client::connect(port, *load)?;
    client.run_for(load.warm_up)?;
    client.counted = client.sent;
    client.late.reset();
    let (received, before, started) = (client.received, Usage::of(pid)?, Instant::now());
    client.run_for(load.measured)?;
    let (elapsed, server) = (started.elapsed(), Usage::of(pid)? - before);
    let answered = client.received - received;
    client.await_rest()?;
    Ok(Outcome { answered, elapsed, responses: client.responses, late: client.late, server })
}

struct Connection {
    fd: OwnedFd,
    /// Number of the answer that is being received.
    awaited: u64,
    /// Bytes of that answer that are here.
    received: usize,
}

struct Client {
    load: Load,
    epoll: Epoll,
    connections: Vec<Connection>,
    letters: Letters,
    epoch: Instant,
    /// The end of the schedule so far, in nanoseconds since `epoch`.
    end: u64,
    /// Messages so far, each on the next connection, and answers.
    sent: u64,
    received: u64,
    /// The first message that counts.
    counted: u64,
    /// The bytes that a full socket did not take.
    unsent: HashMap<usize, Vec<u8>>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    responses: Histogram<u64>,
    late: Histogram<u64>,
}

impl Client {
    fn connect(port: u16, load: Load) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut connections = Vec::with_capacity(load.connections);
        for index in 0..load.connections {
            let fd = socket::connect(port)?;
            epoll.add(fd.as_raw_fd(), READ_WRITE, index as u64)?;
            connections.push(Connection { fd, awaited: 0, received: 0 });
        }
        Ok(Self {
            load,
            epoll,
            connections,
            letters: Letters::new(),
            epoch: Instant::now(),
            end: 0,
            sent: 0,
            received: 0,
            counted: 0,
            unsent: HashMap::new(),
            buffer: vec![0; BUFFER_BYTES],
            scratch: Vec::new(),
            responses: histogram()?,
            late: histogram()?,
        })
    }

    /// When a message is due, in nanoseconds since `epoch`.
    fn due(&self, message: u64) -> u64 {
        (message as f64 / self.load.per_second * 1e9) as u64
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Sends what is due in the next `time` of the schedule, all of it, and receives meanwhile. It does not wait: a sleeping client would be
    /// late by more than a server takes.
    fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let end = self.end + time.as_nanos() as u64;
        self.end = end;
        loop {
            let now = self.now();
            while self.due(self.sent) <= now.min(end) {
                self.send(now)?;
            }
            if now >= end {
                return Ok(());
            }
            self.receive_all(0)?;
        }
    }

    /// Receives what was not answered yet. What does not come has taken until now at least.
    fn await_rest(&mut self) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.received < self.sent && Instant::now() < end {
            self.receive_all(10)?;
        }
        let (now, count) = (self.now(), self.connections.len() as u64);
        for index in 0..count {
            let first = self.connections[index as usize].awaited;
            for message in (first..).map(|number| number * count + index).take_while(|message| *message < self.sent) {
                if message >= self.counted {
                    self.responses.saturating_record(now.saturating_sub(self.due(message)));
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, now: u64) -> io::Result<()> {
        if self.sent - self.received >= MOST_UNDER_WAY {
            return Err(io::Error::other(format!("{MOST_UNDER_WAY} messages are not answered")));
        }
        let count = self.connections.len() as u64;
        let (index, number) = ((self.sent % count) as usize, self.sent / count);
        self.late.saturating_record(now.saturating_sub(self.due(self.sent)));
        self.sent += 1;
        self.scratch.clear();
        self.letters.request(Wire::Raw, index, number, self.load.size, &mut self.scratch);
        if let Some(unsent) = self.unsent.get_mut(&index) {
            unsent.extend_from_slice(&self.scratch);
            return Ok(());
        }
        let sent = socket::send(self.connections[index].fd.as_raw_fd(), &self.scratch)?.unwrap_or(0);
        if sent < self.scratch.len() {
            self.unsent.insert(index, self.scratch[sent..].to_vec());
        }
        Ok(())
    }

    fn receive_all(&mut self, timeout_ms: i32) -> io::Result<()> {
        for event in 0..self.epoll.wait(timeout_ms)? {
            let (flags, token) = self.epoll.event(event);
            let index = token as usize;
            if flags & libc::EPOLLOUT as u32 != 0 && !self.unsent.is_empty() {
                self.flush(index)?;
            }
            if flags & libc::EPOLLIN as u32 != 0 {
                self.receive(index)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        loop {
            let fd = self.connections[index].fd.as_raw_fd();
            let Some(count) = socket::receive(fd, &mut self.buffer)? else { return Ok(()) };
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            self.verify(index, count)?;
            if count < self.buffer.len() {
                return Ok(());
            }
        }
    }

    fn verify(&mut self, index: usize, count: usize) -> io::Result<()> {
        let (now, connections) = (self.now(), self.connections.len() as u64);
        let mut at = 0;
        while at < count {
            let connection = &self.connections[index];
            let message = connection.awaited * connections + index as u64;
            self.scratch.clear();
            self.letters.reply(Wire::Raw, index, connection.awaited, self.load.size, &mut self.scratch);
            let expected = &self.scratch[connection.received..];
            let part = expected.len().min(count - at);
            if message >= self.sent || self.buffer[at..at + part] != expected[..part] {
                return Err(wrong(&self.buffer[at..count]));
            }
            at += part;
            let is_whole = part == expected.len();
            let connection = &mut self.connections[index];
            connection.received += part;
            if is_whole {
                connection.awaited += 1;
                connection.received = 0;
                self.received += 1;
                if message >= self.counted {
                    let due = self.due(message);
                    self.responses.saturating_record(now.saturating_sub(due));
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self, index: usize) -> io::Result<()> {
        let Some(unsent) = self.unsent.get_mut(&index) else { return Ok(()) };
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
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Echoes on one connection, and stands still for so long when the first message has come.
    fn server(stopped: Duration) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client connects");
            let mut buffer = [0; 4096];
            stream.peek(&mut buffer).expect("a message");
            // It is the silence of the server that is measured.
            std::thread::sleep(stopped);
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        });
        port
    }

    fn load(measured: Duration) -> Load {
        Load { connections: 1, size: 64, per_second: 1_000.0, warm_up: Duration::ZERO, measured }
    }

    #[test]
    fn each_message_of_the_schedule_is_counted_once() {
        let port = server(Duration::ZERO);
        let outcome = run(port, std::process::id(), &load(Duration::from_millis(200))).expect("answers");
        // Both ends of the time are part of it, and the first message is due before the warm-up of no length ends.
        assert_eq!(outcome.responses.len(), 200);
        assert_eq!(outcome.late.len(), outcome.responses.len());
    }

    #[test]
    fn a_server_that_stands_still_makes_all_wait_that_were_due() {
        let port = server(Duration::from_millis(300));
        let outcome = run(port, std::process::id(), &load(Duration::from_millis(200))).expect("answers");
        // The first waits for all of the silence, and the last for what is left of it 200 ms later; a closed loop would have
        // seen one slow message.
        assert!(outcome.responses.max() >= 299_000_000, "{}", outcome.responses.max());
        assert!(outcome.responses.min() >= 99_000_000, "{}", outcome.responses.min());
    }
}
