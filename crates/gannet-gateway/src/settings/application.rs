//! Settings of the calls to the application.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use crate::outgoing::{Endpoint, Trust};

/// An event that the application is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// A client without a token connects.
    Connect,
    /// A connection expires.
    Refresh,
    /// A client subscribes.
    Subscribe,
    /// A subscription expires.
    SubRefresh,
    /// A client publishes.
    Publish,
    /// A client calls a procedure.
    Rpc,
}

impl EventKind {
    /// All events.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Refresh, Self::Subscribe, Self::SubRefresh, Self::Publish, Self::Rpc];

    /// Returns the name, such as `sub_refresh`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Subscribe => "subscribe",
            Self::SubRefresh => "sub_refresh",
            Self::Publish => "publish",
            Self::Rpc => "rpc",
        }
    }
}

impl Display for EventKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|event| event.name() == text);
        found.ok_or_else(|| format!("'{text}' is not an event; there are {}", all()))
    }
}

/// Which events the application is asked about, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApplicationSettings {
    /// The URL of each event that is asked about. Without one, the gateway decides by itself.
    pub endpoints: Vec<(EventKind, Endpoint)>,
    /// Headers of the client's request that go along; no others do.
    pub headers: Vec<String>,
    /// How long a response is waited for. Default: 1 s.
    pub timeout: Duration,
    /// Requests at a time, over all events. Default: 64, as many as the engine has threads that may wait. Beyond it, the client
    /// gets the temporary error 100 at once.
    pub concurrent: usize,
    /// The largest response in bytes. Default: 256 KiB. A larger one counts as a failure.
    pub largest: usize,
    /// Whose certificates are accepted.
    pub trust: Trust,
}

impl Default for ApplicationSettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            headers: Vec::new(),
            timeout: Duration::from_secs(1),
            concurrent: 64,
            largest: 256 << 10,
            trust: Trust::System,
        }
    }
}

impl ApplicationSettings {
    /// Returns the URL of an event.
    #[must_use]
    pub fn endpoint(&self, event: EventKind) -> Option<&Endpoint> {
        self.endpoints.iter().find(|(kind, _)| *kind == event).map(|(_, endpoint)| endpoint)
    }

    /// Lets a header of clients go along.
    ///
    /// # Errors
    ///
    /// It is no header's name, or one that belongs to the request to the application itself.
    pub fn forward(&mut self, name: &str) -> Result<(), HeaderError> {
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(HeaderError { name, reason: "it is no name of a header" });
        }
        if OWN.contains(&&*name) {
            return Err(HeaderError { name, reason: "it belongs to the request to the application itself" });
        }
        if !self.headers.contains(&name) {
            self.headers.push(name);
        }
        Ok(())
    }
}

/// Headers that say how this very request is sent.
const OWN: [&str; 13] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Says why a header cannot go along to the application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header '{name}' cannot go along to the application: {reason}")]
pub struct HeaderError {
    /// The header.
    pub name: String,
    /// Why.
    pub reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_by_its_name_and_another_word_refused_with_all_names() {
        for event in EventKind::ALL {
            assert_eq!(event.name().parse(), Ok(event));
        }
        let error = "subscribed".parse::<EventKind>().expect_err("none");
        assert!(error.contains("'subscribed'") && error.contains("subscribe, sub_refresh"), "{error}");
    }

    #[test]
    fn headers_that_frame_the_request_itself_do_not_go_along() {
        let mut settings = ApplicationSettings::default();
        for name in ["Cookie", "X-Real-IP", "authorization", "cookie"] {
            settings.forward(name).expect(name);
        }
        assert_eq!(settings.headers, ["cookie", "x-real-ip", "authorization"]);
        for name in ["Content-Length", "host", "Transfer-Encoding", "", "a b", "x:y", "x\r\ny"] {
            assert!(settings.forward(name).is_err(), "{name:?}");
        }
    }
}
