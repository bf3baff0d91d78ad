//! What established connections notice of new ones whose handshakes come as fast as they can.

use std::io;
use std::time::{Duration, Instant};

use gannet_tls::TlsVersion;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Options;
use crate::child::Server;
use crate::client::handshakes::{Ending, Handshakes, Kind, client};
use crate::client::probes::Probes;
use crate::measure::{Usage, histogram};
use crate::run::known;
use crate::run::rounds::in_turn;
use crate::tls::Counted;

const SUBJECTS: [&str; 4] = ["tls-rsa2048-poll", "tls-rsa2048-uring", "tls-rsa4096-poll", "tls-rsa4096-uring"];
/// Established connections.
const PROBES: usize = 10;
/// How often each of them echoes a message.
const EVERY: Duration = Duration::from_millis(5);

/// What came of one server with or without a storm, over all rounds.
#[derive(Serialize)]
pub struct Row {
    subject: &'static str,
    storm: bool,
    handshakes_per_second: f64,
    echoes: u64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    stalls: u64,
    /// Share of the time in which the server was ready and something else had its processor: that makes turns long, too.
    server_delayed: f64,
}

struct Outcome {
    round_trips: Histogram<u64>,
    handshakes: u64,
    seconds: f64,
    stalls: u64,
    delayed_ns: u64,
}

/// Measures all in turn.
pub fn measure(options: &Options) -> io::Result<Vec<Row>> {
    let cases: Vec<(&str, bool)> = SUBJECTS.iter().flat_map(|name| [(*name, false), (*name, true)]).collect();
    let outcomes = in_turn(&cases, options.plan.rounds, |&(subject, storm)| {
        one(options, subject, storm)
            .map_err(|error| io::Error::new(error.kind(), format!("{subject}, storm {storm}: {error}")))
    })?;
    cases.into_iter().zip(outcomes).map(|(case, outcomes)| row(case, outcomes)).collect()
}

fn one(options: &Options, subject: &str, storm: bool) -> io::Result<Outcome> {
    let [warm_up, measured] = options.plan.times()?;
    let mut server = Server::start(known(subject)?, options.plan.setup.server_cpu)?;
    let mut probes = Probes::open(server.port, &client(TlsVersion::V1_3, 0)?, PROBES, EVERY)?;
    let kind = Kind { version: TlsVersion::V1_3, resumes: false, ending: Ending::Reset };
    let at_once = if storm { options.storm as usize } else { 0 };
    let mut handshakes = Handshakes::begin(server.port, kind, at_once)?;
    let run_for = |probes: &mut Probes, handshakes: &mut Handshakes, time| {
        let started = Instant::now();
        while started.elapsed() < time {
            // It does not wait: what comes for the probes is not among what it would wait for.
            handshakes.step(0, || probes.look())?;
            probes.look()?;
        }
        io::Result::Ok(())
    };
    run_for(&mut probes, &mut handshakes, warm_up)?;
    probes.take()?;
    let before: Counted = server.ask()?.parse()?;
    let usage_before = Usage::of(server.pid())?;
    let started = Instant::now();
    run_for(&mut probes, &mut handshakes, measured)?;
    let seconds = started.elapsed().as_secs_f64();
    let usage = Usage::of(server.pid())? - usage_before;
    let after: Counted = server.ask()?.parse()?;
    Ok(Outcome {
        round_trips: probes.take()?,
        handshakes: after.handshakes - before.handshakes,
        seconds,
        stalls: after.stalls - before.stalls,
        delayed_ns: usage.delayed_ns,
    })
}

fn row((subject, storm): (&'static str, bool), outcomes: Vec<Outcome>) -> io::Result<Row> {
    let mut all = histogram()?;
    for outcome in &outcomes {
        all.add(&outcome.round_trips).map_err(io::Error::other)?;
    }
    let seconds: f64 = outcomes.iter().map(|one| one.seconds).sum();
    let handshakes: u64 = outcomes.iter().map(|one| one.handshakes).sum();
    let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Row {
        subject,
        storm,
        handshakes_per_second: handshakes as f64 / seconds,
        echoes: all.len(),
        p50_us: at(0.5),
        p99_us: at(0.99),
        max_us: at(1.0),
        stalls: outcomes.iter().map(|one| one.stalls).sum(),
        server_delayed: outcomes.iter().map(|one| one.delayed_ns as f64 / 1e9).sum::<f64>() / seconds,
    })
}

/// Prints the table as Markdown.
pub fn print(at_once: u32, rows: &[Row]) {
    println!(
        "\n**Echoes of {PROBES} established connections beside {at_once} handshakes at once**; asked: no turn over 25 ms\n"
    );
    println!("| subject | | handshakes a second | echoes | p50 µs | p99 µs | max µs | turns over 25 ms | delayed |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {} | {:.0} | {} | {:.0} | {:.0} | {:.0} | {} | {:.1} % |",
            row.subject,
            if row.storm { "storm" } else { "quiet" },
            row.handshakes_per_second,
            row.echoes,
            row.p50_us,
            row.p99_us,
            row.max_us,
            row.stalls,
            row.server_delayed * 100.0
        );
    }
}
