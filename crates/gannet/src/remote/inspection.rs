//! What operators ask for, from any thread: methods of [`Remote`].

use std::sync::Arc;

use crate::handle::Handle;
use crate::inspect::{
    ClosedConnection, ClosedQuery, Found, InspectError, Kicked, Order, Page, Part, Query, Selection, Trace,
    TraceOptions,
};

use super::Remote;

/// Inspection and control, for operators.
///
/// Nothing here waits: the answer comes by a call back, on the thread of a reactor, which must not block. A reactor looks at
/// 1,024 of its slots in a turn at most, so that connections are served as usual meanwhile. An order needs no room in a
/// mailbox. Of the answers of a shutdown, those of reactors that end are missing.
impl Remote {
    /// Finds connections, and calls `done` with a page of them.
    ///
    /// Connections that open while the reactors walk may be missing. [`Service::describe`](crate::Service::describe) is
    /// called for those on the page, and for all that may match if a user or a channel is asked for.
    ///
    /// # Errors
    ///
    /// - [`InspectError::NotRunning`]: the engine has not started, or a reactor has ended.
    /// - [`InspectError::Busy`]: a reactor has 256 orders waiting.
    pub fn connections(&self, query: Query, done: impl FnOnce(Page) + Send + 'static) -> Result<(), InspectError> {
        let (limit, query) = (query.limit(), Arc::new(query));
        let done = move |found: Found| done(found.into_page(limit));
        self.order(done, |part| Order::List { query: query.clone(), part })
    }

    /// Closes connections, and calls `done` when all that were selected are closing.
    ///
    /// Each reactor closes 256 in a turn at most. [`Service::kick`](crate::Service::kick) decides how: with the close code of
    /// its protocol, where that has one. Connections that open meanwhile may stay.
    ///
    /// # Errors
    ///
    /// Those of [`Remote::connections`].
    pub fn kick(&self, select: Selection, done: impl FnOnce(Kicked) + Send + 'static) -> Result<(), InspectError> {
        let select = Arc::new(select);
        self.order(done, |part| Order::Kick { select: select.clone(), part })
    }

    /// Finds connections that have closed, and calls `done` with them, the last one first.
    ///
    /// The engine remembers the last 10,000, each reactor its share. `select` may have services and a network.
    ///
    /// # Errors
    ///
    /// Those of [`Remote::connections`].
    pub fn closed_connections(
        &self,
        select: Selection,
        limit: usize,
        done: impl FnOnce(Vec<ClosedConnection>) + Send + 'static,
    ) -> Result<(), InspectError> {
        let query = Arc::new(ClosedQuery { select, limit });
        let done = move |mut all: Vec<ClosedConnection>| {
            all.sort_by_key(|closed| closed.ago);
            all.truncate(limit);
            done(all);
        };
        self.order(done, |part| Order::Closed { query: query.clone(), part })
    }

    /// Records the traffic of a connection.
    ///
    /// What passes is recorded on its reactor, within the bounds of `options`. A reactor records 16 traces at a time; of a
    /// further one, the end comes at once. A connection that is not traced pays nothing.
    ///
    /// # Errors
    ///
    /// - [`InspectError::Gone`]: the connection is gone, or belongs to another engine.
    /// - [`InspectError::Busy`]: its reactor has 256 orders waiting.
    pub fn trace(&self, handle: Handle, options: TraceOptions) -> Result<Trace, InspectError> {
        let gate = self.gate(handle).map_err(|_| InspectError::Gone)?;
        if !gate.live.holds(handle.place()) {
            return Err(InspectError::Gone);
        }
        let (trace, recorder) = Trace::new(options);
        gate.orders.leave(Order::Trace { place: handle.place(), recorder })?;
        gate.sender.ring();
        Ok(trace)
    }

    /// Reads a handle of this engine as `Display` writes it: `0-17-3`.
    ///
    /// The connection may be gone.
    #[must_use]
    pub fn handle(&self, text: &str) -> Option<Handle> {
        Handle::read(self.engine(), text)
    }

    fn order<T: Default + Send + 'static>(
        &self,
        done: impl FnOnce(T) + Send + 'static,
        order: impl Fn(Part<T>) -> Order,
    ) -> Result<(), InspectError> {
        let gates = self.gates();
        if gates.is_empty() {
            return Err(InspectError::NotRunning);
        }
        let mut parts = Part::all(gates.len() + 1, done);
        // Nobody calls back before this one goes.
        let own = parts.pop();
        for (gate, part) in gates.iter().zip(parts) {
            if let Err(error) = gate.orders.leave(order(part)) {
                own.iter().for_each(Part::forget);
                return Err(error);
            }
            gate.sender.ring();
        }
        Ok(())
    }
}
