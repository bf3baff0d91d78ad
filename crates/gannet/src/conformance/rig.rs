//! A reactor on the test's own thread, and what a test does around it: turn until something holds, never sleep.

use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Client, Net};
use crate::access::{Access, AccessRules};
use crate::address::Address;
use crate::close_reason::CloseReason;
use crate::core::Core;
use crate::counters::{ReactorCounters, ReactorStats, ServiceStats};
use crate::drain::Times;
use crate::driver::Driver;
use crate::error::Error;
use crate::filter::FilterFactory;
use crate::handle::Live;
use crate::host::{HostOf, Outbound, Served};
use crate::ids::{ListenerId, ServiceId};
use crate::limits::{Limits, Timeouts};
use crate::listener::{OwnSocket, Pace};
use crate::mailbox::mailbox;
use crate::quota::Quota;
use crate::reactor::Reactor;
use crate::remote::{Gate, Listening, Remote, Shared, new_engine_id};
use crate::service::Service;
use crate::steps::{Addition, Commit, Factory, Own, Step};
use crate::wheel::tick;

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a test with one rig may turn in all, where it waits without [`Rig::until`].
const LIFETIME: Duration = Duration::from_secs(600);

/// What one turn waits for at most.
const STEP: Duration = Duration::from_millis(1);

/// How a client's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Finished,
    Reset,
}

/// What shall run on the reactor.
pub(crate) struct Setup {
    id: u16,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) drain_timeout: Duration,
    pub(crate) drain_spread: Duration,
    /// Connections that the reactor has room for.
    pub(crate) slots: u32,
    services: Vec<Served>,
    filters: Vec<(ListenerId, Arc<dyn FilterFactory>)>,
    listening: Vec<ListenerId>,
    quotas: Vec<(ListenerId, Quota)>,
    pub(crate) access: Option<Arc<Access>>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            id: new_engine_id(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            drain_timeout: Duration::from_secs(30),
            drain_spread: Duration::ZERO,
            slots: Live::CAPACITY,
            services: Vec::new(),
            filters: Vec::new(),
            listening: Vec::new(),
            quotas: Vec::new(),
            access: None,
        }
    }

    pub(crate) fn timeouts(mut self, change: impl FnOnce(&mut Timeouts)) -> Self {
        change(&mut self.timeouts);
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn listen<S: Service>(mut self, service: S) -> Self {
        self.listening.push(self.services.len() as ListenerId);
        self.services.push(Served::Connections(Box::new(HostOf::new(service, self.timeouts))));
        self
    }

    /// Puts filters between the last listener's connections and its service.
    pub(crate) fn filtered(mut self, filters: Arc<dyn FilterFactory>) -> Self {
        self.filters.push((self.services.len() as ListenerId - 1, filters));
        self
    }

    /// Lets in who these rules let in.
    pub(crate) fn access(mut self, rules: &AccessRules) -> Self {
        self.access = Some(Arc::new(Access::new(rules).expect("no contradiction")));
        self
    }

    /// Says what the last listener may have.
    pub(crate) fn quota(mut self, quota: Quota) -> Self {
        self.quotas.push((self.services.len() as ListenerId - 1, quota));
        self
    }

    pub(crate) fn outbound<S: Service>(&mut self, service: S) -> Outbound<S> {
        let index = self.services.len() as u16;
        self.services.push(Served::Connections(Box::new(HostOf::new(service, self.timeouts))));
        Outbound { engine: self.id, index, service: PhantomData }
    }

    /// Builds the reactor on a network.
    pub(crate) fn on<N: Net>(self, mut net: N) -> Rig<N> {
        let mut driver = net.driver();
        for listener in &self.listening {
            net.listen(&mut driver, *listener);
        }
        let drain = Times::new(Duration::ZERO, self.drain_spread, self.drain_timeout);
        let mut shared = Shared::new(self.id, &self.limits, drain);
        shared.access = self.access;
        let shared = Arc::new(shared);
        let listening = self.listening.iter().map(|listener| Listening {
            service: usize::from(*listener),
            name: format!("listener {listener}"),
            url: String::new(),
            address: Address::Tcp(([127, 0, 0, 1], *listener).into()),
            is_open: true,
        });
        shared.set_listening(listening.collect());
        let (sender, receiver) = mailbox(self.limits.mailbox, self.services.len(), driver.waker());
        let counters = Arc::new(ReactorCounters::new(self.services.len()));
        let pace = Pace::new(self.limits.accepts_per_second, tick(driver.now()));
        let core = Core::new(0, self.slots, driver.now(), self.limits, counters.clone(), shared.clone());
        let (live, orders) = (core.live.clone(), core.orders.clone());
        let mut quotas = vec![None; self.services.len()];
        self.listening.iter().for_each(|listener| quotas[usize::from(*listener)] = Some(Arc::default()));
        for (listener, quota) in self.quotas {
            quotas[usize::from(listener)] = Some(Arc::new(quota));
        }
        let mut reactor = Reactor::new(driver, core, self.services, receiver, self.listening, pace);
        reactor.quotas(quotas);
        reactor.timeouts(self.timeouts);
        for (listener, filters) in self.filters {
            reactor.filter(listener, filters);
        }
        let gates = vec![Gate { sender, counters, live, orders }].into_boxed_slice();
        assert!(shared.gates.set(gates).is_ok(), "a new engine has no gates");
        let last_turn = reactor.driver().now();
        #[allow(clippy::disallowed_methods)] // A bound on real time, whatever time the driver has.
        let began = Instant::now();
        Rig { remote: Remote::new(shared.clone()), reactor, net, shared, began, last_turn }
    }
}

/// See the module.
pub(crate) struct Rig<N: Net> {
    pub(crate) reactor: Reactor<N::Driver>,
    pub(crate) remote: Remote,
    pub(crate) net: N,
    shared: Arc<Shared>,
    began: Instant,
    /// The reactor's time when its last turn began.
    last_turn: Duration,
}

/// Plans, step by step.
impl<N: Net> Rig<N> {
    /// Has the reactor make a service that listens, and says what came of it.
    pub(crate) fn prepare(
        &mut self,
        service: ServiceId,
        factory: impl Fn(Timeouts) -> Served + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let own = Own { socket: OwnSocket::Listen(self.net.socket(service)), is_shared: false };
        self.prepare_with(service, vec![Mutex::new(Some(own))], Arc::new(factory))
    }

    /// The same for a service that will get the socket of another one.
    pub(crate) fn prepare_without_socket(
        &mut self,
        service: ServiceId,
        factory: impl Fn(Timeouts) -> Served + Send + Sync + 'static,
    ) -> Result<(), Error> {
        self.prepare_with(service, Vec::new(), Arc::new(factory))
    }

    fn prepare_with(
        &mut self,
        service: ServiceId,
        sockets: Vec<Mutex<Option<Own>>>,
        factory: Factory,
    ) -> Result<(), Error> {
        let added = vec![Addition { service, factory, filters: None, quota: Some(Arc::default()), sockets }];
        self.step(Step::Prepare { added, timeouts: None })
    }

    /// Puts changes into effect.
    pub(crate) fn commit(&mut self, commit: Commit) {
        self.shared.drains.extend(&commit.moved);
        self.step(Step::Commit(Box::new(commit))).expect("that cannot fail");
    }

    /// Takes back what was prepared.
    pub(crate) fn undo(&mut self, service: ServiceId) {
        self.step(Step::Undo(vec![service])).expect("that cannot fail");
    }

    fn step(&mut self, step: Step) -> Result<(), Error> {
        self.shared.steps.publish(step, 1);
        self.shared.ring();
        self.until("the reactor to take a step", |rig| match rig.shared.steps.wait(Duration::ZERO) {
            Ok(late) => late.is_empty().then_some(Ok(())),
            Err(error) => Some(Err(error)),
        })
    }
}

impl<N: Net> Rig<N> {
    /// A client of the first listener.
    pub(crate) fn connect(&mut self) -> N::Client {
        self.connect_from(Ipv4Addr::LOCALHOST.into())
    }

    pub(crate) fn connect_from(&mut self, from: IpAddr) -> N::Client {
        self.net.connect_from(0, from)
    }

    /// One turn of the reactor. A loop of turns that does not end panics after some minutes.
    pub(crate) fn turn(&mut self) {
        assert!(self.began.elapsed() < LIFETIME, "turned for {LIFETIME:?}, and what the test waits for did not come");
        if N::TIME_IS_FREE && self.remote.offloads() > 0 {
            // Other threads work in real time: while they do, the simulator's goes no faster than that.
            std::thread::park_timeout(STEP);
        }
        self.last_turn = self.reactor.driver().now();
        self.reactor.turn(Some(STEP)).expect("the driver waits");
    }

    /// Gives the reactor's time that passes while `wait` does, with its value.
    ///
    /// It counts from the beginning of the last turn: what `wait` is for may have begun in that, and the test's thread may
    /// have waited for a processor since then. So this is never less than the time from what that turn did.
    pub(crate) fn timed<T>(&mut self, wait: impl FnOnce(&mut Self) -> T) -> (Duration, T) {
        let began = self.last_turn;
        let value = wait(self);
        (self.reactor.driver().now() - began, value)
    }

    /// Turns until `holds` gives something.
    pub(crate) fn until<T>(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> Option<T>) -> T {
        #[allow(clippy::disallowed_methods)] // A bound on real time, whatever time the driver has.
        let began = Instant::now();
        loop {
            if let Some(value) = holds(self) {
                return value;
            }
            assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
            self.turn();
        }
    }

    /// Turns until so much of the reactor's time has passed.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.reactor.driver().now() + time;
        self.until("time to pass", |rig| (rig.reactor.driver().now() >= until).then_some(()));
    }

    /// Writes all of `bytes`.
    pub(crate) fn write(&mut self, client: &mut N::Client, bytes: &[u8]) {
        self.try_write(client, bytes)
            .unwrap_or_else(|error| panic!("not all of {} bytes written: {error}", bytes.len()));
    }

    /// Writes what goes before the connection breaks, and ignores that it does.
    pub(crate) fn write_some(&mut self, client: &mut N::Client, bytes: &[u8]) {
        let _ = self.try_write(client, bytes);
    }

    fn try_write(&mut self, client: &mut N::Client, bytes: &[u8]) -> io::Result<()> {
        let mut written = 0;
        self.until("the reactor to take what was written", |_| {
            while written < bytes.len() {
                match client.write(&bytes[written..]) {
                    Ok(count) => written += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
            Some(Ok(()))
        })
    }

    /// Reads exactly `count` bytes.
    pub(crate) fn read(&mut self, client: &mut N::Client, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut read = 0;
        self.until("bytes from the reactor", |_| {
            while read < count {
                match client.read(&mut bytes[read..]) {
                    Ok(0) => panic!("the stream ended after {read} of {count} bytes"),
                    Ok(more) => read += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                    Err(error) => panic!("after {read} of {count} bytes: {error}"),
                }
            }
            Some(())
        });
        bytes
    }

    /// Reads one line, without its end.
    pub(crate) fn line(&mut self, client: &mut N::Client) -> String {
        let mut line = Vec::new();
        loop {
            let byte = self.read(client, 1)[0];
            if byte == b'\n' {
                return String::from_utf8(line).expect("lines here are text");
            }
            line.push(byte);
        }
    }

    /// Writes a line and reads the answer to it.
    pub(crate) fn ask(&mut self, client: &mut N::Client, line: &str) -> String {
        self.write(client, format!("{line}\n").as_bytes());
        self.line(client)
    }

    /// Whether a listener lets nobody in.
    pub(crate) fn is_refused(&mut self, listener: ListenerId) -> bool {
        let Some(mut client) = self.net.try_connect_from(listener, Ipv4Addr::LOCALHOST.into()) else { return true };
        self.write_some(&mut client, b"?\n");
        let mut buffer = [0; 64];
        self.until("an answer or the end", |_| match client.read(&mut buffer) {
            Ok(count) => Some(count == 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(true),
        })
    }

    /// Reads until the stream ends.
    pub(crate) fn read_to_end(&mut self, client: &mut N::Client) -> (Vec<u8>, Ending) {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let ending = self.until("the end of the stream", |_| {
            loop {
                match client.read(&mut buffer) {
                    Ok(0) => return Some(Ending::Finished),
                    Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                    Err(_) => return Some(Ending::Reset),
                }
            }
        });
        (bytes, ending)
    }

    /// What there is to read now.
    pub(crate) fn read_now(&mut self, client: &mut N::Client) -> usize {
        let mut buffer = [0; 1024];
        match client.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => panic!("nothing to read but an error: {error}"),
        }
    }

    /// The counters of a service.
    pub(crate) fn stats(&self, service: usize) -> ServiceStats {
        self.remote.stats()[0].services[service].clone()
    }

    /// The counters of the reactor.
    pub(crate) fn reactor_stats(&self) -> ReactorStats {
        self.remote.stats()[0].clone()
    }

    /// Turns until the first service has closed so many for a reason.
    pub(crate) fn until_closed(&mut self, reason: CloseReason, count: u64) {
        self.until(&format!("{count} closed for {reason:?}"), |rig| {
            (rig.stats(0).closed(reason) >= count).then_some(())
        });
    }

    /// Turns until every connection is gone, and asserts that nothing of them is left.
    pub(crate) fn finish(mut self) -> Self {
        self.until("every connection to be gone", |rig| rig.reactor.core().slab.is_empty().then_some(()));
        self.until("offloaded work to end", |rig| (rig.remote.offloads() == 0).then_some(()));
        self.turn();
        self.assert_nothing_left();
        self
    }

    /// Asserts that a reactor without connections holds nothing.
    pub(crate) fn assert_nothing_left(&mut self) {
        assert!(!self.reactor.is_racing(), "attempts to connect");
        let core = self.reactor.core();
        assert_eq!(core.slab.len(), 0, "slots");
        assert_eq!(core.wheel.len(), 0, "entries in the wheel");
        assert_eq!((core.timers.len(), core.notices), (0, 0), "named timers and notices");
        assert_eq!(core.pools.out(), (0, 0, 0), "blocks, outboxes, carries");
        assert_eq!(core.groups.len(), 0, "groups with members");
        assert!(core.dirty.is_empty() && core.deferred.is_empty(), "things to do");
        assert_eq!(core.causes.len(), 0, "errors behind reasons");
        assert_eq!(core.counters.outbox_bytes.get(), 0, "bytes in outboxes");
        assert_eq!(core.counters.slow_readers.get(), 0, "slow readers");
        assert_eq!(self.shared.totals.connections.now(), 0, "connections counted in");
        assert!(self.shared.totals.peers.is_empty(), "peers counted in");
        let prefixes = self.shared.access.as_ref().map_or(0, |access| access.stats().prefixes);
        assert_eq!(prefixes, 0, "prefixes counted in");
        assert_eq!(self.reactor.sessions(), 0, "sessions");
        assert_eq!(self.reactor.driver().buffers_out(), 0, "receive buffers");
        for (service, stats) in self.remote.stats()[0].services.iter().enumerate() {
            let closed: u64 = stats.closings().map(|(_, count)| count).sum();
            let failed = stats.closed(CloseReason::ConnectFailed(io::ErrorKind::Other));
            assert_eq!(stats.connections, 0, "connections of service {service}");
            assert_eq!(stats.accepted + stats.connected + failed, closed, "what came and went of service {service}");
        }
    }
}
