//! What a reload has changed, and what waits for a restart: for the log, for `gannet reload`, and for programs.

use std::time::Duration;

use gannet_config::{Change, Class};
use serde_json::{Value, json};

use super::listeners::Listeners;
use crate::control::Refused;
use crate::settings::Configuration;

/// What came of a reload.
#[derive(Debug)]
pub(super) struct Report {
    generation: u64,
    digest_before: String,
    digest_after: String,
    /// What took effect.
    changes: Vec<Change>,
    /// What will at the next start.
    pending: Vec<Change>,
    pub(super) listeners: Listeners,
    pub(super) took: Duration,
}

impl Report {
    /// Compares what is in force with what shall be; what needs a restart is compared with what the process started with.
    pub(super) fn new(
        started: &Configuration,
        current: (&Configuration, &str),
        new: &Configuration,
        generation: u64,
    ) -> Self {
        let (current, digest_before) = (current.0, current.1.to_owned());
        let of = |class: Class, old: &Configuration| -> Vec<Change> {
            old.diff(new).into_iter().filter(|change| change.class == class).collect()
        };
        Self {
            generation,
            digest_before,
            digest_after: new.digest(),
            changes: of(Class::Live, current),
            pending: of(Class::Restart, started),
            listeners: Listeners::default(),
            took: Duration::ZERO,
        }
    }

    /// The digest of the new configuration.
    pub(super) fn digest(&self) -> &str {
        &self.digest_after
    }

    /// Whether a setting waits for a restart.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a setting of this section takes effect.
    pub(super) fn has_changed(&self, section: &str) -> bool {
        self.changes.iter().any(|change| change.section == section)
    }

    /// What is said where that is not accepted.
    pub(super) fn refusal(&self) -> Refused {
        let keys: Vec<&str> = self.pending.iter().map(|change| &*change.key).collect();
        let keys = keys.join(", ");
        tracing::error!(settings = keys, "not reloaded, everything stays as it was: settings need a restart");
        let message = format!(
            "nothing has changed, since these need a restart: {keys}; use gannet upgrade, or leave out --strict"
        );
        let pending: Vec<Value> = self.pending.iter().map(as_json).collect();
        Refused::new("needs_restart", message).details(json!({ "pending": pending }))
    }

    /// Says it in the log: a line for each change, and one for the whole.
    pub(super) fn log(&self) {
        let Self { generation, digest_after, changes, pending, listeners, took, .. } = self;
        listeners.log();
        for Change { key, old, new, origin, .. } in changes {
            tracing::info!(key, old, new, origin, "setting changed");
        }
        for Change { key, old, new, origin, .. } in pending {
            tracing::warn!(key, old, new, origin, "setting needs a restart, or gannet upgrade");
        }
        tracing::info!(
            generation,
            digest = digest_after,
            changed = changes.len(),
            pending = pending.len(),
            took_ms = took.as_millis() as u64,
            "reloaded"
        );
    }

    /// What programs get.
    pub(super) fn to_json(&self) -> Value {
        let all = |changes: &[Change]| changes.iter().map(as_json).collect::<Vec<_>>();
        json!({
            "generation": self.generation,
            "digest_before": self.digest_before,
            "digest_after": self.digest_after,
            "changes": all(&self.changes),
            "pending": all(&self.pending),
            "listeners": self.listeners.to_json(),
            "took_ms": self.took.as_millis() as u64,
        })
    }
}

fn as_json(change: &Change) -> Value {
    let Change { key, old, new, origin, .. } = change;
    json!({ "key": key, "old": old, "new": new, "origin": origin })
}
