//! What a part asks of the callback that it runs in.

use std::time::Duration;

use gannet::{
    CloseMode, Connect, Context, Handle, Notifier, NotifyError, Outbound, SendError, Service, ServiceContext,
};

use crate::answer::Answered;
use crate::lease::Leased;
use crate::pool::ConnectionId;
use crate::protocol::Protocol;
use crate::service::{Link, PoolService};

/// What a part asks of the callback that it runs in.
pub(crate) trait Reach<P: Protocol> {
    fn now(&self) -> Duration;
    /// Writes to a connection if it is the one that the callback is for. Returns whether it is.
    fn write_to_own(&mut self, connection: ConnectionId, bytes: &[u8]) -> bool {
        let _ = (connection, bytes);
        false
    }
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

/// A callback for a message on this connection of the pool.
pub(crate) struct Receiving<'a, 'b, P: Protocol> {
    pub(crate) cx: &'a mut Context<'b, PoolService<P>>,
    pub(crate) own: ConnectionId,
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

impl<P: Protocol> Reach<P> for Receiving<'_, '_, P> {
    reach!(self => self.cx);

    #[inline]
    fn write_to_own(&mut self, connection: ConnectionId, bytes: &[u8]) -> bool {
        let is_own = connection == self.own;
        if is_own {
            // Where it is closing, its end gives the call back.
            self.cx.write(bytes);
        }
        is_own
    }

    fn arm(&mut self, after: Duration) -> bool {
        self.cx.set_service_timer(after);
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
