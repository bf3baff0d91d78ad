//! The options of `gannet load`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use gannet_load::draw::Distribution;
use gannet_load::expect::Expectation;
use gannet_load::login::{Login, LoginError};
use gannet_load::plan::Mode::Closed;
use gannet_load::run::{Config, Kind, QUEUED_BYTES};
use gannet_load::scenario::http::{Header, Path as HttpPath};
use gannet_load::scenario::redis::{Mix, Workload};
use gannet_load::scenario::ws::Mode;
use gannet_load::sources::Sources;
use gannet_load::units::bytes;

use super::http::{self, HttpOptions};
use super::push::{Common, PushOptions};
use super::target::Target;
use super::tls::TlsOptions;
use super::ws::WsOptions;
use crate::failure::Failure;
use crate::names::DriverName;
use crate::units::{duration, rate, share, size, whole};

/// Room for what is around the payload of a request: a frame's header, or the words of a command. In bytes.
const REQUEST_BYTES: u64 = 256;

/// Bytes of the data of a publication, unless told otherwise.
const PUBLICATION_BYTES: usize = 100;

/// Bytes of the longest login: as of any payload.
const LONGEST_LOGIN: u64 = 1 << 20;

/// What the help says after the options, and what it says there where all of it is asked for.
const MORE: &str = "'gannet load --help' says more, with the options of http, ws, redis, push and TLS, and examples.";
const MANUAL: &str = include_str!("manual.txt");
const LOGIN: &str = "First message of each client: the bytes of a file, or a text with {n} for the client's number";
const MORE_OF_LOGIN: &str = "\
    If a file of this name exists, its bytes are sent as they are. Otherwise the value is a text, in which \\r \\n \\t \\\\ \
    and \\xHH are bytes and {n} is the client's number, from 0 on. It is sent as one message of the scenario, and needs an \
    answer as a request does. The client counts as up afterwards. If the answer is wrong, or does not come within 10s, the \
    connection has failed (reason: login).";

/// A text of the help in which `{n}` is to be read. The parser's library would print a line break in its place, so that a
/// terminal's "normal text", which shows nothing, stands in the middle of it.
fn shown(text: &str) -> String {
    text.replace("{n}", "{\x1b[0mn}")
}

/// Simulates clients and reports what they saw.
///
/// Each client is a connection that is held for the whole run. Every answer is checked to the byte; HTTP answers are
/// checked by their status. The report says whether the run is valid. It is not if this process, and not the server, was
/// the limit.
#[derive(Args, Clone, Debug)]
#[command(after_help = MORE, after_long_help = shown(MANUAL))]
pub(crate) struct LoadOptions {
    /// What clients do
    #[arg(value_enum)]
    pub(super) scenario: ScenarioName,

    /// Target: tcp://host:port, tls://host:port or unix:///path; for http, ws and push also http://host/path, https://,
    /// ws:// and wss://
    pub(super) url: String,

    /// Number of clients, each with one connection
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<u32>(1..=4_000_000))]
    #[arg(help_heading = "Connections")]
    pub(super) connections: u32,

    /// Connections opened per second, as 5000/s [default: as fast as they are established]
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "Connections")]
    ramp: Option<f64>,

    /// Open a new connection in place of one that was lost or not established, after 100ms, and up to 3.2s while it fails
    ///
    /// Each still counts as lost or failed. http and connect open new connections by themselves, see below. With push a share
    /// may follow, as 10%/s: so many of the clients cut their connection each second, and come back at once.
    #[arg(long, value_name = "SHARE", num_args = 0..=1, value_parser = share, help_heading = "Connections")]
    reconnect: Option<Option<f64>>,

    /// Addresses to connect from: auto, or a list as 127.0.0.0/16 or 10.0.0.5,10.0.0.6
    ///
    /// Connections are spread over them evenly. One address is enough for 20,000 connections, or for fewer if
    /// net.ipv4.ip_local_port_range has fewer ports. auto takes as many loopback addresses as are needed; for a target on
    /// another machine, it takes the addresses of the interface that leads there.
    #[arg(long, value_name = "ADDRESSES", default_value = "auto", help_heading = "Connections")]
    pub(super) sources: Sources,

    /// Time for which connections stay open after the measurement, without requests
    ///
    /// The server's heartbeats are answered, and connections that end count as lost. With idle it is another name of
    /// --duration. connect keeps no connection.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Connections")]
    hold: Option<Duration>,

    /// Bytes of a request's payload, as 64 or 4KiB; at most 1MiB [default: 64]
    #[arg(long, value_name = "SIZE", value_parser = payload, help_heading = "Clients")]
    size: Option<usize>,

    #[arg(long, value_name = "FILE|TEXT", value_parser = login, help_heading = "Clients")]
    #[arg(help = shown(LOGIN), long_help = shown(&format!("{LOGIN}\n\n{MORE_OF_LOGIN}")))]
    login: Option<Login>,

    /// Interval of the frames of idle and of the pings of ws --mode hold, or off [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Clients")]
    heartbeat: Option<Duration>,

    /// Requests per second, all clients together, as 10000/s: an open loop
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "depth", help_heading = "Schedule")]
    rate: Option<f64>,

    /// Requests outstanding on each connection of a closed loop [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=10_000))]
    #[arg(help_heading = "Schedule")]
    depth: Option<u32>,

    /// Path and query that http, ws and push request [default: /, of push /connection/websocket]
    #[arg(long, value_name = "PATH", help_heading = "HTTP", hide_short_help = true)]
    path: Option<HttpPath>,

    /// Header field of http, ws and push, as 'Name: value'; may be given many times
    ///
    /// Host is the target's by default. Connection, Content-Length and Transfer-Encoding are written by the load generator
    /// itself.
    #[arg(short = 'H', long, value_name = "HEADER", help_heading = "HTTP", hide_short_help = true)]
    header: Vec<Header>,

    #[command(flatten)]
    http: HttpOptions,

    #[command(flatten)]
    ws: WsOptions,

    #[command(flatten)]
    push: PushOptions,

    #[command(flatten)]
    tls: TlsOptions,

    /// Shares of the commands get, set, incr and ping [default: get=9,set=1]
    ///
    /// A GET may find nothing, or the value that SET gives the key, which is the same for every client. INCR uses other
    /// keys. Key names contain the --size, so runs with different sizes do not share keys. Errors are counted by their
    /// first word.
    #[arg(long, value_name = "MIX", help_heading = "Redis", hide_short_help = true)]
    mix: Option<Mix>,

    /// Number of keys, chosen by --distribution [default: 10000]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=1 << 40), help_heading = "Redis", hide_short_help = true)]
    keys: Option<u64>,

    /// Distribution of requests over the keys [default: uniform]
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Redis", hide_short_help = true)]
    distribution: Option<DistributionName>,

    /// Time that is not counted, once all connections are up
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s", help_heading = "Schedule")]
    warmup: Duration,

    /// Time for which requests are counted, or idle connections held [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = "Schedule")]
    duration: Option<Duration>,

    /// Number of reactor threads [default: one, or as many as the connections need with io_uring]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1_024), help_heading = "Process")]
    pub(super) reactors: Option<u16>,

    /// Kernel interface; auto takes io_uring if this machine allows it, and epoll or kqueue otherwise
    #[arg(long, value_enum, default_value_t = DriverName::Auto, help_heading = "Process")]
    pub(super) driver: DriverName,

    /// Pin each thread to a processor
    #[arg(long, help_heading = "Process")]
    pin: bool,

    /// Condition that the results must meet, as p99<5ms; may be given many times
    ///
    /// It is a figure, one of < <= > >= =, and a value. Figures are p50, p99.9 and the like, max, mean (each also after
    /// response., service., late., connect., handshake., upgrade., ready. or publish.), rate, errors, lost, gaps, duplicates,
    /// delivered, failed, opened, up, sent, answered, unanswered and never_sent.
    #[arg(long, value_name = "EXPECTATION", help_heading = "Report")]
    pub(super) expect: Vec<Expectation>,

    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) json: Option<PathBuf>,

    /// Write the report as a self-contained page with plots
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) html: Option<PathBuf>,

    /// Write a row for each second as CSV
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) csv: Option<PathBuf>,

    /// Process of the server, if it is on this machine: the report has its CPU time and memory
    #[arg(long, value_name = "PID", value_parser = whole::<u32>(1..=i32::MAX as u64), help_heading = "Report")]
    server_pid: Option<u32>,

    /// Print nothing but errors and unmet expectations
    #[arg(long, help_heading = "Report")]
    pub(super) quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ScenarioName {
    /// Bytes, echoed; against the service echo
    Echo,
    /// Lines, answered with 'echo: ' and the line; against lines
    Lines,
    /// Frames of a 4-byte length, echoed; against frames
    Frames,
    /// Open, exchange a frame, close, repeat; against frames
    Connect,
    /// Open and hold, with a frame exchanged at each heartbeat; against frames
    Idle,
    /// WebSocket messages, by --mode; against http, and any WebSocket server
    Ws,
    /// HTTP requests; against http, and any HTTP/1.1 server
    Http,
    /// Commands on keys, by --mix; against redis, and Redis itself
    Redis,
    /// Subscribe to --channels, and publish at --rate; against push, and any server of the Centrifuge protocol
    Push,
}

/// `--distribution`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum DistributionName {
    /// Every key equally often
    Uniform,
    /// Few keys very often: the n-th in proportion to 1 / n^0.99
    Zipf,
}

impl From<DistributionName> for Distribution {
    fn from(name: DistributionName) -> Self {
        match name {
            DistributionName::Uniform => Self::Uniform,
            DistributionName::Zipf => Self::Zipf,
        }
    }
}

impl From<ScenarioName> for Kind {
    fn from(name: ScenarioName) -> Self {
        match name {
            ScenarioName::Echo => Self::Echo,
            ScenarioName::Lines => Self::Lines,
            ScenarioName::Frames => Self::Frames,
            ScenarioName::Connect => Self::Connect,
            ScenarioName::Idle => Self::Idle,
            ScenarioName::Ws => Self::Ws,
            ScenarioName::Http => Self::Http,
            ScenarioName::Redis => Self::Redis,
            ScenarioName::Push => Self::Push,
        }
    }
}

impl LoadOptions {
    /// What to do, as far as it does not depend on the machine.
    ///
    /// # Errors
    ///
    /// Options contradict each other or the scenario.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let kind = Kind::from(self.scenario);
        let target = Target::parse(&self.url, kind)?;
        self.check(kind)?;
        let path = http::path(self.path.as_ref(), &target)?;
        let tls = self.tls.client(&target, kind)?;
        let mut config = Config::new(kind, target.address);
        config.other_addresses = target.others;
        if let Some(host) = target.host {
            (config.http.host, config.ws.host, config.push.host) = (host.clone(), host.clone(), host);
        }
        config.http = self.http.request(config.http, path.clone(), &self.header);
        if kind == Kind::Push {
            let common = Common {
                path,
                headers: &self.header,
                origin: self.ws.origin(),
                rate: self.rate,
                size: self.size,
                storm_per_second: self.reconnect.flatten().unwrap_or_default(),
            };
            config.push = self.push.workload(config.push, &common)?;
        } else {
            config.ws = self.ws.workload(config.ws, path, &self.header)?;
        }
        let login = match (kind, self.login.clone()) {
            (Kind::Lines, Some(login)) => Some(login.line().map_err(|error| usage(&format!("--login: {error}")))?),
            (_, login) => login,
        };
        // What idle clients do is to be held.
        let (duration, hold) = match kind {
            Kind::Idle => (self.duration.or(self.hold), Duration::ZERO),
            _ => (self.duration, self.hold.unwrap_or_default()),
        };
        config.tls = tls;
        config.connections = self.connections;
        config.ramp_per_second = self.ramp;
        config.login = login;
        config.reconnect = self.reconnect.is_some();
        config.warmup = self.warmup;
        config.duration = duration.unwrap_or(config.duration);
        config.hold = hold;
        config.rate_per_second = self.rate;
        config.depth = self.depth.unwrap_or(config.depth);
        config.size = self.size.unwrap_or(if kind == Kind::Push { PUBLICATION_BYTES } else { config.size });
        let redis = config.redis;
        config.redis = Workload {
            mix: self.mix.clone().unwrap_or(redis.mix),
            keys: self.keys.unwrap_or(redis.keys),
            distribution: self.distribution.map_or(redis.distribution, Distribution::from),
        };
        config.heartbeat = self.heartbeat.unwrap_or(config.heartbeat);
        config.driver = self.driver.into();
        config.pin = self.pin;
        config.server_pid = self.server_pid;
        check_queue(&config)?;
        Ok(config)
    }

    /// What is wrong with where the report goes, and with what it is about.
    fn check_report(&self) -> Result<(), Failure> {
        let forms = [("--json", &self.json), ("--html", &self.html), ("--csv", &self.csv)];
        let forms: Vec<_> = forms.iter().filter_map(|(option, file)| Some((option, file.as_ref()?))).collect();
        for (at, (option, file)) in forms.iter().enumerate() {
            if file.as_os_str() == "-" {
                return Err(usage(&format!("{option} takes the name of a file; standard output is /dev/stdout")));
            }
            // All of them may go where nothing is kept, as to /dev/null.
            if let Some((other, _)) = forms[..at].iter().find(|(_, other)| other == file)
                && !file.starts_with("/dev")
            {
                return Err(usage(&format!("{other} and {option} name the same file; one would be lost")));
            }
        }
        // Elsewhere than in Linux's /proc nothing is known of other processes.
        match self.server_pid {
            Some(pid) if Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists() => {
                Err(usage(&format!("--server-pid {pid}: this machine has no such process")))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, kind: Kind) -> Result<(), Failure> {
        self.check_report()?;
        let is_loop = match kind {
            Kind::Connect | Kind::Idle | Kind::Push => false,
            Kind::Ws => self.ws.mode() == Mode::Echo,
            _ => true,
        };
        let name = kind.name();
        let loops = "echo, lines, frames, http, ws --mode echo and redis";
        if !is_loop && self.rate.is_some() && kind != Kind::Push {
            return Err(usage(&format!("--rate is for {loops} and for push; {name} has a pace of its own")));
        }
        if !is_loop && self.depth.is_some() {
            return Err(usage(&format!("--depth is for {loops}; {name} has one request at a time")));
        }
        let redis = [
            ("--mix", self.mix.is_some()),
            ("--keys", self.keys.is_some()),
            ("--distribution", self.distribution.is_some()),
        ];
        if let Some((option, _)) = redis.iter().find(|(_, given)| *given && kind != Kind::Redis) {
            return Err(usage(&format!("{option} is for redis; {name} has no keys")));
        }
        let both = if self.path.is_some() { Some("--path") } else { (!self.header.is_empty()).then_some("--header") };
        if let Some(option) = both.filter(|_| !matches!(kind, Kind::Http | Kind::Ws | Kind::Push)) {
            return Err(usage(&format!("{option} is for http, ws and push; {name} sends no HTTP requests")));
        }
        if let Some(option) = self.http.given().filter(|_| kind != Kind::Http) {
            return Err(usage(&format!("{option} is for http; {name} sends no HTTP requests")));
        }
        if let Some(option) = self.ws.given(kind == Kind::Push).filter(|_| kind != Kind::Ws) {
            return Err(usage(&format!("{option} is for ws; {name} does not have it")));
        }
        if let Some(option) = self.push.given().filter(|_| kind != Kind::Push) {
            return Err(usage(&format!("{option} is for push; {name} knows no channels")));
        }
        if self.reconnect.flatten().is_some() && kind != Kind::Push {
            return Err(usage(&format!("--reconnect with a share is for push; {name} takes it without one")));
        }
        if kind == Kind::Push && self.login.is_some() {
            return Err(usage("--login is not for push; use --token-secret or --token"));
        }
        if kind == Kind::Ws && !is_loop && self.size.is_some() {
            return Err(usage("--size is for --mode echo; other modes send no messages"));
        }
        if kind == Kind::Http && self.size.is_some() {
            return Err(usage("--size is not for http; use --body or --body-size"));
        }
        if kind == Kind::Http && self.login.is_some() {
            return Err(usage("--login is not for http; use a header, as -H 'Authorization: Bearer x'"));
        }
        let has_heartbeat = kind == Kind::Idle || self.ws.mode() == Mode::Hold;
        if !has_heartbeat && self.heartbeat.is_some() {
            return Err(usage(&format!("--heartbeat is for idle and ws --mode hold; {name} sends at its own pace")));
        }
        if kind == Kind::Idle && self.heartbeat == Some(Duration::ZERO) {
            return Err(usage("--heartbeat of idle has to be longer than 0"));
        }
        if kind == Kind::Connect && self.hold.is_some() {
            return Err(usage("--hold is not for connect; connect keeps no connection"));
        }
        if kind == Kind::Idle && self.hold.is_some() && self.duration.is_some() {
            return Err(usage("--hold and --duration mean the same for idle; give one of them"));
        }
        if kind == Kind::Idle && self.hold == Some(Duration::ZERO) {
            return Err(usage("--hold has to be longer than 0: it is the time for which idle connections are held"));
        }
        Ok(())
    }
}

/// Whether a connection may queue all requests of a closed loop that are outstanding.
fn check_queue(config: &Config) -> Result<(), Failure> {
    let Closed { depth } = config.mode() else { return Ok(()) };
    let payload = config.payload_bytes() as u64;
    let (queued, most) = (u64::from(depth).saturating_mul(payload + REQUEST_BYTES), QUEUED_BYTES as u64);
    if queued <= most {
        return Ok(());
    }
    Err(usage(&format!(
        "{depth} outstanding requests of {} need {} on each connection, and a connection may queue {}; give less --depth, \
         or smaller requests",
        bytes(payload),
        bytes(queued),
        bytes(most)
    )))
}

/// Wrong usage, with where to read on.
pub(super) fn usage(what: &str) -> Failure {
    Failure::Usage(format!("{what}; try 'gannet load --help'"))
}

pub(super) fn payload(text: &str) -> Result<usize, String> {
    let bytes = size(text)?;
    if (1..=1 << 20).contains(&bytes) { Ok(bytes) } else { Err("a payload has 1 byte to 1MiB".to_owned()) }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it has to be longer than 0, as 500ms".to_owned()),
        time => Ok(time),
    }
}

/// The bytes of the file of this name where there is one, pipes included; else the text itself.
fn login(text: &str) -> Result<Login, String> {
    let path = Path::new(text);
    if !path.exists() || path.is_dir() {
        return Login::text(text).map_err(|error| error.to_string());
    }
    match gannet_tls::read_file(path, LONGEST_LOGIN) {
        Ok(bytes) => Login::bytes(bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Err(LoginError::TooLong.to_string()),
        Err(error) => Err(format!("the file cannot be read: {error}")),
    }
}
