//! Calls as futures, for sessions on a reactor of the pool.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use gannet::session::{self, Polled};

use crate::error::CallError;
use crate::part::{self, Foreign, Part};
use crate::protocol::Protocol;
use crate::seats::Ticket;
use crate::shared::Shared;

/// Waits for the reply to a call that a session made: see [`Pool::call`](crate::Pool::call).
///
/// # Cancel safety
///
/// Dropping the future gives the reply up. A request that waits for a connection is not sent. One in flight keeps its place
/// in the connection's pipeline, so no other caller gets its reply.
#[must_use = "await it for the reply"]
pub struct Calling<P: Protocol> {
    state: State<P>,
}

enum State<P: Protocol> {
    Failed(CallError),
    Waits { part: Rc<RefCell<Part<P>>>, ticket: Ticket, key: u64 },
    Done,
}

/// Makes a call of the session that is polled: `call` places it on the part of this reactor, for this ticket.
pub(crate) fn place<P: Protocol>(
    shared: &Arc<Shared<P>>,
    call: impl FnOnce(&mut Part<P>, &mut Foreign<'_, '_, P, Polled>, Ticket) -> Result<u64, CallError>,
) -> Calling<P> {
    let begun = session::on_reactor(|cx| {
        let part = part::here::<P>(shared.id, cx.reactor()).ok_or(CallError::NotHere)?;
        let ticket = part.try_borrow().map_err(|_| CallError::NotHere)?.seats.take();
        match part::act_on(&part, shared, cx, |part, cx| call(part, cx, ticket)) {
            Ok(key) => Ok(State::Waits { part, ticket, key }),
            Err(error) => {
                part.borrow().seats.leave(ticket);
                Err(error)
            }
        }
    });
    Calling { state: begun.unwrap_or(Err(CallError::NotHere)).unwrap_or_else(State::Failed) }
}

impl<P: Protocol> Unpin for Calling<P> {}

impl<P: Protocol> Future for Calling<P> {
    type Output = Result<P::Owned, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let outcome = match &self.state {
            State::Failed(error) => Err(*error),
            State::Done => return Poll::Pending,
            State::Waits { part, ticket, .. } => match part.borrow().seats.poll(*ticket, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => outcome,
            },
        };
        self.state = State::Done;
        Poll::Ready(outcome)
    }
}

impl<P: Protocol> Drop for Calling<P> {
    fn drop(&mut self) {
        let State::Waits { part, ticket, key } = &self.state else { return };
        // Where the part is busy, what comes for the ticket is dropped.
        let Ok(mut part) = part.try_borrow_mut() else { return };
        if part.seats.leave(*ticket).is_none() {
            part.cancel(*key);
        }
    }
}

impl<P: Protocol> fmt::Debug for Calling<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").finish_non_exhaustive()
    }
}
