//! How outcomes reach those who called, and leases those who asked for one.

use std::cell::RefCell;
use std::rc::Rc;

use gannet::{Handle, Notifier, NotifyError, SendError};

use super::{Caller, Part, Reach};
use crate::answer::{Answer, Answered};
use crate::error::CallError;
use crate::lease::{Leased, Pushes};
use crate::pool::ConnectionId;
use crate::protocol::Protocol;

impl<P: Protocol> Part<P> {
    /// Tells who waited for a lease that the connection is his.
    pub(super) fn grant<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, caller: Caller<P>, connection: ConnectionId) {
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

    /// Tells a caller that there will be no reply.
    pub(super) fn fail<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, caller: Caller<P>, error: CallError) {
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
}
