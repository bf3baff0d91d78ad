//! The engine: starts the reactors, owns the listeners, shuts down.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::acceptor::{Acceptor, Balance, Central};
use crate::access::Access;
use crate::address::Address;
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
use crate::handover::{Adopted, Estate, Handover, Inherited, Known};
use crate::host::{HostOf, Outbound};
use crate::ids::{ListenerId, ServiceId};
use crate::keepalive;
use crate::limits::{Limits, Timeouts};
use crate::listen_options::{ListenOptions, UnixAccess};
use crate::listener::{OwnSocket, Pace, SocketFile, bind_udp, listen_tcp, listen_unix, retry_in_use};
use crate::mailbox::mailbox;
use crate::quota::Quota;
use crate::reactor::{Reactor, Served};
use crate::remote::{Gate, Remote, Shared, new_engine_id};
use crate::service::{DatagramService, Service, Starting};
use crate::spares::Spares;
use crate::wheel::tick;

type Factory = Arc<dyn Fn(Timeouts) -> Served + Send + Sync>;

/// One service of an engine: where it listens, if it does, and how its instances are made.
struct ServicePlan {
    /// What its listener is called; nothing for those that do not listen.
    name: String,
    address: Option<Address>,
    keepalive: Option<Option<Duration>>,
    unix: UnixAccess,
    /// Of those that listen.
    quota: Option<Arc<Quota>>,
    factory: Factory,
    /// What stands between its connections and their codec.
    filters: Option<Arc<dyn FilterFactory>>,
}

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
    entries: Vec<ServicePlan>,
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
            entries: Vec::new(),
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
        let options = at.into();
        let addresses = options.addresses()?;
        let why = match addresses.first() {
            Some(Address::Udp(_)) => "datagrams have listen_datagrams",
            Some(Address::Tls(_)) => "TLS needs a certificate: listen_filtered",
            _ => {
                self.add_listeners(&options, addresses, None, &connections(factory))?;
                return Ok(self);
            }
        };
        Err(Error::Address { url: options.url, why: why.to_owned() })
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
        let options = at.into();
        let addresses = options.addresses()?;
        if matches!(addresses[..], [Address::Udp(_), ..]) {
            return Err(Error::Address { url: options.url, why: "datagrams have no filter".to_owned() });
        }
        self.add_listeners(&options, addresses, Some(&filters), &connections(factory))?;
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
        let options = at.into();
        let addresses = options.addresses()?;
        if !matches!(addresses[..], [Address::Udp(_), ..]) {
            return Err(Error::Address { url: options.url, why: "datagrams come to udp://host:port".to_owned() });
        }
        let factory: Factory = Arc::new(move |_| Served::Datagrams(Box::new(factory())));
        self.add_listeners(&options, addresses, None, &factory)?;
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
        let factory = connections(factory);
        let index = self.add(ServicePlan {
            name: String::new(),
            address: None,
            keepalive: None,
            unix: UnixAccess::default(),
            quota: None,
            factory,
            filters: None,
        })?;
        Ok(Outbound { engine: self.id, index, service: PhantomData })
    }

    fn add_listeners(
        &mut self,
        options: &ListenOptions,
        addresses: Vec<Address>,
        filters: Option<&Arc<dyn FilterFactory>>,
        factory: &Factory,
    ) -> Result<()> {
        let keepalive = options.keepalive.map(keepalive::checked).transpose()?;
        for address in addresses {
            let quota = Quota::new(options.operational, options.connections, options.connections_per_peer)
                .proxied(options.proxy.clone());
            self.add(ServicePlan {
                name: options.url.clone(),
                address: Some(address),
                keepalive,
                unix: options.unix,
                quota: Some(Arc::new(quota)),
                factory: with_timeouts(factory, options.timeouts),
                filters: filters.cloned(),
            })?;
        }
        Ok(())
    }

    fn add(&mut self, entry: ServicePlan) -> Result<ServiceId> {
        let index = ServiceId::try_from(self.entries.len()).map_err(|_| {
            Error::Setting("an engine can have at most 65,536 services, outbound ones included".to_owned())
        })?;
        self.entries.push(entry);
        Ok(index)
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
        let estate = Estate::new(std::mem::take(&mut self.inherited));
        let mut bound = Bound::new(&self, estate)?;
        let drain = Times::new(self.drain_delay, self.drain_spread, self.drain_timeout);
        let mut shared = Shared::new(self.id, &self.limits, drain);
        shared.keepalive = self.keepalive;
        shared.access = self.access.take();
        let quotas: Vec<_> = self.entries.iter().map(|entry| entry.quota.clone()).collect();
        if quotas.iter().flatten().any(|quota| quota.operational) {
            shared.spares = Spares::new(self.limits.operational_reserve);
        }
        shared.names = bound.names(&self.entries).into();
        let shared = Arc::new(shared);
        let remote = Remote::new(shared.clone());
        let services: Vec<_> =
            self.entries.iter().map(|entry| (entry.factory.clone(), entry.filters.clone())).collect();
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
                services: services.clone(),
                quotas: quotas.clone(),
                sockets,
                shared: shared.clone(),
            };
            let (go_sender, go_receiver) = mpsc::channel();
            go.push(go_sender);
            let (ready, started) = (ready_sender.clone(), started_sender.clone());
            let ended = EndedOnDrop(ending.clone());
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
            Some(Acceptor::start(central, self.balance, pace, self.entries.len(), &shared)?)
        };
        go.iter().for_each(|go| {
            // A thread that is gone by now shows in `join`.
            let _ = go.send(());
        });
        let listening = self.entries.iter().enumerate().filter(|(_, entry)| entry.address.is_some());
        let known = listening.map(|(id, entry)| {
            let (name, url) = (entry.name.clone(), entry.name.clone());
            Known { id: id as ListenerId, name, url }
        });
        let handover = Handover {
            shared,
            listeners: known.collect(),
            files: Arc::new(Mutex::new(bound.files)),
            threads: self.reactors + usize::from(acceptor.is_some()),
            turn: Arc::default(),
        };
        Ok(Running {
            remote,
            ending,
            threads,
            acceptor,
            addresses: bound.addresses,
            handover,
            driver: usable.name(),
            why,
        })
    }
}

/// A factory that gives its service the deadlines of a listener in place of the engine's.
fn with_timeouts(factory: &Factory, own: Option<Timeouts>) -> Factory {
    let factory = factory.clone();
    match own {
        Some(own) => Arc::new(move |_| factory(own)),
        None => factory,
    }
}

fn connections<S: Service>(factory: impl Fn() -> S + Send + Sync + 'static) -> Factory {
    Arc::new(move |timeouts| Served::Connections(Box::new(HostOf::new(factory(), timeouts))))
}

/// Everything that was bound, before anything runs.
struct Bound {
    /// By reactor.
    sockets: Vec<Vec<(ListenerId, OwnSocket, bool)>>,
    /// What the acceptor listens on.
    central: Vec<Central>,
    addresses: Vec<Option<Address>>,
    files: Vec<SocketFile>,
}

impl Bound {
    /// The listeners by their names, and by their addresses where these are others.
    fn names(&self, entries: &[ServicePlan]) -> Vec<(String, ListenerId)> {
        let listening = entries.iter().zip(&self.addresses).enumerate();
        let each = listening.filter_map(|(id, (entry, address))| Some((id as ListenerId, entry, address.as_ref()?)));
        each.flat_map(|(id, entry, address)| {
            let address = Some(address.to_string()).filter(|address| *address != entry.name);
            std::iter::once(entry.name.clone()).chain(address).map(move |name| (name, id))
        })
        .collect()
    }

    fn new(engine: &Engine, mut estate: Estate) -> Result<Self> {
        let reactors = engine.reactors;
        let mut bound = Self {
            sockets: (0..reactors).map(|_| Vec::new()).collect(),
            central: Vec::new(),
            addresses: vec![None; engine.entries.len()],
            files: Vec::new(),
        };
        // Unix sockets come last: a signal that ends the process while another address is tried again leaves no file.
        let is_unix = |entry: &ServicePlan| matches!(entry.address, Some(Address::Unix(_)));
        let entries = || engine.entries.iter().enumerate();
        let others = entries().filter(|(_, entry)| !is_unix(entry));
        for (index, entry) in others.chain(entries().filter(|(_, entry)| is_unix(entry))) {
            let id = index as ListenerId;
            let failed = |error| Error::Listen {
                url: entry.address.as_ref().map(ToString::to_string).unwrap_or_default(),
                error,
            };
            let operational = entry.quota.as_ref().is_some_and(|quota| quota.operational);
            let central = |socket| Central { listener: id, socket, operational, is_suspended: false, is_shared: false };
            let inherited = entry.address.as_ref().map(|address| estate.take(&entry.name, address));
            let address = match &entry.address {
                None => None,
                Some(address) if inherited.as_ref().is_some_and(|inherited| !inherited.is_empty()) => {
                    let keepalive = entry.keepalive.unwrap_or(engine.keepalive);
                    let inherited = inherited.unwrap_or_default();
                    let adopted =
                        Adopted::new(inherited, address, keepalive, engine.balance, reactors).map_err(failed)?;
                    for (reactor, socket) in adopted.own.into_iter().enumerate() {
                        bound.sockets[reactor].push((id, socket, true));
                    }
                    let shared =
                        adopted.central.into_iter().map(|socket| Central { is_shared: true, ..central(socket) });
                    bound.central.extend(shared);
                    bound.files.extend(adopted.file);
                    Some(adopted.address)
                }
                Some(Address::Tcp(bind) | Address::Tls(bind)) => {
                    let spread = engine.balance == Balance::ReusePort || reactors == 1;
                    let count = if spread { reactors } else { 1 };
                    let keepalive = entry.keepalive.unwrap_or(engine.keepalive);
                    let (address, sockets) = retry_in_use(|| listen_tcp(*bind, count, keepalive)).map_err(failed)?;
                    if spread {
                        let sockets = sockets.into_iter().map(|socket| (id, OwnSocket::Listen(socket), false));
                        bound.sockets.iter_mut().zip(sockets).for_each(|(list, socket)| list.push(socket));
                    } else {
                        bound.central.extend(sockets.into_iter().map(central));
                    }
                    let is_tls = matches!(entry.address, Some(Address::Tls(_)));
                    Some(if is_tls { Address::Tls(address) } else { Address::Tcp(address) })
                }
                Some(Address::Unix(path)) => {
                    let (file, socket) = retry_in_use(|| listen_unix(path, entry.unix)).map_err(failed)?;
                    bound.files.extend(file);
                    if reactors == 1 {
                        bound.sockets[0].push((id, OwnSocket::Listen(socket), false));
                    } else {
                        bound.central.push(central(socket));
                    }
                    Some(Address::Unix(path.clone()))
                }
                Some(Address::Udp(address)) => {
                    let count = if engine.balance == Balance::ReusePort { reactors } else { 1 };
                    let (address, sockets) = retry_in_use(|| bind_udp(*address, count)).map_err(failed)?;
                    let sockets = sockets.into_iter().map(|socket| (id, OwnSocket::Datagram(socket), false));
                    bound.sockets.iter_mut().zip(sockets).for_each(|(list, socket)| list.push(socket));
                    Some(Address::Udp(address))
                }
            };
            bound.addresses[index] = address;
        }
        estate.warn_of_rest();
        Ok(bound)
    }
}

/// Everything a reactor's thread needs to make its reactor.
struct Start {
    number: usize,
    reactors: usize,
    pin: bool,
    limits: Limits,
    timeouts: Timeouts,
    services: Vec<(Factory, Option<Arc<dyn FilterFactory>>)>,
    quotas: Vec<Option<Arc<Quota>>>,
    sockets: Vec<(ListenerId, OwnSocket, bool)>,
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
        let (live, orders) = (core.live.clone(), core.orders.clone());
        let services: Vec<_> = self.services.iter().map(|(factory, _)| factory(self.timeouts)).collect();
        for served in &services {
            if let Served::Connections(host) = served {
                let checked = host.timeouts().check(host.name());
                checked.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error.to_string()))?;
            }
        }
        let mut reactor = Reactor::new(driver, core, services, receiver, Vec::new(), pace);
        for (service, (_, filters)) in self.services.into_iter().enumerate() {
            if let Some(filters) = filters {
                reactor.filter(service as ServiceId, filters);
            }
        }
        Ok((Gate { sender, counters, live, orders }, reactor))
    }
}

/// Says that a reactor's thread has ended, however that came.
struct EndedOnDrop(Arc<Ending>);

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        self.0.reactor_ended();
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
    ending: Arc<Ending>,
    threads: Vec<JoinHandle<Result<()>>>,
    acceptor: Option<Acceptor>,
    addresses: Vec<Option<Address>>,
    handover: Handover,
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
        self.handover.clone()
    }

    /// Returns the addresses that are listened on, in the order in which they were added.
    ///
    /// Where port 0 was asked for, they have the port that the system chose.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter().flatten()
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
            self.acceptor = None;
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
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join();
        }
        self.handover.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
