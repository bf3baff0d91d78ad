//! `echo`: messages per second and CPU time per message, subjects in turn.

use std::io;

use serde::Serialize;

use super::plan::{Head, Plan};
use super::{Ratio, Workload, column, measured, print_peers, ratios};
use crate::client::closed_loop::{self, Load, Outcome};
use crate::measure::median;
use crate::subject::{Role, Subject};
use crate::wire::{MAX_MESSAGE_BYTES, MIN_MESSAGE_BYTES};

/// Options of `echo`.
#[derive(clap::Args, Debug)]
#[command(mut_arg("seconds", |seconds| seconds.default_value("2")))]
#[command(mut_arg("warm_up", |seconds| seconds.default_value("0.5")))]
pub struct Options {
    /// Bytes of a message, framing included.
    #[arg(long, num_args = 1.., default_values = ["64"])]
    size: Vec<usize>,
    /// Connections × requests under way on each, such as `50x1`.
    #[arg(long, num_args = 1.., default_values = ["50x1", "1000x1", "100x16"])]
    workload: Vec<Workload>,
    #[command(flatten)]
    pub(super) plan: Plan,
}

/// Figures of one subject under one workload; medians over the rounds.
#[derive(Serialize)]
struct Row {
    subject: &'static str,
    messages_per_second: f64,
    cpu_ns_per_message: f64,
    p50_us: f64,
    p99_us: f64,
    switches_per_1000: f64,
    server_busy: f64,
    client_busy: f64,
    cpu_ratios: Vec<Ratio>,
}

#[derive(Serialize)]
pub(super) struct Table {
    title: String,
    connections: usize,
    depth: usize,
    size: usize,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    workloads: Vec<Table>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let mut report = Report { head: options.plan.begin(None)?, workloads: Vec::new() };
    report.workloads = tables(options, Role::Echo)?;
    options.plan.setup.end(&report)
}

/// Measures the subjects of a role under each workload, and prints the tables unless JSON is wanted.
pub(super) fn tables(options: &Options, role: Role) -> io::Result<Vec<Table>> {
    if !options.size.iter().all(|size| (MIN_MESSAGE_BYTES..=MAX_MESSAGE_BYTES).contains(size)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a message has {MIN_MESSAGE_BYTES} to {MAX_MESSAGE_BYTES} bytes"),
        ));
    }
    let Options { plan, size, workload, .. } = options;
    let [warm_up, measured] = plan.times()?;
    let mut tables = Vec::new();
    let subjects = plan.setup.comparison(role)?;
    for (&size, &Workload { connections, depth }) in
        size.iter().flat_map(|size| workload.iter().map(move |load| (size, load)))
    {
        let outcomes = plan.setup.side_by_side(&subjects, plan.rounds, |subject, server| {
            let load = Load { connections, depth, size, wire: subject.wire, warm_up, measured };
            closed_loop::run(server.port, server.pid(), &load)
        })?;
        let title = format!("Echo, {connections} connections × {depth} under way, {size} bytes");
        let table = Table { title, connections, depth, size, rows: rows(&subjects, &outcomes) };
        if plan.setup.prints_tables() {
            print(&table);
        }
        tables.push(table);
    }
    Ok(tables)
}

fn cpu_ns_per_message(outcome: &Outcome) -> f64 {
    outcome.server.cpu_ns as f64 / outcome.messages.max(1) as f64
}

fn rows(subjects: &[&'static Subject], outcomes: &[Vec<Outcome>]) -> Vec<Row> {
    let costs = |index: usize| -> Vec<f64> { outcomes[index].iter().map(cpu_ns_per_message).collect() };
    let row = |index: usize| {
        let median = |figure: &dyn Fn(&Outcome) -> f64| median(&outcomes[index], figure);
        let seconds = |outcome: &Outcome| outcome.elapsed.as_secs_f64();
        let quantile_us = |outcome: &Outcome, quantile| outcome.round_trips.value_at_quantile(quantile) as f64 / 1e3;
        Row {
            subject: subjects[index].name,
            messages_per_second: median(&|one| one.messages as f64 / seconds(one)),
            cpu_ns_per_message: median(&cpu_ns_per_message),
            p50_us: median(&|one| quantile_us(one, 0.5)),
            p99_us: median(&|one| quantile_us(one, 0.99)),
            switches_per_1000: median(&|one| one.server.voluntary_switches as f64 * 1e3 / one.messages.max(1) as f64),
            server_busy: median(&|one| one.server.cpu_ns as f64 / 1e9 / seconds(one)),
            client_busy: median(&|one| one.client.cpu_ns as f64 / 1e9 / seconds(one)),
            cpu_ratios: ratios(subjects, index, costs),
        }
    };
    measured(outcomes).map(row).collect()
}

fn print(table: &Table) {
    println!("\n{}", table.title);
    println!(
        "{:<22} {:>10} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7}  CPU per message against its floor",
        "subject", "msg/s", "CPU ns", "p50 µs", "p99 µs", "waits/1k", "server", "client"
    );
    for row in &table.rows {
        print!(
            "{:<22} {:>10.0} {:>8.0} {:>8.1} {:>8.1} {:>9.2} {:>6.0}% {:>6.0}%  ",
            row.subject,
            row.messages_per_second,
            row.cpu_ns_per_message,
            row.p50_us,
            row.p99_us,
            row.switches_per_1000,
            row.server_busy * 100.0,
            row.client_busy * 100.0,
        );
        println!("{}", column(&row.cpu_ratios));
    }
    print_peers("CPU time a message against", table.rows.iter().map(|row| (row.subject, &*row.cpu_ratios)));
}
