//! The options that benchmarks share, and how subjects are measured in turn by them.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::known;
use super::rounds::{Course, Run, undisturbed};
use crate::child::Server;
use crate::machine::{self, Origin};
use crate::noise::{Lost, Watch};
use crate::peers;
use crate::report;
use crate::socket;
use crate::subject::{Role, SUBJECTS, Subject};

/// The file name that stands for the standard output.
const STDOUT: &str = "-";

/// Chooses the subjects, the processors of both ends, and the form of the figures.
#[derive(clap::Args, Debug)]
pub struct Setup {
    /// Measure these subjects (and their floors) only. A peer is measured beside Gannet and the floors.
    #[arg(long, value_name = "SUBJECT", num_args = 1..)]
    only: Vec<String>,
    /// Leave out the programs of others' libraries, and do not build them.
    #[arg(long)]
    pub no_peers: bool,
    /// Measure each subject beside the same subject of another build of this program, in place of its floors.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// CPU of the server.
    #[arg(long, default_value_t = 0)]
    pub server_cpu: usize,
    /// CPU of the client.
    #[arg(long, default_value_t = 1)]
    pub client_cpu: usize,
    /// A run is disturbed if others took more than this share of the processors of both ends, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerate: f64,
    /// Write one JSON object to this file, or print it in place of tables.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT)]
    json: Option<PathBuf>,
    /// Write tables and charts as a page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How the comparisons went so far.
    #[arg(skip)]
    courses: RefCell<Vec<Course>>,
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

/// A report with what all reports say.
#[derive(Serialize)]
struct Whole<'r, R> {
    origin: &'r Origin,
    #[serde(flatten)]
    report: &'r R,
    comparisons: &'r [Course],
}

impl Setup {
    /// Pins the client. Returns what the machine is; above tables that is printed, with the version of another's
    /// program that is among the subjects.
    pub fn begin(&self, version: Option<&str>) -> io::Result<String> {
        socket::pin(self.client_cpu)?;
        let machine = machine::describe();
        match version {
            _ if !self.prints_tables() => {}
            Some(version) => println!("{machine}; {version}"),
            None => println!("{machine}"),
        }
        Ok(machine)
    }

    /// Whether tables are printed: unless JSON is printed in their place.
    pub fn prints_tables(&self) -> bool {
        self.json.as_deref() != Some(Path::new(STDOUT))
    }

    /// Writes the report where it is wanted.
    pub fn end(&self, report: &impl Serialize) -> io::Result<()> {
        if self.json.is_none() && self.html.is_none() {
            return Ok(());
        }
        let comparisons = &*self.courses.borrow();
        let measured = comparisons.iter().flat_map(|course| &course.subjects);
        let origin = Origin::of(measured.map(String::as_str));
        let whole = serde_json::to_value(Whole { origin: &origin, report, comparisons })?;
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(&whole)? + "\n";
            if self.prints_tables() { write(file, &text)? } else { print!("{text}") }
        }
        if let Some(file) = &self.html {
            write(file, &report::page(&whole))?;
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

    /// Whether `--only` names this.
    pub fn names(&self, name: &str) -> bool {
        self.only.iter().any(|wanted| wanted == name)
    }

    /// The subjects to measure, each with what it is compared with before it: its floors, or the same subject of the
    /// build that `--against` names.
    pub fn subjects(&self, role: Role) -> io::Result<Vec<&'static Subject>> {
        self.subjects_by(role, |_| true)
    }

    /// The subjects to measure, as [`Setup::subjects`] has them, among those that `can` be: no others are built.
    pub fn subjects_by(&self, role: Role, can: impl Fn(&Subject) -> bool) -> io::Result<Vec<&'static Subject>> {
        if let Some(program) = &self.against {
            return self.beside(program, role);
        }
        let mut chosen: Vec<&'static Subject> = Vec::new();
        let mut choose = |subject: &'static Subject| -> io::Result<()> {
            let floors: Vec<_> = subject.floors.iter().map(|floor| known(floor)).collect::<io::Result<_>>()?;
            for subject in floors.into_iter().chain([subject]).filter(|subject| can(subject) && self.has(subject)) {
                if !chosen.iter().any(|other| other.name == subject.name) {
                    chosen.push(subject);
                }
            }
            Ok(())
        };
        let of_role = || SUBJECTS.iter().filter(|subject| subject.role == role);
        if self.only.is_empty() {
            of_role().try_for_each(&mut choose)?;
        }
        for name in &self.only {
            let subject = known(name)?;
            if peers::is_peer(subject) {
                of_role().filter(|own| own.meets(subject)).try_for_each(&mut choose)?;
            }
            if subject.is_measured_as(role) {
                choose(subject)?;
            }
        }
        Ok(chosen)
    }

    /// As [`Setup::subjects`], and the first of them once more, compared with itself: the noise of the run.
    pub fn comparison(&self, role: Role) -> io::Result<Vec<&'static Subject>> {
        let mut subjects = self.subjects(role)?;
        if let Some(first) = subjects.first().filter(|_| subjects.len() > 1 && self.against.is_none()) {
            subjects.push(first.again());
        }
        Ok(subjects)
    }

    /// Whether a subject can be measured: a peer only if it can be built.
    fn has(&self, subject: &Subject) -> bool {
        !(self.no_peers && peers::is_built(subject)) && peers::has(subject)
    }

    fn beside(&self, program: &Path, role: Role) -> io::Result<Vec<&'static Subject>> {
        let program = program.canonicalize().map_err(|error| {
            io::Error::new(io::ErrorKind::NotFound, format!("--against {}: {error}", program.display()))
        })?;
        let program = &**Box::leak(Box::new(program));
        let chosen: Vec<_> = if self.only.is_empty() {
            // Of another build of this program, others' programs are the same.
            SUBJECTS.iter().filter(|subject| subject.role == role && !peers::is_built(subject)).collect()
        } else {
            self.only.iter().map(|name| known(name)).collect::<io::Result<_>>()?
        };
        let pair = |subject: &'static Subject| {
            let other = subject.by(program);
            [other, subject.compared_with(other.name)]
        };
        Ok(chosen.into_iter().flat_map(pair).collect())
    }

    /// Measures all subjects in turn, each on a server of its own. Returns what came of each, round by round, where the
    /// rounds count that the machine left alone (see [`undisturbed`]); nothing for a peer that failed, which is told.
    pub fn side_by_side<O>(
        &self,
        subjects: &[&'static Subject],
        rounds: usize,
        mut measure: impl FnMut(&Subject, &Server) -> io::Result<O>,
    ) -> io::Result<Vec<Vec<O>>> {
        let mut failed: Vec<&str> = Vec::new();
        let mut run = |subject: &Subject| {
            let watch = Watch::begin([self.server_cpu, self.client_cpu])?;
            let server = Server::start(subject, self.server_cpu)?;
            let outcome = measure(subject, &server)?;
            Ok(Run { outcome: Some(outcome), lost: watch.lost(server.pid())? })
        };
        let (outcomes, course) = undisturbed(subjects, rounds, self.tolerate / 100.0, |subject| {
            let nothing = Run { outcome: None, lost: Lost::default() };
            if failed.contains(&subject.name) {
                return Ok(nothing);
            }
            Ok(peers::or_left_out(subject, run(subject))?.unwrap_or_else(|| {
                failed.push(subject.name);
                nothing
            }))
        })?;
        let all = |(subject, runs): (&&'static Subject, Vec<Option<O>>)| -> Vec<O> {
            // Rounds are compared by their places, so that a few of them are of no use.
            if failed.contains(&subject.name) { Vec::new() } else { runs.into_iter().flatten().collect() }
        };
        let outcomes = subjects.iter().zip(outcomes).map(all).collect();
        if let Some(remark) = course.remark(rounds) {
            eprintln!("gannet-bench: {remark}");
        }
        let subjects = subjects.iter().map(|subject| subject.name.to_owned()).collect();
        self.courses.borrow_mut().push(Course { subjects, ..course });
        Ok(outcomes)
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
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
