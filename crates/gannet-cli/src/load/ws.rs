//! The options of the scenario `ws`.

use clap::{Args, ValueEnum};
use gannet_load::scenario::http::{Header, Path};
use gannet_load::scenario::ws::{Mode, Protocol, Workload};

use super::options::usage;
use crate::failure::Failure;

/// See the module.
#[derive(Args, Clone, Debug)]
pub(super) struct WsOptions {
    /// Behaviour of clients after the upgrade [default: echo]
    #[arg(long, value_enum, value_name = "MODE", help_heading = "WebSocket", hide_short_help = true)]
    mode: Option<ModeName>,

    /// Send text messages instead of binary ones
    #[arg(long, help_heading = "WebSocket", hide_short_help = true)]
    text: bool,

    /// Subprotocol to offer; the server has to choose one of those offered; may be given many times
    #[arg(long, value_name = "NAME", help_heading = "WebSocket", hide_short_help = true)]
    subprotocol: Vec<Protocol>,

    /// Origin header: scheme and host of the page that the connection comes from
    #[arg(long, value_name = "ORIGIN", help_heading = "WebSocket", hide_short_help = true)]
    origin: Option<String>,
}

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeName {
    /// Send messages; the server sends each of them back
    Echo,
    /// Stay connected, ping at each --heartbeat, and answer the server's pings
    Hold,
    /// Count what the server sends
    Receive,
}

impl WsOptions {
    /// `--origin`, which push has too.
    pub(super) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The first option that was given, if any was, apart from the one that push has too.
    pub(super) fn given(&self, is_push: bool) -> Option<&'static str> {
        let all = [
            ("--mode", self.mode.is_some()),
            ("--text", self.text),
            ("--subprotocol", !self.subprotocol.is_empty()),
            ("--origin", self.origin.is_some() && !is_push),
        ];
        all.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// What clients do.
    pub(super) fn mode(&self) -> Mode {
        match self.mode {
            None | Some(ModeName::Echo) => Mode::Echo,
            Some(ModeName::Hold) => Mode::Hold,
            Some(ModeName::Receive) => Mode::Receive,
        }
    }

    /// What they ask for.
    ///
    /// # Errors
    ///
    /// A header is one that the handshake says by itself, or the origin cannot be one.
    pub(super) fn workload(
        &self,
        workload: Workload,
        path: Option<Path>,
        headers: &[Header],
    ) -> Result<Workload, Failure> {
        let mut headers = headers.to_vec();
        let is_own = |name: &str| {
            name.eq_ignore_ascii_case("upgrade") || name.to_ascii_lowercase().starts_with("sec-websocket-")
        };
        if let Some(header) = headers.iter().find(|header| is_own(header.name())) {
            return Err(usage(&format!(
                "header {} is written by the handshake itself: see --subprotocol",
                header.name()
            )));
        }
        if let Some(origin) = &self.origin {
            headers.push(Header::new("Origin", origin).map_err(|error| usage(&error.to_string()))?);
        }
        if self.text && self.mode() != Mode::Echo {
            return Err(usage("--text is for --mode echo; other modes send no messages"));
        }
        Ok(Workload {
            mode: self.mode(),
            text: self.text,
            path: path.unwrap_or(workload.path),
            host: workload.host,
            protocols: self.subprotocol.clone(),
            headers,
        })
    }
}
