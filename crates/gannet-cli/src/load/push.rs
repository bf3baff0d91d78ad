//! The options of the scenario `push`.

use clap::Args;
use gannet::proto::centrifuge::Format;
use gannet_load::scenario::http::{Header, Path};
use gannet_load::scenario::push::{Pattern, SMALLEST_BYTES, Secret, Workload};
use gannet_load::units::bytes;

use super::options::usage;
use crate::failure::Failure;
use crate::units::whole;

/// The most channels of a client that servers take unless told otherwise, many times over.
const MOST_CHANNELS: usize = 1_024;

/// See the module.
#[derive(Args, Clone, Debug)]
pub(super) struct PushOptions {
    /// Channels of each client, as 'news:{n%100}'; may be given many times [default: load]
    ///
    /// {n} is the client's number from 0 on, {n%100} its remainder and {n/100} its quotient. {0..10} stands for ten channels
    /// of each client, with the numbers 0 to 9.
    #[arg(long, value_name = "PATTERN", help_heading = "Push", hide_short_help = true)]
    channels: Vec<Pattern>,

    /// Publish from this number of further connections; needs --rate, publications per second of all together [default: 1 with
    /// --rate, 0 without]
    ///
    /// Publishers go through all channels in turn. They begin when all clients are up.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=100_000), help_heading = "Push", hide_short_help = true)]
    publishers: Option<u32>,

    /// Publish by the HTTP server API with this key, not by the protocol's own command
    #[arg(long, value_name = "KEY", env = "GANNET_PUSH_API_KEY", hide_env_values = true, help_heading = "Push")]
    #[arg(hide_short_help = true)]
    api_key: Option<String>,

    /// Path of the server API's method that publishes [default: /api/publish]
    #[arg(long, value_name = "PATH", help_heading = "Push", hide_short_help = true)]
    api_path: Option<Path>,

    /// Send the messages of the protocol as Protobuf, not as JSON
    #[arg(long, help_heading = "Push", hide_short_help = true)]
    protobuf: bool,

    /// Connect with a token (JWT, HS256) for --user, made with this secret
    #[arg(
        long,
        value_name = "SECRET",
        env = "GANNET_PUSH_TOKEN_SECRET",
        hide_env_values = true,
        help_heading = "Push"
    )]
    #[arg(hide_short_help = true)]
    token_secret: Option<String>,

    /// Connect with this token
    #[arg(long, value_name = "JWT", conflicts_with = "token_secret", help_heading = "Push", hide_short_help = true)]
    token: Option<String>,

    /// User in the token of each client [default: client-{n}]
    #[arg(long, value_name = "PATTERN", help_heading = "Push", hide_short_help = true)]
    user: Option<Pattern>,

    /// Ask for recovery in channels that do not have it by themselves
    #[arg(long, help_heading = "Push", hide_short_help = true)]
    recoverable: bool,
}

/// What the options of all scenarios say that matters here.
pub(super) struct Common<'o> {
    /// `--path`, or the path of the URL.
    pub(super) path: Option<Path>,
    /// `--header`.
    pub(super) headers: &'o [Header],
    /// `--origin`.
    pub(super) origin: Option<&'o str>,
    /// `--rate`.
    pub(super) rate: Option<f64>,
    /// `--size`.
    pub(super) size: Option<usize>,
    /// The share of `--reconnect`, by second.
    pub(super) storm_per_second: f64,
}

impl PushOptions {
    /// The first option that was given on the command line, if any was.
    pub(super) fn given(&self) -> Option<&'static str> {
        let all = [
            ("--channels", !self.channels.is_empty()),
            ("--publishers", self.publishers.is_some()),
            ("--api-path", self.api_path.is_some()),
            ("--protobuf", self.protobuf),
            ("--token", self.token.is_some()),
            ("--user", self.user.is_some()),
            ("--recoverable", self.recoverable),
        ];
        all.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// What clients and publishers do.
    ///
    /// # Errors
    ///
    /// Options contradict each other.
    pub(super) fn workload(&self, workload: Workload, common: &Common<'_>) -> Result<Workload, Failure> {
        let publishers = self.publishers.unwrap_or(u32::from(common.rate.is_some()));
        if publishers > 0 && common.rate.is_none() {
            return Err(usage("--publishers needs --rate, as --rate 5/s: publications of all publishers together"));
        }
        if publishers == 0 && common.rate.is_some() {
            return Err(usage("--rate is for publications: give --publishers 1 or more"));
        }
        if let Some(size) = common.size.filter(|size| *size < SMALLEST_BYTES) {
            return Err(usage(&format!(
                "--size {size}: a publication of push has at least {}, which say when it was due",
                bytes(SMALLEST_BYTES as u64)
            )));
        }
        if self.channels.iter().enumerate().any(|(at, pattern)| self.channels[..at].contains(pattern)) {
            return Err(usage(
                "--channels is there twice with the same pattern; a client subscribes to a channel once",
            ));
        }
        if let Some(user) = self.user.as_ref().filter(|user| user.has_range()) {
            return Err(usage(&format!("--user {user}: a client has one user, so no range")));
        }
        if self.user.is_some() && self.token_secret.is_none() {
            return Err(usage("--user is for tokens that are made: give --token-secret"));
        }
        let mut headers = common.headers.to_vec();
        if let Some(origin) = common.origin {
            headers.push(Header::new("Origin", origin).map_err(|error| usage(&error.to_string()))?);
        }
        let channels = if self.channels.is_empty() { workload.channels } else { self.channels.clone() };
        let each: usize = channels.iter().map(|pattern| pattern.each() as usize).sum();
        if each > MOST_CHANNELS {
            return Err(usage(&format!(
                "--channels: a client would have {each} channels; {MOST_CHANNELS} are the most"
            )));
        }
        // A key with a line break would be another header.
        if self.api_key.as_deref().is_some_and(|key| Header::new("X-API-Key", key).is_err()) {
            return Err(usage("--api-key is no value of a header"));
        }
        Ok(Workload {
            format: if self.protobuf { Format::Protobuf } else { Format::Json },
            channels,
            user: self.user.clone().unwrap_or(workload.user),
            secret: self.token_secret.as_ref().map(|secret| Secret::new(secret.as_bytes())),
            token: self.token.clone(),
            recoverable: self.recoverable,
            publishers,
            api_key: self.api_key.clone(),
            api_path: self.api_path.clone().unwrap_or(workload.api_path),
            storm_per_second: common.storm_per_second,
            path: common.path.clone().unwrap_or(workload.path),
            host: workload.host,
            headers,
        })
    }
}
