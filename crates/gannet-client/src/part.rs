//! What one reactor has of a pool: the state machine, bound to the engine's connections.

mod connections;
mod here;
mod outcomes;
mod reach;
mod submissions;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gannet::{Connect, Handle, Notifier};

use crate::answer::{Answer, Answered, Inbox};
use crate::error::CallError;
use crate::lease::{Leased, PoolLease, SharedPushes};
use crate::pool::{Action, ConnectionId, Placed, Pool, Terms};
use crate::promise::Promise;
use crate::protocol::Protocol;
use crate::seats::{Seats, Ticket};
use crate::shared::Shared;

pub(crate) use self::connections::Delivery;
pub(crate) use self::here::{act_in, act_on, here, register, unregister};
pub(crate) use self::reach::{Foreign, Reach, Receiving};

/// Buffers for requests that wait, which are kept for the next ones.
const SPARE_BUFFERS: usize = 64;

/// Larger buffers are not kept, in bytes.
const SPARE_SIZE: usize = 64 * 1024;

/// Who made a call.
pub(crate) enum Caller<P: Protocol> {
    /// A session on this reactor.
    Session { handle: Handle, tag: u64, notifier: Notifier<Answered<P>> },
    /// The pool's handler on this reactor.
    Handler { tag: u64 },
    /// A thread, or a future.
    Elsewhere(Promise<P::Owned>),
    /// A future of a session on this reactor.
    Future(Ticket),
    /// A thread that wants a connection alone.
    Lease(Promise<ConnectionId>),
    /// A future of a session on this reactor that wants a connection alone.
    FutureLease(Ticket),
    /// A session on this reactor that wants a connection alone.
    SessionLease { handle: Handle, tag: u64, notifier: Notifier<Leased<P>> },
    /// The pool's handler, which wants a connection alone.
    HandlerLease { tag: u64 },
}

/// What a part knows of a connection beside the state machine.
struct Slot<S> {
    generation: u32,
    handle: Option<Handle>,
    state: S,
    greeted: bool,
}

pub(crate) struct Part<P: Protocol> {
    pub(crate) pool: Pool<Vec<u8>, Caller<P>>,
    pub(crate) protocol: Arc<P>,
    pub(crate) shared: Arc<Shared<P>>,
    reactor: usize,
    /// Where each endpoint is; nothing where it was taken off the list.
    endpoints: Vec<Option<(gannet::Address, Connect)>>,
    slots: Vec<Slot<P::State>>,
    scratch: Vec<u8>,
    spare: Vec<Vec<u8>>,
    /// For the handler, which may be busy.
    pub(crate) failed: VecDeque<(u64, CallError)>,
    /// Leases for the handler.
    pub(crate) leased: VecDeque<(u64, Result<PoolLease<P>, CallError>)>,
    /// Where futures wait for replies.
    pub(crate) seats: Seats<P::Owned>,
    /// Where futures wait for leases.
    pub(crate) grants: Seats<ConnectionId>,
    /// What comes unasked on connections that futures have leased.
    pushes: Vec<(ConnectionId, SharedPushes<P>)>,
    inbox: Rc<RefCell<Inbox<P>>>,
    /// Answers for which there was no room among the notices.
    refused: VecDeque<(Handle, Notifier<Answered<P>>, Answer<P>)>,
    /// Leases for which there was none.
    refused_leases: VecDeque<(Handle, Notifier<Leased<P>>, Leased<P>)>,
    armed: Option<Duration>,
    /// The service is to be called soon, whatever is due.
    soon: bool,
    /// A caller that waited has gone, and others may be served.
    unsettled: bool,
    warmed: bool,
}

impl<P: Protocol> Part<P> {
    pub(crate) fn new(
        pool: Pool<Vec<u8>, Caller<P>>,
        shared: Arc<Shared<P>>,
        reactor: usize,
        addresses: &[gannet::Address],
    ) -> Self {
        let endpoints = addresses.iter().map(|address| Some((address.clone(), shared.connect(address)))).collect();
        Self {
            pool,
            protocol: shared.protocol.clone(),
            inbox: crate::answer::inbox(reactor),
            shared,
            reactor,
            endpoints,
            slots: Vec::new(),
            scratch: Vec::new(),
            spare: Vec::new(),
            failed: VecDeque::new(),
            leased: VecDeque::new(),
            seats: Seats::new(),
            grants: Seats::new(),
            pushes: Vec::new(),
            refused: VecDeque::new(),
            refused_leases: VecDeque::new(),
            armed: None,
            soon: false,
            unsettled: false,
            warmed: false,
        }
    }

    /// Makes a call, in the callback that `cx` belongs to. Returns its number.
    #[inline]
    pub(crate) fn call<X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        request: P::Request<'_>,
        caller: Caller<P>,
        terms: Terms,
    ) -> Result<u64, CallError> {
        let terms = Terms { idempotent: terms.idempotent || self.protocol.is_idempotent(&request), ..terms };
        let key = self.pool.next_key();
        self.scratch.clear();
        if !self.protocol.encode(request, key, &mut self.scratch) {
            return Err(CallError::Unencodable);
        }
        let (scratch, spare) = (&self.scratch, &mut self.spare);
        let keep = || {
            let mut kept = spare.pop().unwrap_or_default();
            kept.extend_from_slice(scratch);
            kept
        };
        let placed = self.pool.call(cx.now(), key, caller, terms, keep).map_err(|(_, error)| error)?;
        if let Placed::On(connection) = placed {
            self.write(cx, connection);
        }
        Ok(key)
    }

    /// Makes a call on a connection that its caller has alone. Returns its number.
    pub(crate) fn call_leased<X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        connection: ConnectionId,
        request: P::Request<'_>,
        caller: Caller<P>,
        timeout: Duration,
    ) -> Result<u64, CallError> {
        let key = self.pool.next_key();
        self.scratch.clear();
        if !self.protocol.encode(request, key, &mut self.scratch) {
            return Err(CallError::Unencodable);
        }
        self.pool.call_leased(cx.now(), connection, key, caller, timeout).map_err(|(_, error)| error)?;
        self.write(cx, connection);
        Ok(key)
    }

    /// Asks for a connection alone. Returns the number of the wait.
    pub(crate) fn lease<X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        caller: Caller<P>,
        label: &'static str,
    ) -> Result<u64, CallError> {
        let key = self.pool.next_key();
        self.pool.lease(cx.now(), key, caller, label).map_err(|(_, error)| error)?;
        Ok(key)
    }

    /// Gives up a call or a wait whose future was dropped.
    pub(crate) fn cancel(&mut self, key: u64) {
        let (has_room, request) = self.pool.cancel(key);
        if let Some(request) = request {
            self.recycle(request);
        }
        if has_room {
            self.unsettled = true;
            self.shared.wake(self.reactor);
        }
    }

    /// Serves those that waited behind callers who have gone.
    pub(crate) fn settle(&mut self, now: Duration) {
        if std::mem::take(&mut self.unsettled) {
            self.pool.start(now);
        }
    }

    /// The lease of a connection that was granted.
    pub(crate) fn hold(&self, connection: ConnectionId) -> PoolLease<P> {
        PoolLease::new(self.shared.clone(), self.reactor, connection)
    }

    /// What came unasked on a leased connection.
    pub(crate) fn pushes(&self, connection: ConnectionId) -> Option<SharedPushes<P>> {
        self.pushes.iter().find(|(of, _)| *of == connection).map(|(_, pushes)| pushes.clone())
    }

    #[inline]
    fn handle(&self, connection: ConnectionId) -> Option<Handle> {
        let slot = self.slots.get(connection.slot as usize)?;
        if slot.generation == connection.generation { slot.handle } else { None }
    }

    #[inline]
    fn slot(&mut self, connection: ConnectionId) -> Option<&mut Slot<P::State>> {
        let slot = self.slots.get_mut(connection.slot as usize)?;
        (slot.generation == connection.generation).then_some(slot)
    }

    /// Whether there is nothing to carry out, nothing for the handler, and the timer is set.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let is_armed = self.armed.is_some() && !self.soon && !self.pool.due_has_moved();
        is_armed && self.pool.is_settled() && self.failed.is_empty() && self.leased.is_empty()
    }

    /// Does what the state machine wants done.
    pub(crate) fn act<X: Reach<P> + ?Sized>(&mut self, cx: &mut X) {
        while let Some(action) = self.pool.next_action() {
            match action {
                Action::Dial { connection, endpoint } => self.dial(cx, connection, endpoint),
                Action::Send { connection, key } => {
                    let handle = self.handle(connection);
                    if let Some((handle, request)) = handle.zip(self.pool.request(connection, key)) {
                        let _ = cx.write(handle, request);
                    }
                }
                Action::Ping { connection } => {
                    self.scratch.clear();
                    self.protocol.ping(&mut self.scratch);
                    self.write(cx, connection);
                }
                Action::Reset { connection } => {
                    let protocol = self.protocol.clone();
                    let mut scratch = std::mem::take(&mut self.scratch);
                    scratch.clear();
                    if let Some(slot) = self.slot(connection) {
                        protocol.reset(&mut slot.state, &mut scratch);
                    }
                    self.scratch = scratch;
                    self.write(cx, connection);
                }
                Action::Close { connection, loss } => {
                    tracing::debug!(pool = %self.shared.name, reason = loss.name(), "closes a connection");
                    self.close_pushes(connection);
                    if let Some(handle) = self.handle(connection) {
                        cx.close(handle);
                    }
                }
                Action::Fail { caller, error } => self.fail(cx, caller, error),
                Action::Grant { caller, connection } => self.grant(cx, caller, connection),
                Action::Recycle { request } => self.recycle(request),
                Action::Leaked { label, out } => {
                    tracing::warn!(pool = %self.shared.name, lease = label, ?out, "a lease was not given back");
                }
                Action::Breaker { endpoint, open } => {
                    let address = self.endpoints.get(endpoint).and_then(Option::as_ref).map(|(address, _)| address);
                    let endpoint = address.map(ToString::to_string).unwrap_or_default();
                    if open {
                        tracing::warn!(pool = %self.shared.name, endpoint, "an endpoint is out of service");
                    } else {
                        tracing::info!(pool = %self.shared.name, endpoint, "an endpoint is back in service");
                    }
                }
            }
        }
    }

    /// Sees to it that the pool's service is called when something is due.
    pub(crate) fn arm<X: Reach<P> + ?Sized>(&mut self, cx: &mut X) {
        let due = if self.soon { Some(Duration::ZERO) } else { self.pool.due() };
        let earlier = due.filter(|due| self.armed.is_none_or(|armed| *due < armed));
        if let Some(due) = earlier {
            if !cx.arm(due.saturating_sub(cx.now())) {
                return;
            }
            self.armed = Some(due);
        }
        self.pool.due_is_known();
    }

    /// Notes that the timer fired.
    pub(crate) fn disarmed(&mut self) {
        self.armed = None;
    }

    /// Writes what is in the scratch buffer. Where the connection is gone, its end is on its way here.
    #[inline]
    fn write<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, connection: ConnectionId) {
        if !cx.write_to_own(connection, &self.scratch)
            && let Some(handle) = self.handle(connection)
        {
            let _ = cx.write(handle, &self.scratch);
        }
    }

    fn recycle(&mut self, mut request: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && request.capacity() <= SPARE_SIZE {
            request.clear();
            self.spare.push(request);
        }
    }
}
