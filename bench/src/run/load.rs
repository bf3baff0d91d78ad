//! `load`: what `gannet load` reaches and measures beside a bare epoll client, both against the same floor; and what an
//! idle client takes.

mod agreement;

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gannet::{Address, DriverChoice};
use gannet_load::run::{Config, Kind};
use gannet_load::sources::{DEFAULT_PORTS, loopback};

use super::known;
use super::rounds::in_turn;
use crate::child::Server;
use crate::client::closed_loop::{self, Load};
use crate::machine;
use crate::measure::{Spread, median, resident_bytes};
use crate::socket;
use crate::wire::Wire;

/// Options of `load`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// How often each client runs.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Pairs of runs of the ping-pong; a fifth as many runs whose count is checked, of each driver and load.
    #[arg(long, default_value_t = 15)]
    pairs: usize,
    /// Only this case.
    #[arg(long)]
    only: Option<Case>,
    /// Idle clients whose memory is measured.
    #[arg(long, default_value_t = 18_000)]
    idle: u32,
    /// CPU of the server.
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// CPU of the clients.
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
}

/// Cases of the benchmark of the load generator.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Messages a second beside a bare client.
    Rate,
    /// Whether the rate that is reported is true.
    Agreement,
    /// Memory of an idle client.
    Memory,
}

const CLIENTS: [(&str, Option<DriverChoice>); 3] =
    [("bare epoll", None), ("load, poll", Some(DriverChoice::Poll)), ("load, uring", Some(DriverChoice::Uring))];

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    socket::pin(options.client_cpu)?;
    println!("{}", machine::describe());
    let wants = |case| options.only.is_none_or(|only| only == case);
    if wants(Case::Rate) {
        compare_rates(options)?;
    }
    if wants(Case::Agreement) {
        agreement::run(options)?;
    }
    if wants(Case::Memory) {
        println!("\n{} idle clients after an exchange each", options.idle);
        for (name, driver) in CLIENTS {
            let Some(driver) = driver else { continue };
            println!("{name:<12} {:>6.0} bytes a connection", idle_bytes(driver, options)?);
        }
    }
    Ok(())
}

fn compare_rates(options: &Options) -> io::Result<()> {
    for (connections, depth) in [(100, 16), (50, 1)] {
        let rates = in_turn(&CLIENTS, options.rounds, |&(_, driver)| {
            let server = Server::start(known("floor-epoll")?, options.server_cpu)?;
            rate(driver, server.port, connections, depth, options.seconds)
        })?;
        println!("\n{connections} connections × {depth}, 64 bytes, closed loop against floor-epoll");
        println!("{:<12} {:>10}  rate against the bare client", "client", "msg/s");
        for (index, (name, _)) in CLIENTS.iter().enumerate() {
            let median = median(&rates[index], |rate| *rate);
            print!("{name:<12} {median:>10.0}  ");
            match Spread::of_ratios(&rates[index], &rates[0]).filter(|_| index > 0) {
                Some(Spread { median, min, max }) => println!("{median:.3} ({min:.3} to {max:.3})"),
                None => println!("–"),
            }
        }
    }
    Ok(())
}

/// Messages a second, as the client reports them.
fn rate(driver: Option<DriverChoice>, port: u16, connections: u32, depth: u32, seconds: u64) -> io::Result<f64> {
    let measured = Duration::from_secs(seconds);
    let warm_up = Duration::from_millis(500);
    let Some(driver) = driver else {
        let load = Load {
            connections: connections as usize,
            depth: depth as usize,
            size: 64,
            wire: Wire::Raw,
            warm_up,
            measured,
        };
        let outcome = closed_loop::run(port, std::process::id(), &load)?;
        return Ok(outcome.messages as f64 / outcome.elapsed.as_secs_f64());
    };
    let config = Config { connections, depth, warmup: warm_up, duration: measured, ..config(driver, port)? };
    let results = gannet_load::run::run(&config, &AtomicBool::new(false), &mut |_| {}).map_err(io::Error::other)?;
    Ok(results.requests.answered as f64 / results.measured.as_secs_f64())
}

fn config(driver: DriverChoice, port: u16) -> io::Result<Config> {
    let target: Address = format!("tcp://127.0.0.1:{port}").parse().map_err(io::Error::other)?;
    Ok(Config {
        duration: Duration::from_secs(1),
        warmup: Duration::ZERO,
        heartbeat: Duration::from_secs(5),
        driver,
        ..Config::new(Kind::Echo, target)
    })
}

/// Resident bytes of this process for each idle client more, between a tenth of them and all of them.
fn idle_bytes(driver: DriverChoice, options: &Options) -> io::Result<f64> {
    let resident = |connections: u32| -> io::Result<u64> {
        let server = Server::start(known("frames-uring")?, options.server_cpu)?;
        let config = Config {
            kind: Kind::Idle,
            connections,
            sources: loopback(connections, DEFAULT_PORTS),
            duration: Duration::from_secs(7),
            ..config(driver, server.port)?
        };
        let mut last = Ok(0);
        let mut watch = |_: &gannet_load::run::Moment| last = resident_bytes(std::process::id());
        gannet_load::run::run(&config, &AtomicBool::new(false), &mut watch).map_err(io::Error::other)?;
        last
    };
    let few = options.idle / 10;
    let (small, large) = (resident(few)?, resident(options.idle)?);
    Ok((large as f64 - small as f64) / f64::from(options.idle - few))
}
