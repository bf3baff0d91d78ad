//! `tls`: TLS beside none: echo, handshakes, what a storm of them does to others, memory of idle connections; and HTTP
//! beside nginx, both by TLS.

mod handshakes;
mod storm;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Write};

use clap::ValueEnum;
use gannet_tls::{TlsInfo, TlsVersion};
use serde::Serialize;

use super::plan::{Head, Plan};
use super::table::{Measure, Table};
use super::{Workload, memory};
use crate::client::handshakes::client;
use crate::client::http;
use crate::client::idle::Exchange;
use crate::client::stream::{Scratch, Stream, Tls};
use crate::client::taped::{self, Outcome};
use crate::http::nginx_version;
use crate::subject::{Role, Subject};
use crate::tls::Certificates;
use crate::wire::{MAX_MESSAGE_BYTES, Wire};

/// Options of `tls`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// What is measured.
    #[arg(long, value_enum, num_args = 1.., default_values = ["echo", "handshakes", "storm", "http", "memory"])]
    case: Vec<Case>,
    /// Connections × messages under way on each.
    #[arg(long, num_args = 1.., default_values = ["50x1", "100x16"])]
    workload: Vec<Workload>,
    /// Bytes of a message of echo; by TLS each is a record when it is sent.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=MAX_MESSAGE_BYTES as i64))]
    size: u32,
    /// Connections × requests under way on each, of `GET /`.
    #[arg(long, num_args = 1.., default_values = ["50x1"])]
    http_workload: Vec<Workload>,
    /// Handshakes under way at once where they are counted.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    at_once: u32,
    /// Handshakes under way at once in a storm.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    storm: u32,
    /// Connections whose memory is measured, once. Each takes a descriptor in both processes.
    #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(1..))]
    memory_connections: u32,
    #[command(flatten)]
    plan: Plan,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Echo,
    Handshakes,
    Storm,
    Http,
    Memory,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    tables: Vec<Table>,
    handshakes: Vec<handshakes::Row>,
    storm: Vec<storm::Row>,
    memory: Vec<Memory>,
}

#[derive(Serialize)]
struct Memory {
    version: String,
    #[serde(flatten)]
    row: memory::Row,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let setup = &options.plan.setup;
    let _certificates = Certificates::new()?;
    let mut report = Report {
        head: options.plan.begin(None)?,
        tables: Vec::new(),
        handshakes: Vec::new(),
        storm: Vec::new(),
        memory: Vec::new(),
    };
    for &case in &options.case {
        match case {
            Case::Echo => {
                for &workload in &options.workload {
                    if let Some(table) = echo(options, workload)? {
                        table.keep(&mut report.tables, setup);
                    }
                }
            }
            Case::Http => {
                let nginx = nginx_version().unwrap_or_else(|error| error.to_string());
                for &workload in &options.http_workload {
                    if let Some(table) = http(options, workload, &nginx)? {
                        table.keep(&mut report.tables, setup);
                    }
                }
            }
            Case::Handshakes => {
                report.handshakes = handshakes::measure(options)?;
                if setup.prints_tables() {
                    handshakes::print(&report.handshakes);
                }
                for table in handshakes::beside_peers(options)? {
                    table.keep(&mut report.tables, setup);
                }
            }
            Case::Storm => {
                report.storm = storm::measure(options)?;
                if setup.prints_tables() {
                    storm::print(options.storm, &report.storm);
                }
            }
            Case::Memory => {
                report.memory = memory(options)?;
                if setup.prints_tables() {
                    print_memory(options.memory_connections, &report.memory);
                }
            }
        }
    }
    setup.end(&report)
}

/// Established connections by TLS 1.3, and with which cipher suite.
fn open(port: u16, connections: usize) -> io::Result<(Vec<Stream>, &'static str)> {
    let (client, mut scratch) = (client(TlsVersion::V1_3, 0)?, Scratch::default());
    let opened: Vec<Tls> =
        (0..connections).map(|_| Tls::open(port, &client, &mut scratch)).collect::<io::Result<_>>()?;
    let suite = opened.first().and_then(Tls::info).map_or("none", TlsInfo::cipher_suite);
    Ok((opened.into_iter().map(|tls| Stream::Tls(Box::new(tls))).collect(), suite))
}

/// The cipher suites of a case, each with the subjects that chose it where there are several: not every library lets its server
/// choose the one that the others have.
#[derive(Default)]
struct Suites(BTreeMap<&'static str, BTreeSet<&'static str>>);

impl Suites {
    fn add(&mut self, suite: &'static str, subject: &'static str) {
        self.0.entry(suite).or_default().insert(subject);
    }
}

impl fmt::Display for Suites {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (1, Some(suite)) = (self.0.len(), self.0.keys().next()) {
            return formatter.write_str(suite);
        }
        for (index, (suite, subjects)) in self.0.iter().enumerate() {
            let (comma, subjects): (_, Vec<_>) =
                (if index > 0 { "; " } else { "" }, subjects.iter().copied().collect());
            write!(formatter, "{comma}{suite} ({})", subjects.join(", "))?;
        }
        Ok(())
    }
}

fn echo(options: &Options, workload: Workload) -> io::Result<Option<Table>> {
    let (Plan { rounds, setup, .. }, times) = (&options.plan, options.plan.times()?);
    let size = options.size as usize;
    let Workload { connections, depth } = workload;
    let Exchange { requests, replies } = Exchange::echo(Wire::Raw, size);
    let subjects = setup.comparison(Role::TlsEcho)?;
    if subjects.is_empty() {
        return Ok(None);
    }
    let mut seen = Suites::default();
    let outcomes = setup.side_by_side(&subjects, *rounds, |subject, server| {
        let tapes = (&requests, &replies);
        let client = if subject.role == Role::TlsEcho {
            let (streams, suite) = open(server.port, connections)?;
            seen.add(suite, subject.name);
            taped::Client::over_streams(streams, tapes, depth)?
        } else {
            taped::Client::connect(server.port, tapes, connections, depth)?
        };
        let mut client = client.in_batches(depth);
        Outcome::of(server.pid(), times, |time| client.run_for(time))
    })?;
    let title = format!("Echo of {size} bytes, {workload}, {seen}");
    let (operations, measure) = ("messages", Measure::CpuTime);
    Ok(Some(Table { title, operations, asked: None, measure, rows: measure.rows(&subjects, &outcomes) }))
}

fn http(options: &Options, workload: Workload, nginx: &str) -> io::Result<Option<Table>> {
    let (Plan { rounds, setup, .. }, times) = (&options.plan, options.plan.times()?);
    let Workload { connections, depth } = workload;
    let subjects = setup.comparison(Role::Https)?;
    if subjects.is_empty() {
        return Ok(None);
    }
    let mut seen = Suites::default();
    let outcomes = setup.side_by_side(&subjects, *rounds, |subject, server| {
        let client = client(TlsVersion::V1_3, 0)?;
        let mut first = Tls::open(server.port, &client, &mut Scratch::default())?;
        let Exchange { requests, replies } = http::home_over(&mut first)?;
        let (streams, suite) = open(server.port, connections)?;
        seen.add(suite, subject.name);
        let client = taped::Client::over_streams(streams, (&requests, &replies), depth)?;
        let mut client = client.in_batches(depth);
        Outcome::of(server.pid(), times, |time| client.run_for(time))
    })?;
    let title = format!("GET / of 13 bytes by TLS 1.3, {workload}, {seen}, {nginx}");
    let (operations, measure) = ("requests", Measure::PerCpuSecond);
    Ok(Some(Table { title, operations, asked: None, measure, rows: measure.rows(&subjects, &outcomes) }))
}

fn memory(options: &Options) -> io::Result<Vec<Memory>> {
    let subjects = options.plan.setup.subjects(Role::TlsEcho)?;
    let mut rows = Vec::new();
    for subject in subjects.into_iter().filter(|subject| subject.role == Role::TlsEcho) {
        for version in [TlsVersion::V1_3, TlsVersion::V1_2] {
            let row = memory_of(options, subject, version)?;
            rows.extend(row.map(|row| Memory { version: version.to_string(), row }));
        }
    }
    Ok(rows)
}

fn memory_of(options: &Options, subject: &Subject, version: TlsVersion) -> io::Result<Option<memory::Row>> {
    let connections = [memory::WARM_UP, options.memory_connections as usize];
    memory::measure_opened(subject, options.plan.setup.server_cpu, connections, |port| {
        let (client, mut scratch) = (client(version, 0)?, Scratch::default());
        let mut opened: Vec<Tls> = Vec::new();
        Ok(move |total| {
            while opened.len() < total {
                let mut tls = Tls::open(port, &client, &mut scratch)?;
                let message = [b'm'; 64];
                tls.write_all(&message)?;
                let mut echo = [0; 64];
                tls.read_exact(&mut echo)?;
                if echo != message {
                    return Err(taped::wrong(&echo));
                }
                opened.push(tls);
            }
            Ok(())
        })
    })
}

fn print_memory(connections: u32, rows: &[Memory]) {
    println!("\n**{connections} idle connections after a handshake and an echo each**; asked: at most 6144\n");
    println!("| subject | version | before, KiB | after, KiB | bytes a connection |");
    println!("|---|---|---|---|---|");
    for Memory { version, row } in rows {
        let [before, after] = [row.resident_before, row.resident_after].map(|bytes| bytes / 1024);
        println!("| {} | {version} | {before} | {after} | {:.0} |", row.subject, row.bytes_per_connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cipher_suite_stands_alone_unless_some_chose_another() {
        let mut seen = Suites::default();
        seen.add("AES_256", "one");
        seen.add("AES_256", "two");
        assert_eq!(seen.to_string(), "AES_256");
        seen.add("AES_128", "three");
        assert_eq!(seen.to_string(), "AES_128 (three); AES_256 (one, two)");
    }
}
