//! What servers answer.

use std::borrow::Cow;

use super::DecodeError;
use super::channel::{ClientInfo, Publication, SubscribeResult};
use super::push::Push;
use super::schema::{Field, FieldReader, FieldWriter, Key, Message, Value, message, one_of};

/// A message from the server to a client: the reply to a command, a push, or a ping.
///
/// Without an id and a body it is a ping: see [`is_ping`](Self::is_ping).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The id of the command; 0 for pushes and pings.
    pub id: u32,
    /// The answer, or what has happened.
    pub body: ReplyBody<'a>,
}

impl<'a> Reply<'a> {
    /// Makes the ping of a server.
    #[must_use]
    pub const fn ping() -> Self {
        Self { id: 0, body: ReplyBody::Empty }
    }

    /// Makes a message of a push.
    #[must_use]
    pub const fn push(push: Push<'a>) -> Self {
        Self { id: 0, body: ReplyBody::Push(push) }
    }

    /// Whether the reply is empty: a ping of the server.
    #[must_use]
    pub const fn is_ping(&self) -> bool {
        self.id == 0 && matches!(self.body, ReplyBody::Empty)
    }
}

impl<'a> Message<'a> for Reply<'a> {
    fn write(&self, out: &mut impl FieldWriter) {
        Value::write(&self.id, const { Field::new(1, "id") }, out);
        self.body.write(out);
    }

    fn read(&mut self, key: Key<'_>, from: &mut impl FieldReader<'a>) -> Result<(), DecodeError> {
        match key {
            Key::Number(1) | Key::Name("id") => Value::read(&mut self.id, from),
            _ => self.body.read(key, from),
        }
    }
}

one_of! {
    /// What a reply says. A reply with several results is an error: [`DecodeError::Several`].
    ReplyBody<'a> {
        /// Nothing: a ping.
        Empty;
        /// The command has failed.
        Error(Error<'a>) = 2, "error";
        /// Something has happened; the id is 0.
        Push(Push<'a>) = 4, "push";
        /// The session has begun.
        Connect(ConnectResult<'a>) = 5, "connect";
        /// The client is subscribed.
        Subscribe(SubscribeResult<'a>) = 6, "subscribe";
        /// Who is in the channel.
        Presence(PresenceResult<'a>) = 9, "presence";
        /// How many are in the channel.
        PresenceStats(PresenceStatsResult) = 10, "presence_stats";
        /// Past publications, and the position.
        History(HistoryResult<'a>) = 11, "history";
        /// What the application's method returned.
        Rpc(RpcResult<'a>) = 13, "rpc";
        /// The new token is accepted.
        Refresh(RefreshResult<'a>) = 14, "refresh";
        /// The subscription's new token is accepted.
        SubRefresh(SubRefreshResult) = 15, "sub_refresh";
    }
    without fields {
        /// The client is not subscribed any more.
        Unsubscribe = 7, "unsubscribe";
        /// The data is published.
        Publish = 8, "publish";
        /// The answer to a ping of the client.
        Ping = 12, "ping";
    }
}

message! {
    /// Says why a command has failed. [`ErrorCode`](super::ErrorCode) has those of the protocol.
    Error<'a> {
        /// Why: 100 to 399 are the protocol's, 400 to 1999 the application's.
        code: u32 = 1, "code";
        /// Why, for people.
        message: Cow<'a, str> = 2, "message";
        /// Whether to try again later makes sense.
        temporary: bool = 3, "temporary";
    }

    /// Tells that the session has begun. A compression dictionary, which nobody asks for here, is skipped.
    ConnectResult<'a> {
        /// The client's id.
        client: Cow<'a, str> = 1, "client";
        /// The server's version.
        version: Cow<'a, str> = 2, "version";
        /// Whether the connection ends unless it is refreshed.
        expires: bool = 3, "expires";
        /// In how many seconds it ends.
        ttl: u32 = 4, "ttl";
        /// Data from the application.
        data: &'a [u8] = 5, "data";
        /// The server-side subscriptions.
        subs: Vec<(Cow<'a, str>, SubscribeResult<'a>)> = 6, "subs";
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
        /// Those features of [`ConnectRequest::flag`](super::ConnectRequest::flag) that are on.
        flag: i64 = 12, "flag";
    }

    /// Tells who is in a channel.
    PresenceResult<'a> {
        /// Each client by its id.
        presence: Vec<(Cow<'a, str>, ClientInfo<'a>)> = 1, "presence", kept;
    }

    /// Tells how many are in a channel.
    PresenceStatsResult {
        /// The number of clients.
        num_clients: u32 = 1, "num_clients", kept;
        /// The number of users.
        num_users: u32 = 2, "num_users", kept;
    }

    /// Brings past publications.
    HistoryResult<'a> {
        /// The publications, in the order that was asked for.
        publications: Vec<Publication<'a>> = 1, "publications", kept;
        /// The epoch of the channel's history.
        epoch: Cow<'a, str> = 2, "epoch", kept;
        /// The newest offset of the channel's history.
        offset: u64 = 3, "offset", kept;
    }

    /// Brings what the application's method returned.
    RpcResult<'a> {
        /// The data.
        data: &'a [u8] = 1, "data";
    }

    /// Tells that the connection's new token is accepted.
    RefreshResult<'a> {
        /// The client's id.
        client: Cow<'a, str> = 1, "client";
        /// The server's version.
        version: Cow<'a, str> = 2, "version";
        /// Whether the connection ends unless it is refreshed again.
        expires: bool = 3, "expires";
        /// In how many seconds it ends.
        ttl: u32 = 4, "ttl";
    }

    /// Tells that the subscription's new token is accepted.
    SubRefreshResult {
        /// Whether the subscription ends unless it is refreshed again.
        expires: bool = 1, "expires";
        /// In how many seconds it ends.
        ttl: u32 = 2, "ttl";
    }
}
