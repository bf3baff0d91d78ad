//! `latency`: response times at 70 % of the weaker one's capacity, of Gannet beside each peer.
//!
//! The capacity of all is measured in a closed loop first. Then each pair runs at one rate in an open loop, in turn.

use std::io;

use serde::Serialize;

use super::plan::{Head, Plan};
use super::{Ratio, column, ratios};
use crate::client::closed_loop;
use crate::client::open_loop::{self, Outcome};
use crate::measure::median;
use crate::peers;
use crate::subject::{Role, Subject};
use crate::wire::Wire;

/// The peers that are measured where none is named.
const PEERS: [&str; 3] = ["tokio", "go-net", "go-gnet"];

/// Bytes of a message.
const SIZE: usize = 64;

/// Options of `latency`.
#[derive(clap::Args, Debug)]
#[command(mut_arg("seconds", |seconds| seconds.default_value("2")))]
pub struct Options {
    /// Connections.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// The rate of a pair, in proportion to the capacity of the weaker one.
    #[arg(long, default_value_t = 0.7)]
    share: f64,
    #[command(flatten)]
    plan: Plan,
}

/// Response times of one subject; medians over the rounds.
#[derive(Serialize)]
struct Row {
    subject: &'static str,
    messages_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    /// By how much 99 of 100 messages were sent late at most: the client's own part.
    late_p99_us: f64,
    /// The client's part is more than half: the figures say little of the server.
    client_was_late: bool,
    server_busy: f64,
    /// Of the 99th percentiles.
    ratios: Vec<Ratio>,
}

/// One of Gannet's subjects beside one peer.
#[derive(Serialize)]
struct Pair {
    title: String,
    compared: &'static str,
    per_second: f64,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Capacity {
    subject: &'static str,
    messages_per_second: f64,
}

/// The ratios of one of Gannet's subjects to all peers.
#[derive(Serialize)]
struct Summary {
    subject: &'static str,
    ratios: Vec<Ratio>,
}

#[derive(Serialize)]
struct Together {
    title: String,
    asked: &'static str,
    compared: &'static str,
    rows: Vec<Summary>,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    capacity: Vec<Capacity>,
    together: Option<Together>,
    pairs: Vec<Pair>,
}

/// The figure whose ratios are taken.
const COMPARED: &str = "p99_us";

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let plan = &options.plan;
    if !(0.01..=0.95).contains(&options.share) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "--share is from 0.01 to 0.95"));
    }
    let mut report = Report { head: plan.begin(None)?, capacity: Vec::new(), together: None, pairs: Vec::new() };
    let subjects = subjects(plan)?;
    let (own, peers): (Vec<_>, Vec<_>) = subjects.iter().copied().partition(|subject| !peers::is_peer(subject));
    report.capacity = capacities(options, &subjects)?;
    let capacity = |subject: &Subject| {
        let known = report.capacity.iter().find(|capacity| capacity.subject == subject.name);
        known.map(|capacity| capacity.messages_per_second)
    };
    let title = format!("p99 at {:.0} % of the weaker one's capacity", options.share * 100.0);
    let mut rows: Vec<Summary> = own.iter().map(|own| Summary { subject: own.name, ratios: Vec::new() }).collect();
    for peer in peers {
        for (own, summary) in own.iter().zip(&mut rows) {
            let (Some(one), Some(other)) = (capacity(own), capacity(peer)) else { continue };
            let (mut pair, ratio) = pair(options, own, peer, one.min(other) * options.share)?;
            pair.title = format!("{} and {}: {}", own.name, peer.name, pair.title);
            if plan.setup.prints_tables() {
                print(&pair);
            }
            summary.ratios.extend(ratio);
            report.pairs.push(pair);
        }
    }
    if plan.setup.prints_tables() {
        println!("\n{title}, in proportion to each; asked: below 1");
        for Summary { subject, ratios } in &rows {
            println!("{subject:<22} {}", column(ratios));
        }
    }
    report.together = Some(Together { title, asked: "below 1", compared: COMPARED, rows });
    plan.setup.end(&report)
}

/// Both drivers of Gannet, and the peers that are named, or those of the table.
fn subjects(plan: &Plan) -> io::Result<Vec<&'static Subject>> {
    let setup = &plan.setup;
    let mut subjects = setup.subjects_by(Role::Echo, |subject| {
        let is_own = !Subject::is_floors_name(subject.name) && !peers::is_peer(subject);
        subject.wire == Wire::Raw && (is_own || setup.names(subject.name) || PEERS.contains(&subject.name))
    })?;
    let names_peer = subjects.iter().any(|subject| peers::is_peer(subject) && setup.names(subject.name));
    subjects.retain(|subject| !names_peer || !peers::is_peer(subject) || setup.names(subject.name));
    Ok(subjects)
}

/// What each does in a closed loop.
fn capacities(options: &Options, subjects: &[&'static Subject]) -> io::Result<Vec<Capacity>> {
    let plan = &options.plan;
    let [warm_up, measured] = plan.times()?;
    let load = closed_loop::Load {
        connections: options.connections as usize,
        depth: 1,
        size: SIZE,
        wire: Wire::Raw,
        warm_up,
        measured,
    };
    let outcomes = plan
        .setup
        .side_by_side(subjects, plan.rounds, |_, server| closed_loop::run(server.port, server.pid(), &load))?;
    let rate = |one: &closed_loop::Outcome| one.messages as f64 / one.elapsed.as_secs_f64();
    let measured = super::measured(&outcomes);
    let capacities: Vec<Capacity> = measured
        .map(|index| Capacity { subject: subjects[index].name, messages_per_second: median(&outcomes[index], rate) })
        .collect();
    if plan.setup.prints_tables() {
        println!("\nCapacity: closed loop, {} connections × 1 under way, {SIZE} bytes", options.connections);
        for Capacity { subject, messages_per_second } in &capacities {
            println!("{subject:<22} {messages_per_second:>10.0} msg/s");
        }
    }
    Ok(capacities)
}

/// Measures both at one rate. Returns also the ratio of the first's p99 to the second's.
fn pair(
    options: &Options,
    own: &'static Subject,
    peer: &'static Subject,
    per_second: f64,
) -> io::Result<(Pair, Option<Ratio>)> {
    let plan = &options.plan;
    let [warm_up, measured] = plan.times()?;
    let connections = options.connections as usize;
    let load = open_loop::Load { connections, size: SIZE, per_second, warm_up, measured };
    let subjects = [own.compared_with(peer.name), peer];
    let outcomes = plan
        .setup
        .side_by_side(&subjects, plan.rounds, |_, server| open_loop::run(server.port, server.pid(), &load))?;
    let us = |ns: u64| ns as f64 / 1e3;
    let p99 = |one: &Outcome| us(one.responses.value_at_quantile(0.99));
    let p99s = |index: usize| -> Vec<f64> { outcomes[index].iter().map(p99).collect() };
    let row = |index: usize| {
        let median = |figure: &dyn Fn(&Outcome) -> f64| median(&outcomes[index], figure);
        let (p99_us, late_p99_us) = (median(&p99), median(&|one| us(one.late.value_at_quantile(0.99))));
        Row {
            subject: subjects[index].name,
            messages_per_second: median(&|one| one.answered as f64 / one.elapsed.as_secs_f64()),
            p50_us: median(&|one| us(one.responses.value_at_quantile(0.5))),
            p99_us,
            p999_us: median(&|one| us(one.responses.value_at_quantile(0.999))),
            late_p99_us,
            client_was_late: late_p99_us * 2.0 > p99_us,
            server_busy: median(&|one| one.server.cpu_ns as f64 / one.elapsed.as_nanos() as f64),
            ratios: ratios(&subjects, index, p99s),
        }
    };
    let rows = super::measured(&outcomes).map(row).collect();
    let title = format!("open loop, {per_second:.0} messages a second on {connections} connections");
    let ratio = ratios(&subjects, 0, p99s).into_iter().next();
    Ok((Pair { title, compared: COMPARED, per_second, rows }, ratio))
}

fn print(pair: &Pair) {
    println!("\n{}", pair.title);
    println!(
        "{:<22} {:>10} {:>9} {:>9} {:>9} {:>13} {:>7}  p99 against",
        "subject", "msg/s", "p50 µs", "p99 µs", "p99.9 µs", "sent late p99", "server"
    );
    for row in &pair.rows {
        println!(
            "{:<22} {:>10.0} {:>9.1} {:>9.1} {:>9.1} {:>13.1} {:>6.0}%  {}",
            row.subject,
            row.messages_per_second,
            row.p50_us,
            row.p99_us,
            row.p999_us,
            row.late_p99_us,
            row.server_busy * 100.0,
            column(&row.ratios)
        );
        if row.client_was_late {
            println!("{:<22} the client was late by more than half of that: a machine with other work", "");
        }
    }
}
