//! The `gannet` command. Without arguments it does what `gannet serve` does.

#![forbid(unsafe_code)]

mod admin;
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
mod allocator;
mod banner;
mod call;
mod control;
mod doctor;
mod ending;
mod failure;
mod load;
mod logs;
mod open_files;
mod operate;
mod options;
mod output;
mod probe;
mod serve;
mod services;
mod shell;
mod stats;
mod status;
mod systemd;
mod tls;
mod token;
mod units;
mod upgrade;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::call::CallOptions;
use crate::doctor::DoctorOptions;
use crate::failure::{Failure, condense};
use crate::load::LoadOptions;
use crate::operate::{ConnectionsOptions, DrainOptions, KickOptions, ReloadOptions, TraceOptions, UpgradeOptions};
use crate::options::{LogFormat, ServeOptions, with_environment};
use crate::probe::ProbeOptions;
use crate::shell::{CompletionsOptions, ManOptions};
use crate::token::TokenOptions;

/// What the program takes its memory from.
const ALLOCATOR: &str = if cfg!(all(feature = "jemalloc", target_os = "linux")) { "jemalloc" } else { "libc" };

/// Holds millions of long-lived connections on one machine.
///
/// Without a command, `gannet` serves with its defaults.
#[derive(Parser)]
#[command(name = "gannet", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// A command without a text here has that of its options.
#[derive(Subcommand)]
enum Command {
    /// Serves connections until SIGTERM or SIGINT.
    Serve(Box<ServeOptions>),
    /// Simulates clients and reports what they saw.
    Load(Box<LoadOptions>),
    /// Makes a token for a client of the push gateway, and prints it.
    Token(Box<TokenOptions>),
    Call(Box<CallOptions>),
    /// Shows who is connected to a running server, or who was.
    Connections(Box<ConnectionsOptions>),
    /// Closes connections of a running server.
    Kick(Box<KickOptions>),
    /// Shows the traffic of one connection of a running server.
    Trace(Box<TraceOptions>),
    /// Lets the clients of a running server go, evenly spread.
    Drain(Box<DrainOptions>),
    /// Reads the configuration of a running server again.
    #[command(hide = true)]
    Reload(Box<ReloadOptions>),
    /// Replaces a running server by a new process, and refuses no client.
    Upgrade(Box<UpgradeOptions>),
    Probe(ProbeOptions),
    Completions(CompletionsOptions),
    #[command(hide = true)]
    Man(ManOptions),
    Doctor(Box<DoctorOptions>),
}

fn main() -> ExitCode {
    #[cfg(all(feature = "jemalloc", target_os = "linux"))]
    allocator::start();
    let (format, result) = run();
    let Err(failure) = result else { return ExitCode::SUCCESS };
    upgrade::tell_failure(&failure.line());
    logs::last_words(format, &failure.line());
    failure.exit_code()
}

/// The command line, with the environment's part of it.
fn command() -> clap::Command {
    Arguments::command().mut_subcommand("serve", with_environment)
}

/// What came of it, and how to say it where it failed.
fn run() -> (LogFormat, Result<(), Failure>) {
    let arguments = command().try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match arguments {
        Ok(arguments) => arguments,
        // Help and version come as errors too; those are not ours to complain about.
        Err(answer) if !answer.use_stderr() => {
            let printed = answer.print().and_then(|()| std::io::stdout().flush());
            return (LogFormat::Text, output::written(printed));
        }
        Err(error) => {
            let command = std::env::args_os().nth(1);
            let command = match command.as_deref().and_then(std::ffi::OsStr::to_str) {
                Some("load") => "gannet load",
                Some("token") => "gannet token",
                Some("call") => "gannet call",
                Some("connections") => "gannet connections",
                Some("kick") => "gannet kick",
                Some("trace") => "gannet trace",
                Some("drain") => "gannet drain",
                Some("reload") => "gannet reload",
                Some("upgrade") => "gannet upgrade",
                Some("completions") => "gannet completions",
                Some("probe") => "gannet probe",
                Some("doctor") => "gannet doctor",
                _ => "gannet serve",
            };
            return (LogFormat::Text, Err(Failure::Usage(condense(&error, command))));
        }
    };
    match arguments.command {
        Some(Command::Serve(options)) => (options.log, serve::serve(&options)),
        Some(Command::Load(options)) => (LogFormat::Text, load::load(&options)),
        Some(Command::Token(options)) => (LogFormat::Text, token::token(&options)),
        Some(Command::Call(options)) => (LogFormat::Text, call::call(&options)),
        Some(Command::Connections(options)) => (LogFormat::Text, operate::connections(&options)),
        Some(Command::Kick(options)) => (LogFormat::Text, operate::kick(&options)),
        Some(Command::Trace(options)) => (LogFormat::Text, operate::trace(&options)),
        Some(Command::Drain(options)) => (LogFormat::Text, operate::drain(&options)),
        Some(Command::Reload(options)) => (LogFormat::Text, operate::reload(&options)),
        Some(Command::Upgrade(options)) => (LogFormat::Text, operate::upgrade(&options)),
        Some(Command::Completions(options)) => (LogFormat::Text, shell::completions(&options, command())),
        Some(Command::Man(options)) => (LogFormat::Text, shell::man(&options, command())),
        Some(Command::Probe(options)) => (LogFormat::Text, probe::probe(&options)),
        Some(Command::Doctor(options)) => (LogFormat::Text, doctor::doctor(&options)),
        None => (LogFormat::Text, ServeOptions::by_default().and_then(|options| serve::serve(&options))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().mut_subcommand("serve", with_environment).debug_assert();
    }

    #[test]
    fn every_option_of_serve_has_a_variable_of_its_name() {
        let mut command = Arguments::command().mut_subcommand("serve", with_environment);
        let serve = command.find_subcommand_mut("serve").expect("there is one");
        for option in serve.get_opts() {
            let long = option.get_long().expect("every option has a long name");
            let expected = format!("GANNET_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(option.get_env().and_then(std::ffi::OsStr::to_str), Some(&*expected), "--{long}");
        }
        assert!(serve.get_opts().count() > 25);
    }
}
