//! The way into the reactors of an engine from any thread: what is posted goes through a reactor's mailbox.

mod inspection;

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gannet_proto::Codec;

use crate::access::{Access, AccessStats};
use crate::address::{Address, Peer};
use crate::close_reason::CloseReason;
use crate::connect::Connect;
use crate::connection::{CloseMode, Flags, NO_SESSION, Payload};
use crate::core::{Core, Outgoing, encode};
use crate::counters::{ReactorCounters, ReactorStats, ServiceStats};
use crate::drain::{Drain, Drains, Scope, Times};
use crate::error::Error;
use crate::group::Group;
use crate::handle::{Handle, Interest, Live, SendError};
use crate::host::{Host, HostOf, Outbound};
use crate::ids::{ListenerId, Place, ServiceId, Token};
use crate::inspect::Orders;
use crate::limits::Limits;
use crate::mailbox::{NotPosted, Sender, Wake};
use crate::offload::{Offload, OffloadStats, Owner, Pool};
use crate::quota::Totals;
use crate::requests::Requests;
use crate::route::Route;
use crate::service::{Notice, Service};
use crate::spares::Spares;
use crate::steps::Steps;
use crate::wheel::milliseconds;

/// Makes the session of an outbound connection on its reactor, and says its place.
pub(crate) type MakeSession = Box<dyn FnOnce(&mut dyn Host) -> u32 + Send>;

/// Something to do with a connection and its service, on its reactor.
pub(crate) type Run = Box<dyn FnOnce(&mut dyn Host, &mut Core, Token) + Send>;

/// Something to do for a connection that its sender gets back where it cannot be posted.
pub(crate) trait Errand: Send {
    fn run(self: Box<Self>, host: &mut dyn Host, core: &mut Core, token: Token);
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// A value on its way to a session.
pub(crate) struct Noticed<S, T> {
    value: T,
    service: PhantomData<fn() -> S>,
}

impl<S, T> Noticed<S, T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value, service: PhantomData }
    }
}

impl<S: Notice<T>, T: Send + 'static> Errand for Noticed<S, T> {
    fn run(self: Box<Self>, host: &mut dyn Host, core: &mut Core, token: Token) {
        match host.as_any_mut().downcast_mut::<HostOf<S>>() {
            Some(host) => {
                host.with_session(core, token, |service, session, cx| service.notice(session, self.value, cx));
            }
            None => core.counters.stale.add(1),
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// What comes through a mailbox.
pub(crate) enum Letter {
    /// A message, to be encoded by the connection's own codec.
    Send { place: Place, payload: Payload },
    /// Bytes that are encoded already.
    Write { place: Place, payload: Payload },
    /// Reading from a connection stops, or goes on.
    Pause { place: Place, paused: bool },
    /// The end of a connection.
    Close { place: Place, mode: CloseMode },
    /// The end of what is sent on a connection.
    ShutWrite { place: Place },
    /// Encoded bytes for all members of a group.
    Broadcast { group: Group, payload: Payload },
    /// A value for the session of a connection.
    Errand { place: Place, errand: Box<dyn Errand> },
    /// Anything else for a connection.
    Run { place: Place, run: Run },
    /// An outbound connection.
    Dial(Box<Dial>),
    /// A connection that was accepted elsewhere.
    Adopt { listener: ListenerId, socket: OwnedFd, peer: Peer },
}

pub(crate) struct Dial {
    pub(crate) service: u16,
    pub(crate) route: Route,
    pub(crate) timeout_ms: u32,
    pub(crate) session: MakeSession,
}

/// Describes a listener of a running engine: see [`Remote::listeners`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listening {
    /// The place of its counters in [`ReactorStats::services`].
    pub service: usize,
    /// Its name: what [`ListenOptions::named`](crate::ListenOptions::named) gave, or its URL.
    pub name: String,
    /// The URL that it was described by.
    pub url: String,
    /// The address that it listens on.
    pub address: Address,
    /// Whether it is open; a [`Plan`](crate::Plan) may have removed it, and its connections may still be there.
    pub is_open: bool,
}

/// What one reactor shows to other threads.
pub(crate) struct Gate {
    pub(crate) sender: Sender<Letter>,
    pub(crate) counters: Arc<ReactorCounters>,
    pub(crate) live: Arc<Live>,
    /// Of operators.
    pub(crate) orders: Arc<Orders>,
}

/// A number for an engine: handles and outbound services of other engines have others.
pub(crate) fn new_engine_id() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What all threads of an engine share. Nothing of it is touched on the way of a message.
pub(crate) struct Shared {
    pub(crate) id: u16,
    pub(crate) gates: OnceLock<Box<[Gate]>>,
    pub(crate) totals: Totals,
    /// For operational listeners.
    pub(crate) spares: Spares,
    pub(crate) offload: Offload<JobOwner>,
    /// Set while it is known that the engine will shut down.
    pub(crate) stopping: AtomicBool,
    /// Every reactor looks at its version in each turn.
    pub(crate) drains: Drains,
    /// Set once, when connections have no time to drain any more.
    pub(crate) aborting: AtomicBool,
    /// What is asked of the threads that accept, for another process.
    pub(crate) requests: Requests,
    /// Who may connect, where not everybody may.
    pub(crate) access: Option<Arc<Access>>,
    /// What plans change.
    pub(crate) steps: Steps,
    /// Its listeners, removed ones included.
    listening: Mutex<Vec<Listening>>,
    /// Wakes the acceptor, where there is one.
    pub(crate) acceptor: OnceLock<Arc<dyn Wake>>,
    pub(crate) acceptor_counters: OnceLock<Arc<ReactorCounters>>,
}

impl Shared {
    /// An engine that has not started. On Linux and elsewhere the same: nothing here asks the system for anything.
    pub(crate) fn new(id: u16, limits: &Limits, drain: Times) -> Self {
        Self {
            id,
            gates: OnceLock::new(),
            totals: Totals::default(),
            spares: Spares::default(),
            offload: Offload::new(limits),
            stopping: AtomicBool::new(false),
            drains: Drains::new(drain),
            aborting: AtomicBool::new(false),
            requests: Requests::default(),
            access: None,
            steps: Steps::default(),
            listening: Mutex::default(),
            acceptor: OnceLock::new(),
            acceptor_counters: OnceLock::new(),
        }
    }

    pub(crate) fn set_listening(&self, listening: Vec<Listening>) {
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = listening;
    }

    /// Begins the shutdown, when the delay is over or at once without one.
    pub(crate) fn stop(&self, delay: Option<Duration>) {
        self.stopping.store(true, Ordering::Relaxed);
        if self.drains.end(delay.map(milliseconds)) || self.is_aborting() {
            self.ring();
        }
    }

    /// Begins the shutdown, or ends the time of one that has begun.
    pub(crate) fn abort(&self) {
        self.aborting.store(true, Ordering::SeqCst);
        self.stop(None);
    }

    /// Finds the listeners of a name, of an address or of a URL. Those that were removed are among them while they have
    /// connections.
    fn named(&self, name: &str) -> Result<Scope, Error> {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let has_connections = |one: &Listening| {
            let mut gates = self.gates().iter();
            gates.any(|gate| gate.counters.connections_of(one.service as ServiceId) > 0)
        };
        let is_meant = |one: &&Listening| {
            let is_named = one.name == name || one.url == name || one.address.to_string() == name;
            is_named && (one.is_open || has_connections(one))
        };
        let ids: Vec<ListenerId> = listening.iter().filter(is_meant).map(|one| one.service as ListenerId).collect();
        if ids.is_empty() {
            let open = listening.iter().filter(|one| one.is_open);
            let mut known: Vec<String> = Vec::new();
            for one in open {
                known.extend([one.name.clone(), one.address.to_string()]);
            }
            known.dedup();
            return Err(Error::Setting(format!("no listener is named {name:?}; there are: {}", known.join(", "))));
        }
        let open = listening.iter().filter(|one| one.is_open).map(|one| one.service as ListenerId);
        Ok(Scope { listeners: ids.into(), open: open.collect() })
    }

    /// Wakes every thread of the engine.
    pub(crate) fn ring(&self) {
        self.gates().iter().for_each(|gate| gate.sender.ring());
        if let Some(acceptor) = self.acceptor.get() {
            acceptor.wake();
        }
    }

    pub(crate) fn is_aborting(&self) -> bool {
        self.aborting.load(Ordering::Relaxed)
    }

    pub(crate) fn gates(&self) -> &[Gate] {
        self.gates.get().map_or(&[], |gates| gates)
    }

    /// Whether a mailbox is more than half full, that of one reactor aside.
    pub(crate) fn is_crowded(&self, except: u16, capacity: usize) -> bool {
        let mut gates = self.gates().iter().enumerate();
        gates.any(|(reactor, gate)| reactor != usize::from(except) && gate.sender.len() > capacity / 2)
    }

    /// Posts encoded bytes for a group to all reactors but one.
    pub(crate) fn broadcast(&self, group: Group, payload: &Bytes, except: Option<u16>) -> Result<(), SendError> {
        let mut result = Ok(());
        for (reactor, gate) in self.gates().iter().enumerate() {
            if except != Some(reactor as u16) {
                let letter = Letter::Broadcast { group, payload: payload.clone() };
                result = gate.sender.post(letter).map_err(why).and(result);
            }
        }
        result
    }
}

fn why(refused: NotPosted<Letter>) -> SendError {
    match refused {
        NotPosted::Full(_) => SendError::MailboxFull,
        NotPosted::Closed(_) => SendError::NotRunning,
    }
}

/// Gives any thread access to an engine: its connections, its counters, its shutdown.
///
/// It is cheap to clone. Nothing here blocks. What one thread posts for one connection arrives in that order. A full mailbox
/// refuses ([`SendError::MailboxFull`]); nothing waits for room.
#[derive(Clone)]
pub struct Remote {
    shared: Arc<Shared>,
}

/// The connection that an offloaded job works for.
pub(crate) struct JobOwner {
    pub(crate) remote: Remote,
    pub(crate) handle: Handle,
}

impl Owner for JobOwner {
    fn interest(&self) -> Interest {
        self.remote.interest(self.handle)
    }

    fn give_up(self) {
        let run = Box::new(|_: &mut dyn Host, core: &mut Core, token| {
            core.rares.offload_ended(token);
            core.ask_close(token, Flags::CLOSE_FLUSHED, CloseReason::Peer);
        });
        // Where the mailbox is full, the deadline for half-closed connections ends it.
        let _ = self.remote.post(self.handle, Letter::Run { place: self.handle.place(), run });
    }
}

impl Remote {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends plain bytes to a connection: as the message that its codec makes of them ([`Codec::encode_payload`]).
    ///
    /// The codec is called on the connection's reactor. If it makes no message of the bytes, they are dropped; the log has
    /// the reason at the level debug. The connection may also close before the bytes get there. Then they are dropped, and
    /// counted in `ReactorStats::stale_handles`.
    ///
    /// # Errors
    ///
    /// - [`SendError::Gone`]: the connection is gone.
    /// - [`SendError::MailboxFull`]: the mailbox of its reactor is full.
    /// - [`SendError::OtherEngine`]: the handle belongs to another engine.
    /// - [`SendError::NotRunning`]: the engine has not started, or has ended.
    pub fn send(&self, handle: Handle, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.post(handle, Letter::Send { place: handle.place(), payload: payload.into() })
    }

    /// Gives a value to the session of a connection: calls [`Notice::notice`] of its service, on its reactor.
    ///
    /// If the connection belongs to a service of another type, or closes before the value gets there, the value is dropped
    /// and counted in `ReactorStats::stale_handles`.
    ///
    /// # Errors
    ///
    /// Those of [`Remote::send`]; the error gives the value back.
    pub fn notify<S: Notice<T>, T: Send + 'static>(&self, handle: Handle, value: T) -> Result<(), NotifyError<T>> {
        let errand = Box::new(Noticed::<S, T>::new(value));
        let Err((reason, letter)) = self.offer(handle, Letter::Errand { place: handle.place(), errand }) else {
            return Ok(());
        };
        let Letter::Errand { errand, .. } = letter else { unreachable!("the letter comes back as it was given") };
        let Ok(noticed) = errand.into_any().downcast::<Noticed<S, T>>() else {
            unreachable!("the errand comes back as it was given")
        };
        Err(NotifyError { value: noticed.value, reason })
    }

    /// Closes a connection, with [`CloseReason::Service`]: at once, or when all its output was sent.
    ///
    /// # Errors
    ///
    /// Those of [`Remote::send`].
    ///
    /// [`CloseReason::Service`]: crate::CloseReason::Service
    pub fn close(&self, handle: Handle, mode: CloseMode) -> Result<(), SendError> {
        self.post(handle, Letter::Close { place: handle.place(), mode })
    }

    /// Sends one message to every member of a group on all reactors.
    ///
    /// The message is encoded once, on this thread, by `codec`. The members should speak its protocol.
    ///
    /// # Errors
    ///
    /// - [`SendError::Encode`]: the codec cannot encode the message; no member gets it.
    /// - [`SendError::MailboxFull`]: the mailbox of a reactor was full; its members do not get the message, all others do.
    /// - [`SendError::NotRunning`]: the engine has not started, or a reactor has ended.
    pub fn broadcast<C: Codec>(&self, group: Group, codec: &C, message: C::Outgoing<'_>) -> Result<(), SendError> {
        let payload = encode(codec, Outgoing::<C>(message)).map_err(|_| SendError::Encode)?;
        if self.shared.gates().is_empty() {
            return Err(SendError::NotRunning);
        }
        self.shared.broadcast(group, &payload, None)
    }

    /// Returns whether the mailbox of any reactor is more than half full.
    ///
    /// While this is `true`, pause whatever drives your broadcasts; beyond the mailbox's limit, messages are dropped.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.shared.gates().iter().any(|gate| gate.sender.is_crowded())
    }

    /// Opens an outbound connection on a reactor. `session` becomes its session.
    ///
    /// `reactor` is the number of the reactor, modulo the number of reactors. [`Service::connected`] or
    /// [`Service::connect_failed`] of the outbound service reports the result, on the reactor's thread.
    ///
    /// # Errors
    ///
    /// - [`ConnectError::Address`]: there is no address, one that cannot be connected to, or a keepalive out of range.
    /// - [`ConnectError::Post`]: the mailbox of the reactor is full, the engine is not running, or `outbound` belongs to
    ///   another engine.
    pub fn connect<S: Service>(
        &self,
        reactor: usize,
        outbound: Outbound<S>,
        connect: &Connect,
        session: S::Session,
    ) -> Result<(), ConnectError>
    where
        S::Session: Send,
    {
        let (route, timeout_ms) = connect.route().map_err(ConnectError::Address)?;
        let session: MakeSession = Box::new(move |host| {
            host.as_any_mut().downcast_mut::<HostOf<S>>().map_or(NO_SESSION, |host| host.add_session(session))
        });
        if outbound.engine != self.shared.id {
            return Err(ConnectError::Post(SendError::OtherEngine));
        }
        let gates = self.shared.gates();
        let gate = gates.get(reactor % gates.len().max(1)).ok_or(ConnectError::Post(SendError::NotRunning))?;
        let dial = Dial { service: outbound.index, route, timeout_ms, session };
        gate.sender.post(Letter::Dial(Box::new(dial))).map_err(|refused| ConnectError::Post(why(refused)))
    }

    /// Calls an outbound service on a reactor: [`Service::woken`] of its instance there, in this turn or the next.
    ///
    /// `reactor` is the number of the reactor, modulo the number of reactors. A call needs no room in the mailbox, so a full
    /// one refuses nothing. Several calls before the service runs are one. Put what the service shall find where it can
    /// reach it, then call: everything that was written before is visible to it.
    ///
    /// # Errors
    ///
    /// - [`SendError::NotRunning`]: the engine has not started.
    /// - [`SendError::OtherEngine`]: `outbound` belongs to another engine.
    pub fn wake_service<S: Service>(&self, reactor: usize, outbound: Outbound<S>) -> Result<(), SendError> {
        if outbound.engine != self.shared.id {
            return Err(SendError::OtherEngine);
        }
        let gates = self.shared.gates();
        let gate = gates.get(reactor % gates.len().max(1)).ok_or(SendError::NotRunning)?;
        gate.sender.call(usize::from(outbound.index));
        Ok(())
    }

    /// Returns whether every reactor finishes a turn within this time. Blocks for as long as that takes.
    ///
    /// A reactor that a callback holds up does not. Reactors that have ended, as in a shutdown, do not count. Do not call this
    /// in a callback.
    #[must_use]
    pub fn is_responsive(&self, within: Duration) -> bool {
        let turns = |gate: &Gate| gate.counters.wakeups.get();
        let before: Vec<u64> = self.shared.gates().iter().map(turns).collect();
        let has_turned = || {
            let mut gates = self.shared.gates().iter().zip(&before);
            // The turn that runs may have begun before: the next one tells.
            gates.all(|(gate, before)| turns(gate) >= before + 2 || gate.sender.is_closed())
        };
        #[allow(clippy::disallowed_methods)] // No reactor runs on this thread.
        let by = std::time::Instant::now() + within;
        while !has_turned() {
            #[allow(clippy::disallowed_methods)] // As above.
            let is_late = std::time::Instant::now() >= by;
            if is_late {
                return self.shared.gates().is_empty();
            }
            self.shared.gates().iter().for_each(|gate| gate.sender.ring());
            std::thread::park_timeout((within / 50).clamp(Duration::from_millis(1), Duration::from_millis(10)));
        }
        true
    }

    /// Returns the number of reactors; 0 before the engine has started.
    #[must_use]
    pub fn reactors(&self) -> usize {
        self.shared.gates().len()
    }

    /// Starts the shutdown of the engine, and returns at once.
    ///
    /// Listeners close ([operational](crate::ListenOptions::operational) ones last), and [`Service::shutdown`] is called for
    /// each connection: evenly over [`Engine::drain_spread`](crate::Engine::drain_spread), or at once without one. The engine ends within
    /// [`Engine::drain_timeout`](crate::Engine::drain_timeout) after that.
    /// [`Engine::drain_delay`](crate::Engine::drain_delay) does not apply. A second call changes nothing.
    pub fn stop(&self) {
        self.shared.stop(None);
    }

    /// Starts the shutdown of the engine when `delay` is over, and returns at once.
    ///
    /// Until then everything goes on. [`is_stopping`](Self::is_stopping) is true from now on. [`stop`](Self::stop) ends the
    /// delay.
    pub fn stop_after(&self, delay: Duration) {
        self.shared.stop(Some(delay));
    }

    /// Starts to release the clients of the engine or of one listener, and returns at once.
    ///
    /// After the drain's delay the listeners refuse new connections. [`Service::shutdown`] is called for each connection
    /// that was accepted, evenly over the spread and in no particular order; outbound connections follow at its end. What
    /// is left when the timeout is over is closed. A drain of the whole engine then ends the engine; until its last client
    /// has left, [operational](crate::ListenOptions::operational) listeners go on.
    ///
    /// Until then [`cancel_drain`](Self::cancel_drain) takes the order back. A second drain of the same connections
    /// replaces the first; connections that were told already are not told again.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`]: no listener has the name, or the engine shuts down already.
    pub fn drain(&self, drain: &Drain) -> Result<(), Error> {
        let listeners = drain.scope().map(|name| self.shared.named(name)).transpose()?;
        let is_whole = listeners.is_none();
        self.shared.drains.begin(drain, listeners)?;
        if is_whole {
            self.shared.stopping.store(true, Ordering::Relaxed);
        }
        self.shared.ring();
        Ok(())
    }

    /// Replaces the times of drains and shutdowns that begin from now on and say nothing else.
    ///
    /// What the drain does not set stays as it is; its listener is ignored. Without this, the times are those of
    /// [`Engine::drain_delay`](crate::Engine::drain_delay), [`drain_spread`](crate::Engine::drain_spread) and
    /// [`drain_timeout`](crate::Engine::drain_timeout).
    pub fn set_drain_times(&self, drain: &Drain) {
        self.shared.drains.set_default(drain);
    }

    /// The time between a signal to stop and the shutdown.
    pub(crate) fn drain_delay(&self) -> Duration {
        self.shared.drains.default_delay()
    }

    /// Cancels the drain of the engine, or of the listener with this name; returns whether there was one to cancel.
    ///
    /// The listeners accept again. Connections that were told to leave still leave, and the others stay. After
    /// [`stop`](Self::stop), a signal, or the end of the last connection, the shutdown cannot be cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`]: no listener has the name.
    pub fn cancel_drain(&self, listener: Option<&str>) -> Result<bool, Error> {
        let listeners = listener.map(|name| self.shared.named(name)).transpose()?;
        let is_news = self.shared.drains.cancel(listeners.as_ref());
        if is_news {
            if listeners.is_none() {
                self.shared.stopping.store(false, Ordering::Relaxed);
            }
            self.shared.ring();
        }
        Ok(is_news)
    }

    /// Ends the engine without time for its connections.
    pub(crate) fn abort(&self) {
        self.shared.abort();
    }

    /// Makes [`Remote::is_stopping`] return `true` from now on, and changes nothing else.
    ///
    /// A health check can then tell a load balancer to send no more clients, before the shutdown begins.
    pub fn announce_stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Returns whether the engine is shutting down, or will soon ([`Remote::announce_stop`]).
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
    }

    /// Reads the counters of every reactor, by reactor number. Stops no reactor.
    ///
    /// The counters of one reactor may be a few messages apart.
    #[must_use]
    pub fn stats(&self) -> Vec<ReactorStats> {
        let read = |gate: &Gate| ReactorStats {
            mailbox_letters: gate.sender.len() as u64,
            mailbox_full: gate.sender.refused() + gate.counters.notices_refused.get(),
            ..gate.counters.read()
        };
        self.shared.gates().iter().map(read).collect()
    }

    /// Returns the listeners of the engine in the order in which they were added, removed ones included.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listening> {
        self.shared.listening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the counters of the acceptor's thread, if there is such a thread. They are in the order of
    /// [`ReactorStats::services`], as far as the last service that it accepts for.
    ///
    /// It counts failed accepts and pauses. The reactor that gets a connection counts everything else.
    #[must_use]
    pub fn acceptor_stats(&self) -> Option<Vec<ServiceStats>> {
        self.shared.acceptor_counters.get().map(|counters| counters.read().services)
    }

    /// Reads the counters of [`Engine::access`](crate::Engine::access); without it they are 0.
    #[must_use]
    pub fn access_stats(&self) -> AccessStats {
        self.shared.access.as_ref().map(|access| access.stats()).unwrap_or_default()
    }

    /// Returns the number of offloaded jobs that wait or run, in all pools.
    #[must_use]
    pub fn offloads(&self) -> usize {
        self.shared.offload.pending()
    }

    /// Reads the counters of each offload pool.
    #[must_use]
    pub fn offload_stats(&self) -> Vec<OffloadStats> {
        self.shared.offload.stats()
    }

    pub(crate) fn engine(&self) -> u16 {
        self.shared.id
    }

    pub(crate) fn gates(&self) -> &[Gate] {
        self.shared.gates()
    }

    /// Whether a connection waits for the result of a job.
    pub(crate) fn interest(&self, handle: Handle) -> Interest {
        self.gate(handle).map_or(Interest::Gone, |gate| gate.live.interest(handle.place()))
    }

    pub(crate) fn count_panicked_job(&self, pool: Pool) {
        self.shared.offload.panicked(pool);
    }

    pub(crate) fn post(&self, handle: Handle, letter: Letter) -> Result<(), SendError> {
        self.offer(handle, letter).map_err(|(reason, _)| reason)
    }

    /// Posts a letter, or gives it back.
    fn offer(&self, handle: Handle, letter: Letter) -> Result<(), (SendError, Letter)> {
        let gate = match self.gate(handle) {
            Ok(gate) => gate,
            Err(reason) => return Err((reason, letter)),
        };
        if !gate.live.holds(handle.place()) {
            return Err((SendError::Gone, letter));
        }
        gate.sender.post(letter).map_err(|refused| match refused {
            NotPosted::Full(letter) => (SendError::MailboxFull, letter),
            NotPosted::Closed(letter) => (SendError::NotRunning, letter),
        })
    }

    /// Posts what must not be lost while its connection lives, waiting for room: from the offload pool only.
    pub(crate) fn deliver(&self, handle: Handle, mut letter: Letter) {
        let Ok(gate) = self.gate(handle) else { return };
        let mut is_again = false;
        while gate.live.holds(handle.place()) {
            let posted = if is_again { gate.sender.post_again(letter) } else { gate.sender.post(letter) };
            match posted {
                Err(NotPosted::Full(back)) => (letter, is_again) = (back, true),
                Ok(()) | Err(NotPosted::Closed(_)) => return,
            }
            std::thread::yield_now();
        }
    }

    pub(crate) fn gate(&self, handle: Handle) -> Result<&Gate, SendError> {
        if handle.engine != self.shared.id {
            return Err(SendError::OtherEngine);
        }
        self.shared.gates().get(usize::from(handle.reactor)).ok_or(SendError::NotRunning)
    }
}

/// Gives back a value that [`Remote::notify`] could not hand over, and says why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotifyError<T> {
    /// The value, as it was passed to [`Remote::notify`].
    pub value: T,
    /// Why the value was not handed over.
    pub reason: SendError,
}

impl<T> fmt::Debug for NotifyError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifyError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for NotifyError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a notice was not handed over: {}", self.reason)
    }
}

impl<T> std::error::Error for NotifyError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

impl<T> From<NotifyError<T>> for SendError {
    fn from(error: NotifyError<T>) -> Self {
        error.reason
    }
}

/// Says why [`Remote::connect`] did not start an outbound connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address, or another setting of [`Connect`], cannot be used.
    #[error("{0}")]
    Address(#[source] Error),
    /// The order could not be posted to its reactor.
    #[error("{0}")]
    Post(#[source] SendError),
}
