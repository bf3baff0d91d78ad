//! What a service can do in a callback that belongs to no connection: that of its timer, and a call from another thread.

use std::time::Duration;

use bytes::Bytes;

use crate::connect::Connect;
use crate::connection::CloseMode;
use crate::context::{Context, Notifier};
use crate::core::SendStatus;
use crate::group::Group;
use crate::handle::{Handle, SendError};
use crate::host::Outbound;
use crate::ids::{ServiceId, Token};
use crate::remote::{NotifyError, Remote};
use crate::service::{Notice, Outgoing, Service};
use crate::wheel::milliseconds;

/// No connection: a token that no slot has.
pub(crate) const NO_CONNECTION: Token = Token::MAX;

/// Gives [`Service::service_timer`] and [`Service::woken`] access to its reactor, and to all connections. Lives for one callback.
///
/// Nothing here blocks. Orders for connections are carried out after the callback, in the order in which they were given.
pub struct ServiceContext<'a, S: Service> {
    /// One without a connection: [`NO_CONNECTION`].
    pub(crate) cx: Context<'a, S>,
    pub(crate) service: ServiceId,
}

impl<S: Service> ServiceContext<'_, S> {
    /// Sets the one timer of this instance of the service again; [`Service::service_timer`] is called once, after `after`.
    ///
    /// The timer is kept to the millisecond. The longest time is 24 days.
    pub fn set_service_timer(&mut self, after: Duration) {
        let core = &mut *self.cx.core;
        core.timers.set_service(self.service, core.now.after(milliseconds(after)));
    }

    /// Sends one message to a connection of any reactor, as [`Context::send_to`] does.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why; [`Context::send_to`] explains each variant.
    pub fn send_to(&mut self, handle: Handle, message: Outgoing<'_, S>) -> Result<SendStatus, SendError> {
        self.cx.send_to(handle, message)
    }

    /// Sends encoded bytes to a connection of any service, past its codec: they are what its peer receives.
    ///
    /// A filter (TLS) still transforms them. The bytes are in the outbox when this returns, before those of orders that
    /// were given earlier in this callback, and leave at the end of the turn. Bytes up to 512 are copied, more are
    /// shared. On a connection of another reactor they go through its mailbox, and the status is
    /// [`SendStatus::Queued`].
    ///
    /// # Errors
    ///
    /// - [`SendError::Gone`]: the connection is gone, or takes nothing more.
    /// - [`SendError::MailboxFull`]: the mailbox of its reactor is full.
    /// - [`SendError::OtherEngine`]: the handle belongs to another engine.
    pub fn send_encoded(&mut self, handle: Handle, bytes: &Bytes) -> Result<SendStatus, SendError> {
        self.cx.send_encoded(handle, bytes)
    }

    /// Writes encoded bytes to a connection of any service, as [`Context::write_to`] does. They are copied.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why; [`Context::write_to`] explains each variant.
    pub fn write_to(&mut self, handle: Handle, bytes: &[u8]) -> Result<SendStatus, SendError> {
        self.cx.write_to(handle, bytes)
    }

    /// Gives a value to the session of a connection whose service only `notifier` knows.
    #[doc(hidden)]
    pub fn notify_by<T: Send + 'static>(
        &mut self,
        handle: Handle,
        notifier: Notifier<T>,
        value: T,
    ) -> Result<(), NotifyError<T>> {
        self.cx.notify_by(handle, notifier, value)
    }

    /// Calls this instance again: [`Service::woken`] in the next turn, when connections had theirs.
    pub fn wake_again(&mut self) {
        let core = &*self.cx.core;
        if let Some(gate) = core.shared.gates().get(usize::from(core.reactor)) {
            gate.sender.call(usize::from(self.service));
        }
    }

    /// Sends one message to every member of a group, on all reactors, as [`Context::broadcast`] does.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why; [`Context::broadcast`] explains each variant.
    pub fn broadcast(&mut self, group: Group, message: Outgoing<'_, S>) -> Result<(), SendError> {
        self.cx.broadcast(group, message)
    }

    /// Closes a connection of any reactor, as [`Context::close_other`] does.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why; [`Context::close_other`] explains each variant.
    pub fn close_other(&mut self, handle: Handle, mode: CloseMode) -> Result<(), SendError> {
        self.cx.close_other(handle, mode)
    }

    /// Gives a value to the session of a connection of any reactor, as [`Context::notify_other`] does.
    ///
    /// # Errors
    ///
    /// [`NotifyError`] says why, and gives the value back; [`Context::notify_other`] explains it.
    pub fn notify_other<O: Notice<T>, T: Send + 'static>(
        &mut self,
        handle: Handle,
        value: T,
    ) -> Result<(), NotifyError<T>> {
        self.cx.notify_other::<O, T>(handle, value)
    }

    /// Shuts down the sending direction of a connection of any reactor, as [`Context::shutdown_write_other`] does.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why; [`Context::shutdown_write_other`] explains each variant.
    pub fn shutdown_write_other(&mut self, handle: Handle) -> Result<(), SendError> {
        self.cx.shutdown_write_other(handle)
    }

    /// Stops taking messages from a connection of any reactor, as [`Context::pause_other`] does.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why; [`Context::pause_other`] explains each variant.
    pub fn pause_other(&mut self, handle: Handle) -> Result<(), SendError> {
        self.cx.pause_other(handle)
    }

    /// Takes messages from a connection of any reactor again, as [`Context::resume_other`] does.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why; [`Context::resume_other`] explains each variant.
    pub fn resume_other(&mut self, handle: Handle) -> Result<(), SendError> {
        self.cx.resume_other(handle)
    }

    /// Opens an outbound connection on this reactor, as [`Context::connect`] does. `session` becomes its session.
    ///
    /// # Errors
    ///
    /// [`Context::connect`] explains the error.
    pub fn connect<O: Service>(
        &mut self,
        outbound: Outbound<O>,
        connect: &Connect,
        session: O::Session,
    ) -> Result<(), crate::Error> {
        self.cx.connect(outbound, connect, session)
    }

    /// Returns the number of this reactor, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        self.cx.reactor()
    }

    /// Returns the reactor's clock at the start of this turn, as [`Context::now`] does.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.cx.now()
    }

    /// Returns whether the engine is shutting down, and its [`drain_spread`](crate::Engine::drain_spread) is over.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.cx.is_draining()
    }

    /// Returns a reference to the engine that works from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.cx.remote()
    }
}
