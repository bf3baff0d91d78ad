//! What is due for a connection after something happened to it: sending, decoding, the next state of its life.

use std::mem;

use crate::close_reason::CloseReason;
use crate::connection::{Connection, Flags, State};
use crate::driver::Driver;
use crate::ids::Token;
use crate::outbox::TOGETHER_BYTES;
use crate::service::HalfClose;
use crate::share::SHARE_BYTES;

use super::Reactor;

/// How often one connection may go from sending to decoding and back before others have their turn.
const ROUNDS: usize = 16;

/// What a full outbox that was emptied counts as in the share of its connection, whose service may fill it again: a peer
/// that reads as fast as it is sent to gets a few of them in one turn.
const DRAINED_BYTES: usize = SHARE_BYTES / 4;

/// Connections that have a little to send wait until they are so many, or all that came was handled.
const TOGETHER: usize = 32;

impl<D: Driver> Reactor<D> {
    /// Does what is due for a connection after something happened to it, and then what that led to for others.
    #[inline]
    pub(super) fn settle(&mut self, token: Token) {
        self.settle_one(token);
        if !self.core.deferred.is_empty() {
            self.run_deferred();
        }
    }

    /// The same after bytes were received. Where a little has to be sent and nothing else is due, that waits for what else
    /// came, if the driver called the kernel for just this chunk: it is cheaper to receive from several connections and then
    /// to send to them than to change between the two, and a client that waits for several of them is woken once.
    #[inline]
    pub(super) fn settle_received(&mut self, token: Token, at_once: bool) {
        if at_once
            && self.core.deferred.is_empty()
            && let Some(connection) = self.core.slab.get(token)
            && !connection.is_halted()
            && !connection.has_more_to_decode()
            && (1..TOGETHER_BYTES).contains(&connection.outbox_len())
        {
            self.core.mark(token);
            if self.core.dirty.len() >= TOGETHER {
                self.settle_marked();
            }
        } else if !self.is_followed(token) {
            self.settle(token);
        }
    }

    /// Whether what was received has its continuation in the next completion, and nothing is due before.
    #[inline]
    fn is_followed(&self, token: Token) -> bool {
        self.driver.receives_more(token)
            && self.core.deferred.is_empty()
            && self.core.slab.get(token).is_some_and(|connection| {
                !connection.is_halted() && !connection.has_more_to_decode() && !connection.flags.has(Flags::ENDED)
            })
    }

    /// Settles every connection on the list; those that need it once more wait for the next turn.
    pub(super) fn settle_marked(&mut self) {
        if self.core.dirty.is_empty() {
            return;
        }
        let mut marked = mem::take(&mut self.core.dirty);
        for token in marked.drain(..) {
            if !self.flush_at_rest(token, Flags::DIRTY) {
                self.settle_due(token);
            }
            if !self.core.deferred.is_empty() {
                self.run_deferred();
            }
        }
        if self.core.dirty.is_empty() {
            self.core.dirty = marked;
        }
    }

    #[inline]
    pub(super) fn settle_one(&mut self, token: Token) {
        if !self.flush_at_rest(token, Flags::default()) {
            self.settle_due(token);
        }
    }

    /// Does what is due for a connection for which more may be due than to send.
    #[inline(never)]
    fn settle_due(&mut self, token: Token) {
        for _ in 0..ROUNDS {
            let Some(connection) = self.core.slab.get_mut(token) else { return };
            if connection.state() == State::Closed {
                return;
            }
            if connection.flags.has(Flags::CLOSE) {
                return self.begin_close(token);
            }
            let sends = connection.outbox.is_some() || connection.filter.is_some();
            if sends && connection.state() != State::Connecting && !self.flush(token) {
                return;
            }
            if self.core.slab.get(token).is_some_and(Connection::is_at_rest) {
                return;
            }
            if !self.advance(token) {
                return self.sync_receiving(token);
            }
        }
        self.core.mark(token);
        self.sync_receiving(token);
    }

    /// Takes a connection one step on in its life, and says whether there may be another.
    fn advance(&mut self, token: Token) -> bool {
        let Some(connection) = self.core.slab.get_mut(token) else { return false };
        let service = connection.service;
        match connection.state() {
            State::Connecting => {
                if connection.flags.has(Flags::CLOSE_FLUSHED) {
                    connection.flags.set(Flags::CLOSE);
                    return true;
                }
                false
            }
            State::Handshaking => self.advance_handshake(token),
            State::Open => {
                if connection.flags.has(Flags::CLOSE_FLUSHED) {
                    connection.become_state(State::Draining);
                    if connection.flags.has(Flags::NAMED_TIMERS) {
                        self.core.timers.forget(token);
                    }
                    connection.flags.clear(Flags::PHASE.or(Flags::TIMER).or(Flags::NAMED_TIMERS));
                    if let Some(carry) = connection.carry.take() {
                        self.core.pools.return_carry(carry);
                    }
                    return true;
                }
                if connection.flags.has(Flags::SHUT_WRITE)
                    && !connection.flags.has(Flags::SHUT)
                    && connection.outbox_len() == 0
                {
                    return self.end_sending(token);
                }
                if connection.flags.has(Flags::OVER_HIGH) && connection.outbox_len() <= self.core.limits.outbox_low() {
                    if connection.share.is_spent(self.core.turn) {
                        self.core.mark(token);
                        return false;
                    }
                    connection.share.spend(self.core.turn, DRAINED_BYTES);
                    connection.flags.clear(Flags::OVER_HIGH);
                    self.core.counters.slow_readers.sub(1);
                    connection.end_pause(Flags::CHOKED, self.core.now);
                    let (host, core) = self.host(service);
                    host.writable(core, token);
                    return true;
                }
                if connection.flags.has(Flags::FLUSHES) && connection.outbox_len() == 0 {
                    connection.flags.clear(Flags::FLUSHES);
                    let (host, core) = self.host(service);
                    host.writable(core, token);
                    return true;
                }
                if connection.is_halted() {
                    return false;
                }
                if connection.has_more_to_decode() {
                    if connection.share.is_spent(self.core.turn) {
                        // Others first: the rest has the next turn's share.
                        self.core.mark(token);
                        return false;
                    }
                    let (host, core) = self.host(service);
                    host.resume(core, token);
                    return true;
                }
                connection.flags.has(Flags::ENDED) && self.advance_half_closed(token)
            }
            State::Draining => {
                if connection.outbox_len() > 0 {
                    return false;
                }
                if connection.filter.is_some() && self.end_filter(token) {
                    return true;
                }
                let Some(connection) = self.core.slab.get_mut(token) else { return false };
                if connection.closes_unread(self.core.rares.of(token).expects_nothing) {
                    connection.flags.set(Flags::CLOSE);
                    return true;
                }
                if !connection.flags.has(Flags::LINGERS) {
                    connection.flags.set(Flags::LINGERS);
                    if !connection.flags.has(Flags::SHUT) {
                        connection.flags.set(Flags::SHUT);
                        self.driver.shutdown(token);
                    }
                    let linger_ms = self.deadlines[usize::from(service)].linger_ms;
                    self.set_phase(token, linger_ms);
                }
                false
            }
            State::Closed => false,
        }
    }

    /// Ends our direction of the stream of an open connection, where everything was sent: its filter's good-bye goes before.
    /// Says whether there may be another step.
    #[cold]
    fn end_sending(&mut self, token: Token) -> bool {
        if self.end_filter(token) {
            return true;
        }
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.flags.set(Flags::SHUT);
            self.driver.shutdown(token);
        }
        true
    }

    /// Takes an open connection one step on whose peer ended its stream, when all before was decoded.
    fn advance_half_closed(&mut self, token: Token) -> bool {
        let Some(connection) = self.core.slab.get_mut(token) else { return false };
        let service = connection.service;
        if !connection.flags.has(Flags::HALF_CLOSED) {
            connection.flags.set(Flags::HALF_CLOSED);
            self.drop_what_was_cut_off(token);
            let (host, core) = self.host(service);
            if host.finish(core, token) {
                return true;
            }
        }
        let queued = self.core.slab.get(token).map_or(0, |connection| connection.outbox_len());
        let (host, core) = self.host(service);
        let wish = host.half_closed(core, token);
        let offloads = core.rares.of(token).offloads;
        let Some(connection) = core.slab.get_mut(token) else { return false };
        if connection.outbox_len() > queued || connection.flags.has(Flags::CLOSE.or(Flags::CLOSE_FLUSHED)) {
            return true;
        }
        // Where both directions have ended there is nothing left to do with it.
        if connection.flags.has(Flags::SHUT_WRITE) || (wish == HalfClose::Close && offloads == 0) {
            connection.ask_close(Flags::CLOSE_FLUSHED, CloseReason::Peer);
            return true;
        }
        // It goes on to send. Nothing is received any more that would show a peer which is gone.
        if !connection.flags.has(Flags::WATCHED) {
            connection.flags.set(Flags::WATCHED);
            let half_close_ms = self.deadlines[usize::from(service)].half_close_ms;
            self.set_phase(token, half_close_ms);
            self.sync_receiving(token);
            self.driver.watch(token);
        }
        false
    }

    /// Lets the driver receive where the connection wants to, and stops it where not.
    #[inline]
    fn sync_receiving(&mut self, token: Token) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let wants = connection.wants_input();
        if wants != connection.flags.has(Flags::RECEIVING) && connection.state() != State::Closed {
            if wants {
                connection.flags.set(Flags::RECEIVING);
            } else {
                connection.flags.clear(Flags::RECEIVING);
            }
            self.driver.receive(token, wants);
        }
    }
}
