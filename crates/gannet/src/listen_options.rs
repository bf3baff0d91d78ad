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
    /// Where it is not the engine's.
    pub(crate) keepalive: Option<Option<Duration>>,
}

impl ListenOptions {
    /// Names the address to listen on: `tcp://host:port`, `tls://host:port`, `unix:///path` or `udp://host:port`.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), keepalive: None }
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
