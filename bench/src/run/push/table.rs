//! The table of a case of `push`: what an operation costs, how long it takes, and both in proportion to the others.

use std::time::Duration;

use serde::Serialize;

use crate::measure::{Spread, median};
use crate::run::{Ratio, column, measured, ratios};
use crate::subject::Subject;

/// Holds the figures of one subject in one round.
pub struct Figures {
    /// Deliveries, connects, publications or clients.
    pub operations: u64,
    /// The time in which they were done.
    pub elapsed: Duration,
    /// CPU time that the server used.
    pub cpu_ns: u64,
    /// How long each publication took until the last had it, or each cut until the last was back; empty where that is not
    /// measured.
    pub each: Vec<Duration>,
}

/// Figures of one subject in one case; medians over the rounds.
#[derive(Serialize)]
pub struct Row {
    subject: String,
    operations_per_second: f64,
    cpu_ns_per_operation: f64,
    /// Median of the times until the last.
    p50_ms: Option<f64>,
    /// 99th percentile of the same.
    p99_ms: Option<f64>,
    cpu_ratios: Vec<Ratio>,
    /// Ratios of the 99th percentiles.
    time_ratios: Vec<Ratio>,
}

/// One case.
#[derive(Serialize)]
pub struct Table {
    /// The work that is measured.
    pub title: String,
    /// The operation that is counted.
    pub operation: &'static str,
    /// The bound that was set for the ratios.
    pub asked: &'static str,
    /// One for each subject.
    pub rows: Vec<Row>,
}

impl Figures {
    fn cpu_ns_each(&self) -> f64 {
        self.cpu_ns as f64 / self.operations.max(1) as f64
    }

    fn per_second(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// A quantile of the times, in ms; nothing where there are none.
    fn quantile(&self, quantile: f64) -> Option<f64> {
        let mut times = self.each.clone();
        times.sort_unstable();
        let place = (times.len() as f64 * quantile).ceil() as usize;
        times.get(place.saturating_sub(1)).map(|time| time.as_secs_f64() * 1e3)
    }
}

/// The rows of all subjects.
pub fn rows(subjects: &[&'static Subject], outcomes: &[Vec<Figures>]) -> Vec<Row> {
    let cpu = |index: usize| -> Vec<f64> { outcomes[index].iter().map(Figures::cpu_ns_each).collect() };
    let time = |index: usize| -> Vec<f64> { outcomes[index].iter().filter_map(|one| one.quantile(0.99)).collect() };
    let row = |index: usize| {
        let at = |quantile: f64| {
            let of = |one: &Figures| one.quantile(quantile);
            Spread::of(outcomes[index].iter().filter_map(of)).map(|spread| spread.median)
        };
        Row {
            subject: subjects[index].name.to_owned(),
            operations_per_second: median(&outcomes[index], Figures::per_second),
            cpu_ns_per_operation: median(&outcomes[index], Figures::cpu_ns_each),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            cpu_ratios: ratios(subjects, index, cpu),
            time_ratios: ratios(subjects, index, time),
        }
    };
    measured(outcomes).map(row).collect()
}

/// Holds the figures of one subject in one round, for two ways of doing the same.
pub type Pair = [Figures; 2];

/// The rows of all subjects where each did something in two ways, with the ratio of the first to the second.
pub fn pairs(subjects: &[&'static Subject], outcomes: &[Vec<Pair>], names: [&'static str; 2]) -> Vec<Row> {
    let mut all = Vec::new();
    for (subject, outcomes) in subjects.iter().zip(outcomes) {
        let cpu = |way: usize| -> Vec<f64> { outcomes.iter().map(|pair| pair[way].cpu_ns_each()).collect() };
        for (way, name) in names.iter().enumerate() {
            let ratio = Spread::of_ratios(&cpu(0), &cpu(1)).filter(|_| way == 0);
            all.push(Row {
                subject: format!("{}, {name}", subject.name),
                operations_per_second: median(outcomes, |pair| pair[way].per_second()),
                cpu_ns_per_operation: median(outcomes, |pair| pair[way].cpu_ns_each()),
                p50_ms: None,
                p99_ms: None,
                cpu_ratios: ratio
                    .map(|spread| Ratio { floor: names[1], is_peers: false, spread })
                    .into_iter()
                    .collect(),
                time_ratios: Vec::new(),
            });
        }
    }
    all
}

impl Table {
    /// Prints it as Markdown.
    pub fn print(&self) {
        let has_times = self.rows.iter().any(|row| row.p99_ms.is_some());
        println!("\n**{}**; asked: {}\n", self.title, self.asked);
        print!("| subject | a second | CPU ns per {} |", self.operation);
        if has_times {
            print!(" p50 ms until the last | p99 ms | p99 against the other's |");
        }
        println!(" CPU time against the other's |");
        println!("|---|---|---|{}---|", if has_times { "---|---|---|" } else { "" });
        for row in &self.rows {
            print!("| {} | {:.0} | {:.0} |", row.subject, row.operations_per_second, row.cpu_ns_per_operation);
            if has_times {
                let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
                print!(" {} | {} | {} |", ms(row.p50_ms), ms(row.p99_ms), column(&row.time_ratios));
            }
            println!(" {} |", column(&row.cpu_ratios));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let each = (1..=50).rev().map(Duration::from_millis).collect();
        let figures = Figures { operations: 1, elapsed: Duration::ZERO, cpu_ns: 1, each };
        assert_eq!((figures.quantile(0.5), figures.quantile(0.99)), (Some(25.0), Some(50.0)));
        assert_eq!(Figures { each: Vec::new(), ..figures }.quantile(0.5), None);
    }
}
