//! The engine: starts the reactors, owns the listeners, shuts down.

use std::marker::PhantomData;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use gannet_proto::Codec;

use crate::acceptor::{Acceptor, Balance, Central};
use crate::access::Access;
use crate::address::Address;
use crate::adoption::{Estate, Inherited};
use crate::binding::{Bound, Spread, binding_order};
use crate::changes::{Changes, Control, Entry, State};
use crate::core::Core;
use crate::counters::ReactorCounters;
use crate::drain::Times;
use crate::driver::Driver;
use crate::driver::poll::PollDriver;
use crate::driver::probe::{DriverChoice, Usable, choose};
use crate::ending::Ending;
use crate::error::{Error, Result};
use crate::filter::FilterFactory;
use crate::handle::Live;
use crate::handover::Handover;
use crate::host::{Outbound, Served};
use crate::ids::{ListenerId, ServiceId};
use crate::keepalive;
use crate::limits::{Limits, Timeouts};
use crate::listen_options::ListenOptions;
use crate::listener::Pace;
use crate::mailbox::mailbox;
use crate::plan::{Applied, Plan};
use crate::quota::Quota;
use crate::reactor::Reactor;
use crate::remote::{Gate, Remote, Shared, new_engine_id};
use crate::service::{DatagramService, Service, Starting};
use crate::service_plan::Services;
use crate::session;
use crate::steps::{Factory, Own};
use crate::wheel::tick;

/// Builds an engine: services and their addresses, reactors, limits and deadlines.
///
/// [`run`](Self::run) serves until a signal; [`start`](Self::start) returns while the engine runs.
///
/// ```no_run
/// use gannet::{Context, Engine, Service, proto::Lines};
///
/// struct Echo;
///
/// impl Service for Echo {
///     type Codec = Lines;
///     type Session = ();
///
///     fn message(&mut self, _: &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
///         cx.send(&[b"echo: ", line]);
///     }
/// }
///
/// fn main() -> gannet::Result<()> {
///     Engine::new().listen("tcp://127.0.0.1:7000", || Echo)?.run()
/// }
/// ```
#[must_use = "an engine does nothing until it is started or run"]
pub struct Engine {
    id: u16,
    services: Services,
    reactors: usize,
    driver: DriverChoice,
    limits: Limits,
    timeouts: Timeouts,
    balance: Balance,
    keepalive: Option<Duration>,
    pin: bool,
    access: Option<Arc<Access>>,
    drain_delay: Duration,
    drain_spread: Duration,
    drain_timeout: Duration,
    inherited: Vec<Inherited>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// Makes an engine without services, with one reactor for each processor that the process may use.
    pub fn new() -> Self {
        Self {
            id: new_engine_id(),
            services: Services::default(),
            reactors: std::thread::available_parallelism().map_or(1, Into::into),
            driver: DriverChoice::Auto,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            balance: Balance::default(),
            keepalive: keepalive::DEFAULT,
            pin: false,
            access: None,
            drain_delay: Duration::ZERO,
            drain_spread: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            inherited: Vec::new(),
        }
    }

    /// Sets the number of reactors, 1 to 1,024, each on a thread of its own (default: one for each processor).
    ///
    /// There may be more reactors than processors. [`Engine::start`] refuses other numbers.
    pub fn reactors(mut self, reactors: usize) -> Self {
        self.reactors = reactors;
        self
    }

    /// Sets the driver, the interface to the kernel (default [`DriverChoice::Auto`]).
    pub fn driver(mut self, driver: DriverChoice) -> Self {
        self.driver = driver;
        self
    }

    /// Sets the limits of everything that grows (default [`Limits::default`]).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the deadlines of services that have none of their own in [`Service::timeouts`] (default
    /// [`Timeouts::default`]).
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets how accepted connections are spread over reactors (default: [`Balance::default`]).
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// Sets the silence after which the kernel probes a TCP peer (default 300 s; `None` turns keepalive off).
    ///
    /// The time is 1 s to 32,767 s, rounded up to seconds; [`Engine::start`] refuses other times. It holds for accepted and
    /// for outbound connections, and costs nothing while they are in use.
    ///
    /// The kernel probes three times, a third of that time apart. So a peer that lost power or network is noticed after
    /// twice the time, and its connection closes with [`CloseReason::Io`](crate::CloseReason::Io). The kernel of a live
    /// peer answers by itself; to close a peer that sends nothing, use [`Timeouts::read_idle`].
    ///
    /// TCP_USER_TIMEOUT is not set, because it also ends connections whose peers live and do not read.
    pub fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = after;
        self
    }

    /// Pins each reactor to a processor, in turn (default `false`). On Linux only; elsewhere a warning is logged.
    pub fn pin(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// Sets the rules that say who may connect (default: everybody). Keep a clone to replace them.
    pub fn access(mut self, access: Arc<Access>) -> Self {
        self.access = Some(access);
        self
    }

    /// Sets the time between a signal and the shutdown that it asks for (default 0).
    ///
    /// Meanwhile everything goes on, and only [`Remote::is_stopping`] is `true`. So a health check can tell a load balancer
    /// to send no more clients.
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay = delay;
        self
    }

    /// Sets the time over which a shutdown tells the clients to leave, at an even pace (default 0: all at once).
    ///
    /// Clients that are told at once reconnect at once, and all of them to what is left of a cluster. Two minutes are a
    /// good choice for clients that live long. The order has no pattern, and outbound connections end last.
    pub fn drain_spread(mut self, spread: Duration) -> Self {
        self.drain_spread = spread;
        self
    }

    /// Sets the time for a shutdown, after its [`drain_spread`](Self::drain_spread) (default 30 s). Then the connections
    /// that are left are closed.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Adopts listening sockets of another process, or of the service manager, in place of binding them.
    ///
    /// A listener gets the sockets that are bound to its address. If it asks for port 0, or if the service manager opened
    /// the socket, the name counts. Sockets that no listener wants close. All sockets of a listener are adopted, since one
    /// that closes resets the clients in its queue: what the reactors do not need is served by the acceptor's thread. With
    /// more reactors than sockets, others are bound beside them where [`Balance::ReusePort`] and the system permit that;
    /// otherwise the acceptor spreads the connections.
    ///
    /// The descriptors are touched when the engine begins to accept: see [`start_after`](Self::start_after). An adopted socket
    /// is never shut down, because the process that it came from may still have it.
    pub fn adopt(mut self, sockets: Vec<Inherited>) -> Self {
        self.inherited.extend(sockets);
        self
    }

    /// Serves connections to an address: `tcp://host:port` or `unix:///path`, or [`ListenOptions`] with one.
    ///
    /// A name stands for all of its addresses that this machine has, each a listener of its own. `factory` makes the
    /// instance of each reactor, on the reactor's thread.
    ///
    /// # Errors
    ///
    /// The address is malformed, its host is unknown, or its scheme is another one. The keepalive of the options is out of
    /// range, or there are 65,536 services. [`Engine::start`] reports an address that cannot be listened on.
    pub fn listen<S: Service>(
        mut self,
        at: impl Into<ListenOptions>,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self> {
        self.services.listen(at.into(), factory)?;
        Ok(self)
    }

    /// Serves connections to an address, with a filter between each connection and its codec, for example TLS.
    ///
    /// The address is `tls://host:port` or `unix:///path`, or `tcp://host:port` for a filter that is not TLS. `filters`
    /// makes the filter of each connection. `factory` makes the instance of each reactor, on the reactor's thread.
    ///
    /// # Errors
    ///
    /// The address is malformed, its host is unknown, or it is a UDP address. The keepalive of the options is out of range,
    /// or there are 65,536 services. [`Engine::start`] reports an address that cannot be listened on.
    pub fn listen_filtered<S: Service>(
        mut self,
        at: impl Into<ListenOptions>,
        filters: Arc<dyn FilterFactory>,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self> {
        self.services.listen_filtered(at.into(), &filters, factory)?;
        Ok(self)
    }

    /// Serves connections to an address with sequential sessions: a future for each connection, in place of callbacks.
    ///
    /// `session` is called for each connection, on its reactor's thread, and the connection closes when the future that it
    /// returns is ready. The future needs no `Send`, and no memory beside its own: it lives where sessions of services do.
    /// `codec` makes the codec of each reactor. The [module](crate::session) has an example and explains what a session can do.
    ///
    /// The address is `tcp://host:port` or `unix:///path`, or [`ListenOptions`] with one.
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
        self.services.sessions(at.into(), codec, session)?;
        Ok(self)
    }

    /// Serves connections with sequential sessions, with a filter between each connection and its codec, for example TLS.
    ///
    /// [`sessions`](Self::sessions) explains `codec` and `session`, and [`listen_filtered`](Self::listen_filtered) the
    /// addresses and the filters. A session begins when the handshake of its filter is done.
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
        self.services.sessions_filtered(at.into(), &filters, codec, session)?;
        Ok(self)
    }

    /// Serves datagrams to an address: `udp://host:port`.
    ///
    /// A reply leaves from the address that the datagram was sent to. On Linux this holds for wildcard addresses too
    /// (`0.0.0.0`, `[::]`). `factory` makes the instance of each reactor, on the reactor's thread.
    ///
    /// # Errors
    ///
    /// The address is malformed, its host is unknown, or it is not a UDP address; or there are 65,536 services.
    pub fn listen_datagrams<S: DatagramService>(
        mut self,
        at: impl Into<ListenOptions>,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self> {
        self.services.listen_datagrams(at.into(), factory)?;
        Ok(self)
    }

    /// Adds a service for outbound connections. Pass the returned [`Outbound`] to [`Context::connect`] or
    /// [`Remote::connect`].
    ///
    /// `factory` makes the instance of each reactor, on the reactor's thread.
    ///
    /// # Errors
    ///
    /// The engine has 65,536 services already. Outbound services count, and so does each address that is listened on.
    ///
    /// [`Context::connect`]: crate::Context::connect
    pub fn outbound<S: Service>(&mut self, factory: impl Fn() -> S + Send + Sync + 'static) -> Result<Outbound<S>> {
        let index = self.services.outbound(factory)?;
        Ok(Outbound { engine: self.id, index, service: PhantomData })
    }

    /// Starts the engine, and waits until a signal or [`Remote::stop`] has ended it.
    ///
    /// SIGTERM and SIGINT shut it down. A second signal, more than 100 ms after the first, ends the wait with
    /// [`Error::Interrupted`]: a `main` that returns this error ends the process.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::start`]; the handlers of signals cannot be installed; a reactor fails while it runs; or a second
    /// signal comes.
    pub fn run(self) -> Result<()> {
        let running = self.start()?;
        running.stop_on_signals()?;
        running.join()
    }

    /// Binds every address and starts the reactors, then returns. Nothing is accepted before all of it has worked.
    ///
    /// If an address is in use, it is tried again for a second, and this call blocks meanwhile.
    ///
    /// # Errors
    ///
    /// A setting is out of range, the driver cannot be used, an address cannot be listened on, or a reactor cannot
    /// start. Then nothing runs.
    pub fn start(self) -> Result<Running> {
        self.start_after(|_| Ok(()))
    }

    /// Starts the engine as [`start`](Self::start) does, with a last step before anything is accepted.
    ///
    /// `gate` is called when every address is bound and all services have started; its argument is the driver's name. It may
    /// block, for example until another process has let go of the sockets that this engine adopts.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start), and those of `gate`. Then nothing runs.
    pub fn start_after(mut self, gate: impl FnOnce(&'static str) -> Result<()>) -> Result<Running> {
        self.keepalive = keepalive::checked(self.keepalive)?;
        if !(1..=1_024).contains(&self.reactors) {
            return Err(Error::Setting(format!("{} reactors; there can be 1 to 1,024", self.reactors)));
        }
        self.limits.check()?;
        self.timeouts.check("the engine")?;
        let (usable, why) = choose(self.driver)?;
        // With io_uring, connections have no place in the process's table.
        #[cfg(target_os = "linux")]
        if matches!(usable, Usable::Poll) {
            crate::descriptors::make_room(self.limits.connections);
        }
        let upstreams = self.services.connect_sessions(0, None)?;
        let estate = Estate::new(std::mem::take(&mut self.inherited));
        let mut bound = AllBound::new(&self, estate)?;
        let drain = Times::new(self.drain_delay, self.drain_spread, self.drain_timeout);
        let mut shared = Shared::new(self.id, &self.limits, drain);
        shared.access = self.access.take();
        let quotas: Vec<_> = self.services.all.iter().map(|entry| entry.quota.clone()).collect();
        if quotas.iter().flatten().any(|quota| quota.operational) {
            shared.spares.want(self.limits.operational_reserve);
        }
        let shared = Arc::new(shared);
        let remote = Remote::new(shared.clone());
        let services: Vec<_> =
            self.services.all.iter().map(|entry| (entry.factory.clone(), entry.filters.clone())).collect();
        let (ready_sender, ready) = mpsc::channel();
        let (started_sender, started) = mpsc::channel();
        let ending = Arc::new(Ending::new(self.reactors));
        let mut threads = Vec::new();
        let mut go = Vec::new();
        for (number, sockets) in bound.sockets.drain(..).enumerate() {
            let start = Start {
                number,
                reactors: self.reactors,
                pin: self.pin,
                limits: self.limits.clone(),
                timeouts: self.timeouts,
                keepalive: self.keepalive,
                services: services.clone(),
                quotas: quotas.clone(),
                sockets,
                shared: shared.clone(),
            };
            let (go_sender, go_receiver) = mpsc::channel();
            go.push(go_sender);
            let (ready, started) = (ready_sender.clone(), started_sender.clone());
            let ended = EndedOnDrop { ending: ending.clone(), shared: shared.clone(), number };
            let body = move || {
                let _ended = ended;
                match usable {
                    #[cfg(target_os = "linux")]
                    Usable::Uring => {
                        let reactors = start.reactors;
                        start.run(
                            move || crate::driver::uring::UringDriver::new(reactors),
                            &ready,
                            &started,
                            &go_receiver,
                        )
                    }
                    Usable::Poll => start.run(PollDriver::new, &ready, &started, &go_receiver),
                }
            };
            let thread = std::thread::Builder::new().name(format!("gannet-{number}")).spawn(body);
            threads.push(thread.map_err(|error| Error::Reactor { reactor: number, error })?);
        }
        drop((ready_sender, started_sender));
        let mut gates: Vec<(usize, Gate)> = Vec::new();
        for _ in 0..self.reactors {
            match ready.recv() {
                Ok(Ok(gate)) => gates.push(gate),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(Error::Setting("a reactor's thread ended before it started".to_owned())),
            }
        }
        gates.sort_by_key(|(number, _)| *number);
        // The cell is new: nobody else sets it.
        let _ = shared.gates.set(gates.into_iter().map(|(_, gate)| gate).collect());
        // Services start when there is a way to all reactors, and before anything is accepted.
        for go in &go {
            // A thread that is gone by now shows below.
            let _ = go.send(());
        }
        for _ in 0..self.reactors {
            match started.recv() {
                Ok(result) => result?,
                Err(_) => {
                    return Err(Error::Setting("a reactor's thread ended before its services started".to_owned()));
                }
            }
        }
        gate(usable.name())?;
        go.iter().for_each(|go| {
            let _ = go.send(());
        });
        for _ in 0..self.reactors {
            match started.recv() {
                Ok(result) => result?,
                Err(_) => return Err(Error::Setting("a reactor's thread ended before it listened".to_owned())),
            }
        }
        let acceptor = if bound.central.is_empty() {
            None
        } else {
            let central = std::mem::take(&mut bound.central);
            let pace = self.limits.accepts_per_second;
            Some(Acceptor::start(central, self.balance, pace, &shared)?)
        };
        go.iter().for_each(|go| {
            // A thread that is gone by now shows in `join`.
            let _ = go.send(());
        });
        bound.entries.iter_mut().for_each(Entry::adopt_file);
        let addresses = bound.entries.iter().filter_map(|entry| entry.address().cloned()).collect();
        let state = State {
            entries: bound.entries,
            upstreams,
            limits: self.limits,
            timeouts: self.timeouts,
            keepalive: self.keepalive,
            acceptor,
            generation: 0,
            is_withdrawn: false,
        };
        let takes_descriptors = matches!(usable, Usable::Poll);
        let spread = Spread { reactors: self.reactors, balance: self.balance };
        let control = Arc::new(Control::new(shared, spread, takes_descriptors, state));
        Ok(Running { remote, control, ending, threads, addresses, driver: usable.name(), why })
    }
}

/// Everything that was bound, before anything runs.
struct AllBound {
    /// By reactor.
    sockets: Vec<Vec<(ListenerId, Own)>>,
    /// What the acceptor listens on.
    central: Vec<Central>,
    /// By service.
    entries: Vec<Entry>,
}

impl AllBound {
    fn new(engine: &Engine, mut estate: Estate) -> Result<Self> {
        let spread = Spread { reactors: engine.reactors, balance: engine.balance };
        let mut all = Self {
            sockets: (0..engine.reactors).map(|_| Vec::new()).collect(),
            central: Vec::new(),
            entries: engine.services.all.iter().map(Entry::new).collect(),
        };
        for (index, service) in binding_order(&engine.services.all) {
            let Some(address) = &service.address else { continue };
            let id = index as ListenerId;
            let bound = Bound::new(id, service, address, spread, engine.keepalive, &mut estate)?;
            let (own, central) = all.entries[index].listen(bound);
            for (list, socket) in all.sockets.iter_mut().zip(own) {
                list.extend(socket.map(|socket| (id, socket)));
            }
            all.central.extend(central);
        }
        let listeners = engine.services.all.iter();
        estate.warn_of_rest(listeners.filter_map(|one| Some((&*one.name, &*one.url, one.address.as_ref()?))));
        Ok(all)
    }
}

/// Everything a reactor's thread needs to make its reactor.
struct Start {
    number: usize,
    reactors: usize,
    pin: bool,
    limits: Limits,
    timeouts: Timeouts,
    keepalive: Option<Duration>,
    services: Vec<(Factory, Option<Arc<dyn FilterFactory>>)>,
    quotas: Vec<Option<Arc<Quota>>>,
    sockets: Vec<(ListenerId, Own)>,
    shared: Arc<Shared>,
}

impl Start {
    /// The body of a reactor's thread.
    fn run<D: Driver>(
        mut self,
        make: impl FnOnce() -> std::io::Result<D>,
        ready: &mpsc::Sender<Result<(usize, Gate)>>,
        started: &mpsc::Sender<Result<()>>,
        go: &mpsc::Receiver<()>,
    ) -> Result<()> {
        let (number, shared) = (self.number, self.shared.clone());
        let (sockets, quotas) = (std::mem::take(&mut self.sockets), self.quotas.clone());
        let starting = Starting::new(number, self.reactors, Remote::new(shared.clone()));
        let failed = |error| Error::Reactor { reactor: number, error };
        let (gate, mut reactor) = match self.build(make) {
            Ok(built) => built,
            Err(error) => {
                let _ = ready.send(Err(failed(error)));
                return Ok(());
            }
        };
        let _ = ready.send(Ok((number, gate)));
        if go.recv().is_err() {
            // Another reactor could not start: neither do we.
            return Ok(());
        }
        let _ = started.send(reactor.start(&starting));
        if go.recv().is_err() {
            // A service could not start, here or elsewhere.
            return Ok(());
        }
        let listens = reactor.listen(sockets).map_err(failed);
        reactor.quotas(quotas);
        let _ = started.send(listens);
        if go.recv().is_err() {
            return Ok(());
        }
        reactor.begin_accepting();
        // However this thread ends, the others must not run on without it.
        let _stop = StopOnDrop(shared);
        reactor.run().map_err(failed)
    }

    fn build<D: Driver>(self, make: impl FnOnce() -> std::io::Result<D>) -> std::io::Result<(Gate, Reactor<D>)> {
        if self.pin {
            pin_to(self.number);
        }
        // After the thread was pinned, so that the driver's buffers are local to its processor.
        let driver = make()?;
        let (sender, receiver) = mailbox(self.limits.mailbox, self.services.len(), driver.waker());
        let counters = Arc::new(ReactorCounters::new(self.services.len()));
        let per_reactor = self.limits.accepts_per_second.div_ceil(self.reactors as u32);
        let pace = Pace::new(per_reactor, tick(driver.now()));
        let (number, clock) = (self.number as u16, driver.now());
        let mut limits = self.limits;
        limits.carries = limits.carries.div_ceil(self.reactors);
        let mut core = Core::new(number, Live::CAPACITY, clock, limits, counters.clone(), self.shared);
        core.closed.share(self.reactors);
        core.keepalive = self.keepalive;
        let (live, orders) = (core.live.clone(), core.orders.clone());
        let services: Vec<_> = self.services.iter().map(|(factory, _)| factory(self.timeouts)).collect();
        for served in &services {
            if let Served::Connections(host) = served {
                let checked = host.timeouts().check(host.name());
                checked.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error.to_string()))?;
            }
        }
        let mut reactor = Reactor::new(driver, core, services, receiver, Vec::new(), pace);
        reactor.timeouts(self.timeouts);
        for (service, (_, filters)) in self.services.into_iter().enumerate() {
            if let Some(filters) = filters {
                reactor.filter(service as ServiceId, filters);
            }
        }
        Ok((Gate { sender, counters, live, orders }, reactor))
    }
}

/// Says that a reactor's thread has ended, however that came.
struct EndedOnDrop {
    ending: Arc<Ending>,
    shared: Arc<Shared>,
    number: usize,
}

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        self.shared.steps.ended(self.number);
        self.ending.reactor_ended();
    }
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(None);
        if self.0.drains.reactor_ended(self.0.gates().len()) {
            self.0.ring();
        }
    }
}

#[cfg(target_os = "linux")]
fn pin_to(number: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    // Among the processors this process may use: in a container those are not numbered from 0.
    let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect();
    let Some(&processor) = processors.get(number % processors.len().max(1)) else { return };
    let mut set = CpuSet::new();
    set.set(processor);
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!(reactor = number, processor, %error, "a reactor could not be pinned");
    }
}

#[cfg(not(target_os = "linux"))]
fn pin_to(number: usize) {
    tracing::warn!(reactor = number, "reactors can be pinned on Linux only");
}

/// Controls an engine that runs.
///
/// To end an engine in order, call [`Remote::stop`] and then [`join`](Self::join): clients are told, and accepted output is
/// sent, within [`Engine::drain_spread`] and [`Engine::drain_timeout`].
///
/// Dropping a `Running` ends the engine at once, without that grace: listeners and connections close, and unsent output is
/// lost. [`Service::shutdown`] is not called, [`Service::close`] is. The drop waits for the reactors' threads, which takes
/// as long as the callbacks that run at this moment. To let an engine run on, keep its `Running`, or have a thread `join` it.
#[must_use = "dropping it ends the engine at once; `join` waits for its end"]
pub struct Running {
    remote: Remote,
    control: Arc<Control>,
    ending: Arc<Ending>,
    threads: Vec<JoinHandle<Result<()>>>,
    addresses: Vec<Address>,
    driver: &'static str,
    why: String,
}

impl Running {
    /// Returns a reference to the engine that works from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Returns what passes the listening sockets on to another process.
    #[must_use]
    pub fn handover(&self) -> Handover {
        Handover { control: self.control.clone() }
    }

    /// Returns what changes the engine while it runs, from any thread.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes { control: self.control.clone() }
    }

    /// Applies a plan, as [`Changes::apply`] describes it.
    ///
    /// # Errors
    ///
    /// Those of [`Changes::apply`].
    pub fn apply(&self, plan: Plan) -> Result<Applied> {
        self.changes().apply(plan)
    }

    /// Returns the addresses that the engine started with, in the order in which they were added.
    ///
    /// Where port 0 was asked for, they have the port that the system chose. [`Remote::listeners`] returns those of now.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// Returns the driver's name (`uring` or `poll`), and a sentence that says why it was chosen.
    #[must_use]
    pub fn driver(&self) -> (&'static str, &str) {
        (self.driver, &self.why)
    }

    /// Shuts the engine down on SIGTERM or SIGINT, when [`Engine::drain_delay`] is over.
    ///
    /// A second signal, more than 100 ms after the first, closes all connections at once and makes [`join`](Self::join)
    /// return [`Error::Interrupted`]. The process goes on, so return from `main` then. A thread waits for the signals.
    ///
    /// # Errors
    ///
    /// The handlers or the thread cannot be installed.
    pub fn stop_on_signals(&self) -> Result<()> {
        crate::signals::stop_on_signals(self.remote(), self.ending.clone())
    }

    /// Blocks until the engine has ended, by [`Remote::stop`] or by a signal (see
    /// [`stop_on_signals`](Self::stop_on_signals)).
    ///
    /// # Errors
    ///
    /// - The error of the first reactor that failed.
    /// - [`Error::Interrupted`] after a second signal. The reactors' threads are not waited for.
    pub fn join(mut self) -> Result<()> {
        if self.ending.wait() {
            // A callback may block, which may be why somebody lost patience.
            self.threads.clear();
            self.control.leave_acceptor();
            return Err(Error::Interrupted);
        }
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let mut result = Ok(());
        for (reactor, thread) in self.threads.drain(..).enumerate() {
            let ended = thread.join().unwrap_or_else(|_| {
                Err(Error::Reactor { reactor, error: std::io::Error::other("its thread panicked; this is a bug") })
            });
            result = result.and(ended);
        }
        self.control.ended();
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.remote.abort();
        if let Err(error) = self.wait() {
            tracing::error!(%error, "the engine ended with an error");
        }
    }
}
