//! The audit log: who gave which order to the server, and what came of it. Its schema is in docs/operating.md.
//!
//! Any thread records; a thread of its own writes, so that a full disk or a reader that has gone holds nobody up. Without
//! `log.audit` nothing is written.

mod target;
mod throttle;

use std::fmt::Display;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gannet_gateway::{Audited, Credential};
use serde_json::{Map, Value, json};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

pub(crate) use self::target::Target;
use self::throttle::{Decision, Throttle};

/// The target of lines that go to the log.
pub(crate) const AUDIT: &str = "gannet::audit";

/// Lines that may wait for the disk.
const MOST_WAITING: usize = 1_024;

/// How long the end of the server waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What was recorded, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditStats {
    pub(crate) written: u64,
    /// There was no room for them, or they could not be written.
    pub(crate) dropped: u64,
}

/// Who gave an order, as far as the server knows.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    /// How the server knows that they may: `unix` is the mode of the admin socket.
    pub(crate) by: &'static str,
    /// The address that the order came from; `unix` for a Unix socket.
    pub(crate) peer: Option<String>,
    /// The name that the client gave. Only those who may give orders can say one.
    pub(crate) operator: Option<String>,
}

impl Who {
    /// Somebody who can send signals to the process.
    pub(crate) fn signal() -> Self {
        Self { by: "signal", peer: None, operator: None }
    }
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    /// Taken at the end.
    lines: Mutex<Option<SyncSender<Value>>>,
    throttle: Mutex<Throttle>,
    counts: Arc<Counts>,
    gone: Mutex<Receiver<()>>,
}

/// The audit log. Cheap to clone; usable on any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit(Option<Arc<Inner>>);

impl Audit {
    /// Starts the thread that writes, where there is something to write to.
    pub(crate) fn start(target: Option<&Target>) -> io::Result<Self> {
        let Some(target) = target.cloned() else { return Ok(Self(None)) };
        if let Some(why) = target.flaw() {
            tracing::warn!(%target, why, "no line of the audit log can be written");
        }
        let (lines, waiting) = mpsc::sync_channel::<Value>(MOST_WAITING);
        let (end, gone) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        let own = counts.clone();
        std::thread::Builder::new().name("gannet-audit".to_owned()).spawn(move || {
            let mut fails = false;
            for line in waiting {
                let written = target.write(&line);
                let counter = if written.is_ok() { &own.written } else { &own.dropped };
                counter.fetch_add(1, Ordering::Relaxed);
                match written {
                    Err(error) if !fails => {
                        tracing::error!(%target, %error, "a line of the audit log cannot be written; further ones are counted");
                        fails = true;
                    }
                    Ok(()) if fails => {
                        tracing::info!(%target, "the audit log can be written again");
                        fails = false;
                    }
                    _ => {}
                }
            }
            drop::<mpsc::Sender<()>>(end);
        })?;
        let inner =
            Inner { lines: Mutex::new(Some(lines)), throttle: Mutex::default(), counts, gone: Mutex::new(gone) };
        Ok(Self(Some(Arc::new(inner))))
    }

    /// What was recorded; nothing where there is no audit log.
    pub(crate) fn stats(&self) -> Option<AuditStats> {
        let counts = &self.0.as_ref()?.counts;
        Some(AuditStats {
            written: counts.written.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
        })
    }

    /// Records an order and what came of it. `what` is the object of the order.
    pub(crate) fn order<E: Display>(&self, action: &str, who: &Who, what: Value, outcome: &Result<Value, E>) {
        let (result, error) = match outcome {
            Ok(_) => ("done", None),
            Err(refused) => ("refused", Some(refused.to_string())),
        };
        self.record(action, who, what, result, error);
    }

    /// Records something else that was done.
    pub(crate) fn done(&self, action: &str, who: &Who, what: Value) {
        self.record(action, who, what, "done", None);
    }

    /// Records somebody who has not proved that they may give orders. Of these, 200 in 10 s are written.
    pub(crate) fn stranger(&self, action: &str, who: &Who, what: Value) {
        let Some(inner) = &self.0 else { return };
        #[expect(clippy::disallowed_methods, reason = "it bounds lines of a log, which has a clock of its own, too")]
        let now = Instant::now();
        let unlisted = match inner.throttle.lock().unwrap_or_else(PoisonError::into_inner).decide(now) {
            Decision::Drop => {
                inner.counts.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Decision::Write { unlisted } => unlisted,
        };
        let mut what = what;
        if unlisted > 0 {
            what["unlisted_before"] = unlisted.into();
        }
        self.record(action, who, what, "refused", None);
    }

    /// Records what the gateway reports: logins to the admin page, what is done there, and wrong keys.
    pub(crate) fn gateway(&self, audited: &Audited<'_>) {
        if self.0.is_none() {
            return;
        }
        let by = match audited.credential {
            Credential::Password => "password",
            Credential::Session => "session",
            _ => "api_key",
        };
        let peer = audited.peer.ip().map_or_else(|| "unix".to_owned(), |_| audited.peer.to_string());
        let who = Who { by, peer: Some(peer), operator: None };
        let what = audited.method.map_or_else(|| json!({}), |method| json!({ "method": method }));
        if audited.allowed {
            self.done(audited.action, &who, what);
        } else {
            self.stranger(audited.action, &who, what);
        }
    }

    fn record(&self, action: &str, who: &Who, mut what: Value, outcome: &str, error: Option<String>) {
        let Some(inner) = &self.0 else { return };
        if let Value::Object(what) = &mut what {
            what.retain(|_, value| !value.is_null());
        }
        let mut time = String::new();
        // A string takes everything.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut line = Map::new();
        let mut put = |key: &str, value: Option<Value>| line.extend(value.map(|value| (key.to_owned(), value)));
        put("timestamp", Some(time.into()));
        put("action", Some(action.into()));
        put("outcome", Some(outcome.into()));
        put("by", Some(who.by.into()));
        put("peer", who.peer.clone().map(Value::from));
        put("operator", who.operator.clone().map(Value::from));
        put("what", Some(what));
        put("error", error.map(Value::from));
        let line = Value::Object(line);
        let sent = match &*inner.lines.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(lines) => lines.try_send(line).is_ok(),
            None => false,
        };
        if !sent {
            inner.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has what waits be written, as far as that is possible in time. Nothing is recorded after that.
    pub(crate) fn end(&self) {
        let Some(inner) = &self.0 else { return };
        drop(inner.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = inner.gone.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LAST_LINES);
    }
}

#[cfg(test)]
mod tests;
