//! SIGHUP asks for a reload. One that comes while another reload is under way waits for its turn; several that wait are one.

use std::thread::{Builder, JoinHandle};

use serde_json::json;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::{Handle, Signals};

use crate::audit::Who;
use crate::control::{Control, ReloadOrder};

/// The thread that waits for SIGHUP, until this is dropped.
pub(crate) struct Hangups {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Hangups {
    /// Begins to wait. Where that is impossible, the log says so.
    pub(crate) fn watch(control: &Control) -> Option<Self> {
        let control = control.clone();
        let watching = Signals::new([SIGHUP]).and_then(|mut signals| {
            let handle = signals.handle();
            let body = move || {
                for _ in signals.forever() {
                    let outcome = control.reload_in_turn(ReloadOrder::default());
                    // What is wrong with a configuration is in the log already.
                    if let Err(refused) = &outcome
                        && refused.code != "invalid"
                    {
                        tracing::warn!("not reloaded, everything stays as it was: {refused}");
                    }
                    control.audit().order("reload", &Who::signal(), json!({ "strict": false }), &outcome);
                }
            };
            let thread = Builder::new().name("gannet-hangup".to_owned()).spawn(body)?;
            Ok(Self { handle, thread: Some(thread) })
        });
        watching.inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be handled")).ok()
    }
}

impl Drop for Hangups {
    fn drop(&mut self) {
        self.handle.close();
        // A reload that waits for a file is not waited for.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            // It has nothing to report: a panic there was printed when it happened.
            let _ = thread.join();
        }
    }
}
