//! `gannet doctor`: looks whether this machine, or one process on it, can hold so many connections, and says what to
//! change where it cannot.

mod check;
mod checks;
mod machine;
mod parse;
mod report;

use std::path::PathBuf;

use clap::Args;
use gannet::DriverChoice;

use self::check::Verdict;
use self::checks::Question;
use self::machine::{Machine, Subject};
use crate::failure::Failure;
use crate::output;
use crate::units::whole;

/// Checks whether this machine can hold so many connections; prints what to change where it cannot.
///
/// Exits with 0 where nothing is bad, with 1 where something is, and with 2 for wrong usage. Changes nothing: --script prints
/// a shell script that does.
///
/// gannet doctor --connections 1000000 --script | sudo sh
#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorOptions {
    /// Connections that the server shall hold
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=u32::MAX.into()), default_value_t = 100_000)]
    connections: u32,

    /// Check the limits of this running process instead of those of a process that this shell starts
    #[arg(long, value_name = "PID", value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pid: Option<u32>,

    /// Reactors of the server [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1_024))]
    reactors: Option<u16>,

    /// Leave this check out, by its name; may be given many times
    #[arg(long, value_name = "CHECK", value_parser = checks::known)]
    skip: Vec<&'static str>,

    /// Print all findings as one JSON object
    #[arg(long, conflicts_with = "script")]
    json: bool,

    /// Print a shell script that changes what is bad, now and for good
    #[arg(long)]
    script: bool,

    /// Folder that has proc and sys, where they are not at /
    #[arg(long, value_name = "FOLDER", hide = true, default_value = "/")]
    root: PathBuf,
}

/// Checks, and prints what came of it.
///
/// # Errors
///
/// Something is bad, there is no such process, or nothing can be printed.
pub(crate) fn doctor(options: &DoctorOptions) -> Result<(), Failure> {
    let machine = Machine::new(options.root.clone());
    let subject = Subject::of(&machine, options.pid).map_err(Failure::Usage)?;
    let own = || std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let question = Question {
        connections: options.connections.into(),
        reactors: options.reactors.map_or_else(own, u64::from),
        ring: match DriverChoice::Auto.check() {
            Ok(("uring", why)) => Ok(why),
            Ok((_, why)) => Err(why),
            Err(error) => Err(error.to_string()),
        },
    };
    let mut checks = checks::all(&machine, &subject, &question);
    for check in checks.iter_mut().filter(|check| options.skip.contains(&check.name)) {
        check.leave_out();
    }
    let text = match (options.json, options.script) {
        (true, _) => report::json(&question, &subject, &checks),
        (_, true) => report::script(&question, &checks),
        _ => report::text(&checks),
    };
    output::print(&text)?;
    match checks.iter().filter(|check| check.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        bad => Err(Failure::Unfit(format!(
            "{bad} of {} checks are bad for {} connections",
            checks.len(),
            question.connections
        ))),
    }
}
