//! Why a connection was closed.

use std::io;

/// Says why a connection was closed: to [`Service::close`](crate::Service::close), and in the counters.
///
/// If there is an error behind it, [`Context::close_cause`](crate::Context::close_cause) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer ended its stream, and all replies were sent or had no more time.
    Peer,
    /// The service closed it, or another thread did through [`Remote::close`](crate::Remote::close).
    Service,
    /// The service refused it in [`Service::open`](crate::Service::open), or the client that its PROXY header names may not
    /// connect; [`RefusalReason`](crate::RefusalReason) says why.
    Refused,
    /// Nothing was received, or nothing sent, or neither, for the time in [`Timeouts`](crate::Timeouts).
    Idle,
    /// More heartbeats went unanswered than [`Timeouts::heartbeats_missed`](crate::Timeouts) allows.
    HeartbeatMissed,
    /// The handshake of the filter (TLS), or the first complete message, did not come in time.
    ///
    /// See [`Timeouts::handshake`](crate::Timeouts) and [`Timeouts::first_message`](crate::Timeouts).
    OpeningTimeout,
    /// A message is larger than the codec or [`Limits::carry`](crate::Limits) allows.
    FrameTooLarge,
    /// The codec rejected what the peer sent.
    Protocol,
    /// The outbox went over [`Limits::outbox_hard`](crate::Limits).
    Slow,
    /// The kernel took nothing of a waiting outbox for [`Timeouts::slow_write`](crate::Timeouts).
    SlowWrite,
    /// The engine shut down.
    Shutdown,
    /// The service, or a job that it offloaded, panicked while it worked for this connection.
    Panicked,
    /// An outbound connection was not established, for this reason.
    ConnectFailed(io::ErrorKind),
    /// The kernel reported an error, for example a reset by the peer.
    Io(io::ErrorKind),
    /// The filter rejected what the peer sent: for TLS, a handshake that failed or a broken record.
    Filter,
    /// The peer stopped in the middle of a large message while there was no room for all of them
    /// ([`Limits::carries`](crate::Limits)).
    InputStalled,
    /// The codec broke its contract: it took no bytes for a message, or more than there were. This is a bug in the codec.
    Codec,
    /// The listener requires a header of the PROXY protocol, and what came was none ([`ProxyProtocol`](crate::ProxyProtocol)).
    ProxyHeader,
    /// The service closed it for a reason of its own, with [`Context::close_because`](crate::Context::close_because).
    ///
    /// The services of a process may have 16 such names. A further name, or one that the engine has itself, becomes
    /// [`CloseReason::Service`].
    Other(&'static str),
}

impl CloseReason {
    /// How many the engine has, for counters.
    pub(crate) const COUNT: usize = 18;

    /// Those without data.
    pub(crate) const PLAIN: [Self; Self::COUNT - 2] = [
        Self::Peer,
        Self::Service,
        Self::Refused,
        Self::Idle,
        Self::HeartbeatMissed,
        Self::OpeningTimeout,
        Self::FrameTooLarge,
        Self::Protocol,
        Self::Slow,
        Self::SlowWrite,
        Self::Shutdown,
        Self::Panicked,
        Self::Filter,
        Self::InputStalled,
        Self::Codec,
        Self::ProxyHeader,
    ];

    /// Names of all, in the order of [`CloseReason::index`].
    pub(crate) const NAMES: [&'static str; Self::COUNT] = [
        "peer",
        "service",
        "refused",
        "idle",
        "heartbeat_missed",
        "opening_timeout",
        "frame_too_large",
        "protocol",
        "slow",
        "slow_write",
        "shutdown",
        "panicked",
        "connect_failed",
        "io_error",
        "filter",
        "input_stalled",
        "codec",
        "proxy_header",
    ];

    /// The place of this reason in counters; `None` for a service's own.
    pub(crate) fn index(self) -> Option<usize> {
        Some(match self {
            Self::Peer => 0,
            Self::Service => 1,
            Self::Refused => 2,
            Self::Idle => 3,
            Self::HeartbeatMissed => 4,
            Self::OpeningTimeout => 5,
            Self::FrameTooLarge => 6,
            Self::Protocol => 7,
            Self::Slow => 8,
            Self::SlowWrite => 9,
            Self::Shutdown => 10,
            Self::Panicked => 11,
            Self::ConnectFailed(_) => 12,
            Self::Io(_) => 13,
            Self::Filter => 14,
            Self::InputStalled => 15,
            Self::Codec => 16,
            Self::ProxyHeader => 17,
            Self::Other(_) => return None,
        })
    }

    /// Returns the name in logs and metrics, such as `heartbeat_missed`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match (self, self.index()) {
            (Self::Other(name), _) => name,
            (_, index) => Self::NAMES[index.unwrap_or_default()],
        }
    }

    /// Whether it promises that everything accepted was handed over before the end.
    pub(crate) fn is_orderly(self) -> bool {
        matches!(self, Self::Peer | Self::Service | Self::Idle | Self::Shutdown | Self::Other(_))
    }

    /// Whether the connection should end by a reset: its peer has no claim on a clean end, or would not read it.
    pub(crate) fn resets(self) -> bool {
        matches!(self, Self::Slow | Self::SlowWrite | Self::Refused | Self::InputStalled)
    }
}
