//! What all simulated clients of a run share: what to do, and how far the run has come.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use gannet::{Address, Connect, Outbound};

use crate::client::Client;
use crate::letters::Letters;
use crate::scenario::Scenario;

/// Connections from one source address to one target: what fits into the ephemeral ports with room to spare.
pub const CONNECTIONS_PER_SOURCE: u32 = 20_000;

/// Connections from one loopback address to one target. There are plenty of these, and connect tries every even port
/// before the first odd one: from about 14,000 connections on, each would look through all of them.
const CONNECTIONS_PER_LOOPBACK: u32 = 10_000;

/// Loopback source addresses for so many connections.
#[must_use]
pub fn loopback_sources(connections: u32) -> u32 {
    connections.div_ceil(CONNECTIONS_PER_LOOPBACK).max(1)
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As fast as answers come, with so many requests outstanding.
    Closed {
        /// Requests outstanding on each connection.
        depth: u32,
    },
    /// By a schedule: each connection sends every so often, each with a phase of its own, and never slows down to catch
    /// up.
    Open {
        /// From one request of a connection to its next, ns.
        interval_ns: u64,
    },
    /// One exchange, then the connection is closed and opened again.
    Churn,
}

/// How far a run has come. Only forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Connections open, requests flow, nothing counts.
    Warmup = 0,
    /// Requests that begin now count.
    Measure = 1,
    /// No more requests; answers are waited for.
    Finish = 2,
    /// It is over.
    Over = 3,
}

/// See the module.
pub struct Plan<S: Scenario> {
    /// The scenario.
    pub scenario: S,
    /// How clients behave.
    pub mode: Mode,
    /// Where they connect.
    pub target: Address,
    /// Whether source addresses are spread over the loopback range.
    pub spread: bool,
    /// How many there are.
    pub connections: u32,
    /// Bytes of a payload.
    pub size: usize,
    /// Where payloads come from.
    pub letters: Letters,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// The engine's name for this service.
    pub outbound: OnceLock<Outbound<Client<S>>>,
    began: Instant,
    phase: AtomicU8,
}

impl<S: Scenario> Plan<S> {
    /// A plan for a run that begins now.
    pub fn new(scenario: S, mode: Mode, target: Address, spread: bool, connections: u32, size: usize) -> Self {
        Self {
            scenario,
            mode,
            target,
            spread,
            connections,
            size,
            letters: Letters::new(size),
            connect_timeout: Duration::from_secs(10),
            outbound: OnceLock::new(),
            #[allow(clippy::disallowed_methods)] // The load generator is where its time comes from.
            began: Instant::now(),
            phase: AtomicU8::new(Phase::Warmup as u8),
        }
    }

    /// How far the run has come.
    #[inline]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Warmup,
            1 => Phase::Measure,
            2 => Phase::Finish,
            _ => Phase::Over,
        }
    }

    /// Goes on with the run.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Time since the run began, on a clock that all threads share.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Where a connection goes and comes from.
    pub fn connect(&self, connection: u32) -> Connect {
        let connect = Connect::to(self.target.clone()).timeout(self.connect_timeout);
        if !self.spread {
            return connect;
        }
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + connection % loopback_sources(self.connections));
        connect.from(SocketAddr::new(IpAddr::V4(source), 0))
    }
}
