//! What tokens say, typed. A claim of another kind than its own makes the token invalid.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gannet_channels::Overrides;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::TokenError;

/// What a connection token says about its client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionClaims {
    /// Claim `sub`: the user; empty for an anonymous one.
    pub user: String,
    /// When the connection ends unless it is refreshed, in seconds since 1970; `None` is never.
    ///
    /// It is the claim `expire_at`, where 0 is never, and otherwise `exp`.
    pub expire_at: Option<u64>,
    /// Claim `info` or `b64info`: what other clients see of this one.
    pub info: Option<Bytes>,
    /// Claim `meta`: what the application is told about this connection, and clients never see.
    pub meta: Option<Bytes>,
    /// Claims `subs` and `channels`: channels that the server subscribes the client to. `subs` wins.
    pub subs: Vec<ServerSubscription>,
    /// Claim `jti`: the token's own name.
    pub id: Option<String>,
}

/// A channel that a connection token, or the application, subscribes a client to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSubscription {
    /// The channel.
    pub channel: String,
    /// What other clients see of this one in the channel.
    pub info: Option<Bytes>,
    /// What the client is told with the subscription.
    pub data: Option<Bytes>,
    /// Options of the channel that are other ones for this client.
    pub overrides: Overrides,
}

impl ServerSubscription {
    /// One of which only the channel is said.
    pub(crate) fn plain(channel: String) -> Self {
        Self { channel, ..Self::default() }
    }
}

/// What a subscription token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionClaims {
    /// Claim `sub`: the user, who has to be that of the connection.
    pub user: String,
    /// Claim `channel`.
    pub channel: String,
    /// When the subscription ends unless it is refreshed, in seconds since 1970; `None` is never.
    pub expire_at: Option<u64>,
    /// Claim `info` or `b64info`: what other clients see of this one in the channel.
    pub info: Option<Bytes>,
    /// Options of the channel that are other ones for this client.
    pub overrides: Overrides,
    /// Claim `jti`: the token's own name.
    pub id: Option<String>,
}

/// Claims that both kinds have, and what decides whether the token counts.
pub(super) struct Registered {
    pub(super) expires: Option<u64>,
    pub(super) not_before: Option<u64>,
    pub(super) audience: Vec<String>,
    pub(super) issuer: Option<String>,
}

impl ConnectionClaims {
    pub(super) fn read(json: &[u8]) -> Result<(Self, Registered), TokenError> {
        let raw: RawConnection<'_> = serde_json::from_slice(json).map_err(|_| TokenError::Claims)?;
        if raw.channel.is_some() {
            return Err(TokenError::Kind);
        }
        let subs = match raw.subs {
            Some(listed) => listed.subscriptions().ok_or(TokenError::Claims)?,
            None => raw.channels.unwrap_or_default().into_iter().map(ServerSubscription::plain).collect(),
        };
        let expires = raw.exp.map(|time| time.0);
        let claims = Self {
            user: raw.sub.unwrap_or_default(),
            expire_at: end(raw.expire_at, expires),
            info: bytes(raw.info, raw.b64info.as_deref()).ok_or(TokenError::Claims)?,
            meta: raw.meta.and_then(json_text),
            subs,
            id: raw.jti,
        };
        Ok((claims, registered(expires, raw.nbf, raw.aud, raw.iss)))
    }
}

impl SubscriptionClaims {
    pub(super) fn read(json: &[u8]) -> Result<(Self, Registered), TokenError> {
        let raw: RawSubscription<'_> = serde_json::from_slice(json).map_err(|_| TokenError::Claims)?;
        let channel = raw.channel.filter(|channel| !channel.is_empty()).ok_or(TokenError::Kind)?;
        let expires = raw.exp.map(|time| time.0);
        let claims = Self {
            user: raw.sub.unwrap_or_default(),
            channel,
            expire_at: end(raw.expire_at, expires),
            info: bytes(raw.info, raw.b64info.as_deref()).ok_or(TokenError::Claims)?,
            overrides: raw.overrides.unwrap_or_default().into(),
            id: raw.jti,
        };
        Ok((claims, registered(expires, raw.nbf, raw.aud, raw.iss)))
    }
}

/// When a connection or subscription ends: 0 in `expire_at` is never, and where that is missing, the token's own end counts.
fn end(expire_at: Option<NumericDate>, expires: Option<u64>) -> Option<u64> {
    match expire_at {
        Some(NumericDate(0)) => None,
        Some(NumericDate(time)) => Some(time),
        None => expires,
    }
}

fn registered(
    expires: Option<u64>,
    nbf: Option<NumericDate>,
    aud: Option<Audience>,
    iss: Option<String>,
) -> Registered {
    let not_before = nbf.map(|time| time.0);
    Registered { expires, not_before, audience: aud.map(|audience| audience.0).unwrap_or_default(), issuer: iss }
}

/// The bytes of a claim that comes as JSON or as base64, which wins. `None` where the base64 is none.
pub(crate) fn bytes(json: Option<&RawValue>, base64: Option<&str>) -> Option<Option<Bytes>> {
    match base64 {
        Some(text) if !text.is_empty() => STANDARD.decode(text).ok().map(|bytes| Some(bytes.into())),
        _ => Some(json.and_then(json_text)),
    }
}

/// JSON as it was written; `null` is nothing.
pub(crate) fn json_text(json: &RawValue) -> Option<Bytes> {
    (json.get() != "null").then(|| Bytes::copy_from_slice(json.get().as_bytes()))
}

// An `Option` of a claim also takes `null`, which is the same as no claim.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawConnection<'a> {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    #[serde(rename = "iat")]
    _iat: Option<NumericDate>,
    jti: Option<String>,
    aud: Option<Audience>,
    iss: Option<String>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    channels: Option<Vec<String>>,
    #[serde(borrow)]
    subs: Option<Subs<'a>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    expire_at: Option<NumericDate>,
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawSubscription<'a> {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    #[serde(rename = "iat")]
    _iat: Option<NumericDate>,
    jti: Option<String>,
    aud: Option<Audience>,
    iss: Option<String>,
    channel: Option<String>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    expire_at: Option<NumericDate>,
    #[serde(rename = "override")]
    overrides: Option<RawOverrides>,
}

/// What a token, or the application, says of one channel in `subs`.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct RawSub<'a> {
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(rename = "override")]
    overrides: Option<RawOverrides>,
}

impl RawSub<'_> {
    /// `None` where base64 is none.
    fn named(self, channel: String) -> Option<ServerSubscription> {
        Some(ServerSubscription {
            channel,
            info: bytes(self.info, self.b64info.as_deref())?,
            data: bytes(self.data, self.b64data.as_deref())?,
            overrides: self.overrides.unwrap_or_default().into(),
        })
    }
}

/// Each as `{"value": true}`.
#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct RawOverrides {
    presence: Option<RawFlag>,
    join_leave: Option<RawFlag>,
    force_recovery: Option<RawFlag>,
    force_positioning: Option<RawFlag>,
    force_push_join_leave: Option<RawFlag>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawFlag {
    #[serde(default)]
    value: bool,
}

impl From<RawOverrides> for Overrides {
    fn from(raw: RawOverrides) -> Self {
        let value = |flag: Option<RawFlag>| flag.map(|flag| flag.value);
        Self {
            presence: value(raw.presence),
            join_leave: value(raw.join_leave),
            force_recovery: value(raw.force_recovery),
            force_positioning: value(raw.force_positioning),
            force_push_join_leave: value(raw.force_push_join_leave),
        }
    }
}

/// Channels with what is said of each, in the order they were written; a channel may come once.
#[derive(Default)]
pub(crate) struct Subs<'a>(Vec<(String, RawSub<'a>)>);

impl Subs<'_> {
    /// `None` where base64 is none.
    pub(crate) fn subscriptions(self) -> Option<Vec<ServerSubscription>> {
        self.0.into_iter().map(|(channel, sub)| sub.named(channel)).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Subs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Map<'a> {
            type Value = Subs<'a>;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("an object of channels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Subs<'a>, A::Error> {
                let mut subs: Vec<(String, RawSub<'a>)> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((channel, sub)) = map.next_entry::<String, RawSub<'a>>()? {
                    if !seen.insert(channel.clone()) {
                        return Err(A::Error::custom("a channel comes twice"));
                    }
                    subs.push((channel, sub));
                }
                Ok(Subs(subs))
            }
        }

        deserializer.deserialize_map(Map(PhantomData))
    }
}

/// A time in seconds since 1970 (RFC 7519 §2), a whole number or not. Times before that are 0.
#[derive(Clone, Copy)]
pub(crate) struct NumericDate(pub(crate) u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = NumericDate;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("a time in seconds since 1970")
            }

            fn visit_u64<E>(self, seconds: u64) -> Result<NumericDate, E> {
                Ok(NumericDate(seconds))
            }

            fn visit_i64<E>(self, seconds: i64) -> Result<NumericDate, E> {
                Ok(NumericDate(u64::try_from(seconds).unwrap_or(0)))
            }

            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such a cast saturates")]
            fn visit_f64<E>(self, seconds: f64) -> Result<NumericDate, E> {
                // Rounded up: what is not 0, which has a meaning of its own, does not become it.
                Ok(NumericDate(seconds.ceil() as u64))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// One audience, or several.
struct Audience(Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Audience;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("an audience, or a list of them")
            }

            fn visit_str<E>(self, name: &str) -> Result<Audience, E> {
                Ok(Audience(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Audience, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Audience(names))
            }
        }

        deserializer.deserialize_any(Names)
    }
}
