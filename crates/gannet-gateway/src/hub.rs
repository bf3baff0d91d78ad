//! What one reactor has of the gateway: its clients, and what it needs to serve them.
//!
//! A hub belongs to its reactor's thread. The pump makes it when the engine starts; the transports reach it by [`with`].

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gannet::{Description, Handle};
use gannet_channels::{ClientKey, Roster, Seen, Time};
use gannet_http::Trace;
use gannet_proto::centrifuge::{ConnectResult, Disconnect as DisconnectPush, Error, PushEvent, Reply, ReplyBody};

use crate::gateway::Gateway;
use crate::live::Live;
use crate::metrics::ReactorMetrics;
use crate::random::Random;
use crate::session::codes::{Disconnect, ErrorReply};
use crate::session::{Client, Effects, Extra, Link, Place, Waiting};
use crate::settings::ClientSettings;
use crate::wire::{Wire, separate, write_push, write_reply};

/// Memory of replies over this is given back, in bytes.
const KEPT_BYTES: usize = 256 << 10;

thread_local! {
    static HUB: RefCell<Option<Hub>> = const { RefCell::new(None) };
}

/// What one reactor has of the gateway.
pub struct Hub {
    pub(crate) gateway: Arc<Gateway>,
    /// What is in force in this turn.
    pub(crate) live: Seen<Live>,
    /// The number of that.
    known: u64,
    /// The intervals of pings that clients were told, by the number that each client has.
    paces: Vec<Pace>,
    /// That of clients that connect.
    pub(crate) pace: u8,
    pub(crate) reactor: usize,
    pub(crate) roster: Roster<Client>,
    /// Replies of the call under way: JSON texts with line breaks between, or Protobuf messages with their lengths.
    pub(crate) out: Vec<u8>,
    /// The time of the call under way.
    pub(crate) now: Time,
    /// The same by the reactor's clock, in milliseconds; it wraps.
    pub(crate) clock_ms: u32,
    pub(crate) random: Random,
    /// Frames that wait until the application has answered.
    pub(crate) waiting: HashMap<Handle, Waiting>,
    /// Links of clients that wait for the application, until their transports take them back.
    pub(crate) away: HashMap<Handle, Link>,
    /// Headers of clients' requests that go along to the application.
    pub(crate) headers: HashMap<Handle, Headers>,
    /// Traces of requests whose clients have not connected yet. Empty where nothing is recorded.
    pub(crate) traces: HashMap<Handle, Trace>,
    /// The trace that the call under way belongs to, where something else than its connection says it.
    pub(crate) trace: Option<Trace>,
    /// What few clients need.
    pub(crate) extras: HashMap<ClientKey, Extra>,
    /// For bodies of responses.
    pub(crate) scratch: Vec<u8>,
    /// Whether the call under way has made something due that may be sooner than the client's timer.
    pub(crate) due_sooner: bool,
    /// Clients that the pump looks at itself, by the time: seconds since the UNIX epoch.
    pub(crate) looks: BTreeSet<(u32, ClientKey)>,
    /// Clients that can take more again.
    pub(crate) flushes: Vec<ClientKey>,
    /// What is to be done for clients when all deliveries were made.
    pub(crate) tasks: Vec<(ClientKey, crate::pump::Task)>,
    /// The time of day at which the reactor's clock was at its beginning.
    began: Time,
}

/// How a client is pinged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The time between two pings; 0 is none.
    pub(crate) ping_ms: u32,
    /// How long an answer may take.
    pub(crate) pong_ms: u32,
}

impl Pace {
    fn of(client: &ClientSettings) -> Self {
        let milliseconds = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Self { ping_ms: milliseconds(client.ping), pong_ms: milliseconds(client.pong) }
    }
}

/// Header fields of a request, by name and value.
pub(crate) type Headers = Vec<(Box<str>, Box<str>)>;

impl Hub {
    /// Makes the hub of a reactor; `now` is the time of day, and `clock` the reactor's clock.
    #[must_use]
    pub fn new(gateway: &Arc<Gateway>, reactor: usize, now: Time, clock: Duration) -> Self {
        let mut hub = Self {
            gateway: gateway.clone(),
            live: gateway.live(),
            known: gateway.generation(),
            paces: Vec::new(),
            pace: 0,
            reactor,
            roster: Roster::new(gateway.space(), reactor),
            out: Vec::new(),
            now,
            clock_ms: 0,
            random: Random::new(gateway.seed() ^ (reactor as u64 + 1)),
            waiting: HashMap::new(),
            away: HashMap::new(),
            headers: HashMap::new(),
            traces: HashMap::new(),
            trace: None,
            extras: HashMap::new(),
            scratch: Vec::new(),
            due_sooner: false,
            looks: BTreeSet::new(),
            flushes: Vec::new(),
            tasks: Vec::new(),
            began: now,
        };
        hub.set_pace();
        hub.set_time(now, clock);
        hub
    }

    /// Takes what is in force now.
    #[cold]
    fn look_at_settings(&mut self) {
        self.known = self.gateway.generation();
        self.live = self.gateway.live();
        self.set_pace();
    }

    /// Finds the number of the interval for clients that connect. Each client keeps what it was told.
    fn set_pace(&mut self) {
        let pace = Pace::of(&self.live.settings.client);
        let known = self.paces.iter().position(|own| *own == pace);
        let number = known.unwrap_or_else(|| self.paces.len().min(usize::from(u8::MAX)));
        match self.paces.get_mut(number) {
            Some(own) => *own = pace,
            None => self.paces.push(pace),
        }
        self.pace = number as u8;
    }

    /// The interval of pings that a client was told.
    pub(crate) fn pace_of(&self, number: u8) -> Pace {
        self.paces[usize::from(number)]
    }

    /// How long an expired connection or subscription is given, in seconds.
    pub(crate) fn grace_s(&self) -> u32 {
        u32::try_from(self.live.settings.client.refresh_grace.as_millis()).unwrap_or(u32::MAX).div_ceil(1_000)
    }

    /// Says what time of day it is by the reactor's clock. The pump does so once a second.
    pub fn set_time(&mut self, now: Time, clock: Duration) {
        self.began = Time(now.0.saturating_sub(milliseconds(clock)));
        self.turn(clock);
    }

    /// Takes the time of a turn from the reactor's clock.
    #[inline]
    pub fn turn(&mut self, clock: Duration) {
        let clock_ms = milliseconds(clock);
        self.now = Time(self.began.0 + clock_ms);
        // It wraps.
        self.clock_ms = clock_ms as u32;
        if self.gateway.generation() != self.known {
            self.look_at_settings();
        }
    }

    pub(crate) fn now_s(&self) -> u32 {
        // Until 2106.
        (self.now.0 / 1_000) as u32
    }

    pub(crate) fn metrics(&self) -> &ReactorMetrics {
        self.gateway.metrics.reactor(self.reactor)
    }

    /// Returns the trace that what a client asks for belongs to.
    pub(crate) fn trace_of(&self, handle: Handle) -> Option<Trace> {
        self.trace.or_else(|| self.traces.get(&handle).copied())
    }

    /// A client has connected, or has gone: its request's trace ends with that.
    pub(crate) fn forget_trace(&mut self, handle: Handle) {
        if !self.traces.is_empty() {
            self.traces.remove(&handle);
        }
    }

    /// Returns the user of a client; empty for an anonymous one.
    pub(crate) fn user(&self, key: ClientKey) -> Arc<str> {
        self.roster.user(key).unwrap_or_default().into()
    }

    /// Returns what the application wants to be told of a client.
    pub(crate) fn meta(&self, key: ClientKey) -> Option<Bytes> {
        self.extras.get(&key)?.meta.clone()
    }

    /// Says what operators shall know of a client.
    pub(crate) fn describe(&self, link: &Link, wire: Wire, into: &mut Description) {
        into.protocol(wire.name());
        let away = into.handle().and_then(|handle| self.away.get(&handle));
        let link = if matches!(link, Link::Away) { away.unwrap_or(link) } else { link };
        let Link::Up(key) = *link else { return };
        if let Some(user) = self.roster.user(key).filter(|user| !user.is_empty()) {
            into.user(user);
        }
        if let Some(id) = self.roster.id(key) {
            into.client(&id.to_string());
        }
        for (channel, _) in self.roster.channels(key) {
            into.channel(channel);
        }
    }

    /// Ends a client because an operator wants that.
    pub(crate) fn kick(&mut self, place: Place, link: &mut Link) -> Effects {
        self.out.clear();
        self.end(place, link, Disconnect::FORCE_NO_RECONNECT)
    }

    /// Returns the connection that a client is on.
    pub(crate) fn place(&mut self, key: ClientKey) -> Option<Place> {
        let client = self.roster.value(key)?;
        Some(Place { handle: client.handle, wire: client.wire })
    }

    /// Forgets the replies that were sent, and gives back what a large one has needed.
    pub(crate) fn trim(&mut self) {
        self.out.clear();
        if self.out.capacity() > KEPT_BYTES {
            self.out = Vec::new();
        }
    }
}

/// Replies.
impl Hub {
    /// Adds a reply.
    pub(crate) fn put(&mut self, wire: Wire, id: u32, body: ReplyBody<'_>) {
        write_reply(&mut self.out, wire, &Reply { id, body });
    }

    pub(crate) fn put_error(&mut self, wire: Wire, id: u32, error: &ErrorReply) {
        let error = Error { code: error.code, message: (&*error.message).into(), temporary: error.temporary };
        self.put(wire, id, ReplyBody::Error(error));
    }

    /// Adds a push.
    pub(crate) fn put_push(&mut self, wire: Wire, channel: &str, event: PushEvent<'_>) {
        write_push(&mut self.out, wire, channel, event);
    }

    pub(crate) fn put_ping(&mut self, wire: Wire) {
        match wire {
            Wire::EventSource => self.out.extend_from_slice(b":\n\n"),
            wire => {
                separate(&mut self.out, wire);
                self.out.extend_from_slice(wire.format().ping());
            }
        }
    }

    pub(crate) fn put_disconnect(&mut self, wire: Wire, why: &Disconnect) {
        let code = u32::from(why.code);
        let reconnect = gannet_proto::centrifuge::reconnects(code);
        let push = DisconnectPush { code, reason: (&*why.reason).into(), reconnect };
        self.put_push(wire, "", PushEvent::Disconnect(push));
    }

    /// Adds the answer to connect: a push where the client only listens.
    pub(crate) fn put_connect(&mut self, wire: Wire, id: u32, result: ConnectResult<'_>) {
        if !wire.is_one_way() {
            return self.put(wire, id, ReplyBody::Connect(result));
        }
        let push = gannet_proto::centrifuge::Connect {
            client: result.client,
            version: result.version,
            data: result.data,
            subs: result.subs,
            expires: result.expires,
            ttl: result.ttl,
            ping: result.ping,
            pong: result.pong,
            session: result.session,
            node: result.node,
            time: result.time,
        };
        self.put_push(wire, "", PushEvent::Connect(push));
    }
}

/// Makes the hub of this thread, in place of one before.
pub(crate) fn install(hub: Hub) {
    HUB.with_borrow_mut(|own| *own = Some(hub));
}

/// Calls a function with the hub of this thread's reactor. `None` where there is none: then no engine runs here.
///
/// The function must not call this again.
pub(crate) fn with<R>(clock: Duration, call: impl FnOnce(&mut Hub) -> R) -> Option<R> {
    HUB.with_borrow_mut(|hub| {
        hub.as_mut().map(|hub| {
            hub.turn(clock);
            // What an earlier call left would go to somebody else.
            hub.out.clear();
            call(hub)
        })
    })
}

/// Calls a function with the hub of this thread, if there is one and nobody has it, at the time of its last turn.
pub(crate) fn with_last(call: impl FnOnce(&mut Hub)) {
    HUB.with(|hub| {
        if let Ok(mut hub) = hub.try_borrow_mut()
            && let Some(hub) = hub.as_mut()
        {
            call(hub);
        }
    });
}

fn milliseconds(clock: Duration) -> u64 {
    u64::try_from(clock.as_millis()).unwrap_or(u64::MAX)
}
