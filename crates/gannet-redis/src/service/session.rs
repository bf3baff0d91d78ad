//! What is known of one connection.

use std::sync::Arc;
use std::time::Duration;

use gannet::proto::resp::Version;

use super::clients::Client;
use super::pending::Pending;
use super::pubsub::subscriptions::Subscriptions;
use super::transaction::Transaction;
use crate::command::parts::Parts;

/// Holds the state of one connection: the selected database, subscriptions, a transaction.
#[derive(Debug, Default)]
pub struct Session {
    /// The protocol that it asked for with HELLO.
    pub(crate) version: Version,
    /// The database it has selected.
    pub(crate) db: u8,
    /// It publishes faster than other reactors can send, and waits for them.
    pub(crate) held: bool,
    /// It writes while the store takes more than it may, and waits until it does not.
    pub(crate) waits_for_room: bool,
    /// EXEC runs a command of it.
    pub(crate) in_exec: bool,
    /// What MULTI and WATCH have begun.
    pub(crate) transaction: Option<Box<Transaction>>,
    /// What it has subscribed to, if anything.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// Whether it has said the password, or came when there was none.
    pub(crate) authenticated: bool,
    /// Whether it gets replies.
    pub(crate) replies: Replies,
    /// What has not left yet of a large reply.
    pub(crate) pending: Option<Box<Pending>>,
    /// Whether it ends when the reply has been sent.
    pub(crate) ending: bool,
    /// Whether it is told before its connection ends (CLIENT MAINT_NOTIFICATIONS).
    pub(crate) wants_notices: bool,
    /// Whether it was told, and ends when its time for that is over.
    pub(crate) is_moving: bool,
    /// Whether its timer is that of DEBUG SLEEP.
    pub(crate) asleep: bool,
    /// What EXEC has answered where its commands have to sleep, and for how long: it is sent then.
    pub(crate) dream: Option<Box<Dream>>,
    /// What others may know of it; there from its beginning to its end.
    pub(crate) client: Option<Arc<Client>>,
}

/// What DEBUG SLEEP has come to in a transaction.
#[derive(Debug, Default)]
pub(crate) struct Dream {
    /// The sum of its times.
    pub(crate) time: Duration,
    /// The replies that were not sent before.
    pub(crate) replies: Vec<u8>,
    /// Their large parts.
    pub(crate) parts: Parts,
}

/// Whether a client gets replies, as it said with CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    #[default]
    On,
    Off,
    /// Not to this command.
    Skip,
    /// Not to this command, and not to the next one.
    SkipNext,
}

impl Session {
    /// Its number, which counts up from 1 over all reactors.
    pub(crate) fn id(&self) -> u64 {
        self.client.as_ref().map_or(0, |client| client.id)
    }

    /// Whether nothing is taken from it for now.
    pub(crate) fn is_held(&self) -> bool {
        self.held || self.waits_for_room || self.asleep || self.pending.is_some()
    }

    /// Whether the reply to the command that ran is sent.
    #[inline]
    pub(crate) fn takes_reply(&mut self) -> bool {
        self.replies == Replies::On || self.skips()
    }

    #[cold]
    fn skips(&mut self) -> bool {
        self.replies = match self.replies {
            Replies::On | Replies::Skip => Replies::On,
            Replies::SkipNext => Replies::Skip,
            Replies::Off => Replies::Off,
        };
        false
    }
}
