//! Why a pool could not be made, and why a call got no reply.

use thiserror::Error as ThisError;

/// Says why a pool or a client could not be made.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A setting leaves no room for anything, or contradicts another one.
    #[error("the pool's settings are unusable: {0}")]
    Setting(String),
    /// There is no endpoint, or one that cannot be connected to.
    #[error("the endpoint {url:?} cannot be used: {why}")]
    Endpoint {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// No connection became ready in time.
    #[error("no connection to {endpoint} became ready: {why}")]
    NotReady {
        /// The endpoints that were tried.
        endpoint: String,
        /// The last failure.
        why: String,
    },
    /// The engine refused the pool's service, or did not start.
    #[error(transparent)]
    Engine(#[from] gannet::Error),
}

/// Says why a call got no reply, and whether its request may have reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum CallError {
    /// The reply did not come in time. The server may have executed the request.
    #[error("no reply came in time; the server may have executed the request")]
    TimedOut,
    /// The connection ended before the reply. The server may have executed the request.
    #[error("the connection ended before the reply ({0}); the server may have executed the request")]
    Lost(Loss),
    /// No connection had room in time. The request was not sent.
    #[error("no connection had room in time; the request was not sent")]
    NoConnection,
    /// As many calls wait as [`Settings::waiters`](crate::Settings::waiters) allows. The request was not sent.
    #[error("too many calls wait for a connection; the request was not sent")]
    QueueFull,
    /// The circuit breaker of every endpoint is open. The request was not sent.
    #[error("every endpoint is out of service; the request was not sent")]
    Unavailable,
    /// The pool is closing, or its engine has ended. The request was not sent.
    #[error("the pool is closing; the request was not sent")]
    Closing,
    /// The protocol cannot express the request. It was not sent.
    #[error("the protocol cannot express the request; it was not sent")]
    Unencodable,
    /// The pool has no part on this thread: its engine does not run here, or has not started. The request was not sent.
    #[error("the pool has no part on this thread; call it on a reactor of its engine, or through a Client")]
    NotHere,
}

impl CallError {
    /// Returns whether the request may have reached the server. If not, it is safe to call again.
    #[must_use]
    pub const fn was_sent(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Lost(_))
    }
}

/// Says why a connection ended: inside [`CallError::Lost`], and in the pool's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// It could not be opened.
    Connect,
    /// The protocol's handshake failed: a wrong password, for example.
    Handshake,
    /// The server ended it, or the network did.
    Peer,
    /// The server sent what the protocol does not allow, or a reply too many.
    Protocol,
    /// Too many requests on it timed out, or the reply to one is overdue by as long again.
    Stalled,
    /// The reply to a ping or a reset did not come.
    Check,
    /// It was too old, idle for too long, or not needed any more. No call was in flight.
    Retired,
    /// A lease was dropped in the middle of a request.
    Lease,
    /// The pool is closing.
    Closing,
}

impl Loss {
    /// How many there are.
    pub(crate) const COUNT: usize = 9;

    /// All of them, in the order of [`index`](Self::index).
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Connect,
        Self::Handshake,
        Self::Peer,
        Self::Protocol,
        Self::Stalled,
        Self::Check,
        Self::Retired,
        Self::Lease,
        Self::Closing,
    ];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Returns the name that metrics and logs use, as `peer` or `stalled`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Peer => "peer",
            Self::Protocol => "protocol",
            Self::Stalled => "stalled",
            Self::Check => "check",
            Self::Retired => "retired",
            Self::Lease => "lease",
            Self::Closing => "closing",
        }
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_where_their_index_says() {
        assert!(Loss::ALL.iter().enumerate().all(|(index, loss)| loss.index() == index));
    }
}
