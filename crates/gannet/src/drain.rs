//! Drains: what is asked for by any thread, and how every reactor and the acceptor learn of it.
//!
//! The wanted state is one list behind a lock; a version beside it says that it has changed. A reactor loads the version in
//! each turn, and reads the list only when it differs from what the reactor knows.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ids::ListenerId;
use crate::wheel::milliseconds;

/// Describes how the clients of an engine, or of one listener, are released: pass it to
/// [`Remote::drain`](crate::Remote::drain).
///
/// A drain has three times, one after the other. What is not set here is as the engine was built:
/// [`Engine::drain_delay`], [`Engine::drain_spread`] and [`Engine::drain_timeout`].
///
/// ```
/// use std::time::Duration;
/// use gannet::Drain;
///
/// let drain = Drain::new().spread(Duration::from_secs(120)).listener("public");
/// ```
///
/// [`Engine::drain_delay`]: crate::Engine::drain_delay
/// [`Engine::drain_spread`]: crate::Engine::drain_spread
/// [`Engine::drain_timeout`]: crate::Engine::drain_timeout
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    delay: Option<Duration>,
    spread: Option<Duration>,
    timeout: Option<Duration>,
    listener: Option<String>,
}

impl Drain {
    /// Describes a drain of the whole engine, with the times that the engine was built with.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time before anything happens. Meanwhile only [`Remote::is_stopping`](crate::Remote::is_stopping) changes.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sets the time over which clients are told to leave, at an even pace. With 0 all are told at once.
    #[must_use]
    pub fn spread(mut self, spread: Duration) -> Self {
        self.spread = Some(spread);
        self
    }

    /// Sets the time that the last clients have after the spread; then the connections that are left are closed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Restricts the drain to the connections of one listener, by its name or by its address.
    ///
    /// The engine goes on. The listener accepts again after [`Remote::cancel_drain`](crate::Remote::cancel_drain).
    #[must_use]
    pub fn listener(mut self, name: impl Into<String>) -> Self {
        self.listener = Some(name.into());
        self
    }

    /// The name of the listener, where it is not the whole engine.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.listener.as_deref()
    }

    fn times(&self, default: Times) -> Times {
        let or = |given: Option<Duration>, default| given.map_or(default, milliseconds);
        Times {
            delay_ms: or(self.delay, default.delay_ms),
            spread_ms: or(self.spread, default.spread_ms),
            timeout_ms: or(self.timeout, default.timeout_ms),
        }
    }
}

/// The times of a drain, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) delay_ms: u32,
    pub(crate) spread_ms: u32,
    pub(crate) timeout_ms: u32,
}

impl Times {
    pub(crate) fn new(delay: Duration, spread: Duration, timeout: Duration) -> Self {
        Self { delay_ms: milliseconds(delay), spread_ms: milliseconds(spread), timeout_ms: milliseconds(timeout) }
    }
}

/// What shutdown has begun on a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Nobody was told to leave.
    None,
    /// Some connections were.
    Some,
    /// All are, and no new ones begin.
    All,
}

/// One drain, as it was ordered.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: u32,
    /// Whose connections; all of the engine where it is `None`.
    pub(crate) listeners: Option<Box<[ListenerId]>>,
    pub(crate) times: Times,
    /// It cannot be cancelled any more: listeners close for good, and reactors end by themselves.
    pub(crate) is_final: bool,
    /// Its delay is over, whatever was said.
    pub(crate) is_hurried: bool,
    /// Of the whole engine: no clients are left, or their time is over. Operational listeners accept no more either.
    pub(crate) is_deserted: bool,
    /// No reactor has connections any more: the engine ends.
    pub(crate) is_done: bool,
    /// Reactors without connections.
    drained: usize,
}

impl Order {
    pub(crate) fn covers(&self, listener: ListenerId) -> bool {
        self.listeners.as_ref().is_none_or(|listeners| listeners.contains(&listener))
    }

    /// Whether it is the drain of this scope. Plans may have removed listeners since it was ordered, and given their sockets
    /// to others: what is open now counts.
    fn is_of(&self, scope: Option<&Scope>) -> bool {
        let (Some(own), Some(scope)) = (&self.listeners, scope) else {
            return self.listeners.is_none() && scope.is_none();
        };
        let has = |set: &[ListenerId], one: &ListenerId| set.contains(one);
        let is_alike = scope.open.iter().all(|one| has(own, one) == has(&scope.listeners, one));
        is_alike && own.iter().any(|one| has(&scope.listeners, one))
    }
}

/// Whose connections somebody means.
pub(crate) struct Scope {
    pub(crate) listeners: Box<[ListenerId]>,
    /// Of the whole engine: the listeners that were not removed.
    pub(crate) open: Box<[ListenerId]>,
}

#[derive(Default)]
struct Wanted {
    next: u32,
    orders: Vec<Order>,
    /// Reactors that have ended, however that came.
    ended: usize,
    /// The times of drains that say nothing else.
    default: Times,
}

/// The drains that are wanted. Any thread.
#[derive(Default)]
pub(crate) struct Drains {
    version: AtomicU32,
    wanted: Mutex<Wanted>,
}

impl Drains {
    /// None, where these times hold for drains that say nothing else.
    pub(crate) fn new(default: Times) -> Self {
        Self { wanted: Mutex::new(Wanted { default, ..Wanted::default() }), ..Self::default() }
    }

    /// Has the times of a drain hold for those that say nothing else, from now on.
    pub(crate) fn set_default(&self, drain: &Drain) {
        let mut wanted = self.lock();
        wanted.default = drain.times(wanted.default);
    }

    /// The time between an order to end and the shutdown.
    pub(crate) fn default_delay(&self) -> Duration {
        Duration::from_millis(self.lock().default.delay_ms.into())
    }

    /// Changes with every change of what is wanted; 0 before the first.
    #[inline]
    pub(crate) fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// What is wanted.
    pub(crate) fn orders(&self) -> Vec<Order> {
        self.lock().orders.clone()
    }

    /// Has every thread look again, for something beside drains.
    pub(crate) fn touch(&self) {
        self.changed();
    }

    /// Adds a drain, in place of one of the same connections.
    pub(crate) fn begin(&self, drain: &Drain, listeners: Option<Scope>) -> Result<()> {
        let mut wanted = self.lock();
        if listeners.is_none() && wanted.orders.iter().any(|order| order.listeners.is_none() && order.is_final) {
            return Err(Error::Setting("the engine shuts down already; that cannot be changed any more".to_owned()));
        }
        wanted.orders.retain(|order| !order.is_of(listeners.as_ref()));
        let times = drain.times(wanted.default);
        self.add(&mut wanted, listeners.map(|scope| scope.listeners), times, false);
        Ok(())
    }

    /// Begins the end of the engine, or makes a drain of it the end: after `delay_ms`, or at once without one. Says whether
    /// that changes anything: who asks again and again must not keep reactors awake.
    pub(crate) fn end(&self, delay_ms: Option<u32>) -> bool {
        let mut wanted = self.lock();
        match wanted.orders.iter_mut().find(|order| order.listeners.is_none()) {
            Some(order) => {
                let before = (order.is_hurried, order.is_final);
                order.is_hurried |= delay_ms.is_none();
                order.is_final = true;
                let is_news = before != (order.is_hurried, order.is_final);
                if is_news {
                    self.changed();
                }
                is_news
            }
            None => {
                let times = Times { delay_ms: delay_ms.unwrap_or(0), ..wanted.default };
                self.add(&mut wanted, None, times, true);
                true
            }
        }
    }

    /// Cancels the drain of these connections, or of all; says whether there was one that could be.
    pub(crate) fn cancel(&self, listeners: Option<&Scope>) -> bool {
        let mut wanted = self.lock();
        let before = wanted.orders.len();
        wanted.orders.retain(|order| order.is_final || !order.is_of(listeners));
        let is_news = wanted.orders.len() < before;
        if is_news {
            self.changed();
        }
        is_news
    }

    /// Whether the engine ends, soon or now.
    pub(crate) fn is_final(&self) -> bool {
        self.lock().orders.iter().any(|order| order.listeners.is_none() && order.is_final)
    }

    /// Has drains of a listener go on with another, which gets its socket; for all pairs of those.
    pub(crate) fn extend(&self, moved: &[(ListenerId, ListenerId)]) {
        let mut wanted = self.lock();
        let mut is_news = false;
        for listeners in wanted.orders.iter_mut().filter_map(|order| order.listeners.as_mut()) {
            let others = moved.iter().filter(|(from, _)| listeners.contains(from)).map(|(_, to)| *to);
            let others: Vec<ListenerId> = others.collect();
            if !others.is_empty() {
                *listeners = listeners.iter().copied().chain(others).collect();
                is_news = true;
            }
        }
        if is_news {
            self.changed();
        }
    }

    /// Has operational listeners accept no more in a drain of the engine; says whether that is news.
    pub(crate) fn desert(&self, id: u32) -> bool {
        let mut wanted = self.lock();
        let order = wanted.orders.iter_mut().find(|order| order.id == id && !order.is_deserted);
        let is_news = order.map(|order| order.is_deserted = true).is_some();
        if is_news {
            self.changed();
        }
        is_news
    }

    /// One of `reactors` reactors has no connections any more. When none has, the engine ends; says so.
    pub(crate) fn drained(&self, id: u32, reactors: usize) -> bool {
        let mut wanted = self.lock();
        if let Some(order) = wanted.orders.iter_mut().find(|order| order.id == id) {
            order.drained += 1;
        }
        self.settle(&mut wanted, reactors)
    }

    /// One of `reactors` reactors has ended, and reports nothing any more. When no other has connections, the engine ends;
    /// says so.
    pub(crate) fn reactor_ended(&self, reactors: usize) -> bool {
        let mut wanted = self.lock();
        wanted.ended += 1;
        self.settle(&mut wanted, reactors)
    }

    fn settle(&self, wanted: &mut Wanted, reactors: usize) -> bool {
        let ended = wanted.ended;
        let mut orders = wanted.orders.iter_mut();
        let done = orders.find(|order| order.listeners.is_none() && order.drained + ended >= reactors);
        let Some(order) = done.filter(|order| !order.is_done) else { return false };
        (order.is_final, order.is_deserted, order.is_done) = (true, true, true);
        self.changed();
        true
    }

    fn add(&self, wanted: &mut Wanted, listeners: Option<Box<[ListenerId]>>, times: Times, is_final: bool) {
        wanted.next += 1;
        let id = wanted.next;
        wanted.orders.push(Order {
            id,
            listeners,
            times,
            is_final,
            is_hurried: false,
            is_deserted: false,
            is_done: false,
            drained: 0,
        });
        self.changed();
    }

    /// Before the lock goes: a thread that sees the version finds the list behind it.
    fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        // Every change of the list is one step.
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
