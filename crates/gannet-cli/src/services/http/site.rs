//! What the `http` service knows of the server it is a part of. It learns it when the engine has started.

use std::sync::{Arc, OnceLock};

use gannet::Running;
use gannet_http::middleware::HandlerTime;

use crate::audit::{Audit, AuditStats};
use crate::otlp::Queue;
use crate::services::Listener;
use crate::status::Status;

/// What runs.
#[derive(Debug, Default)]
pub(crate) struct Site {
    running: OnceLock<What>,
    /// How long the handlers of all `http` listeners take.
    pub(super) times: HandlerTime,
    /// Spans on their way to a collector, where there is one.
    traces: OnceLock<Arc<Queue>>,
    /// Where orders of operators are recorded.
    audit: OnceLock<Audit>,
    /// What the server knows of its own operation.
    pub(crate) status: Arc<Status>,
}

/// Said once, when everything listens.
#[derive(Debug)]
pub(super) struct What {
    pub(super) driver: &'static str,
    pub(super) why: String,
    pub(super) reactors: usize,
    /// In the order in which the engine has them.
    pub(super) listeners: Vec<Place>,
}

/// A listener.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) service: &'static str,
    pub(super) address: String,
    /// A command to try it with.
    pub(super) command: String,
}

impl Site {
    /// Says what runs.
    pub(crate) fn started(&self, listeners: &[Listener], running: &Running) {
        let (driver, why) = running.driver();
        let place = |(listener, address): (&Listener, &gannet::Address)| Place {
            service: listener.service.name,
            address: address.to_string(),
            command: (listener.service.try_it)(address),
        };
        let what = What {
            driver,
            why: why.to_owned(),
            reactors: running.remote().reactors(),
            listeners: listeners.iter().zip(running.addresses()).map(place).collect(),
        };
        // An engine starts once.
        let _ = self.running.set(what);
    }

    /// Says where orders of operators are recorded.
    pub(crate) fn audits(&self, audit: Audit) {
        let _ = self.audit.set(audit);
    }

    pub(super) fn audit(&self) -> Option<AuditStats> {
        self.audit.get()?.stats()
    }

    /// Says where spans wait for their collector.
    pub(crate) fn exports(&self, queue: &Arc<Queue>) {
        let _ = self.traces.set(queue.clone());
    }

    pub(super) fn traces(&self) -> Option<&Queue> {
        self.traces.get().map(|queue| &**queue)
    }

    /// What runs. Nothing in the moment between the first connection and the end of the start.
    pub(super) fn what(&self) -> Option<&What> {
        self.running.get()
    }
}
