//! What one connection may have of a turn, in messages and in bytes, so that no client delays the others.
//!
//! Work is counted in bytes; a message counts as some bytes more than it has, and its service may charge more
//! (`Context::charge`). Where a share is used up, decoding stops as
//! it does for a pause, what was received waits in the carry, and both go on in the next turn. Used on the reactor's
//! thread only.

/// Bytes that a message costs beside its own.
pub(crate) const MESSAGE_BYTES: usize = UNIT_BYTES;

/// Bytes that one delivery of a broadcast costs whoever asked for it.
pub(crate) const DELIVERY_BYTES: usize = 16;

/// The share of a connection in one turn: 1,024 messages without content, or 256 KiB. A turn in which one connection
/// uses all of it takes some 0.2 ms longer with messages that are quickly answered; one that asks more of the kernel for
/// each message than that would be felt where many connections do so.
pub(crate) const SHARE_BYTES: usize = 256 * 1024;

/// A share is counted in units of so many bytes, to keep it small.
const UNIT_BYTES: usize = 256;

const SHARE_UNITS: u16 = (SHARE_BYTES / UNIT_BYTES) as u16;

/// A turn, as connections remember it. It comes round every 256 turns; who was last heard in the very turn before that
/// many has a smaller share once, and nothing else comes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TurnNumber(u8);

impl TurnNumber {
    /// The turn after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// What a connection has had of the turn in which it was last heard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    units: u16,
    turn: TurnNumber,
}

impl Share {
    /// Bytes of work that are left in this turn.
    #[inline]
    pub(crate) fn left(self, turn: TurnNumber) -> usize {
        let units = if self.turn == turn { self.units } else { 0 };
        usize::from(SHARE_UNITS - units) * UNIT_BYTES
    }

    /// Whether nothing is left in this turn.
    #[inline]
    pub(crate) fn is_spent(self, turn: TurnNumber) -> bool {
        self.turn == turn && self.units == SHARE_UNITS
    }

    /// Counts work. The last message of a share may have taken more than was left.
    #[inline]
    pub(crate) fn spend(&mut self, turn: TurnNumber, bytes: usize) {
        let before = if self.turn == turn { usize::from(self.units) } else { 0 };
        let units = before + bytes.div_ceil(UNIT_BYTES);
        *self = Self { units: units.min(usize::from(SHARE_UNITS)) as u16, turn };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_spent_by_messages_or_by_bytes_and_whole_again_in_the_next_turn() {
        let (mut share, turn) = (Share::default(), TurnNumber(7));
        assert_eq!(share.left(turn), SHARE_BYTES);
        (0..1_023).for_each(|_| share.spend(turn, MESSAGE_BYTES));
        assert!(!share.is_spent(turn));
        share.spend(turn, 1);
        assert!(share.is_spent(turn) && share.left(turn) == 0);
        share.spend(turn, usize::MAX / 2);
        assert!(share.is_spent(turn));
        assert_eq!(share.left(turn.next()), SHARE_BYTES);
        assert!(!share.is_spent(turn.next()));
        share.spend(turn.next(), SHARE_BYTES);
        assert!(share.is_spent(turn.next()));
    }
}
