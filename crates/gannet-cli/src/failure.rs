//! Why a command failed: one line for standard error, and the exit status.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use gannet_config::{Place, Problem, Problems};
use serde_json::json;

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It was asked for in a way that cannot be understood.
    #[error("{0}")]
    Usage(String),
    /// What should have been written could not be.
    #[error("{0}")]
    Output(String),
    /// A load met nobody.
    #[error("no connection to {url} came up ({reasons}){why}")]
    Unconnected {
        /// Where they went.
        url: String,
        /// How many failed, by reason.
        reasons: String,
        /// What the first of them said, and what to look at.
        why: String,
    },
    /// The results of a load are not what was expected.
    #[error("not as expected: {0}")]
    Unmet(String),
    /// The results of a load cannot be trusted.
    #[error("the run is not valid: {0}")]
    Invalid(String),
    /// A gateway was called, and there is no answer.
    #[error("{0}")]
    Call(String),
    /// A gateway was called, and has answered with an error.
    #[error("{0}")]
    Refused(String),
    /// A running server cannot use its new configuration, and goes on with the old one.
    #[error("{}", texts.join("; "))]
    Unchanged {
        /// What is wrong, each with the lines of the file below it.
        texts: Vec<String>,
        /// The same for programs.
        details: serde_json::Value,
    },
    /// The machine cannot do what it is wanted for.
    #[error("{0}")]
    Unfit(String),
    /// A certificate, a key or another file of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] gannet_tls::TlsError),
    /// The configuration is wrong, in one place or more.
    #[error("{0}")]
    Configuration(#[from] Problems),
    /// The engine could not start, or not go on.
    #[error("{error}{}", option_of(.error))]
    Engine {
        /// What the engine says.
        #[source]
        error: gannet::Error,
    },
}

impl From<gannet::Error> for Failure {
    fn from(error: gannet::Error) -> Self {
        Self::Engine { error }
    }
}

/// Names the option that an error of the engine is about.
fn option_of(error: &gannet::Error) -> &'static str {
    match error {
        gannet::Error::Driver { .. } => " (--driver)",
        _ => "",
    }
}

impl Failure {
    /// What was wrong, where, and what to do, in one line.
    pub(crate) fn line(&self) -> String {
        self.texts(false).join("; ")
    }

    /// What was wrong, where, and what to do. Each is one line, whatever the arguments held, but with `excerpts` those of a
    /// configuration have the lines of the file below them.
    pub(crate) fn texts(&self, excerpts: bool) -> Vec<String> {
        if let Self::Unchanged { texts, .. } = self {
            return texts.clone();
        }
        let Self::Configuration(problems) = self else {
            return vec![self.to_string().replace(|character: char| character.is_control(), " ")];
        };
        let text = |problem: &Problem| if excerpts { problem.to_string() } else { problem.line() };
        let mut texts: Vec<String> = problems.iter().map(|problem| text(problem) + hint(problem)).collect();
        if problems.len() > 1 {
            texts.push(format!("the configuration has {} errors", problems.len()));
        }
        texts
    }

    /// 2 for wrong usage, 3 and 4 for what came of a load, 3 for an error that was answered, 1 for the rest.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_)
            | Self::Configuration(_)
            | Self::Unchanged { .. }
            | Self::Engine { error: gannet::Error::Address { .. } } => ExitCode::from(2),
            Self::Engine { .. }
            | Self::Tls(_)
            | Self::Output(_)
            | Self::Unconnected { .. }
            | Self::Call(_)
            | Self::Unfit(_) => ExitCode::FAILURE,
            Self::Unmet(_) | Self::Refused(_) => ExitCode::from(3),
            Self::Invalid(_) => ExitCode::from(4),
        }
    }
}

/// A problem for programs.
pub(crate) fn problem_as_json(problem: &Problem) -> serde_json::Value {
    let origin = problem.place().map(Place::to_string);
    match problem.position() {
        Some((file, line, column)) => json!({
            "message": problem.message(),
            "origin": origin,
            "file": file.display().to_string(),
            "line": line,
            "column": column,
        }),
        None => json!({ "message": problem.message(), "origin": origin }),
    }
}

/// What to do about it: a file shows where it is wrong.
fn hint(problem: &Problem) -> &'static str {
    match problem.place() {
        Some(Place::Variable(_) | Place::Flag(_)) => "; try 'gannet serve --help'",
        _ => "",
    }
}

/// Says in one line what the parser of the command line says in several.
pub(crate) fn condense(error: &clap::Error, command: &str) -> String {
    if error.kind() == ErrorKind::InvalidUtf8 {
        return format!("{}; try '{command} --help'", not_utf8());
    }
    let text = error.to_string();
    let said = text.lines().map(str::trim).take_while(|line| !is_general(line)).filter(|line| !line.is_empty());
    let said: Vec<&str> = said
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .map(|line| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).unwrap_or(line))
        .map(|line| line.strip_prefix("tip: ").unwrap_or(line))
        .collect();
    // Lists of several lines begin with a line that ends in a colon.
    let said = said.join("; ").replace(":; ", ": ");
    let variable = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => option.split(' ').next().and_then(variable_of),
        _ => None,
    };
    let origin = variable.map_or_else(String::new, |variable| format!("; it is {variable} in the environment"));
    // What is no command may be one of `gannet config` that is not.
    let is_unknown = error.kind() == ErrorKind::InvalidSubcommand && command != "gannet config";
    let command = if is_unknown { "gannet" } else { command };
    format!("{said}{origin}; try '{command} --help'")
}

/// Which argument is not UTF-8, or which variable of the environment; those are not shown, since one is a password.
fn not_utf8() -> String {
    let argument = std::env::args_os().skip(1).find(|argument| argument.to_str().is_none());
    let mut ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GANNET_"));
    match (argument, ours.find(|(_, value)| value.to_str().is_none())) {
        (Some(argument), _) => format!("the argument '{}' is not UTF-8", argument.display()),
        (None, Some((name, _))) => format!("{} in the environment is not UTF-8", name.display()),
        (None, None) => "an argument is not UTF-8".to_owned(),
    }
}

/// The variable of the environment for an option.
pub(crate) fn variable(option: &str) -> String {
    format!("GANNET_{}", option.trim_start_matches('-').replace('-', "_").to_ascii_uppercase())
}

/// The variable of the environment that an option has its value from, if it is not from the command line.
fn variable_of(option: &str) -> Option<String> {
    let variable = variable(option);
    std::env::var_os(&variable)?;
    let is_option = |argument: &str| argument.split('=').next() == Some(option);
    let is_given = std::env::args_os().skip(1).any(|argument| is_option(&argument.to_string_lossy()));
    (!is_given).then_some(variable)
}

/// Whether a line of the parser's begins what it says of every error.
fn is_general(line: &str) -> bool {
    line.starts_with("Usage:") || line.starts_with("For more information")
}
