//! Tokens (JWT, RFC 7519): what clients show to connect and to subscribe.
//!
//! [`Tokens`] verifies them on the reactors. It never waits: keys that are fetched by URL come from a thread of their own, and
//! a token of an unknown key makes it fetch. What a token says is typed ([`ConnectionClaims`], [`SubscriptionClaims`]).
//!
//! Signatures are checked by AWS-LC. Keys are parsed once, at the start or when they are fetched; a token costs one decoding
//! of its header, one check of its signature, and one decoding of its claims. The clock is an argument.

mod algorithm;
mod claims;
mod issue;
mod jwks;
mod keys;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gannet_channels::Time;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::algorithm::Algorithm;
use self::claims::Registered;
pub use self::claims::{ConnectionClaims, ServerSubscription, SubscriptionClaims};
pub(crate) use self::claims::{NumericDate, RawOverrides, Subs, bytes, json_text};
pub use self::issue::{Issue, IssueError};
pub(crate) use self::jwks::WAITERS as KEY_WAITERS;
pub use self::jwks::{Jwks, JwksSettings, JwksStats};
pub use self::keys::{Key, KeyError, SHORTEST_SECRET_BYTES};

/// The largest token that is looked at. Proxies in front of servers refuse heads of more than 8 to 32 KiB anyway.
pub const LARGEST_TOKEN_BYTES: usize = 32 << 10;

/// The longest signature: RSA with 8,192 bits.
const LONGEST_SIGNATURE_BYTES: usize = 1_024;

/// The largest header of a token, decoded. Those with certificates in them are larger, and we take no keys from there.
const LARGEST_HEADER_BYTES: usize = 1_024;

/// Keys that are tried for one token. Each costs the reactor up to 200 µs where the keys are elliptic curves.
const TRIES: usize = 8;

/// Verifies tokens with the keys of the settings and, where there is a URL, with fetched ones.
///
/// Every method may be called on every thread.
#[derive(Debug, Default)]
pub struct Tokens {
    keys: Vec<Key>,
    jwks: Option<Arc<Jwks>>,
    /// One of them has to be among those of the token; none means that it is not looked at.
    audiences: Vec<String>,
    issuers: Vec<String>,
    counted: Arc<Counted>,
}

/// What became of tokens.
#[derive(Debug, Default)]
struct Counted {
    accepted: AtomicU64,
    /// One for each [`TokenError`].
    refused: [AtomicU64; TokenError::ALL.len()],
}

/// The counters of a [`Tokens`] at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStats {
    /// Counter: tokens that counted.
    pub accepted: u64,
    /// Counters: tokens that did not count, by reason.
    pub refused: Vec<(TokenError, u64)>,
    /// The keys that are fetched by URL, if there is one.
    pub jwks: Option<JwksStats>,
}

/// Says why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is not made of three parts in base64, or it is too large.
    #[error("the token is malformed")]
    Malformed,
    /// Its header names an algorithm that is not known, such as `none`, or demands an extension.
    #[error("the token's header is not one that is accepted")]
    Header,
    /// No key verifies its signature.
    #[error("no key verifies the token")]
    Signature,
    /// A claim is missing, or of the wrong kind.
    #[error("a claim of the token is of the wrong kind")]
    Claims,
    /// It is a subscription token where a connection token is needed, or the reverse.
    #[error("the token is of the other kind")]
    Kind,
    /// It is for others.
    #[error("the token is for another audience")]
    Audience,
    /// It comes from somebody else.
    #[error("the token is of another issuer")]
    Issuer,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its key is not known; the keys are being fetched. Call [`Tokens::wait_for_keys`] on a thread that may wait, then verify
    /// again.
    #[error("the token's key is being fetched")]
    KeysWanted,
    /// Its key is not known, and the last attempt to fetch the keys has failed.
    #[error("the keys for tokens cannot be fetched")]
    KeysUnavailable,
}

/// What a client is told about a token that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOutcome {
    /// The token will never count: close 3500 at connect, error 103 at subscribe.
    Invalid,
    /// A new token may count: error 109.
    Expired,
    /// The gateway cannot tell at the moment: error 100, which is temporary.
    Unavailable,
}

impl TokenError {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::Header,
        Self::Signature,
        Self::Claims,
        Self::Kind,
        Self::Audience,
        Self::Issuer,
        Self::Expired,
        Self::NotYetValid,
        Self::KeysWanted,
        Self::KeysUnavailable,
    ];

    /// Returns what the client is told.
    #[must_use]
    pub fn outcome(self) -> TokenOutcome {
        match self {
            Self::Expired | Self::NotYetValid => TokenOutcome::Expired,
            Self::KeysWanted | Self::KeysUnavailable => TokenOutcome::Unavailable,
            _ => TokenOutcome::Invalid,
        }
    }

    /// Returns the name in metrics, such as `expired`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Header => "header",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Kind => "kind",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::KeysWanted => "keys_wanted",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

/// Reads the claims of a kind of token.
type Read<T> = fn(&[u8]) -> Result<(T, Registered), TokenError>;

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Header<'a> {
    alg: Algorithm,
    #[serde(borrow)]
    kid: Option<std::borrow::Cow<'a, str>>,
    /// Extensions that have to be understood (RFC 7515 §4.1.11); we understand none.
    #[serde(borrow)]
    crit: Option<&'a RawValue>,
}

impl Tokens {
    /// Verifies with these keys; without any, no token counts.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// Verifies with fetched keys too.
    #[must_use]
    pub fn jwks(mut self, jwks: Arc<Jwks>) -> Self {
        self.jwks = Some(jwks);
        self
    }

    /// Goes on with the counters of others.
    pub(crate) fn counting_on(mut self, others: &Self) -> Self {
        self.counted = others.counted.clone();
        self
    }

    /// The keys by URL, if there is one.
    pub(crate) fn fetched(&self) -> Option<&Arc<Jwks>> {
        self.jwks.as_ref()
    }

    /// Demands one of these in the claim `aud`. Without any, the claim is not looked at.
    #[must_use]
    pub fn audiences(mut self, audiences: Vec<String>) -> Self {
        self.audiences = audiences;
        self
    }

    /// Demands one of these in the claim `iss`. Without any, the claim is not looked at.
    #[must_use]
    pub fn issuers(mut self, issuers: Vec<String>) -> Self {
        self.issuers = issuers;
        self
    }

    /// Tells whether any token can count.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty() || self.jwks.is_some()
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> TokenStats {
        let refused = TokenError::ALL.into_iter().zip(&self.counted.refused);
        TokenStats {
            accepted: self.counted.accepted.load(Ordering::Relaxed),
            refused: refused.map(|(error, count)| (error, count.load(Ordering::Relaxed))).collect(),
            jwks: self.jwks.as_ref().map(|jwks| jwks.stats()),
        }
    }

    /// Verifies a connection token at a time.
    ///
    /// # Errors
    ///
    /// The token does not count; [`TokenError::outcome`] says what the client is told.
    pub fn connection(&self, token: &str, now: Time) -> Result<ConnectionClaims, TokenError> {
        self.verified(token, now, ConnectionClaims::read)
    }

    /// Verifies a subscription token at a time. The caller compares its user and its channel with those of the request.
    ///
    /// # Errors
    ///
    /// The token does not count; [`TokenError::outcome`] says what the client is told.
    pub fn subscription(&self, token: &str, now: Time) -> Result<SubscriptionClaims, TokenError> {
        self.verified(token, now, SubscriptionClaims::read)
    }

    /// Waits until the fetch of keys that is under way has ended, if there is one. Call it on a thread that may wait, after
    /// [`TokenError::KeysWanted`].
    pub fn wait_for_keys(&self) {
        if let Some(jwks) = &self.jwks {
            jwks.wait();
        }
    }

    /// What a token says, if all is well with it; counted.
    fn verified<T>(&self, token: &str, now: Time, read: Read<T>) -> Result<T, TokenError> {
        let verified = self.payload(token).and_then(|payload| {
            let (claims, registered) = read(&payload)?;
            self.check(&registered, now)?;
            Ok(claims)
        });
        match &verified {
            Ok(_) => self.counted.accepted.fetch_add(1, Ordering::Relaxed),
            Err(error) => self.counted.refused[*error as usize].fetch_add(1, Ordering::Relaxed),
        };
        verified
    }

    /// What the token says, if a key vouches for it.
    fn payload(&self, token: &str) -> Result<Vec<u8>, TokenError> {
        if token.len() > LARGEST_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let mut buffer = [0; LARGEST_HEADER_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(header, &mut buffer).map_err(|_| TokenError::Malformed)?;
        let header: Header<'_> = serde_json::from_slice(&buffer[..length]).map_err(|_| TokenError::Header)?;
        if header.crit.is_some() {
            return Err(TokenError::Header);
        }
        let mut buffer = [0; LONGEST_SIGNATURE_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut buffer).map_err(|_| TokenError::Malformed)?;
        self.verify(&header, message.as_bytes(), &buffer[..length])?;
        // A point in the middle of it is no letter of base64: a token has three parts.
        URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)
    }

    fn verify(&self, header: &Header<'_>, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let kid = header.kid.as_deref();
        // A key without a name is tried for each token, and a token without the name of a key with each key.
        let fits = |key: &&Key| key.is_for(header.alg) && (kid.is_none() || key.id().is_none() || key.id() == kid);
        let verifies = |key: &Key| key.verify(header.alg, message, signature);
        if self.keys.iter().filter(fits).take(TRIES).any(verifies) {
            return Ok(());
        }
        let Some(jwks) = &self.jwks else { return Err(TokenError::Signature) };
        let keys = jwks.keys();
        let mut candidates = keys.iter().filter(fits).peekable();
        if candidates.peek().is_none() {
            return Err(jwks.want(kid.is_some()));
        }
        if candidates.take(TRIES).any(verifies) { Ok(()) } else { Err(TokenError::Signature) }
    }

    fn check(&self, registered: &Registered, now: Time) -> Result<(), TokenError> {
        if !self.audiences.is_empty() && !registered.audience.iter().any(|name| self.audiences.contains(name)) {
            return Err(TokenError::Audience);
        }
        let issuer = registered.issuer.as_ref();
        if !self.issuers.is_empty() && !issuer.is_some_and(|name| self.issuers.contains(name)) {
            return Err(TokenError::Issuer);
        }
        let now = seconds(now);
        if registered.expires.is_some_and(|end| now >= end) {
            return Err(TokenError::Expired);
        }
        if registered.not_before.is_some_and(|start| now < start) {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }
}

fn seconds(now: Time) -> u64 {
    now.0 / 1_000
}
