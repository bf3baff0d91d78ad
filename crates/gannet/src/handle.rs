//! Handles: references to connections that are safe to keep on any thread, for any time.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ids::{Place, Token};

/// Refers to a connection. May be kept and copied on any thread, for any time.
///
/// When the connection is gone, using the handle gives [`SendError::Gone`]; it never reaches another connection. A handle
/// holds its engine, its reactor, its slot, and the generation of the slot. [`Context::handle`](crate::Context::handle)
/// makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) engine: u16,
    pub(crate) reactor: u16,
    pub(crate) token: Token,
    pub(crate) generation: u32,
}

impl Handle {
    pub(crate) fn place(self) -> Place {
        Place { token: self.token, generation: self.generation }
    }

    /// Reads a handle of an engine as it is written by `Display`.
    pub(crate) fn read(engine: u16, text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (reactor, token, generation) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            engine,
            reactor: reactor.parse().ok()?,
            token: token.parse().ok()?,
            generation: generation.parse().ok()?,
        })
    }
}

/// `0-17-3`: reactor, slot and generation. [`Remote::handle`](crate::Remote::handle) reads it.
impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.reactor, self.token, self.generation)
    }
}

/// Says why a message, a value or an order was not delivered to another connection or reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is gone or is closing; or, for messages, its sending direction was shut down.
    #[error("the connection is gone")]
    Gone,
    /// The reactor's mailbox holds as many letters as [`Limits::mailbox`](crate::Limits) allows.
    #[error("the reactor's mailbox is full")]
    MailboxFull,
    /// The engine has not started, or has ended.
    #[error("the engine is not running")]
    NotRunning,
    /// The handle, or the outbound service, belongs to another engine.
    #[error("the handle or outbound service belongs to another engine")]
    OtherEngine,
    /// The codec cannot encode the message: it exceeds a limit, or the protocol cannot express it.
    #[error("the codec cannot encode the message")]
    Encode,
}

/// Whether somebody waits for the result of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// The connection lives.
    Awaited,
    /// It lives, but its peer sends no more: it may wait for the reply, or may have gone.
    Doubtful,
    /// The connection is gone.
    Gone,
}

const PIECE: usize = 512;

/// Pieces of the table: room for four million connections a reactor.
const PIECES: usize = 8_192;

/// Set beside the generation of a connection whose peer has ended its stream. Two generations that differ in this bit
/// alone look the same here, two thousand million connections apart; the reactor tells them apart.
const ENDED: u32 = 1 << 31;

/// Which generation each slot of a reactor holds now, for other threads to see: so that a stale handle is answered at
/// once. Written by the reactor only. What it says may be outdated when it is read; the reactor looks again.
pub(crate) struct Live {
    pieces: Box<[OnceLock<Box<[AtomicU32; PIECE]>>]>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { pieces: (0..PIECES).map(|_| OnceLock::new()).collect() }
    }

    /// Connections there is room for.
    pub(crate) const CAPACITY: u32 = (PIECE * PIECES) as u32;

    /// Notes the generation of a slot; 0 for none. On the reactor's thread.
    pub(crate) fn set(&self, token: Token, generation: u32) {
        let index = token as usize;
        let piece = self.pieces[index / PIECE].get_or_init(|| Box::new([const { AtomicU32::new(0) }; PIECE]));
        piece[index % PIECE].store(generation & !ENDED, Ordering::Relaxed);
    }

    /// Notes that the peer of the connection in a slot has ended its stream. On the reactor's thread.
    pub(crate) fn set_ended(&self, token: Token) {
        if let Some(slot) = self.slot(token) {
            slot.store(slot.load(Ordering::Relaxed) | ENDED, Ordering::Relaxed);
        }
    }

    /// Whether a slot holds this generation. On any thread.
    pub(crate) fn holds(&self, place: Place) -> bool {
        self.interest(place) != Interest::Gone
    }

    /// Whether the connection at a place waits for something. On any thread.
    pub(crate) fn interest(&self, place: Place) -> Interest {
        let held = self.slot(place.token).map_or(0, |slot| slot.load(Ordering::Relaxed));
        // 0 stands for no connection, and no generation is 0.
        if held == 0 || (held ^ place.generation) & !ENDED != 0 {
            Interest::Gone
        } else if held & ENDED != 0 {
            Interest::Doubtful
        } else {
            Interest::Awaited
        }
    }

    fn slot(&self, token: Token) -> Option<&AtomicU32> {
        let index = token as usize;
        self.pieces.get(index / PIECE).and_then(OnceLock::get).map(|piece| &piece[index % PIECE])
    }
}
