//! `churn`: CPU time for each connection that comes, makes one exchange, and goes.

use std::io;

use clap::ValueEnum;
use serde::Serialize;

use super::plan::{Head, Plan};
use super::table::{Measure, Table};
use crate::client::churn::{Churn, Exchange};
use crate::client::taped::Outcome;
use crate::subject::Role;
use crate::wire::Wire;

/// Options of `churn`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// The exchanges to measure.
    #[arg(long, value_enum, num_args = 1.., default_values = ["echo", "http"])]
    case: Vec<Case>,
    /// Connections under way at a time.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    at_once: u32,
    #[command(flatten)]
    plan: Plan,
}

/// The exchanges to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// 64 bytes there and back; then the client closes.
    Echo,
    /// `GET /`; then the server closes.
    Http,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    tables: Vec<Table>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let Options { case, at_once, plan } = options;
    let times = plan.times()?;
    let mut report = Report { head: plan.begin(None)?, tables: Vec::new() };
    for case in case {
        let (role, exchange, title) = match case {
            Case::Echo => (Role::Echo, Exchange::Echo, "an echo of 64 bytes; the client closes"),
            Case::Http => (Role::Http, Exchange::Http, "GET /; the server closes"),
        };
        let mut subjects = plan.setup.comparison(role)?;
        // A request of this client is neither a line nor a frame.
        subjects.retain(|subject| subject.role == role && subject.wire == Wire::Raw);
        if subjects.is_empty() {
            continue;
        }
        let outcomes = plan.setup.side_by_side(&subjects, plan.rounds, |_, server| {
            let mut churn = Churn::begin(server.port, exchange, *at_once as usize)?;
            Outcome::of(server.pid(), times, |time| churn.run_for(time))
        })?;
        let table = Table {
            title: format!("Connections with {title}, {at_once} at a time"),
            operations: "connections",
            asked: Some("at most 1.00 of the best"),
            measure: Measure::CpuTime,
            rows: Measure::CpuTime.rows(&subjects, &outcomes),
        };
        table.keep(&mut report.tables, &plan.setup);
    }
    plan.setup.end(&report)
}
