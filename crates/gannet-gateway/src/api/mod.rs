//! The server API: what applications call with `POST /api/<method>`.

mod channels;
mod clients;
mod node;
mod value;

use std::net::IpAddr;
use std::sync::Arc;

use gannet_http::{Cx, Router, Trace};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

pub(crate) use self::value::client_info;
use crate::audit::{Audited, Credential};
use crate::gateway::{FOREIGN_HOST, Gateway};
use crate::session::codes::ErrorReply;

/// The methods, for the help and for an answer to an unknown one.
pub const METHODS: [&str; 14] = [
    "publish",
    "broadcast",
    "subscribe",
    "unsubscribe",
    "disconnect",
    "refresh",
    "presence",
    "presence_stats",
    "history",
    "history_remove",
    "channels",
    "info",
    "rpc",
    "batch",
];

/// Commands of one `batch`, channels of one `broadcast`.
const MOST_COMMANDS: usize = 10_000;

/// Bytes of the replies to a batch after which no further call is carried out, and of the publications of one history.
const MOST_ANSWER_BYTES: usize = 16 << 20;

/// Says why a call was not carried out.
#[derive(Debug)]
enum Failure {
    /// The body is not what the method takes.
    Malformed(String),
    /// It cannot be done.
    Refused(ErrorReply),
}

impl From<ErrorReply> for Failure {
    fn from(error: ErrorReply) -> Self {
        Self::Refused(error)
    }
}

/// Names the kind of listener that serves the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Clients connect there, too.
    Shared,
    /// It serves nothing else.
    Own,
}

/// Returns the routes of the API.
pub(crate) fn routes(gateway: &Arc<Gateway>, listener: Listener) -> Router {
    let gateway = gateway.clone();
    Router::new().post("/api/{method}", move |cx| answer(cx, &gateway, listener))
}

/// Answers a call.
fn answer(cx: &mut Cx<'_>, gateway: &Arc<Gateway>, listener: Listener) {
    let live = gateway.live();
    if listener == Listener::Shared && live.settings.api.own_listener {
        return cx.refuse(404, "the server API is not served here\n");
    }
    // A page could send a plain form to this machine: without a key, nothing else would tell it from a program.
    if live.settings.api.keys.is_empty() {
        if !gateway.allows_origin(cx) {
            return cx.refuse(403, "the origin of this page is not allowed\n");
        }
        if gateway.is_for_another_host(cx) {
            return cx.refuse(403, FOREIGN_HOST);
        }
    }
    if !live.settings.api.allows(key(cx).as_deref(), peer(cx)) {
        let method = cx.param("method");
        gateway.audit(&Audited::new("api", Credential::ApiKey, cx.peer(), false).method(method));
        cx.refuse(401, "the server API needs its key, in X-API-Key\n");
        return;
    }
    let by_status = cx.request_header("x-centrifugo-error-mode").is_some_and(|mode| mode == b"transport");
    let time = now();
    let method = cx.param("method");
    let trace = cx.extension::<Trace>().ok().copied();
    let is_known = METHODS.contains(&method);
    let result = match method {
        // The replies of a batch have results and errors of their own.
        "batch" => match batch(gateway, cx.request_body(), time, trace.as_ref()) {
            Ok(replies) => return json_answer(cx, 200, &replies),
            Err(failure) => Err(failure),
        },
        _ => call(gateway, method, cx.request_body(), time, trace.as_ref()),
    };
    let (status, body) = match result {
        Ok(result) => (200, json!({ "result": result })),
        Err(Failure::Malformed(why)) => return cx.refuse(400, &format!("{why}\n")),
        Err(Failure::Refused(error)) if by_status => (status(error.code), error_value(&error)),
        Err(Failure::Refused(error)) => (if is_known { 200 } else { 404 }, json!({ "error": error_value(&error) })),
    };
    json_answer(cx, status, &body);
}

fn json_answer(cx: &mut Cx<'_>, status: u16, body: &impl serde::Serialize) {
    cx.status(status);
    cx.header("Content-Type", "application/json");
    match serde_json::to_vec(body) {
        Ok(body) => cx.bytes(&body),
        Err(error) => {
            tracing::error!(%error, "an answer of the server API cannot be written");
            cx.refuse(500, "the answer cannot be written\n");
        }
    }
}

fn now() -> gannet_channels::Time {
    crate::clock::time_of_day()
}

/// The key that came with a call.
fn key(cx: &Cx<'_>) -> Option<Vec<u8>> {
    if let Some(key) = cx.request_header("x-api-key") {
        return Some(key.to_vec());
    }
    if let Some(value) = cx.request_header("authorization") {
        let (scheme, key) = value.split_at_checked(7)?;
        return scheme.eq_ignore_ascii_case(b"apikey ").then(|| key.trim_ascii().to_vec());
    }
    Some(cx.query_value("api_key")?.into_owned().into_bytes())
}

/// Where a call comes from; `None` is this machine, by a Unix socket.
fn peer(cx: &Cx<'_>) -> Option<IpAddr> {
    cx.peer().ip()
}

fn status(code: u32) -> u16 {
    match code {
        102 | 104 => 404,
        107 | 108 => 400,
        112 => 416,
        _ => 500,
    }
}

fn error_value(error: &ErrorReply) -> Value {
    json!({ "code": error.code, "message": error.message })
}

/// Carries out a call of the admin page; the answer is that of the API.
///
/// # Errors
///
/// The body is not what the method takes.
pub(crate) fn run(gateway: &Gateway, method: &str, body: &[u8], trace: Option<&Trace>) -> Result<Value, String> {
    match call(gateway, method, body, now(), trace) {
        Ok(result) => Ok(json!({ "result": result })),
        Err(Failure::Refused(error)) => Ok(json!({ "error": error_value(&error) })),
        Err(Failure::Malformed(why)) => Err(why),
    }
}

/// Carries out one call.
fn call(
    gateway: &Gateway,
    method: &str,
    body: &[u8],
    now: gannet_channels::Time,
    trace: Option<&Trace>,
) -> Result<Value, Failure> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    match method {
        "publish" => channels::publish(gateway, read(body)?, now, trace),
        "broadcast" => channels::broadcast(gateway, read(body)?, now, trace),
        "presence" => channels::presence(gateway, read(body)?),
        "presence_stats" => channels::presence_stats(gateway, read(body)?),
        "history" => channels::history(gateway, read(body)?, now),
        "history_remove" => channels::history_remove(gateway, read(body)?, now),
        "channels" => channels::list(gateway, read(body)?),
        "subscribe" => clients::subscribe(gateway, read(body)?, read(body)?),
        "unsubscribe" => clients::unsubscribe(gateway, read(body)?, read(body)?),
        "disconnect" => clients::disconnect(gateway, read(body)?, read(body)?),
        "refresh" => clients::refresh(gateway, read(body)?, read(body)?),
        "info" => Ok(node::info(gateway, now)),
        // No handler of calls between servers can be configured.
        _ => Err(ErrorReply::METHOD_NOT_FOUND.into()),
    }
}

fn read<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Malformed(format!("malformed request: {error}")))
}

#[derive(serde::Deserialize)]
#[serde(expecting = "an object")]
struct Batch<'a> {
    #[serde(borrow, default)]
    commands: Vec<&'a RawValue>,
    /// Whether commands may be carried out at the same time. They are quick, so they never are.
    #[serde(default, rename = "parallel")]
    _parallel: bool,
}

/// The replies to a batch, each as it is written.
#[derive(serde::Serialize)]
struct Replies {
    replies: Vec<Box<RawValue>>,
}

/// Carries out several calls, in order. One that fails does not stop the others. Once the replies are too large together, the
/// calls that follow are not carried out, and each says so.
fn batch(
    gateway: &Gateway,
    body: &[u8],
    now: gannet_channels::Time,
    trace: Option<&Trace>,
) -> Result<Replies, Failure> {
    let Batch { commands, .. } = read(body)?;
    if commands.len() > MOST_COMMANDS {
        return Err(ErrorReply::LIMIT_EXCEEDED.into());
    }
    let (mut replies, mut bytes) = (Vec::with_capacity(commands.len()), 0);
    for command in commands {
        let reply = if bytes < MOST_ANSWER_BYTES {
            one_of_batch(gateway, command, now, trace)
        } else {
            json!({ "error": error_value(&ErrorReply::LIMIT_EXCEEDED) })
        };
        let reply = to_raw_value(&reply).map_err(|_| ErrorReply::INTERNAL)?;
        bytes += reply.get().len();
        replies.push(reply);
    }
    Ok(Replies { replies })
}

fn one_of_batch(gateway: &Gateway, command: &RawValue, now: gannet_channels::Time, trace: Option<&Trace>) -> Value {
    let bad = || json!({ "error": error_value(&ErrorReply::BAD_REQUEST) });
    let Ok(fields) = serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(command.get()) else {
        return bad();
    };
    let mut fields = fields.into_iter();
    let (Some((method, params)), None) = (fields.next(), fields.next()) else { return bad() };
    // A batch inside of a batch would have no bound.
    if method == "batch" || params.get() == "null" {
        return bad();
    }
    match call(gateway, &method, params.get().as_bytes(), now, trace) {
        Ok(result) => json!({ method: result }),
        Err(Failure::Refused(error)) => json!({ "error": error_value(&error) }),
        Err(Failure::Malformed(_)) => bad(),
    }
}
