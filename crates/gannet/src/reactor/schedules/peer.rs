//! A client of the schedules: what it sends, what must come back, and how it leaves.

use std::io;

use super::{LINES, RAW, frames};
use crate::driver::sim::{Random, SimClient};
use crate::ids::ListenerId;
use crate::proto::{Codec, Lines};

/// What a client will do when it has written everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Ends its stream and reads the rest.
    HalfClose,
    /// Goes when every answer came.
    ReadThenClose,
    /// Breaks the connection when so many bytes were written.
    Reset(usize),
    /// Closes without reading, when so many bytes were written.
    Leave(usize),
    /// Stays until the reactor closes.
    Stay,
}

/// One client with what it sends and what it must get back.
pub(super) struct Peer {
    pub(super) port: u16,
    pub(super) kind: ListenerId,
    pub(super) client: Option<SimClient>,
    pub(super) sent: Vec<u8>,
    pub(super) expected: Vec<u8>,
    pub(super) written: usize,
    pub(super) read: usize,
    pub(super) plan: Plan,
    pub(super) half_closed: bool,
    /// It saw the end of the stream, and no error.
    pub(super) finished: bool,
    /// It reads in so many of a thousand turns.
    pub(super) reads: usize,
}

impl Peer {
    /// A client whose messages have at most so many bytes.
    pub(super) fn new(random: &mut Random, port: u16, kind: ListenerId, client: SimClient, longest: usize) -> Self {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..random.below(12) {
            let longest = random.pick(&[3, 40, 400, 4_000]).min(longest);
            let payload: Vec<u8> = (0..random.below(longest)).map(|_| b'a' + random.below(26) as u8).collect();
            let before = sent.len();
            match kind {
                RAW => sent.extend_from_slice(&payload),
                LINES => Lines::new().encode(&[&payload], &mut sent).expect("letters"),
                _ => frames().encode(&[&payload], &mut sent).expect("small"),
            }
            expected.extend_from_slice(&sent[before..]);
        }
        let cut = random.between(0, sent.len());
        let plan = match random.below(8) {
            0..3 => Plan::HalfClose,
            3..5 => Plan::ReadThenClose,
            5 => Plan::Reset(cut),
            6 => Plan::Leave(cut),
            _ => Plan::Stay,
        };
        if plan == Plan::HalfClose && random.chance(200) {
            // Its stream ends anywhere: the last message may be a part of one.
            sent.truncate(cut);
            match kind {
                // A line's end is added to what comes without.
                LINES => {
                    expected.truncate(cut);
                    if expected.last().is_some_and(|last| *last != b'\n') {
                        expected.push(b'\n');
                    }
                }
                RAW => expected.truncate(cut),
                _ => expected.truncate(whole_frames(&sent)),
            }
        }
        Self {
            port,
            kind,
            client: Some(client),
            sent,
            expected,
            written: 0,
            read: 0,
            plan,
            half_closed: false,
            finished: false,
            reads: random.pick(&[1_000, 500, 50]),
        }
    }

    /// Does a little, and fails the test where what came is not what it must get back.
    pub(super) fn step(&mut self, random: &mut Random) {
        let Some(mut client) = self.client.take() else { return };
        if matches!(self.plan, Plan::Reset(at) if self.written >= at) {
            return client.reset();
        }
        if matches!(self.plan, Plan::Leave(at) if self.written >= at) {
            return;
        }
        let mut broken = false;
        if self.written < self.sent.len() {
            let piece = random.part(self.sent.len() - self.written);
            match client.write(&self.sent[self.written..self.written + piece]) {
                Ok(count) => self.written += count,
                Err(error) => broken = error.kind() != io::ErrorKind::WouldBlock,
            }
        } else if self.plan == Plan::HalfClose && !self.half_closed {
            self.half_closed = true;
            client.shutdown();
        }
        if broken || random.chance(self.reads) {
            let mut buffer = [0; 4_096];
            let size = random.part(buffer.len());
            match client.read(&mut buffer[..size]) {
                Ok(0) => {
                    self.finished = true;
                    return;
                }
                Ok(count) => {
                    let came = &buffer[..count];
                    let expected = self.expected.get(self.read..self.read + count);
                    assert!(expected == Some(came), "client {}: wrong bytes behind {}", self.port, self.read);
                    self.read += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        let answered = self.written == self.sent.len() && self.read == self.expected.len();
        if self.plan == Plan::ReadThenClose && answered {
            return;
        }
        self.client = Some(client);
    }
}

/// How many of these bytes are whole frames.
fn whole_frames(mut bytes: &[u8]) -> usize {
    let mut whole = 0;
    while let Some((header, rest)) = bytes.split_first_chunk::<4>() {
        let Some(rest) = rest.get(u32::from_be_bytes(*header) as usize..) else { break };
        whole += bytes.len() - rest.len();
        bytes = rest;
    }
    whole
}
