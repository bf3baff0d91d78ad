//! What a service can do while it handles something of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gannet_proto::Codec;

use crate::address::{Address, Peer, Target};
use crate::connection::{CloseReason, Flags, Place, State};
use crate::core::{Core, Deferred, SendStatus, encode};
use crate::driver::{Route, Token};
use crate::filter::Filters;
use crate::group::{Group, JoinError};
use crate::handle::{Handle, SendError};
use crate::host::{Host, HostOf, Outbound};
use crate::moments::{Exact, Fraction};
use crate::offload::{OffloadFull, Owner, Pool};
use crate::panics::panic_message;
use crate::remote::{Letter, Remote};
use crate::service::Service;
use crate::share::DELIVERY_BYTES;
use crate::wheel::Tick;

/// The connection that a callback is about, and the way to everything around it. Lives for one callback, on the
/// reactor's thread.
///
/// Nothing here waits: what is sent is handed to the kernel when the callback has returned, all replies to what came
/// together in one go.
pub struct Context<'a, S: Service> {
    pub(crate) core: &'a mut Core,
    pub(crate) codec: &'a S::Codec,
    pub(crate) state: &'a mut <S::Codec as Codec>::State,
    pub(crate) token: Token,
}

impl<S: Service> Context<'_, S> {
    /// The same context for a shorter time: for a service that hands it on inside of a context of its own.
    #[inline]
    #[must_use]
    pub fn reborrow(&mut self) -> Context<'_, S> {
        Context { core: self.core, codec: self.codec, state: self.state, token: self.token }
    }

    /// Sends one message made of `parts` joined, encoded by the service's codec. Small messages are copied.
    ///
    /// A message that the codec cannot express, for [`Lines`](gannet_proto::Lines) one with a line break in it, is not
    /// sent, which is [`SendStatus::Unencodable`] and a line in the log at the level of debug; the connection goes on.
    #[inline]
    pub fn send<const N: usize>(&mut self, parts: [&[u8]; N]) -> SendStatus {
        self.core.send(self.token, self.codec, &parts)
    }

    /// Sends one message whose payload is not copied where the codec puts nothing behind it.
    pub fn send_shared(&mut self, payload: Bytes) -> SendStatus {
        if S::Codec::TRANSPARENT {
            self.core.append_shared(self.token, payload)
        } else {
            self.core.send(self.token, self.codec, &[&payload])
        }
    }

    /// Sends bytes as they are, past the codec: for those that encode for themselves. Counts as one message.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> SendStatus {
        self.core.append(self.token, &[bytes])
    }

    /// Sends bytes as they are, in answer to what this connection asked: past the codec, and past
    /// [`Limits::outbox_hard`](crate::Limits). The service has to bound the size of an answer; over
    /// [`Limits::outbox_high`](crate::Limits) no further message is taken that would be answered.
    #[inline]
    pub fn answer(&mut self, bytes: &[u8]) -> SendStatus {
        self.core.append_answer(self.token, &[bytes])
    }

    /// The same for an answer made of `parts` joined.
    #[inline]
    pub fn answer_parts<const N: usize>(&mut self, parts: [&[u8]; N]) -> SendStatus {
        self.core.append_answer(self.token, &parts)
    }

    /// The same, without a copy.
    pub fn answer_shared(&mut self, bytes: Bytes) -> SendStatus {
        self.core.append_shared_answer(self.token, bytes)
    }

    /// Sends one message to another connection, encoded by this service's codec; the other one should speak the same.
    ///
    /// Says how full the outbox of the other connection will be with it. After [`SendStatus::OverHigh`] the other
    /// connection's service hears [`Service::drained`] when there is room again: a proxy pauses the connection that it reads
    /// from until then. [`SendStatus::OverHard`] says that [`Limits::overflow`](crate::Limits) will decide. Of a connection
    /// on another reactor nothing is known: that is [`SendStatus::Queued`].
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`] where the connection is gone, [`SendError::Encode`] where the codec cannot encode it,
    /// [`SendError::MailboxFull`] where it lives on another reactor whose mailbox is full.
    pub fn send_to<const N: usize>(&mut self, handle: Handle, parts: [&[u8]; N]) -> Result<SendStatus, SendError> {
        let local = self.local(handle)?;
        let payload = encode(self.codec, &parts).map_err(|_| SendError::Encode)?;
        match local {
            Some(place) if place.token == self.token => match self.core.append_shared(self.token, payload) {
                SendStatus::Closed => Err(SendError::Gone),
                status => Ok(status),
            },
            Some(place) => {
                let status = self.core.promise(place.token, payload.len());
                self.core.deferred.push(Deferred::Write { place, payload });
                Ok(status)
            }
            None => {
                self.remote().post(handle, Letter::Write { place: handle.place(), payload })?;
                Ok(SendStatus::Queued)
            }
        }
    }

    /// The place of a handle on this reactor, `None` where it is on another one.
    fn local(&mut self, handle: Handle) -> Result<Option<Place>, SendError> {
        if handle.engine != self.core.shared.id {
            return Err(SendError::OtherEngine);
        }
        if handle.reactor != self.core.reactor {
            return Ok(None);
        }
        match self.core.at(handle.place()) {
            Some(connection) if connection.takes_output() => Ok(Some(handle.place())),
            _ => Err(SendError::Gone),
        }
    }

    /// Closes the connection at once; what was not sent yet is lost.
    pub fn close(&mut self) {
        self.core.ask_close(self.token, Flags::CLOSE, CloseReason::Service);
    }

    /// Closes the connection at once by a reset, so that nothing of it stays in the kernel.
    pub fn reset(&mut self) {
        self.core.ask_close(self.token, Flags::CLOSE.or(Flags::RESET), CloseReason::Service);
    }

    /// Closes the connection when everything accepted by `send` so far has left. No message comes any more.
    pub fn close_flushed(&mut self) {
        self.core.ask_close(self.token, Flags::CLOSE_FLUSHED, CloseReason::Service);
    }

    /// Closes the connection at once, for a reason of the service's own. The reason comes back in
    /// [`Service::close`] as [`CloseReason::Other`], and is counted under its name. What was not sent yet is lost.
    pub fn close_because(&mut self, reason: &'static str) {
        self.core.ask_close(self.token, Flags::CLOSE, CloseReason::Other(reason));
    }

    /// Closes the connection when everything accepted by `send` so far has left, for a reason of the service's own; see
    /// [`close_because`](Self::close_because).
    pub fn close_flushed_because(&mut self, reason: &'static str) {
        self.core.ask_close(self.token, Flags::CLOSE_FLUSHED, CloseReason::Other(reason));
    }

    /// Closes the connection when everything was sent, with [`CloseReason::Idle`]: what [`Service::idle`] does by default.
    pub fn close_idle(&mut self) {
        self.close_for(CloseReason::Idle);
    }

    /// Closes the connection when everything was sent, for a reason of the engine's.
    pub(crate) fn close_for(&mut self, reason: CloseReason) {
        self.core.ask_close(self.token, Flags::CLOSE_FLUSHED, reason);
    }

    /// Closes another connection: at once, or with `flushed` when everything was sent.
    ///
    /// # Errors
    ///
    /// As [`Context::send_to`].
    pub fn close_other(&mut self, handle: Handle, flushed: bool) -> Result<(), SendError> {
        let how = if flushed { Flags::CLOSE_FLUSHED } else { Flags::CLOSE };
        match self.local(handle)? {
            Some(place) if place.token == self.token => {
                self.core.ask_close(self.token, how, CloseReason::Service);
                Ok(())
            }
            Some(place) => {
                self.core.deferred.push(Deferred::Close { place, flushed });
                Ok(())
            }
            None => self.remote().post(handle, Letter::Close { place: handle.place(), flushed }),
        }
    }

    /// Stops taking messages from this connection until [`Context::resume`]. What has been received waits. Independent of the
    /// pause by itself that [`Service::AUTO_PAUSE`] is about: messages come when neither holds.
    pub fn pause(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.set(Flags::PAUSED);
            self.core.halt = true;
        }
    }

    /// Takes messages again.
    pub fn resume(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.clear(Flags::PAUSED);
        }
        self.core.mark(self.token);
    }

    /// Pauses another connection as [`Context::pause`] does this one. The connection may be on any reactor; on another one
    /// it takes effect when that reactor has heard of it. Messages that were received before may still come.
    ///
    /// # Errors
    ///
    /// As [`Context::send_to`].
    pub fn pause_other(&mut self, handle: Handle) -> Result<(), SendError> {
        self.set_other_paused(handle, true)
    }

    /// Resumes another connection as [`Context::resume`] does this one.
    ///
    /// # Errors
    ///
    /// As [`Context::send_to`].
    pub fn resume_other(&mut self, handle: Handle) -> Result<(), SendError> {
        self.set_other_paused(handle, false)
    }

    fn set_other_paused(&mut self, handle: Handle, paused: bool) -> Result<(), SendError> {
        match self.local(handle)? {
            Some(place) => {
                self.core.halt |= paused && place.token == self.token;
                self.core.set_paused(place.token, paused);
                Ok(())
            }
            None => self.remote().post(handle, Letter::Pause { place: handle.place(), paused }),
        }
    }

    /// Sets this connection's timer, in place of one set before; the service's `timer` is called once when `after` has
    /// passed. Kept to the millisecond, late by what the reactor has to do; at most 24 days.
    pub fn set_timer(&mut self, after: Duration) {
        let due = self.core.now.after(milliseconds(after));
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.set(Flags::TIMER);
            (connection.user_deadline, connection.user_fraction) = (due, Fraction::NONE);
            self.core.due(self.token, due);
        }
    }

    /// Sets this connection's timer as [`set_timer`](Self::set_timer) does, and keeps it more exactly than to the
    /// millisecond: `timer` is called as soon as the kernel wakes the reactor for it, which is usually within 100 µs. Each
    /// such timer may cost a wake-up of its own, so set one only where that matters; at most 24 days.
    pub fn set_precise_timer(&mut self, after: Duration) {
        self.core.set_precise_timer(self.token, Exact::after(self.core.clock, after));
    }

    /// Begins the heartbeat of this connection again, after [`Service::heartbeat`] said that there is none: for a service
    /// whose connections come to speak something that has one. What was missed before does not count.
    pub fn begin_heartbeat(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.clear(Flags::NO_HEARTBEAT);
            connection.missed = 0;
            // The deadlines are the reactor's: its next look at the connection finds when the heartbeat is due.
            let soon = self.core.now.after(1);
            self.core.due(self.token, soon);
        }
    }

    /// Takes this connection's timer back.
    pub fn cancel_timer(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.flags.clear(Flags::TIMER);
        }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.core.slab.get(self.token).map_or(Peer::UNIX, |connection| connection.peer)
    }

    /// A reference to this connection that may be kept and used on any thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.core.handle(self.token)
    }

    /// Bytes that this connection still has to send.
    #[must_use]
    pub fn outbox_len(&self) -> usize {
        self.core.slab.get(self.token).map_or(0, |connection| connection.outbox_len())
    }

    /// Bytes that were received and not taken by the codec yet: of a message that is not complete, or that wait while
    /// reading is paused. With a filter, those it waits for the rest of are among them, as they came.
    #[must_use]
    pub fn waiting_len(&self) -> usize {
        let Some(connection) = self.core.slab.get(self.token) else { return 0 };
        let held = connection.filter.as_ref().map_or(0, |filter| filter.held_len());
        connection.carry.as_ref().map_or(held, |carry| held + carry.len())
    }

    /// What the codec keeps for this connection, for codecs that let a service change how they go on.
    #[must_use]
    pub fn codec_state(&mut self) -> &mut <S::Codec as Codec>::State {
        self.state
    }

    /// What the filter of this connection says of it, where there is one and it says a `T`: for TLS, protocol version,
    /// server name, certificates of the peer.
    #[must_use]
    pub fn filter_info<T: 'static>(&self) -> Option<&T> {
        self.core.slab.get(self.token)?.filter.as_ref()?.info()?.downcast_ref()
    }

    /// Has the codec look again at what it left of the received bytes, although no more came: for a service that
    /// changed [`Context::codec_state`] outside of `message`. It happens when the callback has returned.
    pub fn decode_again(&mut self) {
        if let Some(connection) = self.core.slab.get_mut(self.token)
            && let Some(carry) = &mut connection.carry
        {
            carry.need = 0;
            connection.flags.clear(Flags::HALF_CLOSED);
            self.core.mark(self.token);
        }
    }

    /// The number of this reactor, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        usize::from(self.core.reactor)
    }

    /// The reactor's clock when this turn began: when it learned of everything it handles now. For durations between
    /// callbacks; each reactor counts from a moment of its own, and the clock never goes back.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.core.clock
    }

    /// Whether the engine is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.core.draining
    }

    /// The way to all reactors, from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(self.core.shared.clone())
    }

    /// Adds this connection to a group; joining twice is joining once.
    ///
    /// # Errors
    ///
    /// A limit on groups was reached.
    pub fn join(&mut self, group: Group) -> Result<(), JoinError> {
        let core = &mut *self.core;
        if !core.slab.get(self.token).is_some_and(|connection| connection.takes_output()) {
            return Err(JoinError::Closed);
        }
        let joined = core.groups.join(&mut core.slab, self.token, group, &core.limits);
        if joined.is_err() {
            core.counters.joins_refused.add(1);
        }
        joined
    }

    /// Removes this connection from a group; says whether it was in it.
    pub fn leave(&mut self, group: Group) -> bool {
        self.core.groups.leave(&mut self.core.slab, self.token, group)
    }

    /// Removes this connection from all groups that it is in.
    pub fn leave_all(&mut self) {
        self.core.groups.leave_all(&mut self.core.slab, self.token);
    }

    /// Sends one message to every member of a group, on all reactors, this connection included if it is one. It is
    /// encoded once, by this service's codec, and shared by all outboxes. A slow member meets its own outbox's limits
    /// and holds nobody up.
    ///
    /// # Errors
    ///
    /// [`SendError::Encode`] where the codec cannot encode it: then nobody gets it. [`SendError::MailboxFull`] where
    /// another reactor's mailbox was full: then its members do not get it, all others do.
    pub fn broadcast<const N: usize>(&mut self, group: Group, parts: [&[u8]; N]) -> Result<(), SendError> {
        let payload = encode(self.codec, &parts).map_err(|_| SendError::Encode)?;
        let token = self.token;
        if self.core.is_member(token, group) {
            self.core.append_shared(token, payload.clone());
        }
        self.core.spend(token, self.core.groups.members(group).len() * DELIVERY_BYTES);
        // Nor does it get the message if it joins before the others get it.
        let deferred = Deferred::Broadcast { group, payload: payload.clone(), except: Some(token) };
        self.core.deferred.push(deferred);
        self.core.shared.broadcast(group, &payload, Some(self.core.reactor))
    }

    /// Whether the mailbox of another reactor is more than half full. Who broadcasts as fast as its peer asks for it
    /// should pause that peer while this holds: over the limit messages are lost.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.core.shared.is_crowded(self.core.reactor, self.core.limits.mailbox)
    }

    /// Runs work that keeps a processor busy on [`Pool::Compute`], and then `done` with its result on this reactor. Work
    /// that waits (for a database, for a lock) belongs to [`offload_blocking`](Self::offload_blocking).
    ///
    /// # Errors
    ///
    /// As [`Context::offload_to`].
    pub fn offload<T, W, D>(&mut self, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut S, &mut S::Session, T, &mut Context<'_, S>) + Send + 'static,
    {
        self.offload_to(Pool::Compute, work, done)
    }

    /// Runs work that blocks on [`Pool::Blocking`], and then `done` with its result on this reactor.
    ///
    /// # Errors
    ///
    /// As [`Context::offload_to`].
    pub fn offload_blocking<T, W, D>(&mut self, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut S, &mut S::Session, T, &mut Context<'_, S>) + Send + 'static,
    {
        self.offload_to(Pool::Blocking, work, done)
    }

    /// Runs long work on one of the engine's pools, and then `done` with its result on this reactor, for this connection.
    ///
    /// If the connection closes before the work has begun, the work is not started; if it closes later, the result is
    /// dropped. Work that a service begins in `close` or `connect_failed` always runs, but `done` is never called. While
    /// other jobs wait, those of a peer that has ended its stream wait behind them, and one of them is given up if the
    /// limit is reached. If `work` panics, the connection closes with [`CloseReason::Panicked`].
    ///
    /// # Errors
    ///
    /// As many jobs wait or run as [`Limits`](crate::Limits) allows for the pool, or 65,535 of this connection; nothing
    /// was started.
    pub fn offload_to<T, W, D>(&mut self, pool: Pool, work: W, done: D) -> Result<(), OffloadFull>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut S, &mut S::Session, T, &mut Context<'_, S>) + Send + 'static,
    {
        let alive = self.core.slab.get(self.token).filter(|connection| connection.state() != State::Closed);
        let Some(connection) = alive else {
            let work = move || drop(work());
            return self.core.shared.offload.run(pool, None, work);
        };
        if connection.offloads_pending == u16::MAX {
            self.core.shared.offload.refused(pool);
            return Err(OffloadFull);
        }
        let (remote, handle) = (self.remote(), self.handle());
        let owner = Owner { remote: remote.clone(), handle };
        self.core.shared.offload.run(pool, Some(owner), move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            if result.is_err() {
                remote.count_panicked_job(pool);
            }
            let run = Box::new(move |host: &mut dyn Host, core: &mut Core, token: Token| {
                if let Some(connection) = core.slab.get_mut(token) {
                    connection.offloads_pending -= 1;
                }
                match result {
                    Ok(result) => {
                        if let Some(host) = host.as_any_mut().downcast_mut::<HostOf<S>>() {
                            host.with_session(core, token, |service, session, cx| done(service, session, result, cx));
                        }
                    }
                    Err(panic) => {
                        let peer = core.slab.get(token).map(|connection| connection.peer);
                        tracing::error!(
                            service = host.name(),
                            peer = %peer.unwrap_or(Peer::UNIX),
                            panic = panic_message(&*panic),
                            "an offloaded job panicked; its connection is closed"
                        );
                        core.ask_close(token, Flags::CLOSE, CloseReason::Panicked);
                    }
                }
            });
            remote.deliver(handle, Letter::Run { place: handle.place(), run });
        })?;
        if let Some(connection) = self.core.slab.get_mut(self.token) {
            connection.offloads_pending += 1;
        }
        Ok(())
    }

    /// Opens a connection from this reactor. `session` becomes its session; the outbound service's `connected` or
    /// `connect_failed` says what came of it.
    ///
    /// # Errors
    ///
    /// The address is one of UDP, or of TLS without [`Connect::through`].
    pub fn connect<O: Service>(
        &mut self,
        outbound: Outbound<O>,
        connect: &Connect,
        session: O::Session,
    ) -> Result<(), crate::Error> {
        let (route, timeout_ms) = connect.route()?;
        let session = Box::new(move |host: &mut dyn Host| {
            let host = host.as_any_mut().downcast_mut::<HostOf<O>>();
            host.map_or(crate::connection::NO_SESSION, |host| host.add_session(session))
        });
        self.core.deferred.push(Deferred::Dial { service: outbound.index, route, timeout_ms, session });
        Ok(())
    }
}

/// Where an outbound connection goes, from where, and how long it may take.
///
/// ```no_run
/// use std::time::Duration;
///
/// use gannet::proto::Lines;
/// use gannet::{Connect, Context, Engine, Service};
///
/// struct Asker;
///
/// impl Service for Asker {
///     type Codec = Lines;
///     type Session = ();
///
///     fn connected(&mut self, _: &mut (), cx: &mut Context<'_, Self>) {
///         cx.send([b"hello"]);
///     }
///
///     fn connect_failed(&mut self, _: (), error: &std::io::Error, cx: &mut Context<'_, Self>) {
///         eprintln!("nobody is there: {error}");
///         cx.remote().stop();
///     }
///
///     fn message(&mut self, _: &mut (), answer: &[u8], cx: &mut Context<'_, Self>) {
///         println!("{}", String::from_utf8_lossy(answer));
///         cx.remote().stop();
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut engine = Engine::new().reactors(1);
/// let asker = engine.outbound(|| Asker)?;
/// let running = engine.start()?;
/// // Over TLS: `tls://`, and `.through(Arc::new(client))` with a `TlsClient` of `gannet-tls`.
/// let connect = Connect::resolve("tcp://localhost:7000")?.timeout(Duration::from_secs(2));
/// running.remote().connect(0, asker, &connect, ())?;
/// running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connect {
    /// In the order in which they are tried.
    to: Vec<Address>,
    from: Option<SocketAddr>,
    through: Option<Arc<dyn Filters>>,
    timeout: Duration,
    keepalive: Option<Option<Duration>>,
}

impl Connect {
    /// To this address, from wherever the system chooses, within 10 s. Where it is written as a URL, `parse` makes an
    /// [`Address`] of it, which looks a name up and may wait for that.
    #[must_use]
    pub fn to(address: Address) -> Self {
        Self::to_any([address])
    }

    /// Connects to whatever a URL names, within 10 s: `tcp://host:port`, `tls://host:port` or `unix:///path`. Where the host
    /// is a name with several addresses, they are tried as [`Connect::to_any`] does, IPv6 and IPv4 in turn. The name is
    /// looked up here, which may block for as long as the system's resolver does.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub fn resolve(url: &str) -> crate::Result<Self> {
        Ok(Self::to_any(Address::all(url)?))
    }

    /// Connects to the first of these addresses that answers, within 10 s, as RFC 8305 ("Happy Eyeballs") has it. They are
    /// tried in this order: the next one as soon as one fails, or beside it where that has no answer after 250 ms.
    ///
    /// The service hears of one connection only. Where all fail, `connect_failed` gets the error of the first that did.
    #[must_use]
    pub fn to_any(addresses: impl IntoIterator<Item = Address>) -> Self {
        let to = addresses.into_iter().collect();
        Self { to, from: None, through: None, timeout: Duration::from_secs(10), keepalive: None }
    }

    /// From this address; with port 0 the system chooses the port when it connects (IP_BIND_ADDRESS_NO_PORT, so that
    /// one port can serve for connections to different addresses).
    #[must_use]
    pub fn from(mut self, source: SocketAddr) -> Self {
        self.from = Some(source);
        self
    }

    /// With a filter between it and its codec, which `filters` makes: TLS, for one. What an address of `tls://` needs.
    #[must_use]
    pub fn through(mut self, filters: Arc<dyn Filters>) -> Self {
        self.through = Some(filters);
        self
    }

    /// Fails with `TimedOut` where the connection is not up by then, its filter's handshake included.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets this connection's time for [`Engine::keepalive`](crate::Engine::keepalive); `None` turns keepalive off for it.
    #[must_use]
    pub fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = Some(after);
        self
    }

    pub(crate) fn route(&self) -> Result<(Route, u32), crate::Error> {
        let keepalive = self.keepalive.map(crate::keepalive::checked).transpose()?;
        let refused =
            |address: &Address, why: &str| Err(crate::Error::Address { url: address.to_string(), why: why.to_owned() });
        let mut sockets = Vec::new();
        let mut path = None;
        for address in &self.to {
            match address {
                Address::Tls(_) if self.through.is_none() => {
                    return refused(address, "TLS needs to know whom to trust: Connect::through");
                }
                Address::Tcp(socket) | Address::Tls(socket) => sockets.push(*socket),
                Address::Unix(socket) => path = Some(socket),
                Address::Udp(_) => return refused(address, "a connection goes to tcp://, tls:// or unix://"),
            }
        }
        // Who comes from an address of one family cannot go to the other one.
        if let Some(from) = self.from
            && sockets.iter().any(|to| to.is_ipv4() == from.is_ipv4())
        {
            sockets.retain(|to| to.is_ipv4() == from.is_ipv4());
        }
        let to = match (path, sockets.first()) {
            (Some(path), None) => Target::Unix(path.clone()),
            (None, Some(first)) => Target::Tcp(*first),
            (Some(path), Some(_)) => {
                return refused(&Address::Unix(path.clone()), "a connection goes to it alone, or to others");
            }
            (None, None) => return Err(crate::Error::Setting("there is no address to connect to".to_owned())),
        };
        let others = sockets.get(1..).unwrap_or_default().to_vec();
        let from = self.from.map(|from| with_zone(from, sockets.first()));
        let route = Route { to, others, from, keepalive, through: self.through.clone() };
        Ok((route, milliseconds(self.timeout)))
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("to", &self.to)
            .field("from", &self.from)
            .field("through", &self.through.as_ref().map(|_| "a filter"))
            .field("timeout", &self.timeout)
            .field("keepalive", &self.keepalive)
            .finish()
    }
}

/// A link-local source address is one of the interface that its target is on.
fn with_zone(from: SocketAddr, to: Option<&SocketAddr>) -> SocketAddr {
    match (from, to) {
        (SocketAddr::V6(mut from), Some(SocketAddr::V6(to)))
            if from.scope_id() == 0 && from.ip().is_unicast_link_local() =>
        {
            from.set_scope_id(to.scope_id());
            from.into()
        }
        _ => from,
    }
}

/// A duration in whole milliseconds, rounded up, at most what the wheel can hold.
pub(crate) fn milliseconds(duration: Duration) -> u32 {
    // In 64 bits: a division of 128 is a call, and this is on the way of services that set a timer for each message.
    let rest = u64::from(duration.subsec_micros().div_ceil(1_000));
    let whole = duration.as_secs().saturating_mul(1_000);
    whole.saturating_add(rest).min(u64::from(Tick::MAX_DELAY)) as u32
}
