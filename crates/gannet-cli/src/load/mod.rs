//! `gannet load`: simulates clients, and reports what they saw.

mod destination;
mod http;
mod live;
mod options;
mod push;
mod room;
mod signals;
mod sources;
mod target;
mod tls;
mod ws;

use gannet_load::expect::Expectation;
use gannet_load::plan::Mode;
use gannet_load::report;
use gannet_load::results::{Connections, Results};
use gannet_load::run::{Config, Kind, run};
use gannet_load::units;

use self::destination::Destination;
use self::live::Live;
pub(crate) use self::options::LoadOptions;
use self::room::{Need, Room};
use crate::failure::Failure;
use crate::open_files::OpenFiles;
use crate::output::print;

/// Runs.
///
/// # Errors
///
/// The options contradict each other or the machine, the engine cannot start, an expectation was not met, or the run is
/// not valid.
pub(crate) fn load(options: &LoadOptions) -> Result<(), Failure> {
    let mut config = options.config()?;
    let _open_files = OpenFiles::raise();
    let room = Room::now();
    config.sources = sources::resolve(&options.sources, &config.target, config.clients(), room.ports)?;
    config.reactors = room.reactors(config.clients(), options.reactors, config.driver)?;
    let need = Need::of(&config, sources::is_here(&config.target));
    room.check_memory(&need)?;
    // A run of an hour is not to end with a folder that is not there.
    let json_to = options.json.as_deref().map(Destination::open).transpose()?;
    let html_to = options.html.as_deref().map(Destination::open).transpose()?;
    let csv_to = options.csv.as_deref().map(Destination::open).transpose()?;
    let stop = signals::watch()?;
    if !options.quiet {
        print(&announcement(&config, &room, &need))?;
    }
    let mut live = Live::new(options.quiet, &config);
    let results = run(&config, &stop, &mut |moment| live.show(moment))?;
    live.end();
    let text = if options.quiet { Ok(()) } else { print(&report::text(&results)) };
    // One that cannot be written is no reason to lose the others.
    let json = json_to.map_or(Ok(()), |to| to.write(report::json(&results).map_err(std::io::Error::from)));
    let html = html_to.map_or(Ok(()), |to| to.write(Ok(report::html(&results))));
    let csv = csv_to.map_or(Ok(()), |to| to.write(Ok(report::csv(&results))));
    text.and(json).and(html).and(csv)?;
    judge(&options.expect, &results)
}

/// Whether the run is one to be content with.
fn judge(expectations: &[Expectation], results: &Results) -> Result<(), Failure> {
    if !results.invalid.is_empty() {
        return Err(Failure::Invalid(results.invalid.join("; ")));
    }
    let unmet = expectations.iter().filter_map(|expectation| expectation.check(results).err());
    let unmet: Vec<String> = unmet.map(|failed| failed.to_string()).collect();
    if !unmet.is_empty() {
        return Err(Failure::Unmet(unmet.join("; ")));
    }
    if results.connections.opened == 0 && results.failed() > 0 {
        let reasons = results.connections.failed.iter();
        let reasons: Vec<String> =
            reasons.map(|(reason, times)| format!("{} {reason}", units::count(*times))).collect();
        return Err(Failure::Unconnected {
            url: results.asked.url.clone(),
            reasons: reasons.join(", "),
            why: why_unconnected(&results.connections),
        });
    }
    Ok(())
}

/// What the first connection said that failed, and what to look at.
fn why_unconnected(connections: &Connections) -> String {
    let said = connections.first_failure.iter().map(|why| format!(": {why}")).collect::<String>();
    let look_at = if connections.failed.iter().all(|(reason, _)| reason == "tls") {
        "see --tls-ca, --tls-server-name and --insecure"
    } else {
        "check that a server is there, and lets this machine in"
    };
    format!("{said}; {look_at}")
}

/// What is said before the start: what will be done, and the arithmetic of what that needs.
fn announcement(config: &Config, room: &Room, need: &Need) -> String {
    let connections = units::things(config.connections.into(), "connection");
    let what = match (config.mode(), config.rate_per_second) {
        (Mode::Open { .. }, Some(rate)) if config.kind == Kind::Push => {
            let publishers = units::things(config.push.publishers.into(), "publisher");
            format!("and {publishers} with {} publications a second by schedule", units::rate(rate))
        }
        (Mode::Listen, _) if config.kind == Kind::Push => "which take what comes in their channels".to_owned(),
        (Mode::Open { .. }, Some(rate)) => format!("{} requests a second by schedule", units::rate(rate)),
        (Mode::Open { .. }, None) => format!("heard from every {} on each", units::span(config.heartbeat)),
        (Mode::Listen, _) => "which say nothing".to_owned(),
        (Mode::Churn, _) => "opened and closed again and again".to_owned(),
        (Mode::Closed { .. }, _) if config.kind == Kind::Http && !config.http.keep_alive => {
            "a closed loop, a connection for each request".to_owned()
        }
        (Mode::Closed { depth }, _) => format!("a closed loop, {depth} outstanding on each"),
    };
    let available = room.memory_bytes.map_or_else(String::new, |free| format!(" of {} available", units::bytes(free)));
    format!(
        "{} against {}: {connections}, {what}\n{}, {}, about {} of memory{available}\n\n",
        config.kind.name(),
        config.target,
        units::things(config.reactors as u64, "reactor"),
        sources::said(&config.sources),
        units::bytes(need.all())
    )
}
