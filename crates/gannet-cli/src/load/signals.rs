//! Signals while a load runs: the first ends the run early, a later one ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// As the engine has it: `timeout` and others send a signal to a process and then to its group, so that it has it twice.
const TOGETHER: Duration = Duration::from_millis(100);

/// Sets the flag at the first signal, from a thread that waits for it.
///
/// # Errors
///
/// The system has no room for that.
pub(super) fn watch() -> Result<Arc<AtomicBool>, Failure> {
    let failed = |error| Failure::Output(format!("signals cannot be handled: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let wait = move || {
        if signals.forever().next().is_some() {
            flag.store(true, Ordering::Relaxed);
        }
        #[allow(clippy::disallowed_methods, reason = "here the time is the thing that is waited for")]
        std::thread::sleep(TOGETHER);
        signals.pending().for_each(drop);
        if signals.forever().next().is_some() {
            std::process::exit(1);
        }
    };
    std::thread::Builder::new().name("gannet-signals".to_owned()).spawn(wait).map_err(failed)?;
    Ok(stop)
}
