//! How a server ended: what it had served, and how long it took to stop after it was told to.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use gannet::Remote;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::stats::Totals;
use crate::systemd;

/// What a log with a thread of its own gets to write its last line: nothing is flushed when the process ends.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Ends the process after a second signal, whatever is still under way.
pub(crate) fn at_once() -> ! {
    // Not `sleep`: signals that come without end would keep this thread in it, since it begins anew after each.
    std::thread::park_timeout(LAST_WORDS);
    std::process::exit(1)
}

/// Notes when the first signal to stop came. The engine does what the signal asks for.
pub(crate) struct Ending {
    asked: Arc<OnceLock<Instant>>,
}

impl Ending {
    /// Starts to watch. Where that is impossible the time is not known, and nothing else is lost.
    pub(crate) fn watch() -> Self {
        let asked = Arc::new(OnceLock::new());
        let note = asked.clone();
        let watching = Signals::new([SIGTERM, SIGINT]).and_then(|mut signals| {
            std::thread::Builder::new().name("gannet-ending".to_owned()).spawn(move || {
                if signals.forever().next().is_some() {
                    #[allow(clippy::disallowed_methods)] // For the log only: no decision hangs on it.
                    let _ = note.set(Instant::now());
                    systemd::notify("STOPPING=1");
                }
            })
        });
        if let Err(error) = watching {
            tracing::warn!(%error, "signals cannot be watched: the log will not say how long the drain took");
        }
        Self { asked }
    }

    /// Whether a signal has asked for the end.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.get().is_some()
    }

    /// Says in the log how it ended, once it has.
    pub(crate) fn log(&self, remote: &Remote) {
        let totals = Totals::of(remote);
        let drained = self.asked.get().map(Instant::elapsed).unwrap_or_default();
        tracing::info!(
            connections = totals.accepted,
            messages_in = totals.messages_in,
            messages_out = totals.messages_out,
            drained_ms = drained.as_millis() as u64,
            "stopped"
        );
    }
}
