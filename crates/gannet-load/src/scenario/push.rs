//! The settings of clients of a Centrifuge-protocol server: the channels they subscribe to, their tokens, and what
//! publishers publish.

mod channels;
mod payload;
mod token;

use std::fmt;

use gannet::proto::centrifuge::Format;

pub use self::channels::{Channel, Channels, Pattern, PatternError};
pub use self::payload::{Payload, SMALLEST_BYTES};
pub use self::token::Secret;
use super::http::{Header, Path};
use crate::units;

/// The path of a WebSocket of the protocol, unless another is given.
const CONNECT_PATH: &str = "/connection/websocket";

/// The path of the method of the server API that publishes.
const PUBLISH_PATH: &str = "/api/publish";

/// Configures clients that subscribe to channels, and publishers. [`Workload::new`] has the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The format of messages.
    pub format: Format,
    /// Channels of each client.
    pub channels: Vec<Pattern>,
    /// The user of each client, in its token.
    pub user: Pattern,
    /// The secret of tokens; without it, clients connect without a token.
    pub secret: Option<Secret>,
    /// The token of every client, in place of one made with the secret.
    pub token: Option<String>,
    /// Whether clients ask for recovery where the channel does not have it by itself.
    pub recoverable: bool,
    /// Number of publishers. Each has a connection of its own, beside those of the clients.
    pub publishers: u32,
    /// Key of the HTTP server API; without it, publishers use the protocol's own command.
    pub api_key: Option<String>,
    /// Path of the method of the server API that publishes.
    pub api_path: Path,
    /// Share of the clients that cuts its connection and comes back, each second; 0 for none.
    pub storm_per_second: f64,
    /// Path of the WebSocket.
    pub path: Path,
    /// What `Host` says.
    pub host: String,
    /// Further headers of the handshake, as `Origin`.
    pub headers: Vec<Header>,
}

impl Workload {
    /// Makes clients of a channel `load` without tokens and without publishers, at `/connection/websocket` of this host.
    #[must_use]
    pub fn new(host: String) -> Self {
        let path = |text: &str| text.parse().unwrap_or_default();
        Self {
            format: Format::Json,
            channels: vec![Pattern::text("load")],
            user: Pattern::client("client-"),
            secret: None,
            token: None,
            recoverable: false,
            publishers: 0,
            api_key: None,
            api_path: path(PUBLISH_PATH),
            storm_per_second: 0.0,
            path: path(CONNECT_PATH),
            host,
            headers: Vec::new(),
        }
    }
}

/// As `JSON, channels news:{n%100}, 2 publishers, each second 10 % of the clients cut off`.
impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.format {
            Format::Json => "JSON",
            Format::Protobuf => "Protobuf",
        })?;
        let channels: Vec<_> = self.channels.iter().map(ToString::to_string).collect();
        write!(formatter, ", channels {}", channels.join(" "))?;
        if self.secret.is_some() || self.token.is_some() {
            formatter.write_str(", tokens")?;
        }
        if self.publishers > 0 {
            let by = if self.api_key.is_some() { " by the server API" } else { "" };
            write!(formatter, ", {}{by}", units::things(self.publishers.into(), "publisher"))?;
        }
        if self.storm_per_second > 0.0 {
            let share = units::percent(self.storm_per_second, 1.0);
            write!(formatter, ", each second {share} of the clients cut off")?;
        }
        Ok(())
    }
}
