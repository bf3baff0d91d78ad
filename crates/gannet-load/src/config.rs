//! The settings of a run.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gannet::{Address, DriverChoice};
use gannet_tls::TlsClient;

use crate::login::Login;
use crate::plan::Mode;
use crate::results::Asked;
use crate::scenario::http::Request;
use crate::scenario::push;
use crate::scenario::redis::Workload;
use crate::scenario::ws;

/// Names a scenario: what clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Raw bytes, echoed.
    Echo,
    /// Lines, answered with `echo: ` and the line.
    Lines,
    /// Frames, echoed.
    Frames,
    /// Open, exchange a frame, close, again.
    Connect,
    /// Open and hold, with a frame exchanged at each heartbeat.
    Idle,
    /// HTTP requests.
    Http,
    /// Messages of WebSocket.
    Ws,
    /// Commands of the Redis protocol.
    Redis,
    /// Channels of a Centrifuge-protocol server.
    Push,
}

impl Kind {
    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Lines => "lines",
            Self::Frames => "frames",
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Http => "http",
            Self::Ws => "ws",
            Self::Redis => "redis",
            Self::Push => "push",
        }
    }
}

/// Configures a run. [`Config::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The scenario.
    pub kind: Kind,
    /// The target.
    pub target: Address,
    /// Further addresses of the same host. Each connection tries them if the target does not answer.
    pub other_addresses: Vec<Address>,
    /// Source addresses of connections, in turn; if empty, the system chooses.
    pub sources: Vec<IpAddr>,
    /// Number of connections.
    pub connections: u32,
    /// Connections opened per second; `None` is as fast as they are established.
    pub ramp_per_second: Option<f64>,
    /// TLS settings, if the target speaks TLS.
    pub tls: Option<TlsClient>,
    /// First message of each client. The client counts as up when it was answered.
    pub login: Option<Login>,
    /// Time for a connect, for an upgrade and for a login, each.
    pub patience: Duration,
    /// Time to wait for outstanding answers after the last request.
    pub answer_patience: Duration,
    /// Whether a client opens a new connection when its connection was lost or not established.
    pub reconnect: bool,
    /// Time that is not counted, once all connections are up.
    pub warmup: Duration,
    /// Time that is counted.
    pub duration: Duration,
    /// Time for which connections stay open afterwards, without requests.
    pub hold: Duration,
    /// Requests per second, all connections together; `None` is a closed loop.
    pub rate_per_second: Option<f64>,
    /// Requests outstanding on each connection of a closed loop.
    pub depth: u32,
    /// Size of a payload, in bytes.
    pub size: usize,
    /// The request of the HTTP scenario.
    pub http: Request,
    /// The channels and publishers of the scenario `push`.
    pub push: push::Workload,
    /// The behaviour of WebSocket clients.
    pub ws: ws::Workload,
    /// The commands and keys of the Redis scenario.
    pub redis: Workload,
    /// Interval of the frames of idle connections, and of the pings of WebSocket connections that hold. With 0, those send
    /// no pings.
    pub heartbeat: Duration,
    /// Number of reactor threads.
    pub reactors: usize,
    /// The choice of the driver.
    pub driver: DriverChoice,
    /// Whether each thread is pinned to a processor.
    pub pin: bool,
    /// Process id of the server, if it is on this machine.
    pub server_pid: Option<u32>,
}

impl Config {
    /// Makes the settings of one client in a closed loop of 64-byte payloads, measured for ten seconds after one of warm-up.
    #[must_use]
    pub fn new(kind: Kind, target: Address) -> Self {
        Self {
            kind,
            http: Request::new(host(&target)),
            ws: ws::Workload::new(host(&target)),
            push: push::Workload::new(host(&target)),
            target,
            other_addresses: Vec::new(),
            sources: Vec::new(),
            connections: 1,
            ramp_per_second: None,
            tls: None,
            login: None,
            patience: Duration::from_secs(10),
            answer_patience: Duration::from_secs(5),
            reconnect: false,
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            hold: Duration::ZERO,
            rate_per_second: None,
            depth: 1,
            size: 64,
            redis: Workload::default(),
            heartbeat: Duration::from_secs(30),
            reactors: 1,
            driver: DriverChoice::Auto,
            pin: false,
            server_pid: None,
        }
    }

    /// Returns how clients behave.
    #[must_use]
    pub fn mode(&self) -> Mode {
        let every = |interval: Duration| Mode::Open { interval_ns: interval.as_nanos().max(1) as u64 };
        match (self.kind, self.rate_per_second) {
            (Kind::Connect, _) => Mode::Churn,
            (Kind::Idle, _) => every(self.heartbeat),
            (Kind::Push, Some(rate)) if self.push.publishers > 0 => {
                every(Duration::from_secs_f64(f64::from(self.push.publishers) / rate))
            }
            (Kind::Push, _) => Mode::Listen,
            (Kind::Ws, _) if self.ws.mode == ws::Mode::Receive => Mode::Listen,
            (Kind::Ws, _) if self.ws.mode == ws::Mode::Hold && self.heartbeat.is_zero() => Mode::Listen,
            (Kind::Ws, _) if self.ws.mode == ws::Mode::Hold => every(self.heartbeat),
            (_, Some(rate)) => every(Duration::from_secs_f64(f64::from(self.connections.max(1)) / rate)),
            (_, None) => Mode::Closed { depth: self.depth },
        }
    }

    /// Whether clients hear something that is counted, where the server does what it is there for.
    pub(crate) fn hears(&self) -> bool {
        self.mode() != Mode::Listen || self.kind == Kind::Ws && self.ws.mode == ws::Mode::Receive
    }

    /// Returns the number of clients, publishers included: each has a connection.
    #[must_use]
    pub fn clients(&self) -> u32 {
        let publishers = if self.kind == Kind::Push { self.push.publishers } else { 0 };
        self.connections.saturating_add(publishers)
    }

    /// Returns the size of a request's payload, in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self.kind {
            Kind::Http => self.http.body.len(),
            Kind::Ws if self.ws.mode == ws::Mode::Hold => 8,
            Kind::Ws if self.ws.mode == ws::Mode::Receive => 0,
            Kind::Push if self.push.publishers == 0 => 0,
            _ => self.size,
        }
    }

    /// As a report shows it, with the driver that was found to be there.
    pub(crate) fn asked(&self, driver: &str) -> Asked {
        Asked {
            scenario: self.kind.name().to_owned(),
            url: self.target.to_string(),
            connections: u64::from(self.connections),
            sources: self.sources.len() as u64,
            login: self.login.is_some(),
            rate_per_second: match self.mode() {
                Mode::Open { .. } if self.kind == Kind::Push => self.rate_per_second,
                Mode::Open { interval_ns } => Some(f64::from(self.connections) * 1e9 / interval_ns as f64),
                Mode::Closed { .. } | Mode::Listen | Mode::Churn => None,
            },
            depth: self.depth,
            listens: self.mode() == Mode::Listen,
            size: self.payload_bytes(),
            workload: match self.kind {
                Kind::Http => Some(self.http.to_string()),
                Kind::Ws => Some(self.ws.to_string()),
                Kind::Redis => Some(self.redis.to_string()),
                Kind::Push => Some(self.push.to_string()),
                _ => None,
            },
            duration: self.duration,
            warmup: self.warmup,
            hold: self.hold,
            ramp_per_second: self.ramp_per_second,
            reactors: self.reactors,
            driver: driver.to_owned(),
        }
    }
}

/// What a target is called in `Host`, where nobody has written its name.
fn host(target: &Address) -> String {
    match target {
        Address::Tcp(address) | Address::Tls(address) | Address::Udp(address) => {
            let mut address = *address;
            // Which interface a link-local address is reached by is not the server's business.
            if let SocketAddr::V6(address) = &mut address {
                address.set_scope_id(0);
            }
            address.to_string()
        }
        _ => "localhost".to_owned(),
    }
}
