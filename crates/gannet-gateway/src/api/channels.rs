//! Methods about channels.

use std::collections::BTreeMap;

use gannet_channels::{HistoryRequest, Position, Publish, Since, Time};
use gannet_http::Trace;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::value::{client_info, data, present, publication};
use super::{Failure, MOST_ANSWER_BYTES, MOST_COMMANDS};
use crate::gateway::Gateway;
use crate::session::codes::ErrorReply;
use crate::session::{history_error, presence_error, publish_error};

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct PublishRequest<'a> {
    #[serde(default)]
    channel: String,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(default)]
    skip_history: bool,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct BroadcastRequest<'a> {
    #[serde(default)]
    channels: Vec<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(default)]
    skip_history: bool,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    idempotency_key: Option<String>,
}

/// Channels that one call lists.
const MOST_CHANNELS: usize = 100_000;

/// A method's parameters that are a channel only.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct OfChannel {
    #[serde(default)]
    channel: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct History {
    #[serde(default)]
    channel: String,
    limit: Option<i64>,
    since: Option<Place>,
    #[serde(default)]
    reverse: bool,
}

/// A position.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct Place {
    #[serde(default)]
    pub(super) offset: u64,
    #[serde(default)]
    pub(super) epoch: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct List {
    pattern: Option<String>,
}

/// Checks that there is a channel, as all methods need one.
pub(super) fn named(channel: &str) -> Result<&str, Failure> {
    if channel.is_empty() { Err(ErrorReply::BAD_REQUEST.into()) } else { Ok(channel) }
}

pub(super) fn publish(
    gateway: &Gateway,
    request: PublishRequest<'_>,
    now: Time,
    trace: Option<&Trace>,
) -> Result<Value, Failure> {
    let channel = named(&request.channel)?;
    let data = data(request.data, request.b64data.as_deref())?.ok_or(ErrorReply::BAD_REQUEST)?;
    let publish = Publish {
        data,
        skip_history: request.skip_history,
        tags: request.tags.unwrap_or_default().into_iter().collect(),
        idempotency_key: request.idempotency_key.filter(|key| !key.is_empty()),
        ..Publish::default()
    };
    match gateway.publish(channel, publish, now, trace) {
        Ok(position) => Ok(position_value(&position)),
        Err(error) => Err(publish_error(&error).into()),
    }
}

pub(super) fn broadcast(
    gateway: &Gateway,
    request: BroadcastRequest<'_>,
    now: Time,
    trace: Option<&Trace>,
) -> Result<Value, Failure> {
    if request.channels.is_empty() || request.channels.len() > MOST_COMMANDS {
        return Err(ErrorReply::BAD_REQUEST.into());
    }
    let data = data(request.data, request.b64data.as_deref())?.ok_or(ErrorReply::BAD_REQUEST)?;
    let tags: Vec<(String, String)> = request.tags.unwrap_or_default().into_iter().collect();
    let key = request.idempotency_key.filter(|key| !key.is_empty());
    // One span for all: a thousand of them would say no more.
    let mut span = gateway.publication(trace);
    if let Some(span) = &mut span {
        span.attribute("messaging.batch.message_count", request.channels.len());
        span.attribute("messaging.message.body.size", data.len());
    }
    let responses = request.channels.iter().map(|channel| {
        let publish = Publish {
            data: data.clone(),
            skip_history: request.skip_history,
            tags: tags.clone(),
            idempotency_key: key.clone(),
            ..Publish::default()
        };
        match gateway.space().publish(channel, publish, now) {
            Ok(position) => json!({ "result": position_value(&position) }),
            Err(error) => json!({ "error": super::error_value(&publish_error(&error)) }),
        }
    });
    let responses: Vec<Value> = responses.collect();
    if let Some(span) = span {
        gateway.end(span);
    }
    Ok(json!({ "responses": responses }))
}

/// A position, without what a channel without history has not.
fn position_value(position: &Position) -> Value {
    if position.epoch.is_none() {
        return json!({});
    }
    json!({ "offset": position.offset, "epoch": position.epoch.to_string() })
}

pub(super) fn presence(gateway: &Gateway, request: OfChannel) -> Result<Value, Failure> {
    let clients = gateway.space().presence(named(&request.channel)?).map_err(|error| presence_error(&error))?;
    let presence: Map<String, Value> =
        clients.iter().map(|info| (info.client().to_string(), client_info(info))).collect();
    Ok(json!({ "presence": presence }))
}

pub(super) fn presence_stats(gateway: &Gateway, request: OfChannel) -> Result<Value, Failure> {
    let stats = gateway.space().presence_stats(named(&request.channel)?).map_err(|error| presence_error(&error))?;
    Ok(json!({ "num_clients": stats.clients, "num_users": stats.users }))
}

pub(super) fn history(gateway: &Gateway, request: History, now: Time) -> Result<Value, Failure> {
    let channel = named(&request.channel)?;
    let asked = HistoryRequest {
        // As for clients: 0 is the position only, and a negative number everything.
        limit: usize::try_from(request.limit.unwrap_or(0)).ok(),
        since: request.since.map(|since| Since::new(since.offset, since.epoch)),
        reverse: request.reverse,
    };
    let history = gateway.space().history(channel, &asked, now).map_err(|error| history_error(&error))?;
    let mut bytes = 0;
    let fitting = history.publications.iter().take_while(|own| {
        bytes += own.data.len();
        bytes <= MOST_ANSWER_BYTES
    });
    let publications: Vec<Value> = fitting.map(|own| publication(own)).collect();
    let (offset, epoch) = (history.position.offset, history.position.epoch.to_string());
    Ok(json!({ "publications": publications, "offset": offset, "epoch": epoch }))
}

pub(super) fn history_remove(gateway: &Gateway, request: OfChannel, now: Time) -> Result<Value, Failure> {
    gateway.space().history_remove(named(&request.channel)?, now).map_err(|error| history_error(&error))?;
    Ok(json!({}))
}

pub(super) fn list(gateway: &Gateway, request: List) -> Result<Value, Failure> {
    let channels =
        gateway.space().channels(request.pattern.as_deref().filter(|pattern| !pattern.is_empty()), MOST_CHANNELS);
    let channels: Map<String, Value> =
        channels.into_iter().map(|(name, clients)| (name, json!({ "num_clients": clients }))).collect();
    Ok(json!({ "channels": channels }))
}
