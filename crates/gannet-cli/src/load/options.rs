//! The options of `gannet load`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use gannet_load::draw::Distribution;
use gannet_load::expect::Expectation;
use gannet_load::login::Login;
use gannet_load::run::{Config, Kind};
use gannet_load::scenario::http::{Header, Path as HttpPath};
use gannet_load::scenario::redis::{Mix, Workload};
use gannet_load::scenario::ws::Mode;
use gannet_load::sources::Sources;

use super::http::{self, HttpOptions};
use super::target::Target;
use super::tls::TlsOptions;
use super::ws::WsOptions;
use crate::failure::Failure;
use crate::options::DriverName;
use crate::units::{duration, rate, size, whole};

/// What the help says after the options, and what it says there where all of it is asked for.
const MORE: &str = "'gannet load --help' says more, with the options of http, ws, redis and TLS, and examples.";
const MANUAL: &str = include_str!("manual.txt");
const LOGIN: &str = "What each client says first: the bytes of a file, or a text with {n} for its number";
const MORE_OF_LOGIN: &str = "\
    Where a file of this name exists, its bytes are sent as they are. Otherwise it is a text, in which \\r \\n \\t \\\\ and \
    \\xHH are bytes and {n} is the client's number, from 0 on. It is sent as one message of the scenario, and has to be \
    answered as a request is. A client counts as up afterwards, and is a failed connection (reason: login) where the \
    answer is wrong or does not come within 10s.";

/// A text of the help in which `{n}` is to be read. The parser's library would print a line break in its place, so that a
/// terminal's "normal text", which shows nothing, stands in the middle of it.
fn shown(text: &str) -> String {
    text.replace("{n}", "{\x1b[0mn}")
}

/// Simulates clients and reports what they saw.
///
/// Each client is a connection that is held for the whole run. Every answer is checked to the byte, one of HTTP by its
/// status. The report says whether the run is valid: where this process, and not the server, was the limit, it is not.
#[derive(Args, Clone, Debug)]
#[command(after_help = MORE, after_long_help = shown(MANUAL))]
pub(crate) struct LoadOptions {
    /// What clients do
    #[arg(value_enum)]
    pub(super) scenario: ScenarioName,

    /// Where they connect: tcp://host:port, tls://host:port or unix:///path; of http and ws also http://host/path, and
    /// https://, ws:// and wss://
    pub(super) url: String,

    /// How many clients, each with a connection
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole::<u32>(1..=4_000_000))]
    #[arg(help_heading = "Connections")]
    pub(super) connections: u32,

    /// Connections opened in a second, as 5000/s [default: as fast as they come up]
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "Connections")]
    ramp: Option<f64>,

    /// Opens another connection where one was lost or not established, after 100ms, and up to 3.2s while it fails
    ///
    /// Each is counted as lost or failed all the same. http and connect open others by themselves, see below.
    #[arg(long, help_heading = "Connections")]
    reconnect: bool,

    /// Addresses to connect from: auto, or a list as 127.0.0.0/16 or 10.0.0.5,10.0.0.6
    ///
    /// Connections are spread over them evenly. One address is good for 20,000, or for fewer where
    /// net.ipv4.ip_local_port_range has fewer ports. auto takes as many loopback addresses as are needed, or else the
    /// addresses of the interface that the target is reached by.
    #[arg(long, value_name = "ADDRESSES", default_value = "auto", help_heading = "Connections")]
    pub(super) sources: Sources,

    /// How long connections stay open after the measurement, without requests; what idle does anyway
    ///
    /// The server's heartbeats are answered, and connections that end are counted as lost. With idle it is another name
    /// of --duration; connect keeps no connection.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Connections")]
    hold: Option<Duration>,

    /// Bytes of a request's payload, as 64 or 4KiB; at most 1MiB [default: 64]
    #[arg(long, value_name = "SIZE", value_parser = payload, help_heading = "Clients")]
    size: Option<usize>,

    #[arg(long, value_name = "FILE|TEXT", value_parser = login, help_heading = "Clients")]
    #[arg(help = shown(LOGIN), long_help = shown(&format!("{LOGIN}\n\n{MORE_OF_LOGIN}")))]
    login: Option<Login>,

    /// From one frame of an idle client to its next, and from one ping of ws --mode hold, or off [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Clients")]
    heartbeat: Option<Duration>,

    /// Requests in a second, all clients together, as 10000/s: an open loop
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "depth", help_heading = "Schedule")]
    rate: Option<f64>,

    /// Requests outstanding on each connection of a closed loop [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=10_000))]
    #[arg(help_heading = "Schedule")]
    depth: Option<u32>,

    /// The path and query that is asked for, of http and ws [default: /]
    #[arg(long, value_name = "PATH", help_heading = "HTTP", hide_short_help = true)]
    path: Option<HttpPath>,

    /// A header of http and ws, as 'Name: value'; may be given many times
    ///
    /// Host is the target's, where it is not among them. Connection, Content-Length and Transfer-Encoding are written by
    /// the load itself.
    #[arg(short = 'H', long, value_name = "HEADER", help_heading = "HTTP", hide_short_help = true)]
    header: Vec<Header>,

    #[command(flatten)]
    http: HttpOptions,

    #[command(flatten)]
    ws: WsOptions,

    #[command(flatten)]
    tls: TlsOptions,

    /// Which commands by their shares, of get, set, incr and ping [default: get=9,set=1]
    ///
    /// A GET may find nothing, or the value that SET gives the key, which is the same from every client; counters of INCR
    /// are other keys. The names of keys have the --size in them, so that values of several sizes do not meet. Errors are
    /// counted by their first word.
    #[arg(long, value_name = "MIX", help_heading = "Redis", hide_short_help = true)]
    mix: Option<Mix>,

    /// How many keys, each asked for as --distribution says [default: 10000]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=1 << 40), help_heading = "Redis", hide_short_help = true)]
    keys: Option<u64>,

    /// How often which key is asked for [default: uniform]
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Redis", hide_short_help = true)]
    distribution: Option<DistributionName>,

    /// What is not counted, once all connections are up
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s", help_heading = "Schedule")]
    warmup: Duration,

    /// How long requests are counted, or idle connections held [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = "Schedule")]
    duration: Option<Duration>,

    /// Threads [default: one, or as many as the connections need with io_uring]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1_024), help_heading = "Process")]
    pub(super) reactors: Option<u16>,

    /// What talks to the kernel; auto is io_uring where it can be used
    #[arg(long, value_enum, default_value_t = DriverName::Auto, help_heading = "Process")]
    pub(super) driver: DriverName,

    /// Pin each thread to a processor
    #[arg(long, help_heading = "Process")]
    pin: bool,

    /// What has to be true of the results, as p99<5ms; may be given many times
    ///
    /// A figure, one of < <= > >= =, and a value: p50, p99.9 and the like, max, mean (each also after response.,
    /// service., late., connect., handshake. or upgrade.), rate, errors, lost, failed, opened, up, sent, answered, unanswered, never_sent.
    #[arg(long, value_name = "EXPECTATION", help_heading = "Report")]
    pub(super) expect: Vec<Expectation>,

    /// Writes the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) json: Option<PathBuf>,

    /// Writes a page with plots, complete in itself
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) html: Option<PathBuf>,

    /// Writes a row for each second
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub(super) csv: Option<PathBuf>,

    /// The server's process, where it is on this machine: its CPU time and memory are reported
    #[arg(long, value_name = "PID", value_parser = whole::<u32>(1..=i32::MAX as u64), help_heading = "Report")]
    server_pid: Option<u32>,

    /// Prints nothing but errors and unmet expectations
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
    /// Open, exchange a frame, close, again; against frames
    Connect,
    /// Open and hold, with a frame exchanged at each heartbeat; against frames
    Idle,
    /// Messages of WebSocket, by --mode; against http, and any server of WebSocket
    Ws,
    /// Requests of HTTP; against http, and any server of HTTP/1.1
    Http,
    /// Commands on keys, by --mix; against redis, and against Redis
    Redis,
}

/// `--distribution`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum DistributionName {
    /// Each as often
    Uniform,
    /// Few very often: the n-th in proportion to 1 / n^0.99
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
            (config.http.host, config.ws.host) = (host.clone(), host);
        }
        config.http = self.http.request(config.http, path.clone(), &self.header);
        config.ws = self.ws.workload(config.ws, path, &self.header)?;
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
        config.reconnect = self.reconnect;
        config.warmup = self.warmup;
        config.duration = duration.unwrap_or(config.duration);
        config.hold = hold;
        config.rate_per_second = self.rate;
        config.depth = self.depth.unwrap_or(config.depth);
        config.size = self.size.unwrap_or(config.size);
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
            Kind::Connect | Kind::Idle => false,
            Kind::Ws => self.ws.mode() == Mode::Echo,
            _ => true,
        };
        let name = kind.name();
        let loops = "echo, lines, frames, http, ws --mode echo and redis";
        if !is_loop && self.rate.is_some() {
            return Err(usage(&format!("--rate is for {loops}; {name} has a pace of its own")));
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
        if let Some(option) = both.filter(|_| !matches!(kind, Kind::Http | Kind::Ws)) {
            return Err(usage(&format!("{option} is for http and ws; {name} has no requests of HTTP")));
        }
        if let Some(option) = self.http.given().filter(|_| kind != Kind::Http) {
            return Err(usage(&format!("{option} is for http; {name} has no such requests")));
        }
        if let Some(option) = self.ws.given().filter(|_| kind != Kind::Ws) {
            return Err(usage(&format!("{option} is for ws; {name} is no WebSocket")));
        }
        if kind == Kind::Ws && !is_loop && self.size.is_some() {
            return Err(usage("--size is for --mode echo: others send no messages"));
        }
        if kind == Kind::Http && self.size.is_some() {
            return Err(usage("--size is not for http: a body is given with --body or --body-size"));
        }
        if kind == Kind::Http && self.login.is_some() {
            return Err(usage("--login is not for http: say who it is in a header, as -H 'Authorization: Bearer x'"));
        }
        let has_heartbeat = kind == Kind::Idle || self.ws.mode() == Mode::Hold;
        if !has_heartbeat && self.heartbeat.is_some() {
            return Err(usage(&format!("--heartbeat is for idle and ws --mode hold; {name} sends at its own pace")));
        }
        if kind == Kind::Idle && self.heartbeat == Some(Duration::ZERO) {
            return Err(usage("--heartbeat of idle is longer than 0"));
        }
        if kind == Kind::Connect && self.hold.is_some() {
            return Err(usage("connect keeps no connection that --hold could hold"));
        }
        if kind == Kind::Idle && self.hold.is_some() && self.duration.is_some() {
            return Err(usage("--hold and --duration are the same for idle: give one of them"));
        }
        if kind == Kind::Idle && self.hold == Some(Duration::ZERO) {
            return Err(usage("--hold is the time that idle connections are held: it is longer than 0"));
        }
        Ok(())
    }
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
    let mut bytes = Vec::new();
    // One byte more than a login may have: then it is too long, however long it is.
    let read = std::fs::File::open(path).and_then(|file| file.take((1 << 20) + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("the file cannot be read: {error}"))?;
    Login::bytes(bytes).map_err(|error| error.to_string())
}
