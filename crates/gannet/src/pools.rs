//! What the connections of a reactor draw from while they have something to hold: blocks, outboxes and carries.
#![forbid(unsafe_code)]

use crate::buffer::{Blocks, Stock};
use crate::carry::Carry;
use crate::outbox::Outbox;

/// A carry that grew beyond this is freed, not kept.
const KEPT_CARRY_BYTES: usize = 16 * 1024;

/// Everything that is borrowed for as long as a connection has something to hold. Outboxes and carries are boxed: a
/// connection keeps eight bytes of them, and an outbox must not move while the kernel reads from it.
#[derive(Default)]
pub(crate) struct Pools {
    pub(crate) blocks: Blocks,
    outboxes: Stock<Box<Outbox>>,
    carries: Stock<Box<Carry>>,
    carried: usize,
}

impl Pools {
    /// An empty outbox.
    #[inline]
    pub(crate) fn outbox(&mut self) -> Box<Outbox> {
        self.outboxes.take().unwrap_or_default()
    }

    /// Takes an outbox back, with whatever is still in it.
    #[inline]
    pub(crate) fn return_outbox(&mut self, mut outbox: Box<Outbox>) {
        outbox.empty(&mut self.blocks);
        self.outboxes.put(outbox);
    }

    /// An empty carry.
    pub(crate) fn carry(&mut self) -> Box<Carry> {
        self.carries.take().unwrap_or_default()
    }

    /// Counts what is in a connection's carry, after that has changed.
    #[inline]
    pub(crate) fn count_carry(&mut self, carry: &mut Carry) {
        self.carried = self.carried - carry.counted + carry.len();
        carry.counted = carry.len();
    }

    /// Bytes in the carries of all connections; what their filters hold is not among them.
    #[inline]
    pub(crate) fn carried(&self) -> usize {
        self.carried
    }

    /// Takes a carry back.
    pub(crate) fn return_carry(&mut self, mut carry: Box<Carry>) {
        self.carried -= carry.counted;
        carry.clear(KEPT_CARRY_BYTES);
        self.carries.put(carry);
    }

    /// Whether [`Pools::trim`] might free something.
    #[inline]
    pub(crate) fn has_excess(&self) -> bool {
        self.blocks.has_excess() || self.outboxes.has_excess() || self.carries.has_excess()
    }

    /// Frees what was not needed since the last call. Called about once a second.
    pub(crate) fn trim(&mut self) {
        self.outboxes.trim_with(|mut outbox| outbox.clear(&mut self.blocks));
        self.blocks.trim();
        self.carries.trim();
    }

    /// Blocks, outboxes and carries that are in use.
    #[cfg(test)]
    pub(crate) fn out(&self) -> (usize, usize, usize) {
        // Outboxes keep blocks of theirs while they wait.
        let kept = self.outboxes.free().iter().filter(|outbox| outbox.keeps_block()).count();
        (self.blocks.out() - kept, self.outboxes.out(), self.carries.out())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_carry_is_not_kept() {
        let mut pools = Pools::default();
        let mut carry = pools.carry();
        carry.append(&[0; KEPT_CARRY_BYTES + 1]);
        pools.return_carry(carry);
        assert_eq!(pools.carry().capacity(), 0);
    }
    #[test]
    fn outboxes_that_a_burst_left_behind_are_freed_with_their_blocks() {
        let mut pools = Pools::default();
        let mut out: Vec<_> = (0..1_000).map(|_| pools.outbox()).collect();
        out.iter_mut().for_each(|outbox| outbox.append(b"one", &mut pools.blocks));
        out.drain(..).for_each(|outbox| pools.return_outbox(outbox));
        assert_eq!(pools.out(), (0, 0, 0));
        assert!(pools.has_excess());
        (0..3).for_each(|_| pools.trim());
        assert!(!pools.has_excess());
        assert_eq!(pools.out(), (0, 0, 0));
    }
}
