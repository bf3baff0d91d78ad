//! What all simulated clients of a run share: what to do, and how far the run has come.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use gannet::{Address, Connect, FilterFactory, Outbound, Service};

use crate::client::{Client, Session};
use crate::config::Config;
use crate::letters::Letters;
use crate::login::Login;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::tls::Handshakes;

/// How long a client waits after a connection that was lost or not established, before it tries again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often that time is doubled while one connect after the other fails: up to 3.2 s.
const MOST_DOUBLINGS: u8 = 5;

/// How long a client waits before its next connect; `attempts` is 2 for the first, and one more for each that failed.
pub(crate) fn pause(attempts: u8) -> Duration {
    FIRST_PAUSE * (1 << attempts.saturating_sub(2).min(MOST_DOUBLINGS))
}

/// Says how a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sends as fast as answers come, with `depth` requests outstanding.
    Closed {
        /// Requests outstanding on each connection.
        depth: u32,
    },
    /// Sends by a schedule: each connection at this interval and with a phase of its own. It never slows down to catch up.
    Open {
        /// Interval between two requests of a connection, in ns.
        interval_ns: u64,
    },
    /// Sends no requests, and takes what the server sends.
    Listen,
    /// Makes one exchange, closes the connection, and opens it again.
    Churn,
}

/// How far a run has come. Only forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Connections are opened; those that are up send, and nothing counts.
    Ramp = 0,
    /// All that came up are up, and still nothing counts.
    Warmup = 1,
    /// Requests that begin now count.
    Measure = 2,
    /// No more requests; answers are waited for.
    Finish = 3,
    /// Connections stay open, and say nothing but what the server's heartbeats ask for.
    Hold = 4,
    /// It is over.
    Over = 5,
}

/// Describes one simulated client between two connections, as the run's thread sees it.
pub trait Simulated: Send + 'static {
    /// Returns the client's number.
    fn number(&self) -> u32;

    /// Returns how long it waits before its next connect.
    fn pause(&self) -> Duration;

    /// Returns the same client, whose connect begins now.
    #[must_use]
    fn started(self, now: Duration) -> Self;
}

/// Describes all clients of a run: what a run opens connections for, and reads the results of.
pub trait Crowd: Send + Sync + Sized + 'static {
    /// The clients of one reactor.
    type Clients: Service<Session: Simulated>;

    /// Returns where clients connect, and how far the run has come.
    fn course(&self) -> &Course<Self::Clients>;

    /// Makes the clients of a reactor, which write into this record.
    fn clients(self: &Arc<Self>, record: Arc<Mutex<Record>>) -> Self::Clients;

    /// Makes the client with this number, whose connect begins now.
    fn client(&self, number: u32) -> <Self::Clients as Service>::Session;

    /// Returns the largest size of an incomplete message in bytes; 0 where the engine's default will do.
    fn largest_message(&self) -> usize;

    /// Whether requests of a schedule are late only by what this program does.
    fn keeps_time(&self) -> bool;
}

/// Holds what clients of any kind share: where to connect, and how far the run has come.
pub struct Course<T: Service> {
    /// How clients behave.
    pub mode: Mode,
    /// Where they connect.
    pub target: Address,
    /// Where they connect where that does not answer.
    pub other_addresses: Vec<Address>,
    /// The addresses they connect from, in turn; where there are none, the system chooses.
    pub sources: Vec<IpAddr>,
    /// What is between the clients and their target, where that speaks TLS.
    pub tls: Option<Arc<dyn FilterFactory>>,
    /// How long a connect may take, and a login.
    pub patience: Duration,
    /// Whether a client whose connection was lost, or not established, opens another one.
    pub reconnect: bool,
    /// The engine's name for this service.
    pub outbound: OnceLock<Outbound<T>>,
    /// Clients that wait before they connect once more, each with the moment on the run's clock; at most all.
    later: Mutex<Vec<(Duration, T::Session)>>,
    began: Instant,
    /// The same moment since 1970 (UTC), ns.
    began_unix_ns: u64,
    phase: AtomicU8,
    /// When the measured time began, on the run's clock.
    measured_ns: AtomicU64,
    /// When the measured time ended, on the run's clock.
    finished_ns: AtomicU64,
}

impl<T: Service> Course<T> {
    /// Makes the course of a run that begins now.
    pub fn new(config: &Config) -> Self {
        #[allow(clippy::disallowed_methods)] // The load generator is where its time comes from.
        let began = Instant::now();
        Self {
            mode: config.mode(),
            target: config.target.clone(),
            other_addresses: config.other_addresses.clone(),
            sources: config.sources.clone(),
            tls: config.tls.clone().map(|client| Arc::new(Handshakes::new(client, began)) as Arc<dyn FilterFactory>),
            patience: config.patience,
            reconnect: config.reconnect,
            outbound: OnceLock::new(),
            later: Mutex::default(),
            began,
            began_unix_ns: unix_ns(),
            phase: AtomicU8::new(Phase::Ramp as u8),
            measured_ns: AtomicU64::new(u64::MAX),
            finished_ns: AtomicU64::new(0),
        }
    }

    /// Returns how far the run has come.
    #[inline]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Ramp,
            1 => Phase::Warmup,
            2 => Phase::Measure,
            3 => Phase::Finish,
            4 => Phase::Hold,
            _ => Phase::Over,
        }
    }

    /// Goes on with the run.
    pub fn set_phase(&self, phase: Phase) {
        let now_ns = self.elapsed().as_nanos() as u64;
        match phase {
            Phase::Measure => self.measured_ns.store(now_ns, Ordering::Relaxed),
            Phase::Finish => self.finished_ns.store(now_ns, Ordering::Relaxed),
            _ => {}
        }
        // Who sees the phase sees when it began.
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Time since no request is sent any more, ns; for phases from `Finish` on.
    pub fn since_finish_ns(&self) -> u64 {
        (self.elapsed().as_nanos() as u64).saturating_sub(self.finished_ns.load(Ordering::Relaxed))
    }

    /// Whether a moment, ns since 1970 (UTC), is not before the measured time; for phases from `Measure` on.
    pub fn is_measured(&self, unix_ns: u64) -> bool {
        unix_ns >= self.began_unix_ns.saturating_add(self.measured_ns.load(Ordering::Relaxed))
    }

    /// Time since the run began, on a clock that all threads share.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the time, ns since 1970 (UTC). It is as steady as [`Course::elapsed`], however the machine's clock is set
    /// meanwhile.
    pub fn unix_ns(&self) -> u64 {
        self.began_unix_ns + self.elapsed().as_nanos() as u64
    }

    /// Where a connection goes and comes from.
    pub fn connect(&self, connection: u32) -> Connect {
        let all = std::iter::once(&self.target).chain(&self.other_addresses);
        let connect = Connect::to_any(all.cloned()).timeout(self.patience);
        let connect = match &self.tls {
            Some(filters) => connect.through(filters.clone()),
            None => connect,
        };
        match self.sources.get(connection as usize % self.sources.len().max(1)) {
            Some(source) => connect.from(SocketAddr::new(*source, 0)),
            None => connect,
        }
    }
}

impl<T: Service<Session: Simulated>> Course<T> {
    /// Has the run's thread connect a client once more, when its pause is over.
    pub fn dial_later(&self, session: T::Session) {
        let due = self.elapsed() + session.pause();
        self.later.lock().unwrap_or_else(PoisonError::into_inner).push((due, session));
    }

    /// Clients that are to be connected now.
    pub fn due(&self) -> Vec<T::Session> {
        let now = self.elapsed();
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        let due = later.extract_if(.., |(due, _)| *due <= now);
        due.map(|(_, session)| session.started(now)).collect()
    }
}

/// What the clients of a scenario share.
pub struct Plan<S: Scenario> {
    /// Where they connect, and how far the run has come.
    pub course: Course<Client<S>>,
    /// The scenario.
    pub scenario: S,
    /// What each says first, where it says something.
    pub login: Option<Login>,
    /// Bytes of a payload.
    pub size: usize,
    /// Where payloads come from.
    pub letters: Letters,
}

impl<S: Scenario> Plan<S> {
    /// Makes a plan for a run that begins now.
    pub fn new(scenario: S, config: &Config) -> Self {
        Self {
            course: Course::new(config),
            scenario,
            login: config.login.clone(),
            size: config.size,
            letters: Letters::new(config.size),
        }
    }
}

impl<S: Scenario> Crowd for Plan<S> {
    type Clients = Client<S>;

    fn course(&self) -> &Course<Client<S>> {
        &self.course
    }

    fn clients(self: &Arc<Self>, record: Arc<Mutex<Record>>) -> Client<S> {
        Client::new(self.clone(), record)
    }

    fn client(&self, number: u32) -> Session<S> {
        Session::new(number, self.course.elapsed())
    }

    fn largest_message(&self) -> usize {
        self.scenario.largest_message()
    }

    /// A request that waits for its own connection is late by what the server takes for that.
    fn keeps_time(&self) -> bool {
        matches!(self.course.mode, Mode::Open { .. }) && !self.scenario.takes_one_request()
    }
}

/// What the machine's clock says.
#[allow(clippy::disallowed_methods)] // The load generator is where its time comes from.
fn unix_ns() -> u64 {
    // A machine that believes in a time before 1970 knows nothing of when anything was sent.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
