//! What a server knows of its own operation beside its counters: its limits, its last reloads, its certificates. Whoever
//! changes one of them says so here, on any thread; `/metrics` shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use gannet::{Limits, Timeouts};

/// Why a line of the log is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LostLine {
    /// Others of its kind came too often.
    Repeated,
    /// Too many waited to be written: standard error is read slowly.
    Waiting,
    /// It could not be written: the disk is full, or nobody reads any more.
    Unwritten,
}

impl LostLine {
    pub(crate) const ALL: [Self; 3] = [Self::Repeated, Self::Waiting, Self::Unwritten];

    /// Its name in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Repeated => "repeated",
            Self::Waiting => "waiting",
            Self::Unwritten => "unwritten",
        }
    }
}

static LOST_LINES: [AtomicU64; LostLine::ALL.len()] = [const { AtomicU64::new(0) }; LostLine::ALL.len()];

/// Counts a line of the log that is lost. The log is one for the process.
pub(crate) fn count_lost_line(why: LostLine) {
    LOST_LINES[why as usize].fetch_add(1, Ordering::Relaxed);
}

/// Lines of the log that were lost since the process began.
pub(crate) fn lost_lines(why: LostLine) -> u64 {
    LOST_LINES[why as usize].load(Ordering::Relaxed)
}

/// A moment that is none.
const NEVER: u64 = 0;

/// What a server knows of its own operation.
#[derive(Debug, Default)]
pub(crate) struct Status {
    limits: Mutex<Vec<(&'static str, u64)>>,
    generation: AtomicU64,
    reloads: AtomicU64,
    reload_failures: AtomicU64,
    /// In seconds since 1970.
    last_reload: AtomicU64,
    last_reload_failed: AtomicU64,
    /// Whether the files of certificates that changed last could not be used.
    last_renewal_failed: AtomicU64,
    certificate_expires: AtomicU64,
}

/// What there is to say of reloads, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadStatus {
    /// The number of the configuration that is in force: 0 is that of the start.
    pub(crate) generation: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Whether the last one was one that failed.
    pub(crate) last_failed: bool,
    /// When the last one succeeded, in seconds since 1970; that of the start where there was none.
    pub(crate) last_success_s: u64,
}

impl Status {
    /// Says what the limits are from now on.
    pub(crate) fn limits_are(&self, limits: &Limits, timeouts: &Timeouts) {
        let seconds = |time: Option<std::time::Duration>| time.map_or(0, |time| time.as_secs());
        let shown = vec![
            ("connections", u64::from(limits.connections)),
            ("connections_per_peer", limits.connections_per_peer.into()),
            ("operational_reserve", limits.operational_reserve.into()),
            ("accepts_per_second", limits.accepts_per_second.into()),
            ("outbox_high_bytes", limits.outbox_high as u64),
            ("outbox_hard_bytes", limits.outbox_hard as u64),
            ("carry_bytes", limits.carry as u64),
            ("idle_timeout_seconds", seconds(timeouts.idle)),
            ("heartbeat_seconds", seconds(timeouts.heartbeat)),
        ];
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// The limits by name; 0 is none.
    pub(crate) fn limits(&self) -> Vec<(&'static str, u64)> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that the server has started with its first configuration.
    pub(crate) fn started(&self) {
        self.last_reload.store(now_s(), Ordering::Relaxed);
    }

    /// Says that this configuration is in force.
    pub(crate) fn reloaded(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
        self.reloads.fetch_add(1, Ordering::Relaxed);
        self.last_reload.store(now_s(), Ordering::Relaxed);
        self.last_reload_failed.store(0, Ordering::Relaxed);
        self.last_renewal_failed.store(0, Ordering::Relaxed);
    }

    /// Says that a reload failed, and everything stayed as it was.
    pub(crate) fn reload_failed(&self) {
        self.reload_failures.fetch_add(1, Ordering::Relaxed);
        self.last_reload_failed.store(1, Ordering::Relaxed);
    }

    /// Says that certificates whose files have changed are in use. A configuration that could not be used stays what it is.
    pub(crate) fn renewed(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        self.last_reload.store(now_s(), Ordering::Relaxed);
        self.last_renewal_failed.store(0, Ordering::Relaxed);
    }

    /// Says that files of certificates have changed and cannot be used.
    pub(crate) fn renewal_failed(&self) {
        self.reload_failures.fetch_add(1, Ordering::Relaxed);
        self.last_renewal_failed.store(1, Ordering::Relaxed);
    }

    pub(crate) fn reload(&self) -> ReloadStatus {
        ReloadStatus {
            generation: self.generation.load(Ordering::Relaxed),
            succeeded: self.reloads.load(Ordering::Relaxed),
            failed: self.reload_failures.load(Ordering::Relaxed),
            last_failed: [&self.last_reload_failed, &self.last_renewal_failed]
                .iter()
                .any(|failed| failed.load(Ordering::Relaxed) != 0),
            last_success_s: self.last_reload.load(Ordering::Relaxed),
        }
    }

    /// Says when the first of the certificates that are served expires.
    pub(crate) fn certificates_expire(&self, first: Option<SystemTime>) {
        let seconds = first.and_then(|first| first.duration_since(SystemTime::UNIX_EPOCH).ok());
        self.certificate_expires.store(seconds.map_or(NEVER, |time| time.as_secs()), Ordering::Relaxed);
    }

    /// When that is, in seconds since 1970.
    pub(crate) fn certificate_expires_s(&self) -> Option<u64> {
        Some(self.certificate_expires.load(Ordering::Relaxed)).filter(|seconds| *seconds != NEVER)
    }
}

#[allow(clippy::disallowed_methods)] // For whoever watches: no decision hangs on it.
fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(NEVER, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reload_that_fails_shows_until_one_succeeds_and_changes_no_generation() {
        let status = Status::default();
        status.started();
        let first = status.reload();
        assert!(first.last_success_s > 1_700_000_000 && !first.last_failed && first.generation == 0);
        status.reload_failed();
        let failed = status.reload();
        assert_eq!((failed.generation, failed.succeeded, failed.failed, failed.last_failed), (0, 0, 1, true));
        status.reloaded(7);
        let reloaded = status.reload();
        assert_eq!((reloaded.generation, reloaded.succeeded, reloaded.failed, reloaded.last_failed), (7, 1, 1, false));
    }

    #[test]
    fn certificates_that_are_renewed_do_not_hide_a_configuration_that_failed() {
        let status = Status::default();
        status.renewal_failed();
        assert!(status.reload().last_failed);
        status.renewed();
        assert!(!status.reload().last_failed);
        status.reload_failed();
        status.renewed();
        assert!(status.reload().last_failed, "it is still the old one");
        status.reloaded(1);
        assert_eq!((status.reload().last_failed, status.reload().failed), (false, 2));
    }

    #[test]
    fn a_server_without_certificates_has_no_time_at_which_they_expire() {
        let status = Status::default();
        assert_eq!(status.certificate_expires_s(), None);
        status.certificates_expire(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
        assert_eq!(status.certificate_expires_s(), Some(1_800_000_000));
        status.certificates_expire(None);
        assert_eq!(status.certificate_expires_s(), None);
    }
}
