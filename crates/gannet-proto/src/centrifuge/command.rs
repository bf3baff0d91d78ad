//! What clients send.

use std::borrow::Cow;

use super::DecodeError;
use super::schema::{Field, FieldReader, FieldWriter, Key, Message, Value, message, one_of};

/// A message from a client to the server.
///
/// Without an id and a request it is the answer to a ping: see [`is_pong`](Self::is_pong). Of the others, all but
/// [`Request::Send`] need an id above 0, which the reply repeats. Decoding does not check that; the session does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command<'a> {
    /// Which command this is, so that the client can match the reply; 0 where there is none.
    pub id: u32,
    /// What the client wants.
    pub request: Request<'a>,
}

impl Command<'_> {
    /// Whether the command is empty: the client's answer to a ping.
    #[must_use]
    pub const fn is_pong(&self) -> bool {
        self.id == 0 && matches!(self.request, Request::Empty)
    }
}

impl<'a> Message<'a> for Command<'a> {
    fn write(&self, out: &mut impl FieldWriter) {
        Value::write(&self.id, const { Field::new(1, "id") }, out);
        self.request.write(out);
    }

    fn read(&mut self, key: Key<'_>, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
        match key {
            Key::Number(1) | Key::Name("id") => Value::read(&mut self.id, from),
            _ => self.request.read(key, from),
        }
    }
}

one_of! {
    /// What a client wants. A command with several requests is an error: [`DecodeError::Several`].
    Request<'a> {
        /// No request. With an id above 0 the command has no meaning, and a server closes with 3501.
        Empty;
        /// Begins the session. It is the first command of every connection.
        Connect(ConnectRequest<'a>) = 4, "connect";
        /// Subscribes to a channel.
        Subscribe(SubscribeRequest<'a>) = 5, "subscribe";
        /// Ends a subscription.
        Unsubscribe(UnsubscribeRequest<'a>) = 6, "unsubscribe";
        /// Publishes to a channel.
        Publish(PublishRequest<'a>) = 7, "publish";
        /// Asks which clients are in a channel.
        Presence(PresenceRequest<'a>) = 8, "presence";
        /// Asks how many clients are in a channel.
        PresenceStats(PresenceStatsRequest<'a>) = 9, "presence_stats";
        /// Asks for the past publications of a channel.
        History(HistoryRequest<'a>) = 10, "history";
        /// Sends data to the application, without a reply.
        Send(SendRequest<'a>) = 12, "send";
        /// Calls a method of the application.
        Rpc(RpcRequest<'a>) = 13, "rpc";
        /// Brings a new token for the connection.
        Refresh(RefreshRequest<'a>) = 14, "refresh";
        /// Brings a new token for a subscription.
        SubRefresh(SubRefreshRequest<'a>) = 15, "sub_refresh";
    }
    without fields {
        /// Asks for an empty reply. No SDK sends it; the answer to a server's ping is [`Empty`](Self::Empty).
        Ping = 11, "ping";
    }
}

message! {
    /// Begins a session. One-way transports take it without a command around it.
    ConnectRequest<'a> {
        /// The connection's token (a JWT); empty without one.
        token: Cow<'a, str> = 1, "token";
        /// Data for the application.
        data: &'a [u8] = 2, "data";
        /// What the client knows of its server-side subscriptions, to recover them. A channel may be there twice.
        subs: Vec<(Cow<'a, str>, SubscribeRequest<'a>)> = 3, "subs";
        /// The client's name, for example `js`.
        name: Cow<'a, str> = 4, "name";
        /// The client's version.
        version: Cow<'a, str> = 5, "version";
        /// Headers for the application, from clients that cannot set those of HTTP.
        headers: Vec<(Cow<'a, str>, Cow<'a, str>)> = 6, "headers";
        /// Features of the connection that the client knows, one a bit.
        flag: i64 = 7, "flag";
        /// The id of the compression dictionary that the client has.
        dict: Cow<'a, str> = 8, "dict";
        /// The kind of client, for the choice of a dictionary.
        profile: Cow<'a, str> = 9, "profile";
    }

    /// Subscribes to a channel.
    SubscribeRequest<'a> {
        /// The channel. Empty in [`ConnectRequest::subs`], where the map's key names it.
        channel: Cow<'a, str> = 1, "channel";
        /// The subscription's token (a JWT); empty without one.
        token: Cow<'a, str> = 2, "token";
        /// Whether to send what was missed since `offset` and `epoch`.
        recover: bool = 3, "recover";
        /// The epoch of the position that the client has.
        epoch: Cow<'a, str> = 6, "epoch";
        /// The offset of the position that the client has.
        offset: u64 = 7, "offset";
        /// Data for the application.
        data: &'a [u8] = 8, "data";
        /// Whether the client asks to be told of gaps.
        positioned: bool = 9, "positioned";
        /// Whether the client asks to be able to recover.
        recoverable: bool = 10, "recoverable";
        /// Whether the client asks for join and leave events.
        join_leave: bool = 11, "join_leave";
        /// The kind of delta compression that the client asks for; empty without.
        delta: Cow<'a, str> = 12, "delta";
        /// A filter on tags, not decoded: the text of an object in JSON, a message in Protobuf. Empty, or `null` in
        /// JSON, without one.
        tag_filter: &'a [u8] = 13, "tf";
        /// Features of the subscription that the client knows: [`SubscribeRequest::COMPACT`],
        /// [`SubscribeRequest::STRICT`].
        flag: i64 = 14, "flag";
        /// The kind of subscription: 0 for the usual one.
        kind: i32 = 15, "type";
    }

    /// Ends a subscription.
    UnsubscribeRequest<'a> {
        /// The channel.
        channel: Cow<'a, str> = 1, "channel";
    }

    /// Publishes to a channel.
    PublishRequest<'a> {
        /// The channel.
        channel: Cow<'a, str> = 1, "channel";
        /// What to publish.
        data: &'a [u8] = 2, "data";
    }

    /// Asks which clients are in a channel.
    PresenceRequest<'a> {
        /// The channel.
        channel: Cow<'a, str> = 1, "channel";
    }

    /// Asks how many clients are in a channel.
    PresenceStatsRequest<'a> {
        /// The channel.
        channel: Cow<'a, str> = 1, "channel";
    }

    /// Asks for the past publications of a channel.
    HistoryRequest<'a> {
        /// The channel.
        channel: Cow<'a, str> = 1, "channel";
        /// How many publications at most: 0 for none, only the position; negative for as many as the server gives.
        limit: i32 = 7, "limit";
        /// The position after which to begin.
        since: Option<StreamPosition<'a>> = 8, "since";
        /// Whether to begin with the newest.
        reverse: bool = 9, "reverse";
    }

    /// A place in the history of a channel.
    StreamPosition<'a> {
        /// The offset of a publication; 0 is before the first.
        offset: u64 = 1, "offset";
        /// The epoch in which the offset counts.
        epoch: Cow<'a, str> = 2, "epoch";
    }

    /// Sends data to the application, without a reply.
    SendRequest<'a> {
        /// The data.
        data: &'a [u8] = 1, "data";
    }

    /// Calls a method of the application.
    RpcRequest<'a> {
        /// Its arguments.
        data: &'a [u8] = 1, "data";
        /// Its name.
        method: Cow<'a, str> = 2, "method";
    }

    /// Brings a new token for the connection.
    RefreshRequest<'a> {
        /// The token.
        token: Cow<'a, str> = 1, "token";
    }

    /// Brings a new token for a subscription.
    SubRefreshRequest<'a> {
        /// The channel.
        channel: Cow<'a, str> = 1, "channel";
        /// The token.
        token: Cow<'a, str> = 2, "token";
    }

    /// Carries commands to a session whose transport only brings data to the client.
    EmulationRequest<'a> {
        /// The node that has the session, as the result of connect named it.
        node: Cow<'a, str> = 1, "node";
        /// The session, as the result of connect named it.
        session: Cow<'a, str> = 2, "session";
        /// A frame of commands. In JSON it is a string that holds lines of JSON.
        data: Cow<'a, [u8]> = 3, "data";
    }
}

impl SubscribeRequest<'_> {
    /// The bit of [`flag`](Self::flag) that asks for a number in place of the channel in pushes.
    pub const COMPACT: i64 = 1;
    /// The bit of [`flag`](Self::flag) that asks for [`ErrorCode::UnrecoverablePosition`](super::ErrorCode) in place of
    /// a subscription that could not recover.
    pub const STRICT: i64 = 2;
}
