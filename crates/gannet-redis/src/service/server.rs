//! What all instances of the service share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::memory::{Memory, Policy};
use crate::store::Store;

/// What can be asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// What clients have to say with AUTH before anything else.
    pub password: Option<String>,
    /// The largest string, and the largest word of a command, in bytes.
    pub max_bulk: usize,
    /// Bytes that all keys with their values may take; 0 is no limit.
    pub max_memory: usize,
    /// What is done when they take more.
    pub policy: Policy,
    /// Where the choice of keys by chance begins: the same for the same seed.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { password: None, max_bulk: 512 << 20, max_memory: 0, policy: Policy::default(), seed: 0 }
    }
}

/// A store with all that its connections share.
#[derive(Debug)]
pub struct Server {
    pub(crate) store: Store,
    pub(crate) options: Options,
    /// How much memory the store may take.
    pub(crate) memory: Memory,
    /// Generators that were made from the seed.
    seeds: AtomicU64,
}

impl Server {
    /// An empty store.
    #[must_use]
    pub fn new(options: Options) -> Arc<Self> {
        let memory = Memory::new(options.max_memory, options.policy);
        Arc::new(Self { store: Store::default(), options, memory, seeds: AtomicU64::new(0) })
    }

    /// A seed for one more generator.
    pub(crate) fn next_seed(&self) -> u64 {
        self.options.seed.wrapping_add(self.seeds.fetch_add(1, Ordering::Relaxed))
    }
}
