//! The errors behind the reasons of connections that close. Used on the reactor's thread.
//!
//! A connection has no room for one: idle connections would pay for it. The few that close because of an error have it here,
//! from the moment in which that is known until their session was told.

use std::collections::HashMap;
use std::error::Error;

use crate::close_reason::CloseReason;
use crate::ids::Token;

/// Any error.
pub(crate) type Cause = Box<dyn Error>;

/// One for each connection that closes because of an error: at most as many as there are connections.
#[derive(Default)]
pub(crate) struct Causes(HashMap<Token, (CloseReason, Cause)>);

impl Causes {
    /// Notes why a connection closes, in place of what was noted before.
    pub(crate) fn note(&mut self, token: Token, reason: CloseReason, cause: Cause) {
        self.0.insert(token, (reason, cause));
    }

    /// The error behind a reason. There is none where a later reason took the place of the one that had it.
    pub(crate) fn of(&self, token: Token, reason: CloseReason) -> Option<&(dyn Error + 'static)> {
        self.0.get(&token).filter(|(noted, _)| *noted == reason).map(|(_, cause)| &**cause)
    }

    /// Forgets a connection.
    #[inline]
    pub(crate) fn forget(&mut self, token: Token) {
        if !self.0.is_empty() {
            self.0.remove(&token);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
