//! Which connections have room, and those that become ready to take calls.

use std::time::Duration;

use super::{ConnectionId, Pool, State};
use crate::error::Loss;

impl<R, C> Pool<R, C> {
    /// Puts a connection among those with room: as the one used last, or as the one used first.
    #[inline]
    pub(super) fn make_ready(&mut self, slot: u32, last: bool) {
        let conn = &self.slots[slot as usize];
        let (suspect, ready) = (conn.late > 0, &mut self.endpoints[conn.endpoint].ready);
        self.roomy += 1;
        if last && !suspect {
            ready.push(slot);
        } else {
            ready.insert(0, slot);
        }
    }

    /// Takes a connection from those with room, if it is there.
    #[inline]
    pub(super) fn unready(&mut self, slot: u32) {
        let ready = &mut self.endpoints[self.slots[slot as usize].endpoint].ready;
        if ready.last() == Some(&slot) {
            ready.pop();
            self.roomy -= 1;
        } else if let Some(at) = ready.iter().position(|ready| *ready == slot) {
            ready.remove(at);
            self.roomy -= 1;
        }
    }

    /// A connection that was checked or opened takes calls.
    pub(super) fn become_idle(&mut self, now: Duration, slot: u32) {
        let conn = &mut self.slots[slot as usize];
        let (was_coming, fresh) = (conn.is_coming(), conn.state == State::Handshaking || conn.state == State::Dialling);
        conn.since = now;
        if was_coming {
            self.coming -= 1;
            self.endpoints[self.slots[slot as usize].endpoint].coming -= 1;
        }
        let (endpoint, left) = (self.slots[slot as usize].endpoint, self.slots[slot as usize].pending.len());
        if self.draining || !self.endpoints[endpoint].is_in_service() {
            let connection = ConnectionId { slot, generation: self.slots[slot as usize].generation };
            self.set_state(slot, State::Retiring);
            return self.fail(now, connection, Loss::Retired);
        }
        // Late replies may still come where they have identifiers.
        self.set_state(slot, if left == 0 { State::Idle } else { State::Busy });
        if left < self.settings.depth {
            // New ones come last: those in use are as good, and fewer stay open.
            self.make_ready(slot, !fresh);
        }
    }
}
