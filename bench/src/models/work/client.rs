//! Clients that send at fixed times, whether answers have come or not. A request takes from the moment it was due: what a
//! server that does not read makes wait counts as well.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::server::{DONE, Kind, QUEUED, REFUSED};
use crate::client::taped::wrong;
use crate::measure::histogram;
use crate::socket;
use crate::wire::Letters;

/// Clients with small requests.
pub const SMALL_CLIENTS: u32 = 20;
/// Small requests of each in a second.
pub const SMALL_PER_SECOND: u32 = 50;
/// Clients with long requests: each has several under way where there are more than it could make one after the other.
const LONG_CLIENTS: u32 = 10;
/// Bytes of a request and of an answer, framing included.
const FRAME_BYTES: usize = 64;
/// The place of a request's number, behind the length and the letter.
const NUMBER: std::ops::Range<usize> = 5..13;
/// First byte of a small request and of its answer.
const SMALL: u8 = b's';
/// One read takes at most this much.
const BUFFER_BYTES: usize = 64 * 1024;

/// The requests that the server gets.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The kind of work of a long request.
    pub kind: Kind,
    /// Long requests of all clients in a second.
    pub long_per_second: u32,
}

/// The result of a run.
pub struct Outcome {
    /// The measured time as it turned out.
    pub elapsed: Duration,
    /// From when a small request was due to its answer, in nanoseconds; to the end, where none has come.
    pub small: Histogram<u64>,
    /// Response times of long requests that were not refused, in nanoseconds.
    pub long: Histogram<u64>,
    /// Small requests that were answered in the measured time.
    pub small_answered: u64,
    /// Long requests that were answered in the measured time, and not refused.
    pub long_answered: u64,
    /// Long requests that were refused.
    pub refused: u64,
}

struct Connection {
    fd: OwnedFd,
    /// The first byte of its requests.
    letter: u8,
    every: Duration,
    /// When the next one is to be sent.
    due: Instant,
    next: u64,
    /// When the requests were due that are not answered yet, by their numbers.
    awaited: HashMap<u64, Instant>,
    unsent: Vec<u8>,
    /// The beginning of an answer.
    received: Vec<u8>,
}

/// All clients.
pub struct Client {
    connections: Vec<Connection>,
    letters: Letters,
    buffer: Vec<u8>,
    outcome: Outcome,
}

impl Outcome {
    fn new() -> io::Result<Self> {
        let (small, long) = (histogram()?, histogram()?);
        Ok(Self { elapsed: Duration::ZERO, small, long, small_answered: 0, long_answered: 0, refused: 0 })
    }
}

impl Client {
    /// Connects; the first requests are due from now on, spread over the time between two of them.
    pub fn connect(port: u16, load: Load) -> io::Result<Self> {
        let now = Instant::now();
        let small = (SMALL_CLIENTS, SMALL, f64::from(SMALL_PER_SECOND * SMALL_CLIENTS));
        let long = (LONG_CLIENTS, load.kind.letter(), f64::from(load.long_per_second));
        let mut connections = Vec::new();
        for (clients, letter, per_second) in [small, long] {
            for index in 0..clients {
                connections.push(Connection {
                    fd: socket::connect(port)?,
                    letter,
                    every: Duration::from_secs_f64(f64::from(clients) / per_second),
                    due: now + Duration::from_secs_f64(f64::from(index) / per_second),
                    next: 0,
                    awaited: HashMap::new(),
                    unsent: Vec::new(),
                    received: Vec::new(),
                });
            }
        }
        Ok(Self { connections, letters: Letters::new(), buffer: vec![0; BUFFER_BYTES], outcome: Outcome::new()? })
    }

    /// Forgets what was measured so far. Requests that are under way count when they are answered.
    pub fn forget(&mut self) -> io::Result<()> {
        self.outcome = Outcome::new()?;
        Ok(())
    }

    /// Sends what is due and receives for so long.
    pub fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let started = Instant::now();
        // It does not wait: a sleeping client would be late by more than a server takes.
        while started.elapsed() < time {
            for index in 0..self.connections.len() {
                self.connections[index].send(&self.letters, Instant::now())?;
                self.receive(index)?;
            }
        }
        self.outcome.elapsed = started.elapsed();
        Ok(())
    }

    /// Ends: what is not answered yet has taken until now at least.
    pub fn end(mut self) -> Outcome {
        let now = Instant::now();
        for connection in &self.connections {
            let histogram = if connection.letter == SMALL { &mut self.outcome.small } else { &mut self.outcome.long };
            for due in connection.awaited.values() {
                histogram.saturating_record(now.duration_since(*due).as_nanos() as u64);
            }
        }
        self.outcome
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let Some(count) = socket::receive(connection.fd.as_raw_fd(), &mut self.buffer)? else { return Ok(()) };
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        connection.received.extend_from_slice(&self.buffer[..count]);
        let now = Instant::now();
        let whole = connection.received.len() / FRAME_BYTES * FRAME_BYTES;
        for answer in connection.received[..whole].chunks(FRAME_BYTES) {
            let number = u64::from_be_bytes(answer[NUMBER].try_into().map_err(io::Error::other)?);
            let Some(due) = connection.awaited.remove(&number) else { return Err(wrong(answer)) };
            let took = now.duration_since(due).as_nanos() as u64;
            let letter = answer[NUMBER.start - 1];
            if request(letter, number, &self.letters) != answer {
                return Err(wrong(answer));
            }
            match (connection.letter, letter) {
                (SMALL, SMALL) => {
                    self.outcome.small.saturating_record(took);
                    self.outcome.small_answered += 1;
                }
                (SMALL, _) => return Err(wrong(answer)),
                (_, DONE | QUEUED) => {
                    self.outcome.long.saturating_record(took);
                    self.outcome.long_answered += 1;
                }
                (_, REFUSED) => self.outcome.refused += 1,
                _ => return Err(wrong(answer)),
            }
        }
        connection.received.drain(..whole);
        Ok(())
    }
}

/// A frame with this letter and number; the answer to it differs in the letter only.
fn request(letter: u8, number: u64, letters: &Letters) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_BYTES);
    frame.extend_from_slice(&((FRAME_BYTES - 4) as u32).to_be_bytes());
    frame.push(letter);
    frame.extend_from_slice(&number.to_be_bytes());
    frame.extend_from_slice(letters.value(number as usize % 1_024, FRAME_BYTES - NUMBER.end));
    frame
}

impl Connection {
    fn send(&mut self, letters: &Letters, now: Instant) -> io::Result<()> {
        while self.due <= now {
            self.unsent.extend_from_slice(&request(self.letter, self.next, letters));
            self.awaited.insert(self.next, self.due);
            self.next += 1;
            self.due += self.every;
        }
        if !self.unsent.is_empty()
            && let Some(sent) = socket::send(self.fd.as_raw_fd(), &self.unsent)?
        {
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}
