//! What is printed on standard output: a report, the help.

use std::io::{ErrorKind, Write};

use crate::failure::Failure;

/// Prints. Nobody has to read it: where the reader has gone, nothing is wrong.
///
/// # Errors
///
/// It cannot be written for another reason: the disk is full, for example.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    // What the standard library still holds at the end of the process would be lost without a word.
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What came of printing in another way.
///
/// # Errors
///
/// As [`print`].
pub(crate) fn written(outcome: std::io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Output(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
