//! Handshakes and nothing else, full and resumed, of both versions.

use std::io;
use std::time::{Duration, Instant};

use gannet_tls::TlsVersion;
use serde::Serialize;

use super::Options;
use crate::child::Server;
use crate::client::handshakes::{Ending, Handshakes, Kind};
use crate::client::taped;
use crate::measure::{Spread, Usage};
use crate::run::known;
use crate::run::rounds::in_turn;
use crate::run::table::{Measure, Table};
use crate::subject::Role;
use crate::tls::Counted;

const SUBJECTS: [&str; 2] = ["tls-p256-uring", "tls-rsa2048-uring"];
/// The largest difference between the counts of both sides, in connections: some were under way when they were read.
const UNDER_WAY: u64 = 2;

/// What came of one server and one kind of handshake; medians over the rounds.
#[derive(Serialize)]
pub struct Row {
    subject: &'static str,
    version: String,
    resumes: bool,
    per_second: f64,
    per_cpu_second: f64,
    cpu_us: Spread,
    /// Against full ones of the same version and server in the same round.
    of_full: Option<Spread>,
    server_busy: f64,
    client_busy: f64,
    handshakes: u64,
    resumed: u64,
}

struct Outcome {
    counted: Counted,
    seconds: f64,
    server: Usage,
    client: Usage,
}

impl Outcome {
    fn cpu_us(&self) -> f64 {
        self.server.cpu_ns as f64 / 1e3 / self.counted.handshakes.max(1) as f64
    }
}

/// Measures all in turn.
pub fn measure(options: &Options) -> io::Result<Vec<Row>> {
    let kind = |(version, resumes)| Kind { version, resumes, ending: Ending::Reset };
    let kinds =
        [(TlsVersion::V1_3, false), (TlsVersion::V1_3, true), (TlsVersion::V1_2, false), (TlsVersion::V1_2, true)];
    let cases: Vec<(&str, Kind)> = SUBJECTS.iter().flat_map(|subject| kinds.map(|of| (*subject, kind(of)))).collect();
    let outcomes = in_turn(&cases, options.plan.rounds, |&(subject, kind)| {
        one(options, subject, kind)
            .map_err(|error| io::Error::new(error.kind(), format!("{subject}, {kind:?}: {error}")))
    })?;
    Ok((0..cases.len()).map(|index| row(&cases, &outcomes, index)).collect())
}

/// Measures the servers of `echo` that speak TLS beside each other, full handshakes and resumed ones of TLS 1.3.
pub fn beside_peers(options: &Options) -> io::Result<Vec<Table>> {
    let setup = &options.plan.setup;
    let mut subjects = setup.subjects(Role::TlsEcho)?;
    subjects.retain(|subject| subject.role == Role::TlsEcho);
    let Some(first) = subjects.first().filter(|_| !setup.is_against_another_build()) else { return Ok(Vec::new()) };
    subjects.push(first.again());
    let (times, at_once) = (options.plan.times()?, options.at_once);
    let table = |(resumes, what): (bool, &str)| {
        let kind = Kind { version: TlsVersion::V1_3, resumes, ending: Ending::HalfClose };
        let outcomes = setup.side_by_side(&subjects, options.plan.rounds, |_, server| {
            let mut client = Handshakes::begin(server.port, kind, at_once as usize)?;
            let outcome = taped::Outcome::of(server.pid(), times, |time| {
                run_for(&mut client, time)?;
                let done = client.done().handshakes;
                Ok(taped::Done { operations: done, reads: done })
            })?;
            let done = client.done();
            // The first of each place has nothing to take up.
            let is_right = match resumes {
                true => done.resumed + u64::from(at_once) >= done.handshakes,
                false => done.resumed == 0,
            };
            if is_right {
                return Ok(outcome);
            }
            Err(io::Error::other(format!("{} of {} were resumed", done.resumed, done.handshakes)))
        })?;
        let title = format!(
            "{what} handshakes of TLS 1.3 with P-256, {at_once} at once; the client sends no more, the server closes"
        );
        let (operations, measure) = ("handshakes", Measure::CpuTime);
        Ok(Table { title, operations, asked: None, measure, rows: measure.rows(&subjects, &outcomes) })
    };
    [(false, "Full"), (true, "Resumed")].into_iter().map(table).collect()
}

fn run_for(client: &mut Handshakes, time: Duration) -> io::Result<()> {
    let started = Instant::now();
    while started.elapsed() < time {
        client.step(1000, || Ok(()))?;
    }
    Ok(())
}

fn one(options: &Options, subject: &str, kind: Kind) -> io::Result<Outcome> {
    let [warm_up, measured] = options.plan.times()?;
    let mut server = Server::start(known(subject)?, options.plan.setup.server_cpu)?;
    let mut client = Handshakes::begin(server.port, kind, options.at_once as usize)?;
    let usage = |server: &Server| Ok::<_, io::Error>((Usage::of(server.pid())?, Usage::of(std::process::id())?));
    run_for(&mut client, warm_up)?;
    let (server_before, client_before) = usage(&server)?;
    let before: Counted = server.ask()?.parse()?;
    let done_before = client.done();
    let started = Instant::now();
    run_for(&mut client, measured)?;
    let seconds = started.elapsed().as_secs_f64();
    let (server_after, client_after) = usage(&server)?;
    let after: Counted = server.ask()?.parse()?;
    let done_after = client.done();
    let counted = Counted {
        handshakes: after.handshakes - before.handshakes,
        resumed: after.resumed - before.resumed,
        stalls: after.stalls - before.stalls,
    };
    // Both sides have to agree, and all have to be of the kind that is measured.
    let (done, resumed) = (done_after.handshakes - done_before.handshakes, done_after.resumed - done_before.resumed);
    let slack = UNDER_WAY * u64::from(options.at_once);
    let expected = if kind.resumes { counted.handshakes } else { 0 };
    if counted.handshakes.abs_diff(done) > slack || counted.resumed.abs_diff(resumed) > slack {
        return Err(io::Error::other(format!(
            "the server counted {counted:?}, the client {done} with {resumed} resumed"
        )));
    }
    if counted.resumed != expected {
        return Err(io::Error::other(format!("{} of {} were resumed", counted.resumed, counted.handshakes)));
    }
    Ok(Outcome { counted, seconds, server: server_after - server_before, client: client_after - client_before })
}

fn row(cases: &[(&'static str, Kind)], outcomes: &[Vec<Outcome>], index: usize) -> Row {
    let (subject, kind) = cases[index];
    let spread = |figure: &dyn Fn(&Outcome) -> f64| {
        let nothing = Spread { median: f64::NAN, min: f64::NAN, max: f64::NAN };
        Spread::of(outcomes[index].iter().map(figure)).unwrap_or(nothing)
    };
    let cpu_us = |index: usize| outcomes[index].iter().map(Outcome::cpu_us).collect::<Vec<_>>();
    let total = |figure: &dyn Fn(&Outcome) -> u64| outcomes[index].iter().map(figure).sum();
    Row {
        subject,
        version: kind.version.to_string(),
        resumes: kind.resumes,
        per_second: spread(&|one| one.counted.handshakes as f64 / one.seconds).median,
        per_cpu_second: spread(&|one| 1e6 / one.cpu_us()).median,
        cpu_us: spread(&Outcome::cpu_us),
        // The full ones stand before the resumed ones.
        of_full: kind.resumes.then(|| Spread::of_ratios(&cpu_us(index), &cpu_us(index - 1))).flatten(),
        server_busy: spread(&|one| one.server.cpu_ns as f64 / 1e9 / one.seconds).median,
        client_busy: spread(&|one| one.client.cpu_ns as f64 / 1e9 / one.seconds).median,
        handshakes: total(&|one| one.counted.handshakes),
        resumed: total(&|one| one.counted.resumed),
    }
}

/// Prints the table as Markdown.
pub fn print(rows: &[Row]) {
    println!("\n**Handshakes**\n");
    println!(
        "| subject | version | | a second | per CPU second | CPU µs each | against full ones | busy | client | counted | \
         of them resumed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let range = |Spread { median, min, max }, digits: usize| {
            format!("{median:.digits$} ({min:.digits$} to {max:.digits$})")
        };
        println!(
            "| {} | {} | {} | {:.0} | {:.0} | {} | {} | {:.0} % | {:.0} % | {} | {} |",
            row.subject,
            row.version,
            if row.resumes { "resumed" } else { "full" },
            row.per_second,
            row.per_cpu_second,
            range(row.cpu_us, 1),
            row.of_full.map_or_else(|| "–".to_owned(), |ratio| range(ratio, 3)),
            row.server_busy * 100.0,
            row.client_busy * 100.0,
            row.handshakes,
            row.resumed,
        );
    }
}
