//! Why a command failed: one line for standard error, and the exit status.

use std::process::ExitCode;

use clap::error::ErrorKind;

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
    /// A certificate, a key or another file of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] gannet_tls::TlsError),
    /// The engine could not start, or not go on.
    #[error(transparent)]
    Engine(#[from] gannet::Error),
}

impl Failure {
    /// What was wrong, where, and what to do; never more than one line, whatever the arguments held.
    pub(crate) fn line(&self) -> String {
        self.to_string().replace(|character: char| character.is_control(), " ")
    }

    /// 2 for wrong usage, 3 and 4 for what came of a load, 1 for the rest.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Engine(gannet::Error::Address { .. }) => ExitCode::from(2),
            Self::Engine(_) | Self::Tls(_) | Self::Output(_) | Self::Unconnected { .. } => ExitCode::FAILURE,
            Self::Unmet(_) => ExitCode::from(3),
            Self::Invalid(_) => ExitCode::from(4),
        }
    }
}

/// Says in one line what the parser of the command line says in several.
pub(crate) fn condense(error: &clap::Error, command: &str) -> String {
    let text = error.to_string();
    let said = text.lines().map(str::trim).take_while(|line| !is_general(line)).filter(|line| !line.is_empty());
    let said: Vec<&str> = said
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .map(|line| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).unwrap_or(line))
        .map(|line| line.strip_prefix("tip: ").unwrap_or(line))
        .collect();
    // Lists of several lines begin with a line that ends in a colon.
    let said = said.join("; ").replace(":; ", ": ");
    let command = if error.kind() == ErrorKind::InvalidSubcommand { "gannet" } else { command };
    format!("{said}; try '{command} --help'")
}

/// Whether a line of the parser's begins what it says of every error.
fn is_general(line: &str) -> bool {
    line.starts_with("Usage:") || line.starts_with("For more information")
}
