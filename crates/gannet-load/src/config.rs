//! What a run is asked to do.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gannet::{Address, DriverChoice};
use gannet_tls::TlsClient;

use crate::login::Login;
use crate::plan::Mode;
use crate::results::Asked;
use crate::scenario::http::Request;
use crate::scenario::redis::Workload;
use crate::scenario::ws;

/// What clients do.
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
}

impl Kind {
    /// The name on the command line.
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
        }
    }
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// What clients do.
    pub kind: Kind,
    /// Where they connect.
    pub target: Address,
    /// Further addresses of the same host: each connection tries them where that one does not answer.
    pub other_addresses: Vec<Address>,
    /// The addresses they connect from, in turn; where there are none, the system chooses.
    pub sources: Vec<IpAddr>,
    /// How many.
    pub connections: u32,
    /// Connections opened in a second; `None` is as fast as they come up.
    pub ramp_per_second: Option<f64>,
    /// Whom to trust, where the target speaks TLS.
    pub tls: Option<TlsClient>,
    /// What each sends first, and whose answer it awaits before it counts as up.
    pub login: Option<Login>,
    /// How long a connect may take, and a login.
    pub patience: Duration,
    /// Whether a client whose connection was lost, or not established, opens another one.
    pub reconnect: bool,
    /// What does not count, once all connections are up.
    pub warmup: Duration,
    /// What counts.
    pub duration: Duration,
    /// How long connections stay open afterwards, without requests.
    pub hold: Duration,
    /// Requests a second, all connections together; `None` is a closed loop.
    pub rate_per_second: Option<f64>,
    /// Requests outstanding on each connection of a closed loop.
    pub depth: u32,
    /// Bytes of a payload.
    pub size: usize,
    /// Which request of HTTP.
    pub http: Request,
    /// What clients of WebSocket do.
    pub ws: ws::Workload,
    /// Which commands of Redis, and of which keys.
    pub redis: Workload,
    /// From one frame of an idle connection to its next, and from one ping to the next of connections that hold; these
    /// send none where it is 0.
    pub heartbeat: Duration,
    /// Threads.
    pub reactors: usize,
    /// The driver.
    pub driver: DriverChoice,
    /// Whether threads are pinned.
    pub pin: bool,
    /// The server's process, where it is on this machine.
    pub server_pid: Option<u32>,
}

impl Config {
    /// One client in a closed loop of 64-byte payloads, measured for ten seconds after one of warm-up.
    #[must_use]
    pub fn new(kind: Kind, target: Address) -> Self {
        Self {
            kind,
            http: Request::new(host(&target)),
            ws: ws::Workload::new(host(&target)),
            target,
            other_addresses: Vec::new(),
            sources: Vec::new(),
            connections: 1,
            ramp_per_second: None,
            tls: None,
            login: None,
            patience: Duration::from_secs(10),
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

    /// How clients behave.
    #[must_use]
    pub fn mode(&self) -> Mode {
        let every = |interval: Duration| Mode::Open { interval_ns: interval.as_nanos().max(1) as u64 };
        match (self.kind, self.rate_per_second) {
            (Kind::Connect, _) => Mode::Churn,
            (Kind::Idle, _) => every(self.heartbeat),
            (Kind::Ws, _) if self.ws.mode == ws::Mode::Receive => Mode::Listen,
            (Kind::Ws, _) if self.ws.mode == ws::Mode::Hold && self.heartbeat.is_zero() => Mode::Listen,
            (Kind::Ws, _) if self.ws.mode == ws::Mode::Hold => every(self.heartbeat),
            (_, Some(rate)) => every(Duration::from_secs_f64(f64::from(self.connections.max(1)) / rate)),
            (_, None) => Mode::Closed { depth: self.depth },
        }
    }

    /// Whether clients hear something that is counted, where the server does what it is there for.
    pub(crate) fn hears(&self) -> bool {
        self.mode() != Mode::Listen || self.ws.mode == ws::Mode::Receive
    }

    /// Bytes of a request's payload.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self.kind {
            Kind::Http => self.http.body.len(),
            Kind::Ws if self.ws.mode == ws::Mode::Hold => 8,
            Kind::Ws if self.ws.mode == ws::Mode::Receive => 0,
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
