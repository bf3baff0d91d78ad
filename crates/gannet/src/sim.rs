//! Whole engines on a simulated network, for the tests of services: one thread, virtual time, and chance from a seed.
//!
//! Each reactor has a network of its own, which does to it what `driver/sim` does: everything comes in pieces and late,
//! accepts fail, and so on. The script of the test decides what the clients do, and the servers that the engine connects to.
#![allow(clippy::missing_panics_doc, reason = "here a panic is how a test fails")]

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gannet_proto::Codec;

use crate::core::Core;
use crate::counters::ReactorCounters;
use crate::drain::Times;
use crate::driver::Driver as _;
use crate::driver::sim::{Faults, Random, SimClient, SimDriver, SimNet};
use crate::handle::Live;
use crate::host::{HostOf, Outbound, Served};
use crate::limits::{Limits, Timeouts};
use crate::listener::Pace;
use crate::mailbox::mailbox;
use crate::reactor::Reactor;
use crate::remote::{Gate, Remote, Shared, new_engine_id};
use crate::service::{Service, Starting};
use crate::session;
use crate::wheel::tick;

pub use crate::driver::sim::Answer;

/// The longest that a reactor waits in one turn, in microseconds.
const LONGEST_WAIT_US: usize = 3_000;

/// The least that a network holds in each direction of a connection, in bytes.
const SMALLEST_WINDOW: usize = 512;

/// What runs on each reactor of a simulated engine.
pub struct Services<'f> {
    engine: u16,
    timeouts: Timeouts,
    factories: Vec<Box<dyn FnMut() -> Served + 'f>>,
}

impl<'f> Services<'f> {
    /// Nothing yet. The first service that is added listens: clients are its connections.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        Self { engine: new_engine_id(), timeouts, factories: Vec::new() }
    }

    /// Adds a service.
    #[must_use]
    pub fn service<S: Service>(mut self, factory: impl FnMut() -> S + 'f) -> Self {
        self.add(factory);
        self
    }

    /// Adds sequential sessions.
    #[must_use]
    pub fn sessions<C, M, F>(self, codec: impl Fn() -> C + Send + Sync + 'static, session: M) -> Self
    where
        C: Codec,
        M: Fn(session::Connection<C>) -> F + Send + Sync + 'static,
        F: Future<Output = session::Result> + 'static,
    {
        self.service(session::factory(codec, session, Arc::default()))
    }

    /// Adds a service for outbound connections.
    pub fn outbound<S: Service>(&mut self, factory: impl FnMut() -> S + 'f) -> Outbound<S> {
        let index = self.factories.len() as u16;
        self.add(factory);
        Outbound { engine: self.engine, index, service: PhantomData }
    }

    fn add<S: Service>(&mut self, mut factory: impl FnMut() -> S + 'f) {
        let timeouts = self.timeouts;
        self.factories.push(Box::new(move || Served::Connections(Box::new(HostOf::new(factory(), timeouts)))));
    }
}

/// An engine whose reactors turn when the test says so.
pub struct Simulation {
    reactors: Vec<Reactor<SimDriver>>,
    nets: Vec<SimNet>,
    remote: Remote,
    random: Random,
    clients: u16,
}

impl Simulation {
    /// One service on some reactors. All that happens follows from the seed.
    pub fn new<S: Service>(
        seed: u64,
        reactors: u16,
        limits: &Limits,
        timeouts: Timeouts,
        factory: impl FnMut() -> S,
    ) -> Self {
        Self::with(seed, reactors, limits, Services::new(timeouts).service(factory), Faults::wild)
    }

    /// One service on one reactor, on a network that delivers everything at once: for tests that are not about the network.
    pub fn calm<S: Service>(limits: &Limits, timeouts: Timeouts, factory: impl FnMut() -> S) -> Self {
        Self::with(0, 1, limits, Services::new(timeouts).service(factory), |_| Faults::none())
    }

    /// Several services on some reactors. All that happens follows from the seed.
    #[must_use]
    pub fn of(seed: u64, reactors: u16, limits: &Limits, services: Services<'_>) -> Self {
        Self::with(seed, reactors, limits, services, Faults::wild)
    }

    /// Several services on some reactors, on a network where all comes late and in pieces, but nothing fails by itself.
    #[must_use]
    pub fn gentle(seed: u64, reactors: u16, limits: &Limits, services: Services<'_>) -> Self {
        Self::with(seed, reactors, limits, services, Faults::gentle)
    }

    fn with(
        seed: u64,
        reactors: u16,
        limits: &Limits,
        mut services: Services<'_>,
        mut faults_of: impl FnMut(&mut Random) -> Faults,
    ) -> Self {
        let mut random = Random::new(seed);
        let drain = Times::new(Duration::ZERO, Duration::ZERO, Duration::from_secs(1));
        let shared = Arc::new(Shared::new(services.engine, limits, drain));
        let count = services.factories.len();
        let (mut gates, mut built, mut nets) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..reactors {
            let mut faults = faults_of(&mut random);
            // Smaller ones would need very many turns for what a service sends to all.
            faults.window = faults.window.max(SMALLEST_WINDOW);
            let net = SimNet::new(random.next(), faults);
            let mut driver = net.driver();
            driver.listen_here(0);
            let (sender, receiver) = mailbox(limits.mailbox, count, driver.waker());
            let counters = Arc::new(ReactorCounters::new(count));
            let pace = Pace::new(limits.accepts_per_second, tick(driver.now()));
            let mut core =
                Core::new(number, Live::CAPACITY, driver.now(), limits.clone(), counters.clone(), shared.clone());
            core.closed.share(reactors.into());
            gates.push(Gate { sender, counters, live: core.live.clone(), orders: core.orders.clone() });
            let served = services.factories.iter_mut().map(|make| make()).collect();
            built.push(Reactor::new(driver, core, served, receiver, vec![0], pace));
            nets.push(net);
        }
        assert!(shared.gates.set(gates.into_boxed_slice()).is_ok(), "a new engine has no gates");
        let remote = Remote::new(shared);
        for (number, reactor) in built.iter_mut().enumerate() {
            let starting = Starting::new(number, reactors.into(), remote.clone());
            reactor.start(&starting).expect("its services start");
        }
        Self { reactors: built, nets, remote, random, clients: 0 }
    }

    /// A client of one of the reactors.
    pub fn connect(&mut self, reactor: usize) -> SimulatedClient {
        self.connect_from(reactor, Ipv4Addr::LOCALHOST.into())
    }

    /// A client of one of the reactors, on a machine with this address.
    pub fn connect_from(&mut self, reactor: usize, machine: IpAddr) -> SimulatedClient {
        self.clients += 1;
        let from = SocketAddr::new(machine, self.clients);
        SimulatedClient(self.nets[reactor].connect(0, from))
    }

    /// Decides what becomes of connections that a reactor makes to an address.
    pub fn answer(&mut self, reactor: usize, address: SocketAddr, answer: Answer) {
        self.nets[reactor].answer(address, answer);
    }

    /// The next connection that a reactor has made to an address, as its server sees it.
    pub fn accept(&mut self, reactor: usize, address: SocketAddr) -> Option<SimulatedClient> {
        self.nets[reactor].accept(address).map(SimulatedClient)
    }

    /// How many connections a reactor has made and not closed, those that are not up yet included.
    #[must_use]
    pub fn outbound(&self, reactor: usize) -> usize {
        self.nets[reactor].outbound()
    }

    /// Lets each reactor turn once, waiting for a time by chance.
    pub fn turn(&mut self) {
        for reactor in &mut self.reactors {
            let longest = Duration::from_micros(self.random.below(LONGEST_WAIT_US) as u64);
            reactor.turn(Some(longest)).expect("the simulated driver waits");
        }
    }

    /// Lets each reactor turn once, waiting for this time at most.
    pub fn turn_within(&mut self, longest: Duration) {
        for reactor in &mut self.reactors {
            reactor.turn(Some(longest)).expect("the simulated driver waits");
        }
    }

    /// The virtual time of the first reactor's last turn.
    pub fn now(&mut self) -> Duration {
        self.reactors[0].core().clock
    }

    /// The virtual time of a reactor's last turn.
    pub fn now_of(&mut self, reactor: usize) -> Duration {
        self.reactors[reactor].core().clock
    }

    /// A number below `bound`, which is not 0: chance for the script.
    pub fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound)
    }

    /// The way into the engine.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Whether all reactors have ended, after [`Remote::stop`].
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.reactors.iter().all(Reactor::is_done)
    }

    /// Fails the test where something is left of connections that are gone.
    pub fn assert_nothing_left(&mut self) {
        for reactor in &mut self.reactors {
            assert_eq!(reactor.sessions(), 0, "sessions");
            let core = reactor.core();
            assert!(core.slab.is_empty(), "slots");
            assert_eq!(core.groups.len(), 0, "groups with members");
            assert!(core.dirty.is_empty() && core.deferred.is_empty(), "things to do");
            assert_eq!(core.counters.outbox_bytes.get(), 0, "bytes in outboxes");
        }
    }
}

/// The other end of a simulated connection, client or server. Dropping it closes it: by a reset where something was unread.
pub struct SimulatedClient(SimClient);

impl SimulatedClient {
    /// Writes what there is room for.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where there is none, or that the connection is broken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Reads what is there; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where nothing is, or that the connection is broken.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }

    /// Ends its direction of the stream.
    pub fn shutdown(&mut self) {
        self.0.shutdown();
    }

    /// Breaks the connection.
    pub fn reset(self) {
        self.0.reset();
    }
}
