//! The process's limit on open files: raised as far as it goes, because every connection of the poll driver takes one.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the limit was and is; `None` is none.
pub(crate) struct OpenFiles {
    before: Option<u64>,
    now: Option<u64>,
    error: Option<io::Error>,
}

impl OpenFiles {
    /// Raises the soft limit to the hard one.
    pub(crate) fn raise() -> Self {
        let Rlimit { current: before, maximum } = getrlimit(Resource::Nofile);
        if before == maximum {
            return Self { before, now: before, error: None };
        }
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => Self { before, now: maximum, error: None },
            Err(error) => Self { before, now: before, error: Some(error.into()) },
        }
    }

    /// Says in the log what it came to; nothing of what is unlimited.
    pub(crate) fn log(&self) {
        match &self.error {
            None => tracing::info!(limit = self.now, before = self.before, "open files"),
            Some(error) => {
                tracing::warn!(limit = self.now, %error, "the limit on open files could not be raised");
            }
        }
    }

    /// Warns where so many connections, a file each, can never be.
    pub(crate) fn check(&self, connections: u32) {
        let Some(limit) = self.now else { return };
        // Without such a folder, what a small server has open.
        let open = std::fs::read_dir("/dev/fd").map_or(32, |files| files.count() as u64);
        let possible = limit.saturating_sub(open);
        if u64::from(connections) > possible {
            tracing::warn!(
                max_connections = connections,
                possible,
                "the limit on open files is lower than --max-connections: raise it (ulimit -n), or further connections will wait"
            );
        }
    }
}
