//! Why a session cannot go on.

use std::error::Error as StdError;
use std::io;

use crate::close_reason::CloseReason;
use crate::group::JoinError;
use crate::handle::SendError;
use crate::offload::OffloadFull;

/// The result of a session, and of what it awaits.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// The close reason of a session that ended with an error of its own.
pub(super) const FAILED: CloseReason = CloseReason::Other("session_failed");

/// Says why a session cannot go on; a session that returns it closes its connection.
///
/// What was sent before still leaves. The close reason is `protocol` or `frame_too_large` for [`Codec`](Self::Codec), that of
/// the connection for [`Closed`](Self::Closed), and `session_failed` for all others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer sent bytes that the codec rejects. The error is the codec's: [`Codec::Error`](crate::proto::Codec::Error).
    #[error("the codec rejected what the peer sent: {0}")]
    Codec(#[source] Box<dyn StdError>),
    /// The connection takes no output any more: it is closing.
    #[error("the connection is closing")]
    Closed,
    /// The codec cannot encode the message; nothing was sent.
    #[error("the codec cannot encode the message")]
    Unencodable,
    /// The time of [`within`](super::within) is over.
    #[error(transparent)]
    Elapsed(#[from] Elapsed),
    /// The connection could not join a group.
    #[error("joining a group: {0}")]
    Join(#[from] JoinError),
    /// A message for other connections was not delivered to all of them.
    #[error("sending to others: {0}")]
    Send(#[from] SendError),
    /// An offload pool takes no more jobs.
    #[error(transparent)]
    Offload(#[from] OffloadFull),
    /// A system call failed, for example to connect to another server.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An outbound connection broke before its peer ended the stream: see [`Upstream::next`](super::Upstream::next).
    #[error("the outbound connection broke: {}", .0.name())]
    Broken(CloseReason),
    /// Anything else that a session gives up for; [`Error::other`] makes it.
    #[error("{0}")]
    Other(#[source] Box<dyn StdError>),
}

impl Error {
    /// Wraps an error of the application, or a text.
    pub fn other(error: impl Into<Box<dyn StdError>>) -> Self {
        Self::Other(error.into())
    }
}

/// Says that the time of [`within`](super::within) was over before its future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is over")]
pub struct Elapsed;
