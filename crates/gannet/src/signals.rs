//! Signals: the first asks for a shutdown, the second does not ask.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Error, Result};
use crate::remote::Remote;

/// Shuts the engine down on SIGTERM or SIGINT, from a thread that waits for them.
pub(crate) fn stop_on_signals(remote: Remote) -> Result<()> {
    let failed = |error| Error::Setting(format!("signals cannot be handled: {error}"));
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    let watch = move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            tracing::info!("shutting down: no more connections are accepted; a second signal ends at once");
            remote.stop();
        }
        if signals.next().is_some() {
            tracing::warn!("second signal: ending at once");
            std::process::exit(1);
        }
    };
    std::thread::Builder::new().name("gannet-signals".to_owned()).spawn(watch).map_err(failed)?;
    Ok(())
}
