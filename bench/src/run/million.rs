//! `million`: how many connections one process holds, opened and held by one load process on the same machine.

mod push;

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gannet::{Address, DriverChoice};
use gannet_load::plan::Phase;
use gannet_load::run::{Config, Kind};
use gannet_load::sources::{DEFAULT_PORTS, loopback};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use super::known;
use crate::child::Server;
use crate::drain::{self, Counted, Pace};
use crate::machine;
use crate::measure::resident_bytes;
use crate::socket;

/// Direct descriptors of a ring that are not for connections (accepts in flight, room for the unevenness of a hash).
const RESERVED: u64 = 100;

/// How long the last may take to leave after the spread.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// Options of `million`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Connections.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    connections: u32,
    /// Seconds in which each connection is heard from, after all are up.
    #[arg(long, default_value_t = 60)]
    hold: u64,
    /// Seconds over which all are told to leave after that; 0 leaves this out.
    #[arg(long, default_value_t = 120)]
    drain: u64,
    /// CPU of the server.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// CPU of the clients.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Measure one message to all of them in place of frames: of a bare loop of sends, and of the gateway.
    #[arg(long, conflicts_with_all = ["hold", "drain"])]
    push: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    connections: u32,
    opened: u64,
    seconds_to_open: f64,
    failed: u64,
    lost: u64,
    exchanges: u64,
    unanswered: u64,
    up_at_the_end: u64,
    server_bytes_per_connection: f64,
    client_bytes_per_connection: f64,
    kernel_bytes_per_connection: f64,
    drain: Option<Pace>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    if options.push {
        return push::run(options);
    }
    let reactors = client_reactors(options.connections);
    let spread = Duration::from_secs(options.drain);
    let mut server = Server::start(known("many-frames-uring")?, options.server_cpu)?;
    socket::pin(options.client_cpu)?;
    let target: Address = format!("tcp://127.0.0.1:{}", server.port).parse().map_err(io::Error::other)?;
    let config = Config {
        sources: loopback(options.connections, DEFAULT_PORTS),
        connections: options.connections,
        warmup: Duration::ZERO,
        duration: Duration::from_secs(options.hold),
        // A little sooner than the hold, so that each is heard from in it.
        heartbeat: Duration::from_secs(options.hold).mul_f64(0.9),
        // It ends when the last has left.
        hold: if spread.is_zero() { spread } else { spread + DRAIN_PATIENCE },
        reactors,
        driver: DriverChoice::Uring,
        server_pid: Some(server.pid()),
        ..Config::new(Kind::Idle, target)
    };
    let own = std::process::id();
    let before = Memory::now(server.pid(), own)?;
    let mut full = None;
    let pid = server.pid();
    let mut error = None;
    let mut lost_before_drain = None;
    let results = gannet_load::run::run(&config, &AtomicBool::new(false), &mut |moment| {
        if !options.json {
            let second = &moment.second;
            eprintln!(
                "{:>4} s: {} up, {} failed, {} lost, {} exchanges/s",
                second.at.as_secs(),
                second.connections,
                moment.failed,
                moment.lost,
                second.answered
            );
        }
        // The last reading with all of them up counts.
        if moment.phase == Phase::Measure {
            match Memory::now(pid, own) {
                Ok(memory) => full = Some(memory),
                Err(failed) => error = Some(failed),
            }
        }
        if moment.phase == Phase::Hold && lost_before_drain.is_none() {
            lost_before_drain = Some(moment.lost);
            if let Err(failed) = server.tell(&drain::order(spread)) {
                error = Some(failed);
            }
        }
    })
    .map_err(io::Error::other)?;
    if let Some(error) = error {
        return Err(error);
    }
    let drain = match lost_before_drain {
        Some(_) => serde_json::from_str::<Counted>(&server.line()?)?.pace(spread),
        None => None,
    };
    let full = full.unwrap_or(Memory::now(pid, own)?);
    let each = |bytes: u64| bytes as f64 / results.connections.up.max(1) as f64;
    let server_bytes = full.server.saturating_sub(before.server);
    let client_bytes = full.client.saturating_sub(before.client);
    let taken = before.available.saturating_sub(full.available);
    let sum = |counts: &[(String, u64)]| counts.iter().map(|(_, count)| count).sum();
    let report = Report {
        machine: machine::describe(),
        connections: options.connections,
        opened: results.connections.opened,
        seconds_to_open: results.ramped.as_secs_f64(),
        failed: sum(&results.connections.failed),
        lost: lost_before_drain.unwrap_or_else(|| sum(&results.connections.lost)),
        exchanges: results.requests.answered,
        unanswered: results.requests.unanswered,
        up_at_the_end: results.connections.up,
        server_bytes_per_connection: each(server_bytes),
        client_bytes_per_connection: each(client_bytes),
        kernel_bytes_per_connection: each(taken.saturating_sub(server_bytes + client_bytes)),
        drain,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!("{}", report.machine);
    println!(
        "\n{} connections between two processes on one machine, io_uring, {reactors} client reactors",
        report.connections
    );
    println!("opened        {} in {:.1} s; {} failed", report.opened, report.seconds_to_open, report.failed);
    println!("held          {} s; {} lost, {} up at the end", options.hold, report.lost, report.up_at_the_end);
    println!("heard         {} exchanges of a frame, each checked; {} unanswered", report.exchanges, report.unanswered);
    println!(
        "memory        {:.0} bytes a connection in the server's process, {:.0} in the load's, {:.0} in the kernel for both ends",
        report.server_bytes_per_connection, report.client_bytes_per_connection, report.kernel_bytes_per_connection
    );
    if let Some(pace) = &report.drain {
        println!(
            "drained       {} over {} s: {:.0} a second asked, {:.3} to {:.3} times that in each second, the last after {:.1} s",
            pace.connections, pace.spread_seconds, pace.asked_per_second, pace.slowest, pace.quickest, pace.seconds
        );
    }
    Ok(())
}

/// How many reactors hold so many connections: each as many as the process may have descriptors.
fn client_reactors(connections: u32) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20).saturating_sub(RESERVED).max(1);
    u64::from(connections).div_ceil(files) as usize
}

/// Bytes at a moment.
struct Memory {
    server: u64,
    client: u64,
    /// Bytes that the machine could still give to processes.
    available: u64,
}

impl Memory {
    fn now(server: u32, client: u32) -> io::Result<Self> {
        Ok(Self {
            server: resident_bytes(server)?,
            client: resident_bytes(client)?,
            available: machine::available_bytes()?,
        })
    }
}
