//! The first command: who the client is, and the subscriptions that the server makes for it.

use std::borrow::Cow;

use gannet_channels::{Connect, ConnectError, Publication};
use gannet_proto::centrifuge::{ConnectRequest, ConnectResult, SubscribeResult};

use super::codes::{Disconnect, ErrorReply};
use super::subscribe::{Held, Wanted};
use super::{Client, Extra, Flags, Flow, Link, Place};
use crate::hub::Hub;
use crate::rules::{Answer, Credentials, Verdict};

/// The version that clients are told.
pub(crate) const VERSION: &str = concat!("gannet ", env!("CARGO_PKG_VERSION"));

impl Hub {
    pub(super) fn connect(
        &mut self,
        place: Place,
        link: &mut Link,
        id: u32,
        request: &ConnectRequest<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let gateway = self.gateway.clone();
        let credentials = match gateway.admit(self, place, request, answer) {
            Verdict::Yes(credentials) => credentials,
            Verdict::No(error) => {
                if place.wire.is_one_way() {
                    // There is no reply that could bring it.
                    return Flow::Close(one_way(&error));
                }
                // Nothing but the end follows after an error.
                let patience_ms = u32::try_from(self.patience().as_millis()).unwrap_or(u32::MAX);
                *link = Link::Refused { until_ms: self.clock_ms.wrapping_add(patience_ms) };
                return self.refuse(place.wire, id, &error);
            }
            Verdict::Close(why) => return Flow::Close(why),
            Verdict::Ask(question) => return Flow::Ask(question),
        };
        match self.establish(place, link, id, request, credentials) {
            Ok(()) => Flow::Next,
            Err(why) => Flow::Close(why),
        }
    }

    /// Enters a client into the channel space, with its server-side subscriptions, and answers.
    pub(super) fn establish(
        &mut self,
        place: Place,
        link: &mut Link,
        id: u32,
        request: &ConnectRequest<'_>,
        credentials: Credentials,
    ) -> Result<(), Disconnect> {
        let Credentials { user, info, expire_at, server_refresh, data, meta, subscriptions } = credentials;
        let now_s = self.now_s();
        if expire_at != 0 && expire_at <= now_s {
            return Err(Disconnect::EXPIRED);
        }
        if !place.wire.carries_any(data.as_deref()) {
            return Err(Disconnect::INAPPROPRIATE_PROTOCOL);
        }
        let pace = self.pace;
        let ping_ms = self.pace_of(pace).ping_ms;
        let ping = if ping_ms == 0 { 0 } else { (ping_ms / 1_000).max(1) };
        let pong = ping > 0 && !place.wire.is_one_way();
        // So that clients that connected together are not pinged together.
        let first_ping_ms = self.random.between(ping_ms / 2, ping_ms);
        let mut flags = Flags::default();
        if place.wire.is_one_way() {
            flags.set(Flags::ONE_WAY);
        }
        if server_refresh {
            flags.set(Flags::SERVER_REFRESH);
        }
        let secret = if place.wire.names_its_session() { self.random.secret() } else { 0 };
        let client = Client {
            handle: place.handle,
            wire: place.wire,
            expires_s: expire_at,
            since_s: self.now_s(),
            ping_ms: self.clock_ms.wrapping_add(first_ping_ms),
            commands: super::Bucket::default(),
            publications: super::Bucket::default(),
            flags,
            excess: 0,
            pace,
        };
        let connect = Connect { user: user.as_ref().into(), conn_info: info, format: place.wire as u8, value: client };
        let (key, client_id) = match self.roster.connect(connect) {
            Ok(connected) => connected,
            Err(ConnectError::TooManyConnections { .. } | ConnectError::RosterFull) => {
                return Err(Disconnect::CONNECTION_LIMIT);
            }
            Err(error) => {
                tracing::error!(%error, "a client cannot be taken");
                return Err(Disconnect::SERVER_ERROR);
            }
        };
        if meta.is_some() || secret != 0 {
            self.extras.insert(key, Extra { meta, secret, ..Extra::default() });
        }
        *link = Link::Up(key);
        self.forget_trace(place.handle);
        self.metrics().clients[place.wire as usize].add(1);

        let mut held: Vec<(&str, Held)> = Vec::with_capacity(subscriptions.len());
        // All recoveries of a connect share what one may bring: they leave in one frame.
        let mut recover_bytes = self.live.settings.channels.limits.recovery_bytes;
        for (channel, grant) in &subscriptions {
            let asked = request.subs.iter().find(|(name, _)| **name == **channel).map(|(_, asked)| asked);
            let wanted = Wanted {
                recover: asked.filter(|asked| asked.recover).map(|asked| (asked.offset, &*asked.epoch)),
                positioned: false,
                recoverable: false,
                join_leave: false,
                server_side: true,
                recover_bytes: Some(recover_bytes),
            };
            match self.enter(key, channel, &wanted, grant) {
                Ok(entered) if !entered.fits(place.wire) => return Err(Disconnect::INAPPROPRIATE_PROTOCOL),
                Ok(entered) => {
                    let brings = entered.publications().map(Publication::cost).sum();
                    recover_bytes = recover_bytes.saturating_sub(brings);
                    held.push((channel, entered));
                }
                // Named twice.
                Err(error) if error == ErrorReply::ALREADY_SUBSCRIBED => {}
                Err(error) if error == ErrorReply::LIMIT_EXCEEDED => return Err(Disconnect::CHANNEL_LIMIT),
                Err(error) => {
                    tracing::debug!(code = error.code, channel = &**channel, "a server-side subscription failed");
                    return Err(match error.code {
                        100 => Disconnect::SERVER_ERROR,
                        _ => Disconnect::BAD_REQUEST,
                    });
                }
            }
            self.note_expiry(key, channel, grant, true);
        }

        let subs = held.iter().map(|(channel, held)| (Cow::Borrowed(*channel), held.result(place.wire)));
        let subs: Vec<(Cow<'_, str>, SubscribeResult<'_>)> = subs.collect();
        let client = client_id.to_string();
        // It is repeated with commands that come by requests.
        let node = if place.wire.is_emulated() { self.gateway.node().to_owned() } else { String::new() };
        let (session, node) = match secret {
            0 => (String::new(), String::new()),
            _ => (super::name::of(self.reactor, key, secret), node),
        };
        let result = ConnectResult {
            client: client.into(),
            version: VERSION.into(),
            expires: expire_at != 0 && !server_refresh,
            ttl: if server_refresh { 0 } else { expire_at.saturating_sub(now_s) },
            data: data.as_deref().unwrap_or_default(),
            subs,
            ping,
            pong,
            session: session.into(),
            node: node.into(),
            ..ConnectResult::default()
        };
        self.put_connect(place.wire, id, result);
        Ok(())
    }
}

/// Returns the end of a session that only sends, in place of an error.
fn one_way(error: &ErrorReply) -> Disconnect {
    match error.code {
        100 => Disconnect::SERVER_ERROR,
        109 => Disconnect::EXPIRED,
        _ => Disconnect::PERMISSION_DENIED,
    }
}
