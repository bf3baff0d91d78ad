//! What a panic said, for the log and for who asks why a connection closes.

use std::any::Any;

/// Returns the message of a panic that [`catch_unwind`](std::panic::catch_unwind) caught, or a note that it has none.
///
/// ```
/// let caught = std::panic::catch_unwind(|| panic!("{} is odd", 3)).unwrap_err();
/// assert_eq!(gannet::panic_message(&*caught), "3 is odd");
/// ```
#[must_use]
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    match payload.downcast_ref::<&'static str>() {
        Some(message) => message,
        None => payload.downcast_ref::<String>().map_or("a panic without a message", String::as_str),
    }
}

/// A service or a job panicked, and said this.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Panicked(String);

impl Panicked {
    pub(crate) fn of(payload: &(dyn Any + Send)) -> Self {
        Self(panic_message(payload).to_owned())
    }
}
