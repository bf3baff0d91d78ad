//! `connections`: one echo in six models: a thread per connection, select, poll, epoll by level and by edge, io_uring;
//! under connections most of which are idle.

mod echo;
mod level;
mod poll;
mod select;
mod threads;

use std::fmt;
use std::io;
use std::str::FromStr;

use super::Options;
use super::table::{Column, Comparison, Measured, Table};
use crate::child::Server;
use crate::client::closed_loop::{self, Load};
use crate::client::idle::{Exchange, Idle};
use crate::measure::{resident_bytes, threads as threads_of};
use crate::run::known;
use crate::run::plan::Plan;
use crate::subject::{Role, Subject};
use crate::wire::Wire;

/// Bytes of a message.
const MESSAGE_BYTES: usize = 64;

/// The servers of this case that no other command has.
pub const SUBJECTS: &[Subject] = &[
    subject("model-threads", threads::serve),
    subject("model-select", select::serve),
    subject("model-poll", poll::serve),
    subject("model-level", level::serve),
];

const fn subject(name: &'static str, serve: crate::subject::Serve) -> Subject {
    Subject { name, role: Role::Variant, wire: Wire::Raw, floors: &[], serve, program: None }
}

const EDGE: &str = "epoll, edge-triggered";
/// The names of the rows, each with the subject that serves it.
const MODELS: [(&str, &str); 6] = [
    ("thread per connection", "model-threads"),
    ("select", "model-select"),
    ("poll", "model-poll"),
    ("epoll, level-triggered", "model-level"),
    (EDGE, "floor-epoll"),
    ("io_uring", "floor-uring"),
];

const COLUMNS: &[Column] = &[
    Column::new("per_second", "messages a second", 0),
    Column::new("p50_us", "p50 µs", 1),
    Column::new("p99_us", "p99 µs", 1),
    Column::new("cpu_ns_each", "CPU ns a message", 0),
    Column::new("resident_kib", "resident KiB", 0),
    Column::new("threads", "threads", 0),
];
/// The place of the CPU time among them.
const CPU_NS: usize = 3;

/// How many connections have a message under way: a number of them, or a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Active {
    /// So many; all, if there are fewer.
    Count(usize),
    /// So many of a hundred, and one at least.
    Percent(f64),
}

impl FromStr for Active {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let active = match text.strip_suffix('%') {
            Some(share) => share.parse().ok().filter(|share| *share > 0.0 && *share <= 100.0).map(Self::Percent),
            None => text.parse().ok().filter(|count| *count > 0).map(Self::Count),
        };
        active.ok_or_else(|| format!("{text:?} is neither a number of connections nor a share like 10%"))
    }
}

impl fmt::Display for Active {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(formatter, "{count}"),
            Self::Percent(share) => write!(formatter, "{share}%"),
        }
    }
}

impl Active {
    fn of(self, connections: usize) -> usize {
        match self {
            Self::Count(count) => count.min(connections),
            Self::Percent(share) => ((connections as f64 * share / 100.0).round() as usize).max(1),
        }
    }
}

/// Measures all models with each number of connections, and of those that are active.
pub fn measure(options: &Options) -> io::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for &connections in &options.connections {
        let connections = connections as usize;
        let mut actives: Vec<usize> = options.active.iter().map(|active| active.of(connections)).collect();
        actives.sort_unstable();
        actives.dedup();
        for active in actives {
            tables.push(table(&options.plan, connections, active)?);
        }
    }
    Ok(tables)
}

fn table(plan: &Plan, connections: usize, active: usize) -> io::Result<Table> {
    let title = format!("Echo of {MESSAGE_BYTES} bytes, {connections} connections, {active} of them active");
    let comparison = Comparison { plan, title, columns: COLUMNS, compared: CPU_NS, against: EDGE };
    comparison.of(MODELS.map(|(name, subject)| (name.to_owned(), subject)), |&subject| {
        if subject == "model-select" && connections > select::MOST_CONNECTIONS {
            let why = format!("ends at {} descriptors (FD_SETSIZE)", libc::FD_SETSIZE);
            return Ok(Measured::Impossible(why));
        }
        one(plan, known(subject)?, connections, active)
    })
}

fn one(plan: &Plan, subject: &Subject, connections: usize, active: usize) -> io::Result<Measured> {
    let [warm_up, measured] = plan.times()?;
    let server = Server::start(subject, plan.setup.server_cpu)?;
    let mut idle = Idle::new(server.port, vec![Exchange::echo(Wire::Raw, MESSAGE_BYTES)]);
    idle.open_until(connections - active)?;
    let load = Load { connections: active, depth: 1, size: MESSAGE_BYTES, wire: Wire::Raw, warm_up, measured };
    let pid = server.pid();
    let (outcome, (resident, threads)) =
        closed_loop::run_and(server.port, pid, &load, || Ok((resident_bytes(pid)?, threads_of(pid)?)))?;
    let messages = outcome.messages.max(1) as f64;
    let quantile_us = |quantile| outcome.round_trips.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Measured::Figures(vec![
        messages / outcome.elapsed.as_secs_f64(),
        quantile_us(0.5),
        quantile_us(0.99),
        outcome.server.cpu_ns as f64 / messages,
        resident as f64 / 1024.0,
        threads as f64,
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_ones_are_a_number_or_a_share() {
        assert_eq!("10".parse::<Active>().map(|active| active.of(1_000)), Ok(10));
        assert_eq!("10".parse::<Active>().map(|active| active.of(3)), Ok(3));
        assert_eq!("10%".parse::<Active>().map(|active| active.of(1_000)), Ok(100));
        assert_eq!("1%".parse::<Active>().map(|active| active.of(10)), Ok(1));
        for wrong in ["", "0", "0%", "101%", "-1", "ten", "NaN%"] {
            assert!(wrong.parse::<Active>().is_err(), "{wrong:?}");
        }
    }
}
