//! A service instance with its codec and its sessions, behind one virtual call per chunk.
//!
//! A reactor has one host for each listener and each outbound service. This is the path of a message (chunk, decode,
//! `message`), and what happens if a message is not complete or decoding has to stop. Used on the reactor's thread.

use std::any::Any;
use std::error::Error;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use gannet_proto::{Codec, Decoded, FrameError};

use crate::carry::Carry;
use crate::close_reason::CloseReason;
use crate::connection::{Flags, NO_SESSION, Ready};
use crate::context::Context;
use crate::core::{Core, Plain, SendStatus};
use crate::counters::RefusalReason;
use crate::description::Description;
use crate::error::StartError;
use crate::ids::{ServiceId, Token};
use crate::limits::Timeouts;
use crate::panics::{Panicked, panic_message};
use crate::service::{CodecError, DatagramService, HalfClose, Heartbeat, Idle, Input, Service, Shutdown, Starting};
use crate::service_context::{NO_CONNECTION, ServiceContext};
use crate::share::MESSAGE_BYTES;
use crate::slab::Slab;
use crate::timers::TimerId;

/// Bytes that a carry is topped up with at first where the codec does not know how many it needs.
const FIRST_TOP_UP: usize = 256;

/// Bytes of an incomplete message from which on its memory may be kept by the service: as much as arrives in one piece, which
/// is in a receive buffer, and no carry.
const LARGE_BYTES: usize = 64 * 1024;

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

struct SessionAndState<S: Service> {
    session: S::Session,
    state: <S::Codec as Codec>::State,
}

/// The sessions of a host. Where neither session nor codec state has a size, they have no places of their own.
struct Sessions<S: Service> {
    slab: Slab<SessionAndState<S>>,
    /// Entries without a size: all are alike, and the last one stands for each. They take no memory.
    alike: Vec<SessionAndState<S>>,
}

impl<S: Service> Sessions<S> {
    const ALIKE: bool = size_of::<SessionAndState<S>>() == 0 && !mem::needs_drop::<SessionAndState<S>>();

    fn new() -> Self {
        Self { slab: Slab::new(), alike: Vec::new() }
    }

    fn insert(&mut self, entry: SessionAndState<S>) -> u32 {
        if Self::ALIKE {
            self.alike.push(entry);
            return 0;
        }
        self.slab.insert(entry).map_or(NO_SESSION, |(index, _)| index)
    }

    #[inline]
    fn get_mut(&mut self, index: u32) -> Option<&mut SessionAndState<S>> {
        if Self::ALIKE {
            if index == NO_SESSION { None } else { self.alike.last_mut() }
        } else {
            self.slab.get_mut(index)
        }
    }

    fn remove(&mut self, index: u32) -> Option<SessionAndState<S>> {
        if index == NO_SESSION {
            return None;
        }
        if Self::ALIKE {
            return self.alike.pop();
        }
        self.slab.remove(index)
    }

    #[cfg(any(test, feature = "sim"))]
    fn len(&self) -> usize {
        self.slab.len() as usize + self.alike.len()
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

/// Why decoding cannot go on.
enum Stop<E> {
    /// The bytes cannot be accepted.
    Input(E),
    /// The codec claims to have taken so many of so many bytes.
    Codec { took: usize, of: usize },
}

impl<E> From<E> for Stop<E> {
    fn from(error: E) -> Self {
        Self::Input(error)
    }
}

/// Why a connection closes whose codec refused its bytes.
#[cold]
fn reason_of(error: &(dyn Error + 'static)) -> CloseReason {
    match FrameError::find(error) {
        Some(FrameError::TooLarge { .. }) => CloseReason::FrameTooLarge,
        _ => CloseReason::Protocol,
    }
}

/// Received bytes to be decoded.
trait Received {
    fn bytes(&self) -> &[u8];

    /// The bytes, where they may be changed.
    fn bytes_mut(&mut self) -> Option<&mut [u8]>;

    /// Decodes a message that begins behind the first `from` bytes; `None` where the codec cannot do that with these.
    fn decode<'a, C: Codec>(&'a mut self, from: usize, codec: &C, state: &mut C::State) -> Option<Found<'a, C>>;
}

type Found<'a, C> = Result<Decoded<<C as Codec>::Message<'a>>, <C as Codec>::Error>;

impl Received for [u8] {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        Some(self)
    }

    #[inline]
    fn decode<'a, C: Codec>(&'a mut self, from: usize, codec: &C, state: &mut C::State) -> Option<Found<'a, C>> {
        Some(codec.decode(state, &mut self[from..]))
    }
}

/// Bytes that others may keep, and nobody changes.
struct Shared<'s>(&'s [u8]);

impl Received for Shared<'_> {
    fn bytes(&self) -> &[u8] {
        self.0
    }

    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        None
    }

    fn decode<'a, C: Codec>(&'a mut self, from: usize, codec: &C, state: &mut C::State) -> Option<Found<'a, C>> {
        codec.decode_shared(state, &self.0[from..])
    }
}

/// How far decoding came.
struct Progress {
    consumed: usize,
    /// Bytes that make another look worth while; 0 where decoding was stopped and more messages may be there.
    need: usize,
}

/// What is done with bytes that were received.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The service sees all of them ahead, then come as many messages as there are.
    Ahead,
    /// The service has seen them: as many messages come as there are.
    Again,
    /// One message comes, or nothing: most of them are of a message that was not complete, and is looked at once only.
    AtOne,
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

    fn session_of(core: &Core, token: Token) -> u32 {
        core.slab.get(token).map_or(NO_SESSION, |connection| connection.session)
    }

    /// Calls the service for a connection that has a session.
    pub(crate) fn with_session<R>(
        &mut self,
        core: &mut Core,
        token: Token,
        call: impl FnOnce(&mut S, &mut S::Session, &mut Context<'_, S>) -> R,
    ) -> Option<R> {
        let entry = self.sessions.get_mut(Self::session_of(core, token))?;
        let (service, codec) = (&mut self.service, &self.codec);
        let SessionAndState { session, state } = entry;
        let called = guard(|| call(service, session, &mut Context { core, codec, state, token }));
        self.rescued(core, token, called)
    }

    /// Takes the session away and calls the service with it.
    fn without_session(
        &mut self,
        core: &mut Core,
        token: Token,
        call: impl FnOnce(&mut S, S::Session, &mut Context<'_, S>),
    ) {
        let index = Self::session_of(core, token);
        if self.service.sequential().is_some() {
            self.with_session(core, token, |service, session, cx| {
                if let Some(sequential) = service.sequential() {
                    sequential.end(session, cx.reborrow());
                }
            });
        }
        if let Some(connection) = core.slab.get_mut(token) {
            connection.session = NO_SESSION;
        }
        let Some(SessionAndState { session, mut state }) = self.sessions.remove(index) else { return };
        let (service, codec, state) = (&mut self.service, &self.codec, &mut state);
        let called = guard(|| call(service, session, &mut Context { core, codec, state, token }));
        self.rescued(core, token, called);
    }

    /// Calls the service for no connection. A panic is logged with what was `called`, and goes no further.
    fn without_connection(
        &mut self,
        core: &mut Core,
        service: ServiceId,
        called: &str,
        call: impl FnOnce(&mut S, &mut ServiceContext<'_, S>),
    ) {
        let (instance, codec, mut state) = (&mut self.service, &self.codec, Default::default());
        let cx = Context { core, codec, state: &mut state, token: NO_CONNECTION };
        if let Err(panic) = guard(|| call(instance, &mut ServiceContext { cx, service })) {
            let panic = panic_message(&*panic);
            tracing::error!(service = self.name(), called, panic, "a service panicked; it goes on");
        }
    }

    /// What came of a call into the service. A panic closes the connection that it happened for and goes no further.
    fn rescued<R>(&self, core: &mut Core, token: Token, called: std::thread::Result<R>) -> Option<R> {
        called.map_err(|panic| self.panicked(core, token, &*panic)).ok()
    }

    #[cold]
    fn panicked(&self, core: &mut Core, token: Token, panic: &(dyn Any + Send)) {
        tracing::error!(
            service = self.name(),
            peer = %core.peers.of(token),
            panic = panic_message(panic),
            "a service panicked; its connection is closed, the others go on"
        );
        core.ask_close_for(token, Flags::CLOSE, CloseReason::Panicked, Panicked::of(panic).into());
    }

    /// As [`decode_here`](Self::decode_here), in a function of its own.
    #[inline(never)]
    fn decode(
        &mut self,
        core: &mut Core,
        token: Token,
        session: u32,
        input: &mut (impl Received + ?Sized),
        limits: (Look, usize),
    ) -> Progress {
        self.decode_here(core, token, session, input, limits)
    }

    /// Decodes and delivers as many messages as `input` holds, or until decoding has to stop: at the latest with the
    /// message that makes `most` bytes of work (`share.rs`), which is the first one where that is 0.
    #[inline(always)] // The way of each chunk.
    fn decode_here(
        &mut self,
        core: &mut Core,
        token: Token,
        session: u32,
        input: &mut (impl Received + ?Sized),
        (look, most): (Look, usize),
    ) -> Progress {
        // Known when this is compiled, as it is below.
        if self.service.sequential().is_some() {
            // What could be kept has to be decoded without a change, and that a session cannot ask for.
            let Some(bytes) = input.bytes_mut() else { return Progress { consumed: 0, need: 0 } };
            let most_of_one = if look == Look::AtOne { MESSAGE_BYTES } else { usize::MAX };
            return self.pull(core, token, session, &mut Input::new(bytes, most, false), most_of_one);
        }
        let Some(SessionAndState { session, state }) = self.sessions.get_mut(session) else {
            return Progress { consumed: input.bytes().len(), need: 0 };
        };
        let (service, codec) = (&mut self.service, &self.codec);
        let length = input.bytes().len();
        let (mut consumed, mut messages, mut work) = (0, 0, 0);
        core.halt = false;
        let decoded = catch_unwind(AssertUnwindSafe(|| -> Result<usize, Stop<CodecError<S>>> {
            if look == Look::Ahead
                && let Some(prefetch) = service.prefetch()
            {
                prefetch.look_ahead(session, input.bytes());
                prefetch.fetch();
            }
            while consumed < length {
                let of = length - consumed;
                let Some(found) = input.decode(consumed, codec, state) else { return Ok(0) };
                match found? {
                    // One that takes nothing would be asked the same for ever.
                    Decoded::Message { consumed: took, .. } | Decoded::Taken { consumed: took }
                        if took == 0 || took > of =>
                    {
                        return Err(Stop::Codec { took, of });
                    }
                    Decoded::Message { message, consumed: length } => {
                        consumed += length;
                        messages += 1;
                        work += MESSAGE_BYTES + length;
                        service.message(session, message, &mut Context { core, codec, state, token });
                        if core.halt || work >= most {
                            return Ok(0);
                        }
                    }
                    Decoded::Taken { consumed: length } => {
                        consumed += length;
                        work += MESSAGE_BYTES + length;
                        if work >= most {
                            return Ok(0);
                        }
                    }
                    // It needs more than it has, whatever it says.
                    Decoded::Partial { need } => return Ok(need.max(of + 1)),
                    // A kind that this engine does not know.
                    _ => return Err(Stop::Codec { took: 0, of }),
                }
            }
            Ok(0)
        }));
        let Some(connection) = core.slab.get_mut(token) else { return Progress { consumed, need: 0 } };
        let tally = &core.tallies[usize::from(connection.service)];
        tally.messages_in.add(messages);
        // The bytes of one that is completed from a carry were counted as they came.
        connection.share.spend(core.turn, if look == Look::AtOne { work.min(MESSAGE_BYTES) } else { work });
        if messages > 0 {
            connection.flags.set(Flags::SPOKE);
        }
        match decoded {
            Ok(Ok(need)) if need <= core.limits.carry => Progress { consumed, need },
            Ok(Ok(need)) => {
                let error = FrameError::TooLarge { length: need as u64, limit: core.limits.carry };
                self.bad_input(core, token, error.into(), CloseReason::FrameTooLarge);
                Progress { consumed: length, need: 0 }
            }
            Ok(Err(Stop::Input(error))) => {
                let reason = reason_of(&error);
                self.bad_input(core, token, error, reason);
                Progress { consumed: length, need: 0 }
            }
            Ok(Err(Stop::Codec { took, of })) => {
                self.bad_codec(core, token, took, of);
                Progress { consumed: length, need: 0 }
            }
            Err(panic) => {
                self.panicked(core, token, &*panic);
                Progress { consumed: length, need: 0 }
            }
        }
    }

    /// Has a session that is a future decode what it wants of `input`; that counts `most_work` at most.
    #[inline]
    fn pull(
        &mut self,
        core: &mut Core,
        token: Token,
        session: u32,
        input: &mut Input<'_>,
        most_work: usize,
    ) -> Progress {
        let all = Progress { consumed: input.bytes.len(), need: 0 };
        let Some(SessionAndState { session, state }) = self.sessions.get_mut(session) else { return all };
        let Some(sequential) = self.service.sequential() else { return all };
        core.halt = false;
        let cx = Context { core, codec: &self.codec, state, token };
        let polled = guard(|| sequential.poll(session, cx, Some(input)));
        core.count_decoded(token, input.messages, input.work.min(most_work));
        match polled {
            Ok(()) => Progress { consumed: input.consumed, need: input.need },
            Err(panic) => {
                self.panicked(core, token, &*panic);
                all
            }
        }
    }

    /// Polls a session that is a future.
    fn poll(&mut self, core: &mut Core, token: Token) {
        self.with_session(core, token, |service, session, cx| {
            if let Some(sequential) = service.sequential() {
                sequential.poll(session, cx.reborrow(), None);
            }
        });
    }

    /// Polls the sessions that were woken.
    #[cold]
    fn poll_woken(&mut self, core: &mut Core, service: ServiceId) {
        let mut woken = Vec::new();
        let mut state = Default::default();
        if let Some(sequential) = self.service.sequential() {
            let cx = Context { core, codec: &self.codec, state: &mut state, token: NO_CONNECTION };
            sequential.take_woken(&cx, &mut woken);
        }
        for token in woken {
            // Its slot may be another's by now: that one is polled once for nothing.
            if core.slab.get(token).is_some_and(|connection| connection.service == service) {
                self.poll(core, token);
                core.mark(token);
            }
        }
    }

    /// Has a session decode what the peer ended its stream with; says whether there was a message.
    #[cold]
    fn pull_last(&mut self, core: &mut Core, token: Token) -> bool {
        let Some(connection) = core.slab.get_mut(token) else { return false };
        let session = connection.session;
        let Some(mut carry) = connection.carry.take() else { return false };
        let mut input = Input::new(&mut carry, usize::MAX, true);
        let Progress { consumed, .. } = self.pull(core, token, session, &mut input, usize::MAX);
        let messages = input.messages;
        carry.consume(consumed);
        if carry.is_empty() {
            core.pools.return_carry(carry);
        } else {
            carry.need = 0;
            core.put_carry(token, carry);
        }
        messages > 0
    }

    /// Closes a connection whose peer sent what the codec cannot accept. What was answered before still leaves.
    #[cold]
    fn bad_input(&mut self, core: &mut Core, token: Token, error: CodecError<S>, reason: CloseReason) {
        tracing::debug!(service = self.name(), peer = %core.peers.of(token), %error, "closing: the codec rejected what the peer sent");
        self.with_session(core, token, |service, session, cx| service.malformed(session, &error, cx));
        core.ask_close_for(token, Flags::CLOSE_FLUSHED, reason, error.into());
    }

    /// Closes a connection whose codec breaks its contract. What was answered before still leaves.
    #[cold]
    fn bad_codec(&mut self, core: &mut Core, token: Token, took: usize, of: usize) {
        tracing::error!(
            service = self.name(),
            codec = std::any::type_name::<S::Codec>(),
            peer = %core.peers.of(token),
            took,
            of,
            "closing: the codec took no bytes, or more than there were; this is a bug in the codec"
        );
        core.ask_close(token, Flags::CLOSE_FLUSHED, CloseReason::Codec);
    }

    /// Keeps the begin of a message, of which `need` bytes make another look worth while, or what decoding has left.
    #[inline]
    fn hold_begun(core: &mut Core, token: Token, begun: &[u8], need: usize) {
        if need > 0 {
            core.spend_on_unfinished(token, begun.len());
        }
        core.hold(token, begun, need);
    }

    /// Goes on with what a carry has behind a message.
    fn go_on(&mut self, core: &mut Core, token: Token, mut carry: Box<Carry>) {
        carry.need = 0;
        core.put_carry(token, carry);
        if !core.halt {
            self.resume(core, token);
        }
    }

    /// Decodes the message in a carry, and takes it out. Says whether it was complete.
    fn complete(&mut self, core: &mut Core, token: Token, session: u32, carry: &mut Carry) -> bool {
        let mut progress = Progress { consumed: 0, need: 0 };
        if carry.len() >= LARGE_BYTES {
            // The service may keep its bytes, if the codec leaves them as they are.
            let (memory, start) = carry.share();
            core.large = Some(memory.clone());
            progress = self.decode(core, token, session, &mut Shared(&memory[start..]), (Look::AtOne, 0));
            core.large = None;
            carry.take_back(memory, progress.consumed);
        }
        if progress.consumed == 0 && progress.need == 0 {
            progress = self.decode(core, token, session, &mut carry[..], (Look::AtOne, 0));
            carry.consume(progress.consumed);
        }
        carry.need = progress.need;
        progress.consumed > 0
    }

    /// Completes the message in the carry from the front of `chunk`, and delivers it; says how much of the chunk is
    /// used up. Only the message that is not complete is copied.
    fn top_up(&mut self, core: &mut Core, token: Token, session: u32, chunk: &[u8]) -> usize {
        let Some(mut carry) = core.slab.get_mut(token).and_then(|connection| connection.carry.take()) else {
            return 0;
        };
        let (mut used, mut step) = (0, FIRST_TOP_UP);
        while used < chunk.len() {
            // A codec may not know how many bytes it needs, and may need many small pieces for one message: give it more
            // than it asks for, in growing steps.
            let missing = carry.need.saturating_sub(carry.len());
            // A large message is believed once: more than it needs would be more than is reserved for it.
            let is_believed = step == FIRST_TOP_UP && missing > 0 && carry.need >= LARGE_BYTES;
            let wanted = if is_believed { missing } else { missing.max(step) };
            step = step.saturating_mul(2);
            let taken = wanted.min(chunk.len() - used);
            carry.append(&chunk[used..used + taken]);
            used += taken;
            if carry.len() < carry.need {
                break;
            }
            if self.complete(core, token, session, &mut carry) {
                if carry.len() <= taken {
                    // What is left over came from this chunk: it is decoded there.
                    used -= carry.len();
                    core.pools.return_carry(carry);
                    return used;
                }
                // The codec has asked for more than the message had.
                carry.append(&chunk[used..]);
                self.go_on(core, token, carry);
                return chunk.len();
            }
        }
        core.put_carry(token, carry);
        core.check_room(token);
        used
    }
}

/// Calls into a service, and catches a panic there.
fn guard<R>(call: impl FnOnce() -> R) -> std::thread::Result<R> {
    catch_unwind(AssertUnwindSafe(call))
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
        catch_unwind(AssertUnwindSafe(|| self.service.refusal(why))).unwrap_or_default()
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
