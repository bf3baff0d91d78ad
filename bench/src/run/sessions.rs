//! `sessions`: dialogues as futures beside the same service as callbacks and as tasks of tokio, echo and memory; hyper on
//! sessions beside hyper on tokio.

use std::io;

use serde::Serialize;

use super::echo::{self, Table as EchoTable};
use super::memory::{self, Row};
use super::plan::Head;
use super::table::{Measure, Table};
use super::{Workload, http};
use crate::client::http::home;
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
    /// Connections × requests under way on each, where hyper is measured.
    #[arg(long, num_args = 0.., default_values = ["50x1", "1000x1"])]
    http_workload: Vec<Workload>,
    #[command(flatten)]
    echo: echo::Options,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    workloads: Vec<EchoTable>,
    http: Vec<Table>,
    connections: u32,
    memory: Vec<Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let &Options { connections, ref http_workload, ref echo } = options;
    let (plan, setup) = (&echo.plan, &echo.plan.setup);
    let head = plan.begin(None)?;
    let workloads = echo::tables(echo, Role::Session)?;
    let mut report = Report { head, workloads, http: Vec::new(), connections, memory: Vec::new() };
    let servers = setup.comparison(Role::Hyper)?;
    for &workload in http_workload.iter().filter(|_| !servers.is_empty()) {
        let measured = http::measured(plan, &servers, workload, Measure::CpuTime, |_, port| home(port))?;
        let title = format!("hyper, GET / of 13 bytes, {workload}");
        Table { title, asked: Some("at most 1.00"), ..measured }.keep(&mut report.http, setup);
    }
    if connections > 0 {
        for subject in setup.subjects(Role::Session)?.into_iter().chain(setup.subjects(Role::TokioBuffer)?) {
            let exchanges = |_| Ok(vec![Exchange::echo(subject.wire, MESSAGE_BYTES)]);
            report.memory.extend(memory::measure(subject, setup.server_cpu, connections, exchanges)?);
        }
        if setup.prints_tables() {
            memory::print(connections, "one exchange", &report.memory);
        }
    }
    setup.end(&report)
}
