//! Exports spans to a collector of OpenTelemetry: by OTLP over HTTP, in JSON, from a thread of its own.
//!
//! Reactors put spans into a queue and never wait: where the queue is full, the span is dropped and counted. The SDK of
//! OpenTelemetry would bring an HTTP client and a runtime of its own for these few messages.

mod encode;
mod export;
mod settings;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use gannet_http::{Recorder, Span, Tracer};

use self::export::{BATCH, Exporter};
pub(crate) use self::settings::{OtlpSettings, check_share};

/// How long the end of the server waits for the last spans to leave.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Spans on their way to the collector.
#[derive(Debug)]
pub(crate) struct Queue {
    spans: ArrayQueue<Box<Span>>,
    exported: AtomicU64,
    /// There was no room for them.
    overflowed: AtomicU64,
    /// The collector did not take them.
    lost: AtomicU64,
    /// Requests to the collector that failed, each attempt by itself.
    failures: AtomicU64,
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
    fn new(spans: usize) -> Self {
        Self {
            spans: ArrayQueue::new(spans),
            exported: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            pause: (Mutex::new(()), Condvar::new()),
            thread: OnceLock::new(),
        }
    }

    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            waiting: self.spans.len(),
            exported: self.exported.load(Ordering::Relaxed),
            overflowed: self.overflowed.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// The end of a queue that spans come to.
struct Entrance(Arc<Queue>);

impl Recorder for Entrance {
    fn record(&self, span: Span) {
        let queue = &*self.0;
        if queue.spans.push(Box::new(span)).is_err() {
            queue.overflowed.fetch_add(1, Ordering::Relaxed);
        } else if queue.spans.len() == BATCH
            && let Some(thread) = queue.thread.get()
        {
            thread.unpark();
        }
    }
}

/// The thread that exports spans.
#[derive(Debug)]
pub(crate) struct Otlp {
    queue: Arc<Queue>,
    tracer: Tracer,
    gone: Receiver<()>,
}

impl Otlp {
    /// Starts the thread.
    pub(crate) fn start(settings: &OtlpSettings) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(settings.queue));
        let exporter = Exporter::new(queue.clone(), settings);
        let (end, gone) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("gannet-traces".to_owned()).spawn(move || {
            exporter.run();
            drop(end);
        })?;
        let _ = queue.thread.set(thread.thread().clone());
        let tracer = Tracer::new(settings.sampling, Entrance(queue.clone()));
        Ok(Self { queue, tracer, gone })
    }

    /// What makes spans.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// What is counted.
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

/// Sends what is there, as far as the collector takes it in time.
impl Drop for Otlp {
    fn drop(&mut self) {
        self.queue.ended.store(true, Ordering::Release);
        // In between of the look at `ended` and the wait, the thread has the lock.
        drop(self.queue.pause.0.lock());
        self.queue.pause.1.notify_all();
        if let Some(thread) = self.queue.thread.get() {
            thread.unpark();
        }
        let _ = self.gone.recv_timeout(LAST_EXPORT);
    }
}

#[cfg(test)]
mod tests;
