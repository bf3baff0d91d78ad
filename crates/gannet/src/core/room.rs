//! Room for messages that are not complete: how much all connections of a reactor may hold of them together.
//!
//! Over the limit, connections with a large unfinished message take turns: one goes on, the others are not read until
//! there is room for the rest of their messages. So a burst of large messages is served one by one, and memory stays
//! bounded. A client that stops in the middle of its message is closed then, or a few of them could take all the room.

use std::collections::VecDeque;

use crate::carry::Turn;
use crate::connection::{Connection, State};
use crate::ids::{Place, Token};
use crate::wheel::Tick;

use super::Core;

/// Unfinished messages below this size do not wait: they are most of all commands, and take little together.
pub(crate) const LARGE_BYTES: usize = 64 << 10;

/// How often it is checked, while there is no room, whether the unfinished messages still come.
const CHECK_MS: u32 = 1_000;

/// Silence in the middle of a large message that closes a connection while there is no room.
const SILENCE_MS: u32 = 5_000;

/// Bytes that the connection whose turn it is has to send between two checks, or it is another one's turn.
const PACE_BYTES: usize = 32 << 10;

/// The line.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) waiting: VecDeque<Place>,
    /// Whose turn it is, and what it held at the last check.
    turn: Option<(Place, usize)>,
    pub(crate) checked: Tick,
    pub(crate) check_ms: u32,
    pub(crate) silence_ms: u32,
}

impl Room {
    /// Without anybody in it.
    pub(crate) fn new(now: Tick) -> Self {
        Self { waiting: VecDeque::new(), turn: None, checked: now, check_ms: CHECK_MS, silence_ms: SILENCE_MS }
    }

    /// Sets how long a connection may be silent in the middle of a large message while there is no room.
    #[cfg(test)]
    pub(crate) fn set_silence(&mut self, silence_ms: u32) {
        (self.check_ms, self.silence_ms) = (silence_ms / (SILENCE_MS / CHECK_MS), silence_ms);
    }
}

impl Connection {
    /// Whether it is not read for want of room.
    #[inline]
    pub(crate) fn waits_for_room(&self) -> bool {
        self.carry.as_ref().is_some_and(|carry| carry.turn == Turn::Waits)
    }

    /// Bytes of a large message of which more is to come.
    pub(crate) fn large_unfinished(&self) -> Option<usize> {
        let carry = self.carry.as_ref()?;
        let held = carry.len();
        (self.state() == State::Open && held >= LARGE_BYTES && carry.need > held).then_some(held)
    }
}

impl Core {
    /// Puts a connection in the line where what it holds has grown and there is no room.
    #[inline]
    pub(crate) fn check_room(&mut self, token: Token) {
        if self.has_no_room() {
            self.wait_for_room(token);
        }
    }

    /// Whether more is held than may be.
    #[inline]
    fn has_no_room(&self) -> bool {
        self.limits.carries != 0 && self.pools.carried() > self.limits.carries
    }

    /// Whether somebody waits, or more is held than may be.
    #[inline]
    pub(crate) fn is_crowded_with_input(&self) -> bool {
        !self.room.waiting.is_empty() || self.has_no_room()
    }

    /// Bytes that have to go until there is room for what is held, and for the rest of the message that waits first.
    pub(crate) fn excess(&mut self) -> usize {
        let first = self.room.waiting.front().copied();
        let carry = first.and_then(|place| self.at(place)).and_then(|connection| connection.carry.as_ref());
        let missing = carry.map_or(0, |carry| carry.need.saturating_sub(carry.len()));
        (self.pools.carried() + missing).saturating_sub(self.limits.carries)
    }

    #[cold]
    fn wait_for_room(&mut self, token: Token) {
        let turn_is_taken = self.has_turn().is_some();
        let Some(generation) = self.slab.generation(token) else { return };
        let place = Place { token, generation };
        let Some(connection) = self.slab.get_mut(token) else { return };
        let Some(held) = connection.large_unfinished() else { return };
        let Some(carry) = connection.carry.as_mut().filter(|carry| carry.turn == Turn::None) else { return };
        if turn_is_taken {
            carry.turn = Turn::Waits;
            self.room.waiting.push_back(place);
            self.counters.carry_waits.add(1);
        } else {
            carry.turn = Turn::Has;
            self.room.turn = Some((place, held));
        }
    }

    /// Whose turn it is: until its message is complete.
    fn has_turn(&mut self) -> Option<Place> {
        let (place, _) = self.room.turn?;
        let holds = self.at(place).is_some_and(|connection| {
            connection.carry.as_ref().is_some_and(|carry| carry.turn == Turn::Has)
                && connection.large_unfinished().is_some()
        });
        if !holds {
            self.room.turn = None;
        }
        holds.then_some(place)
    }

    /// Lets those go on for whose messages there is room, in the order in which they came, and the next one in any case
    /// where it is nobody's turn.
    pub(crate) fn share_room(&mut self) {
        let mut turn_is_taken = self.has_turn().is_some();
        let mut free = self.limits.carries.saturating_sub(self.pools.carried());
        while let Some(&place) = self.room.waiting.front() {
            let carry = self.at(place).and_then(|connection| connection.carry.as_mut());
            let Some(carry) = carry.filter(|carry| carry.turn == Turn::Waits) else {
                self.room.waiting.pop_front();
                continue;
            };
            let (held, missing) = (carry.len(), carry.need.saturating_sub(carry.len()));
            if missing < free {
                free -= missing;
                carry.turn = Turn::None;
            } else if !turn_is_taken {
                turn_is_taken = true;
                carry.turn = Turn::Has;
                self.room.turn = Some((place, held));
            } else {
                return;
            }
            self.room.waiting.pop_front();
            let now = self.now;
            if let Some(connection) = self.slab.get_mut(place.token) {
                // Nothing could come from it before.
                (connection.last_read, connection.missed) = (now, 0);
            }
            self.mark(place.token);
        }
    }

    /// Where the connection whose turn it is sends slowly, it goes to the end of the line. One that sends nothing at all keeps
    /// its turn: it is closed when it was silent for long enough.
    pub(crate) fn pass_turn_on(&mut self) {
        let Some(place) = self.has_turn() else { return };
        let Some((_, before)) = self.room.turn else { return };
        let carry = self.slab.get_mut(place.token).and_then(|connection| connection.carry.as_mut());
        let Some(carry) = carry else { return };
        let grown = carry.len().saturating_sub(before);
        if (1..PACE_BYTES).contains(&grown) && !self.room.waiting.is_empty() {
            carry.turn = Turn::Waits;
            self.room.turn = None;
            self.room.waiting.push_back(place);
            self.mark(place.token);
            self.share_room();
        } else {
            self.room.turn = Some((place, carry.len()));
        }
    }
}
