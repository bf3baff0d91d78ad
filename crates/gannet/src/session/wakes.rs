//! Wakes sessions from any thread: a number names a reactor's service and a connection, so a waker owns nothing.
//!
//! Each instance of a service of sessions has a place in a table that lives as long as the process, with a bit for each of its
//! connections ([`Bits`]). A wake sets the bit and calls the instance as the mailbox does ([`Sender::call`]): it needs no room
//! and is never refused. A number may outlive its session, and its instance too. Whoever has the place then is polled once
//! for nothing.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::handle::Live;
use crate::ids::Token;
use crate::mailbox::Sender;
use crate::remote::Letter;

use super::bits::Bits;

/// Bits of a number that are the connection's.
const TOKEN_BITS: u32 = Live::CAPACITY.trailing_zeros();

const _: () = assert!(Live::CAPACITY.is_power_of_two());

/// Places of a piece of the table.
const PIECE: usize = 256;

/// Pieces of the table: as many places as a number has room for beside a connection's, at most 65,536.
const PIECES: usize = if usize::BITS >= 64 { 256 } else { 1 << (usize::BITS - TOKEN_BITS - PIECE.trailing_zeros()) };

type Piece = Box<[OnceLock<Wakes>]>;

static TABLE: [OnceLock<Piece>; PIECES] = [const { OnceLock::new() }; PIECES];

/// Places that nobody has: those given back, and the first that was never used.
static FREE: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));

/// What other threads see of an instance of a service of sessions.
struct Wakes {
    bits: Bits,
    /// The way to its reactor and the number of its service, while it is there.
    bell: Mutex<Option<(Sender<Letter>, usize)>>,
}

fn place(place: usize) -> Option<&'static Wakes> {
    TABLE.get(place / PIECE)?.get()?[place % PIECE].get()
}

/// Wakes the session with this number. On any thread.
pub(super) fn wake(number: usize) {
    let Some(wakes) = place(number >> TOKEN_BITS) else { return };
    if wakes.bits.set(number & (Live::CAPACITY as usize - 1)) {
        wakes.ring();
    }
}

impl Wakes {
    fn ring(&self) {
        // Once for many wakes, and never held for longer than a call takes.
        if let Some((sender, service)) = &*self.bell.lock().unwrap_or_else(PoisonError::into_inner) {
            sender.call(*service);
        }
    }
}

/// A place in the table, for as long as its instance lives.
pub(super) struct Seat {
    place: usize,
    is_connected: bool,
}

impl Seat {
    /// Takes a place; `None` where there is none left.
    pub(super) fn take() -> Option<Self> {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let place = free.0.pop().or_else(|| {
            free.1 += 1;
            Some(free.1 - 1).filter(|place| *place < PIECE * PIECES)
        })?;
        drop(free);
        let piece = TABLE[place / PIECE].get_or_init(|| (0..PIECE).map(|_| OnceLock::new()).collect());
        piece[place % PIECE].get_or_init(|| Wakes { bits: Bits::new(), bell: Mutex::new(None) });
        Some(Self { place, is_connected: false })
    }

    fn wakes(&self) -> Option<&'static Wakes> {
        place(self.place)
    }

    /// Says how the instance is called. Has to be done before its first session.
    pub(super) fn connect(&mut self, bell: impl FnOnce() -> Option<(Sender<Letter>, usize)>) {
        if self.is_connected {
            return;
        }
        if let Some(wakes) = self.wakes() {
            let bell = bell();
            self.is_connected = bell.is_some();
            *wakes.bell.lock().unwrap_or_else(PoisonError::into_inner) = bell;
        }
    }

    /// The number of a session's waker.
    #[inline]
    pub(super) fn number(&self, token: Token) -> usize {
        self.place << TOKEN_BITS | token as usize
    }

    /// Adds the connections below `end` that were woken to `woken`.
    pub(super) fn take_woken(&self, end: Token, woken: &mut Vec<Token>) {
        if let Some(wakes) = self.wakes() {
            wakes.bits.take(end as usize, woken);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(wakes) = self.wakes() {
            *wakes.bell.lock().unwrap_or_else(PoisonError::into_inner) = None;
            wakes.bits.take(Live::CAPACITY as usize, &mut Vec::new());
        }
        FREE.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.place);
    }
}
