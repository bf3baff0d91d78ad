//! Large messages: a connection that they come from is polled, and read from and written to by requests that do not wait.
//!
//! Of many kilobytes, the copies cost most: into memory that is in the cache, and out of it again. The ring of buffers is
//! larger than the cache, and the kernel goes through it from one end to the other. So what a large message needs is what the
//! poll driver does: one hot buffer for all, from which the answer is sent before the next receive. Such a request
//! (MSG_DONTWAIT) is over when the call returns that submits it. Whether a connection is received for in this way is
//! decided by what it sent lately, so it holds no memory in either.

use std::collections::VecDeque;
use std::io;
use std::ptr::NonNull;

use io_uring::types::Fixed;
use io_uring::{cqueue, opcode, squeue};

use crate::buffer::Chunk;
use crate::driver::{Destinations, Driver as _, Event};
use crate::ids::Token;
use crate::share::SHARE_BYTES;
use crate::table::Table;

use super::UringDriver;
use super::name::{Op, user_data};
use super::ring_connection::Closing;

/// Bytes of the hot buffer, as of the poll driver's.
const HOT_BYTES: usize = 64 * 1024;

/// The hot buffer's number, beside those of the ring and of datagrams.
pub(super) const HOT: u16 = u16::MAX - 1;

/// What is read from a connection in a turn is counted in pieces of so many bytes, one for each read at least.
const PIECE_BYTES: usize = 4 * 1024;

/// Pieces that a connection may have had in a turn before one more read, so that it gets its share and not more.
const MOST_BEFORE: u8 = ((SHARE_BYTES - HOT_BYTES) / PIECE_BYTES) as u8;

/// Bytes that come at once from which on a poll and a receive cost less than a colder buffer.
const LARGE_BYTES: usize = 8 * 1024;

/// What the kernel reports of a stream that has ended or is broken: only a read that brings nothing has reached its end.
const ENDING: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;

/// What a connection that may send large messages is polled for.
pub(super) const POLLED: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;

/// How a connection is received for, in one byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Large(u8);

impl Large {
    /// What came lately, up to all of these bits: a large piece counts `LARGE`, and a small one counts one less.
    const SCORE: u8 = 7;
    /// More than one, because the kernel may cut a large message into a large piece and a rest of a few bytes each time.
    const LARGE: u8 = 2;
    /// The score from which on a connection is to be polled, until the score is 0.
    const ENOUGH: u8 = 6;
    /// It is to be polled.
    const WANTED: u8 = 1 << 3;
    /// The request that is in flight is a poll.
    const POLLS: u8 = 1 << 4;
    /// There may be something to read.
    const READABLE: u8 = 1 << 5;
    /// It is on a list of those to read from.
    const LISTED: u8 = 1 << 6;
    /// The end of its stream waits in the kernel.
    const ENDING: u8 = 1 << 7;

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    fn set(&mut self, bit: u8, on: bool) {
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }

    /// Whether what is in flight is a poll, where something is.
    pub(super) fn polls(self) -> bool {
        self.has(Self::POLLS)
    }

    /// Whether what is in flight is to be exchanged for the other kind.
    pub(super) fn changes(self) -> bool {
        self.has(Self::WANTED) != self.polls()
    }

    /// Whether the poll has found something that was not read.
    pub(super) fn is_readable(self) -> bool {
        self.has(Self::READABLE)
    }

    /// Notes that a request is made; says whether it is to be a poll.
    pub(super) fn arm(&mut self) -> bool {
        let polls = self.has(Self::WANTED);
        self.set(Self::POLLS, polls);
        polls
    }

    /// Counts a piece that came.
    pub(super) fn weigh(&mut self, is_large: bool) {
        let before = self.0 & Self::SCORE;
        let score = if is_large { (before + Self::LARGE).min(Self::SCORE) } else { before.saturating_sub(1) };
        self.0 = self.0 & !Self::SCORE | score;
        if score == 0 || score >= Self::ENOUGH {
            self.set(Self::WANTED, score > 0);
        }
    }

    /// Puts the connection on a list; says whether it was on none.
    fn list(&mut self) -> bool {
        let is_new = !self.has(Self::LISTED);
        self.set(Self::LISTED, true);
        is_new
    }
}

/// Where large messages are received, and who has some.
pub(super) struct Hot {
    bytes: Box<[u8]>,
    is_out: bool,
    /// Who is read from, and how often it was in this turn.
    current: Option<(Token, u8)>,
    /// Who is to be read from in this turn.
    ready: VecDeque<Token>,
    /// The same in the next.
    again: VecDeque<Token>,
    /// This turn; it comes round, and then a connection may have less than its share once.
    turn: u8,
    /// How much was read from a connection, and in which turn: while others are read from, its poll finds more.
    had: Table<(u8, u8)>,
}

impl Hot {
    pub(super) fn new() -> Self {
        let bytes = vec![0; HOT_BYTES].into_boxed_slice();
        Self {
            bytes,
            is_out: false,
            current: None,
            ready: VecDeque::new(),
            again: VecDeque::new(),
            turn: 0,
            had: Table::default(),
        }
    }

    /// How many pieces were read from a connection in this turn.
    fn had_of(&self, token: Token) -> u8 {
        self.had.get(token).map_or(0, |(turn, pieces)| if *turn == self.turn { *pieces } else { 0 })
    }

    /// Begins a turn.
    pub(super) fn turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.ready.append(&mut self.again);
    }

    /// Whether there is somebody to read from.
    pub(super) fn is_ready(&self) -> bool {
        self.current.is_some() || !self.ready.is_empty() || !self.again.is_empty()
    }

    /// Takes up the next one to read from, where there is one; the others have had their completions handled before.
    pub(super) fn take_up(&mut self) -> bool {
        self.current = self.ready.pop_front().map(|token| (token, self.had_of(token)));
        self.current.is_some()
    }

    /// Whether somebody is being read from.
    pub(super) fn is_reading(&self) -> bool {
        self.current.is_some()
    }

    /// Takes the buffer back.
    pub(super) fn recycle(&mut self) {
        self.is_out = false;
    }

    #[cfg(test)]
    pub(super) fn is_out(&self) -> bool {
        self.is_out
    }
}

/// Whether a piece of so many bytes, of at most so many that could come at once, is one of a large message.
pub(super) fn is_large(bytes: usize, most: usize) -> bool {
    bytes >= LARGE_BYTES.min(most)
}

impl UringDriver {
    /// Has the kernel carry out a request that does not wait, after all that was queued before it; says what came of it,
    /// and the completion's flags.
    pub(super) fn at_once(&mut self, request: squeue::Entry) -> (i32, u32) {
        let name = user_data(Op::AtOnce, 0, 0);
        self.push(&request.user_data(name));
        loop {
            self.submit();
            let mut result = None;
            for completion in self.ring.completion() {
                if completion.user_data() == name {
                    result = Some((completion.result(), completion.flags()));
                } else {
                    self.batch.push_back((completion.user_data(), completion.result(), completion.flags()));
                }
            }
            if let Some(result) = result {
                return result;
            }
            // The completion queue was full; it is not any more.
            let _ = self.entrance.enter_without_waiting(&mut self.ring);
        }
    }

    /// A connection's poll has found something.
    pub(super) fn readable(&mut self, token: Token, found: u32) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        entry.large.set(Large::READABLE, true);
        if found & ENDING != 0 {
            entry.large.set(Large::ENDING, true);
        }
        if entry.receiving && entry.large.list() {
            self.hot.current = Some((token, self.hot.had_of(token)));
        }
    }

    /// Reads in the next turn from a connection that is polled, where there is something that was not read.
    pub(super) fn read_again(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if entry.large.is_readable() && entry.large.list() {
            self.hot.again.push_back(token);
        }
    }

    /// Reads from the connection whose turn it is, until it has had its share or has nothing more.
    pub(super) fn read_on(&mut self, destinations: &mut impl Destinations) -> Option<Event<u32>> {
        let (token, had) = self.hot.current.take()?;
        let entry = self.entries.get_mut(token)?;
        let is_polled = entry.armed && entry.large.polls();
        if !is_polled || !entry.receiving || entry.closing != Closing::No {
            entry.large.set(Large::LISTED, false);
            return None;
        }
        if had > MOST_BEFORE {
            self.hot.again.push_back(token);
            return None;
        }
        debug_assert!(!self.hot.is_out, "the last chunk was not given back");
        let slot = Fixed(entry.slot);
        let share = SHARE_BYTES - usize::from(had) * PIECE_BYTES;
        let mut destination = destinations.destination(token).map(|destination| destination.first(share));
        let (to, most) = match &mut destination {
            Some(destination) => (destination.room().as_mut_ptr().cast(), destination.len()),
            None => (self.hot.bytes.as_mut_ptr(), HOT_BYTES),
        };
        let request = opcode::Recv::new(slot, to, most as u32).flags(libc::MSG_DONTWAIT);
        let (result, flags) = self.at_once(request.build());
        let entry = self.entries.get_mut(token)?;
        if result > 0 {
            let count = result as usize;
            entry.large.weigh(is_large(count, most));
            let had = had + count.div_ceil(PIECE_BYTES) as u8;
            self.hot.had.set(token, (self.hot.turn, had));
            let is_empty = if self.tells_rest { !cqueue::sock_nonempty(flags) } else { count < most };
            if is_empty && !entry.large.has(Large::ENDING) {
                // Whatever comes now is reported.
                entry.large.set(Large::READABLE | Large::LISTED, false);
            } else {
                self.hot.current = Some((token, had));
            }
            if entry.large.changes() {
                self.stop_receive(token);
            }
            if let Some(destination) = destination {
                // SAFETY: the kernel has written `count` bytes of it.
                unsafe { destination.fill(count) };
                return Some(Event::ReceivedInto { token, count });
            }
            self.hot.is_out = true;
            let data = NonNull::from(&mut *self.hot.bytes).cast();
            // SAFETY: the hot buffer lives as long as the driver, the kernel has written `count` bytes of it, and nothing is
            // received into it before the chunk came back (`is_out`).
            return Some(Event::Received { token, chunk: unsafe { Chunk::new(data, count as u32, HOT) } });
        }
        if result == -libc::EINTR {
            self.hot.current = Some((token, had + 1));
            return None;
        }
        entry.large.set(Large::READABLE | Large::LISTED, false);
        if result == -libc::EAGAIN {
            return None;
        }
        entry.receiving = false;
        self.stop_receive(token);
        Some(match result {
            0 => Event::Ended { token },
            error => Event::Failed { token, error: io::Error::from_raw_os_error(-error) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_says_how_a_connection_is_received_for() {
        assert_eq!(size_of::<Large>(), 1);
        assert_eq!(
            size_of::<super::super::ring_connection::RingConnection>(),
            16,
            "what an idle connection costs in the driver"
        );
    }

    #[test]
    fn a_connection_is_polled_after_some_large_pieces_and_until_only_small_ones_came_for_a_while() {
        let mut large = Large::default();
        for _ in 1..Large::ENOUGH / Large::LARGE {
            large.weigh(true);
            assert!(!large.changes());
        }
        large.weigh(true);
        assert!(large.changes() && large.arm() && !large.changes());
        for _ in 1..Large::ENOUGH {
            large.weigh(false);
            assert!(!large.changes());
        }
        large.weigh(false);
        assert!(large.changes() && !large.arm());
        (0..100).for_each(|piece| large.weigh(piece % 3 == 0));
        assert!(!large.changes(), "two small pieces for each large one leave it as it was");
        (0..100).for_each(|_| large.weigh(true));
        (0..Large::SCORE).for_each(|_| large.weigh(false));
        assert!(!large.changes(), "it is forgotten how many there were");
    }

    #[test]
    fn a_large_message_that_always_comes_as_a_large_piece_and_a_few_bytes_is_large() {
        let mut large = Large::default();
        (0..20).for_each(|piece| large.weigh(piece % 2 == 0));
        assert!(large.changes());
    }

    #[test]
    fn a_piece_is_large_by_its_size_or_where_it_fills_a_small_buffer() {
        assert!(is_large(LARGE_BYTES, 65_536) && is_large(4_096, 4_096));
        assert!(!is_large(LARGE_BYTES - 1, 65_536) && !is_large(4_095, 4_096));
    }
}
