//! What servers send without being asked.

use std::borrow::Cow;

use super::DecodeError;
use super::channel::{ClientInfo, Publication, SubscribeResult};
use super::schema::{Field, FieldReader, FieldWriter, Key, Message, Value, message, one_of};

/// An event that a server sends to a client: in a [`Reply`](super::Reply), or bare on one-way transports.
///
/// Without a body it is a ping of a one-way transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Push<'a> {
    /// The number of the channel, for clients that asked for numbers; 0 otherwise.
    pub id: i64,
    /// The channel; empty where the event is about the connection.
    pub channel: Cow<'a, str>,
    /// What has happened.
    pub event: PushEvent<'a>,
}

impl<'a> Message<'a> for Push<'a> {
    fn write(&self, out: &mut impl FieldWriter) {
        Value::write(&self.id, const { Field::new(1, "id") }, out);
        Value::write(&self.channel, const { Field::new(2, "channel") }, out);
        self.event.write(out);
    }

    fn read(&mut self, key: Key<'_>, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
        match key {
            Key::Number(1) | Key::Name("id") => Value::read(&mut self.id, from),
            Key::Number(2) | Key::Name("channel") => Value::read(&mut self.channel, from),
            _ => self.event.read(key, from),
        }
    }
}

one_of! {
    /// What has happened. A push with several events is an error: [`DecodeError::Several`].
    PushEvent<'a> {
        /// Nothing: the ping of a one-way transport.
        Empty;
        /// A publication in a channel.
        Publication(Publication<'a>) = 4, "pub";
        /// A client has come to a channel.
        Join(Join<'a>) = 5, "join";
        /// A client has left a channel.
        Leave(Leave<'a>) = 6, "leave";
        /// The server has ended a subscription.
        Unsubscribe(Unsubscribe<'a>) = 7, "unsubscribe";
        /// Data from the application for this client.
        Message(MessagePush<'a>) = 8, "message";
        /// The server has made a subscription.
        Subscribe(Subscribe<'a>) = 9, "subscribe";
        /// The session has begun: on one-way transports, in place of a reply.
        Connect(Connect<'a>) = 10, "connect";
        /// The session has ended. WebSocket has a close code in place of it.
        Disconnect(Disconnect<'a>) = 11, "disconnect";
        /// The connection lasts longer than was said before.
        Refresh(Refresh) = 12, "refresh";
    }
    without fields {}
}

message! {
    /// Tells that a client has come to a channel.
    Join<'a> {
        /// Who.
        info: Option<ClientInfo<'a>> = 1, "info";
    }

    /// Tells that a client has left a channel.
    Leave<'a> {
        /// Who.
        info: Option<ClientInfo<'a>> = 1, "info";
    }

    /// Tells that the server has ended a subscription.
    Unsubscribe<'a> {
        /// Why: see [`UnsubscribeCode`](super::UnsubscribeCode).
        code: u32 = 2, "code";
        /// Why, for people.
        reason: Cow<'a, str> = 3, "reason";
    }

    /// Brings data from the application, which belongs to no channel.
    MessagePush<'a> {
        /// The data.
        data: &'a [u8] = 1, "data";
    }

    /// Tells that the server has made a subscription.
    Subscribe<'a> {
        /// Whether the client can recover.
        recoverable: bool = 1, "recoverable";
        /// The epoch of the channel's history.
        epoch: Cow<'a, str> = 4, "epoch";
        /// The newest offset of the channel's history.
        offset: u64 = 5, "offset";
        /// Whether the client is told of gaps.
        positioned: bool = 6, "positioned";
        /// Data from the application.
        data: &'a [u8] = 7, "data";
    }

    /// Tells a client of a one-way transport that its session has begun.
    Connect<'a> {
        /// The client's id.
        client: Cow<'a, str> = 1, "client";
        /// The server's version.
        version: Cow<'a, str> = 2, "version";
        /// Data from the application.
        data: &'a [u8] = 3, "data";
        /// The server-side subscriptions.
        subs: Vec<(Cow<'a, str>, SubscribeResult<'a>)> = 4, "subs";
        /// Whether the connection ends unless it is refreshed.
        expires: bool = 5, "expires";
        /// In how many seconds it ends.
        ttl: u32 = 6, "ttl";
        /// How many seconds pass between two pings of the server.
        ping: u32 = 7, "ping";
        /// Whether the server wants answers to its pings.
        pong: bool = 8, "pong";
        /// Names the session, for emulation.
        session: Cow<'a, str> = 9, "session";
        /// Names the node, for emulation.
        node: Cow<'a, str> = 10, "node";
        /// The server's time, in milliseconds since the UNIX epoch.
        time: i64 = 11, "time";
    }

    /// Tells that the session has ended.
    Disconnect<'a> {
        /// Why: see [`DisconnectCode`](super::DisconnectCode).
        code: u32 = 1, "code";
        /// Why, for people.
        reason: Cow<'a, str> = 2, "reason";
        /// Whether to connect again. Clients of version 2 look at the code.
        reconnect: bool = 3, "reconnect";
    }

    /// Tells that the connection lasts longer than was said before.
    Refresh {
        /// Whether the connection ends unless it is refreshed.
        expires: bool = 1, "expires";
        /// In how many seconds it ends.
        ttl: u32 = 2, "ttl";
    }
}
