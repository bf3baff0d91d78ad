//! What operators decide: namespaces and their options.

use std::time::Duration;

use crate::error::SettingsError;
use crate::limits::Limits;
use crate::name;

/// A pattern of channel names: a regular expression without back-references, in linear time.
pub type ChannelPattern = regex_lite::Regex;

/// Everything that a space is made from.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Channels in groups that share options. A channel of a namespace that is not here is refused.
    pub namespaces: Vec<Namespace>,
    /// Limits of the whole space.
    pub limits: Limits,
}

/// Channels that share options: those whose names begin with the namespace's name and a colon.
#[derive(Debug, Clone, Default)]
pub struct Namespace {
    /// At least two letters, digits, `-` or `_`. The empty name configures channels without a namespace.
    pub name: String,
    /// What applies to these channels.
    pub options: Options,
}

impl Namespace {
    /// Makes a namespace.
    #[must_use]
    pub fn new(name: impl Into<String>, options: Options) -> Self {
        Self { name: name.into(), options }
    }
}

/// The options of a namespace. The default is a channel without history or presence that nobody may use.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keeps who is subscribed.
    pub presence: bool,
    /// Tells subscribers that ask for it who subscribes and leaves.
    pub join_leave: bool,
    /// Sends join and leave events to all subscribers, whether they ask for them or not.
    pub force_push_join_leave: bool,
    /// Publications that a channel keeps; 0 keeps none.
    pub history_size: usize,
    /// How long a channel keeps a publication; zero keeps none.
    pub history_ttl: Duration,
    /// How long a channel without subscribers remembers where its stream stands. Default: 30 days.
    pub history_meta_ttl: Duration,
    /// Gives every subscriber a position, so that it is told of a loss.
    pub force_positioning: bool,
    /// Gives subscribers that ask for it a position.
    pub allow_positioning: bool,
    /// Lets every subscriber recover what it missed.
    pub force_recovery: bool,
    /// Lets subscribers that ask for it recover what they missed.
    pub allow_recovery: bool,
    /// What recovery returns.
    pub recovery_mode: RecoveryMode,
    /// What happens to a subscriber that cannot take a publication.
    pub slow: SlowPolicy,
    /// Collects the events of this long into one frame. `None` sends each at once.
    pub coalesce: Option<Duration>,
    /// Any client with a user may subscribe.
    pub allow_subscribe_for_client: bool,
    /// Extends `allow_subscribe_for_client` to clients without a user.
    pub allow_subscribe_for_anonymous: bool,
    /// Any client with a user may publish.
    pub allow_publish_for_client: bool,
    /// Subscribers may publish.
    pub allow_publish_for_subscriber: bool,
    /// Extends the two permissions to publish to clients without a user.
    pub allow_publish_for_anonymous: bool,
    /// Any client with a user may read the history.
    pub allow_history_for_client: bool,
    /// Subscribers may read the history.
    pub allow_history_for_subscriber: bool,
    /// Extends the two permissions to read the history to clients without a user.
    pub allow_history_for_anonymous: bool,
    /// Any client with a user may read the presence.
    pub allow_presence_for_client: bool,
    /// Subscribers may read the presence.
    pub allow_presence_for_subscriber: bool,
    /// Extends the two permissions to read the presence to clients without a user.
    pub allow_presence_for_anonymous: bool,
    /// Lets the users that a name lists after `#` subscribe.
    pub allow_user_limited_channels: bool,
    /// What the rest of a name has to match for clients to use the channel.
    pub channel_pattern: Option<ChannelPattern>,
    /// Asks the application before a client subscribes.
    pub subscribe_proxy: bool,
    /// Asks the application before a client publishes.
    pub publish_proxy: bool,
    /// Asks the application whether a subscription that ends may go on.
    pub sub_refresh_proxy: bool,
    /// Opens the channels to Redis clients.
    pub redis: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            presence: false,
            join_leave: false,
            force_push_join_leave: false,
            history_size: 0,
            history_ttl: Duration::ZERO,
            history_meta_ttl: Duration::from_secs(720 * 3600),
            force_positioning: false,
            allow_positioning: false,
            force_recovery: false,
            allow_recovery: false,
            recovery_mode: RecoveryMode::default(),
            slow: SlowPolicy::default(),
            coalesce: None,
            allow_subscribe_for_client: false,
            allow_subscribe_for_anonymous: false,
            allow_publish_for_client: false,
            allow_publish_for_subscriber: false,
            allow_publish_for_anonymous: false,
            allow_history_for_client: false,
            allow_history_for_subscriber: false,
            allow_history_for_anonymous: false,
            allow_presence_for_client: false,
            allow_presence_for_subscriber: false,
            allow_presence_for_anonymous: false,
            allow_user_limited_channels: false,
            channel_pattern: None,
            subscribe_proxy: false,
            publish_proxy: false,
            sub_refresh_proxy: false,
            redis: false,
        }
    }
}

impl Options {
    /// Returns whether channels keep publications.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.history_size > 0 && !self.history_ttl.is_zero()
    }
}

/// What recovery returns to a subscriber that was away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryMode {
    /// Everything that it missed, or nothing with the word that this is not all.
    #[default]
    Stream,
    /// The newest publication only: the channel is a value that changes.
    Cache,
}

/// What happens to a subscriber that cannot take a publication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// Closes it.
    #[default]
    Close,
    /// Drops the publication for it. A subscriber with a position is told as soon as it can receive again.
    Drop,
    /// Keeps the newest publication of each channel until it can receive again. If that leaves a gap, a subscriber with
    /// a position is told, unless the recovery mode is [`RecoveryMode::Cache`].
    LatestOnly,
}

/// What one subscription changes about its namespace's options. `None` leaves an option as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Whether the subscriber is present.
    pub presence: Option<bool>,
    /// Whether others learn that it subscribes and leaves.
    pub join_leave: Option<bool>,
    /// Whether it gets join and leave events without asking.
    pub force_push_join_leave: Option<bool>,
    /// Whether it gets a position without asking.
    pub force_positioning: Option<bool>,
    /// Whether it may recover without asking.
    pub force_recovery: Option<bool>,
}

impl Settings {
    /// Checks what cannot work.
    pub(crate) fn check(&self, reactors: usize) -> Result<(), SettingsError> {
        if !(1..=usize::from(u16::MAX)).contains(&reactors) {
            return Err(range("the number of reactors", reactors, "from 1 to 65535"));
        }
        if self.namespaces.len() > usize::from(u16::MAX) {
            return Err(range("the number of namespaces", self.namespaces.len(), "at most 65535"));
        }
        let mut names = std::collections::BTreeSet::new();
        for Namespace { name, options } in &self.namespaces {
            if !name::is_namespace(name) {
                return Err(SettingsError::NamespaceName { name: name.clone() });
            }
            if !names.insert(name) {
                return Err(SettingsError::NamespaceTwice { name: name.clone() });
            }
            options.check(name)?;
        }
        let limits = &self.limits;
        for (what, value) in [
            ("the limit of channels", limits.channels),
            ("the limit of subscribers per channel", limits.subscribers_per_channel),
            ("the limit of a channel's name", limits.channel_name),
            ("the limit of deliveries in an inbox", limits.inbox_items),
            ("the limit of orders in an inbox", limits.inbox_orders),
            ("the limit of events in a coalesced frame", limits.batch_events),
        ] {
            if value == 0 || u32::try_from(value).is_err() {
                return Err(range(what, value, "from 1 to 4294967295"));
            }
        }
        if !(1..=65_535).contains(&limits.channels_per_client) {
            return Err(range("the limit of channels per client", limits.channels_per_client, "from 1 to 65535"));
        }
        if limits.inbox_bytes < limits.publication.saturating_mul(2) {
            return Err(range("the limit of bytes in an inbox", limits.inbox_bytes, "at least two publications"));
        }
        Ok(())
    }
}

impl Options {
    /// Whether these are the same. Patterns are compared by their texts.
    pub(crate) fn are(&self, others: &Self) -> bool {
        format!("{self:?}") == format!("{others:?}")
    }

    fn check(&self, name: &str) -> Result<(), SettingsError> {
        if (self.history_size > 0) == self.history_ttl.is_zero() {
            return Err(SettingsError::HalfHistory { name: name.into() });
        }
        for (on, option) in [
            (self.force_positioning, "force_positioning"),
            (self.allow_positioning, "allow_positioning"),
            (self.force_recovery, "force_recovery"),
            (self.allow_recovery, "allow_recovery"),
        ] {
            if on && !self.has_history() {
                return Err(SettingsError::NeedsHistory { name: name.into(), option });
            }
        }
        match self.coalesce {
            Some(delay) if !(1..=10_000).contains(&delay.as_millis()) => {
                let delay = usize::try_from(delay.as_millis()).unwrap_or(usize::MAX);
                Err(range("the coalescing delay in milliseconds", delay, "from 1 to 10000"))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn range(what: &'static str, value: usize, range: &'static str) -> SettingsError {
    SettingsError::Range { what, value: value as u64, range }
}
