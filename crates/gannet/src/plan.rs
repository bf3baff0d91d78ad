//! What a running engine shall become: [`Plan`], and what came of it: [`Applied`].

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use gannet_proto::Codec;

use crate::address::Address;
use crate::error::Result;
use crate::filter::FilterFactory;
use crate::host::Outbound;
use crate::ids::ServiceId;
use crate::limits::{Limits, Timeouts};
use crate::listen_options::ListenOptions;
use crate::service::{DatagramService, Service};
use crate::service_plan::Services;
use crate::session;

/// Is told the numbers of an engine and of a service for outbound connections in it.
pub(crate) type Numbered = Box<dyn FnOnce(u16, ServiceId) + Send>;

/// Describes changes of a running engine: listeners that come and go, limits, deadlines. [`Changes::apply`] makes them.
///
/// What a plan does not mention stays as it is.
///
/// ```
/// use gannet::{Context, Limits, Plan, Service, proto::Lines};
///
/// struct Echo;
///
/// impl Service for Echo {
///     type Codec = Lines;
///     type Session = ();
///
///     fn message(&mut self, _: &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
///         cx.send(&[line]);
///     }
/// }
///
/// # fn main() -> gannet::Result<()> {
/// let mut limits = Limits::default();
/// limits.connections = 10_000;
/// let plan = Plan::new().limits(limits).listen("tcp://127.0.0.1:7001", || Echo)?.remove("tcp://127.0.0.1:7000");
/// # Ok(())
/// # }
/// ```
///
/// [`Changes::apply`]: crate::Changes::apply
#[derive(Default)]
#[must_use = "a plan does nothing until it is applied"]
pub struct Plan {
    pub(crate) limits: Option<Limits>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) keepalive: Option<Option<Duration>>,
    pub(crate) added: Services,
    /// Whom to tell the number of an added service, by its place among them.
    pub(crate) outbound: Vec<(ServiceId, Numbered)>,
    pub(crate) removed: Vec<String>,
    /// Name, most connections, most of one peer.
    pub(crate) quotas: Vec<(String, u32, u32)>,
}

impl Plan {
    /// Makes a plan that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the limits of the engine.
    ///
    /// A lower limit closes no connection: it refuses further ones, and bounds what is sent and received from now on.
    /// Connections that came while there was no limit for each peer do not count towards a new one.
    ///
    /// The limits [`mailbox`](Limits::mailbox), `offloads`, `offload_threads`, `blocking_offloads`, `blocking_threads`,
    /// `file_offloads` and `file_threads` take effect when an engine starts. Where the plan has other values,
    /// [`Applied::pending`] names them.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Replaces the deadlines of the engine, for services that have none of their own in [`Service::timeouts`].
    ///
    /// They also hold for connections that are open. A connection that has been silent for longer than a new deadline
    /// allows meets it at once. A handshake, or a wait for the first message, that has begun keeps the deadline that it has.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }

    /// Replaces the keepalive of the engine, as [`Engine::keepalive`](crate::Engine::keepalive) describes it.
    ///
    /// It holds for connections that are accepted or opened from now on, except on listeners with a keepalive of their own.
    pub fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = Some(after);
        self
    }

    /// Adds a listener for connections, as [`Engine::listen`](crate::Engine::listen) does.
    ///
    /// [`Service::start`] is called on every reactor before anything is accepted. If it fails on one of them, the whole plan
    /// fails, and nothing has changed.
    ///
    /// If the plan removes a listener at the same address, that listener's socket serves the new one. No connection attempt
    /// is refused meanwhile, and connections that are open stay with the old service. So to change what a listener does,
    /// remove and add it in one plan.
    ///
    /// # Errors
    ///
    /// The address is malformed, its host is unknown, or its scheme is another one. The keepalive of the options is out of
    /// range. [`Changes::apply`](crate::Changes::apply) reports an address that cannot be listened on.
    pub fn listen<S: Service>(
        mut self,
        at: impl Into<ListenOptions>,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self> {
        self.added.listen(at.into(), factory)?;
        Ok(self)
    }

    /// Adds a listener with a filter between each connection and its codec, as
    /// [`Engine::listen_filtered`](crate::Engine::listen_filtered) does.
    ///
    /// See [`listen`](Self::listen) for services that cannot start and for addresses that the engine listens on already.
    ///
    /// # Errors
    ///
    /// The address is malformed, its host is unknown, or it is a UDP address. The keepalive of the options is out of range.
    /// [`Changes::apply`](crate::Changes::apply) reports an address that cannot be listened on.
    pub fn listen_filtered<S: Service>(
        mut self,
        at: impl Into<ListenOptions>,
        filters: Arc<dyn FilterFactory>,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self> {
        self.added.listen_filtered(at.into(), &filters, factory)?;
        Ok(self)
    }

    /// Adds a listener for datagrams, as [`Engine::listen_datagrams`](crate::Engine::listen_datagrams) does.
    ///
    /// See [`listen`](Self::listen) for services that cannot start and for addresses that the engine listens on already.
    ///
    /// # Errors
    ///
    /// The address is malformed, its host is unknown, or it is not a UDP address.
    /// [`Changes::apply`](crate::Changes::apply) reports an address that cannot be bound.
    pub fn listen_datagrams<S: DatagramService>(
        mut self,
        at: impl Into<ListenOptions>,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self> {
        self.added.listen_datagrams(at.into(), factory)?;
        Ok(self)
    }

    /// Adds a listener with sequential sessions, as [`Engine::sessions`](crate::Engine::sessions) does.
    ///
    /// See [`listen`](Self::listen) for addresses that the engine listens on already.
    ///
    /// # Errors
    ///
    /// Those of [`listen`](Self::listen).
    pub fn sessions<C, M, F>(
        mut self,
        at: impl Into<ListenOptions>,
        codec: impl Fn() -> C + Send + Sync + 'static,
        session: M,
    ) -> Result<Self>
    where
        C: Codec,
        M: Fn(session::Connection<C>) -> F + Send + Sync + 'static,
        F: Future<Output = session::Result> + 'static,
    {
        self.added.sessions(at.into(), codec, session)?;
        Ok(self)
    }

    /// Adds a listener with sequential sessions and a filter before each, as
    /// [`Engine::sessions_filtered`](crate::Engine::sessions_filtered) does.
    ///
    /// See [`listen`](Self::listen) for addresses that the engine listens on already.
    ///
    /// # Errors
    ///
    /// Those of [`listen_filtered`](Self::listen_filtered).
    pub fn sessions_filtered<C, M, F>(
        mut self,
        at: impl Into<ListenOptions>,
        filters: Arc<dyn FilterFactory>,
        codec: impl Fn() -> C + Send + Sync + 'static,
        session: M,
    ) -> Result<Self>
    where
        C: Codec,
        M: Fn(session::Connection<C>) -> F + Send + Sync + 'static,
        F: Future<Output = session::Result> + 'static,
    {
        self.added.sessions_filtered(at.into(), &filters, codec, session)?;
        Ok(self)
    }

    /// Adds a service for outbound connections, as [`Engine::outbound`](crate::Engine::outbound) does.
    ///
    /// `added` receives its [`Outbound`] when the plan is applied, before any instance is made, on the thread that applies
    /// it. If the plan fails after that, nothing answers to this `Outbound`: forget it. The service stays until the engine
    /// ends, since no name removes it. [`Remote::wake_service`](crate::Remote::wake_service) takes a lock to call it.
    ///
    /// # Errors
    ///
    /// The plan adds 65,536 services already.
    pub fn outbound<S: Service>(
        mut self,
        factory: impl Fn() -> S + Send + Sync + 'static,
        added: impl FnOnce(Outbound<S>) + Send + 'static,
    ) -> Result<Self> {
        let place = self.added.outbound(factory)?;
        let numbered = move |engine, index| added(Outbound { engine, index, service: PhantomData });
        self.outbound.push((place, Box::new(numbered)));
        Ok(self)
    }

    /// Removes the listeners of this name: see [`ListenOptions::named`].
    ///
    /// The connections that wait in the kernel's backlog are accepted and served; then the socket closes. Open connections
    /// stay, and keep their service until they end. A datagram socket closes at once.
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.removed.push(name.into());
        self
    }

    /// Replaces the limits of the listeners of this name: [`ListenOptions::connections`] and
    /// [`ListenOptions::connections_per_peer`]; 0 is no limit.
    pub fn quota(mut self, name: impl Into<String>, connections: u32, connections_per_peer: u32) -> Self {
        self.quotas.push((name.into(), connections, connections_per_peer));
        self
    }

    /// Returns whether the plan changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limits.is_none()
            && self.timeouts.is_none()
            && self.keepalive.is_none()
            && self.added.all.is_empty()
            && self.removed.is_empty()
            && self.quotas.is_empty()
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limits, timeouts, keepalive, added, outbound: _, removed, quotas } = self;
        let added: Vec<_> = added.all.iter().map(|service| (&service.name, &service.address)).collect();
        formatter
            .debug_struct("Plan")
            .field("limits", limits)
            .field("timeouts", timeouts)
            .field("keepalive", keepalive)
            .field("added", &added)
            .field("removed", removed)
            .field("quotas", quotas)
            .finish()
    }
}

/// Says what came of a [`Plan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Applied {
    /// The number of the plan: the first one of an engine is 1.
    pub generation: u64,
    /// How long it took until everybody had applied it.
    pub took: Duration,
    /// The addresses of the added listeners, in the order in which they were added. Where port 0 was asked for, they have the
    /// port that the system chose.
    pub added: Vec<Address>,
    /// The addresses of the removed listeners whose sockets did not go to added ones.
    pub removed: Vec<Address>,
    /// Threads that had not applied the plan after five seconds, such as `gannet-3` or `gannet-accept`. They will, when the
    /// callbacks that hold them up have returned.
    pub late: Vec<String>,
    /// The limits that only take effect when an engine starts, and that the plan wanted changed.
    pub pending: Vec<&'static str>,
}
