//! What all instances of the service share.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use gannet::{Address, Remote};

use super::clients::Clients;
use super::clock;
use super::expiry::Disposal;
use super::guards::Guards;
use super::memory::{Memory, Policy};
use super::password::Password;
use super::pubsub::channels::Channels;
use super::pubsub::registry::Registry;
use super::statistics::Instances;
use crate::store::Store;

/// Describes a store; pass it to [`Server::new`].
///
/// Begin with `Options::default()` and set fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The password that clients have to send with AUTH first (default none).
    pub password: Option<String>,
    /// Whether clients of other machines are refused while there is no password, as in Redis.
    pub protected_mode: bool,
    /// The size of the largest string, and of the largest word of a command, in bytes.
    pub max_bulk: usize,
    /// The memory limit of all keys with their values, in bytes; 0 means no limit.
    pub max_memory: usize,
    /// What happens at that limit.
    pub policy: Policy,
    /// The engine's limit on connections, which `CONFIG GET maxclients` and `INFO` report. It limits nothing here.
    pub max_clients: u32,
    /// The seed for random choices of keys; the same seed makes the same choices.
    pub seed: u64,
    /// The name of the program's allocator, for `INFO memory`.
    pub allocator: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            password: None,
            protected_mode: true,
            max_bulk: 512 << 20,
            max_memory: 0,
            policy: Policy::default(),
            max_clients: u32::MAX,
            seed: 0,
            allocator: "libc",
        }
    }
}

/// Holds a store, and everything else that its connections share. [`Redis`](crate::Redis) serves it.
pub struct Server {
    pub(crate) store: Store,
    pub(crate) options: Options,
    /// The size of the largest string, and what clients are told of the limit on them; both may change.
    max_bulk: AtomicUsize,
    max_clients: AtomicU32,
    /// Who has subscribed to what.
    pub(crate) registry: Registry,
    /// Messages that did not reach the subscribers on some reactor, since its mailbox was full.
    pub(crate) lost: AtomicU64,
    /// How much memory the store may take.
    pub(crate) memory: Memory,
    pub(crate) disposal: Disposal,
    /// Generators that were made from the seed.
    seeds: AtomicU64,
    pub(crate) password: Password,
    pub(crate) guards: Guards,
    pub(crate) clients: Clients,
    pub(crate) instances: Instances,
    /// Hexadecimal digits that no other run has.
    pub(crate) run_id: String,
    /// Since 1970.
    pub(crate) started: Duration,
    /// Listeners that were asked for.
    listeners: AtomicUsize,
    /// What became of them.
    bound: RwLock<Arc<[Bound]>>,
    /// Channels that exist outside the store too.
    pub(crate) outside: OnceLock<Arc<dyn Channels>>,
    /// The way to the subscribers, from when the engine starts.
    pub(crate) remote: OnceLock<Remote>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options have the password.
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Tells a [`Server`] where one of its listeners listens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bound {
    /// The address.
    pub address: Address,
    /// The listener's index among all listeners of the engine.
    pub index: usize,
}

impl Bound {
    /// Describes the listener with this index among all listeners of the engine, for [`Server::listening`].
    #[must_use]
    pub fn new(address: Address, index: usize) -> Self {
        Self { address, index }
    }
}

impl Server {
    /// Makes an empty store.
    #[must_use]
    pub fn new(options: Options) -> Arc<Self> {
        Arc::new(Self {
            store: Store::default(),
            password: Password::new(options.password.clone()),
            guards: Guards::new(options.protected_mode),
            memory: Memory::new(options.max_memory, options.policy),
            disposal: Disposal::default(),
            seeds: AtomicU64::new(0),
            max_bulk: AtomicUsize::new(options.max_bulk),
            max_clients: AtomicU32::new(options.max_clients),
            options,
            clients: Clients::default(),
            instances: Instances::default(),
            registry: Registry::default(),
            lost: AtomicU64::new(0),
            run_id: run_id(),
            started: clock::time_of_day(),
            listeners: AtomicUsize::new(0),
            bound: RwLock::default(),
            outside: OnceLock::new(),
            remote: OnceLock::new(),
        })
    }

    /// Registers one more listener and returns its number, for [`Redis::at`](crate::Redis::at).
    #[must_use]
    pub fn add_listener(&self) -> usize {
        self.listeners.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the server the addresses of its listeners, in the order in which they were added. Call it when the engine has
    /// started, and when listeners were added while it runs; those that were removed keep their places.
    ///
    /// `INFO`, `CONFIG GET` and `CLIENT LIST` report them.
    pub fn listening(&self, bound: Vec<Bound>) {
        *self.bound.write().unwrap_or_else(PoisonError::into_inner) = bound.into();
    }

    /// Replaces the options of a store that serves clients, from any thread.
    ///
    /// - A client that has sent the old password need not send the new one.
    /// - The protected mode holds for clients that connect afterwards.
    /// - A lower memory limit removes keys, or refuses commands, as the policy says, when the next command needs memory.
    /// - `max_bulk` holds for the results of commands at once, and for what clients send on listeners whose
    ///   [`Redis`](crate::Redis) is made afterwards: see [`Redis::max_word`](crate::Redis::max_word).
    ///
    /// `seed` and `allocator` stay as they are. What an operator changed by `CONFIG SET` is replaced too.
    pub fn reconfigure(&self, options: &Options) {
        self.password.set(options.password.clone().unwrap_or_default());
        self.guards.protect(options.protected_mode);
        self.memory.set_policy(options.policy);
        self.memory.set_limit(options.max_memory);
        self.max_bulk.store(options.max_bulk, Ordering::Relaxed);
        self.max_clients.store(options.max_clients, Ordering::Relaxed);
    }

    /// Replaces [`Options::max_clients`] alone, from any thread.
    pub fn set_max_clients(&self, clients: u32) {
        self.max_clients.store(clients, Ordering::Relaxed);
    }

    /// The size of the largest string.
    #[inline]
    pub(crate) fn max_bulk(&self) -> usize {
        self.max_bulk.load(Ordering::Relaxed)
    }

    /// What clients are told of the limit on them.
    pub(crate) fn max_clients(&self) -> u32 {
        self.max_clients.load(Ordering::Relaxed)
    }

    /// Returns true if clients have to send a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_set()
    }

    /// Where its listeners listen, if that was said.
    pub(crate) fn bound(&self) -> Arc<[Bound]> {
        self.bound.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the memory limit with its policy and counters.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns the bytes that count toward the memory limit.
    ///
    /// They are the keys and values, values that were changed or removed while replies still read them, and commands that
    /// transactions have queued.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.memory.used(&self.store)
    }

    /// A seed for one more generator.
    pub(crate) fn next_seed(&self) -> u64 {
        self.options.seed.wrapping_add(self.seeds.fetch_add(1, Ordering::Relaxed))
    }
}

/// 40 digits, by the seed that each hasher of the standard library gets from the system.
fn run_id() -> String {
    (0..3).map(|part| format!("{:016x}", RandomState::new().hash_one(part))).collect::<String>()[..40].to_owned()
}
