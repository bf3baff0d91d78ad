//! What all instances of the service share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::pubsub::registry::Registry;
use crate::store::Store;

/// What can be asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// What clients have to say with AUTH before anything else.
    pub password: Option<String>,
    /// The largest string, and the largest word of a command, in bytes.
    pub max_bulk: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { password: None, max_bulk: 512 << 20 }
    }
}

/// A store with all that its connections share.
#[derive(Debug)]
pub struct Server {
    pub(crate) store: Store,
    pub(crate) options: Options,
    /// Who has subscribed to what.
    pub(crate) registry: Registry,
    /// Messages that did not reach the subscribers on some reactor, since its mailbox was full.
    pub(crate) lost: AtomicU64,
}

impl Server {
    /// An empty store.
    #[must_use]
    pub fn new(options: Options) -> Arc<Self> {
        Arc::new(Self { store: Store::default(), options, registry: Registry::default(), lost: AtomicU64::new(0) })
    }
}
