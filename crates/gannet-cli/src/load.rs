//! `gannet load`: simulates clients, and reports what they saw.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, ValueEnum};
use gannet::{Address, DriverChoice};
use gannet_load::expect::Expectation;
use gannet_load::plan::{CONNECTIONS_PER_SOURCE, Phase, loopback_sources};
use gannet_load::report;
use gannet_load::run::{Config, Kind, Moment, run};
use gannet_load::units;
use rustix::process::{Resource, getrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;
use crate::open_files::OpenFiles;
use crate::options::DriverName;
use crate::units::{duration, rate, size};

/// Descriptors that a process needs beside its connections.
const OTHER_FILES: u64 = 64;

/// Kernel memory of a loopback connection, both ends, as measured: for the arithmetic before the start only.
const KERNEL_BYTES_A_CONNECTION: u64 = 9_700;

/// How often a line is printed where nobody looks at a terminal.
const LINE_EVERY_S: u64 = 5;

/// Simulates clients and reports what they saw.
///
/// Each client is a connection that is held for the whole run. By default it is a closed loop: every client sends as soon
/// as an answer came, so a server that stalls is asked less, and its stall shows in few figures. With --rate it is an open
/// loop: every request has an intended moment, and its response time counts from there, so a server that stalls for a
/// second shows a second. The service time, from the write to the answer, is reported beside it.
///
/// The report says whether the run is valid: where this process, and not the server, was the limit, it is not.
///
/// Exit status: 0 the run is valid and meets every --expect; 1 it could not start; 2 wrong usage; 3 an --expect was not met;
/// 4 the run is not valid.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadOptions {
    /// What clients do
    #[arg(value_enum)]
    scenario: ScenarioName,

    /// Where they connect: tcp://host:port or unix:///path
    url: String,

    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    connections: u32,

    /// Connections opened in a second, as 5000/s [default: as fast as they come up]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    ramp: Option<f64>,

    /// How long requests are counted, or idle connections held
    #[arg(long, visible_alias = "hold", value_name = "TIME", value_parser = duration, default_value = "10s")]
    duration: Duration,

    /// What is not counted, once all connections are up
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    warmup: Duration,

    /// Requests in a second, all clients together, as 10000/s: an open loop
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "depth")]
    rate: Option<f64>,

    /// Requests outstanding on each connection of a closed loop
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,

    /// Bytes of a request's payload, as 64 or 4KiB; at most 1MiB
    #[arg(long, value_name = "SIZE", value_parser = payload, default_value = "64")]
    size: usize,

    /// From one frame of an idle client to its next
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    heartbeat: Duration,

    /// Threads [default: one, or as many as the connections need with io_uring]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    reactors: Option<u16>,

    /// What talks to the kernel; auto is io_uring where it can be used
    #[arg(long, value_enum, default_value_t = DriverName::Auto)]
    driver: DriverName,

    /// Pin each thread to a processor
    #[arg(long)]
    pin: bool,

    /// The server's process, where it is on this machine: its CPU time and memory are reported
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// What has to be true of the results, as p99<5ms, errors=0, rate>=10000, lost=0; may be given many times
    #[arg(long, value_name = "EXPECTATION", help_heading = "Report")]
    expect: Vec<Expectation>,

    /// Writes the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    json: Option<PathBuf>,

    /// Writes a page with plots, complete in itself
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    html: Option<PathBuf>,

    /// Writes a row for each second
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    csv: Option<PathBuf>,

    /// Prints nothing but errors and unmet expectations
    #[arg(long, help_heading = "Report")]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScenarioName {
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
}

impl From<ScenarioName> for Kind {
    fn from(name: ScenarioName) -> Self {
        match name {
            ScenarioName::Echo => Self::Echo,
            ScenarioName::Lines => Self::Lines,
            ScenarioName::Frames => Self::Frames,
            ScenarioName::Connect => Self::Connect,
            ScenarioName::Idle => Self::Idle,
        }
    }
}

fn payload(text: &str) -> Result<usize, String> {
    let bytes = size(text)?;
    if (1..=1 << 20).contains(&bytes) { Ok(bytes) } else { Err("a payload has 1 byte to 1MiB".to_owned()) }
}

/// Runs.
///
/// # Errors
///
/// The options contradict each other or the machine, the engine cannot start, an expectation was not met, or the run is
/// not valid.
pub(crate) fn load(options: &LoadOptions) -> Result<(), Failure> {
    let target: Address = options.url.parse()?;
    if matches!(target, Address::Udp(_)) {
        return Err(Failure::Usage("a load goes to tcp:// or unix://; try 'gannet load --help'".to_owned()));
    }
    let _open_files = OpenFiles::raise();
    let driver = DriverChoice::from(options.driver);
    let reactors = reactors(options, &target, driver)?;
    let config = Config {
        kind: options.scenario.into(),
        target,
        connections: options.connections,
        ramp_per_second: options.ramp,
        warmup: options.warmup,
        duration: options.duration,
        rate_per_second: options.rate,
        depth: options.depth,
        size: options.size,
        heartbeat: options.heartbeat,
        reactors,
        driver,
        pin: options.pin,
        server_pid: options.server_pid,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first ends the run early, the second the process.
        let installed = signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()));
        installed.map_err(|error| Failure::Output(format!("signals cannot be handled: {error}")))?;
    }
    if !options.quiet {
        announce(&config);
    }
    let mut live = Live::new(options.quiet, &config);
    let results = run(&config, &stop, &mut |moment| live.show(moment))?;
    live.end();
    if !options.quiet {
        print!("{}", report::text(&results));
    }
    write(options.json.as_ref(), || report::json(&results).map_err(std::io::Error::from))?;
    write(options.html.as_ref(), || Ok(report::html(&results)))?;
    write(options.csv.as_ref(), || Ok(report::csv(&results)))?;
    if !results.invalid.is_empty() {
        return Err(Failure::Invalid(results.invalid.join("; ")));
    }
    let unmet = options.expect.iter().filter_map(|expectation| expectation.check(&results).err());
    let unmet: Vec<String> = unmet.map(|failed| failed.to_string()).collect();
    if unmet.is_empty() { Ok(()) } else { Err(Failure::Unmet(unmet.join("; "))) }
}

/// Writes a form of the report, where it is wanted.
fn write(file: Option<&PathBuf>, content: impl FnOnce() -> std::io::Result<String>) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let written = content().and_then(|content| std::fs::write(file, content));
    written.map_err(|error| Failure::Output(format!("{} cannot be written: {error}", file.display())))
}

/// How many threads, where the machine can give what the connections need; else says which setting would change that.
fn reactors(options: &LoadOptions, target: &Address, driver: DriverChoice) -> Result<usize, Failure> {
    let connections = u64::from(options.connections);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
    let is_loopback = matches!(target, Address::Tcp(address) if address.ip().is_loopback() && address.is_ipv4());
    if matches!(target, Address::Tcp(_)) && !is_loopback && options.connections > CONNECTIONS_PER_SOURCE {
        return Err(Failure::Usage(format!(
            "{connections} connections need more ports than one source address has ({CONNECTIONS_PER_SOURCE}); use \
             several machines, or fewer --connections"
        )));
    }
    let asked = options.reactors.map(usize::from);
    if driver == DriverChoice::Poll {
        if connections > files {
            return Err(Failure::Usage(format!(
                "{connections} connections need as many open files, and this process may have {files}; raise ulimit -n, \
                 or use --driver uring, which needs none for connections"
            )));
        }
        return Ok(asked.unwrap_or(1));
    }
    let needed = usize::try_from(connections.div_ceil(files.max(1))).unwrap_or(usize::MAX);
    match asked {
        Some(asked) if asked < needed => Err(Failure::Usage(format!(
            "{connections} connections need at least {needed} reactors, because each can hold as many as the limit on open \
             files ({files}); give more --reactors, or raise ulimit -n"
        ))),
        Some(asked) => Ok(asked),
        None => Ok(needed.max(1)),
    }
}

/// Prints the arithmetic of what the run needs.
fn announce(config: &Config) {
    let connections = u64::from(config.connections);
    let sources = loopback_sources(config.connections);
    let what = match config.rate_per_second {
        Some(rate) => format!("{rate} requests a second by schedule"),
        None => format!("a closed loop, {} outstanding on each", config.depth),
    };
    println!("{} against {}: {connections} connections, {what}", config.kind.name(), config.target);
    println!(
        "{} and {}; the kernel takes about {} MiB for both ends of the connections on one machine",
        units::things(config.reactors as u64, "reactor"),
        if sources == 1 { "1 source address".to_owned() } else { format!("{sources} source addresses") },
        (connections * KERNEL_BYTES_A_CONNECTION).div_ceil(1 << 20)
    );
}

/// What is shown while it runs: one line that changes in a terminal, a line every few seconds elsewhere.
struct Live {
    quiet: bool,
    terminal: bool,
    seconds: u64,
    wanted: u32,
}

impl Live {
    fn new(quiet: bool, config: &Config) -> Self {
        Self { quiet, terminal: std::io::stderr().is_terminal(), seconds: 0, wanted: config.connections }
    }

    fn show(&mut self, moment: &Moment) {
        self.seconds += 1;
        if self.quiet || (!self.terminal && !self.seconds.is_multiple_of(LINE_EVERY_S)) {
            return;
        }
        let second = &moment.second;
        let phase = match moment.phase {
            Phase::Warmup if second.connections < u64::from(self.wanted) => "opening",
            Phase::Warmup => "warming up",
            Phase::Measure => "measuring",
            Phase::Finish | Phase::Over => "finishing",
        };
        let line = format!(
            "{:>4}s {phase}: {} up, {} failed, {} lost, {}/s, p50 {}, p99 {}",
            second.at.as_secs(),
            second.connections,
            moment.failed,
            moment.lost,
            second.answered,
            units::time(second.p50_ns),
            units::time(second.p99_ns),
        );
        let mut out = std::io::stderr().lock();
        // Nobody looks where it cannot be written.
        let _ = if self.terminal { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
    }

    fn end(&self) {
        if self.terminal && !self.quiet && self.seconds > 0 {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}
