//! What is true of a connection of the poll driver, a bit each: what the kernel reported, and what the reactor wants.

/// Bits of a connection. Those that are tested together are tested at once, on the way of each message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status(u16);

impl Status {
    /// On the list of this turn or the next. It stays so when the connection is closed, until the list was looked
    /// through: whoever comes in its place is on it already.
    pub(super) const LISTED: Self = Self(1);
    /// There may be something to read.
    pub(super) const READABLE: Self = Self(1 << 1);
    /// The kernel has said that there is room to send, since the last look.
    pub(super) const WRITABLE: Self = Self(1 << 2);
    /// The last read has filled its buffer: a large message may go on.
    pub(super) const LARGE: Self = Self(1 << 3);
    /// The peer's end of stream is in the kernel's buffer: read until it shows.
    pub(super) const ENDING: Self = Self(1 << 4);
    /// The reactor wants to receive.
    pub(super) const RECEIVING: Self = Self(1 << 5);
    /// The kernel's buffer is full.
    pub(super) const BLOCKED: Self = Self(1 << 6);
    /// The reactor waits for an `Event::Sent`.
    pub(super) const WAITING: Self = Self(1 << 7);
    pub(super) const CONNECTING: Self = Self(1 << 8);
    /// The connection is broken, or both its directions have ended.
    pub(super) const BROKEN: Self = Self(1 << 9);
    /// The reactor wants to know whether it is broken.
    pub(super) const WATCHED: Self = Self(1 << 10);

    /// Whether any of these is true.
    #[inline]
    pub(super) fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    /// Whether, of the bits of `of`, exactly these are set.
    #[inline]
    pub(super) fn is(self, exactly: Self, of: Self) -> bool {
        self.0 & of.0 == exactly.0
    }

    #[inline]
    pub(super) fn set(&mut self, bits: Self) {
        self.0 |= bits.0;
    }

    #[inline]
    pub(super) fn clear(&mut self, bits: Self) {
        self.0 &= !bits.0;
    }

    /// Clears these; says whether any of them was set.
    #[inline]
    pub(super) fn take(&mut self, bits: Self) -> bool {
        let had = self.has(bits);
        self.clear(bits);
        had
    }

    #[inline]
    pub(super) fn set_to(&mut self, bits: Self, on: bool) {
        if on { self.set(bits) } else { self.clear(bits) }
    }

    #[inline]
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These where `on`, or none.
    #[inline]
    pub(super) fn only_if(self, on: bool) -> Self {
        if on { self } else { Self(0) }
    }
}
