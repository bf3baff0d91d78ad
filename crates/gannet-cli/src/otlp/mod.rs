//! Exports spans to a collector of OpenTelemetry: by OTLP over HTTP, in JSON, from a thread of its own.
//!
//! Reactors put spans into a queue and never wait: where the queue is full, the span is dropped and counted. The SDK of
//! OpenTelemetry would bring an HTTP client and a runtime of its own for these few messages. A reload may turn all of it on and
//! off: the tracer stays, and gets another queue with another thread behind it.

mod encode;
mod export;
mod settings;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use gannet_http::{Recorder, Sampling, Span, Tracer};

use self::export::{BATCH, Exporter};
pub(crate) use self::settings::{OtlpSettings, check_share};

/// How long the end of the server waits for the last spans to leave.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// What became of spans, since the process began.
#[derive(Debug, Default)]
struct Counts {
    exported: AtomicU64,
    /// There was no room for them.
    overflowed: AtomicU64,
    /// The collector did not take them.
    lost: AtomicU64,
    /// Requests to the collector that failed, each attempt by itself.
    failures: AtomicU64,
}

/// Spans on their way to a collector.
#[derive(Debug)]
struct Queue {
    spans: ArrayQueue<Box<Span>>,
    counts: Arc<Counts>,
    /// Set at the end: what is there is sent once, and nothing is waited for.
    ended: AtomicBool,
    /// Interrupts a pause after a failure.
    pause: (Mutex<()>, Condvar),
    thread: OnceLock<Thread>,
}

/// What became of spans, at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueStats {
    pub(crate) waiting: usize,
    pub(crate) exported: u64,
    pub(crate) overflowed: u64,
    pub(crate) lost: u64,
    pub(crate) failures: u64,
}

impl Queue {
    fn new(spans: usize, counts: Arc<Counts>) -> Self {
        Self {
            spans: ArrayQueue::new(spans),
            counts,
            ended: AtomicBool::new(false),
            pause: (Mutex::new(()), Condvar::new()),
            thread: OnceLock::new(),
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn push(&self, span: Span) {
        if self.spans.push(Box::new(span)).is_err() {
            self.counts.overflowed.fetch_add(1, Ordering::Relaxed);
        } else if self.spans.len() == BATCH
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Has what is there be sent, as far as the collector takes it at once.
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        // In between of the look at `ended` and the wait, the thread has the lock.
        drop(self.pause.0.lock());
        self.pause.1.notify_all();
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// Where spans go at this moment, and what became of all of them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Nothing, while no spans are made. Only spans that are recorded take the lock.
    queue: RwLock<Option<Arc<Queue>>>,
    counts: Arc<Counts>,
    were_on: AtomicBool,
}

impl Traces {
    /// What is counted; nothing where no spans were ever made.
    pub(crate) fn stats(&self) -> Option<QueueStats> {
        let Inner { queue, counts, were_on } = &*self.0;
        let queue = queue.read().unwrap_or_else(PoisonError::into_inner);
        were_on.load(Ordering::Relaxed).then(|| QueueStats {
            waiting: queue.as_ref().map_or(0, |queue| queue.spans.len()),
            exported: counts.exported.load(Ordering::Relaxed),
            overflowed: counts.overflowed.load(Ordering::Relaxed),
            lost: counts.lost.load(Ordering::Relaxed),
            failures: counts.failures.load(Ordering::Relaxed),
        })
    }

    fn go_to(&self, queue: Option<Arc<Queue>>) {
        if queue.is_some() {
            self.0.were_on.store(true, Ordering::Relaxed);
        }
        // Whoever puts a span into the old one has it by now.
        *self.0.queue.write().unwrap_or_else(PoisonError::into_inner) = queue;
    }
}

impl Recorder for Traces {
    fn record(&self, span: Span) {
        match &*self.0.queue.read().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.push(span),
            // It began before they were turned off.
            None => {
                self.0.counts.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A thread that exports the spans of a queue.
#[derive(Debug)]
struct Exporting {
    queue: Arc<Queue>,
    /// What it goes by; the sampling is another matter.
    settings: OtlpSettings,
    /// Nothing where nobody waits for its end.
    gone: Option<Receiver<()>>,
}

impl Exporting {
    fn start(settings: &OtlpSettings, instance: &str, counts: &Arc<Counts>) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(settings.queue, counts.clone()));
        let exporter = Exporter::new(queue.clone(), settings, instance);
        let (end, gone) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("gannet-traces".to_owned()).spawn(move || {
            exporter.run();
            drop(end);
        })?;
        let _ = queue.thread.set(thread.thread().clone());
        Ok(Self { queue, settings: settings.clone(), gone: Some(gone) })
    }

    /// Has it send what is there, and does not wait for that.
    fn leave(mut self) {
        self.gone = None;
    }
}

/// Sends what is there, as far as the collector takes it in time.
impl Drop for Exporting {
    fn drop(&mut self) {
        self.queue.end();
        if let Some(gone) = &self.gone {
            let _ = gone.recv_timeout(LAST_EXPORT);
        }
    }
}

/// Makes spans and exports them, while that is asked for.
#[derive(Debug)]
pub(crate) struct Otlp {
    traces: Traces,
    tracer: Tracer,
    exporting: Option<Exporting>,
    /// Tells this process from others of the service.
    instance: String,
}

/// Other settings of [`Otlp`], and what they need.
#[derive(Debug)]
pub(crate) struct Prepared {
    sampling: Sampling,
    /// Nothing where the thread that there is goes on.
    exporting: Option<Option<Exporting>>,
}

impl Otlp {
    /// Makes it, and starts the thread where spans are asked for.
    pub(crate) fn start(settings: Option<&OtlpSettings>) -> io::Result<Self> {
        let traces = Traces::default();
        let tracer = Tracer::new(Sampling::Off, traces.clone());
        let instance = format!("{:016x}", RandomState::new().hash_one("instance"));
        let mut otlp = Self { traces, tracer, exporting: None, instance };
        let prepared = otlp.prepare(settings)?;
        otlp.commit(prepared);
        Ok(otlp)
    }

    /// Starts what other settings need. Nothing changes yet.
    pub(crate) fn prepare(&self, settings: Option<&OtlpSettings>) -> io::Result<Prepared> {
        let Some(settings) = settings else {
            return Ok(Prepared { sampling: Sampling::Off, exporting: Some(None) });
        };
        let goes_on = self.exporting.as_ref().is_some_and(|exporting| exporting.settings.exports_like(settings));
        let start = || Exporting::start(settings, &self.instance, &self.traces.0.counts);
        let exporting = if goes_on { None } else { Some(Some(start()?)) };
        Ok(Prepared { sampling: settings.sampling, exporting })
    }

    /// Puts it in force. Spans that wait in an old queue are still sent, once, to where that one sends them.
    pub(crate) fn commit(&mut self, prepared: Prepared) {
        let Prepared { sampling, exporting } = prepared;
        if let Some(exporting) = exporting {
            self.traces.go_to(exporting.as_ref().map(|exporting| exporting.queue.clone()));
            if let Some(old) = std::mem::replace(&mut self.exporting, exporting) {
                old.leave();
            }
        }
        self.tracer.set_sampling(sampling);
    }

    /// Sends what is there, as far as the collector takes it in time. Nothing is recorded after that.
    pub(crate) fn end(&mut self) {
        self.traces.go_to(None);
        self.exporting = None;
    }

    /// What makes spans.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// What is counted.
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }
}

#[cfg(test)]
mod tests;
