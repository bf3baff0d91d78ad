//! `sessions`: dialogues as futures beside the same service as callbacks, echo and memory.

use std::io;

use serde::Serialize;

use super::echo::{self, Table};
use super::memory::{self, Row};
use super::plan::Head;
use crate::client::idle::Exchange;
use crate::subject::Role;

/// Bytes of the one exchange before a connection is idle.
const MESSAGE_BYTES: usize = 64;

/// Options of `sessions`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Connections whose memory is measured; 0 leaves that out.
    #[arg(long, default_value_t = 18_000)]
    connections: u32,
    #[command(flatten)]
    echo: echo::Options,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    workloads: Vec<Table>,
    connections: u32,
    memory: Vec<Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let &Options { connections, ref echo } = options;
    let setup = &echo.plan.setup;
    let head = echo.plan.begin(None)?;
    let mut report = Report { head, workloads: echo::tables(echo, Role::Session)?, connections, memory: Vec::new() };
    if connections > 0 {
        for subject in setup.subjects(Role::Session)? {
            let exchanges = |_| Ok(vec![Exchange::echo(subject.wire, MESSAGE_BYTES)]);
            report.memory.push(memory::measure(subject, setup.server_cpu, connections, exchanges)?);
        }
        if !setup.json {
            memory::print(connections, "one exchange", &report.memory);
        }
    }
    setup.end(&report)
}
