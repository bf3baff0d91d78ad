//! Signals: the first asks for a shutdown, the second does not wait for it. Those that come with the first are one with it.

use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::ending::Ending;
use crate::error::{Error, Result, hint};
use crate::remote::Remote;

/// Signals within this time of the first are no second one: `timeout`, terminals in front of `npm` and others send one to a
/// process and then to its group, so that it has it twice.
const TOGETHER: Duration = Duration::from_millis(100);

/// Shuts the engine down on SIGTERM or SIGINT, from a thread that waits for them; what is told to new clients in the
/// delay before that is [`Remote::is_stopping`]. The second signal ends all waiting.
pub(crate) fn stop_on_signals(remote: Remote, ending: Arc<Ending>) -> Result<()> {
    let failed = |error| Error::Setting(format!("signals cannot be handled: {error}{}", hint(&error)));
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    let watch = move || {
        if signals.forever().next().is_some() {
            stop(&remote, remote.drain_delay());
        }
        pass(TOGETHER);
        signals.pending().for_each(drop);
        if signals.forever().next().is_some() {
            tracing::warn!("second signal: ending at once");
            ending.interrupt();
            remote.abort();
        }
    };
    std::thread::Builder::new().name("gannet-signals".to_owned()).spawn(watch).map_err(failed)?;
    Ok(())
}

/// Lets this thread wait for nothing but the time: no reactor runs on it.
#[allow(clippy::disallowed_methods, reason = "here the time is the thing that is waited for")]
fn pass(time: Duration) {
    std::thread::sleep(time);
}

fn stop(remote: &Remote, delay: Duration) {
    if delay.is_zero() {
        tracing::info!("shutting down: no more connections are accepted; a second signal ends at once");
        return remote.stop();
    }
    let delay_ms = delay.as_millis() as u64;
    tracing::info!(delay_ms, "shutting down after the delay: not ready for new clients; a second signal ends at once");
    remote.stop_after(delay);
}
