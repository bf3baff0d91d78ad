//! What the `http` service knows of the server it is a part of. It learns it when the engine has started.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gannet::{Remote, Running};
use gannet_gateway::Gateway;
use gannet_http::middleware::HandlerTime;

use crate::audit::{Audit, AuditStats};
use crate::otlp::{QueueStats, Traces};
use crate::services::Listener;
use crate::status::Status;

/// What runs.
#[derive(Debug, Default)]
pub(crate) struct Site {
    running: Mutex<Option<Arc<What>>>,
    /// How long the handlers of all `http` listeners take.
    pub(super) times: HandlerTime,
    /// Spans on their way to a collector.
    traces: OnceLock<Traces>,
    /// The gateway, from when there is one.
    push: OnceLock<Arc<Gateway>>,
    /// Where orders of operators are recorded.
    audit: OnceLock<Audit>,
    /// What the server knows of its own operation.
    pub(crate) status: Arc<Status>,
}

/// Said when everything listens, and after each reload.
#[derive(Clone, Debug)]
pub(super) struct What {
    pub(super) driver: &'static str,
    pub(super) why: String,
    pub(super) reactors: usize,
    /// By the numbers that their services have in the engine, those of the admin socket left out.
    pub(super) listeners: Vec<Option<Place>>,
}

/// A listener.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) service: &'static str,
    pub(super) address: String,
    /// A command to try it with.
    pub(super) command: String,
    /// It was not removed.
    pub(super) is_open: bool,
}

impl Place {
    fn of(listener: &Listener, address: &gannet::Address) -> Self {
        Self {
            service: listener.service.name,
            address: address.to_string(),
            command: (listener.service.try_it)(address),
            is_open: true,
        }
    }
}

impl Site {
    /// Says what runs.
    pub(crate) fn started(&self, running: &Running) {
        let (driver, why) = running.driver();
        let what = What { driver, why: why.to_owned(), reactors: running.remote().reactors(), listeners: Vec::new() };
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(what));
    }

    /// Says what listens, at the start and after each reload.
    pub(crate) fn listens(&self, listeners: &[Listener], remote: &Remote) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(what) = running.as_mut().map(Arc::make_mut) else { return };
        for listening in remote.listeners() {
            if listening.service >= what.listeners.len() {
                what.listeners.resize(listening.service + 1, None);
                let own = listeners.iter().find(|listener| listener.name == listening.name);
                what.listeners[listening.service] = own.map(|own| Place::of(own, &listening.address));
            }
            if let Some(place) = &mut what.listeners[listening.service] {
                place.is_open = listening.is_open;
            }
        }
    }

    /// Says where orders of operators are recorded.
    pub(crate) fn audits(&self, audit: Audit) {
        let _ = self.audit.set(audit);
    }

    pub(super) fn audit(&self) -> Option<AuditStats> {
        self.audit.get()?.stats()
    }

    /// Says where spans wait for their collector.
    pub(crate) fn exports(&self, traces: &Traces) {
        let _ = self.traces.set(traces.clone());
    }

    pub(super) fn traces(&self) -> Option<QueueStats> {
        self.traces.get()?.stats()
    }

    /// Says that there is a gateway.
    pub(crate) fn pushes(&self, push: &Arc<Gateway>) {
        let _ = self.push.set(push.clone());
    }

    pub(super) fn push(&self) -> Option<&Gateway> {
        self.push.get().map(|push| &**push)
    }

    /// What runs. Nothing in the moment between the first connection and the end of the start.
    pub(super) fn what(&self) -> Option<Arc<What>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
