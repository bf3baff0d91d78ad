//! `gannet token`: makes a token for a client, to try the gateway or for a script.

use std::time::{Duration, SystemTime};

use clap::Args;
use gannet_gateway::token::Issue;

use crate::failure::Failure;
use crate::output;
use crate::services::push::{Secrets, secrets};
use crate::units::{Deadline, deadline};

/// Makes a token for a client of the push gateway, and prints it.
///
/// The secret is that of the gateway, in GANNET_PUSH_TOKEN_SECRET. With --channel the token is for one subscription, and
/// otherwise for a connection. An application makes its tokens by itself, with any library for JWT.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenOptions {
    /// User of the token (sub); empty is an anonymous one
    #[arg(long, value_name = "NAME")]
    user: String,

    /// Time after which the token does not count any more; off is never
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "1h")]
    expires: Deadline,

    /// Channel that the token lets the user subscribe to
    #[arg(long, value_name = "CHANNEL", conflicts_with = "subscribe")]
    channel: Option<String>,

    /// Channel that the gateway subscribes the client to when it connects; may be given many times
    #[arg(long, value_name = "CHANNEL")]
    subscribe: Vec<String>,

    /// What other clients see of this one, as JSON
    #[arg(long, value_name = "JSON", value_parser = json)]
    info: Option<Box<serde_json::value::RawValue>>,

    /// Audience of the token (aud)
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,

    /// Issuer of the token (iss)
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,

    /// Secret of the gateway; set it in the environment, where other users cannot see it
    #[arg(long, value_name = "SECRET", value_parser = secrets, env = "GANNET_PUSH_TOKEN_SECRET", hide_env_values = true)]
    push_token_secret: Option<Secrets>,
}

/// Reads JSON, and keeps it as it is written.
pub(crate) fn json(text: &str) -> Result<Box<serde_json::value::RawValue>, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// Prints the token that the options describe.
///
/// # Errors
///
/// There is no secret, or one that is too short.
pub(crate) fn token(options: &TokenOptions) -> Result<(), Failure> {
    let secrets = options.push_token_secret.iter().flat_map(|secrets| &secrets.0);
    let secret = secrets.into_iter().find(|secret| !secret.is_empty()).ok_or_else(|| {
        Failure::Usage(
            "there is no secret to sign with; set GANNET_PUSH_TOKEN_SECRET to that of the gateway".to_owned(),
        )
    })?;
    if options.channel.as_deref() == Some("") {
        return Err(Failure::Usage("--channel is empty; name one, or leave it out for a connection token".to_owned()));
    }
    #[expect(clippy::disallowed_methods, reason = "the token is for now, and there is no driver to ask")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let issue = Issue {
        sub: options.user.clone(),
        channel: options.channel.clone(),
        // Rounded up, so that a second is at least one.
        exp: options.expires.0.map(|time| (now + time + Duration::from_millis(999)).as_secs()),
        iat: Some(now.as_secs()),
        aud: options.audience.clone(),
        iss: options.issuer.clone(),
        info: options.info.clone(),
        channels: options.subscribe.clone(),
    };
    let token = issue.sign(secret).map_err(|error| Failure::Usage(error.to_string()))?;
    output::print(&(token + "\n"))
}
