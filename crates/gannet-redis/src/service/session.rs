//! What is known of one connection.

use gannet::proto::resp::Version;

use super::pubsub::subscriptions::Subscriptions;
use super::transaction::Transaction;

/// See the module.
#[derive(Debug, Default)]
pub struct Session {
    /// The protocol that it asked for with HELLO.
    pub(crate) version: Version,
    /// The database it has selected.
    pub(crate) db: u8,
    /// EXEC runs a command of it.
    pub(crate) in_exec: bool,
    /// What MULTI and WATCH have begun.
    pub(crate) transaction: Option<Box<Transaction>>,
    /// What it has subscribed to, if anything.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
}
