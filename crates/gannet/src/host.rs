//! A service instance with its codec and its sessions, behind one virtual call per chunk.
//!
//! A reactor has one host for each listener and each outbound service. The path of a message (chunk, decode, `message`) is in
//! `decoding`, what happens if it is not complete in `carries`. Used on the reactor's thread.

mod calls;
mod carries;
mod decoding;
mod futures;
mod sessions;

use std::any::Any;
use std::io;
use std::marker::PhantomData;

use bytes::Bytes;
use gannet_proto::Codec;

use self::calls::guard;
use self::decoding::{Look, Progress};
use self::sessions::{SessionAndState, Sessions};
use crate::close_reason::CloseReason;
use crate::connection::{NO_SESSION, Ready};
use crate::context::Context;
use crate::core::{Core, Plain, SendStatus};
use crate::counters::RefusalReason;
use crate::description::Description;
use crate::error::StartError;
use crate::ids::{ServiceId, Token};
use crate::limits::Timeouts;
use crate::service::{DatagramService, HalfClose, Heartbeat, Idle, Service, Shutdown, Starting};
use crate::timers::TimerId;

/// Bytes that are decoded at a time of what waited while reading was paused, unless a message is larger: as much as a
/// driver receives at once, so that a codec without framing does not make one huge message of it.
const WINDOW_BYTES: usize = 64 * 1024;

/// Identifies an outbound service of an engine; pass it to [`Context::connect`] or [`Remote::connect`](crate::Remote::connect).
///
/// [`Engine::outbound`](crate::Engine::outbound) makes it. Another engine refuses it.
pub struct Outbound<S> {
    /// The engine that made it.
    pub(crate) engine: u16,
    pub(crate) index: u16,
    pub(crate) service: PhantomData<fn() -> S>,
}

impl<S> Clone for Outbound<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Outbound<S> {}

/// A service instance as its reactor sees it.
///
/// `timeouts`, `set_timeouts`, `keep_timeouts`, `looks_ahead`, `auto_pause`, `sessions` and `as_any_mut` do not call the service. All others do, `name`
/// included. A panic there closes the connection that it happened for and goes no further, with four exceptions: `refusal`
/// refuses without a text, and `name`, `look_ahead` and `fetch` do not catch it. Their callers catch that of the last two:
/// the reactor at the start of a turn (`reactor/ahead.rs`), and decoding, which closes the connection.
pub(crate) trait Host {
    fn name(&self) -> &str;
    fn timeouts(&self) -> &Timeouts;
    /// The deadlines that the service would have with these defaults.
    fn timeouts_with(&self, defaults: Timeouts) -> Timeouts;
    /// The deadlines stay, whatever becomes of the engine's.
    fn keep_timeouts(&mut self);
    /// Sets the deadlines of the service.
    fn set_timeouts(&mut self, timeouts: Timeouts);
    /// Prepares the service.
    fn start(&mut self, starting: &Starting) -> Result<(), StartError>;
    /// Asks the service to take an accepted connection.
    fn open(&mut self, core: &mut Core, token: Token) -> bool;
    /// What a connection is told that is not let in.
    fn refusal(&self, why: RefusalReason) -> &'static [u8];
    /// An outbound connection is up.
    fn connected(&mut self, core: &mut Core, token: Token);
    /// An outbound connection failed; its session goes.
    fn connect_failed(&mut self, core: &mut Core, token: Token, error: &io::Error);
    /// Whether the service wants to see what will come.
    fn looks_ahead(&self) -> bool;
    /// Whether reading pauses while the connection's own outbox is over the high mark.
    fn auto_pause(&self) -> bool;
    /// Bytes will come, for the session at this place.
    fn look_ahead(&mut self, session: u32, received: &[u8]);
    /// All that will come was shown.
    fn fetch(&mut self);
    /// Bytes came for a connection that is ready for them: as `input`, without another look at the connection.
    fn deliver(&mut self, core: &mut Core, token: Token, ready: Ready, chunk: &mut [u8]);
    /// Bytes came.
    fn input(&mut self, core: &mut Core, token: Token, chunk: &mut [u8]);
    /// So many bytes came, and are in the carry (`Carry::destination`).
    fn received_into(&mut self, core: &mut Core, token: Token, count: usize);
    /// Decoding may go on with what waits in the carry.
    fn resume(&mut self, core: &mut Core, token: Token);
    /// The peer ended its stream, and everything before was decoded: delivers what the codec makes of the rest. Says
    /// whether there was a message.
    fn finish(&mut self, core: &mut Core, token: Token) -> bool;
    /// Nothing more will come from the peer: asks whether the connection closes.
    fn half_closed(&mut self, core: &mut Core, token: Token) -> HalfClose;
    /// A message from another thread.
    fn send(&mut self, core: &mut Core, token: Token, payload: Bytes) -> SendStatus;
    fn idle(&mut self, core: &mut Core, token: Token, idle: Idle);
    fn heartbeat(&mut self, core: &mut Core, token: Token) -> Heartbeat;
    fn timer(&mut self, core: &mut Core, token: Token);
    fn named_timer(&mut self, core: &mut Core, token: Token, id: TimerId);
    /// The timer of the service, which has this number.
    fn service_timer(&mut self, core: &mut Core, service: ServiceId);
    /// Another thread called the service, which has this number.
    fn woken(&mut self, core: &mut Core, service: ServiceId);
    fn writable(&mut self, core: &mut Core, token: Token);
    fn shutdown(&mut self, core: &mut Core, token: Token) -> Shutdown;
    /// Says what the service knows of a connection.
    fn describe(&mut self, core: &mut Core, token: Token, into: &mut Description);
    /// An operator wants the connection to close.
    fn kick(&mut self, core: &mut Core, token: Token) -> Shutdown;
    /// The connection ends; its session goes.
    fn close(&mut self, core: &mut Core, token: Token, reason: CloseReason);
    /// Sessions there are.
    #[cfg(any(test, feature = "sim"))]
    fn sessions(&self) -> usize;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// What a service of a reactor is to it.
pub(crate) enum Served {
    /// A service of connections, listening or outbound.
    Connections(Box<dyn Host>),
    /// A service of datagrams.
    Datagrams(Box<dyn DatagramService>),
    /// The service of a removed listener, when its last connection was gone; or one that could not start.
    Gone,
}

impl Served {
    /// The service's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Connections(host) => host.name(),
            Self::Datagrams(service) => service.name(),
            Self::Gone => "",
        }
    }
}

/// The host of services of type `S`.
pub(crate) struct HostOf<S: Service> {
    service: S,
    codec: S::Codec,
    timeouts: Timeouts,
    /// They are those of the listener, not of the engine.
    keeps_timeouts: bool,
    looks_ahead: bool,
    sessions: Sessions<S>,
}

impl<S: Service> HostOf<S> {
    pub(crate) fn new(mut service: S, defaults: Timeouts) -> Self {
        let codec = service.codec();
        let timeouts = service.timeouts(defaults);
        let looks_ahead = service.prefetch().is_some();
        Self { service, codec, timeouts, keeps_timeouts: false, looks_ahead, sessions: Sessions::new() }
    }

    /// Stores a session and says its place.
    pub(crate) fn add_session(&mut self, session: S::Session) -> u32 {
        self.sessions.insert(SessionAndState { session, state: Default::default() })
    }
}

impl<S: Service> Host for HostOf<S> {
    fn name(&self) -> &str {
        self.service.name()
    }

    fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    fn timeouts_with(&self, defaults: Timeouts) -> Timeouts {
        if self.keeps_timeouts {
            return self.timeouts;
        }
        guard(|| self.service.timeouts(defaults)).unwrap_or(self.timeouts)
    }

    fn keep_timeouts(&mut self) {
        self.keeps_timeouts = true;
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        self.service.start(starting)
    }

    fn open(&mut self, core: &mut Core, token: Token) -> bool {
        let (service, codec) = (&mut self.service, &self.codec);
        if let Some(connection) = core.slab.get_mut(token) {
            connection.set_auto_pause(S::AUTO_PAUSE);
        }
        let mut new = Default::default();
        let state = &mut new;
        let opened = guard(|| service.open(&mut Context { core, codec, state, token }));
        let Some(Ok(session)) = self.rescued(core, token, opened) else { return false };
        let index = self.sessions.insert(SessionAndState { session, state: new });
        if let Some(connection) = core.slab.get_mut(token) {
            connection.session = index;
        }
        if index != NO_SESSION && self.service.sequential().is_some() {
            self.poll(core, token);
        }
        index != NO_SESSION
    }

    fn refusal(&self, why: RefusalReason) -> &'static [u8] {
        guard(|| self.service.refusal(why)).unwrap_or_default()
    }

    fn connected(&mut self, core: &mut Core, token: Token) {
        self.with_session(core, token, |service, session, cx| service.connected(session, cx));
    }

    fn connect_failed(&mut self, core: &mut Core, token: Token, error: &io::Error) {
        self.without_session(core, token, |service, session, cx| service.connect_failed(session, error, cx));
    }

    fn looks_ahead(&self) -> bool {
        self.looks_ahead
    }

    fn auto_pause(&self) -> bool {
        S::AUTO_PAUSE
    }

    fn look_ahead(&mut self, session: u32, received: &[u8]) {
        if let Some(prefetch) = self.service.prefetch()
            && let Some(entry) = self.sessions.get_mut(session)
        {
            prefetch.look_ahead(&entry.session, received);
        }
    }

    fn fetch(&mut self) {
        if let Some(prefetch) = self.service.prefetch() {
            prefetch.fetch();
        }
    }

    fn deliver(&mut self, core: &mut Core, token: Token, Ready { session, most }: Ready, chunk: &mut [u8]) {
        let Progress { consumed, need } = self.decode_here(core, token, session, chunk, (Look::Ahead, most));
        if consumed < chunk.len() {
            Self::hold_begun(core, token, &chunk[consumed..], need);
        }
    }

    fn input(&mut self, core: &mut Core, token: Token, chunk: &mut [u8]) {
        let Some(connection) = core.slab.get_mut(token) else { return };
        let (session, mut halted) = (connection.session, connection.is_halted());
        let (mut used, mut most) = (0, connection.share.left(core.turn));
        if let Some(carry) = &connection.carry {
            if halted || carry.need == 0 {
                core.hold(token, chunk, 0);
                if !halted && most > 0 {
                    self.resume(core, token);
                }
                return;
            }
            used = self.top_up(core, token, session, chunk);
            let Some(connection) = core.slab.get_mut(token) else { return };
            connection.share.spend(core.turn, used);
            if connection.carry.is_some() {
                return;
            }
            (halted, most) = (connection.is_halted(), connection.share.left(core.turn));
        }
        let rest = &mut chunk[used..];
        if rest.is_empty() {
            return;
        }
        if halted || most == 0 {
            return core.hold(token, rest, 0);
        }
        self.deliver(core, token, Ready { session, most }, rest);
    }

    fn received_into(&mut self, core: &mut Core, token: Token, count: usize) {
        let Some(connection) = core.slab.get_mut(token) else { return };
        connection.share.spend(core.turn, count);
        let session = connection.session;
        let Some(mut carry) = connection.carry.take() else { return };
        if carry.len() < carry.need || !self.complete(core, token, session, &mut carry) {
            core.put_carry(token, carry);
            return core.check_room(token);
        }
        if carry.is_empty() {
            return core.pools.return_carry(carry);
        }
        self.go_on(core, token, carry);
    }

    fn resume(&mut self, core: &mut Core, token: Token) {
        let Some(connection) = core.slab.get_mut(token) else { return };
        let session = connection.session;
        let Some(mut carry) = connection.carry.take() else { return };
        let mut most = connection.share.left(core.turn);
        let (mut consumed, mut need, mut window) = (0, 0, WINDOW_BYTES);
        core.halt = false;
        while consumed < carry.len() && !core.halt && most > 0 {
            let end = carry.len().min(consumed + window);
            // Where decoding stops often, the same bytes are here again and again.
            let look = if carry.shown <= consumed { Look::Ahead } else { Look::Again };
            if look == Look::Ahead {
                carry.shown = end;
            }
            let progress = self.decode(core, token, session, &mut carry[consumed..end], (look, most));
            consumed += progress.consumed;
            need = progress.need;
            if progress.need > carry.len() - consumed {
                break;
            }
            let wider = if progress.consumed == 0 { 2 * window } else { WINDOW_BYTES };
            window = progress.need.max(wider);
            most = core.slab.get(token).map_or(0, |connection| connection.share.left(core.turn));
        }
        if core.halt || most == 0 {
            need = 0;
        }
        if consumed >= carry.len() {
            return core.pools.return_carry(carry);
        }
        carry.consume(consumed);
        carry.need = need;
        if need > 0 {
            core.spend_on_unfinished(token, carry.len());
        }
        core.put_carry(token, carry);
    }

    fn finish(&mut self, core: &mut Core, token: Token) -> bool {
        if self.service.sequential().is_some() {
            return self.pull_last(core, token);
        }
        let Some(connection) = core.slab.get_mut(token) else { return false };
        let (index, service_index) = (connection.session, connection.service);
        let Some(mut carry) = connection.carry.take() else { return false };
        let Some(SessionAndState { session, state }) = self.sessions.get_mut(index) else {
            core.pools.return_carry(carry);
            return false;
        };
        let (service, codec, mut cut_off) = (&mut self.service, &self.codec, None);
        let finished = guard(|| match codec.finish(state, &mut carry) {
            Ok(Some(message)) => {
                core.tally(service_index).messages_in.add(1);
                service.message(session, message, &mut Context { core, codec, state, token });
                true
            }
            Ok(None) => false,
            Err(error) => {
                cut_off = Some(error);
                false
            }
        });
        let finished = self.rescued(core, token, finished);
        if let Some(error) = cut_off {
            core.causes.note(token, CloseReason::Peer, error.into());
        }
        // What is no message now may be one when the service lets the codec look again.
        match core.slab.get_mut(token).filter(|_| finished == Some(false)) {
            Some(connection) => connection.carry = Some(carry),
            None => core.pools.return_carry(carry),
        }
        finished == Some(true)
    }

    fn half_closed(&mut self, core: &mut Core, token: Token) -> HalfClose {
        self.with_session(core, token, |service, session, cx| service.half_closed(session, cx))
            .unwrap_or(HalfClose::Close)
    }

    fn send(&mut self, core: &mut Core, token: Token, payload: Bytes) -> SendStatus {
        if S::Codec::TRANSPARENT {
            core.append_shared(token, payload)
        } else {
            core.send(token, &self.codec, Plain(&payload))
        }
    }

    fn idle(&mut self, core: &mut Core, token: Token, idle: Idle) {
        self.with_session(core, token, |service, session, cx| service.idle(session, idle, cx));
    }

    fn heartbeat(&mut self, core: &mut Core, token: Token) -> Heartbeat {
        self.with_session(core, token, |service, session, cx| service.heartbeat(session, cx)).unwrap_or(Heartbeat::None)
    }

    fn timer(&mut self, core: &mut Core, token: Token) {
        self.with_session(core, token, |service, session, cx| service.timer(session, cx));
    }

    fn named_timer(&mut self, core: &mut Core, token: Token, id: TimerId) {
        self.with_session(core, token, |service, session, cx| service.named_timer(session, id, cx));
    }

    fn service_timer(&mut self, core: &mut Core, service: ServiceId) {
        self.without_connection(core, service, "service_timer", |instance, cx| instance.service_timer(cx));
    }

    fn woken(&mut self, core: &mut Core, service: ServiceId) {
        if self.service.sequential().is_some() {
            return self.poll_woken(core, service);
        }
        self.without_connection(core, service, "woken", |instance, cx| instance.woken(cx));
    }

    fn writable(&mut self, core: &mut Core, token: Token) {
        self.with_session(core, token, |service, session, cx| service.writable(session, cx));
    }

    fn shutdown(&mut self, core: &mut Core, token: Token) -> Shutdown {
        self.with_session(core, token, |service, session, cx| service.shutdown(session, cx)).unwrap_or(Shutdown::Close)
    }

    fn describe(&mut self, core: &mut Core, token: Token, into: &mut Description) {
        self.with_session(core, token, |service, session, _| service.describe(session, into));
    }

    fn kick(&mut self, core: &mut Core, token: Token) -> Shutdown {
        self.with_session(core, token, |service, session, cx| service.kick(session, cx)).unwrap_or(Shutdown::Close)
    }

    fn close(&mut self, core: &mut Core, token: Token, reason: CloseReason) {
        self.without_session(core, token, |service, session, cx| service.close(session, reason, cx));
    }

    #[cfg(any(test, feature = "sim"))]
    fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
