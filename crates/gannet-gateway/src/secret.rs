//! Texts that nobody may read in a log: keys, passwords and tokens.

use std::fmt::{self, Debug, Formatter};

use aws_lc_rs::constant_time::verify_slices_are_equal;

/// Holds a key or a password; `Debug` shows only that there is one.
///
/// It has no `Display`, so no error text can contain it by accident.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes over a text as a secret.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Compares with what a client sent, in a time that depends on the length only.
    #[must_use]
    pub fn is(&self, sent: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), sent).is_ok()
    }

    /// Gives the text for the place that needs it: a signature, or a header of a request. Never pass it to a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Tells whether the text is empty, which protects nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_by_debug_alone_or_inside_of_others() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?} {:#?}", Some(&secret), [&secret]).matches("hunter2").count(), 0);
    }

    #[test]
    fn only_the_same_bytes_are_the_secret() {
        let secret = Secret::new("hunter2");
        assert!(secret.is(b"hunter2"));
        for other in [&b"hunter3"[..], b"hunter", b"hunter22", b"", b"HUNTER2"] {
            assert!(!secret.is(other), "{other:?}");
        }
    }
}
