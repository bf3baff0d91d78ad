//! The options of `gannet serve`, and where its settings come from.

use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches as _};

use crate::failure::{Failure, condense, variable};
use crate::names::LogFormat;
use crate::services;
use crate::settings::{Configuration, FILE_VARIABLE, Flags, Sources, is_of_table};

/// Variables that `gannet serve` does not read and that are no mistake: those of other commands and of the project's tests.
pub(crate) const OTHER_VARIABLES: [&str; 4] = ["GANNET_BIN", "GANNET_RECORD", "GANNET_SEED", "GANNET_SEEDS"];

/// Serves connections until SIGTERM or SIGINT.
#[derive(Args, Clone, Debug)]
#[command(after_help = services::help(), after_long_help = services::help() + "\n\n" + include_str!("manual.txt"))]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) settings: SettingsOptions,
}

/// Where settings come from, beside the environment.
#[derive(Args, Clone, Debug)]
pub(crate) struct SettingsOptions {
    /// Configuration file in TOML; gannet config doc says what it may have
    ///
    /// Defaults count least, then the file, then the environment, then the command line. Without this option there is no file.
    #[arg(long, value_name = "FILE", env = FILE_VARIABLE, hide_env = true)]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) flags: Flags,
}

impl ServeOptions {
    /// What they are when nothing is given, but what the environment has.
    ///
    /// # Errors
    ///
    /// The environment has a value that is none.
    pub(crate) fn by_default() -> Result<Self, Failure> {
        let command = with_environment(Self::augment_args(Command::new("serve")));
        let nothing = command.try_get_matches_from(["serve"]).and_then(|nothing| Self::from_arg_matches(&nothing));
        nothing.map_err(|error| Failure::Usage(condense(&error, "gannet serve")))
    }
}

impl SettingsOptions {
    /// Reads the configuration from all sources.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(crate) fn read(&self) -> Result<Configuration, Failure> {
        Ok(Configuration::read(&self.sources()?)?)
    }

    /// Where the settings come from, with the environment as it is now.
    ///
    /// # Errors
    ///
    /// A variable of ours is not UTF-8.
    pub(crate) fn sources(&self) -> Result<Sources, Failure> {
        Ok(Sources {
            file: self.config.clone(),
            environment: environment()?,
            known: known_variables(),
            flags: self.flags.clone(),
        })
    }

    /// The form of the log, as far as it can be told before the configuration is read, for an error in it.
    pub(crate) fn log_format(&self) -> LogFormat {
        let flag = self.flags.text("log.format").map(str::to_owned);
        let name =
            flag.or_else(|| ["GANNET_LOG_FORMAT", "GANNET_LOG"].into_iter().find_map(|name| std::env::var(name).ok()));
        if name.as_deref() == Some("json") { LogFormat::Json } else { LogFormat::Text }
    }
}

/// The variables of the environment that are ours.
fn environment() -> Result<Vec<(String, String)>, Failure> {
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GANNET_"));
    ours.map(|(name, value)| {
        let not_utf8 = |name: &std::ffi::OsStr| {
            Failure::Usage(format!("{} in the environment is not UTF-8; try 'gannet serve --help'", name.display()))
        };
        let name = name.into_string().map_err(|name| not_utf8(&name))?;
        let value = value.into_string().map_err(|_| not_utf8(name.as_ref()))?;
        Ok((name, value))
    })
    .collect()
}

/// Variables that are not of the table: those of flags that are no settings, and those of other commands.
fn known_variables() -> Vec<String> {
    let serve = with_environment(ServeOptions::augment_args(Command::new("serve")));
    let own = serve.get_arguments().filter_map(|option| option.get_env()?.to_str().map(str::to_owned));
    own.chain(OTHER_VARIABLES.map(str::to_owned)).collect()
}

/// Gives each option that is no setting a variable of the environment, which has its name. Those of settings are read with
/// the file, so that the origin of each value is known.
pub(crate) fn with_environment(command: Command) -> Command {
    command.mut_args(|option| match option.get_long().map(variable) {
        _ if option.get_env().is_some() || is_of_table(&option) => option,
        // They live as long as the process, as the options do.
        Some(variable) => option.env(&*variable.leak()).hide_env(true),
        None => option,
    })
}

/// Leaves the flags of settings out of the help of a command that takes them as `gannet serve` does.
pub(crate) fn without_settings(command: Command) -> Command {
    command.mut_args(|option| if is_of_table(&option) { option.hide(true) } else { option })
}
