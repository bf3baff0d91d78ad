//! What a listener of an engine may be told beside its address.

use std::time::Duration;

/// Says where a service listens, and what is special about that listener. An address alone is one without specials:
/// [`Engine::listen`](crate::Engine::listen) takes either.
///
/// ```
/// use std::time::Duration;
///
/// use gannet::ListenOptions;
///
/// let options = ListenOptions::at("tcp://127.0.0.1:7000").keepalive(Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a service listens with them"]
pub struct ListenOptions {
    pub(crate) url: String,
    pub(crate) operational: bool,
    /// Connections at a time; 0 is no limit.
    pub(crate) connections: u32,
    pub(crate) connections_per_peer: u32,
    /// Where it is not the engine's.
    pub(crate) keepalive: Option<Option<Duration>>,
}

impl ListenOptions {
    /// Names the address to listen on: `tcp://host:port`, `tls://host:port`, `unix:///path` or `udp://host:port`.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), operational: false, connections: 0, connections_per_peer: 0, keepalive: None }
    }

    /// Marks a listener for whoever has to reach the server when it is full: health checks, metrics, an operator's login.
    ///
    /// It may go beyond the engine's limits by [`Limits::operational_reserve`](crate::Limits). Where descriptors are short,
    /// some are left for it, and the limit on accepts a second is not for it. Its connections count like all others, so give
    /// it an address that only operators reach.
    pub fn operational(mut self) -> Self {
        self.operational = true;
        self
    }

    /// Limits the connections of this listener at a time, beside the engine's own limit; 0 is no limit (default). One more
    /// is refused with a reset and counted as [`Refusal::Listener`](crate::Refusal::Listener).
    pub fn connections(mut self, most: u32) -> Self {
        self.connections = most;
        self
    }

    /// Limits the connections of this listener from one IP address at a time, beside the engine's own limit; 0 is no limit
    /// (default). One more is refused with a reset and counted as
    /// [`Refusal::ListenerPeer`](crate::Refusal::ListenerPeer).
    pub fn connections_per_peer(mut self, most: u32) -> Self {
        self.connections_per_peer = most;
        self
    }

    /// Sets this listener's time for [`Engine::keepalive`](crate::Engine::keepalive); `None` turns keepalive off for it.
    pub fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = Some(after);
        self
    }
}

impl From<&str> for ListenOptions {
    fn from(url: &str) -> Self {
        Self::at(url)
    }
}

impl From<&String> for ListenOptions {
    fn from(url: &String) -> Self {
        Self::at(url)
    }
}

impl From<String> for ListenOptions {
    fn from(url: String) -> Self {
        Self::at(url)
    }
}
