//! Making tokens: for `gannet token`, for load generators and for tests. An application makes its own with any JWT library.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{KeyError, SHORTEST_SECRET_BYTES};
use crate::secret::Secret;

/// The header of all tokens that are made here: `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// What a token shall say; with a channel it is a subscription token, and otherwise a connection token.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Issue {
    /// The user; empty is an anonymous one.
    pub sub: String,
    /// The channel of a subscription token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When the token ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// When it was made, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// The audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// What other clients see of this one, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<RawValue>>,
    /// Channels that the server subscribes the client to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
}

/// Says why a token cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The secret is too short for the gateway.
    #[error(transparent)]
    Secret(#[from] KeyError),
    /// A claim cannot be written as JSON.
    #[error("a claim cannot be written: {0}")]
    Claims(#[from] serde_json::Error),
}

impl Issue {
    /// Makes the token, signed by HS256.
    ///
    /// # Errors
    ///
    /// The secret is shorter than the gateway would take.
    pub fn sign(&self, secret: &Secret) -> Result<String, IssueError> {
        let bytes = secret.reveal().as_bytes();
        if bytes.len() < SHORTEST_SECRET_BYTES {
            return Err(KeyError::Short { length: bytes.len() }.into());
        }
        let mut token = format!("{HEADER}.");
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(self)?, &mut token);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(tag, &mut token);
        Ok(token)
    }
}
