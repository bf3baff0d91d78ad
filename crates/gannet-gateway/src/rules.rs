//! What a session asks before it does what a client wants: who the client is, and what that one may do.
//!
//! An answer may need the application, or keys that are being fetched ([`Verdict::Ask`]). The session then waits, and asks
//! again with the answer at hand.

use std::sync::Arc;

use bytes::Bytes;
use gannet_channels::{ClientKey, Overrides};
use gannet_http::Trace;
use gannet_proto::centrifuge::{ConnectRequest, PublishRequest, RpcRequest, SubscribeRequest};

use crate::application::{self, Event, Permit, Reply, What};
use crate::gateway::Gateway;
use crate::hub::{Headers, Hub};
use crate::permissions::{self, Decision, Denial, Who};
use crate::session::Place;
use crate::session::codes::{Disconnect, ErrorReply};
use crate::settings::EventKind;
use crate::token::{ConnectionClaims, ServerSubscription, SubscriptionClaims, TokenError, TokenOutcome};
use crate::wire::Wire;

/// What comes of a question.
#[derive(Debug)]
pub enum Verdict<T> {
    /// It is allowed, as said here.
    Yes(T),
    /// The command gets this error.
    No(ErrorReply),
    /// The connection is closed.
    Close(Disconnect),
    /// Somebody has to be asked.
    Ask(Box<Question>),
}

/// Who a client is, and what it gets when it connects.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The user; empty for an anonymous one.
    pub user: Arc<str>,
    /// What other clients are told of the connection.
    pub info: Option<Bytes>,
    /// When the connection ends unless it is refreshed, in seconds since the UNIX epoch; 0 is never.
    pub expire_at: u32,
    /// Whether the server refreshes the connection by itself, by asking the application.
    pub server_refresh: bool,
    /// Data for the client.
    pub data: Option<Bytes>,
    /// What the application wants to be told with each question about this client.
    pub meta: Option<Bytes>,
    /// The channels that the server subscribes the client to.
    pub subscriptions: Vec<(Box<str>, Grant)>,
}

/// How a client may subscribe to a channel.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// What other clients are told of the subscription.
    pub info: Option<Bytes>,
    /// Data for the client.
    pub data: Option<Bytes>,
    /// When the subscription ends unless it is refreshed, in seconds since the UNIX epoch; 0 is never.
    pub expire_at: u32,
    /// Whether the server refreshes the subscription by itself, by asking the application.
    pub server_refresh: bool,
    /// Options of the channel that differ for this subscription.
    pub overrides: Overrides,
}

/// Somebody to be asked, on a thread that may wait.
#[derive(Debug)]
pub struct Question {
    /// What the answer is for.
    purpose: Purpose,
    what: Asked,
    trace: Option<Trace>,
}

#[derive(Debug)]
enum Asked {
    /// The application.
    Application(Box<OfApplication>),
    /// Nobody: keys are being fetched.
    Keys,
}

#[derive(Debug)]
struct OfApplication {
    permit: Permit,
    event: Event,
    headers: Headers,
}

/// What an answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A command that waits.
    Command,
    /// A longer life of the connection.
    Refresh,
    /// A longer life of the subscription to this channel.
    SubscriptionRefresh(Box<str>),
}

/// What comes of a question.
#[derive(Debug)]
pub struct Answer {
    /// What it is for.
    pub purpose: Purpose,
    /// What the application has said; `None` if there is no answer to use, or there were keys to wait for.
    pub what: Option<application::Answer>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
}

impl Question {
    /// Returns what is answered where nobody can be asked.
    pub(crate) fn unanswered(&self) -> Answer {
        Answer { purpose: self.purpose.clone(), what: None, trace: self.trace }
    }

    /// Asks. Blocks the thread.
    pub(crate) fn ask(self, gateway: &Gateway) -> Answer {
        let what = match self.what {
            Asked::Application(asked) => {
                let OfApplication { permit, event, headers } = *asked;
                permit.call(&event, &headers).ok()
            }
            Asked::Keys => {
                gateway.live().tokens.wait_for_keys();
                None
            }
        };
        Answer { purpose: self.purpose, what, trace: self.trace }
    }
}

/// What is published in place of what the client has sent.
#[derive(Debug, Default)]
pub struct Publishing {
    /// Other data.
    pub data: Option<Bytes>,
    /// Whether it stays out of the history.
    pub skip_history: bool,
    /// A key by which a publication that comes again is recognised.
    pub idempotency_key: Option<String>,
}

/// How long a connection or subscription may last.
#[derive(Clone, Debug, Default)]
pub struct Refreshed {
    /// It is over.
    pub expired: bool,
    /// When it ends, in seconds since the UNIX epoch; 0 is never.
    pub expire_at: u32,
    /// What others see of the client from now on.
    pub info: Option<Bytes>,
    /// What the application wants to be told from now on.
    pub meta: Option<Bytes>,
}

/// What is read of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Who is there.
    Presence,
    /// What was published.
    History,
}

impl Gateway {
    /// Decides whether a client may connect, and as who.
    pub(crate) fn admit(
        &self,
        hub: &mut Hub,
        place: Place,
        request: &ConnectRequest<'_>,
        answer: Option<Answer>,
    ) -> Verdict<Credentials> {
        let mut verdict = if !request.token.is_empty() {
            self.admit_by_token(hub, &request.token, answer.is_some())
        } else if self.live().application.decides(EventKind::Connect) {
            self.admit_by_application(hub, place, request, answer)
        } else if self.live().settings.client.anonymous || self.live().settings.client.insecure {
            Verdict::Yes(Credentials::default())
        } else {
            Verdict::No(ErrorReply::UNAUTHORIZED)
        };
        if let Verdict::Yes(credentials) = &mut verdict
            && self.live().settings.client.personal_channel
            && let Some(own) = permissions::personal_channel(&credentials.user)
            && credentials.subscriptions.iter().all(|(channel, _)| **channel != *own)
        {
            credentials.subscriptions.push((own.into(), Grant::default()));
        }
        verdict
    }

    fn admit_by_token(&self, hub: &Hub, token: &str, waited: bool) -> Verdict<Credentials> {
        match self.live().tokens.connection(token, hub.now) {
            Ok(claims) => {
                let ConnectionClaims { user, expire_at, info, meta, subs, .. } = claims;
                Verdict::Yes(Credentials {
                    user: user.into(),
                    info,
                    expire_at: end(expire_at),
                    server_refresh: false,
                    data: None,
                    meta,
                    subscriptions: subs.into_iter().map(subscription).collect(),
                })
            }
            Err(TokenError::KeysWanted) if !waited => keys(),
            Err(error) => match error.outcome() {
                TokenOutcome::Invalid => Verdict::Close(Disconnect::INVALID_TOKEN),
                TokenOutcome::Expired => Verdict::No(ErrorReply::TOKEN_EXPIRED),
                TokenOutcome::Unavailable => Verdict::No(ErrorReply::INTERNAL),
            },
        }
    }

    fn admit_by_application(
        &self,
        hub: &mut Hub,
        place: Place,
        request: &ConnectRequest<'_>,
        answer: Option<Answer>,
    ) -> Verdict<Credentials> {
        let Some(answer) = answer else {
            let own = request.headers.iter().map(|(name, value)| (&**name, &**value));
            let own = self.live().application.pick(own);
            if !own.is_empty() {
                hub.headers.entry(place.handle).or_default().extend(own);
            }
            let what = What::Connect {
                data: bytes(request.data),
                name: request.name.to_string(),
                version: request.version.to_string(),
                channels: request.subs.iter().map(|(channel, _)| channel.to_string()).collect(),
            };
            return self.question(hub, None, place, Purpose::Command, what);
        };
        let result = match reply(answer) {
            Ok(Reply::Connect(result)) => result,
            Ok(_) => return Verdict::No(ErrorReply::INTERNAL),
            Err(verdict) => return verdict.into(),
        };
        Verdict::Yes(Credentials {
            user: result.user.into(),
            info: result.info,
            expire_at: end(result.expire_at),
            server_refresh: self.live().application.decides(EventKind::Refresh),
            data: result.data,
            meta: result.meta,
            subscriptions: result.subs.into_iter().map(subscription).collect(),
        })
    }

    /// Decides whether a client may subscribe to a channel.
    pub(crate) fn may_subscribe(
        &self,
        hub: &mut Hub,
        key: ClientKey,
        wire: Wire,
        request: &SubscribeRequest<'_>,
        answer: Option<Answer>,
    ) -> Verdict<Grant> {
        let channel = &*request.channel;
        let options = self.space().options(channel).ok();
        let options = options.as_deref();
        let user = hub.user(key);
        let personal = self.live().settings.client.personal_channel;
        match permissions::subscribe(options, channel, self.who(&user), !request.token.is_empty(), personal) {
            Decision::Allow => Verdict::Yes(Grant::default()),
            Decision::Deny(denial) => Verdict::No(denied(denial)),
            Decision::VerifyToken => {
                match self.subscription_token(hub, &user, channel, &request.token, answer.is_some()) {
                    Verdict::Yes(claims) => Verdict::Yes(Grant {
                        info: claims.info,
                        data: None,
                        expire_at: end(claims.expire_at),
                        server_refresh: false,
                        overrides: claims.overrides,
                    }),
                    Verdict::No(error) => Verdict::No(error),
                    Verdict::Close(why) => Verdict::Close(why),
                    Verdict::Ask(question) => Verdict::Ask(question),
                }
            }
            Decision::Ask => {
                let Some(answer) = answer else {
                    let what = What::Subscribe {
                        user: user.to_string(),
                        channel: channel.to_owned(),
                        token: request.token.to_string(),
                        data: bytes(request.data),
                        meta: hub.meta(key),
                    };
                    return self.question_of(hub, key, wire, Purpose::Command, what);
                };
                match reply(answer) {
                    Ok(Reply::Subscribe(result)) => Verdict::Yes(Grant {
                        info: result.info,
                        data: result.data,
                        expire_at: end(result.expire_at),
                        server_refresh: options.is_some_and(|options| options.sub_refresh_proxy),
                        overrides: result.overrides,
                    }),
                    Ok(_) => Verdict::No(ErrorReply::INTERNAL),
                    Err(verdict) => verdict.into(),
                }
            }
        }
    }

    /// Reads a token for a channel: it has to be of this user and for this channel.
    fn subscription_token(
        &self,
        hub: &Hub,
        user: &str,
        channel: &str,
        token: &str,
        waited: bool,
    ) -> Verdict<SubscriptionClaims> {
        match self.live().tokens.subscription(token, hub.now) {
            Ok(claims) if claims.user != user || claims.channel != channel => Verdict::Close(Disconnect::INVALID_TOKEN),
            Ok(claims) => Verdict::Yes(claims),
            Err(TokenError::KeysWanted) if !waited => keys(),
            Err(error) => Verdict::No(match error.outcome() {
                TokenOutcome::Invalid => ErrorReply::PERMISSION_DENIED,
                TokenOutcome::Expired => ErrorReply::TOKEN_EXPIRED,
                TokenOutcome::Unavailable => ErrorReply::INTERNAL,
            }),
        }
    }

    /// Decides whether a client may publish, and what is published.
    pub(crate) fn may_publish(
        &self,
        hub: &mut Hub,
        key: ClientKey,
        wire: Wire,
        request: &PublishRequest<'_>,
        answer: Option<Answer>,
    ) -> Verdict<Publishing> {
        let channel = &*request.channel;
        let (user, subscribed) = (hub.user(key), hub.roster.is_subscribed(key, channel));
        match permissions::publish(self.space().options(channel).ok().as_deref(), channel, self.who(&user), subscribed)
        {
            Decision::Allow => Verdict::Yes(Publishing::default()),
            Decision::Deny(denial) => Verdict::No(denied(denial)),
            Decision::VerifyToken => Verdict::No(ErrorReply::PERMISSION_DENIED),
            Decision::Ask => {
                let Some(answer) = answer else {
                    let what = What::Publish {
                        user: user.to_string(),
                        channel: channel.to_owned(),
                        data: Bytes::copy_from_slice(request.data),
                        meta: hub.meta(key),
                    };
                    return self.question_of(hub, key, wire, Purpose::Command, what);
                };
                match reply(answer) {
                    Ok(Reply::Publish(result)) => Verdict::Yes(Publishing {
                        data: result.data,
                        skip_history: result.skip_history,
                        idempotency_key: result.idempotency_key,
                    }),
                    Ok(_) => Verdict::No(ErrorReply::INTERNAL),
                    Err(verdict) => verdict.into(),
                }
            }
        }
    }

    /// Decides whether a client may read a channel's presence or history.
    pub(crate) fn may_read(&self, hub: &Hub, key: ClientKey, channel: &str, what: Read) -> Result<(), ErrorReply> {
        let (user, subscribed) = (hub.user(key), hub.roster.is_subscribed(key, channel));
        let options = self.space().options(channel).ok();
        let options = options.as_deref();
        let decision = match what {
            Read::Presence => permissions::presence(options, self.who(&user), subscribed),
            Read::History => permissions::history(options, self.who(&user), subscribed),
        };
        match decision {
            Decision::Allow => Ok(()),
            Decision::Deny(denial) => Err(denied(denial)),
            Decision::VerifyToken | Decision::Ask => Err(ErrorReply::PERMISSION_DENIED),
        }
    }

    /// Calls a procedure of the application.
    pub(crate) fn call(
        &self,
        hub: &mut Hub,
        key: ClientKey,
        wire: Wire,
        request: &RpcRequest<'_>,
        answer: Option<Answer>,
    ) -> Verdict<Bytes> {
        let Some(answer) = answer else {
            if !self.live().application.decides(EventKind::Rpc) {
                return Verdict::No(ErrorReply::NOT_AVAILABLE);
            }
            let what = What::Rpc {
                user: hub.user(key).to_string(),
                method: request.method.to_string(),
                data: bytes(request.data),
                meta: hub.meta(key),
            };
            return self.question_of(hub, key, wire, Purpose::Command, what);
        };
        match reply(answer) {
            Ok(Reply::Rpc(result)) => Verdict::Yes(result.data.unwrap_or_default()),
            Ok(_) => Verdict::No(ErrorReply::INTERNAL),
            Err(verdict) => verdict.into(),
        }
    }

    /// Reads a new token of a connection; gives its end in seconds since the UNIX epoch, 0 for none.
    pub(crate) fn renew(&self, hub: &mut Hub, key: ClientKey, token: &str, waited: bool) -> Verdict<u32> {
        match self.live().tokens.connection(token, hub.now) {
            Ok(claims) if claims.user != *hub.user(key) => Verdict::Close(Disconnect::INVALID_TOKEN),
            Ok(claims) => Verdict::Yes(end(claims.expire_at)),
            Err(TokenError::KeysWanted) if !waited => keys(),
            Err(error) => match error.outcome() {
                TokenOutcome::Invalid => Verdict::Close(Disconnect::INVALID_TOKEN),
                TokenOutcome::Expired => Verdict::Close(Disconnect::EXPIRED),
                TokenOutcome::Unavailable => Verdict::No(ErrorReply::INTERNAL),
            },
        }
    }

    /// Reads a new token of a subscription; gives its end in seconds since the UNIX epoch, 0 for none.
    pub(crate) fn renew_subscription(
        &self,
        hub: &mut Hub,
        key: ClientKey,
        channel: &str,
        token: &str,
        waited: bool,
    ) -> Verdict<u32> {
        let user = hub.user(key);
        match self.subscription_token(hub, &user, channel, token, waited) {
            Verdict::Yes(claims) => Verdict::Yes(end(claims.expire_at)),
            Verdict::No(error) => Verdict::No(error),
            Verdict::Close(why) => Verdict::Close(why),
            Verdict::Ask(question) => Verdict::Ask(question),
        }
    }

    /// Makes the question how long a connection may last. `None` if nobody can be asked at the moment.
    pub(crate) fn question_refresh(&self, hub: &mut Hub, key: ClientKey, wire: Wire) -> Option<Box<Question>> {
        let what = What::Refresh { user: hub.user(key).to_string(), meta: hub.meta(key) };
        match self.question_of::<()>(hub, key, wire, Purpose::Refresh, what) {
            Verdict::Ask(question) => Some(question),
            _ => None,
        }
    }

    /// Makes the question how long a subscription may last. `None` if nobody can be asked at the moment.
    pub(crate) fn question_sub_refresh(
        &self,
        hub: &mut Hub,
        key: ClientKey,
        wire: Wire,
        channel: &str,
    ) -> Option<Box<Question>> {
        let user = hub.user(key).to_string();
        let what = What::SubRefresh { user, channel: channel.to_owned(), meta: hub.meta(key) };
        match self.question_of::<()>(hub, key, wire, Purpose::SubscriptionRefresh(channel.into()), what) {
            Verdict::Ask(question) => Some(question),
            _ => None,
        }
    }

    fn question_of<T>(&self, hub: &mut Hub, key: ClientKey, wire: Wire, purpose: Purpose, what: What) -> Verdict<T> {
        let Some(handle) = hub.roster.value(key).map(|client| client.handle) else {
            return Verdict::No(ErrorReply::INTERNAL);
        };
        self.question(hub, Some(key), Place { handle, wire }, purpose, what)
    }

    fn question<T>(&self, hub: &Hub, key: Option<ClientKey>, place: Place, purpose: Purpose, what: What) -> Verdict<T> {
        let id = key.and_then(|key| hub.roster.id(key)).map(|id| id.to_string()).unwrap_or_default();
        let (transport, protocol) = (place.wire.transport(), place.wire.protocol());
        let event = Event { client: application::Client { id, transport, protocol }, what };
        let Ok(permit) = self.live().application.begin(event.kind()) else { return Verdict::No(ErrorReply::INTERNAL) };
        let headers = hub.headers.get(&place.handle).cloned().unwrap_or_default();
        let span = self.call_span(hub.trace_of(place.handle).as_ref());
        let trace = span.as_ref().map(|span| span.trace);
        let permit = permit.recorded(span);
        Verdict::Ask(Box::new(Question {
            purpose,
            what: Asked::Application(Box::new(OfApplication { permit, event, headers })),
            trace,
        }))
    }

    fn who<'a>(&self, user: &'a str) -> Who<'a> {
        Who { user, insecure: self.live().settings.client.insecure }
    }
}

/// Reads how long something may last. `None` if the application gave no answer to use: then it is asked again.
pub(crate) fn refreshed(what: Option<application::Answer>) -> Option<Result<Refreshed, Disconnect>> {
    match what? {
        application::Answer::Result(Reply::Refresh(result)) => Some(Ok(Refreshed {
            expired: result.expired,
            expire_at: end(result.expire_at),
            info: result.info,
            meta: result.meta,
        })),
        application::Answer::Disconnect { code, reason } => Some(Err(Disconnect::new(code, reason))),
        _ => None,
    }
}

/// What the application has said in place of a result.
enum Refusal {
    No(ErrorReply),
    Close(Disconnect),
}

impl<T> From<Refusal> for Verdict<T> {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::No(error) => Self::No(error),
            Refusal::Close(why) => Self::Close(why),
        }
    }
}

fn reply(answer: Answer) -> Result<Reply, Refusal> {
    match answer.what {
        Some(application::Answer::Result(reply)) => Ok(reply),
        Some(application::Answer::Error { code, message, temporary }) => {
            Err(Refusal::No(ErrorReply { code, message: message.into(), temporary }))
        }
        Some(application::Answer::Disconnect { code, reason }) => Err(Refusal::Close(Disconnect::new(code, reason))),
        None => Err(Refusal::No(ErrorReply::INTERNAL)),
    }
}

fn keys<T>() -> Verdict<T> {
    Verdict::Ask(Box::new(Question { purpose: Purpose::Command, what: Asked::Keys, trace: None }))
}

fn denied(denial: Denial) -> ErrorReply {
    match denial {
        Denial::UnknownChannel => ErrorReply::UNKNOWN_CHANNEL,
        Denial::PermissionDenied => ErrorReply::PERMISSION_DENIED,
        Denial::BadRequest => ErrorReply::BAD_REQUEST,
        Denial::NotAvailable => ErrorReply::NOT_AVAILABLE,
    }
}

fn subscription(own: ServerSubscription) -> (Box<str>, Grant) {
    let ServerSubscription { channel, info, data, overrides, .. } = own;
    (channel.into(), Grant { info, data, expire_at: 0, server_refresh: false, overrides })
}

/// The end as a session keeps it; 0 is never.
fn end(expire_at: Option<u64>) -> u32 {
    expire_at.map_or(0, |at| u32::try_from(at).unwrap_or(u32::MAX))
}

fn bytes(data: &[u8]) -> Option<Bytes> {
    (!data.is_empty()).then(|| Bytes::copy_from_slice(data))
}
