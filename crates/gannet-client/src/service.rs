//! The pool's service: one instance on each reactor, whose connections are the pool's.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gannet::{CloseReason, Context, Handle, SendError, Service, ServiceContext, Shutdown, Starting, Timeouts};

use crate::error::{CallError, Loss};
use crate::lease::PoolLease;
use crate::part::{self, Caller, Delivery, Part, Reach, Receiving};
use crate::pool::ConnectionId;
use crate::protocol::{Message, Protocol};
use crate::shared::{CallOptions, Shared};

/// What the engine keeps for a connection: its name in the pool.
pub struct Link {
    pub(crate) connection: ConnectionId,
}

impl gannet::Session for Link {}

/// Handles the replies to calls that belong to no session, on the reactor of their pool.
///
/// Each reactor has an instance. It gets replies as they are in the receive buffer, without a copy or an allocation.
pub trait Handler<P: Protocol>: 'static {
    /// Called once, when the reactor runs: the place for first calls.
    fn started(&mut self, cx: &mut PoolContext<'_, P>) {
        let _ = cx;
    }

    /// Handles the outcome of a call that was made with [`PoolContext::call`] and this `tag`.
    fn answered(&mut self, tag: u64, result: Result<P::Reply<'_>, CallError>, cx: &mut PoolContext<'_, P>);

    /// Handles the outcome of [`PoolContext::lease`] with this `tag` (default: the lease is given back).
    fn leased(&mut self, tag: u64, result: Result<PoolLease<P>, CallError>, cx: &mut PoolContext<'_, P>) {
        let _ = (tag, result, cx);
    }

    /// Handles a message that answers no call: [`Incoming::Push`](crate::Incoming::Push) (default: it is dropped).
    fn pushed(&mut self, message: P::Reply<'_>, cx: &mut PoolContext<'_, P>) {
        let _ = (message, cx);
    }
}

/// Lets a [`Handler`] act: call again, or send to a connection. Lives for one callback.
pub struct PoolContext<'a, P: Protocol> {
    reach: &'a mut dyn Reach<P>,
    part: &'a RefCell<Part<P>>,
}

impl<P: Protocol> PoolContext<'_, P> {
    /// Calls a server. [`Handler::answered`] gets the outcome, with this `tag`.
    ///
    /// # Errors
    ///
    /// [`CallError`]: the call failed at once; `answered` is not called for it.
    #[inline]
    pub fn call(&mut self, request: P::Request<'_>, tag: u64) -> Result<(), CallError> {
        self.call_with(request, tag, CallOptions::default())
    }

    /// Calls a server, with a time-out or a promise of its own: see [`PoolContext::call`].
    ///
    /// # Errors
    ///
    /// [`CallError`]: the call failed at once; [`Handler::answered`] is not called for it.
    #[inline]
    pub fn call_with(&mut self, request: P::Request<'_>, tag: u64, options: CallOptions) -> Result<(), CallError> {
        let mut part = self.part.borrow_mut();
        let terms = options.terms(part.pool.settings());
        part.call(self.reach, request, Caller::Handler { tag }, terms).map(drop)
    }

    /// Asks for a connection alone. [`Handler::leased`] gets the outcome, with this `tag`.
    ///
    /// `label` says in the log who did not give it back.
    ///
    /// # Errors
    ///
    /// [`CallError`]: there will be none; `leased` is not called for it.
    pub fn lease(&mut self, label: &'static str, tag: u64) -> Result<(), CallError> {
        self.part.borrow_mut().lease(self.reach, Caller::HandlerLease { tag }, label).map(drop)
    }

    /// Calls a server on a connection that the handler has alone. [`Handler::answered`] gets the outcome, with this `tag`.
    ///
    /// # Errors
    ///
    /// [`CallError::Lost`]: the connection has ended, and the lease with it. Others as for [`PoolContext::call`].
    pub fn call_leased(&mut self, lease: &PoolLease<P>, request: P::Request<'_>, tag: u64) -> Result<(), CallError> {
        let mut part = self.part.borrow_mut();
        let timeout = part.pool.settings().timeout;
        let caller = Caller::Handler { tag };
        part.call_leased(self.reach, lease.connection(), request, caller, timeout).map(drop)
    }

    /// Writes encoded bytes to a connection of any service, as [`Context::write_to`](gannet::Context::write_to) does.
    ///
    /// # Errors
    ///
    /// [`SendError`]: the connection is gone, or the mailbox of its reactor is full.
    pub fn write_to(&mut self, handle: Handle, bytes: &[u8]) -> Result<(), SendError> {
        self.reach.write(handle, bytes)
    }

    /// Returns the reactor's clock at the start of this turn.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.reach.now()
    }
}

/// The pool as a service of its engine. It is made by [`PoolBuilder::attach`](crate::PoolBuilder::attach).
pub struct PoolService<P: Protocol> {
    shared: Arc<Shared<P>>,
    part: Option<Rc<RefCell<Part<P>>>>,
    handler: Option<Box<dyn Handler<P>>>,
    started: bool,
    reactor: usize,
    version: u64,
}

impl<P: Protocol> PoolService<P> {
    pub(crate) fn new(shared: Arc<Shared<P>>, handler: Option<Box<dyn Handler<P>>>) -> Self {
        Self { shared, part: None, handler, started: false, reactor: 0, version: 0 }
    }

    /// Does what has become necessary: actions, failures for the handler, the timer.
    #[inline]
    fn finish<X: Reach<P>>(&mut self, cx: &mut X) {
        let Some(part) = &self.part else { return };
        // Mostly a reply leaves nothing to do.
        if !part.borrow().is_quiet() {
            self.carry_out(cx);
        }
    }

    fn carry_out<X: Reach<P>>(&mut self, cx: &mut X) {
        let Some(part) = &self.part else { return };
        loop {
            let (failed, leased) = {
                let mut part = part.borrow_mut();
                part.act(cx);
                let failed = part.failed.pop_front();
                let leased = if failed.is_none() { part.leased.pop_front() } else { None };
                (failed, leased)
            };
            let handler = self.handler.as_mut();
            match (failed, leased) {
                (Some((tag, error)), _) => {
                    if let Some(handler) = handler {
                        handler.answered(tag, Err(error), &mut PoolContext { reach: cx, part });
                    }
                }
                (None, Some((tag, lease))) => {
                    if let Some(handler) = handler {
                        handler.leased(tag, lease, &mut PoolContext { reach: cx, part });
                    }
                }
                (None, None) => break,
            }
        }
        part.borrow_mut().arm(cx);
    }

    fn ended<X: Reach<P>>(&mut self, cx: &mut X, link: &Link, loss: Loss) {
        if let Some(part) = &self.part {
            part.borrow_mut().closed(cx.now(), link.connection, loss);
        }
        self.finish(cx);
    }
}

impl<P: Protocol> Drop for PoolService<P> {
    fn drop(&mut self) {
        part::unregister(self.shared.id, self.reactor);
        self.shared.close(self.reactor);
    }
}

impl<P: Protocol> Service for PoolService<P> {
    type Codec = P::Codec;
    type Session = Link;

    fn name(&self) -> &str {
        &self.shared.name
    }

    fn codec(&self) -> P::Codec {
        self.shared.protocol.codec()
    }

    fn timeouts(&self, defaults: Timeouts) -> Timeouts {
        // The pool has its own.
        let mut timeouts = defaults;
        (timeouts.idle, timeouts.read_idle, timeouts.write_idle) = (None, None, None);
        (timeouts.heartbeat, timeouts.first_message) = (None, None);
        timeouts
    }

    fn start(&mut self, starting: &Starting) -> Result<(), gannet::StartError> {
        self.reactor = starting.reactor();
        let part = self.shared.part(starting.reactor(), starting.reactors(), starting.remote());
        let part = Rc::new(RefCell::new(part));
        part::register(self.shared.id, self.reactor, &part);
        self.part = Some(part);
        starting.set_service_timer(Duration::ZERO);
        Ok(())
    }

    fn service_timer(&mut self, cx: &mut ServiceContext<'_, Self>) {
        let Some(part) = &self.part else { return };
        {
            let mut part = part.borrow_mut();
            part.disarmed();
            if !self.started {
                part.pool.start(cx.now());
            }
            part.pool.tick(cx.now());
        }
        if !std::mem::replace(&mut self.started, true)
            && let Some(handler) = &mut self.handler
        {
            handler.started(&mut PoolContext { reach: cx, part });
        }
        self.woken(cx);
    }

    fn woken(&mut self, cx: &mut ServiceContext<'_, Self>) {
        if let Some(part) = &self.part {
            let mut part = part.borrow_mut();
            part.answer_refused(cx);
            part.settle(cx.now());
            if let Some((version, addresses)) = self.shared.addresses_since(self.version) {
                self.version = version;
                part.follow(cx.now(), &addresses);
            }
            part.take_submitted(cx);
        }
        self.finish(cx);
    }

    fn connected(&mut self, link: &mut Link, cx: &mut Context<'_, Self>) {
        let handle = cx.handle();
        let Some(part) = &self.part else { return cx.close() };
        if !part.borrow_mut().connected(cx, link.connection, handle) {
            cx.close();
        }
        self.finish(cx);
    }

    fn connect_failed(&mut self, link: Link, error: &io::Error, cx: &mut Context<'_, Self>) {
        tracing::debug!(pool = %self.shared.name, %error, "a connection could not be opened");
        self.shared.note_failure(&error.to_string());
        self.ended(cx, &link, Loss::Connect);
    }

    #[inline]
    fn message(&mut self, link: &mut Link, message: Message<'_, P>, cx: &mut Context<'_, Self>) {
        let Some(part) = &self.part else { return };
        let cx = &mut Receiving { cx, own: link.connection };
        let delivery = part.borrow_mut().message(cx, link.connection, message);
        match delivery {
            Delivery::To(Caller::Handler { tag }, reply) => {
                if let Some(handler) = &mut self.handler {
                    handler.answered(tag, Ok(reply), &mut PoolContext { reach: cx, part });
                }
            }
            Delivery::To(Caller::Session { handle, tag, notifier }, reply) => {
                let reply = self.shared.protocol.copied(reply);
                part.borrow_mut().answer(cx, handle, notifier, tag, Ok(reply));
            }
            Delivery::To(Caller::Elsewhere(promise), reply) => promise.set(Ok(self.shared.protocol.copied(reply))),
            Delivery::Push(message) => {
                if let Some(handler) = &mut self.handler {
                    handler.pushed(message, &mut PoolContext { reach: cx, part });
                }
            }
            Delivery::To(Caller::Future(ticket), reply) => {
                let reply = self.shared.protocol.copied(reply);
                // Where the future is gone, so is who wants the reply.
                let _ = part.borrow().seats.bring(ticket, Ok(reply));
            }
            Delivery::To(
                Caller::Lease(_) | Caller::FutureLease(_) | Caller::SessionLease { .. } | Caller::HandlerLease { .. },
                _,
            )
            | Delivery::Nobody => {}
        }
        self.finish(cx);
    }

    fn close(&mut self, link: Link, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let loss = match reason {
            CloseReason::Protocol | CloseReason::FrameTooLarge | CloseReason::Codec => Loss::Protocol,
            _ => Loss::Peer,
        };
        self.ended(cx, &link, loss);
    }

    fn shutdown(&mut self, link: &mut Link, cx: &mut Context<'_, Self>) -> Shutdown {
        let Some(part) = &self.part else { return Shutdown::Close };
        part.borrow_mut().pool.drain(cx.now());
        let stays = part.borrow_mut().pool.knows(link.connection);
        self.finish(cx);
        if stays { Shutdown::GoOn } else { Shutdown::Close }
    }
}
