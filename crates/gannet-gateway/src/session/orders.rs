//! What the server API wants done with a client.

use std::borrow::Cow;

use gannet_channels::{ClientKey, Order, Ordered, Target};
use gannet_proto::centrifuge::{PushEvent, Refresh, Unsubscribe};

use super::codes::Disconnect;
use super::subscribe::Wanted;
use super::{Effects, Link, Place};
use crate::hub::Hub;
use crate::rules::Grant;
use crate::wire::Wire;

impl Hub {
    /// Carries out an order for a client.
    pub(crate) fn obey(&mut self, place: Place, link: &mut Link, ordered: &Ordered) -> Effects {
        let Link::Up(key) = *link else { return Effects::default() };
        if let Target::User { session: Some(session), .. } = ordered.target()
            && self.session_name(key).as_deref() != Some(&**session)
        {
            return Effects::default();
        }
        match ordered.order() {
            Order::Subscribe { channel, request, data, expire_at } => {
                let grant = Grant {
                    info: request.chan_info.clone(),
                    data: data.clone().filter(|data| place.wire.carries_any(Some(data))),
                    expire_at: expire_at.map_or(0, |time| u32::try_from(time.0 / 1_000).unwrap_or(u32::MAX)),
                    server_refresh: false,
                    overrides: request.overrides,
                };
                let wanted = Wanted {
                    recover: request.recover.as_ref().map(|since| (since.offset, &*since.epoch)),
                    positioned: request.positioned,
                    recoverable: request.recoverable,
                    join_leave: request.join_leave,
                    server_side: true,
                    recover_bytes: None,
                };
                self.subscribe_by_order(place, key, channel, &wanted, &grant);
                self.went_on(link)
            }
            Order::Unsubscribe { channel, code, reason } => {
                let why = Unsubscribe { code: *code, reason: Cow::Borrowed(reason) };
                self.unsubscribed_by_server(place, link, channel, why)
            }
            Order::Disconnect { code, reason, .. } => {
                let code = u16::try_from(*code).unwrap_or(Disconnect::FORCE_NO_RECONNECT.code);
                self.end(place, link, Disconnect::new(code, reason.to_string()))
            }
            Order::Refresh { expired: true, .. } => self.end(place, link, Disconnect::EXPIRED),
            Order::Refresh { expire_at, info, .. } => {
                let now_s = self.now_s();
                if let Some(info) = info {
                    self.roster.set_conn_info(key, Some(info.clone()));
                }
                if let Some(expire_at) = expire_at {
                    let at_s = u32::try_from(expire_at.0 / 1_000).unwrap_or(u32::MAX);
                    if let Some(client) = self.roster.value(key) {
                        client.expires_s = at_s;
                    }
                    self.due_sooner = true;
                    let refresh = Refresh { expires: at_s != 0, ttl: at_s.saturating_sub(now_s) };
                    self.put_push(place.wire, "", PushEvent::Refresh(refresh));
                }
                self.went_on(link)
            }
            _ => Effects::default(),
        }
    }

    /// Ends a subscription, and tells the client. An EventSource ends with it: it has no other way to know.
    pub(crate) fn unsubscribed_by_server(
        &mut self,
        place: Place,
        link: &mut Link,
        channel: &str,
        why: Unsubscribe<'_>,
    ) -> Effects {
        let Link::Up(key) = *link else { return Effects::default() };
        if self.exit(key, channel) {
            if place.wire == Wire::EventSource {
                return self.end(place, link, Disconnect::new(3_503, "unsubscribed"));
            }
            self.put_push(place.wire, channel, PushEvent::Unsubscribe(why));
        }
        Effects::default()
    }

    /// Subscribes a client, and tells it. What its format cannot carry is left out.
    fn subscribe_by_order(&mut self, place: Place, key: ClientKey, channel: &str, wanted: &Wanted<'_>, grant: &Grant) {
        match self.enter(key, channel, wanted, grant) {
            Ok(held) => {
                self.put_push(place.wire, channel, PushEvent::Subscribe(held.push(place.wire)));
                for missed in held.missed(place.wire).filter(|missed| place.wire.carries(missed.data)) {
                    self.put_push(place.wire, channel, PushEvent::Publication(missed));
                }
                self.note_expiry(key, channel, grant, true);
            }
            Err(error) => {
                tracing::debug!(code = error.code, channel, "the server API could not subscribe a client");
            }
        }
    }

    /// Returns the name of a client's session, where it has one.
    pub(crate) fn session_name(&self, key: ClientKey) -> Option<String> {
        let secret = self.extras.get(&key).map(|extra| extra.secret).filter(|secret| *secret != 0)?;
        Some(super::name::of(self.reactor, key, secret))
    }
}
