//! Keeps the line for room moving: once a turn, and by closing who stopped in the middle of a large message.

use crate::close_reason::CloseReason;
use crate::connection::Flags;
use crate::driver::Driver;
use crate::ids::Token;
use crate::wheel::Tick;

use super::Reactor;
use super::timing::passed;

impl<D: Driver> Reactor<D> {
    /// When the next check is due, where there is a line.
    pub(super) fn room_due(&self) -> Option<Tick> {
        self.core.is_crowded_with_input().then(|| self.core.room.checked.after(self.core.room.check_ms))
    }

    /// Lets the line move on. Called once a turn.
    #[inline]
    pub(super) fn go_on_with_room(&mut self) {
        self.core.counters.carry_bytes.set(self.core.pools.carried() as u64);
        if !self.core.room.waiting.is_empty() {
            self.core.share_room();
        }
        if self.core.is_crowded_with_input() && self.core.now.since(self.core.room.checked) >= self.core.room.check_ms {
            self.core.room.checked = self.core.now;
            self.close_stalled();
        }
    }

    /// Closes connections that stopped in the middle of a large message, the largest first, until there is room.
    #[cold]
    fn close_stalled(&mut self) {
        let Self { core, driver, caught_up, .. } = self;
        core.pass_turn_on();
        let mut stalled: Vec<(usize, Token)> = Vec::new();
        for token in core.slab.iter_indices() {
            let Some(connection) = core.slab.get(token) else { continue };
            let Some(held) = connection.large_unfinished().filter(|_| !connection.waits_for_room()) else { continue };
            // As for deadlines: what has arrived is read before the peer counts as silent.
            let is_silent = passed(connection.last_read, *caught_up) >= core.room.silence_ms;
            if is_silent && !connection.is_halted() && !driver.waits_for_buffer(token) {
                stalled.push((held, token));
            }
        }
        stalled.sort_unstable_by(|one, other| other.cmp(one));
        let mut excess = core.excess();
        for (held, token) in stalled {
            if excess == 0 {
                return;
            }
            excess = excess.saturating_sub(held);
            self.core.ask_close(token, Flags::CLOSE, CloseReason::InputStalled);
            self.settle(token);
        }
    }
}
