//! The measurements, one file for each subcommand, and the choice of subjects they share.

pub mod broadcast;
pub mod echo;
pub mod http;
pub mod load;
pub mod memory;
pub mod million;
pub mod redis;
mod table;
pub mod tls;
pub mod ws;

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::Serialize;

use crate::measure::Spread;

use crate::subject::{self, Role, SUBJECTS, Subject};

/// Where both ends run and how the figures are printed.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// Measure these subjects (and their floors) only.
    #[arg(long, value_name = "SUBJECT", num_args = 1..)]
    pub only: Vec<String>,
    /// CPU of the server.
    #[arg(long, default_value_t = 0)]
    pub server_cpu: usize,
    /// CPU of the client.
    #[arg(long, default_value_t = 1)]
    pub client_cpu: usize,
    /// Print one JSON object in place of tables.
    #[arg(long)]
    pub json: bool,
}

impl Common {
    /// The subjects to measure, each with its floor before it.
    fn subjects(&self, role: Role) -> io::Result<Vec<&'static Subject>> {
        let mut chosen: Vec<&'static Subject> = Vec::new();
        let mut choose = |subject: &'static Subject| -> io::Result<()> {
            let floors: Vec<_> = subject.floors.iter().map(|floor| known(floor)).collect::<io::Result<_>>()?;
            for subject in floors.into_iter().chain([subject]) {
                if !chosen.iter().any(|other| other.name == subject.name) {
                    chosen.push(subject);
                }
            }
            Ok(())
        };
        if self.only.is_empty() {
            for subject in SUBJECTS.iter().filter(|subject| subject.role == role) {
                choose(subject)?;
            }
        }
        for name in &self.only {
            choose(known(name)?)?;
        }
        Ok(chosen)
    }
}

/// Connections × requests under way on each, such as `50x1`.
#[derive(Clone, Copy, Debug)]
struct Workload {
    connections: usize,
    depth: usize,
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not like 50x1");
        let (connections, depth) = text.split_once('x').ok_or_else(wrong)?;
        let (Ok(connections), Ok(depth)) = (connections.parse(), depth.parse()) else {
            return Err(wrong());
        };
        if connections == 0 || depth == 0 {
            return Err(wrong());
        }
        Ok(Self { connections, depth })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} connections × {} under way", self.connections, self.depth)
    }
}

/// Looks a subject up; the error lists what there is.
pub fn known(name: &str) -> io::Result<&'static Subject> {
    subject::find(name).ok_or_else(|| {
        let names: Vec<&str> = SUBJECTS.iter().map(|subject| subject.name).collect();
        io::Error::new(io::ErrorKind::NotFound, format!("no subject {name:?}; there are: {}", names.join(", ")))
    })
}

/// What a subject costs in proportion to one of its floors, over pairs of runs in the same round.
#[derive(Serialize)]
pub struct Ratio {
    floor: &'static str,
    #[serde(flatten)]
    spread: Spread,
}

impl fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, min, max } = self.spread;
        write!(formatter, "{median:.3} ({min:.3} to {max:.3}) × {}", self.floor)
    }
}

/// The ratios of a subject to each of its floors among those chosen.
fn ratios(subjects: &[&Subject], index: usize, costs: impl Fn(usize) -> Vec<f64>) -> Vec<Ratio> {
    let ratio = |floor: &&'static str| {
        let position = subjects.iter().position(|subject| subject.name == *floor)?;
        let spread = Spread::of_ratios(&costs(index), &costs(position))?;
        Some(Ratio { floor, spread })
    };
    subjects[index].floors.iter().filter_map(ratio).collect()
}

/// Ratios as the last column of a table.
fn column(ratios: &[Ratio]) -> String {
    if ratios.is_empty() {
        return "–".to_owned();
    }
    ratios.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The order of a round: each subject comes first in turn, and each second time around backwards.
fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(round % count.max(1));
    if (round / count.max(1)) % 2 == 1 {
        order.reverse();
    }
    order
}
