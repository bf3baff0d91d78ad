//! `--access-log`.

use clap::Args;

/// What of requests is logged.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct AccessOptions {
    /// Log each request of http listeners, whatever the log level
    #[arg(long, help_heading = "Logs")]
    pub(crate) access_log: bool,
}
