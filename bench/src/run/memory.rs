//! `memory`: resident bytes of the server for each connection that was used once and is idle now.

use std::io;

use serde::Serialize;

use super::plan::Setup;
use crate::child::Server;
use crate::client::idle::{Exchange, Idle};
use crate::measure::resident_bytes;
use crate::peers;
use crate::subject::{Role, Subject};

/// Connections opened before the first reading, so that what is made once is not counted: pools grow as large as so many
/// messages at once need (`client::idle` sends 256 at a time), however many connections there are. Half of a slab's chunk
/// of 512 is in use then, as it is on average at the end.
pub const WARM_UP: usize = 768;
/// Bytes of the one exchange.
const MESSAGE_BYTES: usize = 64;

/// Options of `memory`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Connections counted. Each takes a descriptor in both processes.
    #[arg(long, default_value_t = 18_000, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    #[command(flatten)]
    setup: Setup,
}

/// The result of one subject.
#[derive(Serialize)]
pub struct Row {
    /// Its name.
    pub subject: &'static str,
    /// Resident bytes with the first connections only.
    pub resident_before: u64,
    /// Resident bytes with all.
    pub resident_after: u64,
    /// By how much the process grew for each.
    pub bytes_per_connection: f64,
}

#[derive(Serialize)]
struct Report {
    machine: String,
    connections: u32,
    rows: Vec<Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let &Options { connections, ref setup } = options;
    let mut report = Report { machine: setup.begin(None)?, connections, rows: Vec::new() };
    for subject in setup.subjects(Role::Echo)? {
        let echo = |_| Ok(vec![Exchange::echo(subject.wire, MESSAGE_BYTES)]);
        report.rows.extend(measure(subject, setup.server_cpu, connections, echo)?);
    }
    if setup.prints_tables() {
        print(connections, "one exchange", &report.rows);
    }
    setup.end(&report)
}

/// Starts a subject and opens connections, with what its port says are their exchanges. Returns nothing for a peer that
/// failed, which is told.
pub fn measure(
    subject: &Subject,
    server_cpu: usize,
    connections: u32,
    exchanges: impl FnOnce(u16) -> io::Result<Vec<Exchange>>,
) -> io::Result<Option<Row>> {
    measure_opened(subject, server_cpu, [WARM_UP, connections as usize], |port| {
        let mut idle = Idle::new(port, exchanges(port)?);
        Ok(move |total| idle.open_until(total))
    })
}

/// Measures the memory of connections that `client` opens, where so many are opened before the first reading. Returns
/// nothing for a peer that failed, which is told.
pub fn measure_opened<O: FnMut(usize) -> io::Result<()>>(
    subject: &Subject,
    server_cpu: usize,
    connections: [usize; 2],
    client: impl FnOnce(u16) -> io::Result<O>,
) -> io::Result<Option<Row>> {
    peers::or_left_out(subject, read_twice(subject, server_cpu, connections, client))
}

fn read_twice<O: FnMut(usize) -> io::Result<()>>(
    subject: &Subject,
    server_cpu: usize,
    [before_counting, connections]: [usize; 2],
    client: impl FnOnce(u16) -> io::Result<O>,
) -> io::Result<Row> {
    let server = Server::start(subject, server_cpu)?;
    let mut open_until = client(server.port)?;
    open_until(before_counting)?;
    let before = resident_bytes(server.pid())?;
    open_until(before_counting + connections)?;
    let after = resident_bytes(server.pid())?;
    Ok(Row {
        subject: subject.name,
        resident_before: before,
        resident_after: after,
        bytes_per_connection: (after as f64 - before as f64) / connections as f64,
    })
}

/// Prints a table of connections that did something once.
pub fn print(connections: u32, did: &str, rows: &[Row]) {
    println!("\n{connections} idle connections after {did} each; memory of the process, without the kernel's");
    println!("{:<22} {:>12} {:>12} {:>18}", "subject", "before KiB", "after KiB", "bytes/connection");
    for row in rows {
        println!(
            "{:<22} {:>12} {:>12} {:>18.1}",
            row.subject,
            row.resident_before / 1024,
            row.resident_after / 1024,
            row.bytes_per_connection
        );
    }
}
