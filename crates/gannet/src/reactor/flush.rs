//! Handing outboxes to the driver, and what comes of it.

use std::io;
use std::mem;

use crate::close_reason::CloseReason;
use crate::connection::{Connection, Flags};
use crate::driver::{Driver, Sent};
use crate::ids::Token;

use super::Reactor;

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

    /// Hands the outbox to the driver; says whether the connection still lives.
    #[inline]
    pub(super) fn flush(&mut self, token: Token) -> bool {
        self.flush_by::<false>(token)
    }

    /// The same, or in one attempt what leaves at once.
    #[inline]
    fn flush_by<const AT_ONCE: bool>(&mut self, token: Token) -> bool {
        loop {
            let Some(connection) = self.core.slab.get_mut(token) else { return false };
            let is_plain = connection.is_plain();
            let connection = if is_plain {
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
            match sent {
                Sent::Now(0) => {}
                Sent::Now(count) => {
                    let is_whole = count == outbox.len();
                    if !is_whole {
                        outbox.consume(count, &mut self.core.pools.blocks);
                    }
                    connection.last_write = self.core.now;
                    connection.flags.clear(Flags::STUCK);
                    let service = connection.service;
                    let sent = if is_whole { connection.wire().take() } else { None };
                    self.core.count_sent(service, count);
                    let may_have_more = !is_plain && self.has_left(token, count);
                    if let Some(outbox) = sent {
                        self.core.pools.return_outbox(outbox);
                        if !may_have_more {
                            return true;
                        }
                    }
                }
                Sent::Later => {
                    outbox.set_in_flight(true);
                    if !connection.flags.has(Flags::STUCK) {
                        connection.flags.set(Flags::STUCK);
                        connection.stuck_since = self.core.now;
                        let slow_ms = self.deadlines[usize::from(connection.service)].slow_write_ms;
                        if slow_ms != 0 {
                            self.core.due(token, self.core.now.after(slow_ms));
                        }
                    }
                    return true;
                }
                Sent::Failed(error) => {
                    self.core.ask_close_for(token, Flags::CLOSE, CloseReason::Io(error.kind()), error.into());
                    self.begin_close(token);
                    return false;
                }
            }
            if AT_ONCE {
                return true;
            }
        }
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
        let Some(outbox) = connection.wire().as_mut() else { return };
        outbox.set_in_flight(false);
        match result {
            Ok(count) => {
                if count > 0 {
                    outbox.consume(count, &mut self.core.pools.blocks);
                    connection.last_write = self.core.now;
                    connection.flags.clear(Flags::STUCK);
                    let (service, is_plain) = (connection.service, connection.is_plain());
                    self.core.count_sent(service, count);
                    if !is_plain {
                        self.has_left(token, count);
                    }
                }
            }
            Err(error) => {
                self.core.ask_close_for(token, Flags::CLOSE, CloseReason::Io(error.kind()), error.into());
            }
        }
        self.settle(token);
    }
}
