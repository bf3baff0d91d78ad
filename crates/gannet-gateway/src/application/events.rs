//! What the application is told of each event, and what it may answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gannet_channels::Overrides;
use serde::Deserialize;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::settings::EventKind;
use crate::token::{NumericDate, RawOverrides, ServerSubscription, Subs, bytes, json_text};

/// What the application is told of a client in each event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its transport, such as `websocket`.
    pub transport: &'static str,
    /// Its format: `json` or `protobuf`.
    pub protocol: &'static str,
}

/// An event: the client, and what it wants.
///
/// Data that is JSON goes along as it is. Other data, which only clients with Protobuf can have, goes along as `b64data`, and
/// the `encoding` is `binary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who it is about.
    pub client: Client,
    /// What happens.
    pub what: What,
}

/// What happens in an event, with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A client without a token connects. The answer is a [`ConnectResult`].
    Connect {
        /// Data of its request.
        data: Option<Bytes>,
        /// Name of its program.
        name: String,
        /// Version of its program.
        version: String,
        /// Channels that it asks to recover.
        channels: Vec<String>,
    },
    /// A connection has expired. The answer is a [`RefreshResult`].
    Refresh {
        /// Its user.
        user: String,
        /// What the application said of it at connect.
        meta: Option<Bytes>,
    },
    /// A client subscribes. The answer is a [`SubscribeResult`].
    Subscribe {
        /// Its user.
        user: String,
        /// The channel.
        channel: String,
        /// The token that came with it.
        token: String,
        /// Data of its request.
        data: Option<Bytes>,
        /// What the application said of the client at connect.
        meta: Option<Bytes>,
    },
    /// A subscription has expired. The answer is a [`RefreshResult`].
    SubRefresh {
        /// Its user.
        user: String,
        /// The channel.
        channel: String,
        /// What the application said of the client at connect.
        meta: Option<Bytes>,
    },
    /// A client publishes. The answer is a [`PublishResult`].
    Publish {
        /// Its user.
        user: String,
        /// The channel.
        channel: String,
        /// What it publishes.
        data: Bytes,
        /// What the application said of the client at connect.
        meta: Option<Bytes>,
    },
    /// A client calls a procedure. The answer is an [`RpcResult`].
    Rpc {
        /// Its user.
        user: String,
        /// The procedure.
        method: String,
        /// Its arguments.
        data: Option<Bytes>,
        /// What the application said of the client at connect.
        meta: Option<Bytes>,
    },
}

impl Event {
    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self.what {
            What::Connect { .. } => EventKind::Connect,
            What::Refresh { .. } => EventKind::Refresh,
            What::Subscribe { .. } => EventKind::Subscribe,
            What::SubRefresh { .. } => EventKind::SubRefresh,
            What::Publish { .. } => EventKind::Publish,
            What::Rpc { .. } => EventKind::Rpc,
        }
    }

    fn data(&self) -> Option<&Bytes> {
        match &self.what {
            What::Connect { data, .. } | What::Subscribe { data, .. } | What::Rpc { data, .. } => data.as_ref(),
            What::Publish { data, .. } => Some(data),
            What::Refresh { .. } | What::SubRefresh { .. } => None,
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let data = self.data().filter(|data| !data.is_empty());
        let json = data.and_then(|data| serde_json::from_slice::<&RawValue>(data).ok());
        let is_binary = data.is_some() && json.is_none();
        map.serialize_entry("client", &self.client.id)?;
        map.serialize_entry("transport", self.client.transport)?;
        map.serialize_entry("protocol", self.client.protocol)?;
        map.serialize_entry("encoding", if is_binary { "binary" } else { "json" })?;
        let meta = match &self.what {
            What::Connect { name, version, channels, .. } => {
                for (key, value) in [("name", name), ("version", version)] {
                    if !value.is_empty() {
                        map.serialize_entry(key, value)?;
                    }
                }
                if !channels.is_empty() {
                    map.serialize_entry("channels", channels)?;
                }
                None
            }
            What::Refresh { user, meta } => {
                map.serialize_entry("user", user)?;
                meta.as_ref()
            }
            What::Subscribe { user, channel, token, meta, .. } => {
                map.serialize_entry("user", user)?;
                map.serialize_entry("channel", channel)?;
                if !token.is_empty() {
                    map.serialize_entry("token", token)?;
                }
                meta.as_ref()
            }
            What::SubRefresh { user, channel, meta } | What::Publish { user, channel, meta, .. } => {
                map.serialize_entry("user", user)?;
                map.serialize_entry("channel", channel)?;
                meta.as_ref()
            }
            What::Rpc { user, method, meta, .. } => {
                map.serialize_entry("user", user)?;
                map.serialize_entry("method", method)?;
                meta.as_ref()
            }
        };
        if let Some(json) = json {
            map.serialize_entry("data", json)?;
        } else if let Some(data) = data {
            map.serialize_entry("b64data", &STANDARD.encode(data))?;
        }
        if let Some(meta) = meta.and_then(|meta| serde_json::from_slice::<&RawValue>(meta).ok()) {
            map.serialize_entry("meta", meta)?;
        }
        map.end()
    }
}

/// What an application says of an event, where it is not an error and not the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Of a connect.
    Connect(ConnectResult),
    /// Of a refresh or a sub_refresh.
    Refresh(RefreshResult),
    /// Of a subscribe.
    Subscribe(SubscribeResult),
    /// Of a publish.
    Publish(PublishResult),
    /// Of an rpc.
    Rpc(RpcResult),
}

/// A client may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectResult {
    /// Its user; empty is an anonymous one.
    pub user: String,
    /// When the connection ends unless it is refreshed, in seconds since 1970; `None` is never.
    pub expire_at: Option<u64>,
    /// What other clients see of it.
    pub info: Option<Bytes>,
    /// What it is told.
    pub data: Option<Bytes>,
    /// Channels that the server subscribes it to: those of `channels`, then those of `subs`.
    pub subs: Vec<ServerSubscription>,
    /// What the application is told again in later events.
    pub meta: Option<Bytes>,
}

/// A connection or a subscription may go on, or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshResult {
    /// Whether it ends now.
    pub expired: bool,
    /// When it ends next, in seconds since 1970; `None` is never.
    pub expire_at: Option<u64>,
    /// What other clients see of it; `None` is what they have seen before.
    pub info: Option<Bytes>,
    /// What the application is told again in later events; `None` is what it was told before.
    pub meta: Option<Bytes>,
}

/// A client may subscribe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeResult {
    /// What other clients see of it in the channel.
    pub info: Option<Bytes>,
    /// What it is told.
    pub data: Option<Bytes>,
    /// When the subscription ends unless it is refreshed, in seconds since 1970; `None` is never.
    pub expire_at: Option<u64>,
    /// Options of the channel that are other ones for this client.
    pub overrides: Overrides,
}

/// A client may publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishResult {
    /// What is published in place of what the client sent.
    pub data: Option<Bytes>,
    /// Whether the history does not keep it.
    pub skip_history: bool,
    /// A key by which a publication that comes again is recognised.
    pub idempotency_key: Option<String>,
}

/// What a procedure returns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcResult {
    /// The data.
    pub data: Option<Bytes>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawConnect<'a> {
    user: Option<String>,
    expire_at: Option<NumericDate>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    channels: Option<Vec<String>>,
    #[serde(borrow)]
    subs: Option<Subs<'a>>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawRefresh<'a> {
    expired: Option<bool>,
    expire_at: Option<NumericDate>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawSubscribe<'a> {
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    expire_at: Option<NumericDate>,
    #[serde(rename = "override")]
    overrides: Option<RawOverrides>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawPublish<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    skip_history: Option<bool>,
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawRpc<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
}

impl Reply {
    /// Reads the result of an event of this kind.
    pub(super) fn read(kind: EventKind, json: &str) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("its result is not one of {kind} ({error})");
        let base64 = || format!("its result for {kind} has base64 that is none");
        let end = |time: Option<NumericDate>| time.map(|time| time.0).filter(|time| *time > 0);
        Ok(match kind {
            EventKind::Connect => {
                let raw: RawConnect<'_> = serde_json::from_str(json).map_err(wrong)?;
                let mut subs = raw.subs.unwrap_or_default().subscriptions().ok_or_else(base64)?;
                for channel in raw.channels.unwrap_or_default() {
                    if subs.iter().all(|sub| sub.channel != channel) {
                        subs.push(ServerSubscription::plain(channel));
                    }
                }
                Self::Connect(ConnectResult {
                    user: raw.user.unwrap_or_default(),
                    expire_at: end(raw.expire_at),
                    info: bytes(raw.info, raw.b64info.as_deref()).ok_or_else(base64)?,
                    data: bytes(raw.data, raw.b64data.as_deref()).ok_or_else(base64)?,
                    subs,
                    meta: raw.meta.and_then(json_text),
                })
            }
            EventKind::Refresh | EventKind::SubRefresh => {
                let raw: RawRefresh<'_> = serde_json::from_str(json).map_err(wrong)?;
                Self::Refresh(RefreshResult {
                    expired: raw.expired.unwrap_or(false),
                    expire_at: end(raw.expire_at),
                    info: bytes(raw.info, raw.b64info.as_deref()).ok_or_else(base64)?,
                    meta: raw.meta.and_then(json_text),
                })
            }
            EventKind::Subscribe => {
                let raw: RawSubscribe<'_> = serde_json::from_str(json).map_err(wrong)?;
                Self::Subscribe(SubscribeResult {
                    info: bytes(raw.info, raw.b64info.as_deref()).ok_or_else(base64)?,
                    data: bytes(raw.data, raw.b64data.as_deref()).ok_or_else(base64)?,
                    expire_at: end(raw.expire_at),
                    overrides: raw.overrides.unwrap_or_default().into(),
                })
            }
            EventKind::Publish => {
                let raw: RawPublish<'_> = serde_json::from_str(json).map_err(wrong)?;
                Self::Publish(PublishResult {
                    data: bytes(raw.data, raw.b64data.as_deref()).ok_or_else(base64)?,
                    skip_history: raw.skip_history.unwrap_or(false),
                    idempotency_key: raw.idempotency_key.filter(|key| !key.is_empty()),
                })
            }
            EventKind::Rpc => {
                let raw: RawRpc<'_> = serde_json::from_str(json).map_err(wrong)?;
                Self::Rpc(RpcResult { data: bytes(raw.data, raw.b64data.as_deref()).ok_or_else(base64)? })
            }
        })
    }
}
