//! Commands that change or read a channel, or call the application.

use std::borrow::Cow;

use bytes::Bytes;
use gannet_channels::{ChannelError, ClientKey, HistoryError, PresenceError, Publish, PublishError, Since};
use gannet_proto::centrifuge::{
    HistoryRequest, HistoryResult, PresenceResult, PresenceStatsResult, PublishRequest, ReplyBody, RpcRequest,
    RpcResult,
};

use super::Flow;
use super::codes::{Disconnect, ErrorReply};
use crate::hub::Hub;
use crate::rules::{Answer, Read, Verdict};
use crate::wire::{Wire, client_info, publication};

/// Publications that one reply may bring.
pub(crate) const MOST_PUBLICATIONS: usize = 300;

/// Bytes of publications that one reply may bring, roughly: those over it are left out.
const MOST_HISTORY_BYTES: usize = 1 << 20;

impl Hub {
    pub(super) fn publish(
        &mut self,
        wire: Wire,
        key: ClientKey,
        id: u32,
        request: &PublishRequest<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let channel = &*request.channel;
        if channel.is_empty() {
            return Flow::Close(Disconnect::BAD_REQUEST);
        }
        if request.data.is_empty() {
            return self.refuse(wire, id, &ErrorReply::BAD_REQUEST);
        }
        if let Err(error) = self.known(channel) {
            return self.refuse(wire, id, &error);
        }
        let (rate, now_ms) = (self.live.settings.client.publications, self.clock_ms);
        if answer.is_none()
            && let Some(client) = self.roster.value(key)
            && !client.publications.take(rate, now_ms)
        {
            return self.refuse(wire, id, &ErrorReply::TOO_MANY_REQUESTS);
        }
        let gateway = self.gateway.clone();
        let publish = match gateway.may_publish(self, key, wire, request, answer) {
            Verdict::Yes(publish) => publish,
            Verdict::No(error) => return self.refuse(wire, id, &error),
            Verdict::Close(why) => return Flow::Close(why),
            Verdict::Ask(question) => return Flow::Ask(question),
        };
        let publish = Publish {
            data: publish.data.unwrap_or_else(|| Bytes::copy_from_slice(request.data)),
            info: self.roster.info(key, channel),
            skip_history: publish.skip_history,
            idempotency_key: publish.idempotency_key,
            ..Publish::default()
        };
        match gateway.publish(channel, publish, self.now, self.trace.as_ref()) {
            Ok(_) => {
                self.put(wire, id, ReplyBody::Publish);
                Flow::Next
            }
            Err(error) => {
                let error = publish_error(&error);
                self.refuse(wire, id, &error)
            }
        }
    }

    pub(super) fn presence(&mut self, wire: Wire, key: ClientKey, id: u32, channel: &str) -> Flow {
        if let Some(refused) = self.may_read(wire, key, id, channel, Read::Presence) {
            return refused;
        }
        match self.gateway.space().presence(channel) {
            Ok(clients) => {
                let presence =
                    clients.iter().map(|info| (Cow::Owned(info.client().to_string()), client_info(wire, info)));
                let presence = presence.collect();
                self.put(wire, id, ReplyBody::Presence(PresenceResult { presence }));
                Flow::Next
            }
            Err(error) => {
                let error = presence_error(&error);
                self.refuse(wire, id, &error)
            }
        }
    }

    pub(super) fn presence_stats(&mut self, wire: Wire, key: ClientKey, id: u32, channel: &str) -> Flow {
        if let Some(refused) = self.may_read(wire, key, id, channel, Read::Presence) {
            return refused;
        }
        match self.gateway.space().presence_stats(channel) {
            Ok(stats) => {
                let result = PresenceStatsResult { num_clients: stats.clients, num_users: stats.users };
                self.put(wire, id, ReplyBody::PresenceStats(result));
                Flow::Next
            }
            Err(error) => {
                let error = presence_error(&error);
                self.refuse(wire, id, &error)
            }
        }
    }

    pub(super) fn history(&mut self, wire: Wire, key: ClientKey, id: u32, request: &HistoryRequest<'_>) -> Flow {
        if let Some(refused) = self.may_read(wire, key, id, &request.channel, Read::History) {
            return refused;
        }
        let limit = usize::try_from(request.limit).unwrap_or(MOST_PUBLICATIONS).min(MOST_PUBLICATIONS);
        let since = request.since.as_ref();
        let asked = gannet_channels::HistoryRequest {
            limit: Some(limit),
            since: since.map(|since| Since::new(since.offset, &*since.epoch)),
            reverse: request.reverse,
        };
        match self.gateway.space().history(&request.channel, &asked, self.now) {
            Ok(history) if !history.publications.iter().all(|own| wire.carries(&own.data)) => {
                Flow::Close(Disconnect::INAPPROPRIATE_PROTOCOL)
            }
            Ok(history) => {
                let mut bytes = 0;
                let fitting = history.publications.iter().take_while(|own| {
                    bytes += own.data.len();
                    bytes <= MOST_HISTORY_BYTES || bytes == own.data.len()
                });
                let result = HistoryResult {
                    publications: fitting.map(|own| publication(wire, own)).collect(),
                    epoch: history.position.epoch.to_string().into(),
                    offset: history.position.offset,
                };
                self.put(wire, id, ReplyBody::History(result));
                Flow::Next
            }
            Err(error) => {
                let error = history_error(&error);
                self.refuse(wire, id, &error)
            }
        }
    }

    /// Checks that a client may read a channel's presence or history; says what becomes of the command if not.
    fn may_read(&mut self, wire: Wire, key: ClientKey, id: u32, channel: &str, what: Read) -> Option<Flow> {
        if channel.is_empty() {
            return Some(Flow::Close(Disconnect::BAD_REQUEST));
        }
        let refused = match self.known(channel) {
            Err(error) => Err(error),
            Ok(()) => self.gateway.may_read(self, key, channel, what),
        };
        refused.err().map(|error| self.refuse(wire, id, &error))
    }

    pub(super) fn rpc(
        &mut self,
        wire: Wire,
        key: ClientKey,
        id: u32,
        request: &RpcRequest<'_>,
        answer: Option<Answer>,
    ) -> Flow {
        let gateway = self.gateway.clone();
        match gateway.call(self, key, wire, request, answer) {
            Verdict::Yes(data) if !wire.carries_any(Some(&data)) => Flow::Close(Disconnect::INAPPROPRIATE_PROTOCOL),
            Verdict::Yes(data) => {
                self.put(wire, id, ReplyBody::Rpc(RpcResult { data: &data }));
                Flow::Next
            }
            Verdict::No(error) => self.refuse(wire, id, &error),
            Verdict::Close(why) => Flow::Close(why),
            Verdict::Ask(question) => Flow::Ask(question),
        }
    }
}

/// Returns what somebody who publishes is told of a failure.
pub(crate) fn publish_error(error: &PublishError) -> ErrorReply {
    match error {
        PublishError::Channel(ChannelError::UnknownNamespace { .. }) => ErrorReply::UNKNOWN_CHANNEL,
        PublishError::Channel(_) => ErrorReply::BAD_REQUEST,
        _ => ErrorReply::LIMIT_EXCEEDED,
    }
}

/// Returns what somebody who reads a presence is told of a failure.
pub(crate) fn presence_error(error: &PresenceError) -> ErrorReply {
    match error {
        PresenceError::Off => ErrorReply::NOT_AVAILABLE,
        PresenceError::Channel(ChannelError::UnknownNamespace { .. }) => ErrorReply::UNKNOWN_CHANNEL,
        PresenceError::Channel(_) => ErrorReply::BAD_REQUEST,
        _ => ErrorReply::LIMIT_EXCEEDED,
    }
}

/// Returns what somebody who reads a history is told of a failure.
pub(crate) fn history_error(error: &HistoryError) -> ErrorReply {
    match error {
        HistoryError::Unrecoverable => ErrorReply::UNRECOVERABLE_POSITION,
        HistoryError::Off => ErrorReply::NOT_AVAILABLE,
        HistoryError::Channel(ChannelError::UnknownNamespace { .. }) => ErrorReply::UNKNOWN_CHANNEL,
        _ => ErrorReply::BAD_REQUEST,
    }
}
