//! Subjects side by side under one work of the closed loop: what was measured, and its table.

use std::time::Duration;

use serde::Serialize;

use super::plan::Setup;
use super::{Ratio, column, measured, print_peers, ratios};
use crate::client::taped::Outcome;
use crate::measure::median;
use crate::subject::Subject;

/// The figure that is compared.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Measure {
    /// Operations per CPU second: more is better.
    PerCpuSecond,
    /// CPU time per operation: less is better.
    CpuTime,
}

/// Figures of one subject in one case; medians over the rounds.
#[derive(Serialize)]
pub struct Row {
    subject: &'static str,
    operations_per_second: f64,
    cpu_ns_per_operation: f64,
    /// Share of the time in which the server's threads were on a CPU.
    server_busy: f64,
    /// Share of the time in which they had nothing to do.
    server_idle: f64,
    client_busy: f64,
    /// Replies or deliveries that came with one read.
    operations_per_read: f64,
    ratios: Vec<Ratio>,
}

/// One case.
#[derive(Serialize)]
pub struct Table {
    /// The work that is measured.
    pub title: String,
    /// The operations that are counted.
    pub operations: &'static str,
    /// The bound that was set for the ratio.
    pub asked: Option<&'static str>,
    /// What the ratio is of.
    pub measure: Measure,
    /// One for each subject.
    pub rows: Vec<Row>,
}

impl Measure {
    /// The figures of all subjects.
    pub fn rows(self, subjects: &[&'static Subject], outcomes: &[Vec<Outcome>]) -> Vec<Row> {
        measured(outcomes).map(|index| self.row(subjects, outcomes, index)).collect()
    }

    fn row(self, subjects: &[&'static Subject], outcomes: &[Vec<Outcome>], index: usize) -> Row {
        let cpu_ns = |one: &Outcome| one.server.cpu_ns.max(1) as f64 / one.done.operations.max(1) as f64;
        let compared = |one: &Outcome| match self {
            Self::PerCpuSecond => 1e9 / cpu_ns(one),
            Self::CpuTime => cpu_ns(one),
        };
        let median = |figure: &dyn Fn(&Outcome) -> f64| median(&outcomes[index], figure);
        let share = |ns: u64, of: Duration| ns as f64 / of.as_nanos() as f64;
        Row {
            subject: subjects[index].name,
            operations_per_second: median(&|one| one.done.operations as f64 / one.elapsed.as_secs_f64()),
            cpu_ns_per_operation: median(&cpu_ns),
            server_busy: median(&|one| share(one.server.cpu_ns, one.elapsed)),
            server_idle: median(&|one| (1.0 - share(one.server.cpu_ns + one.server.delayed_ns, one.elapsed)).max(0.0)),
            client_busy: median(&|one| share(one.client.cpu_ns, one.elapsed)),
            operations_per_read: median(&|one| one.done.operations as f64 / one.done.reads.max(1) as f64),
            ratios: ratios(subjects, index, |index| outcomes[index].iter().map(compared).collect()),
        }
    }
}

impl Table {
    /// Puts it to those of a report, and prints it unless they are wanted together.
    pub fn keep(self, tables: &mut Vec<Self>, setup: &Setup) {
        if setup.prints_tables() {
            self.print();
        }
        tables.push(self);
    }

    /// Prints it as Markdown.
    fn print(&self) {
        let asked = self.asked.map_or_else(String::new, |asked| format!("; asked: {asked}"));
        let ratio = match self.measure {
            Measure::PerCpuSecond => format!("{} per CPU second against the other's", self.operations),
            Measure::CpuTime => "CPU time against the other's".to_owned(),
        };
        println!("\n**{}**{asked}\n", self.title);
        println!("| subject | {} a second | CPU ns each | busy | idle | client | a read | {ratio} |", self.operations);
        println!("|---|---|---|---|---|---|---|---|");
        for row in &self.rows {
            println!(
                "| {} | {:.0} | {:.0} | {:.0} % | {:.1} % | {:.0} % | {:.1} | {} |",
                row.subject,
                row.operations_per_second,
                row.cpu_ns_per_operation,
                row.server_busy * 100.0,
                row.server_idle * 100.0,
                row.client_busy * 100.0,
                row.operations_per_read,
                column(&row.ratios)
            );
        }
        print_peers(&format!("{ratio}:"), self.rows.iter().map(|row| (row.subject, &*row.ratios)));
    }
}
