//! GET and SET without a pipeline by redis-benchmark: a client that is not ours.

use std::io;
use std::process::Command;
use std::time::Instant;

use super::{Options, Table, floors};
use crate::child;
use crate::client::commands::Keys;
use crate::client::taped::{Done, Outcome};
use crate::machine;
use crate::measure::Usage;
use crate::run::table::Measure;
use crate::subject::{Role, Subject};

const PROGRAM: &str = "redis-benchmark";

/// The text in its output when all commands were answered.
const DONE: &str = "requests per second";

/// Measures all subjects. Where the client is not installed, this says how to get it, and measures nothing.
pub fn measure(
    options: &Options,
    size: u32,
    subjects: &[&'static Subject],
    done: &mut dyn FnMut(Table),
) -> io::Result<()> {
    let version = match machine::version(PROGRAM, "--version", "redis-tools") {
        Ok(version) => version,
        Err(error) => {
            eprintln!("skipped: GET and SET by {PROGRAM} ({error})");
            return Ok(());
        }
    };
    let subjects = [subjects, &floors(subjects)?].concat();
    let keys = Keys::new(options.keys as usize, size as usize);
    for name in ["GET", "SET"] {
        let outcomes = options.plan.setup.side_by_side(&subjects, options.plan.rounds, |subject, server| {
            if subject.role == Role::Redis {
                // Its keys have the same names, so that it finds a value under each.
                keys.fill(server.port)?;
            }
            let mut command = command(server.port, name, options.connections, &keys, options.requests);
            let usage = || Ok::<_, io::Error>((Usage::of(server.pid())?, Usage::of_ended_children()?));
            let (before, client_before) = usage()?;
            let started = Instant::now();
            complete(&mut command)?;
            let elapsed = started.elapsed();
            let (after, client_after) = usage()?;
            let done = Done { operations: options.requests.into(), reads: options.requests.into() };
            Ok(Outcome { done, elapsed, server: after - before, client: client_after - client_before })
        })?;
        let connections = options.connections;
        done(Table {
            title: format!(
                "{name} of {} keys, {size} bytes, {connections} connections × 1 under way, by {version}",
                keys.count
            ),
            operations: "commands",
            asked: (size == 64).then_some("at least 1.5"),
            measure: Measure::PerCpuSecond,
            rows: Measure::PerCpuSecond.rows(&subjects, &outcomes),
        });
    }
    Ok(())
}

/// The client, on the processor of this process: it is bound to that, and its children inherit it.
fn command(port: u16, name: &str, connections: u32, keys: &Keys, requests: u32) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", &name.to_lowercase(), "-q"]);
    command.args(["-c", &connections.to_string(), "-r", &keys.count.to_string(), "-d", &keys.size.to_string()]);
    command.args(["-n", &requests.to_string()]);
    child::bind_to_parent(&mut command, libc::SIGKILL);
    command
}

/// Runs the client to its end.
fn complete(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.contains(DONE) {
        return Ok(());
    }
    let (said, error) = (said.trim(), String::from_utf8_lossy(&output.stderr));
    Err(io::Error::other(format!("{PROGRAM} ended with {}: {said} {}", output.status, error.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_client_that_ends_early_is_an_error_with_what_it_said() {
        complete(&mut shell("echo 'GET: 1000.00 requests per second'")).expect("all were answered");
        let refused = "echo 'Could not connect: Connection refused' >&2; exit 1";
        let error = complete(&mut shell(refused)).expect_err("it was refused");
        assert!(error.to_string().contains("exit status: 1: ") && error.to_string().contains("Connection refused"));
        // It ends with 0 after an error of the protocol, too.
        let error = complete(&mut shell("echo 'Error from server: ERR no'")).expect_err("nothing was answered");
        assert!(error.to_string().contains("ERR no"), "{error}");
    }
}
