//! What can go wrong with an engine as a whole. What ends a single connection is a [`CloseReason`](crate::CloseReason).

use std::{fmt, io};

use crate::exhaustion::is_exhausted;

/// Says why an instance of a service cannot start: any error, or a text.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Says why an engine could not be built, started or run.
///
/// Each text says what was wrong, where, and what to do. `Debug` prints the same text as `Display`, so a `main` that returns
/// the error ends with a readable line.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address is malformed, or does not fit where it was given.
    #[error("{url:?} is not an address Gannet understands: {why}")]
    Address {
        /// The address as it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The system's resolver found no IP address for a host.
    #[error("the host of {url} was not found: {why}; check the name, or give an IP address")]
    UnknownHost {
        /// The address.
        url: String,
        /// What the resolver said.
        why: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {url}: {}", explain_listen(.url, .error))]
    Listen {
        /// The address.
        url: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// This machine or process cannot use the driver that was asked for.
    #[error("the driver {driver} cannot be used: {why}; choose poll, or auto to have one chosen")]
    Driver {
        /// The driver's name.
        driver: &'static str,
        /// Why not, with the kernel's error if there is one.
        why: String,
    },
    /// A setting is out of range, contradicts another one, or does not fit the machine; the text says which.
    #[error("{0}")]
    Setting(String),
    /// An instance of a service could not start: [`Service::start`](crate::Service::start) failed.
    #[error("service {service} did not start on reactor {reactor}: {error}")]
    Service {
        /// The service's name.
        service: String,
        /// The reactor's number, from 0.
        reactor: usize,
        /// What the service said.
        #[source]
        error: StartError,
    },
    /// A reactor could not start, or its driver failed while it ran.
    #[error("reactor {reactor} failed: {error}{}", hint(.error))]
    Reactor {
        /// The reactor's number, from 0.
        reactor: usize,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The engine shuts down, or has ended: a [`Plan`](crate::Plan) has changed nothing.
    #[error("the engine is shutting down; nothing was changed")]
    Stopping,
    /// Reactors had not made their instances of new services in time: a [`Plan`](crate::Plan) has changed nothing.
    #[error(
        "{} did not answer within five seconds, so nothing was changed; look for callbacks that block (the log names stalls)",
        .threads.join(", ")
    )]
    Late {
        /// The names of the reactors' threads, such as `gannet-3`.
        threads: Vec<String>,
    },
    /// A second signal came while the engine shut down: see [`Running::stop_on_signals`](crate::Running::stop_on_signals).
    #[error("a second signal came before all connections were closed; they end with the process")]
    Interrupted,
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The result of building, starting or running an engine.
pub type Result<T> = std::result::Result<T, Error>;

/// What to do about an error of the system's, where that is known.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    if is_exhausted(error) { "; raise the limit on open files (ulimit -n), or use fewer reactors" } else { "" }
}

fn explain_listen(url: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use; stop the other server, or choose another port (0 takes a free one)".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("{error}; ports below 1024 need privileges, and a socket's folder must be writable")
        }
        io::ErrorKind::NotFound => "there is no such folder; make it, or choose another path".to_owned(),
        io::ErrorKind::InvalidInput if url.starts_with("unix:") => {
            format!("{error}; the path of a Unix socket has at most 107 bytes (103 on BSD and macOS)")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_an_error_says_what_to_do() {
        let error = io::Error::from(io::ErrorKind::AddrInUse);
        let said = format!("{:?}", Error::Listen { url: "tcp://127.0.0.1:7000".to_owned(), error });
        assert!(said.starts_with("cannot listen on tcp://127.0.0.1:7000: the address is in use; stop"), "{said}");
    }
}
