//! Methods about the clients of a user, or one client. They are carried out on the clients' own reactors, in order with
//! publications.

use std::sync::Arc;

use gannet_channels::{ChannelError, ClientId, Order, Since, Subscribe, Target, Time};
use gannet_proto::centrifuge::{DisconnectCode, UnsubscribeCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Failure;
use super::channels::{Place, named};
use super::value::data;
use crate::gateway::Gateway;
use crate::session::codes::ErrorReply;
use crate::token::RawOverrides;

/// The clients that are meant: those of a user, of which one may be named; or one client, whosever it is.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct Whom {
    /// Anonymous clients have the empty one, which has to be said: an order without a target would reach all of them.
    user: Option<String>,
    #[serde(default)]
    client: String,
    #[serde(default)]
    session: String,
}

impl Whom {
    fn target(self) -> Result<Target, Failure> {
        let client = match &*self.client {
            "" => None,
            text => Some(text.parse::<ClientId>().map_err(|_| ErrorReply::BAD_REQUEST)?),
        };
        let is_named = self.user.as_ref().is_some_and(|user| !user.is_empty()) || !self.session.is_empty();
        match client {
            Some(client) if !is_named => Ok(Target::Client(client)),
            None if self.user.is_none() && self.session.is_empty() => Err(ErrorReply::BAD_REQUEST.into()),
            client => {
                let session = (!self.session.is_empty()).then(|| Arc::from(self.session));
                Ok(Target::User { user: Arc::from(self.user.unwrap_or_default()), client, session })
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct SubscribeRequest<'a> {
    #[serde(default)]
    channel: String,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    b64data: Option<String>,
    #[serde(default)]
    expire_at: u64,
    recover_since: Option<Place>,
    #[serde(rename = "override")]
    overrides: Option<RawOverrides>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct UnsubscribeRequest {
    #[serde(default)]
    channel: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct DisconnectRequest {
    #[serde(default)]
    whitelist: Vec<String>,
    disconnect: Option<Why>,
}

/// What a client is told.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Why {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct RefreshRequest<'a> {
    #[serde(default)]
    expired: bool,
    expire_at: Option<u64>,
    #[serde(borrow)]
    info: Option<&'a RawValue>,
}

fn order(gateway: &Gateway, target: Target, order: Order) -> Result<Value, Failure> {
    match gateway.space().order(target, order) {
        Ok(_) => Ok(json!({})),
        Err(error) => {
            tracing::warn!(%error, "an order of the server API is refused");
            Err(ErrorReply::INTERNAL.into())
        }
    }
}

/// Seconds since the UNIX epoch.
fn time(seconds: u64) -> Time {
    Time(seconds.saturating_mul(1_000))
}

/// The name of a channel that can exist.
fn known(gateway: &Gateway, channel: &str) -> Result<Arc<str>, Failure> {
    match gateway.space().options(named(channel)?) {
        Ok(_) => Ok(channel.into()),
        Err(ChannelError::UnknownNamespace { .. }) => Err(ErrorReply::UNKNOWN_CHANNEL.into()),
        Err(_) => Err(ErrorReply::BAD_REQUEST.into()),
    }
}

pub(super) fn subscribe(gateway: &Gateway, whom: Whom, request: SubscribeRequest<'_>) -> Result<Value, Failure> {
    let channel = known(gateway, &request.channel)?;
    let subscribe = Subscribe {
        recover: request.recover_since.map(|since| Since::new(since.offset, since.epoch)),
        chan_info: data(request.info, request.b64info.as_deref())?,
        server_side: true,
        overrides: request.overrides.map(Into::into).unwrap_or_default(),
        ..Subscribe::default()
    };
    let target = whom.target()?;
    let data = data(request.data, request.b64data.as_deref())?;
    let expire_at = (request.expire_at > 0).then(|| time(request.expire_at));
    order(gateway, target, Order::Subscribe { channel, request: subscribe, data, expire_at })
}

pub(super) fn unsubscribe(gateway: &Gateway, whom: Whom, request: UnsubscribeRequest) -> Result<Value, Failure> {
    let channel = known(gateway, &request.channel)?;
    let target = whom.target()?;
    let why = UnsubscribeCode::Server;
    order(gateway, target, Order::Unsubscribe { channel, code: why.number(), reason: why.text().into() })
}

pub(super) fn disconnect(gateway: &Gateway, whom: Whom, request: DisconnectRequest) -> Result<Value, Failure> {
    let target = whom.target()?;
    let own = DisconnectCode::ForceNoReconnect;
    let why = request.disconnect.unwrap_or(Why { code: own.number(), reason: own.text().to_owned() });
    // Codes below are WebSocket's own.
    if !(3_000..=4_999).contains(&why.code) || why.reason.len() > 123 {
        return Err(ErrorReply::BAD_REQUEST.into());
    }
    let except = request.whitelist.iter().map(|id| id.parse()).collect::<Result<_, _>>();
    let except = except.map_err(|_| ErrorReply::BAD_REQUEST)?;
    order(gateway, target, Order::Disconnect { code: why.code, reason: why.reason.into(), except })
}

pub(super) fn refresh(gateway: &Gateway, whom: Whom, request: RefreshRequest<'_>) -> Result<Value, Failure> {
    let target = whom.target()?;
    let info = data(request.info, None)?;
    // Zero is never.
    let expire_at = request.expire_at.map(time);
    order(gateway, target, Order::Refresh { expired: request.expired, expire_at, info })
}
