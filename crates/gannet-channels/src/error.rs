//! What can go wrong in a call of the channel space.

/// The name of a channel is not one that the space accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// No namespace of this name is configured.
    #[error("there is no namespace {namespace:?}")]
    UnknownNamespace {
        /// The namespace in the channel's name; empty if the name has none.
        namespace: String,
    },
    /// The name is empty, or has characters other than printable ASCII.
    #[error("a channel's name is not empty and has printable ASCII characters only")]
    BadName,
    /// The name is longer than the limit.
    #[error("the channel's name has {length} bytes, and the limit is {limit}")]
    TooLong {
        /// Bytes of the name.
        length: usize,
        /// See [`Limits::channel_name`](crate::Limits::channel_name).
        limit: usize,
    },
}

/// A publication was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The channel's name is wrong.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// Data and tags are larger than the limit.
    #[error("the publication has {size} bytes, and the limit is {limit}")]
    TooLarge {
        /// Bytes of data and tags.
        size: usize,
        /// See [`Limits::publication`](crate::Limits::publication).
        limit: usize,
    },
    /// The channel would have to be made for its history, and the space has no room for another one.
    #[error("the space has {limit} channels, which is its limit")]
    TooManyChannels {
        /// See [`Limits::channels`](crate::Limits::channels).
        limit: usize,
    },
    /// The idempotency key is longer than a channel's name may be.
    #[error("the idempotency key has {length} bytes, and the limit is {limit}")]
    KeyTooLong {
        /// Bytes of the key.
        length: usize,
        /// See [`Limits::channel_name`](crate::Limits::channel_name).
        limit: usize,
    },
    /// The space remembers as many idempotency keys as it may. Try again later.
    #[error("the space remembers {limit} idempotency keys, which is its limit")]
    TooManyKeys {
        /// See [`Limits::idempotency_keys`](crate::Limits::idempotency_keys).
        limit: usize,
    },
}

/// A client cannot subscribe to a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The channel's name is wrong.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The roster has no such client any more.
    #[error("the client is gone")]
    UnknownClient,
    /// The client is subscribed already.
    #[error("the client is subscribed to this channel already")]
    AlreadySubscribed,
    /// The client has as many subscriptions as it may.
    #[error("the client has {limit} subscriptions, which is its limit")]
    TooManyChannels {
        /// See [`Limits::channels_per_client`](crate::Limits::channels_per_client).
        limit: usize,
    },
    /// The channel has as many subscribers as it may.
    #[error("the channel has {limit} subscribers, which is its limit")]
    ChannelFull {
        /// See [`Limits::subscribers_per_channel`](crate::Limits::subscribers_per_channel).
        limit: usize,
    },
    /// The space has no room for another channel.
    #[error("the space has {limit} channels, which is its limit")]
    SpaceFull {
        /// See [`Limits::channels`](crate::Limits::channels).
        limit: usize,
    },
}

/// A client cannot join a roster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The user has as many clients as it may.
    #[error("the user has {limit} clients, which is the limit")]
    TooManyConnections {
        /// See [`Limits::connections_per_user`](crate::Limits::connections_per_user).
        limit: u32,
    },
    /// The wire format is not below [`WIRES`](crate::WIRES).
    #[error("there is no wire format {format}")]
    Format {
        /// What the caller gave.
        format: u8,
    },
    /// The roster has no place for another client.
    #[error("the reactor has no place for another client")]
    RosterFull,
}

/// A channel's history cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The channel's name is wrong.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The channel's namespace keeps no history.
    #[error("the channel has no history")]
    Off,
    /// The position to read from is of another life of the stream.
    #[error("the position is of another epoch")]
    Unrecoverable,
}

/// A channel's presence cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// The channel's name is wrong.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The channel's namespace keeps no presence.
    #[error("the channel has no presence")]
    Off,
    /// The channel has more clients than one call returns; their number can still be asked for.
    #[error("{clients} clients are present, and one call returns at most {limit}")]
    TooMany {
        /// Clients that are present.
        clients: usize,
        /// See [`Limits::presence`](crate::Limits::presence).
        limit: usize,
    },
}

/// An order was not taken, because a reactor has too many that wait. Try again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{limit} orders wait at a reactor, which is the limit")]
pub struct OrderError {
    /// See [`Limits::inbox_orders`](crate::Limits::inbox_orders).
    pub limit: usize,
}

/// Settings that a space cannot be made with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A namespace's name has other characters than it may.
    #[error("namespace {name:?}: a name has at least two letters, digits, '-' or '_', or is empty")]
    NamespaceName {
        /// The name.
        name: String,
    },
    /// Two namespaces have one name.
    #[error("namespace {name:?} is configured twice")]
    NamespaceTwice {
        /// The name.
        name: String,
    },
    /// An option works on a history, and the namespace keeps none.
    #[error("namespace {name:?}: {option} needs history_size and history_ttl")]
    NeedsHistory {
        /// The namespace.
        name: String,
        /// The option's name.
        option: &'static str,
    },
    /// Only one of the two bounds of a history is given.
    #[error("namespace {name:?}: a history needs both history_size and history_ttl")]
    HalfHistory {
        /// The namespace.
        name: String,
    },
    /// A number is outside of what it may be.
    #[error("{what} is {value}; it has to be {range}")]
    Range {
        /// The setting.
        what: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        range: &'static str,
    },
}
