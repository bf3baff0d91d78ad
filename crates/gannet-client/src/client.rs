//! A pool from callbacks of its engine ([`Pool`]), from any thread ([`Client`]), and in programs without an engine.

use std::sync::Arc;
use std::time::Duration;

use gannet::{Address, Context, Engine, FilterFactory, Notice, Notifier, Running};

use crate::answer::Answered;
use crate::calling::{self, Calling};
use crate::counters::PoolStats;
use crate::error::{CallError, Error};
use crate::lease::{self, Leased, Leasing};
use crate::part::{self, Caller};
use crate::pool::ConnectionId;
use crate::promise::{Pending, promise};
use crate::protocol::Protocol;
use crate::resolve::{self, Lookup};
use crate::service::{Handler, PoolService};
use crate::settings::Settings;
use crate::shared::{CallOptions, Shared, Submission};

/// Describes a pool before it is attached to an engine: protocol, endpoints, settings.
///
/// ```no_run
/// use gannet::Engine;
/// use gannet_client::{Pool, Redis};
///
/// # fn main() -> Result<(), gannet_client::Error> {
/// let mut engine = Engine::new();
/// let redis = Pool::builder(Redis::new()).endpoint("tcp://10.0.0.7:6379").attach(&mut engine)?;
/// let running = engine.start()?;
/// redis.warm(std::time::Duration::from_secs(5))?;
/// # drop(running);
/// # Ok(())
/// # }
/// ```
#[must_use = "a pool serves an engine when it was attached to it"]
pub struct PoolBuilder<P: Protocol> {
    protocol: P,
    name: String,
    endpoints: Vec<String>,
    settings: Settings,
    filter: Option<Arc<dyn FilterFactory>>,
    lookup: Lookup,
    custom_lookup: bool,
    on_one_reactor: bool,
}

impl<P: Protocol> PoolBuilder<P> {
    /// Adds an endpoint: `tcp://host:port`, `tls://host:port` or `unix:///path`.
    ///
    /// Each address of a name is an endpoint of its own. The name is looked up by [`attach`](Self::attach), and again every
    /// [`Settings::resolve`], on a thread of its own.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoints.push(url.into());
        self
    }

    /// Sets sizes and times.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Names the pool in logs (default: `pool`).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Puts a filter between connections and codec, for example a `TlsClient` of `gannet-tls`. Required for `tls://`.
    pub fn through(mut self, filters: Arc<dyn FilterFactory>) -> Self {
        self.filter = Some(filters);
        self
    }

    /// Finds the addresses of endpoints by other means than the system's resolver, for example by service discovery.
    ///
    /// `lookup` gets the URL of an endpoint, and may block. It is called as for a name.
    pub fn lookup(mut self, lookup: impl Fn(&str) -> Result<Vec<Address>, String> + Send + Sync + 'static) -> Self {
        (self.lookup, self.custom_lookup) = (Arc::new(lookup), true);
        self
    }

    /// Has calls of other threads go to the first reactor only.
    pub(crate) fn on_one_reactor(mut self) -> Self {
        self.on_one_reactor = true;
        self
    }

    /// Adds the pool to an engine that has not started. It connects when the engine starts.
    ///
    /// Names are looked up here, which may block.
    ///
    /// # Errors
    ///
    /// There is no endpoint or one that cannot be used, the settings are unusable, or the engine has too many services.
    pub fn attach(self, engine: &mut Engine) -> Result<Pool<P>, Error> {
        self.attach_shared(engine, None::<fn() -> NoHandler>)
    }

    /// Adds the pool to an engine, with a handler for calls that belong to no session.
    ///
    /// `factory` makes the handler of each reactor, on the reactor's thread.
    ///
    /// # Errors
    ///
    /// Those of [`PoolBuilder::attach`].
    pub fn attach_with<H: Handler<P>>(
        self,
        engine: &mut Engine,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> Result<Pool<P>, Error> {
        self.attach_shared(engine, Some(factory))
    }

    fn attach_shared<H: Handler<P>>(
        self,
        engine: &mut Engine,
        factory: Option<impl Fn() -> H + Send + Sync + 'static>,
    ) -> Result<Pool<P>, Error> {
        self.settings.check_values()?;
        let filtered = self.filter.is_some();
        let addresses = resolve::all(&self.endpoints, filtered, &self.lookup)?;
        let mut shared = Shared::new(self.name, self.protocol, self.settings, addresses, self.filter);
        shared.on_one_reactor = self.on_one_reactor;
        let (alive, gone) = std::sync::mpsc::channel();
        let changes = self.custom_lookup || self.endpoints.iter().any(|url| resolve::may_change(url));
        if changes {
            // Dropped with the pool, which ends the thread.
            shared.alive = Some(alive);
        }
        let every = shared.settings.resolve;
        let shared = Arc::new(shared);
        if changes {
            let (pool, urls, lookup) = (Arc::downgrade(&shared), self.endpoints, self.lookup);
            std::thread::Builder::new()
                .name("gannet-resolve".to_owned())
                .spawn(move || resolve::follow(&pool, &urls, &lookup, every, &gone))
                .map_err(|error| Error::Setting(format!("there is no thread to look names up: {error}")))?;
        }
        let of_service = shared.clone();
        let outbound = engine.outbound(move || {
            let handler = factory.as_ref().map(|make| Box::new(make()) as Box<dyn Handler<P>>);
            PoolService::new(of_service.clone(), handler)
        })?;
        // It is new, so nobody has set it.
        let _ = shared.outbound.set(outbound);
        Ok(Pool { shared })
    }
}

/// Stands where there is no handler.
struct NoHandler;

impl<P: Protocol> Handler<P> for NoHandler {
    fn answered(&mut self, _: u64, _: Result<P::Reply<'_>, CallError>, _: &mut crate::PoolContext<'_, P>) {}
}

/// Calls servers through connections that all callers share. Cheap to clone.
///
/// Services call it in their callbacks; other threads and futures call its [`client`](Self::client).
pub struct Pool<P: Protocol> {
    shared: Arc<Shared<P>>,
}

impl<P: Protocol> Clone for Pool<P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<P: Protocol> std::fmt::Debug for Pool<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl<P: Protocol> Pool<P> {
    /// A pool whose service the test has added to its engine.
    #[cfg(test)]
    pub(crate) fn of(shared: Arc<Shared<P>>) -> Self {
        Self { shared }
    }

    /// Begins the description of a pool.
    pub fn builder(protocol: P) -> PoolBuilder<P> {
        PoolBuilder {
            protocol,
            name: "pool".to_owned(),
            endpoints: Vec::new(),
            settings: Settings::default(),
            filter: None,
            lookup: resolve::system(),
            custom_lookup: false,
            on_one_reactor: false,
        }
    }

    /// Calls a server, for the [sequential session](gannet::session) that is polled, and returns what waits for the reply.
    ///
    /// The call itself sends the request, or queues it, so several calls may be under way. The reply is copied. Call it on a
    /// reactor of the pool's engine, inside of a session's future; other futures have [`Client::begin`].
    ///
    /// ```
    /// use gannet::{proto::Lines, session::{self, Connection}};
    /// use gannet_client::{Pool, Redis};
    ///
    /// async fn lookup(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
    ///     while let Some(key) = connection.next().await? {
    ///         let reply = redis.call(&[b"GET", &key]).await.map_err(session::Error::other)?;
    ///         connection.send([reply.as_bytes().unwrap_or(b"nothing")]).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`] says why there is no reply, and whether the request may have been executed. The future returns it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the reply up. A request that waits for a connection is not sent. One in flight keeps its
    /// place in the connection's pipeline, so no other caller gets its reply.
    pub fn call(&self, request: P::Request<'_>) -> Calling<P> {
        self.call_with(request, CallOptions::default())
    }

    /// Calls a server, for the session that is polled, with a time-out or a promise of its own: see [`Pool::call`].
    pub fn call_with(&self, request: P::Request<'_>, options: CallOptions) -> Calling<P> {
        calling::place(&self.shared, |part, cx, ticket| {
            let terms = options.terms(part.pool.settings());
            part.call(cx, request, Caller::Future(ticket), terms)
        })
    }

    /// Takes a connection alone, for the [sequential session](gannet::session) that is polled: for a transaction, commands
    /// that block, or a subscription.
    ///
    /// Nobody overtakes it while it waits, at most [`Settings::waiting`]. `label` says in the log who did not give it back.
    ///
    /// # Errors
    ///
    /// [`CallError`]: no connection became free in time. The future returns it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place in the queue up, or the connection back.
    pub fn lease(&self, label: &'static str) -> Leasing<P> {
        Leasing::begin(&self.shared, label)
    }

    /// Takes a connection alone, for the session of this callback. The service gets the notice [`Leased`], with `tag`.
    ///
    /// Nobody overtakes it while it waits, at most [`Settings::waiting`]. `label` says in the log who did not give it back.
    ///
    /// # Errors
    ///
    /// [`CallError`]: there will be none, and no notice.
    pub fn lease_from<S: Notice<Leased<P>>>(
        &self,
        cx: &mut Context<'_, S>,
        label: &'static str,
        tag: u64,
    ) -> Result<(), CallError> {
        lease::lease_from(&self.shared, cx, label, tag)
    }

    /// Calls a server for the session of this callback.
    ///
    /// The service gets the notice [`Answered`] when the reply is there or the call has failed; `tag` tells its calls apart.
    /// If the session ends first, the answer is dropped. Call it on a reactor of the pool's engine.
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
        self.call_from_with(cx, request, tag, CallOptions::default())
    }

    /// Calls a server for the session of this callback, with a time-out or a promise of its own: see [`Pool::call_from`].
    ///
    /// # Errors
    ///
    /// [`CallError`]: the call failed at once; there will be no notice.
    pub fn call_from_with<S: Notice<Answered<P>>>(
        &self,
        cx: &mut Context<'_, S>,
        request: P::Request<'_>,
        tag: u64,
        options: CallOptions,
    ) -> Result<(), CallError> {
        part::act_in(&self.shared, cx, |part, cx| {
            let terms = options.terms(part.pool.settings());
            let caller = Caller::Session { handle: cx.cx.handle(), tag, notifier: Notifier::of::<S>() };
            part.call(cx, request, caller, terms)
        })?;
        Ok(())
    }

    /// Returns a way to call from any thread.
    #[must_use]
    pub fn client(&self) -> Client<P> {
        Client { shared: self.shared.clone(), engine: None }
    }

    /// Blocks until the connections that the pool keeps are ready ([`Settings::min_idle`]), at most for this time.
    ///
    /// Call it when the engine has started, on a thread that is no reactor.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`], with the last failure.
    pub fn warm(&self, within: Duration) -> Result<(), Error> {
        let endpoint = self.shared.name.clone();
        self.shared.wait_warm(within).map_err(|why| Error::NotReady { endpoint, why })
    }

    /// Replaces the endpoints. What is in flight to one that is not in the list may finish.
    ///
    /// It may be called on any thread.
    pub fn set_endpoints(&self, addresses: impl IntoIterator<Item = Address>) {
        self.shared.set_addresses(addresses.into_iter().collect());
    }

    /// Reads the counters of all reactors, on any thread.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }
}

/// Calls servers from any thread: blocking, or as a future. Cheap to clone.
///
/// A program without an engine makes one with [`Client::connect`]; it runs a reactor on a thread of its own, until the last
/// clone is dropped. A program with an engine asks its pool: [`Pool::client`].
///
/// ```no_run
/// use gannet_client::{Client, Redis};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Client::connect(Redis::new(), "tcp://127.0.0.1:6379")?;
/// redis.call(&[b"SET", b"greeting", b"hello"])?;
/// let reply = redis.call(&[b"GET", b"greeting"])?;
/// println!("{}", String::from_utf8_lossy(reply.as_bytes().unwrap_or(b"nothing")));
/// # Ok(())
/// # }
/// ```
pub struct Client<P: Protocol> {
    shared: Arc<Shared<P>>,
    /// The engine of a program that has none.
    engine: Option<Arc<Running>>,
}

impl<P: Protocol> Clone for Client<P> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), engine: self.engine.clone() }
    }
}

impl<P: Protocol> std::fmt::Debug for Client<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl<P: Protocol> Client<P> {
    /// Connects to a server, for a program without an engine. Blocks until a connection is ready, at most 5 s.
    ///
    /// # Errors
    ///
    /// The URL cannot be used, the server cannot be reached or refuses the handshake, or there is no thread for a reactor.
    pub fn connect(protocol: P, url: &str) -> Result<Self, Error> {
        Self::start(Pool::builder(protocol).endpoint(url))
    }

    /// Starts a pool with settings of its own, for a program without an engine.
    ///
    /// Blocks until the connections that it keeps are ready, at most for [`Settings::connect`].
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`], and unusable settings.
    pub fn start(builder: PoolBuilder<P>) -> Result<Self, Error> {
        let within = builder.settings.connect;
        let mut engine = Engine::new().reactors(1);
        let pool = builder.attach(&mut engine)?;
        let running = engine.start()?;
        pool.warm(within)?;
        Ok(Self { shared: pool.shared, engine: Some(Arc::new(running)) })
    }

    /// Calls a server, and blocks until the reply. Do not call it on a reactor.
    ///
    /// # Errors
    ///
    /// [`CallError`] says why there is no reply, and whether the request may have been executed.
    pub fn call(&self, request: P::Request<'_>) -> Result<P::Owned, CallError> {
        self.begin(request, CallOptions::default())?.wait()
    }

    /// Calls a server, and returns what waits for the reply: a future, or a thread that blocks.
    ///
    /// # Errors
    ///
    /// [`CallError`]: the call failed at once.
    pub fn begin(&self, request: P::Request<'_>, options: CallOptions) -> Result<Pending<P::Owned>, CallError> {
        let protocol = &self.shared.protocol;
        let mut terms = options.terms(&self.shared.settings);
        terms.idempotent |= protocol.is_idempotent(&request);
        let (key, mut bytes) = (self.shared.next_key(), Vec::new());
        if !protocol.encode(request, key, &mut bytes) {
            return Err(CallError::Unencodable);
        }
        let (promise, pending) = promise();
        let call = Submission::Call { request: bytes, key, terms, promise };
        self.shared.submit(self.shared.next_reactor(), call)?;
        Ok(pending)
    }

    /// Takes a connection alone, for a transaction or for commands that block. Blocks until there is one.
    ///
    /// `label` says in the log who did not give it back.
    ///
    /// # Errors
    ///
    /// [`CallError`]: no connection became free in time.
    pub fn lease(&self, label: &'static str) -> Result<Lease<P>, CallError> {
        let reactor = self.shared.next_reactor();
        let (promise, pending) = promise();
        self.shared.submit(reactor, Submission::Lease { label, promise })?;
        let connection = pending.wait()?;
        Ok(Lease { client: self.clone(), reactor, connection })
    }

    /// Reads the counters, on any thread.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }
}

/// Holds a connection that nobody else uses, until it is dropped.
///
/// Then the connection is reset if the protocol can do so, or closed if a request is still in flight.
pub struct Lease<P: Protocol> {
    client: Client<P>,
    reactor: usize,
    connection: ConnectionId,
}

impl<P: Protocol> Lease<P> {
    /// Calls the server on this connection, and blocks until the reply. Do not call it on a reactor.
    ///
    /// # Errors
    ///
    /// [`CallError::Lost`]: the connection has ended, and the lease with it. Others as for [`Client::call`].
    pub fn call(&self, request: P::Request<'_>) -> Result<P::Owned, CallError> {
        self.begin(request, CallOptions::default())?.wait()
    }

    /// Calls the server on this connection, and returns what waits for the reply.
    ///
    /// # Errors
    ///
    /// Those of [`Lease::call`], if the call failed at once.
    pub fn begin(&self, request: P::Request<'_>, options: CallOptions) -> Result<Pending<P::Owned>, CallError> {
        let shared = &self.client.shared;
        let timeout = options.terms(&shared.settings).timeout;
        let (key, mut bytes) = (shared.next_key(), Vec::new());
        if !shared.protocol.encode(request, key, &mut bytes) {
            return Err(CallError::Unencodable);
        }
        let (promise, pending) = promise();
        let connection = self.connection;
        let call = Submission::LeasedCall { connection, request: bytes, key, timeout, promise };
        shared.submit(self.reactor, call)?;
        Ok(pending)
    }
}

impl<P: Protocol> Drop for Lease<P> {
    fn drop(&mut self) {
        // Where the engine has ended, so has the connection.
        let _ = self.client.shared.submit(self.reactor, Submission::Release { connection: self.connection });
    }
}

impl<P: Protocol> std::fmt::Debug for Lease<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("reactor", &self.reactor).finish_non_exhaustive()
    }
}
