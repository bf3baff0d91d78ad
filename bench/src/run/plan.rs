//! The options that benchmarks share, and how subjects are measured in turn by them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::known;
use crate::child::Server;
use crate::machine;
use crate::peers;
use crate::socket;
use crate::subject::{Role, SUBJECTS, Subject};

/// Chooses the subjects, the processors of both ends, and the form of the figures.
#[derive(clap::Args, Debug)]
pub struct Setup {
    /// Measure these subjects (and their floors) only.
    #[arg(long, value_name = "SUBJECT", num_args = 1..)]
    only: Vec<String>,
    /// Measure each subject beside the same subject of another build of this program, in place of its floors.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
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

/// Options of most benchmarks: subjects and processors, how long and how often. A benchmark with other defaults says so beside its own options.
#[derive(clap::Args, Debug)]
pub struct Plan {
    /// The number of times that each subject is measured.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds before counting starts.
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    #[command(flatten)]
    pub setup: Setup,
}

/// Holds the beginning of a report.
#[derive(Serialize)]
pub struct Head {
    machine: String,
    rounds: usize,
    seconds: f64,
}

impl Setup {
    /// Pins the client. Returns what the machine is; above tables that is printed, with the version of another's
    /// program that is among the subjects.
    pub fn begin(&self, version: Option<&str>) -> io::Result<String> {
        socket::pin(self.client_cpu)?;
        let machine = machine::describe();
        match version {
            _ if self.json => {}
            Some(version) => println!("{machine}; {version}"),
            None => println!("{machine}"),
        }
        Ok(machine)
    }

    /// Prints the report, where it is wanted in place of tables.
    pub fn end(&self, report: &impl Serialize) -> io::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(report)?);
        }
        Ok(())
    }

    /// Whether `--only` names this, or nothing.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }

    /// Whether `--against` names another build.
    pub fn is_against_another_build(&self) -> bool {
        self.against.is_some()
    }

    /// The subjects to measure, each with what it is compared with before it: its floors, or the same subject of the
    /// build that `--against` names.
    pub fn subjects(&self, role: Role) -> io::Result<Vec<&'static Subject>> {
        if let Some(program) = &self.against {
            return self.beside(program, role);
        }
        let mut chosen: Vec<&'static Subject> = Vec::new();
        let mut choose = |subject: &'static Subject| -> io::Result<()> {
            let floors: Vec<_> = subject.floors.iter().map(|floor| known(floor)).collect::<io::Result<_>>()?;
            for subject in floors.into_iter().chain([subject]).filter(|subject| peers::has(subject)) {
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

    fn beside(&self, program: &Path, role: Role) -> io::Result<Vec<&'static Subject>> {
        let program = program.canonicalize().map_err(|error| {
            io::Error::new(io::ErrorKind::NotFound, format!("--against {}: {error}", program.display()))
        })?;
        let program = &**Box::leak(Box::new(program));
        let chosen: Vec<_> = if self.only.is_empty() {
            SUBJECTS.iter().filter(|subject| subject.role == role).collect()
        } else {
            self.only.iter().map(|name| known(name)).collect::<io::Result<_>>()?
        };
        let pair = |subject: &'static Subject| {
            let other = subject.by(program);
            [other, subject.compared_with(other.name)]
        };
        Ok(chosen.into_iter().flat_map(pair).collect())
    }

    /// Measures all subjects in turn, each on a server of its own. Returns what came of each, round by round.
    pub fn side_by_side<O>(
        &self,
        subjects: &[&'static Subject],
        rounds: usize,
        mut measure: impl FnMut(&Subject, &Server) -> io::Result<O>,
    ) -> io::Result<Vec<Vec<O>>> {
        in_turn(subjects, rounds, |subject| {
            let server = Server::start(subject, self.server_cpu)?;
            measure(subject, &server)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", subject.name)))
        })
    }
}

impl Plan {
    /// As [`Setup::begin`], for a report with all of the plan.
    pub fn begin(&self, version: Option<&str>) -> io::Result<Head> {
        Ok(Head { machine: self.setup.begin(version)?, rounds: self.rounds, seconds: self.seconds })
    }

    /// The warm-up, and the measured time.
    pub fn times(&self) -> io::Result<[Duration; 2]> {
        let time = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(io::Error::other);
        Ok([time(self.warm_up)?, time(self.seconds)?])
    }
}

/// Measures each case once a round. Returns what came of each, round by round.
pub fn in_turn<C, O>(
    cases: &[C],
    rounds: usize,
    mut measure: impl FnMut(&C) -> io::Result<O>,
) -> io::Result<Vec<Vec<O>>> {
    let mut outcomes: Vec<Vec<O>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for index in order(cases.len(), round) {
            outcomes[index].push(measure(&cases[index])?);
        }
    }
    Ok(outcomes)
}

/// The order of a round: each case comes first in turn, and each second time around backwards.
pub fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(round % count.max(1));
    if (round / count.max(1)) % 2 == 1 {
        order.reverse();
    }
    order
}
