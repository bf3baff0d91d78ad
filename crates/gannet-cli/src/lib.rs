//! The `gannet` command. Without arguments it does what `gannet serve` does.
//!
//! It is a library so that fuzz targets reach its settings: the program is [`main`].

#![forbid(unsafe_code)]

mod admin;
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
mod allocator;
mod audit;
mod banner;
mod call;
mod check;
mod config;
mod control;
mod doctor;
mod ending;
mod failure;
mod load;
mod logs;
mod names;
mod open_files;
mod operate;
mod options;
mod otlp;
mod output;
mod probe;
mod reload;
mod secret_files;
mod serve;
mod services;
mod settings;
mod shell;
mod stats;
mod status;
mod systemd;
mod tls;
mod token;
#[cfg(feature = "trial")]
#[doc(hidden)]
pub mod trial;
mod units;
mod upgrade;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::call::CallOptions;
use crate::check::CheckOptions;
use crate::config::ConfigOptions;
use crate::doctor::DoctorOptions;
use crate::failure::{Failure, condense};
use crate::load::LoadOptions;
use crate::names::LogFormat;
use crate::operate::{ConnectionsOptions, DrainOptions, KickOptions, ReloadOptions, TraceOptions, UpgradeOptions};
use crate::options::{ServeOptions, with_environment, without_settings};
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
    /// Checks the configuration of a server, and what it names.
    Check(Box<CheckOptions>),
    /// Prints configurations: the defaults, what is in effect, differences, the reference.
    Config(Box<ConfigOptions>),
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
    Reload(Box<ReloadOptions>),
    /// Replaces a running server by a new process, and refuses no client.
    Upgrade(Box<UpgradeOptions>),
    Probe(ProbeOptions),
    Completions(CompletionsOptions),
    #[command(hide = true)]
    Man(ManOptions),
    Doctor(Box<DoctorOptions>),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(all(feature = "jemalloc", target_os = "linux"))]
    allocator::start();
    let (format, result) = run();
    let Err(failure) = result else { return ExitCode::SUCCESS };
    upgrade::tell_failure(&failure.line());
    let excerpts = matches!(format, LogFormat::Text);
    failure.texts(excerpts).iter().for_each(|text| logs::last_words(format, text));
    failure.exit_code()
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
                Some("check") => "gannet check",
                Some("config") => "gannet config",
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
        Some(Command::Serve(options)) => serve::serve(&options),
        Some(Command::Check(options)) => (LogFormat::Text, check::check(&options)),
        Some(Command::Config(options)) => (LogFormat::Text, config::config(&options)),
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
        None => match ServeOptions::by_default() {
            Ok(options) => serve::serve(&options),
            Err(failure) => (LogFormat::Text, Err(failure)),
        },
    }
}

/// The command line with all subcommands.
fn command() -> clap::Command {
    let config = |command: clap::Command| {
        command.mut_subcommand("effective", |command| without_settings(with_environment(command)))
    };
    Arguments::command()
        .mut_subcommand("serve", with_environment)
        .mut_subcommand("check", without_settings)
        .mut_subcommand("config", config)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::options::OTHER_VARIABLES;
    use crate::settings::SCHEMA;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_option_of_serve_has_a_variable_of_its_name() {
        let mut command = command();
        let serve = command.find_subcommand_mut("serve").expect("there is one");
        let of_table = SCHEMA.variables();
        for option in serve.get_opts() {
            let long = option.get_long().expect("every option has a long name");
            let expected = failure::variable(long);
            let is_own = option.get_env().and_then(std::ffi::OsStr::to_str) == Some(&*expected);
            assert!(is_own || of_table.contains(&expected), "--{long}");
        }
        assert!(serve.get_opts().count() > 25);
    }

    #[test]
    fn the_variables_of_all_commands_are_known_to_serve() {
        let mut known: BTreeSet<String> = SCHEMA.variables().into_iter().collect();
        known.extend(OTHER_VARIABLES.map(str::to_owned));
        let command = command();
        let serve = command.find_subcommand("serve").expect("there is one");
        let of = |command: &clap::Command| -> Vec<String> {
            command.get_arguments().filter_map(|option| option.get_env()?.to_str().map(str::to_owned)).collect()
        };
        known.extend(of(serve));
        let unknown: Vec<String> =
            command.get_subcommands().flat_map(of).filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
