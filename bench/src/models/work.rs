//! `work`: some requests take 50 ms. They are worked on in the reactor, offloaded, or answered at once and queued to the
//! background: what comes of them, and what all other clients notice.

mod client;
mod server;

use std::io;

use super::table::{Column, Comparison, Measured, Table};
use crate::child::Server;
use crate::measure::{Usage, resident_bytes};
use crate::run::known;
use crate::run::plan::Plan;
use crate::subject::{Role, Subject};
use crate::wire::Wire;
use client::Load;
pub use server::Kind;
use server::{Place, serve};

/// The servers of this case.
pub const SUBJECTS: &[Subject] = &[
    subject("work-in-reactor", |port, ready| serve(port, ready, Place::Reactor)),
    subject("work-offloaded", |port, ready| serve(port, ready, Place::Offloaded)),
    subject("work-queued", |port, ready| serve(port, ready, Place::Queued)),
];

const fn subject(name: &'static str, serve: crate::subject::Serve) -> Subject {
    Subject { name, role: Role::Variant, wire: Wire::Frames, floors: &[], serve, program: None }
}

const IN_REACTOR: &str = "in the reactor";
/// The names of the rows, and the subject that serves each.
const PLACES: [(&str, &str); 3] =
    [(IN_REACTOR, "work-in-reactor"), ("offloaded", "work-offloaded"), ("queued to the background", "work-queued")];

/// Kinds of work, each with so many requests for it a second. Of work that waits, 10 a second keep a reactor busy half of
/// the time, and 100 are five times what it can do one after the other. Of work that computes, 10 a second take half of the
/// processor that the server has.
const LOADS: [(Kind, u32); 3] = [(Kind::Waits, 10), (Kind::Waits, 100), (Kind::Computes, 10)];

const COLUMNS: &[Column] = &[
    Column::new("small_per_second", "small answered a second", 0),
    Column::new("small_p50_us", "small p50 µs", 0),
    Column::new("small_p99_us", "small p99 µs", 0),
    Column::new("long_per_second", "long answered a second", 1),
    Column::new("done_per_second", "long done a second", 1),
    Column::new("long_p50_ms", "long p50 ms", 1),
    Column::new("long_p99_ms", "long p99 ms", 1),
    Column::new("refused_per_second", "long refused a second", 1),
    Column::new("server_busy", "server's CPU", 2),
    Column::new("resident_kib", "resident KiB", 0),
];
/// The place among them of what other clients notice.
const SMALL_P99: usize = 2;

/// Measures all places with each kind of work.
pub fn measure(plan: &Plan) -> io::Result<Vec<Table>> {
    LOADS.iter().map(|&(kind, per_second)| table(plan, kind, per_second)).collect()
}

fn table(plan: &Plan, kind: Kind, per_second: u32) -> io::Result<Table> {
    let title = format!(
        "{per_second} requests a second {kind} for 50 ms each, beside {} small ones a second of {} clients",
        client::SMALL_PER_SECOND * client::SMALL_CLIENTS,
        client::SMALL_CLIENTS
    );
    let comparison = Comparison { plan, title, columns: COLUMNS, compared: SMALL_P99, against: IN_REACTOR };
    comparison.of(PLACES.map(|(name, subject)| (name.to_owned(), subject)), |&subject| {
        one(plan, known(subject)?, kind, per_second)
    })
}

fn one(plan: &Plan, subject: &Subject, kind: Kind, long_per_second: u32) -> io::Result<Measured> {
    let [warm_up, measured] = plan.times()?;
    let mut server = Server::start(subject, plan.setup.server_cpu)?;
    let pid = server.pid();
    let mut client = client::Client::connect(server.port, Load { kind, long_per_second })?;
    client.run_for(warm_up)?;
    client.forget()?;
    let done = |server: &mut Server| server.ask()?.parse::<u64>().map_err(io::Error::other);
    let (usage, done_before) = (Usage::of(pid)?, done(&mut server)?);
    client.run_for(measured)?;
    let (usage, done_after) = (Usage::of(pid)? - usage, done(&mut server)?);
    let resident = resident_bytes(pid)?;
    let outcome = client.end();
    let seconds = outcome.elapsed.as_secs_f64();
    let at = |histogram: &hdrhistogram::Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64;
    Ok(Measured::Figures(vec![
        outcome.small_answered as f64 / seconds,
        at(&outcome.small, 0.5) / 1e3,
        at(&outcome.small, 0.99) / 1e3,
        outcome.long_answered as f64 / seconds,
        (done_after - done_before) as f64 / seconds,
        at(&outcome.long, 0.5) / 1e6,
        at(&outcome.long, 0.99) / 1e6,
        outcome.refused as f64 / seconds,
        usage.cpu_ns as f64 / 1e9 / seconds,
        resident as f64 / 1024.0,
    ]))
}
