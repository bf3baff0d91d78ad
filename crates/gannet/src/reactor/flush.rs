//! Handing outboxes to the driver, and what comes of it.

use std::io;
use std::mem;

use crate::close_reason::CloseReason;
use crate::connection::{Connection, Flags};
use crate::driver::{Driver, Sent};
use crate::ids::Token;

use super::Reactor;

/// What is to be done next with an outbox that was handed to the driver.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// To hand over what is left, if anything is.
    Again,
    /// Nothing, for now.
    Nothing,
    /// Nothing any more: its connection closes.
    Gone,
}

impl<D: Driver> Reactor<D> {
    /// Sends what an outbox has borrowed of the chunk that was handled, and copies what does not leave at once. Where that
    /// cannot be tried, a send is in flight that began before: it does not read what was borrowed since.
    pub(super) fn send_lent(&mut self, token: Token) {
        let connection = self.core.slab.get(token);
        if connection.is_some_and(|connection| connection.may_flush()) {
            self.flush_by::<true>(token);
        }
        if let Some(outbox) = self.core.slab.get_mut(token).and_then(|connection| connection.outbox.as_mut()) {
            outbox.own();
        }
    }

    /// Sends to the connections that got much from the chunk that was handled, while it is there to be sent from.
    #[cold]
    pub(super) fn send_reached(&mut self) {
        let mut reached = mem::take(&mut self.core.reached);
        for token in reached.drain(..) {
            if self.core.pools.blocks.is_lending() {
                self.send_lent(token);
            } else if self.core.slab.get(token).is_some_and(|connection| connection.may_flush()) {
                self.flush(token);
            }
            // What else is due for it waits for the end of the turn.
            let is_done = |connection: &Connection| connection.is_at_rest() && connection.outbox.is_none();
            if !self.core.slab.get(token).is_some_and(is_done) {
                self.core.mark(token);
            }
        }
        self.core.reached = reached;
    }

    /// Hands the outbox of a connection to the driver where nothing else is due for it, as most messages leave: with one
    /// look-up. Says whether that was all; if not, `settle_due` does the rest. Clears `flags` in the same look-up.
    #[inline]
    pub(super) fn flush_at_rest(&mut self, token: Token, flags: Flags) -> bool {
        let Self { driver, core, deadlines, .. } = self;
        let Some(connection) = core.slab.get_mut(token) else { return true };
        connection.flags.clear(flags);
        if !connection.is_at_rest() || !connection.is_plain() {
            return false;
        }
        let Some(outbox) = connection.outbox.as_deref() else { return true };
        if outbox.is_in_flight() || outbox.is_empty() {
            return outbox.is_in_flight();
        }
        match driver.send(token, outbox) {
            Sent::Now(count) if count == outbox.len() => {
                connection.last_write = core.now;
                connection.flags.clear(Flags::STUCK);
                core.tallies[usize::from(connection.service)].bytes_out.add(count as u64);
                core.counters.outboxes_shrank(count);
                if let Some(outbox) = connection.outbox.take() {
                    core.pools.return_outbox(outbox);
                }
                true
            }
            Sent::Later => {
                if let Some(due) = deadlines[usize::from(connection.service)].begin_send(connection, core.now) {
                    core.due(token, due);
                }
                true
            }
            sent => self.note_sent(token, sent) == Next::Gone,
        }
    }

    /// Hands the outbox to the driver; says whether the connection still lives.
    #[inline]
    pub(super) fn flush(&mut self, token: Token) -> bool {
        self.flush_by::<false>(token)
    }

    /// The same, or in one attempt what leaves at once.
    fn flush_by<const AT_ONCE: bool>(&mut self, token: Token) -> bool {
        loop {
            let Some(connection) = self.core.slab.get_mut(token) else { return false };
            let connection = if connection.is_plain() {
                connection
            } else {
                if !self.prepare_outbox(token) {
                    return false;
                }
                let Some(connection) = self.core.slab.get_mut(token) else { return false };
                connection
            };
            let Some(outbox) = connection.wire().as_mut() else { return true };
            if outbox.is_in_flight() {
                return true;
            }
            if outbox.is_empty() {
                if let Some(outbox) = connection.wire().take() {
                    self.core.pools.return_outbox(outbox);
                }
                return true;
            }
            let sent = if AT_ONCE { self.driver.send_at_once(token, outbox) } else { self.driver.send(token, outbox) };
            match self.note_sent(token, sent) {
                Next::Again if !AT_ONCE => {}
                Next::Gone => return false,
                Next::Again | Next::Nothing => return true,
            }
        }
    }

    /// Notes what came of handing an outbox to the driver.
    fn note_sent(&mut self, token: Token, sent: Sent) -> Next {
        let count = match sent {
            Sent::Now(0) => return Next::Again,
            Sent::Now(count) => count,
            Sent::Later => {
                let Some(connection) = self.core.slab.get_mut(token) else { return Next::Gone };
                let deadlines = &self.deadlines[usize::from(connection.service)];
                if let Some(due) = deadlines.begin_send(connection, self.core.now) {
                    self.core.due(token, due);
                }
                return Next::Nothing;
            }
            Sent::Failed(error) => {
                self.core.ask_close_for(token, Flags::CLOSE, CloseReason::Io(error.kind()), error.into());
                self.begin_close(token);
                return Next::Gone;
            }
        };
        let Some(connection) = self.core.slab.get_mut(token) else { return Next::Gone };
        let Some(mut outbox) = connection.wire().take() else { return Next::Nothing };
        connection.last_write = self.core.now;
        connection.flags.clear(Flags::STUCK);
        let (service, is_plain, is_whole) = (connection.service, connection.is_plain(), count == outbox.len());
        if !is_whole {
            outbox.consume(count, &mut self.core.pools.blocks);
        }
        // An outbox that was sent whole is given back as it is.
        let sent = if is_whole { Some(outbox) } else { connection.wire().replace(outbox) };
        self.core.count_sent(service, count);
        let may_have_more = !is_plain && self.has_left(token, count);
        if let Some(outbox) = sent {
            self.core.pools.return_outbox(outbox);
        }
        if is_whole && !may_have_more { Next::Nothing } else { Next::Again }
    }

    /// Has an outbox recorded and passed through the filter, as far as its connection wants that; says whether it still lives.
    #[inline(never)]
    fn prepare_outbox(&mut self, token: Token) -> bool {
        let Some(connection) = self.core.slab.get(token) else { return false };
        let is_filtered = connection.filter.is_some();
        if connection.flags.has(Flags::TRACED) {
            self.trace_sent(token);
        }
        !is_filtered || self.seal(token)
    }

    /// Has it noted that bytes have left, and says whether a filter may have more behind them.
    #[inline(never)]
    fn has_left(&mut self, token: Token, count: usize) -> bool {
        let Some(connection) = self.core.slab.get(token) else { return false };
        let is_filtered = connection.filter.is_some();
        if connection.flags.has(Flags::TRACED) && !is_filtered {
            self.trace_left(token, count);
        }
        is_filtered
    }

    pub(super) fn sent(&mut self, token: Token, result: io::Result<usize>) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let (is_plain, is_at_rest) = (connection.is_plain(), connection.is_at_rest());
        let Some(outbox) = connection.wire().as_mut() else { return };
        outbox.set_in_flight(false);
        match result {
            Ok(0) => {}
            Ok(count) => {
                let is_all = count == outbox.len() && is_plain && is_at_rest;
                if !is_all {
                    outbox.consume(count, &mut self.core.pools.blocks);
                }
                let sent = if is_all { connection.outbox.take() } else { None };
                connection.last_write = self.core.now;
                connection.flags.clear(Flags::STUCK);
                let service = connection.service;
                self.core.count_sent(service, count);
                if let Some(outbox) = sent {
                    return self.core.pools.return_outbox(outbox);
                }
                if !is_plain {
                    self.has_left(token, count);
                }
            }
            Err(error) => {
                self.core.ask_close_for(token, Flags::CLOSE, CloseReason::Io(error.kind()), error.into());
            }
        }
        self.settle(token);
    }
}
