//! What all parts of a pool share, and the threads that call it: queues, counters, the list of addresses.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_queue::{ArrayQueue, SegQueue};
use gannet::{Address, Connect, FilterFactory, Outbound, Remote};

use crate::counters::{Counters, PoolStats};
use crate::error::CallError;
use crate::part::Part;
use crate::pool::{ConnectionId, Features, Pool, Terms};
use crate::promise::Promise;
use crate::protocol::Protocol;
use crate::service::PoolService;
use crate::settings::Settings;

/// Sets the terms of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// The time until the reply (default: [`Settings::timeout`]).
    pub timeout: Option<Duration>,
    /// Promises that the server may execute the request twice without harm (default: what the protocol knows).
    ///
    /// It is then tried once more if its connection is lost, within [`Settings::retry_percent`].
    pub idempotent: bool,
}

impl CallOptions {
    /// Sets the time until the reply.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Promises that the server may execute the request twice without harm.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    #[inline]
    pub(crate) fn terms(self, settings: &Settings) -> Terms {
        Terms { timeout: self.timeout.unwrap_or(settings.timeout), idempotent: self.idempotent }
    }
}

/// What another thread wants of a part.
pub(crate) enum Submission<P: Protocol> {
    Call { request: Vec<u8>, key: u64, terms: Terms, promise: Promise<P::Owned> },
    Lease { label: &'static str, promise: Promise<ConnectionId> },
    LeasedCall { connection: ConnectionId, request: Vec<u8>, key: u64, timeout: Duration, promise: Promise<P::Owned> },
    Release { connection: ConnectionId },
}

/// The way to one reactor's part.
struct Gate<P: Protocol> {
    calls: ArrayQueue<Submission<P>>,
    /// As many as there are leases, so that none is refused.
    releases: SegQueue<Submission<P>>,
    closed: AtomicBool,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Progress {
    /// Parts that have the connections they keep.
    warm: usize,
    failure: String,
}

pub(crate) struct Shared<P: Protocol> {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) protocol: Arc<P>,
    pub(crate) settings: Settings,
    pub(crate) outbound: OnceLock<Outbound<PoolService<P>>>,
    /// Calls of other threads go to the first reactor.
    pub(crate) on_one_reactor: bool,
    /// Of all that is left to chance.
    pub(crate) seed: u64,
    /// Ends the thread that looks names up, when it is dropped.
    pub(crate) alive: Option<std::sync::mpsc::Sender<()>>,
    filter: Option<Arc<dyn FilterFactory>>,
    remote: OnceLock<Remote>,
    gates: OnceLock<Box<[Gate<P>]>>,
    next_gate: AtomicUsize,
    next_key: AtomicU64,
    version: AtomicU64,
    addresses: Mutex<Vec<Address>>,
    progress: Mutex<Progress>,
    progressed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these is locked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P: Protocol> Shared<P> {
    pub(crate) fn new(
        name: String,
        protocol: P,
        settings: Settings,
        addresses: Vec<Address>,
        filter: Option<Arc<dyn FilterFactory>>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            protocol: Arc::new(protocol),
            settings,
            outbound: OnceLock::new(),
            on_one_reactor: false,
            seed: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
            alive: None,
            filter,
            remote: OnceLock::new(),
            gates: OnceLock::new(),
            next_gate: AtomicUsize::new(0),
            // Those of calls on a reactor have the highest bit clear.
            next_key: AtomicU64::new(1 << 63),
            version: AtomicU64::new(0),
            addresses: Mutex::new(addresses),
            progress: Mutex::default(),
            progressed: Condvar::new(),
        }
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.filter.is_some()
    }

    pub(crate) fn connect(&self, address: &Address) -> Connect {
        let connect = Connect::to(address.clone()).timeout(self.settings.connect);
        match &self.filter {
            Some(filter) => connect.through(filter.clone()),
            None => connect,
        }
    }

    /// Makes the part of a reactor that starts.
    pub(crate) fn part(self: &Arc<Self>, reactor: usize, reactors: usize, remote: &Remote) -> Part<P> {
        let gates = self.gates.get_or_init(|| {
            let gate = |_| Gate {
                calls: ArrayQueue::new(self.settings.waiters.max(1)),
                releases: SegQueue::new(),
                closed: AtomicBool::new(false),
                counters: Arc::default(),
            };
            (0..reactors).map(gate).collect()
        });
        let _ = self.remote.set(remote.clone());
        let counters = gates.get(reactor).map(|gate| gate.counters.clone()).unwrap_or_default();
        let settings = self.settings.share(reactor, reactors);
        let features = Features { pipelines: P::PIPELINES, pings: P::PINGS, resets: P::RESETS };
        let addresses = lock(&self.addresses).clone();
        // Of each reactor another one.
        let seed = gannet::Random::new(self.seed.wrapping_add(reactor as u64)).next();
        let pool = Pool::new(settings, features, addresses.len(), seed, counters);
        Part::new(pool, self.clone(), reactor, &addresses)
    }

    pub(crate) fn next_key(&self) -> u64 {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// The reactor for the next call of another thread.
    pub(crate) fn next_reactor(&self) -> usize {
        if self.on_one_reactor {
            return 0;
        }
        let reactors = self.gates.get().map_or(1, |gates| gates.len());
        self.next_gate.fetch_add(1, Ordering::Relaxed) % reactors
    }

    /// Submits something to a reactor's part. What is refused is dropped, which tells who waits for it.
    pub(crate) fn submit(&self, reactor: usize, submission: Submission<P>) -> Result<(), CallError> {
        let gate = self.gates.get().and_then(|gates| gates.get(reactor)).ok_or(CallError::Closing)?;
        if gate.closed.load(Ordering::SeqCst) {
            return Err(CallError::Closing);
        }
        match submission {
            release @ Submission::Release { .. } => gate.releases.push(release),
            other => {
                if let Err(refused) = gate.calls.push(other) {
                    drop(refused);
                    return Err(CallError::QueueFull);
                }
            }
        }
        // The part may have ended meanwhile: then nobody takes it.
        if gate.closed.load(Ordering::SeqCst) {
            self.discard(reactor);
        }
        if let (Some(remote), Some(outbound)) = (self.remote.get(), self.outbound.get()) {
            remote.wake_service(reactor, *outbound).map_err(|_| CallError::Closing)?;
        }
        Ok(())
    }

    /// Has a reactor's part look for what has become possible.
    pub(crate) fn wake(&self, reactor: usize) {
        if let (Some(remote), Some(outbound)) = (self.remote.get(), self.outbound.get()) {
            // One that has ended has nothing to do.
            let _ = remote.wake_service(reactor, *outbound);
        }
    }

    pub(crate) fn next_submission(&self, reactor: usize) -> Option<Submission<P>> {
        let gate = self.gates.get()?.get(reactor)?;
        gate.releases.pop().or_else(|| gate.calls.pop())
    }

    fn discard(&self, reactor: usize) {
        while self.next_submission(reactor).is_some() {}
    }

    /// The part of a reactor has ended.
    pub(crate) fn close(&self, reactor: usize) {
        if let Some(gate) = self.gates.get().and_then(|gates| gates.get(reactor)) {
            gate.closed.store(true, Ordering::SeqCst);
            self.discard(reactor);
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let mut stats = PoolStats::default();
        for gate in self.gates.get().map_or(&[][..], |gates| gates) {
            stats.merge(&gate.counters.read());
        }
        stats
    }

    /// The list of addresses, if it has changed since that version.
    pub(crate) fn addresses_since(&self, version: u64) -> Option<(u64, Vec<Address>)> {
        let now = self.version.load(Ordering::Acquire);
        (now != version).then(|| (now, lock(&self.addresses).clone()))
    }

    /// Replaces the list of addresses on all reactors.
    pub(crate) fn set_addresses(&self, addresses: Vec<Address>) {
        *lock(&self.addresses) = addresses;
        self.version.fetch_add(1, Ordering::Release);
        if let (Some(remote), Some(outbound), Some(gates)) = (self.remote.get(), self.outbound.get(), self.gates.get())
        {
            for reactor in 0..gates.len() {
                // One that does not run reads the list when it starts.
                let _ = remote.wake_service(reactor, *outbound);
            }
        }
    }

    pub(crate) fn note_warm(&self) {
        lock(&self.progress).warm += 1;
        self.progressed.notify_all();
    }

    pub(crate) fn note_failure(&self, why: &str) {
        let mut progress = lock(&self.progress);
        progress.failure.clear();
        progress.failure.push_str(why);
    }

    /// Blocks until every part has the connections that it keeps. Says the last failure where that takes too long.
    pub(crate) fn wait_warm(&self, within: Duration) -> Result<(), String> {
        let cold = |progress: &mut Progress| {
            let Some(gates) = self.gates.get() else { return true };
            let settings = &self.settings;
            let expected = (0..gates.len()).filter(|reactor| settings.share(*reactor, gates.len()).min_idle > 0);
            progress.warm < expected.count()
        };
        let waited = self.progressed.wait_timeout_while(lock(&self.progress), within, cold);
        let (progress, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if !result.timed_out() {
            return Ok(());
        }
        Err(match progress.failure.as_str() {
            "" => format!("nothing answered within {within:?}"),
            why => why.to_owned(),
        })
    }
}
