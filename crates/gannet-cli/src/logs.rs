//! Where the log goes: to standard error, as text or as one JSON object a line.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::options::{LogFormat, LogLevel};
use crate::stats;

/// The log's thread: what was logged is written when this is dropped.
#[must_use = "dropping it ends the log"]
pub(crate) struct Log(#[allow(dead_code, reason = "held for its end")] tracing_appender::non_blocking::WorkerGuard);

/// Starts to log, on a thread of its own: whoever reads standard error slowly, or not at all, must not hold up a
/// reactor. What is more than its buffer takes is dropped. Called once.
pub(crate) fn start(format: LogFormat, level: LogLevel) -> Log {
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let level = LevelFilter::from(level);
    // Who asked for the counters gets them, however quiet the rest shall be.
    let filter = Targets::new().with_default(level).with_target(stats::TARGET, LevelFilter::INFO.max(level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would complain on standard error that standard error is gone, and that panics.
        .log_internal_errors(false);
    let lines_registry = tracing_subscriber::registry().with(filter);
    // It fails only where another log was started before.
    let _ = match format {
        LogFormat::Text => lines_registry.with(lines).try_init(),
        LogFormat::Json => lines_registry.with(lines.json().flatten_event(true)).try_init(),
    };
    Log(guard)
}
