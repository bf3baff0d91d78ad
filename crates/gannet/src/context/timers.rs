//! The timers that a callback sets: one of the connection's own, some with identifiers, and that of the service.

use std::time::Duration;

use crate::connection::{Flags, State};
use crate::context::Context;
use crate::moments::{Exact, Fraction};
use crate::service::Service;
use crate::timers::TimerId;
use crate::wheel::milliseconds;

impl<S: Service> Context<'_, S> {
    /// Sets this connection's one timer, and replaces one set before. [`Service::timer`] is called once, after `after`.
    ///
    /// The timer is kept to the millisecond, and is late by what the reactor has to do. The longest time is 24 days.
    /// [`set_named_timer`](Self::set_named_timer) sets further timers.
    pub fn set_timer(&mut self, after: Duration) {
        let due = self.core.now.after(milliseconds(after));
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.set(Flags::TIMER);
            (connection.user_deadline, connection.user_fraction) = (due, Fraction::NONE);
            self.core.due(self.token, due);
        }
    }

    /// Sets this connection's one timer with a precision below a millisecond, and replaces one set before.
    ///
    /// [`Service::timer`] is called as soon as the kernel wakes the reactor, usually within 100 µs. Each such timer may cost
    /// a wake-up of its own; prefer [`set_timer`](Self::set_timer) if a millisecond is enough. The longest time is 24 days.
    pub fn set_precise_timer(&mut self, after: Duration) {
        self.core.set_precise_timer(self.token, Exact::after(self.core.clock, after));
    }

    /// Cancels this connection's timer. Does nothing if none is set.
    pub fn cancel_timer(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.clear(Flags::TIMER);
        }
    }

    /// Sets one of several timers of this connection, and replaces the one with the same `id`.
    ///
    /// [`Service::named_timer`] is called once with `id`, after `after`. The timer is kept to the millisecond, and is late by
    /// what the reactor has to do. The longest time is 24 days.
    ///
    /// Timers that are due in the same turn fire in the order of their moments; those of the same millisecond, in the order
    /// of their identifiers. Timers of a connection that closes are cancelled. A connection has at most 256 named timers,
    /// of 8 bytes each. A connection without any pays nothing; [`set_timer`](Self::set_timer) costs no memory at all.
    pub fn set_named_timer(&mut self, id: TimerId, after: Duration) {
        let due = self.core.now.after(milliseconds(after));
        let living = |state| !matches!(state, State::Draining | State::Closed);
        if let Some(connection) = self.core.slab.get_mut(self.token)
            && living(connection.state())
        {
            connection.flags.set(Flags::NAMED_TIMERS);
            self.core.timers.set(self.token, id, due);
            self.core.due(self.token, due);
        }
    }

    /// Cancels the timer with this identifier. Does nothing if it is not set.
    pub fn cancel_named_timer(&mut self, id: TimerId) {
        if let Some(connection) = self.core.slab.get_mut(self.token)
            && connection.flags.has(Flags::NAMED_TIMERS)
            && !self.core.timers.cancel(self.token, id)
        {
            connection.flags.clear(Flags::NAMED_TIMERS);
        }
    }

    /// Sets the one timer of this instance of the service, and replaces one set before.
    ///
    /// [`Service::service_timer`] is called once, after `after`, on this reactor. It belongs to no connection: it also fires
    /// when this connection is gone. The timer is kept to the millisecond. The longest time is 24 days.
    pub fn set_service_timer(&mut self, after: Duration) {
        if let Some(connection) = self.core.slab.get(self.token) {
            self.core.timers.set_service(connection.service, self.core.now.after(milliseconds(after)));
        }
    }

    /// Cancels the timer of this instance of the service. Does nothing if none is set.
    pub fn cancel_service_timer(&mut self) {
        if let Some(connection) = self.core.slab.get(self.token) {
            self.core.timers.cancel_service(connection.service);
        }
    }
}
