//! The thread that takes spans from the queue and posts them to the collector, in batches.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use gannet_gateway::{Endpoint, Outgoing};
use gannet_http::Span;

use super::encode::{self, Resource};
use super::{OtlpSettings, Queue};

/// Spans of one request to the collector.
pub(super) const BATCH: usize = 512;

/// How long spans wait for others. A full batch leaves at once.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often a batch is sent before its spans are given up, so that newer ones get their turn.
const ATTEMPTS: u32 = 3;

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The largest response that is read.
const LARGEST_RESPONSE_BYTES: usize = 64 << 10;

/// Sends spans.
pub(super) struct Exporter {
    queue: Arc<Queue>,
    client: Outgoing,
    endpoint: Endpoint,
    headers: Vec<(String, gannet_gateway::Secret)>,
    resource: Resource,
    /// After failures in a row; zero without.
    pause: Duration,
}

/// What came of an attempt.
enum Outcome {
    Taken(u64),
    /// It may be taken later.
    Later(String),
    /// It will never be taken.
    Never(String),
}

impl Exporter {
    pub(super) fn new(queue: Arc<Queue>, settings: &OtlpSettings, instance: &str) -> Self {
        let OtlpSettings { endpoint, trust, timeout, headers, service, .. } = settings;
        Self {
            queue,
            client: Outgoing::new(&[endpoint], trust, *timeout, LARGEST_RESPONSE_BYTES, 1),
            endpoint: endpoint.clone(),
            headers: headers.clone(),
            resource: Resource { service: service.clone(), instance: instance.to_owned() },
            pause: Duration::ZERO,
        }
    }

    /// Sends until the end was said, and then what is left.
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if self.queue.spans.len() < BATCH && !self.queue.has_ended() {
                std::thread::park_timeout(INTERVAL);
            }
            while batch.len() < BATCH
                && let Some(span) = self.queue.spans.pop()
            {
                batch.push(span);
            }
            if !batch.is_empty() {
                self.send(&batch);
                batch.clear();
            } else if self.queue.has_ended() {
                return;
            }
        }
    }

    /// Sends a batch, again where that may help; counts what became of it.
    fn send(&mut self, batch: &[Box<Span>]) {
        let body = encode::request(&self.resource, batch);
        let count = batch.len() as u64;
        for _ in 0..ATTEMPTS {
            let (why, is_final) = match self.attempt(&body) {
                Outcome::Taken(rejected) => {
                    let rejected = rejected.min(count);
                    self.queue.counts.exported.fetch_add(count - rejected, Ordering::Relaxed);
                    self.queue.counts.lost.fetch_add(rejected, Ordering::Relaxed);
                    if !mem::take(&mut self.pause).is_zero() {
                        tracing::info!(url = %self.endpoint, "the collector takes spans again");
                    }
                    return;
                }
                Outcome::Later(why) => (why, false),
                Outcome::Never(why) => (why, true),
            };
            self.queue.counts.failures.fetch_add(1, Ordering::Relaxed);
            if self.pause.is_zero() {
                // Once: the counters say how it goes on.
                tracing::warn!(url = %self.endpoint, error = why, "the collector takes no spans; what the queue has no room for is dropped");
            }
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            if self.queue.has_ended() {
                break;
            }
            self.wait();
            if is_final {
                break;
            }
        }
        self.queue.counts.lost.fetch_add(count, Ordering::Relaxed);
    }

    fn attempt(&self, body: &[u8]) -> Outcome {
        let headers = self.headers.iter().map(|(name, value)| (&**name, value.reveal()));
        match self.client.post(&self.endpoint, headers, body) {
            Ok(response) if (200..300).contains(&response.status) => Outcome::Taken(encode::rejected(&response.body)),
            // OTLP/HTTP, "Retryable Response Codes".
            Ok(response) if matches!(response.status, 429 | 502..=504) => {
                Outcome::Later(format!("status {}", response.status))
            }
            Ok(response) => Outcome::Never(format!("status {}", response.status)),
            Err(error) => Outcome::Later(error.to_string()),
        }
    }

    /// Pauses, up to a quarter longer than it has to, so that servers do not come together; or until the end is said.
    fn wait(&self) {
        let more = RandomState::new().hash_one(0) % 256;
        let pause = self.pause + self.pause / 1_024 * u32::try_from(more).unwrap_or(0);
        let (lock, condition) = &self.queue.pause;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = condition.wait_timeout_while(guard, pause, |()| !self.queue.has_ended());
    }
}
