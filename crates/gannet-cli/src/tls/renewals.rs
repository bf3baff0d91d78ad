//! Certificates are read again when a file of theirs changes. All of it happens on threads of its own: no reactor waits for a
//! file. A reload of the configuration reads them too, without these threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use gannet_tls::TlsError;

use super::watch::{Seen, Watch};
use super::{Sources, Tls};
use crate::status::Status;

/// Whoever renews a certificate writes several files: they are read when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(300);

/// They are read after so long even if something always happens, as in a folder with much else in it.
const LONGEST: Duration = Duration::from_secs(2);

/// The end waits so long for a reload: where a file cannot be read, as on a network folder whose server is gone, there may
/// never be one.
const LAST: Duration = Duration::from_secs(1);

/// The thread that renews the certificates of a profile, until this is dropped.
pub(crate) struct Renewals {
    reloading: Option<JoinHandle<()>>,
    /// Nothing is said here; it closes when nothing is reloaded any more.
    reloaded: Receiver<()>,
    files: String,
    bell: Bell,
}

/// Wakes the thread that reloads. It has room for one ring: who rings twice is answered once.
#[derive(Clone)]
struct Bell {
    wake: SyncSender<()>,
    stop: Arc<AtomicBool>,
}

impl Bell {
    fn ring(&self) {
        // Where it is full, it will be answered.
        let _ = self.wake.try_send(());
    }
}

impl Renewals {
    /// Begins to watch the files of a profile. What cannot be watched is said in the log.
    pub(crate) fn start(tls: Tls) -> Self {
        let (wake, woken) = sync_channel(1);
        let bell = Bell { wake, stop: Arc::default() };
        let sources = tls.sources().clone();
        let files = sources.named();
        let (reloads, reloaded) = sync_channel::<()>(0);
        let body = {
            let bell = bell.clone();
            move || {
                answer(&tls, &sources, &bell, &woken);
                drop(reloads);
            }
        };
        let reloading = Builder::new().name("gannet-renewal".to_owned()).spawn(body);
        let reloading = reloading
            .inspect_err(
                |error| tracing::warn!(%error, "the thread for renewals cannot start: certificates stay as they are"),
            )
            .ok();
        Self { reloading, reloaded, files, bell }
    }
}

impl Drop for Renewals {
    fn drop(&mut self) {
        self.bell.stop.store(true, Ordering::Release);
        self.bell.ring();
        let Some(thread) = self.reloading.take() else { return };
        match self.reloaded.recv_timeout(LAST) {
            Err(RecvTimeoutError::Timeout) => {
                let files = &self.files;
                tracing::warn!(files, "a TLS file is still being read; nobody waits for it any more");
            }
            // It has nothing to report: a panic there was printed when it happened.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => drop(thread.join()),
        }
    }
}

/// Reloads when files have changed, until it is stopped.
fn answer(tls: &Tls, sources: &Sources, bell: &Bell, woken: &Receiver<()>) {
    let Some(mut watch) = watch(sources, bell) else { return };
    let mut seen = sources.seen.clone();
    // They are watched from the first look on, which also sees what has changed since they were read.
    bell.ring();
    // The ring that goes with a stop may have been heard while waiting for quiet: so it is looked for before and after.
    while !bell.stop.load(Ordering::Acquire) && woken.recv().is_ok() && !bell.stop.load(Ordering::Acquire) {
        wait_for_quiet(bell, woken);
        if bell.stop.load(Ordering::Acquire) {
            return;
        }
        // What is being replaced right now may be gone between a look and the next: then there is something else.
        if let Err(error) = watch.renew().or_else(|_| watch.renew()) {
            tracing::warn!(%error, "not all TLS files are watched: reload with SIGHUP");
        }
        let now = Seen::of(&sources.paths);
        if now != seen {
            seen = now;
            reload(tls);
        }
    }
}

/// Waits until nothing has happened for a while, or for too long, or something that is not to wait.
#[allow(clippy::disallowed_methods)] // How long files are in motion: no reactor and no service sees it.
fn wait_for_quiet(bell: &Bell, woken: &Receiver<()>) {
    let began = Instant::now();
    while began.elapsed() < LONGEST && !bell.stop.load(Ordering::Acquire) {
        if woken.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn reload(tls: &Tls) {
    let files = tls.sources().named();
    match tls.reload() {
        Ok(certificates) => {
            tls.said(Status::renewed);
            log_success(&files, &certificates);
        }
        Err(error) => {
            tls.said(Status::renewal_failed);
            log_failure(&error);
        }
    }
}

/// Says that other certificates are in use.
pub(super) fn log_success(files: &str, certificates: &str) {
    tracing::info!(files, certificates, "TLS reloaded: new connections use the new certificates");
}

/// Says that the certificates stayed as they were, and why.
pub(crate) fn log_failure(error: &TlsError) {
    match error {
        TlsError::NotValid { .. } => tracing::error!(
            %error,
            "TLS not reloaded, the previous certificates stay in use; --tls-accept-expired accepts the new ones"
        ),
        error => tracing::error!(%error, "TLS not reloaded, the previous certificates stay in use"),
    }
}

fn watch(sources: &Sources, bell: &Bell) -> Option<Watch> {
    if sources.paths.is_empty() {
        return None;
    }
    let bell = bell.clone();
    let started = Watch::new(sources.paths.clone(), move || bell.ring());
    started.inspect_err(|error| tracing::warn!(%error, "TLS files are not watched: reload with SIGHUP")).ok()
}
