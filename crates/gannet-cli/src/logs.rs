//! Where the log goes: to standard error, as text or as one JSON object a line.

mod repeated;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU8, Ordering};

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

use self::repeated::Bounded;
use self::writer::{LineWriter, LogThread};
use crate::audit::AUDIT;
use crate::names::LogFormat;
use crate::settings::LogSettings;
use crate::stats;

/// The target of the lines that [`AccessLog`](gannet_http::middleware::AccessLog) writes.
const ACCESS: &str = "gannet_http::access";

/// The log's thread: what was logged is written when this is dropped.
#[must_use = "dropping it ends the log"]
pub(crate) struct Log(#[allow(dead_code, reason = "held for its end")] LogThread);

/// Changes what is logged, and how, while the server runs.
pub(crate) struct LogControl {
    filter: reload::Handle<Targets, Registry>,
    lines: reload::Handle<Lines, Filtered>,
    writer: Bounded<LineWriter>,
}

/// What is left of events by the filter.
type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;

/// Makes lines of them.
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

/// The form that the log has, as a number of its own; for what is said when it has ended.
static FORMAT: AtomicU8 = AtomicU8::new(NO_LOG);

const NO_LOG: u8 = 0;
const TEXT: u8 = 1;
const JSON: u8 = 2;

/// Starts to log, on a thread of its own: whoever reads standard error slowly, or not at all, must not hold up a
/// reactor. What its queue has no room for is dropped, and so is what comes again too often. Panics are logged from then on,
/// too. Called once.
pub(crate) fn start(settings: &LogSettings) -> (Log, LogControl) {
    let (writer, thread) = writer::start(std::io::stderr());
    let writer = Bounded::new(writer, settings.format);
    let (filter, changed_filter) = reload::Layer::new(targets(settings));
    let (lines, changed_lines) = reload::Layer::new(lines(settings.format, writer.clone()));
    note_format(settings.format);
    // It fails only where another log was started before.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    panic::set_hook(Box::new(panicked));
    (Log(thread), LogControl { filter: changed_filter, lines: changed_lines, writer })
}

impl LogControl {
    /// Logs from now on as the settings say.
    pub(crate) fn change(&self, settings: &LogSettings) {
        let writer = self.writer.with_format(settings.format);
        note_format(settings.format);
        let changed = self.lines.reload(lines(settings.format, writer));
        if let Err(error) = changed.and_then(|()| self.filter.reload(targets(settings))) {
            tracing::warn!(%error, "the log stays as it was");
        }
    }
}

fn note_format(format: LogFormat) {
    let number = if matches!(format, LogFormat::Json) { JSON } else { TEXT };
    FORMAT.store(number, Ordering::Relaxed);
}

/// The form that the log has now; nothing where there has been no log.
pub(crate) fn format() -> Option<LogFormat> {
    match FORMAT.load(Ordering::Relaxed) {
        TEXT => Some(LogFormat::Text),
        JSON => Some(LogFormat::Json),
        _ => None,
    }
}

/// What is logged at all.
fn targets(settings: &LogSettings) -> Targets {
    let level = LevelFilter::from(settings.level);
    // Who asked for the counters gets them, however quiet the rest shall be.
    Targets::new()
        .with_default(level)
        .with_target(stats::TARGET, LevelFilter::INFO.max(level))
        // It logs only where that was asked for.
        .with_target(AUDIT, LevelFilter::INFO)
        .with_target(ACCESS, if settings.access { LevelFilter::INFO } else { LevelFilter::OFF })
}

/// Says why the process ends, as the log is written but without it: it may have ended before. Where nobody listens on
/// standard error any more, the exit status has to be enough.
pub(crate) fn last_words(format: LogFormat, line: &str) {
    match format {
        LogFormat::Text => {
            let _ = writeln!(std::io::stderr(), "gannet: {line}");
        }
        LogFormat::Json => {
            let all = Targets::new().with_default(LevelFilter::TRACE);
            tracing::subscriber::with_default(subscriber(format, all, std::io::stderr), || tracing::error!("{line}"));
        }
    }
}

/// What makes lines of events.
fn subscriber<W>(format: LogFormat, filter: Targets, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Box::new(tracing_subscriber::registry().with(filter).with(lines(format, writer)))
}

/// Makes lines of events, in a form.
fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(is_coloured(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref()))
        .with_target(false)
        // It would complain on standard error that standard error is gone, and that panics.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => Box::new(lines),
        LogFormat::Json => Box::new(lines.json().flatten_event(true)),
    }
}

/// Whether text has colours: in a terminal, unless its user wants none (<https://no-color.org>).
fn is_coloured(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

/// Logs a panic, as one line and in the log's form, where the standard library would write several beside the log.
fn panicked(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let why = info.payload_as_str().unwrap_or("a value that is no text");
    let why = why.replace(|character: char| character.is_control(), " ");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, %backtrace, "panic: {why}");
    } else {
        tracing::error!(thread, place, "panic: {why}");
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_line_of_the_log() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let written = Written::default();
            let writer = written.clone();
            let all = Targets::new().with_default(LevelFilter::TRACE);
            tracing::subscriber::with_default(subscriber(format, all, move || writer.clone()), || {
                let before = panic::take_hook();
                panic::set_hook(Box::new(panicked));
                let outcome = panic::catch_unwind(|| panic!("one\ntwo"));
                panic::set_hook(before);
                assert!(outcome.is_err());
            });
            let text = String::from_utf8(written.0.lock().expect("one thread").clone()).expect("text");
            // Where RUST_BACKTRACE asks for one, a text log has the backtrace behind that line.
            let line = text.lines().next().expect("a line");
            assert!(line.contains("panic: one two") && line.contains("logs.rs:"), "{text}");
            if matches!(format, LogFormat::Json) {
                let event: serde_json::Value = serde_json::from_str(line).expect("an object");
                assert_eq!((&event["level"], &event["message"]), (&"ERROR".into(), &"panic: one two".into()));
                assert!(event["thread"].is_string() && text.lines().count() == 1, "{text}");
            }
        }
    }

    #[test]
    fn colours_are_for_terminals_whose_users_want_them() {
        assert!(is_coloured(true, None) && is_coloured(true, Some(OsStr::new(""))));
        assert!(!is_coloured(true, Some(OsStr::new("1"))) && !is_coloured(false, None));
    }
}
