//! What a callback can do to other connections without a message to their peers: tell their sessions something.

use crate::context::Context;
use crate::core::Deferred;
use crate::handle::{Handle, SendError};
use crate::remote::{Errand, Noticed, NotifyError};
use crate::service::{Notice, Service};

/// Brings values to the sessions of a service whose type is known where this is made, but not where values are sent.
///
/// A value without size takes no memory on its way.
#[doc(hidden)]
pub struct Notifier<T> {
    wrap: fn(T) -> Box<dyn Errand>,
}

impl<T: Send + 'static> Notifier<T> {
    /// Makes a notifier for the sessions of `O`.
    #[must_use]
    pub fn of<O: Notice<T>>() -> Self {
        Self { wrap: |value| Box::new(Noticed::<O, T>::new(value)) }
    }
}

impl<T> Clone for Notifier<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Notifier<T> {}

impl<S: Service> Context<'_, S> {
    /// Gives a value to the session of another connection: calls [`Notice::notice`] of its service `O`.
    ///
    /// On this reactor the value takes neither the mailbox nor a lock. The call comes after this callback, in the same turn
    /// and in order with everything else that was ordered for other connections: [`send_to`](Self::send_to),
    /// [`close_other`](Self::close_other) and so on. It may also be this connection. A connection on another reactor gets
    /// the value through the mailbox, as with [`Remote::notify`](crate::Remote::notify).
    ///
    /// If the connection belongs to a service of another type, or closes before the call, the value is dropped and counted
    /// in `ReactorStats::stale_handles`. Notices that lead to notices end a turn after 256 rounds, and go on in the next.
    ///
    /// # Errors
    ///
    /// The error gives the value back:
    ///
    /// - [`SendError::Gone`]: the connection is gone or is closing.
    /// - [`SendError::MailboxFull`]: [`Limits::mailbox`](crate::Limits) values wait on this reactor, or the mailbox of the
    ///   other one is full. Both count in `ReactorStats::mailbox_full`.
    /// - [`SendError::OtherEngine`]: the handle belongs to another engine.
    /// - [`SendError::NotRunning`]: the other reactor has ended.
    pub fn notify_other<O: Notice<T>, T: Send + 'static>(
        &mut self,
        handle: Handle,
        value: T,
    ) -> Result<(), NotifyError<T>> {
        let place = match self.reachable(handle) {
            Ok(Some(place)) => place,
            Ok(None) => return self.remote().notify::<O, T>(handle, value),
            Err(reason) => return Err(NotifyError { value, reason }),
        };
        if self.core.notices >= self.core.limits.mailbox {
            self.core.counters.notices_refused.add(1);
            return Err(NotifyError { value, reason: SendError::MailboxFull });
        }
        self.core.notices += 1;
        let errand = Box::new(Noticed::<O, T>::new(value));
        self.core.deferred.push(Deferred::Notice { place, errand });
        Ok(())
    }

    /// Gives a value to the session of a connection of this reactor whose service only `notifier` knows, as `notify_other`
    /// does. A connection of another reactor counts as gone.
    #[doc(hidden)]
    pub fn notify_by<T: Send + 'static>(
        &mut self,
        handle: Handle,
        notifier: Notifier<T>,
        value: T,
    ) -> Result<(), NotifyError<T>> {
        let place = match self.reachable(handle) {
            Ok(Some(place)) => place,
            Ok(None) => return Err(NotifyError { value, reason: SendError::Gone }),
            Err(reason) => return Err(NotifyError { value, reason }),
        };
        if self.core.notices >= self.core.limits.mailbox {
            self.core.counters.notices_refused.add(1);
            return Err(NotifyError { value, reason: SendError::MailboxFull });
        }
        self.core.notices += 1;
        self.core.deferred.push(Deferred::Notice { place, errand: (notifier.wrap)(value) });
        Ok(())
    }
}
