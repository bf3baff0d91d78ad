//! Subscriptions: those that clients ask for, and the common part of those that the server makes.

use std::borrow::Cow;

use gannet_channels::{ChannelError, ClientKey, Publication, Since, Subscribe, SubscribeError, Subscribed};
use gannet_proto::centrifuge::{self, ReplyBody, SubscribeRequest, SubscribeResult};

use super::codes::{Disconnect, ErrorReply};
use super::{Expiring, Flow};
use crate::hub::Hub;
use crate::rules::{Answer, Grant, Verdict};
use crate::wire::{Wire, publication};

/// What is asked for with a subscription.
pub(super) struct Wanted<'a> {
    /// The position that the client has, if it wants what it missed: offset and epoch.
    pub(super) recover: Option<(u64, &'a str)>,
    pub(super) positioned: bool,
    pub(super) recoverable: bool,
    pub(super) join_leave: bool,
    pub(super) server_side: bool,
    /// Bytes that recovery may bring, where that is less than usual.
    pub(super) recover_bytes: Option<usize>,
}

/// A subscription that was made, and what is told of it.
pub(super) struct Held {
    subscribed: Subscribed,
    /// The offset that the client has asked to recover from, if it has.
    asked: Option<u64>,
    grant: Grant,
    ttl: u32,
}

impl Held {
    pub(super) fn is_recovered(&self) -> bool {
        self.subscribed.recovered == Some(true)
    }

    /// Returns what the client is told.
    pub(super) fn result(&self, wire: Wire) -> SubscribeResult<'_> {
        let Subscribed { position, recovered, publications, positioned, recoverable, .. } = &self.subscribed;
        let recovered = *recovered == Some(true);
        let epoch = position.as_ref().map_or(Cow::Borrowed(""), |position| position.epoch.to_string().into());
        let top = position.as_ref().map_or(0, |position| position.offset);
        SubscribeResult {
            expires: self.grant.expire_at != 0 && !self.grant.server_refresh,
            ttl: self.ttl,
            recoverable: *recoverable,
            epoch,
            publications: publications.iter().map(|own| publication(wire, own)).collect(),
            recovered,
            offset: top,
            positioned: *positioned,
            data: self.grant.data.as_deref().unwrap_or_default(),
            was_recovering: self.asked.is_some(),
            ..SubscribeResult::default()
        }
    }

    /// Returns whether the client's format can carry what it had missed, and what it is told.
    pub(super) fn fits(&self, wire: Wire) -> bool {
        wire.carries_any(self.grant.data.as_deref()) && self.publications().all(|own| wire.carries(&own.data))
    }

    /// Returns the publications that the client had missed, as clients get them.
    pub(super) fn missed(&self, wire: Wire) -> impl Iterator<Item = centrifuge::Publication<'_>> {
        self.publications().map(move |own| publication(wire, own))
    }

    /// Returns the publications that the client had missed.
    pub(super) fn publications(&self) -> impl Iterator<Item = &Publication> {
        self.subscribed.publications.iter().map(|own| &**own)
    }

    /// Returns what is told of a subscription that the server has made.
    pub(super) fn push(&self, wire: Wire) -> centrifuge::Subscribe<'_> {
        let result = self.result(wire);
        centrifuge::Subscribe {
            recoverable: result.recoverable,
            epoch: result.epoch,
            offset: result.offset,
            positioned: result.positioned,
            data: result.data,
        }
    }
}

impl Hub {
    pub(super) fn subscribe(
        &mut self,
        wire: Wire,
        key: ClientKey,
        id: u32,
        request: &SubscribeRequest<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let channel = &*request.channel;
        if channel.is_empty() {
            return Flow::Close(Disconnect::BAD_REQUEST);
        }
        if self.roster.is_subscribed(key, channel) {
            return self.refuse(wire, id, &ErrorReply::ALREADY_SUBSCRIBED);
        }
        // Map subscriptions and shared polling are of no use to anybody here.
        if request.kind != 0 {
            return self.refuse(wire, id, &ErrorReply::NOT_AVAILABLE);
        }
        if let Err(error) = self.known(channel) {
            return self.refuse(wire, id, &error);
        }
        let gateway = self.gateway.clone();
        let grant = match gateway.may_subscribe(self, key, wire, request, answer) {
            Verdict::Yes(grant) => grant,
            Verdict::No(error) => return self.refuse(wire, id, &error),
            Verdict::Close(why) => return Flow::Close(why),
            Verdict::Ask(question) => return Flow::Ask(question),
        };
        let wanted = Wanted {
            recover: request.recover.then_some((request.offset, &*request.epoch)),
            positioned: request.positioned,
            recoverable: request.recoverable,
            join_leave: request.join_leave,
            server_side: false,
            recover_bytes: None,
        };
        let held = match self.enter(key, channel, &wanted, &grant) {
            Ok(held) => held,
            Err(error) => return self.refuse(wire, id, &error),
        };
        if !held.fits(wire) {
            return Flow::Close(Disconnect::INAPPROPRIATE_PROTOCOL);
        }
        let is_strict = request.flag & SubscribeRequest::STRICT != 0;
        if is_strict && request.recover && !held.is_recovered() {
            self.exit(key, channel);
            return self.refuse(wire, id, &ErrorReply::UNRECOVERABLE_POSITION);
        }
        self.put(wire, id, ReplyBody::Subscribe(held.result(wire)));
        self.note_expiry(key, channel, &grant, false);
        Flow::Next
    }

    /// Checks that a channel can exist.
    pub(super) fn known(&self, channel: &str) -> Result<(), ErrorReply> {
        match self.gateway.space().options(channel) {
            Ok(_) => Ok(()),
            Err(ChannelError::UnknownNamespace { .. }) => Err(ErrorReply::UNKNOWN_CHANNEL),
            Err(_) => Err(ErrorReply::BAD_REQUEST),
        }
    }

    /// Subscribes a client, whoever wants that. The client may be told what comes of it, and is sent nothing before that.
    pub(super) fn enter(
        &mut self,
        key: ClientKey,
        channel: &str,
        wanted: &Wanted<'_>,
        grant: &Grant,
    ) -> Result<Held, ErrorReply> {
        let now_s = self.now_s();
        if grant.expire_at != 0 && grant.expire_at <= now_s {
            return Err(ErrorReply::EXPIRED);
        }
        let subscribe = Subscribe {
            recover: wanted.recover.map(|(offset, epoch)| Since::new(offset, epoch)),
            positioned: wanted.positioned,
            recoverable: wanted.recoverable,
            join_leave: wanted.join_leave,
            chan_info: grant.info.clone(),
            server_side: wanted.server_side,
            recover_bytes: wanted.recover_bytes,
            overrides: grant.overrides,
        };
        let subscribed = self.roster.subscribe(key, channel, &subscribe, self.now).map_err(|error| match error {
            SubscribeError::AlreadySubscribed => ErrorReply::ALREADY_SUBSCRIBED,
            SubscribeError::Channel(ChannelError::UnknownNamespace { .. }) => ErrorReply::UNKNOWN_CHANNEL,
            SubscribeError::Channel(_) => ErrorReply::BAD_REQUEST,
            _ => ErrorReply::LIMIT_EXCEEDED,
        })?;
        if let Some(recovered) = subscribed.recovered {
            self.metrics().recoveries[usize::from(recovered)].add(1);
        }
        let ttl = if grant.server_refresh { 0 } else { grant.expire_at.saturating_sub(now_s) };
        Ok(Held { subscribed, asked: wanted.recover.map(|(offset, _)| offset), grant: grant.clone(), ttl })
    }

    /// Notes when a subscription ends, if it does.
    pub(super) fn note_expiry(&mut self, key: ClientKey, channel: &str, grant: &Grant, server_side: bool) {
        let Grant { expire_at: at_s, server_refresh, .. } = *grant;
        if at_s != 0 {
            self.extra(key).expiring.push(Expiring { channel: channel.into(), at_s, server_side, server_refresh });
            self.due_sooner = true;
        }
    }

    /// Ends a subscription; says whether there was one.
    pub(super) fn exit(&mut self, key: ClientKey, channel: &str) -> bool {
        self.forget_expiry(key, channel);
        self.roster.unsubscribe(key, channel, self.now)
    }

    /// Forgets when a subscription ends, because it has ended.
    pub(crate) fn forget_expiry(&mut self, key: ClientKey, channel: &str) {
        if let Some(extra) = self.extras.get_mut(&key) {
            extra.expiring.retain(|expiring| &*expiring.channel != channel);
        }
    }

    pub(super) fn unsubscribe(&mut self, wire: Wire, key: ClientKey, id: u32, channel: &str) -> Flow {
        if channel.is_empty() {
            return Flow::Close(Disconnect::BAD_REQUEST);
        }
        self.exit(key, channel);
        self.put(wire, id, ReplyBody::Unsubscribe);
        Flow::Next
    }
}
