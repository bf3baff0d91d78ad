//! How a connection and a subscription get a longer life: by a new token of the client, or by the application.

use gannet_channels::ClientKey;
use gannet_proto::centrifuge::{PushEvent, Refresh, RefreshResult, ReplyBody, SubRefreshRequest, SubRefreshResult};

use super::codes::{Disconnect, ErrorReply};
use super::connect::VERSION;
use super::{Effects, Flow, Link, Place};
use crate::application;
use crate::hub::Hub;
use crate::rules::{Answer, Refreshed, Verdict, refreshed};
use crate::wire::Wire;

impl Hub {
    pub(super) fn refresh(&mut self, wire: Wire, key: ClientKey, id: u32, token: &str, answer: Option<Answer>) -> Flow {
        if token.is_empty() {
            return Flow::Close(Disconnect::BAD_REQUEST);
        }
        let gateway = self.gateway.clone();
        let expire_at = match gateway.renew(self, key, token, answer.is_some()) {
            Verdict::Yes(expire_at) => expire_at,
            Verdict::No(error) => return self.refuse(wire, id, &error),
            Verdict::Close(why) => return Flow::Close(why),
            Verdict::Ask(question) => return Flow::Ask(question),
        };
        let now_s = self.now_s();
        if expire_at != 0 && expire_at <= now_s {
            return Flow::Close(Disconnect::EXPIRED);
        }
        if let Some(client) = self.roster.value(key) {
            client.expires_s = expire_at;
        }
        let client = self.roster.id(key).map(|id| id.to_string()).unwrap_or_default();
        let result = RefreshResult {
            client: client.into(),
            version: VERSION.into(),
            expires: expire_at != 0,
            ttl: expire_at.saturating_sub(now_s),
        };
        self.put(wire, id, ReplyBody::Refresh(result));
        Flow::Next
    }

    pub(super) fn sub_refresh(
        &mut self,
        wire: Wire,
        key: ClientKey,
        id: u32,
        request: &SubRefreshRequest<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let (channel, token) = (&*request.channel, &*request.token);
        if channel.is_empty() {
            return Flow::Close(Disconnect::BAD_REQUEST);
        }
        if !self.roster.is_subscribed(key, channel) {
            return self.refuse(wire, id, &ErrorReply::PERMISSION_DENIED);
        }
        let gateway = self.gateway.clone();
        let expire_at = match gateway.renew_subscription(self, key, channel, token, answer.is_some()) {
            Verdict::Yes(expire_at) => expire_at,
            Verdict::No(error) => return self.refuse(wire, id, &error),
            Verdict::Close(why) => return Flow::Close(why),
            Verdict::Ask(question) => return Flow::Ask(question),
        };
        let now_s = self.now_s();
        if expire_at != 0 && expire_at <= now_s {
            // The subscription ends when it would have ended.
            return self.refuse(wire, id, &ErrorReply::TOKEN_EXPIRED);
        }
        self.prolong(key, channel, expire_at);
        let result = SubRefreshResult { expires: expire_at != 0, ttl: expire_at.saturating_sub(now_s) };
        self.put(wire, id, ReplyBody::SubRefresh(result));
        Flow::Next
    }

    /// Gives a subscription another end; 0 is none.
    fn prolong(&mut self, key: ClientKey, channel: &str, expire_at: u32) {
        let Some(extra) = self.extras.get_mut(&key) else { return };
        for expiring in extra.expiring.iter_mut().filter(|expiring| &*expiring.channel == channel) {
            expiring.at_s = expire_at;
        }
        extra.expiring.retain(|expiring| expiring.at_s != 0);
    }

    /// The application has answered how long a connection may last.
    pub(super) fn refreshed_by_server(
        &mut self,
        place: Place,
        link: &mut Link,
        what: Option<application::Answer>,
    ) -> Effects {
        let now_s = self.now_s();
        match refreshed(what) {
            Some(Err(why)) => return self.end(place, link, why),
            Some(Ok(Refreshed { expired: true, .. })) => return self.end(place, link, Disconnect::EXPIRED),
            Some(Ok(Refreshed { expire_at, info, meta, .. })) => {
                let Link::Up(key) = *link else { return Effects::default() };
                if let Some(info) = info {
                    self.roster.set_conn_info(key, Some(info));
                }
                if let Some(client) = self.roster.value(key) {
                    client.expires_s = expire_at;
                    if meta.is_some() {
                        self.extra(key).meta = meta;
                    }
                }
                let refresh = Refresh { expires: expire_at != 0, ttl: expire_at.saturating_sub(now_s) };
                self.put_push(place.wire, "", PushEvent::Refresh(refresh));
            }
            // It is asked again when the timer fires that was set with the question.
            None => return Effects::default(),
        }
        Effects { next: self.next_look(link), ..Effects::default() }
    }

    /// The application has answered how long a subscription may last.
    pub(super) fn subscription_refreshed_by_server(
        &mut self,
        place: Place,
        link: &mut Link,
        channel: &str,
        what: Option<application::Answer>,
    ) -> Effects {
        match refreshed(what) {
            Some(Err(why)) => return self.end(place, link, why),
            Some(Ok(Refreshed { expired: true, .. })) => return self.expire_subscription(place, link, channel),
            Some(Ok(Refreshed { expire_at, .. })) => {
                if let Link::Up(key) = *link {
                    self.prolong(key, channel, expire_at);
                }
            }
            None => return Effects::default(),
        }
        Effects { next: self.next_look(link), ..Effects::default() }
    }
}
