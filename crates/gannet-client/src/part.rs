//! What one reactor has of a pool: the state machine, bound to the engine's connections.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gannet::{
    CloseMode, Connect, Context, Handle, Notifier, NotifyError, Outbound, SendError, Service, ServiceContext,
};

use crate::answer::{Answer, Answered, Inbox};
use crate::error::{CallError, Loss};
use crate::lease::{Leased, PoolLease, Pushes, SharedPushes};
use crate::pool::{Action, ConnectionId, Placed, Pool, Terms};
use crate::promise::Promise;
use crate::protocol::Protocol;
use crate::seats::{Seats, Ticket};
use crate::service::{Link, PoolService};
use crate::shared::{Shared, Submission};

/// Buffers for requests that wait, which are kept for the next ones.
const SPARE_BUFFERS: usize = 64;

/// Larger buffers are not kept, in bytes.
const SPARE_SIZE: usize = 64 * 1024;

/// Calls of other threads that are taken in one turn.
const SUBMISSIONS: usize = 1_024;

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

/// What a part asks of the callback that it runs in.
pub(crate) trait Reach<P: Protocol> {
    fn now(&self) -> Duration;
    fn write(&mut self, handle: Handle, bytes: &[u8]) -> Result<(), SendError>;
    fn close(&mut self, handle: Handle);
    fn connect(&mut self, outbound: Outbound<PoolService<P>>, to: &Connect, link: Link) -> Result<(), gannet::Error>;
    fn notify(&mut self, handle: Handle, notifier: Notifier<Answered<P>>) -> Result<(), SendError>;
    fn notify_leased(
        &mut self,
        handle: Handle,
        notifier: Notifier<Leased<P>>,
        leased: Leased<P>,
    ) -> Result<(), NotifyError<Leased<P>>>;
    /// Has the pool's service called after this time. Returns false where it will be called soon, to arm by itself.
    fn arm(&mut self, after: Duration) -> bool;
}

/// A callback of another service, on the same reactor.
pub(crate) struct Foreign<'a, 'b, P: Protocol, S: Service> {
    pub(crate) cx: &'a mut Context<'b, S>,
    pub(crate) outbound: Outbound<PoolService<P>>,
}

macro_rules! reach {
    ($self:ident => $cx:expr) => {
        fn now(&$self) -> Duration {
            $cx.now()
        }

        fn write(&mut $self, handle: Handle, bytes: &[u8]) -> Result<(), SendError> {
            $cx.write_to(handle, bytes).map(drop)
        }

        fn close(&mut $self, handle: Handle) {
            // One that is gone already needs nothing.
            let _ = $cx.close_other(handle, CloseMode::AtOnce);
        }

        fn connect(
            &mut $self,
            outbound: Outbound<PoolService<P>>,
            to: &Connect,
            link: Link,
        ) -> Result<(), gannet::Error> {
            $cx.connect(outbound, to, link)
        }

        fn notify(&mut $self, handle: Handle, notifier: Notifier<Answered<P>>) -> Result<(), SendError> {
            $cx.notify_by(handle, notifier, Answered::new()).map_err(|error| error.reason)
        }

        fn notify_leased(
            &mut $self,
            handle: Handle,
            notifier: Notifier<Leased<P>>,
            leased: Leased<P>,
        ) -> Result<(), NotifyError<Leased<P>>> {
            $cx.notify_by(handle, notifier, leased)
        }
    };
}

impl<P: Protocol> Reach<P> for Context<'_, PoolService<P>> {
    reach!(self => self);

    fn arm(&mut self, after: Duration) -> bool {
        self.set_service_timer(after);
        true
    }
}

impl<P: Protocol> Reach<P> for ServiceContext<'_, PoolService<P>> {
    reach!(self => self);

    fn arm(&mut self, after: Duration) -> bool {
        self.set_service_timer(after);
        true
    }
}

impl<P: Protocol, S: Service> Reach<P> for Foreign<'_, '_, P, S> {
    reach!(self => self.cx);

    fn arm(&mut self, _: Duration) -> bool {
        // The service is of this engine, which runs.
        let _ = self.cx.remote().wake_service(self.cx.reactor(), self.outbound);
        false
    }
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

/// What is to be done with a message.
pub(crate) enum Delivery<P: Protocol, R> {
    /// The caller's reply.
    To(Caller<P>, R),
    /// A push, for the handler.
    Push(R),
    Nobody,
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
        if let Placed::On(connection) = placed
            && let Some(handle) = self.handle(connection)
        {
            // Where it is gone, its end is on its way here, and gives the call back.
            let _ = cx.write(handle, &self.scratch);
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

    /// Tells who waited for a lease that the connection is his.
    fn grant<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, caller: Caller<P>, connection: ConnectionId) {
        match caller {
            Caller::Lease(promise) => promise.set(Ok(connection)),
            Caller::FutureLease(ticket) => {
                if self.grants.bring(ticket, Ok(connection)).is_ok() {
                    self.pushes.push((connection, Rc::new(RefCell::new(Pushes::new()))));
                } else {
                    self.pool.release(cx.now(), connection);
                }
            }
            Caller::SessionLease { handle, tag, notifier } => {
                let lease = Ok(self.hold(connection));
                self.tell_leased(cx, handle, notifier, Leased::new(tag, lease));
            }
            Caller::HandlerLease { tag } => {
                let lease = Ok(self.hold(connection));
                self.leased.push_back((tag, lease));
                self.soon = true;
            }
            Caller::Session { .. } | Caller::Handler { .. } | Caller::Elsewhere(_) | Caller::Future(_) => {}
        }
    }

    fn tell_leased<X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        handle: Handle,
        notifier: Notifier<Leased<P>>,
        leased: Leased<P>,
    ) {
        // One that is dropped because its session is gone gives the connection back.
        if let Err(NotifyError { value, reason: SendError::MailboxFull, .. }) =
            cx.notify_leased(handle, notifier, leased)
        {
            self.refused_leases.push_back((handle, notifier, value));
            self.soon = true;
        }
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

    /// Whether there is nothing to carry out, and nothing for the handler.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.pool.is_settled() && self.failed.is_empty() && self.leased.is_empty()
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
    #[inline]
    pub(crate) fn arm<X: Reach<P> + ?Sized>(&mut self, cx: &mut X) {
        let due = if self.soon { Some(Duration::ZERO) } else { self.pool.due() };
        if let Some(due) = due
            && self.armed.is_none_or(|armed| due < armed)
            && cx.arm(due.saturating_sub(cx.now()))
        {
            self.armed = Some(due);
        }
    }

    /// Notes that the timer fired.
    pub(crate) fn disarmed(&mut self) {
        self.armed = None;
    }

    fn write<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, connection: ConnectionId) {
        if let Some(handle) = self.handle(connection) {
            let _ = cx.write(handle, &self.scratch);
        }
    }

    fn recycle(&mut self, mut request: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && request.capacity() <= SPARE_SIZE {
            request.clear();
            self.spare.push(request);
        }
    }

    fn dial<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, connection: ConnectionId, endpoint: usize) {
        let index = connection.slot as usize;
        let fresh =
            || Slot { generation: connection.generation, handle: None, state: P::State::default(), greeted: false };
        while self.slots.len() <= index {
            self.slots.push(fresh());
        }
        self.slots[index] = fresh();
        let outbound = self.shared.outbound.get().copied();
        let route = self.endpoints.get(endpoint).and_then(Option::as_ref);
        let dialled = match (outbound, route) {
            (Some(outbound), Some((_, connect))) => cx.connect(outbound, connect, Link { connection }),
            _ => Err(gannet::Error::Setting("the endpoint was taken off the list".to_owned())),
        };
        if let Err(error) = dialled {
            self.shared.note_failure(&error.to_string());
            self.pool.closed(cx.now(), connection, Loss::Connect);
        }
    }

    /// Tells a caller that there will be no reply.
    fn fail<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, caller: Caller<P>, error: CallError) {
        match caller {
            Caller::Session { handle, tag, notifier } => self.answer(cx, handle, notifier, tag, Err(error)),
            Caller::Handler { tag } => {
                self.failed.push_back((tag, error));
                self.soon = true;
            }
            Caller::Elsewhere(promise) => promise.set(Err(error)),
            Caller::Lease(promise) => promise.set(Err(error)),
            // Those that have gone are told nothing.
            Caller::Future(ticket) => _ = self.seats.bring(ticket, Err(error)),
            Caller::FutureLease(ticket) => _ = self.grants.bring(ticket, Err(error)),
            Caller::SessionLease { handle, tag, notifier } => {
                self.tell_leased(cx, handle, notifier, Leased::new(tag, Err(error)));
            }
            Caller::HandlerLease { tag } => {
                self.leased.push_back((tag, Err(error)));
                self.soon = true;
            }
        }
    }

    fn close_pushes(&self, connection: ConnectionId) {
        if let Some(pushes) = self.pushes(connection) {
            Pushes::close(&pushes);
        }
    }

    /// Hands an answer to a session.
    pub(crate) fn answer<X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        handle: Handle,
        notifier: Notifier<Answered<P>>,
        tag: u64,
        result: Result<P::Owned, CallError>,
    ) {
        let answer = Answer { tag, result };
        if self.refused.is_empty() {
            match cx.notify(handle, notifier) {
                Ok(()) => return self.inbox.borrow_mut().push_back((handle, answer)),
                Err(SendError::MailboxFull) => {}
                // The session is gone.
                Err(_) => return,
            }
        }
        self.refused.push_back((handle, notifier, answer));
        self.soon = true;
    }

    /// Hands out what there was no room for. The first thing that is done when the service is called.
    pub(crate) fn answer_refused<X: Reach<P> + ?Sized>(&mut self, cx: &mut X) {
        self.soon = false;
        for _ in 0..self.refused_leases.len() {
            if let Some((handle, notifier, leased)) = self.refused_leases.pop_front() {
                self.tell_leased(cx, handle, notifier, leased);
            }
        }
        while let Some((handle, notifier, answer)) = self.refused.pop_front() {
            match cx.notify(handle, notifier) {
                Ok(()) => self.inbox.borrow_mut().push_back((handle, answer)),
                Err(SendError::MailboxFull) => {
                    self.refused.push_front((handle, notifier, answer));
                    self.soon = true;
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// A connection is open: its handshake begins. Returns false where nobody wants it any more.
    pub(crate) fn connected<X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        connection: ConnectionId,
        handle: Handle,
    ) -> bool {
        if !self.pool.knows(connection) {
            return false;
        }
        self.pool.connected(connection);
        let protocol = self.protocol.clone();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let Some(slot) = self.slot(connection) else { return false };
        slot.handle = Some(handle);
        let handshake = protocol.connected(&mut slot.state, &mut scratch);
        self.scratch = scratch;
        self.write(cx, connection);
        self.shake(cx, connection, handshake);
        true
    }

    fn shake<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, connection: ConnectionId, handshake: crate::Handshake) {
        match handshake {
            crate::Handshake::Wait => {}
            crate::Handshake::Done => {
                if let Some(slot) = self.slot(connection) {
                    slot.greeted = true;
                }
                self.pool.ready(cx.now(), connection);
                let ready = self.pool.ready_connections();
                if !self.warmed && ready > 0 && ready >= self.pool.settings().min_idle {
                    self.warmed = true;
                    self.shared.note_warm();
                }
            }
            crate::Handshake::Failed(why) => {
                tracing::warn!(pool = %self.shared.name, why, "the handshake failed");
                self.shared.note_failure(&why);
                self.pool.fail(cx.now(), connection, Loss::Handshake);
            }
        }
    }

    /// A message has come.
    #[inline]
    pub(crate) fn message<'m, X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        connection: ConnectionId,
        message: crate::Message<'m, P>,
    ) -> Delivery<P, P::Reply<'m>> {
        let now = cx.now();
        let protocol = &*self.protocol;
        let Some(slot) = self.slots.get_mut(connection.slot as usize) else { return Delivery::Nobody };
        if slot.generation != connection.generation {
            return Delivery::Nobody;
        }
        if !slot.greeted {
            let protocol = self.protocol.clone();
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.clear();
            let handshake = protocol.greeted(&mut slot.state, message, &mut scratch);
            self.scratch = scratch;
            self.write(cx, connection);
            self.shake(cx, connection, handshake);
            return Delivery::Nobody;
        }
        let (key, reply, last) = match protocol.receive(&mut slot.state, message) {
            crate::Incoming::Reply(reply) => (None, reply, false),
            crate::Incoming::Keyed(key, reply) => (Some(key), reply, false),
            crate::Incoming::Last(reply) => (None, reply, true),
            crate::Incoming::Push(reply) => return self.pushed(now, connection, reply),
            crate::Incoming::Ignore => return Delivery::Nobody,
            crate::Incoming::Broken(why) => {
                tracing::warn!(pool = %self.shared.name, why, "a connection breaks the protocol");
                self.pool.fail(now, connection, Loss::Protocol);
                return Delivery::Nobody;
            }
        };
        if last {
            self.pool.retire_soon(now, connection);
        }
        match self.pool.replied(now, connection, key) {
            crate::pool::Replied::To(caller) => Delivery::To(caller, reply),
            crate::pool::Replied::Nobody | crate::pool::Replied::Unexpected => Delivery::Nobody,
        }
    }

    /// A message has come that answers nothing: for who has the connection alone, or for the handler.
    fn pushed<'m>(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        message: P::Reply<'m>,
    ) -> Delivery<P, P::Reply<'m>> {
        let Some(pushes) = self.pushes(connection) else { return Delivery::Push(message) };
        if !Pushes::push(&pushes, self.protocol.copied(message)) {
            tracing::warn!(pool = %self.shared.name, "closes a lease whose holder takes no messages");
            self.pool.fail(now, connection, Loss::Lease);
        }
        Delivery::Nobody
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, now: Duration, connection: ConnectionId, loss: Loss) {
        self.close_pushes(connection);
        let loss = match self.slot(connection) {
            Some(slot) if slot.handle.is_some() && !slot.greeted && loss == Loss::Peer => Loss::Handshake,
            _ => loss,
        };
        self.pool.closed(now, connection, loss);
    }

    /// Takes what other threads have submitted.
    pub(crate) fn take_submitted<X: Reach<P> + ?Sized>(&mut self, cx: &mut X) {
        let shared = self.shared.clone();
        let now = cx.now();
        for _ in 0..SUBMISSIONS {
            let Some(submission) = shared.next_submission(self.reactor) else { return };
            match submission {
                Submission::Call { request, key, terms, promise } => {
                    self.scratch.clear();
                    self.scratch.extend_from_slice(&request);
                    match self.pool.call(now, key, Caller::Elsewhere(promise), terms, || request) {
                        Ok(Placed::On(connection)) => self.write(cx, connection),
                        Ok(Placed::Waiting) => {}
                        Err((caller, error)) => self.fail(cx, caller, error),
                    }
                }
                Submission::Lease { label, promise } => {
                    let key = self.pool.next_key();
                    if let Err((caller, error)) = self.pool.lease(now, key, Caller::Lease(promise), label) {
                        self.fail(cx, caller, error);
                    }
                }
                Submission::LeasedCall { connection, request, key, timeout, promise } => {
                    match self.pool.call_leased(now, connection, key, Caller::Elsewhere(promise), timeout) {
                        Ok(()) => {
                            self.scratch.clear();
                            self.scratch.extend_from_slice(&request);
                            self.write(cx, connection);
                        }
                        Err((caller, error)) => self.fail(cx, caller, error),
                    }
                }
                Submission::Release { connection } => {
                    self.pushes.retain(|(of, _)| *of != connection);
                    self.pool.release(now, connection);
                }
            }
        }
        // Others have their turn first.
        self.soon = true;
    }

    /// Follows a list of endpoints that has changed.
    pub(crate) fn follow(&mut self, now: Duration, addresses: &[gannet::Address]) {
        for index in 0..self.endpoints.len() {
            let gone = |(address, _): &(gannet::Address, Connect)| !addresses.contains(address);
            if self.endpoints[index].as_ref().is_some_and(gone) {
                self.endpoints[index] = None;
                self.pool.remove_endpoint(now, index);
            }
        }
        for address in addresses {
            let known = self.endpoints.iter().flatten().any(|(known, _)| known == address);
            if !known {
                let index = self.pool.add_endpoint();
                if self.endpoints.len() <= index {
                    self.endpoints.resize(index + 1, None);
                }
                self.endpoints[index] = Some((address.clone(), self.shared.connect(address)));
            }
        }
        self.pool.start(now);
    }
}

/// The parts of this thread: pool, reactor, part. A simulation has several reactors on a thread.
type Parts = Vec<(u64, usize, Rc<dyn Any>)>;

thread_local! {
    static PARTS: RefCell<Parts> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn register<P: Protocol>(id: u64, reactor: usize, part: &Rc<RefCell<Part<P>>>) {
    PARTS.with_borrow_mut(|parts| parts.push((id, reactor, part.clone())));
}

pub(crate) fn unregister(id: u64, reactor: usize) {
    // At the end of a thread it may be gone already.
    let _ = PARTS.try_with(|parts| {
        if let Ok(mut parts) = parts.try_borrow_mut() {
            parts.retain(|(of, at, _)| (*of, *at) != (id, reactor));
        }
    });
}

/// Finds the part of a pool on this thread.
#[inline]
pub(crate) fn here<P: Protocol>(id: u64, reactor: usize) -> Option<Rc<RefCell<Part<P>>>> {
    PARTS.with_borrow(|parts| {
        let (_, _, part) = parts.iter().find(|(of, at, _)| (*of, *at) == (id, reactor))?;
        part.clone().downcast().ok()
    })
}

/// Has the part of a callback's reactor do something, and what becomes necessary by it.
pub(crate) fn act_in<P: Protocol, S: Service, R>(
    shared: &Shared<P>,
    cx: &mut Context<'_, S>,
    act: impl FnOnce(&mut Part<P>, &mut Foreign<'_, '_, P, S>) -> Result<R, CallError>,
) -> Result<R, CallError> {
    let part = here::<P>(shared.id, cx.reactor()).ok_or(CallError::NotHere)?;
    act_on(&part, shared, cx, act)
}

/// Has a part of this reactor do something, and what becomes necessary by it.
pub(crate) fn act_on<P: Protocol, S: Service, R>(
    part: &RefCell<Part<P>>,
    shared: &Shared<P>,
    cx: &mut Context<'_, S>,
    act: impl FnOnce(&mut Part<P>, &mut Foreign<'_, '_, P, S>) -> Result<R, CallError>,
) -> Result<R, CallError> {
    let outbound = shared.outbound.get().copied().ok_or(CallError::NotHere)?;
    // In a handler of the pool itself, its context is the one to call with.
    let mut part = part.try_borrow_mut().map_err(|_| CallError::NotHere)?;
    let mut cx = Foreign { cx, outbound };
    let done = act(&mut part, &mut cx);
    part.act(&mut cx);
    part.arm(&mut cx);
    done
}
