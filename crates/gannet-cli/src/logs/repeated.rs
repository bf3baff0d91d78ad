//! Bounds how often one line of the log comes again: a fault that meets every client must not fill the disk. What is dropped
//! is counted, and the log says how many there were.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::{Level, Metadata, callsite};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::audit::AUDIT;
use crate::names::LogFormat;
use crate::stats;
use crate::status::{self, LostLine};

/// Lines of one place in the code that are written in a window.
pub(super) const MOST: u32 = 200;

/// How long a window is.
const WINDOW: Duration = Duration::from_secs(10);

/// Lines of one place in the code.
struct Place {
    since: Instant,
    written: u32,
    dropped: u64,
}

/// What is to be done with a line.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Write,
    Drop,
    /// So many were dropped before it.
    WriteAfter(u64),
}

/// The places that lines came from. There are as many as the code has: it needs no limit.
#[derive(Default)]
struct Places(HashMap<callsite::Identifier, Place>);

impl Places {
    fn decide(&mut self, place: callsite::Identifier, now: Instant) -> Decision {
        let place = self.0.entry(place).or_insert(Place { since: now, written: 0, dropped: 0 });
        if now.saturating_duration_since(place.since) >= WINDOW {
            let dropped = std::mem::take(&mut place.dropped);
            (place.since, place.written) = (now, 1);
            return if dropped == 0 { Decision::Write } else { Decision::WriteAfter(dropped) };
        }
        if place.written < MOST {
            place.written += 1;
            return Decision::Write;
        }
        place.dropped += 1;
        Decision::Drop
    }
}

/// Makes writers that leave out what comes too often.
#[derive(Clone)]
pub(super) struct Bounded<M> {
    inner: M,
    format: LogFormat,
    places: Arc<Mutex<Places>>,
}

impl<M> Bounded<M> {
    pub(super) fn new(inner: M, format: LogFormat) -> Self {
        Self { inner, format, places: Arc::default() }
    }

    /// The same, whose own lines are in another form.
    pub(super) fn with_format(&self, format: LogFormat) -> Self
    where
        M: Clone,
    {
        Self { format, ..self.clone() }
    }

    #[allow(clippy::disallowed_methods)] // The clock of the log: no reactor and no service sees it.
    fn decide(&self, meta: &Metadata<'_>) -> Decision {
        // Whoever asks for details, for requests or for the counters, gets all of them.
        if *meta.level() > Level::INFO || [stats::TARGET, super::ACCESS, AUDIT].contains(&meta.target()) {
            return Decision::Write;
        }
        self.places.lock().unwrap_or_else(PoisonError::into_inner).decide(meta.callsite(), Instant::now())
    }
}

/// A writer of one line.
pub(super) struct Line<W>(Option<W>);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(bytes.len()), |writer| writer.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl<'w, M: MakeWriter<'w>> MakeWriter<'w> for Bounded<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Line(Some(self.inner.make_writer()))
    }

    fn make_writer_for(&'w self, meta: &Metadata<'_>) -> Self::Writer {
        match self.decide(meta) {
            Decision::Write => {}
            Decision::Drop => {
                status::count_lost_line(LostLine::Repeated);
                return Line(None);
            }
            Decision::WriteAfter(dropped) => {
                let line = said(self.format, dropped, meta);
                // Nobody is left to tell where this fails.
                let _ = self.inner.make_writer_for(meta).write_all(line.as_bytes());
            }
        }
        Line(Some(self.inner.make_writer_for(meta)))
    }
}

/// The line that says how many were dropped, in the log's form.
fn said(format: LogFormat, dropped: u64, meta: &Metadata<'_>) -> String {
    let mut time = String::new();
    // A string takes everything.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let place = format!("{}:{}", meta.file().unwrap_or_default(), meta.line().unwrap_or_default());
    let message = "lines of one kind came too often, and were dropped";
    match format {
        LogFormat::Json => {
            let line = json!({
                "timestamp": time, "level": "WARN", "message": message, "dropped": dropped, "place": place,
            });
            format!("{line}\n")
        }
        LogFormat::Text => {
            let mut line = String::new();
            let _ = writeln!(line, "{time}  WARN {message} dropped={dropped} place={place}");
            line
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().expect("one thread").clone()).expect("text");
            text.lines().map(str::to_owned).collect()
        }
    }

    /// Logs by a subscriber whose lines are bounded.
    fn logged(format: LogFormat, body: impl FnOnce(&dyn Fn())) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let bounded = Bounded::new(move || writer.clone(), format);
        let places = bounded.places.clone();
        let all =
            tracing_subscriber::filter::Targets::new().with_default(tracing_subscriber::filter::LevelFilter::TRACE);
        let expire = || {
            for place in places.lock().expect("one thread").0.values_mut() {
                place.since = place.since.checked_sub(WINDOW).expect("a clock that runs for a while");
            }
        };
        tracing::subscriber::with_default(super::super::subscriber(format, all, bounded), || body(&expire));
        written.lines()
    }

    #[test]
    fn a_line_that_comes_too_often_is_dropped_and_the_log_says_how_many() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let before = status::lost_lines(LostLine::Repeated);
            let often = |number: u32| tracing::warn!(number, "a fault that meets every client");
            let lines = logged(format, |expire| {
                (0..MOST + 30).for_each(often);
                tracing::warn!("another one");
                expire();
                often(1_000);
            });
            assert_eq!(lines.len() as u32, MOST + 3, "{:?}", &lines[lines.len() - 4..]);
            let [.., other, said, last] = &lines[..] else { panic!("{lines:?}") };
            assert!(other.contains("another one") && last.contains("1000"), "{other} {last}");
            assert!(said.contains("30") && said.contains("repeated.rs:"), "{said}");
            if matches!(format, LogFormat::Json) {
                let event: serde_json::Value = serde_json::from_str(said).expect("an object");
                assert_eq!((&event["dropped"], &event["level"]), (&30.into(), &"WARN".into()));
            }
            // Another test may log at the same time.
            assert!(status::lost_lines(LostLine::Repeated) >= before + 30);
        }
    }

    #[test]
    fn details_that_were_asked_for_are_never_dropped() {
        let lines = logged(LogFormat::Text, |_| {
            (0..MOST * 2).for_each(|number| tracing::debug!(number, "a detail"));
        });
        assert_eq!(lines.len() as u32, MOST * 2);
    }
}
