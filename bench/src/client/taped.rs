//! A closed loop: each connection keeps `depth` requests under way. What is sent, and what has to come back, lies on
//! tapes: a read costs one comparison and one write, however many replies are in it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::stream::{Received, Scratch, Stream};
use crate::epoll::{Epoll, READ_WRITE};
use crate::measure::Usage;
use crate::socket;
use crate::tape::Tape;

/// Counts what a client has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Requests with verified replies, or verified deliveries.
    pub operations: u64,
    /// Reads that they came with: fewer where the server sends several together.
    pub reads: u64,
}

/// The result of a run in the measured time.
pub struct Outcome {
    /// The client's counts in that time.
    pub done: Done,
    /// The measured time as it turned out.
    pub elapsed: Duration,
    /// The server's usage.
    pub server: Usage,
    /// This process's usage.
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
    stream: Stream,
    /// The position of this connection on the tapes; each begins at another one.
    sent: u64,
    received: u64,
    /// Bytes of requests that may be sent.
    due: u64,
    /// Bytes of replies that are awaited.
    awaited: u64,
    /// Complete replies that no request followed yet.
    owed: u64,
}

/// Connections that make one kind of request.
pub struct Client<'t> {
    requests: &'t Tape,
    replies: &'t Tape,
    epoll: Epoll,
    connections: Vec<Connection>,
    /// The number of requests that are sent together.
    batch: u64,
    scratch: Scratch,
    done: Done,
}

impl<'t> Client<'t> {
    /// Connects; nothing is sent yet.
    pub fn connect(port: u16, tapes: (&'t Tape, &'t Tape), connections: usize, depth: usize) -> io::Result<Self> {
        let connections = (0..connections).map(|_| socket::connect(port)).collect::<io::Result<_>>()?;
        Self::over(connections, tapes, depth)
    }

    /// Takes connections that are there already; nothing is sent yet.
    pub fn over(connections: Vec<OwnedFd>, tapes: (&'t Tape, &'t Tape), depth: usize) -> io::Result<Self> {
        Self::over_streams(connections.into_iter().map(Stream::Plain), tapes, depth)
    }

    /// Makes clients of connections of any kind. By TLS each request is a record.
    pub fn over_streams(
        streams: impl IntoIterator<Item = Stream>,
        (requests, replies): (&'t Tape, &'t Tape),
        depth: usize,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let each = |(index, stream): (usize, Stream)| {
            epoll.add(stream.fd(), READ_WRITE, index as u64)?;
            // A prime, so that connections do not lie evenly on the tape.
            let start = index as u64 * 7_919;
            Ok(Connection {
                stream,
                sent: start * requests.piece(),
                received: start * replies.piece(),
                due: depth as u64 * requests.piece(),
                awaited: depth as u64 * replies.piece(),
                owed: 0,
            })
        };
        let connections = streams.into_iter().enumerate().map(each).collect::<io::Result<_>>()?;
        let scratch = Scratch::default();
        Ok(Self { requests, replies, epoll, connections, batch: 1, scratch, done: Done::default() })
    }

    /// Has the next requests of a connection wait until there is one for each of so many replies. Otherwise it sends as
    /// many as came with one read, and a server that writes each reply by itself would get one request at a time.
    pub fn in_batches(self, requests: usize) -> Self {
        Self { batch: requests as u64, ..self }
    }

    /// Goes on for so long; returns all that was done so far.
    pub fn run_for(&mut self, time: Duration) -> io::Result<Done> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for event in 0..super::wait(&mut self.epoll)? {
                let (flags, token) = self.epoll.event(event);
                let connection = &mut self.connections[token as usize];
                if flags & libc::EPOLLIN as u32 != 0 {
                    self.done.reads += 1;
                    self.done.operations += connection.receive(self.replies, &mut self.scratch)?;
                    connection.follow(self.batch, self.requests, self.replies);
                }
                connection.send(self.requests, &mut self.scratch)?;
            }
        }
        Ok(self.done)
    }
}

impl Connection {
    /// Reads what is there and compares it; returns the replies that are complete by it.
    fn receive(&mut self, replies: &Tape, scratch: &mut Scratch) -> io::Result<u64> {
        let before = self.received / replies.piece();
        while let Some(Received { plain, emptied }) = self.stream.receive(scratch)? {
            if plain.len() as u64 > self.awaited || !replies.has(self.received, plain) {
                return Err(wrong(plain));
            }
            self.received += plain.len() as u64;
            self.awaited -= plain.len() as u64;
            if emptied {
                break;
            }
        }
        let done = self.received / replies.piece() - before;
        self.owed += done;
        Ok(done)
    }

    /// Makes a request due for each reply, once there are enough.
    fn follow(&mut self, batch: u64, requests: &Tape, replies: &Tape) {
        if self.owed >= batch {
            self.due += self.owed * requests.piece();
            self.awaited += self.owed * replies.piece();
            self.owed = 0;
        }
    }

    /// Sends what is due, as far as the socket takes it.
    fn send(&mut self, requests: &Tape, scratch: &mut Scratch) -> io::Result<()> {
        self.stream.flush()?;
        while self.due > 0 {
            let part = requests.at(self.sent, self.due);
            let Some(sent) = self.stream.send(part, requests.piece() as usize, scratch)? else { break };
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
