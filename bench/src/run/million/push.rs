//! A million clients that receive one message: of a bare loop of sends, and of the gateway with a subscription each.

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use gannet::{Address, DriverChoice};
use gannet_load::plan::Phase;
use gannet_load::results::Results;
use gannet_load::run::{Config, Kind};
use gannet_load::scenario::push::Secret;
use gannet_load::scenario::ws::Mode;
use gannet_load::sources::{DEFAULT_PORTS, loopback};
use serde::Serialize;

use super::{Memory, Options, client_reactors};
use crate::child::Server;
use crate::client::channels::DATA_BYTES;
use crate::machine;
use crate::push::{FULL, TOKEN_SECRET};
use crate::run::known;
use crate::socket;

/// The bare loop, and what is compared with it.
const SUBJECTS: [&str; 2] = ["many-sends-uring", "many-push-uring"];

/// How long is measured: one publication is due in it.
const MEASURED: Duration = Duration::from_secs(20);

/// How long the last deliveries are awaited.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Report {
    machine: String,
    connections: u32,
    rows: Vec<Row>,
    /// The time until the last had it, in proportion to the bare loop's.
    ratio: Option<f64>,
}

#[derive(Serialize)]
struct Row {
    subject: &'static str,
    opened: u64,
    seconds_to_open: f64,
    failed: u64,
    lost: u64,
    up_at_the_end: u64,
    received: u64,
    p50_ms: f64,
    last_ms: f64,
    server_bytes_per_connection: f64,
    client_bytes_per_connection: f64,
    kernel_bytes_per_connection: f64,
}

/// How often the kernel is asked: nothing tells when it has closed them.
const LOOK: Duration = Duration::from_millis(200);

/// Sockets of the machine below which those of the last run count as gone.
const FEW_SOCKETS: u64 = 5_000;

/// Waits until the kernel has closed the sockets of an earlier run, which takes a part of both processors.
fn settle() -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && machine::tcp_sockets()? > FEW_SOCKETS {
        // Nothing tells when the kernel has closed them: this is the time between two looks.
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Runs and prints.
pub(super) fn run(options: &Options) -> io::Result<()> {
    let rows = SUBJECTS.iter().map(|subject| measure(subject, options)).collect::<io::Result<Vec<Row>>>()?;
    let ratio = match &rows[..] {
        [floor, gateway] if floor.last_ms > 0.0 => Some(gateway.last_ms / floor.last_ms),
        _ => None,
    };
    let report = Report { machine: machine::describe(), connections: options.connections, rows, ratio };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!("{}", report.machine);
    println!(
        "\n**One message to {} clients**; asked: 12 s, at most 1.3 of a bare loop, none lost\n",
        report.connections
    );
    println!(
        "| subject | opened | in s | failed | lost | received | p50 ms | last ms | bytes a client: server | load | kernel, both ends |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for row in &report.rows {
        println!(
            "| {} | {} | {:.1} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            row.subject,
            row.opened,
            row.seconds_to_open,
            row.failed,
            row.lost,
            row.received,
            row.p50_ms,
            row.last_ms,
            row.server_bytes_per_connection,
            row.client_bytes_per_connection,
            row.kernel_bytes_per_connection
        );
    }
    if let Some(ratio) = report.ratio {
        println!("\nThe last had it after {ratio:.3} of the time of the bare loop.");
    }
    Ok(())
}

fn measure(subject: &'static str, options: &Options) -> io::Result<Row> {
    let is_floor = subject == SUBJECTS[0];
    settle()?;
    let mut server = Server::start(known(subject)?, options.server_cpu)?;
    socket::pin(options.client_cpu)?;
    let target: Address = format!("tcp://127.0.0.1:{}", server.port).parse().map_err(io::Error::other)?;
    let mut config = Config {
        sources: loopback(options.connections + 1, DEFAULT_PORTS),
        connections: options.connections,
        warmup: Duration::ZERO,
        duration: MEASURED,
        answer_patience: PATIENCE,
        patience: PATIENCE,
        reactors: client_reactors(options.connections + 1),
        driver: DriverChoice::Uring,
        size: DATA_BYTES,
        ..Config::new(if is_floor { Kind::Ws } else { Kind::Push }, target)
    };
    if is_floor {
        config.ws.mode = Mode::Receive;
    } else {
        let channel = format!("{FULL}:one");
        config.push.channels = vec![channel.parse().map_err(io::Error::other)?];
        config.push.secret = Some(Secret::new(TOKEN_SECRET.as_bytes()));
        config.push.publishers = 1;
        // One publication in the measured time, at a moment that follows from the publisher's number.
        config.rate_per_second = Some(1.0 / MEASURED.as_secs_f64());
    }
    let (pid, own) = (server.pid(), std::process::id());
    let before = Memory::now(pid, own)?;
    let (mut full, mut error, mut is_triggered) = (None, None, !is_floor);
    let results = gannet_load::run::run(&config, &AtomicBool::new(false), &mut |moment| {
        if !options.json {
            let second = &moment.second;
            eprintln!(
                "{subject} {:>4} s: {} up, {} failed, {} lost, {} received",
                second.at.as_secs(),
                second.connections,
                moment.failed,
                moment.lost,
                second.answered
            );
        }
        if moment.phase != Phase::Measure {
            return;
        }
        let memory = Memory::now(pid, own);
        if !std::mem::replace(&mut is_triggered, true) {
            error = server.ask().err();
        }
        match memory {
            Ok(memory) => full = Some(memory),
            Err(failed) => error = Some(failed),
        }
    })
    .map_err(io::Error::other)?;
    if let Some(error) = error {
        return Err(error);
    }
    let full = full.map_or_else(|| Memory::now(pid, own), Ok)?;
    Ok(row(subject, &results, &before, &full))
}

fn row(subject: &'static str, results: &Results, before: &Memory, full: &Memory) -> Row {
    let each = |bytes: u64| bytes as f64 / results.connections.up.max(1) as f64;
    let server_bytes = full.server.saturating_sub(before.server);
    let client_bytes = full.client.saturating_sub(before.client);
    let taken = before.available.saturating_sub(full.available);
    let sum = |counts: &[(String, u64)]| counts.iter().map(|(_, count)| count).sum();
    let times = results.latency_ns();
    let ms = |ns: u64| ns as f64 / 1e6;
    Row {
        subject,
        opened: results.connections.opened,
        seconds_to_open: results.ramped.as_secs_f64(),
        failed: sum(&results.connections.failed),
        lost: sum(&results.connections.lost) + results.deliveries.map_or(0, |deliveries| deliveries.never_came()),
        up_at_the_end: results.connections.up,
        received: times.len(),
        p50_ms: ms(times.value_at_quantile(0.5)),
        last_ms: ms(times.max()),
        server_bytes_per_connection: each(server_bytes),
        client_bytes_per_connection: each(client_bytes),
        kernel_bytes_per_connection: each(taken.saturating_sub(server_bytes + client_bytes)),
    }
}
