//! Leases on a reactor of the pool: for sessions, as futures, and for callbacks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use gannet::session;
use gannet::{Context, Notice, Notifier, Service};

use crate::answer::Answered;
use crate::calling::{Calling, place};
use crate::error::CallError;
use crate::part::{self, Caller, Part};
use crate::pool::ConnectionId;
use crate::protocol::Protocol;
use crate::seats::Ticket;
use crate::shared::{CallOptions, Shared, Submission};

/// Messages that nobody asked for and that wait for the holder of a lease. One more closes the connection.
pub(crate) const PUSHES: usize = 1_024;

/// What came for the holder of a lease without being asked for.
pub(crate) struct Pushes<T> {
    messages: VecDeque<T>,
    waker: Option<Waker>,
    is_closed: bool,
}

/// Shared by a lease and the connection that it holds.
pub(crate) type SharedPushes<P> = Rc<RefCell<Pushes<<P as Protocol>::Owned>>>;

impl<T> Pushes<T> {
    pub(crate) fn new() -> Self {
        Self { messages: VecDeque::new(), waker: None, is_closed: false }
    }

    /// Adds a message, unless as many wait as may.
    pub(crate) fn push(of: &Rc<RefCell<Self>>, message: T) -> bool {
        let mut pushes = of.borrow_mut();
        if pushes.messages.len() >= PUSHES {
            return false;
        }
        pushes.messages.push_back(message);
        let waker = pushes.waker.take();
        drop(pushes);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// Says that nothing more comes.
    pub(crate) fn close(of: &Rc<RefCell<Self>>) {
        let mut pushes = of.borrow_mut();
        pushes.is_closed = true;
        let waker = pushes.waker.take();
        drop(pushes);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Holds a connection that nobody else uses, on a reactor of its pool, until it is dropped.
///
/// Sessions get one from [`Pool::lease`](crate::Pool::lease), callbacks from [`Pool::lease_from`](crate::Pool::lease_from) and
/// [`PoolContext::lease`](crate::PoolContext::lease). It works on its own reactor only; elsewhere its calls fail with
/// [`CallError::NotHere`].
///
/// When it is dropped, the connection is made as new if the protocol can do so. If it cannot, and a request is still in
/// flight, the connection is closed.
pub struct PoolLease<P: Protocol> {
    shared: Arc<Shared<P>>,
    reactor: usize,
    connection: ConnectionId,
}

impl<P: Protocol> PoolLease<P> {
    pub(crate) fn new(shared: Arc<Shared<P>>, reactor: usize, connection: ConnectionId) -> Self {
        Self { shared, reactor, connection }
    }

    pub(crate) fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Calls the server on this connection, for the session that is polled. The call itself sends the request.
    ///
    /// # Errors
    ///
    /// [`CallError::Lost`]: the connection has ended, and the lease with it. Others as for [`Pool::call`](crate::Pool::call).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the reply up. The request keeps its place, so the next reply goes to its own request.
    pub fn call(&self, request: P::Request<'_>) -> Calling<P> {
        self.call_with(request, CallOptions::default())
    }

    /// Calls the server on this connection with a time-out of its own: see [`call`](Self::call).
    pub fn call_with(&self, request: P::Request<'_>, options: CallOptions) -> Calling<P> {
        place(&self.shared, |part, cx, ticket| {
            let timeout = options.terms(part.pool.settings()).timeout;
            let connection = self.here(cx.cx.reactor())?;
            part.call_leased(cx, connection, request, Caller::Future(ticket), timeout)
        })
    }

    /// Calls the server on this connection, for the session of this callback. The reply comes as [`Answered`], with `tag`.
    ///
    /// # Errors
    ///
    /// [`CallError`]: the call failed at once; there will be no notice.
    pub fn call_from<S: Notice<Answered<P>>>(
        &self,
        cx: &mut Context<'_, S>,
        request: P::Request<'_>,
        tag: u64,
    ) -> Result<(), CallError> {
        let connection = self.here(cx.reactor())?;
        part::act_in(&self.shared, cx, |part, cx| {
            let timeout = part.pool.settings().timeout;
            let caller = Caller::Session { handle: cx.cx.handle(), tag, notifier: Notifier::of::<S>() };
            part.call_leased(cx, connection, request, caller, timeout)
        })?;
        Ok(())
    }

    /// Waits for the next message that nobody asked for, as a message of a subscription; `None` when the connection has ended.
    ///
    /// At most 1,024 messages wait; one more closes the connection. With Redis this needs RESP3, where such messages are
    /// told from replies.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a message stays until a poll returns it.
    pub fn pushed(&self) -> Pushed<'_, P> {
        Pushed { lease: self }
    }

    fn here(&self, reactor: usize) -> Result<ConnectionId, CallError> {
        if reactor == self.reactor { Ok(self.connection) } else { Err(CallError::NotHere) }
    }
}

impl<P: Protocol> Drop for PoolLease<P> {
    fn drop(&mut self) {
        // Where the engine has ended, so has the connection.
        let _ = self.shared.submit(self.reactor, Submission::Release { connection: self.connection });
    }
}

impl<P: Protocol> fmt::Debug for PoolLease<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLease").field("reactor", &self.reactor).finish_non_exhaustive()
    }
}

/// Waits for a message that nobody asked for: see [`PoolLease::pushed`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Pushed<'l, P: Protocol> {
    lease: &'l PoolLease<P>,
}

impl<P: Protocol> Future for Pushed<'_, P> {
    type Output = Option<P::Owned>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let lease = self.lease;
        let Some(part) = part::here::<P>(lease.shared.id, lease.reactor) else { return Poll::Ready(None) };
        let pushes = part.try_borrow().ok().and_then(|part| part.pushes(lease.connection));
        let Some(pushes) = pushes else { return Poll::Ready(None) };
        let mut pushes = pushes.borrow_mut();
        match pushes.messages.pop_front() {
            Some(message) => Poll::Ready(Some(message)),
            None if pushes.is_closed => Poll::Ready(None),
            None => {
                pushes.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<P: Protocol> fmt::Debug for Pushed<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushed").finish_non_exhaustive()
    }
}

/// Waits for a connection alone: see [`Pool::lease`](crate::Pool::lease).
#[must_use = "futures do nothing unless they are awaited"]
pub struct Leasing<P: Protocol> {
    state: State<P>,
}

enum State<P: Protocol> {
    Failed(CallError),
    Waits { part: Rc<RefCell<Part<P>>>, ticket: Ticket, key: u64 },
    Done,
}

impl<P: Protocol> Leasing<P> {
    pub(crate) fn begin(shared: &Arc<Shared<P>>, label: &'static str) -> Self {
        let begun = session::on_reactor(|cx| {
            let part = part::here::<P>(shared.id, cx.reactor()).ok_or(CallError::NotHere)?;
            let ticket = part.try_borrow().map_err(|_| CallError::NotHere)?.grants.take();
            let key = part::act_on(&part, shared, cx, |part, cx| part.lease(cx, Caller::FutureLease(ticket), label));
            match key {
                Ok(key) => Ok(State::Waits { part, ticket, key }),
                Err(error) => {
                    part.borrow().grants.leave(ticket);
                    Err(error)
                }
            }
        });
        let state = begun.unwrap_or(Err(CallError::NotHere)).unwrap_or_else(State::Failed);
        Self { state }
    }
}

impl<P: Protocol> Unpin for Leasing<P> {}

impl<P: Protocol> Future for Leasing<P> {
    type Output = Result<PoolLease<P>, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let outcome = match &self.state {
            State::Failed(error) => Err(*error),
            State::Done => return Poll::Pending,
            State::Waits { part, ticket, .. } => {
                let part = part.borrow();
                match part.grants.poll(*ticket, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(granted) => granted.map(|connection| part.hold(connection)),
                }
            }
        };
        self.state = State::Done;
        Poll::Ready(outcome)
    }
}

impl<P: Protocol> Drop for Leasing<P> {
    fn drop(&mut self) {
        let State::Waits { part, ticket, key } = &self.state else { return };
        let Ok(mut part) = part.try_borrow_mut() else { return };
        match part.grants.leave(*ticket) {
            // It was granted, and nobody took it.
            Some(Ok(connection)) => drop(part.hold(connection)),
            Some(Err(_)) => {}
            None => part.cancel(*key),
        }
    }
}

impl<P: Protocol> fmt::Debug for Leasing<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leasing").finish_non_exhaustive()
    }
}

/// Tells a session that it has a connection alone: the notice of [`Pool::lease_from`](crate::Pool::lease_from).
///
/// Implement [`Notice<Leased<P>>`](gannet::Notice) for your service.
#[non_exhaustive]
pub struct Leased<P: Protocol> {
    /// The number that the session gave the request for a lease.
    pub tag: u64,
    /// The lease, or why there is none.
    pub result: Result<PoolLease<P>, CallError>,
}

impl<P: Protocol> Leased<P> {
    pub(crate) fn new(tag: u64, result: Result<PoolLease<P>, CallError>) -> Self {
        Self { tag, result }
    }
}

impl<P: Protocol> fmt::Debug for Leased<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased").field("tag", &self.tag).field("result", &self.result).finish()
    }
}

/// Asks for a connection alone, for the session of a callback.
pub(crate) fn lease_from<P: Protocol, S: Service + Notice<Leased<P>>>(
    shared: &Arc<Shared<P>>,
    cx: &mut Context<'_, S>,
    label: &'static str,
    tag: u64,
) -> Result<(), CallError> {
    part::act_in(shared, cx, |part, cx| {
        let caller = Caller::SessionLease { handle: cx.cx.handle(), tag, notifier: Notifier::of::<S>() };
        part.lease(cx, caller, label)
    })?;
    Ok(())
}
