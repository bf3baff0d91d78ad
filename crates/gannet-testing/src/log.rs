//! A log in memory.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::until;

/// Keeps what is logged. Its clones are one log: give them as writers to a subscriber of `tracing`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Gives what was logged so far.
    ///
    /// # Panics
    ///
    /// Panics if it is not text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panics with it").clone()).expect("it is text")
    }

    /// Waits until something is logged, takes it out of the log, and gives it.
    ///
    /// # Panics
    ///
    /// Panics if nothing is logged for [`PATIENCE`](crate::PATIENCE), or if it is not text.
    #[must_use]
    pub fn wait(&self) -> String {
        let mut logged = Vec::new();
        until("a line of the log", || {
            logged = std::mem::take(&mut *self.0.lock().expect("nobody panics with it"));
            !logged.is_empty()
        });
        String::from_utf8(logged).expect("it is text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
