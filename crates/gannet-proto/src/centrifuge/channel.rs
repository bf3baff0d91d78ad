//! What replies and pushes both say of channels and clients.

use std::borrow::Cow;

use super::schema::message;

message! {
    /// Data published to a channel.
    Publication<'a> {
        /// The data.
        data: &'a [u8] = 4, "data";
        /// Who published it, where a client did.
        info: Option<ClientInfo<'a>> = 5, "info";
        /// Its offset in the channel's history; 0 without history.
        offset: u64 = 6, "offset";
        /// Names and values that the publisher gave.
        tags: Vec<(Cow<'a, str>, Cow<'a, str>)> = 7, "tags";
        /// Whether `data` is the difference to the publication before.
        delta: bool = 8, "delta";
        /// When it was published, in milliseconds since the UNIX epoch; 0 where that is not said.
        time: i64 = 9, "time";
        /// The channel, where the subscription is to several.
        channel: Cow<'a, str> = 10, "channel";
    }

    /// Says who a client is.
    ClientInfo<'a> {
        /// The user; empty for an anonymous one.
        user: Cow<'a, str> = 1, "user", kept;
        /// The client's id.
        client: Cow<'a, str> = 2, "client", kept;
        /// What the application says of the connection.
        conn_info: &'a [u8] = 3, "conn_info";
        /// What the application says of the subscription.
        chan_info: &'a [u8] = 4, "chan_info";
    }

    /// Tells that the client is subscribed.
    SubscribeResult<'a> {
        /// Whether the subscription ends unless it is refreshed.
        expires: bool = 1, "expires";
        /// In how many seconds it ends.
        ttl: u32 = 2, "ttl";
        /// Whether the client can recover.
        recoverable: bool = 3, "recoverable";
        /// The epoch of the channel's history.
        epoch: Cow<'a, str> = 6, "epoch";
        /// What the client had missed, where it recovered.
        publications: Vec<Publication<'a>> = 7, "publications";
        /// Whether the client has recovered: nothing is missing.
        recovered: bool = 8, "recovered";
        /// The offset of the position at which the subscription, or `publications`, begins.
        offset: u64 = 9, "offset";
        /// Whether the client is told of gaps.
        positioned: bool = 10, "positioned";
        /// Data from the application.
        data: &'a [u8] = 11, "data";
        /// Whether the client had asked to recover.
        was_recovering: bool = 12, "was_recovering";
        /// Whether publications may be differences.
        delta: bool = 13, "delta";
        /// The number that pushes have in place of the channel; 0 where they name it.
        id: i64 = 14, "id";
    }
}
