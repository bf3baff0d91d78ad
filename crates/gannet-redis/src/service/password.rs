//! What clients have to say before anything else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The password, or none; it may change while the server runs.
#[derive(Default)]
pub(crate) struct Password {
    is_set: AtomicBool,
    text: Mutex<String>,
}

impl Password {
    pub(crate) fn new(text: Option<String>) -> Self {
        let password = Self::default();
        password.set(text.unwrap_or_default());
        password
    }

    /// Whether there is one.
    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Sets it; an empty one is none. Who has said the old one need not say the new one.
    pub(crate) fn set(&self, text: String) {
        let mut current = self.lock();
        self.is_set.store(!text.is_empty(), Ordering::Release);
        *current = text;
    }

    /// What it is: Redis shows it to those who know it.
    pub(crate) fn text(&self) -> String {
        self.lock().clone()
    }

    /// Whether it is this, in a time that does not depend on where they differ.
    pub(crate) fn is(&self, guess: &[u8]) -> bool {
        let text = self.lock();
        let text = text.as_bytes();
        let at = |index| text.get(index).copied().unwrap_or(0);
        let differing = guess.iter().enumerate().fold(0, |differing, (index, byte)| differing | (byte ^ at(index)));
        differing == 0 && guess.len() == text.len()
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.is_set() { "Password(set)" } else { "Password(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_is_the_password() {
        let password = Password::new(Some("secret".to_owned()));
        assert!(password.is_set() && password.is(b"secret"));
        for guess in ["", "secre", "secret1", "secreT", "secret\0"] {
            assert!(!password.is(guess.as_bytes()), "{guess:?}");
        }
        password.set(String::new());
        assert!(!password.is_set());
    }
}
