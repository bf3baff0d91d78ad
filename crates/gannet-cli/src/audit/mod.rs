//! The audit log: who gave which order to the server, and what came of it. Its schema is in docs/operating.md.
//!
//! Any thread records; a thread of its own writes, so that a full disk or a reader that has gone holds nobody up. Without
//! `log.audit` nothing is written. A reload may have the lines go elsewhere: each line knows its target.

mod target;
mod throttle;

use std::fmt::Display;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Whoever changed the configuration.
    pub(crate) fn configuration() -> Self {
        Self { by: "configuration", peer: None, operator: None }
    }

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

#[derive(Debug, Default)]
struct Inner {
    /// Whether lines are written at this moment, or ever were.
    is_on: AtomicBool,
    was_on: AtomicBool,
    target: Mutex<Option<Arc<Target>>>,
    writing: Mutex<Writing>,
    throttle: Mutex<Throttle>,
    counts: Arc<Counts>,
}

/// The thread that writes.
#[derive(Debug, Default)]
enum Writing {
    /// Nothing was ever to be written.
    #[default]
    Idle,
    Running {
        lines: SyncSender<(Arc<Target>, Value)>,
        gone: Receiver<()>,
    },
    Ended,
}

/// The audit log. Cheap to clone; usable on any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit(Arc<Inner>);

impl Audit {
    /// Makes the log, and starts its thread where there is something to write to.
    pub(crate) fn start(target: Option<&Target>) -> io::Result<Self> {
        let audit = Self::default();
        audit.prepare(target)?;
        audit.set_target(target);
        Ok(audit)
    }

    /// Starts the thread that writes, if lines are to be written and it is not there yet.
    pub(crate) fn prepare(&self, target: Option<&Target>) -> io::Result<()> {
        let mut writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if target.is_some() && matches!(*writing, Writing::Idle) {
            *writing = Self::run(self.0.counts.clone())?;
        }
        Ok(())
    }

    /// Has further lines go somewhere else, or nowhere: what [`prepare`](Self::prepare) was told of. Where they went before, the
    /// last line says so.
    pub(crate) fn set_target(&self, target: Option<&Target>) {
        let inner = &*self.0;
        {
            let current = inner.target.lock().unwrap_or_else(PoisonError::into_inner);
            if current.as_deref() == target {
                return;
            }
        }
        let to = target.map_or_else(|| "off".to_owned(), Target::to_string);
        self.done("audit", &Who::configuration(), json!({ "to": to }));
        *inner.target.lock().unwrap_or_else(PoisonError::into_inner) = target.cloned().map(Arc::new);
        if let Some((target, why)) = target.and_then(|target| Some((target, target.flaw()?))) {
            tracing::warn!(%target, why, "no line of the audit log can be written");
        }
        inner.is_on.store(target.is_some(), Ordering::Relaxed);
        inner.was_on.fetch_or(target.is_some(), Ordering::Relaxed);
    }

    fn run(own: Arc<Counts>) -> io::Result<Writing> {
        let (lines, waiting) = mpsc::sync_channel::<(Arc<Target>, Value)>(MOST_WAITING);
        let (end, gone) = mpsc::channel();
        std::thread::Builder::new().name("gannet-audit".to_owned()).spawn(move || {
            let mut fails = false;
            for (target, line) in waiting {
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
        Ok(Writing::Running { lines, gone })
    }

    /// What was recorded; nothing where there never was an audit log.
    pub(crate) fn stats(&self) -> Option<AuditStats> {
        let Inner { counts, was_on, .. } = &*self.0;
        was_on.load(Ordering::Relaxed).then(|| AuditStats {
            written: counts.written.load(Ordering::Relaxed),
            dropped: counts.dropped.load(Ordering::Relaxed),
        })
    }

    fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
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
        let inner = &*self.0;
        if !self.is_on() {
            return;
        }
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
        if !self.is_on() {
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
        let inner = &*self.0;
        let Some(target) = inner.target.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
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
        let sent = match &*inner.writing.lock().unwrap_or_else(PoisonError::into_inner) {
            Writing::Running { lines, .. } => lines.try_send((target, line)).is_ok(),
            Writing::Idle | Writing::Ended => false,
        };
        if !sent {
            inner.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has what waits be written, as far as that is possible in time. Nothing is recorded after that.
    pub(crate) fn end(&self) {
        let writing =
            std::mem::replace(&mut *self.0.writing.lock().unwrap_or_else(PoisonError::into_inner), Writing::Ended);
        if let Writing::Running { lines, gone } = writing {
            drop(lines);
            let _ = gone.recv_timeout(LAST_LINES);
        }
    }
}

#[cfg(test)]
mod tests;
