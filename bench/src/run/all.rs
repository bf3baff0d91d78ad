//! `all`: the other commands one after the other, each as a process of its own, and one report of what they measured.
//!
//! A proxy is not among them: `bench/proxy.py` measures one beside HAProxy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use super::known;
use crate::child;
use crate::report;
use crate::subject::{Role, Subject};

/// Options of `all`. Those that are not given have each command's own default.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// The commands to run; all of them where none is named.
    #[arg(value_name = "COMMAND", value_parser = names())]
    commands: Vec<String>,
    /// The number of times that each subject is measured.
    #[arg(long)]
    rounds: Option<usize>,
    /// Measured seconds of each run, where a command measures for a time.
    #[arg(long)]
    seconds: Option<f64>,
    /// Measure these peers or subjects only, by the commands that have them.
    #[arg(long, value_name = "SUBJECT", num_args = 1..)]
    only: Vec<String>,
    /// Leave out the programs of others' libraries, and do not build them.
    #[arg(long)]
    no_peers: bool,
    /// A run is disturbed if others took more than this share of the processors of both ends, in percent.
    #[arg(long, value_name = "PERCENT")]
    tolerate: Option<f64>,
    /// CPU of the server.
    #[arg(long)]
    server_cpu: Option<usize>,
    /// CPU of the client.
    #[arg(long)]
    client_cpu: Option<usize>,
    /// Write one JSON object with what all commands measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write tables and charts as a page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The options that a command takes, beside those of all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// `--rounds`, `--seconds`, and what chooses subjects.
    Plan,
    /// `--rounds`, and what chooses subjects.
    Rounds,
    /// What chooses subjects.
    Subjects,
    /// Processors only; it prints its JSON.
    Processors,
}

/// A command.
struct Part {
    name: &'static str,
    takes: Takes,
    /// The roles of its subjects.
    roles: &'static [Role],
}

const fn part(name: &'static str, takes: Takes, roles: &'static [Role]) -> Part {
    Part { name, takes, roles }
}

/// All commands, in the order in which they run: the longest at the end.
const PARTS: &[Part] = &[
    part("echo", Takes::Plan, &[Role::Echo]),
    part("latency", Takes::Plan, &[Role::Echo]),
    part("connect", Takes::Rounds, &[Role::Echo]),
    part("churn", Takes::Plan, &[Role::Echo, Role::Http]),
    part("memory", Takes::Subjects, &[Role::Echo]),
    part("broadcast", Takes::Rounds, &[Role::Broadcast]),
    part("http", Takes::Plan, &[Role::Http, Role::Routes]),
    part("ws", Takes::Plan, &[Role::WebSocket, Role::WebSocketBroadcast]),
    part("redis", Takes::Plan, &[Role::Redis]),
    part("tls", Takes::Plan, &[Role::TlsEcho, Role::Https]),
    part("push", Takes::Plan, &[Role::Push]),
    part("models", Takes::Plan, &[]),
    part("million", Takes::Processors, &[Role::Many]),
];

fn names() -> clap::builder::PossibleValuesParser {
    PARTS.iter().map(|part| part.name).collect::<Vec<_>>().into()
}

/// What is measured elsewhere, for whoever asks for everything.
const ELSEWHERE: &str =
    "not among these: a TCP proxy beside HAProxy, which bench/proxy.py measures (it says what it needs)";

/// Runs the commands. One that fails does not keep the others from running.
pub fn run(options: &Options) -> io::Result<()> {
    let only: Vec<&Subject> = options.only.iter().map(|name| known(name)).collect::<io::Result<_>>()?;
    let mut reports = Map::new();
    let mut failed = Vec::new();
    for part in PARTS.iter().filter(|part| part.is_chosen(options, &only)) {
        eprintln!("gannet-bench: {}", part.name);
        match part.run(options, &only) {
            Ok(report) => _ = reports.insert(part.name.to_owned(), report),
            Err(error) => {
                eprintln!("skipped: {} ({error})", part.name);
                failed.push(part.name);
            }
        }
        // After each, so that what was measured is not lost if the next never ends.
        write(options, &reports)?;
    }
    if options.commands.is_empty() && only.is_empty() {
        eprintln!("gannet-bench: {ELSEWHERE}");
    }
    match failed[..] {
        [] => Ok(()),
        _ => Err(io::Error::other(format!("not measured: {}", failed.join(", ")))),
    }
}

fn write(options: &Options, reports: &Map<String, Value>) -> io::Result<()> {
    let all = json!({ "commands": reports });
    let named = |file: &Path, result: io::Result<()>| {
        result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
    };
    if let Some(file) = &options.json {
        named(file, fs::write(file, serde_json::to_string_pretty(&all)? + "\n"))?;
    }
    if let Some(file) = &options.html {
        named(file, fs::write(file, report::page(&all)))?;
    }
    Ok(())
}

impl Part {
    /// Whether it is to run: it was named, or none was, and it has one of the subjects that were.
    fn is_chosen(&self, options: &Options, only: &[&Subject]) -> bool {
        let is_named = options.commands.is_empty() || options.commands.iter().any(|name| name == self.name);
        is_named && (only.is_empty() || only.iter().any(|subject| self.has(subject)))
    }

    fn has(&self, subject: &Subject) -> bool {
        self.takes != Takes::Processors && self.roles.contains(&subject.role)
    }

    /// The options that go to it.
    fn arguments(&self, options: &Options, only: &[&Subject]) -> Vec<String> {
        let mut arguments = vec![self.name.to_owned()];
        let mut give = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value]);
            }
        };
        give("--server-cpu", options.server_cpu.map(|cpu| cpu.to_string()));
        give("--client-cpu", options.client_cpu.map(|cpu| cpu.to_string()));
        if matches!(self.takes, Takes::Plan | Takes::Rounds) {
            give("--rounds", options.rounds.map(|rounds| rounds.to_string()));
        }
        if self.takes == Takes::Plan {
            give("--seconds", options.seconds.map(|seconds| seconds.to_string()));
        }
        if self.takes != Takes::Processors {
            give("--tolerate", options.tolerate.map(|percent| percent.to_string()));
            if options.no_peers {
                arguments.push("--no-peers".to_owned());
            }
            let names: Vec<&str> =
                only.iter().filter(|subject| self.has(subject)).map(|subject| subject.name).collect();
            if !names.is_empty() {
                arguments.push("--only".to_owned());
                arguments.extend(names.into_iter().map(str::to_owned));
            }
        }
        arguments
    }

    /// Runs it; it ends with this process. Returns its report.
    fn run(&self, options: &Options, only: &[&Subject]) -> io::Result<Value> {
        let file = std::env::temp_dir().join(format!("gannet-bench-{}-{}.json", std::process::id(), self.name));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(self.arguments(options, only)).arg("--json");
        child::bind_to_parent(&mut command, libc::SIGKILL);
        let (status, text) = if self.takes == Takes::Processors {
            let output = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output()?;
            print!("{}", String::from_utf8_lossy(&output.stdout));
            (output.status, Ok(String::from_utf8_lossy(&output.stdout).into_owned()))
        } else {
            let status = command.arg(&file).status()?;
            let text = fs::read_to_string(&file);
            // It is not there if the command has failed.
            let _ = fs::remove_file(&file);
            (status, text)
        };
        if !status.success() {
            return Err(io::Error::other(format!("it ended with {status}")));
        }
        Ok(serde_json::from_str(&text?)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> (Options, Vec<&'static Subject>) {
        let options = Cli::parse_from([&["all"], arguments].concat()).options;
        let only = options.only.iter().map(|name| known(name).expect("a subject")).collect();
        (options, only)
    }

    fn chosen(arguments: &[&str]) -> Vec<&'static str> {
        let (options, only) = options(arguments);
        PARTS.iter().filter(|part| part.is_chosen(&options, &only)).map(|part| part.name).collect()
    }

    #[test]
    fn a_peer_is_measured_by_the_commands_that_have_it() {
        assert_eq!(chosen(&[]).len(), PARTS.len());
        assert_eq!(chosen(&["--only", "go-gnet"]), ["echo", "latency", "connect", "churn", "memory"]);
        assert_eq!(chosen(&["--only", "nginx", "redis-server"]), ["churn", "http", "redis"]);
        assert_eq!(chosen(&["http", "echo", "--only", "nginx"]), ["http"]);
        assert_eq!(chosen(&["--only", "haproxy"]), ["churn", "http"]);
    }

    #[test]
    fn a_command_gets_the_options_that_it_takes() {
        let (options, only) =
            options(&["--rounds", "3", "--seconds", "0.5", "--only", "nginx", "go-gnet", "--tolerate", "9"]);
        let of = |name: &str| {
            let part = PARTS.iter().find(|part| part.name == name).expect("a command");
            part.arguments(&options, &only).join(" ")
        };
        assert_eq!(of("echo"), "echo --rounds 3 --seconds 0.5 --tolerate 9 --only go-gnet");
        assert_eq!(of("churn"), "churn --rounds 3 --seconds 0.5 --tolerate 9 --only nginx go-gnet");
        assert_eq!(of("connect"), "connect --rounds 3 --tolerate 9 --only go-gnet");
        assert_eq!(of("memory"), "memory --tolerate 9 --only go-gnet");
        assert_eq!(of("million"), "million");
    }
}
