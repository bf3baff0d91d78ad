//! Asking the application: events of clients, sent as HTTP requests that it decides about.
//!
//! A session on a reactor first takes a place with [`Application::begin`], which never waits. It sends the [`Permit`] to the
//! engine's pool for work that waits (`Context::offload_blocking`), and calls [`Permit::call`] there. Where all places are
//! taken, the client gets the temporary error 100 at once; so do clients whose event brought no answer to use.

mod events;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::events::{
    Client, ConnectResult, Event, PublishResult, RefreshResult, Reply, RpcResult, SubscribeResult, What,
};
use crate::call_span::CallSpan;
use crate::outgoing::{Endpoint, Outgoing, OutgoingError};
pub use crate::settings::{ApplicationSettings, EventKind};

/// The longest reason that a client is told when the application ends its connection.
pub const LONGEST_REASON_BYTES: usize = 32;

/// The field that has a call's place in a trace (W3C Trace Context). Names of fields that go along are in small letters.
const TRACEPARENT: &str = "traceparent";

/// The log is told of failures at most so often.
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(1);

/// Asks the application about events. Every method may be called on every thread.
#[derive(Debug)]
pub struct Application {
    settings: ApplicationSettings,
    client: Outgoing,
    counted: Arc<Counted>,
    /// When the log was last told of a failure, and of how many it was not told since.
    complaint: Mutex<(Option<Instant>, u64)>,
}

/// What the applications of a gateway count, one after the other.
#[derive(Debug, Default)]
struct Counted {
    running: AtomicUsize,
    /// One for each kind of event.
    counters: [Counters; EventKind::ALL.len()],
}

#[derive(Debug, Default)]
struct Counters {
    /// One for each [`CallResult`].
    results: [AtomicU64; CallResult::ALL.len()],
}

/// How a call to the application ended, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallResult {
    /// With a result.
    Allowed,
    /// With an error of the application's.
    Refused,
    /// With the end of the connection.
    Disconnected,
    /// There was no place for the request.
    Full,
    /// There was no response in time.
    Timeout,
    /// No connection could be opened.
    Unreachable,
    /// The connection ended before the response did.
    Closed,
    /// The handshake of TLS failed.
    Tls,
    /// The status was not 200.
    Status,
    /// The response was larger than the limit.
    Large,
    /// The response could not be understood.
    Malformed,
}

impl CallResult {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Allowed,
        Self::Refused,
        Self::Disconnected,
        Self::Full,
        Self::Timeout,
        Self::Unreachable,
        Self::Closed,
        Self::Tls,
        Self::Status,
        Self::Large,
        Self::Malformed,
    ];

    /// Returns the name in metrics, such as `timeout`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Disconnected => "disconnected",
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
            Self::Tls => "tls",
            Self::Status => "status",
            Self::Large => "large",
            Self::Malformed => "malformed",
        }
    }
}

impl From<&OutgoingError> for CallResult {
    fn from(error: &OutgoingError) -> Self {
        match error {
            OutgoingError::Timeout => Self::Timeout,
            OutgoingError::Unreachable(_) => Self::Unreachable,
            OutgoingError::Closed => Self::Closed,
            OutgoingError::Tls(_) => Self::Tls,
            OutgoingError::Status(_) => Self::Status,
            OutgoingError::Large(_) => Self::Large,
            OutgoingError::Malformed(_) => Self::Malformed,
        }
    }
}

/// What the application has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The event may go on.
    Result(Reply),
    /// The client gets an error.
    Error {
        /// From 400 to 1999.
        code: u32,
        /// What it says.
        message: String,
        /// Whether the same request may succeed later.
        temporary: bool,
    },
    /// The connection is closed.
    Disconnect {
        /// From 4000 to 4999; clients connect again after those below 4500.
        code: u16,
        /// What it says, in at most [`LONGEST_REASON_BYTES`].
        reason: String,
    },
}

/// Says that as many requests are under way as the limit allows: the client gets the temporary error 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many requests to the application are under way as the limit allows")]
pub struct ApplicationFull;

/// A place for one request to the application; it is free again when this is dropped.
#[derive(Debug)]
pub struct Permit {
    application: Arc<Application>,
    kind: EventKind,
    /// The call's place in a trace.
    span: Option<CallSpan>,
}

/// The counters of an [`Application`] at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApplicationStats {
    /// Gauge: requests that are under way.
    pub running: usize,
    /// Counters: calls by event and by how they ended.
    pub calls: Vec<(EventKind, CallResult, u64)>,
}

impl Application {
    /// Makes a client of the application.
    #[must_use]
    pub fn new(settings: ApplicationSettings) -> Arc<Self> {
        Self::counting(settings, Arc::default())
    }

    /// Makes one with other settings that goes on to count. Requests of the one before go on.
    pub(crate) fn after(before: &Self, settings: ApplicationSettings) -> Arc<Self> {
        Self::counting(settings, before.counted.clone())
    }

    fn counting(settings: ApplicationSettings, counted: Arc<Counted>) -> Arc<Self> {
        let endpoints: Vec<_> = settings.endpoints.iter().map(|(_, endpoint)| endpoint).collect();
        let client =
            Outgoing::new(&endpoints, &settings.trust, settings.timeout, settings.largest, settings.concurrent);
        Arc::new(Self { client, settings, counted, complaint: Mutex::default() })
    }

    pub(crate) fn settings(&self) -> &ApplicationSettings {
        &self.settings
    }

    /// Tells whether the application is asked about an event.
    #[must_use]
    pub fn decides(&self, event: EventKind) -> bool {
        self.settings.endpoint(event).is_some()
    }

    /// Picks the headers of a request that go along to the application. Where none do, this takes no memory.
    pub fn pick<'a>(&self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(Box<str>, Box<str>)> {
        if self.settings.headers.is_empty() {
            return Vec::new();
        }
        let goes_along = |name: &str| self.settings.headers.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        let is_safe = |value: &str| value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
        let picked = headers.into_iter().filter(|(name, value)| goes_along(name) && is_safe(value));
        picked.map(|(name, value)| (name.to_ascii_lowercase().into(), value.into())).collect()
    }

    /// Takes a place for a request, and never waits for one.
    ///
    /// # Errors
    ///
    /// All places are taken.
    pub fn begin(self: &Arc<Self>, kind: EventKind) -> Result<Permit, ApplicationFull> {
        let limit = self.settings.concurrent;
        let taken = self
            .counted
            .running
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |running| (running < limit).then_some(running + 1));
        match taken {
            Ok(_) => Ok(Permit { application: self.clone(), kind, span: None }),
            Err(_) => {
                self.count(kind, CallResult::Full);
                Err(ApplicationFull)
            }
        }
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> ApplicationStats {
        let mut calls = Vec::new();
        for (kind, counters) in EventKind::ALL.iter().zip(&self.counted.counters) {
            if self.decides(*kind) {
                let of = |(result, count): (&CallResult, &AtomicU64)| (*kind, *result, count.load(Ordering::Relaxed));
                calls.extend(CallResult::ALL.iter().zip(&counters.results).map(of));
            }
        }
        ApplicationStats { running: self.counted.running.load(Ordering::Relaxed), calls }
    }

    /// Tells the log of a failure, at most once a second.
    fn complain(&self, kind: EventKind, error: &OutgoingError) {
        #[expect(clippy::disallowed_methods, reason = "no reactor runs here, and the log has a clock of its own, too")]
        let now = Instant::now();
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, others) = &mut *complaint;
        if last.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN_COMPLAINTS) {
            *others += 1;
            return;
        }
        let others = std::mem::take(others);
        *last = Some(now);
        let url = self.settings.endpoint(kind).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(event = %kind, url, %error, others, "the application gave no answer to use; the client gets error 100");
    }

    fn count(&self, kind: EventKind, result: CallResult) {
        self.counted.counters[kind as usize].results[result as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Permit {
    /// Has the call recorded, and its place in the trace sent along.
    pub(crate) fn recorded(mut self, span: Option<CallSpan>) -> Self {
        self.span = span;
        self
    }

    /// Sends an event, with headers of the client's request that [`Application::pick`] has picked, and reads the answer.
    ///
    /// Blocks the thread, at most for the time that the settings allow. Never call it on a reactor.
    ///
    /// # Errors
    ///
    /// There is no answer to use: the client gets the temporary error 100. The log has the reason.
    pub fn call(self, event: &Event, headers: &[(Box<str>, Box<str>)]) -> Result<Answer, OutgoingError> {
        debug_assert_eq!(event.kind(), self.kind);
        let application = &self.application;
        let outcome = self.ask(event, headers);
        let result = match &outcome {
            Ok(Answer::Result(_)) => CallResult::Allowed,
            Ok(Answer::Error { .. }) => CallResult::Refused,
            Ok(Answer::Disconnect { .. }) => CallResult::Disconnected,
            Err(error) => {
                application.complain(self.kind, error);
                error.into()
            }
        };
        application.count(self.kind, result);
        outcome
    }

    fn ask(&self, event: &Event, headers: &[(Box<str>, Box<str>)]) -> Result<Answer, OutgoingError> {
        let Some(endpoint) = self.application.settings.endpoint(self.kind) else {
            return Err(OutgoingError::Unreachable("there is no URL for this event".to_owned()));
        };
        let headers = headers.iter().map(|(name, value)| (&**name, &**value));
        let Some(own) = &self.span else { return self.send(endpoint, event, headers) };
        let span = own.begin(endpoint, self.kind);
        let traceparent = own.trace.to_string();
        // The client's own would name another parent.
        let headers = headers.filter(|(name, _)| *name != TRACEPARENT).chain([(TRACEPARENT, &*traceparent)]);
        let outcome = self.send(endpoint, event, headers);
        own.end(span, &outcome);
        outcome
    }

    fn send<'a>(
        &self,
        endpoint: &Endpoint,
        event: &Event,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Answer, OutgoingError> {
        let json = serde_json::to_vec(event).map_err(|error| OutgoingError::Malformed(error.to_string()))?;
        let response = self.application.client.post(endpoint, headers, &json)?;
        if response.status != 200 {
            return Err(OutgoingError::Status(response.status));
        }
        read(self.kind, &response.body).map_err(OutgoingError::Malformed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.application.counted.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawAnswer<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<RawError>,
    disconnect: Option<RawDisconnect>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawError {
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    temporary: bool,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawDisconnect {
    code: u16,
    #[serde(default)]
    reason: String,
}

/// Reads an answer. One that says several things at once counts as what is hardest for the client.
fn read(kind: EventKind, body: &[u8]) -> Result<Answer, String> {
    let answer: RawAnswer<'_> =
        serde_json::from_slice(body).map_err(|error| format!("it is not JSON of an answer ({error})"))?;
    if let Some(RawDisconnect { code, reason }) = answer.disconnect {
        if !(4_000..=4_999).contains(&code) {
            return Err(format!("it disconnects with {code}; an application has 4000 to 4999"));
        }
        if reason.len() > LONGEST_REASON_BYTES {
            return Err(format!("its reason has {} bytes; at most {LONGEST_REASON_BYTES} fit", reason.len()));
        }
        return Ok(Answer::Disconnect { code, reason });
    }
    if let Some(RawError { code, message, temporary }) = answer.error {
        if !(400..=1_999).contains(&code) {
            return Err(format!("its error has the code {code}; an application has 400 to 1999"));
        }
        return Ok(Answer::Error { code, message, temporary });
    }
    let result = answer.result.ok_or("it has none of result, error and disconnect")?;
    Reply::read(kind, result.get()).map(Answer::Result)
}
