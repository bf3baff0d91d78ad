//! A closed loop of Redis commands: each connection keeps `depth` of them under way. What is sent, and what has to come
//! back, lies on tapes: a read costs one comparison and one write, however many commands are in it.

use std::io;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::epoll::{Epoll, READ_WRITE};
use crate::measure::Usage;
use crate::socket;
use crate::tape::Tape;
use crate::wire::Letters;

/// Longer than any reply of a server that is alive.
const PATIENCE_MS: i32 = 5_000;
/// One read takes at most this much.
const BUFFER_BYTES: usize = 64 * 1024;
/// Keys written with one write before a measurement.
const FILL_AT_ONCE: usize = 128;
/// Commands on a tape for each key: so many that nearly all keys are among those drawn.
const DRAWS_PER_KEY: usize = 4;

/// Keys by their number, each with its value.
pub struct Keys {
    /// How many there are.
    pub count: usize,
    /// Bytes of a value.
    pub size: usize,
    letters: Letters,
}

/// Which commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Answered with the key's value.
    Get,
    /// Of the value that the key has already.
    Set,
}

impl Keys {
    /// So many keys with values of so many bytes.
    pub fn new(count: usize, size: usize) -> Self {
        Self { count, size, letters: Letters::new() }
    }

    /// Commands on keys drawn uniformly, and their replies. The draws are the same in each run.
    pub fn tapes(&self, verb: Verb) -> (Tape, Tape) {
        let draws = || {
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            std::iter::repeat_with(move || {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) as usize % self.count
            })
            .take(self.count * DRAWS_PER_KEY)
        };
        match verb {
            Verb::Get => (
                Tape::new(draws(), |key, out| self.get(key, out)),
                Tape::new(draws(), |key, out| {
                    bulk(self.letters.value(key, self.size), out);
                }),
            ),
            Verb::Set => (
                Tape::new(draws(), |key, out| self.set(key, out)),
                Tape::new([b"+OK\r\n"], |reply, out| {
                    out.extend_from_slice(reply);
                }),
            ),
        }
    }

    /// Gives every key its value.
    pub fn fill(&self, port: u16) -> io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_millis(PATIENCE_MS as u64)))?;
        let (mut commands, mut replies) = (Vec::new(), Vec::new());
        for first in (0..self.count).step_by(FILL_AT_ONCE) {
            let keys = first..self.count.min(first + FILL_AT_ONCE);
            let right = b"+OK\r\n".repeat(keys.len());
            commands.clear();
            keys.for_each(|key| self.set(key, &mut commands));
            stream.write_all(&commands)?;
            replies.resize(right.len(), 0);
            stream.read_exact(&mut replies)?;
            if replies != right {
                return Err(wrong(&replies));
            }
        }
        Ok(())
    }

    fn get(&self, key: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
        bulk(&name(key), out);
    }

    fn set(&self, key: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        bulk(&name(key), out);
        bulk(self.letters.value(key, self.size), out);
    }
}

/// A key's name, 16 bytes.
fn name(key: usize) -> Vec<u8> {
    format!("key:{key:012}").into_bytes()
}

/// Appends a bulk string.
pub fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// What a client has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Commands with verified replies, or verified deliveries.
    pub operations: u64,
    /// Reads that they came with: fewer where the server sends several together.
    pub reads: u64,
}

/// What came of a run in the measured time.
pub struct Outcome {
    /// What was done in it.
    pub done: Done,
    /// The measured time as it turned out.
    pub elapsed: Duration,
    /// What the server used.
    pub server: Usage,
    /// What this process used.
    pub client: Usage,
}

impl Outcome {
    /// Measures what `work` does for the given time, after as much for the warm-up; it returns what it has done
    /// since it was made.
    pub fn of(
        pid: u32,
        [warm_up, measured]: [Duration; 2],
        mut work: impl FnMut(Duration) -> io::Result<Done>,
    ) -> io::Result<Self> {
        let usage = || Ok::<_, io::Error>((Usage::of(pid)?, Usage::of(std::process::id())?));
        let before = work(warm_up)?;
        let (server, own) = usage()?;
        let started = Instant::now();
        let after = work(measured)?;
        let elapsed = started.elapsed();
        let (server_after, own_after) = usage()?;
        let done = Done { operations: after.operations - before.operations, reads: after.reads - before.reads };
        Ok(Self { done, elapsed, server: server_after - server, client: own_after - own })
    }
}

struct Connection {
    fd: OwnedFd,
    /// Where on the tapes this connection is: each has begun at another place.
    sent: u64,
    received: u64,
    /// Bytes of commands that may be sent.
    due: u64,
    /// Bytes of replies that are awaited.
    awaited: u64,
}

/// Connections that run one kind of command.
pub struct Client<'t> {
    commands: &'t Tape,
    replies: &'t Tape,
    epoll: Epoll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    done: Done,
}

impl<'t> Client<'t> {
    /// Connects; nothing is sent yet.
    pub fn connect(
        port: u16,
        (commands, replies): (&'t Tape, &'t Tape),
        connections: usize,
        depth: usize,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let each = |index: usize| {
            let fd = socket::connect(port)?;
            epoll.add(fd.as_raw_fd(), READ_WRITE, index as u64)?;
            // A prime, so that connections do not lie evenly on the tape.
            let start = index as u64 * 7_919;
            Ok(Connection {
                fd,
                sent: start * commands.piece(),
                received: start * replies.piece(),
                due: depth as u64 * commands.piece(),
                awaited: depth as u64 * replies.piece(),
            })
        };
        let connections = (0..connections).map(each).collect::<io::Result<_>>()?;
        Ok(Self { commands, replies, epoll, connections, buffer: vec![0; BUFFER_BYTES], done: Done::default() })
    }

    /// Goes on for so long; returns all that was done so far.
    pub fn run_for(&mut self, time: Duration) -> io::Result<Done> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let count = self.epoll.wait(PATIENCE_MS)?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no reply from the server"));
            }
            for event in 0..count {
                let (flags, token) = self.epoll.event(event);
                let connection = &mut self.connections[token as usize];
                if flags & libc::EPOLLIN as u32 != 0 {
                    self.done.reads += 1;
                    self.done.operations +=
                        connection.receive(self.replies, self.commands.piece(), &mut self.buffer)?;
                }
                connection.send(self.commands)?;
            }
        }
        Ok(self.done)
    }
}

impl Connection {
    /// Reads what is there and compares it; returns the replies that are complete by it. For each a command is due.
    fn receive(&mut self, replies: &Tape, command: u64, buffer: &mut [u8]) -> io::Result<u64> {
        let before = self.received / replies.piece();
        while let Some(count) = socket::receive(self.fd.as_raw_fd(), buffer)? {
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let received = &buffer[..count];
            if count as u64 > self.awaited || !replies.has(self.received, received) {
                return Err(wrong(received));
            }
            self.received += count as u64;
            self.awaited -= count as u64;
            // A short read has emptied the socket.
            if count < buffer.len() {
                break;
            }
        }
        let done = self.received / replies.piece() - before;
        self.due += done * command;
        self.awaited += done * replies.piece();
        Ok(done)
    }

    /// Sends what is due, as far as the socket takes it.
    fn send(&mut self, commands: &Tape) -> io::Result<()> {
        while self.due > 0 {
            let Some(sent) = socket::send(self.fd.as_raw_fd(), commands.at(self.sent, self.due))? else { break };
            self.sent += sent as u64;
            self.due -= sent as u64;
        }
        Ok(())
    }
}

/// The error for bytes that are not those that had to come.
pub fn wrong(received: &[u8]) -> io::Error {
    let shown = &received[..received.len().min(128)];
    io::Error::new(io::ErrorKind::InvalidData, format!("not what was expected: {:?}", String::from_utf8_lossy(shown)))
}
