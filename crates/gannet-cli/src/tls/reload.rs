//! Certificates are read again when a file of theirs changes, and on SIGHUP. All of it happens on threads of its own: no
//! reactor waits for a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use gannet_tls::TlsError;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::{Handle, Signals};

use super::Tls;
use super::watch::{Seen, Watch};
use crate::status::Status;

/// Whoever renews a certificate writes several files: they are read when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(300);

/// They are read after so long even if something always happens, as in a folder with much else in it.
const LONGEST: Duration = Duration::from_secs(2);

/// The end waits so long for a reload: where a file cannot be read, as on a network folder whose server is gone, there may
/// never be one.
const LAST: Duration = Duration::from_secs(1);

/// The threads that reload, until this is dropped.
pub(crate) struct Reloads {
    signals: Option<(Handle, JoinHandle<()>)>,
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
    /// SIGHUP came: everything is read again, changed or not.
    asked: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Bell {
    fn ring(&self) {
        // Where it is full, it will be answered.
        let _ = self.wake.try_send(());
    }
}

impl Reloads {
    /// Begins to watch. Without TLS, SIGHUP is only logged. What cannot be watched is said in the log.
    pub(crate) fn start(tls: Option<Tls>) -> Self {
        let (wake, woken) = sync_channel(1);
        let bell = Bell { wake, asked: Arc::default(), stop: Arc::default() };
        let files = tls.as_ref().map(files).unwrap_or_default();
        let (reloads, reloaded) = sync_channel::<()>(0);
        let body = {
            let bell = bell.clone();
            move || {
                answer(tls.as_ref(), &bell, &woken);
                drop(reloads);
            }
        };
        let reloading = Builder::new().name("gannet-reload".to_owned()).spawn(body);
        let reloading = reloading
            .inspect_err(
                |error| tracing::warn!(%error, "the thread for reloads cannot start: certificates stay as they are"),
            )
            .ok();
        let mut reloads = Self { signals: None, reloading, reloaded, files, bell: bell.clone() };
        let watching = Signals::new([SIGHUP]).and_then(|mut signals| {
            let handle = signals.handle();
            let body = move || {
                for _ in signals.forever() {
                    bell.asked.store(true, Ordering::Release);
                    bell.ring();
                }
            };
            Builder::new().name("gannet-hangup".to_owned()).spawn(body).map(|thread| (handle, thread))
        });
        match watching {
            Ok(signals) => reloads.signals = Some(signals),
            Err(error) => tracing::warn!(%error, "SIGHUP cannot be handled"),
        }
        reloads
    }
}

impl Drop for Reloads {
    fn drop(&mut self) {
        self.bell.stop.store(true, Ordering::Release);
        self.bell.ring();
        // Threads have nothing to report: a panic there was printed when it happened.
        if let Some((handle, thread)) = self.signals.take() {
            handle.close();
            let _ = thread.join();
        }
        let Some(thread) = self.reloading.take() else { return };
        match self.reloaded.recv_timeout(LAST) {
            Err(RecvTimeoutError::Timeout) => {
                let files = &self.files;
                tracing::warn!(files, "a TLS file is still being read; the server stops without waiting for it");
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => drop(thread.join()),
        }
    }
}

/// Reloads when it is asked to, until it is stopped.
fn answer(tls: Option<&Tls>, bell: &Bell, woken: &Receiver<()>) {
    let mut watch = tls.and_then(|tls| watch(tls, bell));
    let mut seen = tls.map(|tls| tls.seen.clone());
    if watch.is_some() {
        // They are watched from the first look on, which also sees what has changed since they were read.
        bell.ring();
    }
    // The ring that goes with a stop may have been heard while waiting for quiet: so it is looked for before and after.
    while !bell.stop.load(Ordering::Acquire) && woken.recv().is_ok() && !bell.stop.load(Ordering::Acquire) {
        let mut asked = bell.asked.swap(false, Ordering::AcqRel);
        if !asked {
            wait_for_quiet(bell, woken);
            asked = bell.asked.swap(false, Ordering::AcqRel);
        }
        let Some(tls) = tls else {
            if asked {
                tracing::info!("SIGHUP: nothing to reload, because nothing is served with TLS");
            }
            continue;
        };
        if let Some(watch) = &mut watch
            // What is being replaced right now may be gone between a look and the next: then there is something else.
            && let Err(error) = watch.renew().or_else(|_| watch.renew())
        {
            tracing::warn!(%error, "not all TLS files are watched: reload with SIGHUP");
        }
        let now = Some(Seen::of(&tls.paths));
        if asked || now != seen {
            seen = now;
            reload(tls);
        }
    }
}

/// Waits until nothing has happened for a while, or for too long, or something that is not to wait.
#[allow(clippy::disallowed_methods)] // How long files are in motion: no reactor and no service sees it.
fn wait_for_quiet(bell: &Bell, woken: &Receiver<()>) {
    let began = Instant::now();
    while began.elapsed() < LONGEST && !bell.asked.load(Ordering::Acquire) && !bell.stop.load(Ordering::Acquire) {
        if woken.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn reload(tls: &Tls) {
    let files = files(tls);
    if files.is_empty() {
        tracing::info!("SIGHUP: nothing to reload, because the certificate was made at the start");
        return;
    }
    let reloaded = tls.reload();
    if reloaded.is_err() {
        tls.said(Status::reload_failed);
    }
    match reloaded {
        Ok(certificates) => {
            tls.said(|status| status.reloaded(status.reload().generation));
            tracing::info!(files, certificates, "TLS reloaded: new connections use the new certificates")
        }
        Err(error @ TlsError::NotValid { .. }) => tracing::error!(
            files,
            %error,
            "TLS not reloaded, the previous certificates stay in use; --tls-accept-expired accepts the new ones"
        ),
        Err(error) => tracing::error!(%error, "TLS not reloaded, the previous certificates stay in use"),
    }
}

/// All of them, for the log.
fn files(tls: &Tls) -> String {
    tls.paths.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn watch(tls: &Tls, bell: &Bell) -> Option<Watch> {
    if tls.paths.is_empty() {
        return None;
    }
    let bell = bell.clone();
    let started = Watch::new(tls.paths.clone(), move || bell.ring());
    started.inspect_err(|error| tracing::warn!(%error, "TLS files are not watched: reload with SIGHUP")).ok()
}
