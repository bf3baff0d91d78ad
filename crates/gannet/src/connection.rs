//! One connection as its reactor holds it: where it is in its life, what it owns, and why it ends.

use std::time::Duration;

use bytes::Bytes;

use crate::carry::Carry;
use crate::close_reason::CloseReason;
use crate::filter::FilterState;
use crate::moments::{Exact, Fraction, Moments};
use crate::outbox::Outbox;
use crate::own_reason::Compact;
use crate::quota::Counted;
use crate::share::{Share, TurnNumber};
use crate::wheel::{Links, Tick};

/// Says how to close another connection: to [`Context::close_other`](crate::Context::close_other) and
/// [`Remote::close`](crate::Remote::close).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseMode {
    /// Closes at once. Unsent output is lost, and the peer sees a reset then.
    AtOnce,
    /// Closes when all output accepted so far was sent.
    Flushed,
}

impl CloseMode {
    pub(crate) fn flags(self) -> Flags {
        match self {
            Self::AtOnce => Flags::CLOSE,
            Self::Flushed => Flags::CLOSE_FLUSHED,
        }
    }
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// An outbound connection that is not up yet.
    Connecting,
    /// Its filter is not ready yet.
    Handshaking,
    /// Messages go both ways.
    Open,
    /// No message is taken any more; what was accepted is sent, then our side ends, then the peer's.
    Draining,
    /// The driver was told to close it; its last event is awaited.
    Closed,
}

impl State {
    /// Whether a connection may go from here to `next`.
    fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Connecting, Self::Handshaking | Self::Open | Self::Closed)
                | (Self::Handshaking, Self::Open | Self::Draining | Self::Closed)
                | (Self::Open, Self::Draining | Self::Closed)
                | (Self::Draining, Self::Closed)
        )
    }
}

/// What is true of a connection, a bit each.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags(u32);

impl Flags {
    /// On the reactor's list of connections to settle.
    pub(crate) const DIRTY: Self = Self(1);
    /// The service paused reading.
    pub(crate) const PAUSED: Self = Self(1 << 1);
    /// Reading is paused because the outbox is over the high mark.
    pub(crate) const CHOKED: Self = Self(1 << 2);
    /// The peer ended its stream.
    pub(crate) const ENDED: Self = Self(1 << 3);
    /// To be closed at once.
    pub(crate) const CLOSE: Self = Self(1 << 4);
    /// To be closed when everything was sent.
    pub(crate) const CLOSE_FLUSHED: Self = Self(1 << 5);
    /// Our side of the stream has ended.
    pub(crate) const SHUT: Self = Self(1 << 6);
    /// The driver receives for it.
    pub(crate) const RECEIVING: Self = Self(1 << 7);
    /// A complete message came.
    pub(crate) const SPOKE: Self = Self(1 << 8);
    /// The service has no heartbeat.
    pub(crate) const NO_HEARTBEAT: Self = Self(1 << 9);
    /// `user_deadline` counts.
    pub(crate) const TIMER: Self = Self(1 << 10);
    /// The `shutdown` of the service was called.
    pub(crate) const SHUTDOWN_CALLED: Self = Self(1 << 11);
    /// `phase_deadline` counts (opening, connecting, lingering).
    pub(crate) const PHASE: Self = Self(1 << 12);
    /// A send waits in the kernel or for it, since the moment that the outbox has.
    pub(crate) const STUCK: Self = Self(1 << 13);
    /// Nothing is sent any more after what the outbox holds, while reading goes on.
    pub(crate) const SHUT_WRITE: Self = Self(1 << 14);
    /// To be ended by a reset.
    pub(crate) const RESET: Self = Self(1 << 15);
    /// All that came before the peer's end of stream was handed to the service.
    pub(crate) const HALF_CLOSED: Self = Self(1 << 16);
    /// The driver watches whether it breaks, since nothing is received for it any more.
    pub(crate) const WATCHED: Self = Self(1 << 17);
    /// The outbox was over its high mark, and its service waits to hear that it has drained.
    pub(crate) const OVER_HIGH: Self = Self(1 << 18);
    /// Its deadlines are looked at a turn later, since it had more to read.
    pub(crate) const POSTPONED: Self = Self(1 << 20);
    /// Our side of the stream has ended while it drains, and the peer's is waited for.
    pub(crate) const LINGERS: Self = Self(1 << 21);
    /// Another connection has ordered the end of what it sends; nothing more is taken from others.
    pub(crate) const ENDS_SOON: Self = Self(1 << 23);
    /// It has timers with identifiers, in `Core::timers`.
    pub(crate) const NAMED_TIMERS: Self = Self(1 << 22);
    /// Counted under its peer's address, in the engine.
    pub(crate) const COUNTED: Self = Self(1 << 24);
    /// Counted under its peer's address, in its listener.
    pub(crate) const COUNTED_HERE: Self = Self(1 << 25);
    /// Reading does not pause because the outbox is over the high mark.
    pub(crate) const NO_AUTO_PAUSE: Self = Self(1 << 19);
    /// An operator has its traffic recorded, in `Core::traces`.
    pub(crate) const TRACED: Self = Self(1 << 29);
    /// Its session takes no messages now; a little is received for it nevertheless.
    pub(crate) const HELD: Self = Self(1 << 30);
    /// Its session waits until everything was sent.
    pub(crate) const FLUSHES: Self = Self(1 << 31);
    /// The header of the PROXY protocol is not whole. Its peer is not counted, whoever that is.
    pub(crate) const PROXY_HEADER: Self = Self(1 << 26);
    /// It is counted with the prefix of its peer.
    pub(crate) const PREFIXED: Self = Self(1 << 27);
    /// It is refused with a text, and should not be reset before that was read.
    pub(crate) const FAREWELL: Self = Self(1 << 28);

    #[inline]
    pub(crate) fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, flags: Self) {
        self.0 |= flags.0;
    }

    pub(crate) fn set_if(&mut self, flags: Self, is_set: bool) {
        if is_set {
            self.set(flags);
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self, flags: Self) {
        self.0 &= !flags.0;
    }

    #[inline]
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Bytes that are received for a session that takes no messages at the moment, before reading pauses: turning receiving off and
/// on costs more than to keep them, and a session that waits for something else is often back before so many came.
const HELD_BYTES: usize = 16 * 1024;

/// A connection whose next bytes can be decoded at once.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    /// Its session's place.
    pub(crate) session: u32,
    /// Bytes of work that are left of its share of the turn.
    pub(crate) most: usize,
}

/// No session: the place in a host's sessions of a connection that has none.
pub(crate) const NO_SESSION: u32 = u32::MAX;

/// A connection's slot. Its size is the greater part of what an idle connection costs.
pub(crate) struct Connection {
    pub(crate) outbox: Option<Box<Outbox>>,
    pub(crate) carry: Option<Box<Carry>>,
    pub(crate) filter: Option<Box<FilterState>>,
    pub(crate) links: Links,
    pub(crate) session: u32,
    pub(crate) last_read: Tick,
    pub(crate) last_write: Tick,
    pub(crate) user_deadline: Tick,
    /// What is below the millisecond of `user_deadline`, where that is to be kept exactly.
    pub(crate) user_fraction: Fraction,
    pub(crate) phase_deadline: Tick,
    pub(crate) service: u16,
    pub(crate) flags: Flags,
    pub(crate) share: Share,
    pub(crate) missed: u8,
    state: State,
    reason: Compact,
}

impl Connection {
    pub(crate) fn new(service: u16, state: State, now: Tick) -> Self {
        Self {
            outbox: None,
            carry: None,
            filter: None,
            links: Links::default(),
            session: NO_SESSION,
            last_read: now,
            last_write: now,
            user_deadline: now,
            user_fraction: Fraction::NONE,
            phase_deadline: now,
            service,
            flags: Flags::default(),
            share: Share::default(),
            missed: 0,
            state,
            reason: CloseReason::Service.into(),
        }
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Goes on in its life. An illegal move is a bug of the reactor.
    pub(crate) fn become_state(&mut self, next: State) {
        assert!(self.state.may_become(next), "a connection cannot go from {:?} to {next:?}", self.state);
        self.state = next;
    }

    /// Why it is to be closed, or was.
    pub(crate) fn reason(&self) -> CloseReason {
        self.reason.into()
    }

    /// Whether it ends by a reset because of why it ends.
    pub(crate) fn resets(&self) -> bool {
        self.reason().resets() && !self.flags.has(Flags::FAREWELL)
    }

    /// Whether it closes as soon as everything was sent, without a wait for what may still come: that would be answered by
    /// a reset, which might take our last bytes with it.
    pub(crate) fn closes_unread(&self, expects_nothing: bool) -> bool {
        self.flags.has(Flags::ENDED) || self.resets() || (expects_nothing && self.filter.is_none())
    }

    /// Asks for the end of the connection; the first reason counts, unless an orderly end turns into a hard one that
    /// loses bytes: then the one that lost them.
    pub(crate) fn ask_close(&mut self, how: Flags, reason: CloseReason) {
        let asked = self.flags.has(Flags::CLOSE.or(Flags::CLOSE_FLUSHED));
        let hardens = how.has(Flags::CLOSE) && !self.flags.has(Flags::CLOSE) && self.reason().is_orderly();
        // What the kernel had taken is lost too where the connection breaks.
        let loses = self.outbox_len() > 0 || matches!(reason, CloseReason::Io(_));
        if !asked || (hardens && loses) {
            self.reason = reason.into();
        }
        self.flags.set(how);
    }

    /// Notes where it was counted under its peer's address.
    pub(crate) fn note_counted(&mut self, counted: Counted) {
        if counted.in_engine {
            self.flags.set(Flags::COUNTED);
        }
        if counted.in_listener {
            self.flags.set(Flags::COUNTED_HERE);
        }
    }

    /// Where it was counted under its peer's address.
    pub(crate) fn counted(&self) -> Counted {
        Counted { in_engine: self.flags.has(Flags::COUNTED), in_listener: self.flags.has(Flags::COUNTED_HERE) }
    }

    /// The exact moment of its timer.
    pub(crate) fn moment(&self) -> Exact {
        Exact { tick: self.user_deadline, fraction: self.user_fraction }
    }

    /// Whether its timer is an exact one, whose moment has come.
    pub(crate) fn has_come(&self, clock: Duration) -> bool {
        self.user_fraction.is_exact() && Moments::has_come(self.moment(), clock)
    }

    /// Whether what is sent now still goes out.
    #[inline]
    pub(crate) fn takes_output(&self) -> bool {
        matches!(self.state, State::Open | State::Connecting | State::Handshaking)
            && !self.flags.has(Flags::CLOSE.or(Flags::CLOSE_FLUSHED).or(Flags::SHUT_WRITE))
    }

    /// Whether what another connection sends to it now still goes out.
    #[inline]
    pub(crate) fn takes_from_others(&self) -> bool {
        self.takes_output() && !self.flags.has(Flags::ENDS_SOON)
    }

    /// Whether a handle of it is still good: it is not about to close.
    pub(crate) fn is_reachable(&self) -> bool {
        matches!(self.state, State::Open | State::Connecting | State::Handshaking)
            && !self.flags.has(Flags::CLOSE.or(Flags::CLOSE_FLUSHED))
    }

    /// Whether its bytes pass as they are and nobody records them. One test on the path of a message, for what few have.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.filter.is_none() && !self.flags.has(Flags::TRACED)
    }

    /// Whether its outbox may be handed to the driver.
    pub(crate) fn may_flush(&self) -> bool {
        !matches!(self.state, State::Connecting | State::Closed) && !self.flags.has(Flags::CLOSE)
    }

    /// Whether decoding has to stop.
    #[inline]
    pub(crate) fn is_halted(&self) -> bool {
        self.state != State::Open
            || self.flags.has(Flags::PAUSED.or(Flags::CHOKED).or(Flags::HELD).or(Flags::CLOSE).or(Flags::CLOSE_FLUSHED))
    }

    /// Whether nothing is due for it but what is in its outbox: it is open, the driver receives for it, and nothing waits
    /// to be decoded.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        const DUE: Flags = Flags::PAUSED
            .or(Flags::CHOKED)
            .or(Flags::OVER_HIGH)
            .or(Flags::CLOSE)
            .or(Flags::CLOSE_FLUSHED)
            .or(Flags::ENDED)
            .or(Flags::FLUSHES)
            .or(Flags::SHUT_WRITE);
        self.state == State::Open && !self.flags.has(DUE) && self.flags.has(Flags::RECEIVING) && self.carry.is_none()
    }

    /// Says how what comes is decoded where it can be at once: nothing waits before it, and the share of the turn is not
    /// used up.
    #[inline]
    pub(crate) fn ready(&self, turn: TurnNumber) -> Option<Ready> {
        let most = self.share.left(turn);
        (self.carry.is_none() && !self.is_halted() && most > 0).then_some(Ready { session: self.session, most })
    }

    /// Whether nothing can come from the peer now, whatever it sends: its silence means nothing.
    pub(crate) fn is_reading_paused(&self) -> bool {
        self.flags.has(Flags::PAUSED.or(Flags::CHOKED))
            || self.waits_for_room()
            || (self.flags.has(Flags::HELD) && self.has_more_to_decode())
    }

    /// Ends a pause of reading. Whatever waited meanwhile comes only now, so the peer's silence begins here at the earliest.
    pub(crate) fn end_pause(&mut self, pause: Flags, now: Tick) {
        if self.flags.has(pause) {
            self.flags.clear(pause);
            (self.last_read, self.missed) = (now, 0);
        }
    }

    /// Whether messages may wait that it has not been the turn of: reading waits for them.
    #[inline]
    pub(crate) fn has_more_to_decode(&self) -> bool {
        self.carry.as_ref().is_some_and(|carry| carry.need == 0)
    }

    /// Whether more may be received for a session that takes no messages now.
    fn holds_little(&self) -> bool {
        self.flags.has(Flags::HELD) && self.carry.as_ref().is_none_or(|carry| carry.len() < HELD_BYTES)
    }

    /// Whether the driver should receive for it. While it drains, what still comes is read and dropped, so that the
    /// kernel does not answer it with a reset that would take our last bytes with it.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        match self.state {
            State::Open => {
                !self.flags.has(Flags::PAUSED.or(Flags::CHOKED).or(Flags::ENDED))
                    && (!self.has_more_to_decode() || self.holds_little())
                    && !self.waits_for_room()
            }
            State::Handshaking => {
                !self.flags.has(Flags::ENDED) && self.filter.as_ref().is_none_or(|filter| !filter.is_full_in_line())
            }
            State::Draining => !self.flags.has(Flags::ENDED),
            State::Connecting | State::Closed => false,
        }
    }

    /// Whether it was asked for here, and is not up yet.
    pub(crate) fn is_dialling(&self) -> bool {
        match self.state {
            State::Connecting => true,
            State::Handshaking => self.filter.as_ref().is_some_and(|filter| filter.outbound),
            State::Open | State::Draining | State::Closed => false,
        }
    }

    /// Sets whether reading pauses while the outbox is over its high mark.
    pub(crate) fn set_auto_pause(&mut self, pauses: bool) {
        if !pauses {
            self.flags.set(Flags::NO_AUTO_PAUSE);
        }
    }

    /// Notes that the outbox is over its high mark; says whether decoding has to stop for that.
    pub(crate) fn note_over_high(&mut self) -> bool {
        self.flags.set(Flags::OVER_HIGH);
        let pauses = !self.flags.has(Flags::NO_AUTO_PAUSE);
        if pauses {
            self.flags.set(Flags::CHOKED);
        }
        pauses
    }

    /// When something was received or sent last.
    pub(crate) fn last_traffic(&self) -> Tick {
        if self.last_read.is_before(self.last_write) { self.last_write } else { self.last_read }
    }

    /// Bytes that wait to be sent.
    #[inline]
    pub(crate) fn outbox_len(&self) -> usize {
        let wire = self.filter.as_ref().map_or(0, |filter| filter.wire_len());
        self.outbox.as_ref().map_or(wire, |outbox| wire + outbox.len())
    }

    /// When the send began that is in flight, if any is.
    pub(crate) fn stuck_since(&self) -> Option<Tick> {
        let wire = match &self.filter {
            None => &self.outbox,
            Some(filter) => &filter.wire,
        };
        wire.as_deref().filter(|_| self.flags.has(Flags::STUCK)).and_then(|wire| wire.stuck_since)
    }

    /// What the driver sends from: the outbox itself, or what a filter made of it.
    #[inline]
    pub(crate) fn wire(&mut self) -> &mut Option<Box<Outbox>> {
        match &mut self.filter {
            None => &mut self.outbox,
            Some(filter) => &mut filter.wire,
        }
    }
}

/// Something to send, as other threads hand it over.
pub(crate) type Payload = Bytes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_72_bytes_of_its_slot() {
        assert!(size_of::<Connection>() <= 72, "{} bytes", size_of::<Connection>());
    }

    #[test]
    fn each_flag_is_a_bit_that_no_other_flag_has() {
        // Read from this file, so that none can be forgotten.
        let text = include_str!("connection.rs");
        let flags =
            text.lines().filter_map(|line| line.trim().strip_prefix("pub(crate) const ")?.split_once(": Self = Self("));
        let mut taken = std::collections::HashMap::new();
        for (name, value) in flags {
            let bit = value.trim_end_matches(");").strip_prefix("1").expect(name);
            let bit: u32 = bit.strip_prefix(" << ").map_or(0, |bit| bit.parse().expect(name));
            assert!(bit < 32 && taken.insert(bit, name).is_none(), "{name} has the bit of another");
        }
        assert!(taken.len() >= 25, "{taken:?}");
    }

    #[test]
    fn a_life_goes_only_forward() {
        use State::{Closed, Connecting, Draining, Handshaking, Open};
        let all = [Connecting, Handshaking, Open, Draining, Closed];
        for (place, from) in all.into_iter().enumerate() {
            for to in &all[..=place] {
                assert!(!from.may_become(*to), "{from:?} to {to:?}");
            }
            assert_eq!(from.may_become(Closed), from != Closed);
        }
    }

    #[test]
    fn the_first_reason_to_close_is_the_one_that_counts() {
        let mut connection = Connection::new(0, State::Open, Tick(0));
        connection.ask_close(Flags::CLOSE_FLUSHED, CloseReason::Shutdown);
        connection.ask_close(Flags::CLOSE, CloseReason::Peer);
        assert_eq!(connection.reason(), CloseReason::Shutdown);
    }

    #[test]
    fn an_orderly_end_that_loses_bytes_has_the_reason_that_lost_them() {
        let mut connection = Connection::new(0, State::Open, Tick(0));
        connection.outbox.get_or_insert_default().append_shared(Bytes::from_static(b"lost"));
        connection.ask_close(Flags::CLOSE_FLUSHED, CloseReason::Service);
        connection.ask_close(Flags::CLOSE, CloseReason::SlowWrite);
        connection.ask_close(Flags::CLOSE, CloseReason::Shutdown);
        assert_eq!(connection.reason(), CloseReason::SlowWrite);
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = CloseReason::NAMES.iter().collect();
        assert_eq!(names.len(), CloseReason::COUNT);
    }
}
