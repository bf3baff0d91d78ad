//! The measurements, one file for each subcommand, and what they share.

pub mod broadcast;
pub mod echo;
pub mod http;
pub mod load;
pub mod memory;
pub mod million;
pub mod plan;
pub mod pool;
pub mod push;
pub mod redis;
pub mod sessions;
mod table;
pub mod tls;
pub mod ws;

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::Serialize;

use crate::measure::Spread;
use crate::subject::{self, Subject};

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
        let names: Vec<&str> = subject::all().map(|subject| subject.name).collect();
        io::Error::new(io::ErrorKind::NotFound, format!("no subject {name:?}; there are: {}", names.join(", ")))
    })
}

/// The ratio of a subject's cost to that of one of its floors, over pairs of runs in the same round.
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
