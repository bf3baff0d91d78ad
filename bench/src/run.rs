//! The measurements, one file for each subcommand, and what they share.

pub mod all;
pub mod broadcast;
pub mod churn;
pub mod connect;
pub mod echo;
pub mod http;
pub mod latency;
pub mod load;
pub mod memory;
pub mod million;
pub mod plan;
pub mod pool;
pub mod push;
pub mod redis;
pub mod rounds;
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

/// The ratio of a subject's cost to that of one of its floors or peers, over pairs of runs in the same round.
#[derive(Serialize)]
pub struct Ratio {
    floor: &'static str,
    /// Of a peer that is not among the floors; these have a table of their own.
    #[serde(skip)]
    is_peers: bool,
    #[serde(flatten)]
    spread: Spread,
}

impl Ratio {
    /// The ratio to a floor.
    pub fn to(floor: &'static str, spread: Spread) -> Self {
        Self { floor, is_peers: false, spread }
    }

    /// Its median with the spread, for a table that names the floor elsewhere.
    pub fn figures(&self) -> String {
        let Spread { median, min, max } = self.spread;
        format!("{median:.3} ({min:.3} to {max:.3})")
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} × {}", self.figures(), self.floor)
    }
}

/// The ratios of a subject to each of its floors among those chosen, and of Gannet's to each peer.
fn ratios(subjects: &[&Subject], index: usize, costs: impl Fn(usize) -> Vec<f64>) -> Vec<Ratio> {
    let subject = subjects[index];
    let is_floor = |other: &Subject| subject.floors.contains(&other.name);
    let (mut floors, mut peers) = (Vec::new(), Vec::new());
    for (position, other) in subjects.iter().enumerate() {
        let is_peers = !is_floor(other);
        if is_peers && !subject.meets(other) {
            continue;
        }
        if let Some(spread) = Spread::of_ratios(&costs(index), &costs(position)) {
            let ratios = if is_peers { &mut peers } else { &mut floors };
            ratios.push(Ratio { floor: other.name, is_peers, spread });
        }
    }
    floors.sort_by_key(|ratio: &Ratio| subject.floors.iter().position(|floor| *floor == ratio.floor));
    floors.append(&mut peers);
    floors
}

/// The places of the subjects of which there is an outcome.
fn measured<O>(outcomes: &[Vec<O>]) -> impl Iterator<Item = usize> {
    outcomes.iter().enumerate().filter(|(_, runs)| !runs.is_empty()).map(|(index, _)| index)
}

/// Ratios to floors as the last column of a table.
fn column(ratios: &[Ratio]) -> String {
    let floors: Vec<String> = ratios.iter().filter(|ratio| !ratio.is_peers).map(ToString::to_string).collect();
    if floors.is_empty() { "–".to_owned() } else { floors.join("; ") }
}

/// Prints the ratios of Gannet's subjects to the peers, a row for each peer.
fn print_peers<'r>(what: &str, rows: impl Iterator<Item = (&'r str, &'r [Ratio])>) {
    let rows: Vec<_> = rows.filter(|(_, ratios)| ratios.iter().any(|ratio| ratio.is_peers)).collect();
    let Some((_, first)) = rows.first() else { return };
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    println!("\n| {what} | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    for peer in first.iter().filter(|ratio| ratio.is_peers) {
        let cell = |ratios: &[Ratio]| {
            let ratio = ratios.iter().find(|ratio| ratio.floor == peer.floor);
            ratio.map_or_else(|| "–".to_owned(), Ratio::figures)
        };
        let cells: Vec<String> = rows.iter().map(|(_, ratios)| cell(ratios)).collect();
        println!("| {} | {} |", peer.floor, cells.join(" | "));
    }
}
