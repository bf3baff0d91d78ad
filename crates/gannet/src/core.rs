//! The part of a reactor that callbacks can reach: everything but the driver and the services.
//!
//! A callback only notes what it wants done; the reactor does it when the callback has returned. So a service needs to
//! know nothing of the driver, and nothing changes under its feet. Used on the reactor's thread only.

pub(crate) mod room;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gannet_proto::{Codec, Raw, Sink};

use crate::address::Peer;
use crate::births::Births;
use crate::buffer::{Blocks, Destination};
use crate::carry::Carry;
use crate::cause::{Cause, Causes};
use crate::close_reason::CloseReason;
use crate::connection::{CloseMode, Connection, Flags, State};
use crate::counters::{ReactorCounters, ServiceCounters};
use crate::drain::Departure;
use crate::driver::Destinations;
use crate::group::Group;
use crate::handle::{Handle, Live, SendError};
use crate::host::Host;
use crate::ids::{Place, Token};
use crate::inspect::{Closed, Orders, Tracing};
use crate::limits::{Limits, Overflow};
use crate::membership::Groups;
use crate::moments::{Exact, Moments};
use crate::outbox::{Outbox, OutboxSink, TOGETHER_BYTES};
use crate::peers::Peers;
use crate::pools::Pools;
use crate::rare::Rares;
use crate::remote::{Errand, Shared};
use crate::route::Route;
use crate::share::TurnNumber;
use crate::slab::Slab;
use crate::timers::Timers;
use crate::wheel::{Entries, Links, Tick, Wheel, tick};

use self::room::Room;

/// Encoded bytes up to this size are copied where several pieces leave together.
const SMALL_BYTES: usize = 512;

/// Says what became of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendStatus {
    /// The message will be sent.
    Queued,
    /// The message will be sent, but the outbox is over [`Limits::outbox_high`]: wait for
    /// [`Service::writable`](crate::Service::writable) before sending more.
    OverHigh,
    /// The outbox is over [`Limits::outbox_hard`]: the connection closes, or messages were dropped, as
    /// [`Limits::overflow`] says.
    OverHard,
    /// The connection is closing, or its sending direction was shut down by
    /// [`Context::shutdown_write`](crate::Context::shutdown_write); the message is dropped.
    Closed,
    /// The codec cannot encode the message; nothing was sent. The log has the reason, at the level debug.
    Unencodable,
}

/// Makes the session of an outbound connection, on the thread that asked for it.
pub(crate) type MakeSessionHere = Box<dyn FnOnce(&mut dyn Host) -> u32>;

/// What a callback wants done that needs the driver at once, in the order it wanted it.
pub(crate) enum Deferred {
    /// Bytes for every member of a group but the sender: it has them already, or was no member then.
    Broadcast { group: Group, payload: Bytes, except: Option<Token> },
    /// Bytes for another connection of this reactor.
    Write { place: Place, payload: Bytes },
    /// A value for the session of a connection of this reactor.
    Notice { place: Place, errand: Box<dyn Errand> },
    /// The end of another connection of this reactor.
    Close { place: Place, mode: CloseMode },
    /// The end of what is sent on another connection of this reactor.
    ShutWrite { place: Place },
    /// An outbound connection.
    Dial { service: u16, route: Route, timeout_ms: u32, session: MakeSessionHere },
}

/// See the module.
pub(crate) struct Core {
    pub(crate) reactor: u16,
    pub(crate) slab: Slab<Connection>,
    pub(crate) pools: Pools,
    pub(crate) wheel: Wheel,
    /// Exact timers whose millisecond has come.
    pub(crate) moments: Moments,
    /// Timers with identifiers, and those of services.
    pub(crate) timers: Timers,
    pub(crate) now: Tick,
    /// The driver's clock when this turn began.
    pub(crate) clock: Duration,
    /// This turn, for the shares of connections.
    pub(crate) turn: TurnNumber,
    pub(crate) limits: Limits,
    /// Of outbound connections that ask for nothing else.
    pub(crate) keepalive: Option<Duration>,
    pub(crate) counters: Arc<ReactorCounters>,
    /// Those of each service.
    pub(crate) tallies: Vec<Arc<ServiceCounters>>,
    /// Slots taken by connections of each service, closing ones included.
    pub(crate) occupied: Vec<u32>,
    pub(crate) live: Arc<Live>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) groups: Groups,
    /// Who waits for room for the rest of a large message.
    pub(crate) room: Room,
    /// Connections to settle at the end of the turn.
    pub(crate) dirty: Vec<Token>,
    pub(crate) deferred: Vec<Deferred>,
    /// How many of them are notices.
    pub(crate) notices: usize,
    /// Whether a chunk is decoded: what its callbacks send to other connections goes to their outboxes at once.
    pub(crate) sends_on: bool,
    /// Connections that got so much that it is sent before the chunk goes.
    pub(crate) reached: Vec<Token>,
    /// Set by a callback after which decoding for the same connection must not go on.
    pub(crate) halt: bool,
    /// The large message that is being delivered, where its bytes can be kept.
    pub(crate) large: Option<Arc<Vec<u8>>>,
    pub(crate) departure: Departure,
    /// Why connections close, where that is an error.
    pub(crate) causes: Causes,
    /// When connections began.
    pub(crate) births: Births,
    /// Who is at their other ends.
    pub(crate) peers: Peers,
    /// What is true of few of them.
    pub(crate) rares: Rares,
    /// Those that have closed.
    pub(crate) closed: Closed,
    /// What operators want done.
    pub(crate) orders: Arc<Orders>,
    /// Connections whose traffic is recorded.
    pub(crate) traces: Vec<Tracing>,
}

impl Entries for Slab<Connection> {
    fn links(&mut self, index: u32) -> &mut Links {
        // The wheel holds live connections only: they are taken out of it before their slot goes.
        &mut self.get_mut(index).expect("a connection in the wheel has a slot").links
    }
}

impl Core {
    /// A reactor without connections, with room for so many, when its driver's clock shows `clock`.
    pub(crate) fn new(
        reactor: u16,
        slots: u32,
        clock: Duration,
        limits: Limits,
        counters: Arc<ReactorCounters>,
        shared: Arc<Shared>,
    ) -> Self {
        let now = tick(clock);
        let tallies = counters.tallies();
        let occupied = vec![0; tallies.len()];
        Self {
            reactor,
            slab: Slab::with_limit(slots),
            pools: Pools::default(),
            wheel: Wheel::new(now),
            moments: Moments::default(),
            timers: Timers::default(),
            now,
            clock,
            turn: TurnNumber::default(),
            limits,
            keepalive: None,
            tallies,
            occupied,
            counters,
            live: Arc::new(Live::new()),
            shared,
            groups: Groups::default(),
            room: Room::new(now),
            dirty: Vec::new(),
            deferred: Vec::new(),
            notices: 0,
            sends_on: false,
            reached: Vec::new(),
            halt: false,
            large: None,
            departure: Departure::None,
            causes: Causes::default(),
            births: Births::default(),
            peers: Peers::default(),
            rares: Rares::default(),
            closed: Closed::default(),
            orders: Arc::default(),
            traces: Vec::new(),
        }
    }

    /// Counters of the service that a connection belongs to.
    #[inline]
    pub(crate) fn tally(&self, service: u16) -> &ServiceCounters {
        &self.tallies[usize::from(service)]
    }

    /// Whether a connection was told to leave, or everything ends.
    #[inline]
    pub(crate) fn is_leaving(&self, token: Token) -> bool {
        match self.departure {
            Departure::None => false,
            Departure::All => true,
            Departure::Some => {
                self.slab.get(token).is_some_and(|connection| connection.flags.has(Flags::SHUTDOWN_CALLED))
            }
        }
    }

    /// The connection at a place, unless it is another one by now or is closed.
    pub(crate) fn at(&mut self, place: Place) -> Option<&mut Connection> {
        if !self.slab.check(place.token, place.generation) {
            return None;
        }
        self.slab.get_mut(place.token).filter(|connection| connection.state() != State::Closed)
    }

    /// A handle to the connection at `token`.
    pub(crate) fn handle(&self, token: Token) -> Handle {
        Handle {
            engine: self.shared.id,
            reactor: self.reactor,
            token,
            generation: self.slab.generation(token).unwrap_or(0),
        }
    }

    /// Takes in a connection; `None` where the slab is full.
    pub(crate) fn insert(&mut self, service: u16, peer: Peer, state: State) -> Option<Token> {
        let (token, generation) = self.slab.insert(Connection::new(service, state, self.now))?;
        self.live.set(token, generation);
        self.births.set(token, self.clock);
        self.peers.set(token, peer);
        self.rares.begin(token);
        self.occupied[usize::from(service)] += 1;
        Some(token)
    }

    /// Whether a connection is in a group.
    pub(crate) fn is_member(&self, token: Token, group: Group) -> bool {
        self.groups.is_member(token, group)
    }

    /// Puts a connection on the list of those to settle at the end of the turn.
    #[inline]
    pub(crate) fn mark(&mut self, token: Token) {
        if let Some(connection) = self.slab.get_mut(token)
            && !connection.flags.has(Flags::DIRTY)
        {
            connection.flags.set(Flags::DIRTY);
            self.dirty.push(token);
        }
    }

    /// Notes that the peer of a connection has ended its stream.
    pub(crate) fn peer_ended(&mut self, token: Token) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        connection.flags.set(Flags::ENDED);
        if connection.state() != State::Closed {
            self.live.set_ended(token);
            let offloads = self.rares.of(token).offloads;
            if offloads > 0 {
                self.shared.offload.disowned(offloads);
            }
        }
    }

    /// Asks for the end of a connection.
    pub(crate) fn ask_close(&mut self, token: Token, how: Flags, reason: CloseReason) {
        if let Some(connection) = self.slab.get_mut(token) {
            connection.ask_close(how, reason);
            self.halt = true;
        }
    }

    /// Asks for the end of a connection because of an error.
    #[cold]
    pub(crate) fn ask_close_for(&mut self, token: Token, how: Flags, reason: CloseReason, cause: Cause) {
        self.ask_close(token, how, reason);
        if self.slab.get(token).is_some_and(|connection| connection.reason() == reason) {
            self.causes.note(token, reason, cause);
        }
    }

    /// Ends what a connection sends, after what its outbox holds; says whether that is news.
    pub(crate) fn shut_write(&mut self, token: Token) -> bool {
        let Some(connection) = self.slab.get_mut(token).filter(|connection| connection.takes_output()) else {
            return false;
        };
        connection.flags.set(Flags::SHUT_WRITE);
        self.mark(token);
        true
    }

    /// Finds the outbox of a connection that takes output, or makes it; with the pool of its blocks, and its service.
    #[inline]
    fn open_outbox(&mut self, token: Token) -> Option<(&mut Outbox, &mut Blocks, u16)> {
        let connection = self.slab.get_mut(token).filter(|connection| connection.takes_output())?;
        let (pools, service) = (&mut self.pools, connection.service);
        let outbox = connection.outbox.get_or_insert_with(|| pools.outbox());
        Some((outbox, &mut pools.blocks, service))
    }

    /// Gives an outbox back that goes with what it holds.
    pub(crate) fn discard_outbox(&mut self, outbox: Box<Outbox>) {
        self.counters.outboxes_shrank(outbox.len());
        self.pools.return_outbox(outbox);
    }

    /// Counts bytes that the kernel has taken from a connection of this service.
    #[inline]
    pub(crate) fn count_sent(&self, service: u16, bytes: usize) {
        self.tally(service).bytes_out.add(bytes as u64);
        self.counters.outboxes_shrank(bytes);
    }

    /// Encodes one message, or a plain payload, into the outbox of a connection.
    #[inline]
    pub(crate) fn send<C: Codec>(&mut self, token: Token, codec: &C, what: impl Encode<C>) -> SendStatus {
        if self.limits.overflow != Overflow::Close {
            return match encode(codec, what) {
                Ok(message) => self.append_shared(token, message),
                Err(error) => unencodable(&error),
            };
        }
        let Some((outbox, blocks, service)) = self.open_outbox(token) else { return SendStatus::Closed };
        let before = outbox.len();
        let encoded = what.encode(codec, &mut OutboxSink { outbox, blocks });
        let after = outbox.len();
        if let Err(error) = encoded {
            debug_assert_eq!(before, after, "a codec that fails to encode writes nothing");
            return unencodable(&error);
        }
        self.appended(token, service, after - before, after)
    }

    /// Appends bytes as they are to the outbox of a connection, by copying them.
    pub(crate) fn append(&mut self, token: Token, parts: &[&[u8]]) -> SendStatus {
        self.send(token, &Raw, Outgoing::<Raw>(parts))
    }

    /// Appends bytes as they are to the outbox of a connection, by reference.
    #[inline]
    pub(crate) fn append_shared(&mut self, token: Token, payload: Bytes) -> SendStatus {
        let Some((outbox, blocks, service)) = self.open_outbox(token) else { return SendStatus::Closed };
        let added = payload.len();
        outbox.return_first(blocks);
        outbox.append_shared(payload);
        let after = outbox.len();
        self.appended(token, service, added, after)
    }

    /// Appends bytes that go to many as they are: small ones by copy, for the kernel takes one piece faster than many.
    #[inline]
    pub(crate) fn append_encoded(&mut self, token: Token, bytes: &Bytes) -> SendStatus {
        if bytes.len() > SMALL_BYTES { self.append_shared(token, bytes.clone()) } else { self.append(token, &[bytes]) }
    }

    /// Appends an answer whose size its service bounds. It is neither dropped nor does it close the connection, however
    /// large the outbox gets: over the high mark nothing more is taken from the connection that would be answered.
    #[inline]
    pub(crate) fn append_answer(&mut self, token: Token, parts: &[&[u8]]) -> SendStatus {
        let Some((outbox, blocks, service)) = self.open_outbox(token) else { return SendStatus::Closed };
        let before = outbox.len();
        for part in parts {
            outbox.append(part, blocks);
        }
        let after = outbox.len();
        outbox.answers += after - before;
        self.answered(token, service, after - before, after)
    }

    /// The same, by reference.
    pub(crate) fn append_shared_answer(&mut self, token: Token, bytes: Bytes) -> SendStatus {
        let added = bytes.len();
        let Some((outbox, blocks, service)) = self.open_outbox(token) else { return SendStatus::Closed };
        outbox.return_first(blocks);
        outbox.append_kept(bytes);
        outbox.answers += added;
        let after = outbox.len();
        self.answered(token, service, added, after)
    }

    #[inline]
    fn answered(&mut self, token: Token, service: u16, added: usize, length: usize) -> SendStatus {
        self.counters.outboxes_grew(added);
        self.tally(service).messages_out.add(1);
        if length <= self.limits.outbox_high {
            return SendStatus::Queued;
        }
        self.halt |= self.note_over_high(token);
        SendStatus::OverHigh
    }

    /// Notes that an outbox is over its high mark, and counts it if it was not. Says whether reading pauses.
    fn note_over_high(&mut self, token: Token) -> bool {
        let Some(connection) = self.slab.get_mut(token) else { return false };
        if !connection.flags.has(Flags::OVER_HIGH) {
            self.counters.outbox_high.add(1);
            self.counters.slow_readers.add(1);
        }
        connection.note_over_high()
    }

    /// Whether what a callback sends to another connection may go to its outbox at once. It may not where it would come
    /// before something that was ordered earlier, or where messages are kept apart so that they can be dropped.
    pub(crate) fn may_send_on(&self) -> bool {
        self.sends_on && self.deferred.is_empty() && self.limits.overflow == Overflow::Close
    }

    /// Encodes one message into the outbox of another connection, while a chunk is decoded of which it may be a part. Large
    /// parts of the chunk are borrowed: the reactor sends or copies them before the chunk goes.
    pub(crate) fn send_on<C: Codec>(
        &mut self,
        place: Place,
        codec: &C,
        what: impl Encode<C>,
    ) -> Result<SendStatus, SendError> {
        let (halt, token) = (self.halt, place.token);
        if !self.at(place).is_some_and(|connection| connection.takes_from_others()) {
            return Err(SendError::Gone);
        }
        let Some(connection) = self.slab.get_mut(token) else { return Err(SendError::Gone) };
        let (pools, service, is_open) = (&mut self.pools, connection.service, connection.state() == State::Open);
        let outbox = connection.outbox.get_or_insert_with(|| pools.outbox());
        let before = outbox.len();
        let own = pools.blocks.lend_to_other(is_open);
        let encoded = what.encode(codec, &mut OutboxSink { outbox, blocks: &mut pools.blocks });
        let has_borrowed = pools.blocks.end_other(own);
        let added = outbox.len() - before;
        if encoded.is_err() {
            debug_assert_eq!(added, 0, "a codec that fails to encode writes nothing");
            self.mark(token);
            return Err(SendError::Encode);
        }
        let length = connection.outbox_len();
        let status = self.appended(token, service, added, length);
        // It is not this connection that has to stop for that.
        self.halt = halt;
        if has_borrowed || length >= TOGETHER_BYTES {
            if self.reached.last() != Some(&token) {
                self.reached.push(token);
            }
        } else {
            self.mark(token);
        }
        Ok(status)
    }

    /// Notes that another connection will send so many bytes to this one before the turn is over, and says how full its
    /// outbox will be. Where that is too much, its service will hear `writable`, however quickly the bytes leave.
    pub(crate) fn promise(&mut self, token: Token, added: usize) -> SendStatus {
        let Some(connection) = self.slab.get_mut(token) else { return SendStatus::Closed };
        let pools = &mut self.pools;
        let outbox = connection.outbox.get_or_insert_with(|| pools.outbox());
        outbox.promised += added;
        let length = outbox.promised + connection.outbox_len();
        if length <= self.limits.outbox_high {
            return SendStatus::Queued;
        }
        self.note_over_high(token);
        self.mark(token);
        if length <= self.limits.outbox_hard { SendStatus::OverHigh } else { SendStatus::OverHard }
    }

    /// Notes that bytes which were promised are appended now.
    pub(crate) fn fulfil(&mut self, token: Token, added: usize) {
        if let Some(outbox) = self.slab.get_mut(token).and_then(|connection| connection.outbox.as_mut()) {
            outbox.promised = outbox.promised.saturating_sub(added);
        }
    }

    /// Pauses or resumes reading from a connection, not in a callback of its own.
    pub(crate) fn set_paused(&mut self, token: Token, paused: bool) {
        if let Some(connection) = self.slab.get_mut(token) {
            if paused {
                connection.flags.set(Flags::PAUSED);
            } else {
                connection.end_pause(Flags::PAUSED, self.now);
            }
            self.mark(token);
        }
    }

    /// What follows when an outbox has grown by a message.
    #[inline]
    fn appended(&mut self, token: Token, service: u16, added: usize, length: usize) -> SendStatus {
        self.counters.outboxes_grew(added);
        self.tally(service).messages_out.add(1);
        if length <= self.limits.outbox_high {
            return SendStatus::Queued;
        }
        self.over_high(token, length - added, length)
    }

    #[cold]
    fn over_high(&mut self, token: Token, before: usize, length: usize) -> SendStatus {
        self.halt |= self.note_over_high(token);
        let Some(connection) = self.slab.get_mut(token) else { return SendStatus::Closed };
        // Nobody is slow whose outbox was not even high, however large the message is.
        if length <= self.limits.outbox_hard || before <= self.limits.outbox_high {
            return SendStatus::OverHigh;
        }
        // Nor is it slow where its own service filled the outbox with a reply that it began to read.
        let bounded = connection.outbox.as_ref().map_or(length, |outbox| outbox.bounded_len());
        if bounded <= self.limits.outbox_hard {
            return SendStatus::OverHigh;
        }
        let (keep, newest) = match self.limits.overflow {
            Overflow::Close => {
                connection.ask_close(Flags::CLOSE, CloseReason::Slow);
                self.halt = true;
                return SendStatus::OverHard;
            }
            Overflow::DropOldest => (self.limits.outbox_hard, 1),
            Overflow::LatestOnly => (0, 1),
        };
        if let Some(outbox) = connection.outbox.as_mut() {
            let (messages, bytes) = outbox.drop_oldest(keep, newest);
            self.tallies[usize::from(connection.service)].dropped.add(messages as u64);
            self.counters.outboxes_shrank(bytes);
        }
        SendStatus::OverHard
    }

    /// Received bytes without a copy, where they are most of the large message that is being delivered.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Option<Bytes> {
        let large = self.large.as_ref()?;
        let from = (bytes.as_ptr() as usize).checked_sub(large.as_ptr() as usize)?;
        let is_most = bytes.len() >= large.capacity() / 8 * 7;
        (is_most && from + bytes.len() <= large.len())
            .then(|| Bytes::from_owner(Whole(large.clone())).slice(from..from + bytes.len()))
    }

    /// Counts messages that were decoded, and their work.
    #[inline]
    pub(crate) fn count_decoded(&mut self, token: Token, messages: u64, work: usize) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        self.tallies[usize::from(connection.service)].messages_in.add(messages);
        connection.share.spend(self.turn, work);
        if messages > 0 {
            connection.flags.set(Flags::SPOKE);
        }
    }

    /// Counts work for a connection beside that of its messages. Decoding stops where its share of the turn is used up.
    pub(crate) fn spend(&mut self, token: Token, bytes: usize) {
        if let Some(connection) = self.slab.get_mut(token) {
            connection.share.spend(self.turn, bytes);
            self.halt |= connection.share.is_spent(self.turn);
        }
    }

    /// Counts bytes of a message that is not complete: they were looked at and are copied, also if no message comes of them.
    #[inline]
    pub(crate) fn spend_on_unfinished(&mut self, token: Token, bytes: usize) {
        if let Some(connection) = self.slab.get_mut(token) {
            connection.share.spend(self.turn, bytes);
        }
    }

    /// Keeps bytes of a connection for later; `need` of them make another look worth while, 0 is now.
    pub(crate) fn hold(&mut self, token: Token, bytes: &[u8], need: usize) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        let pools = &mut self.pools;
        let carry = connection.carry.get_or_insert_with(|| pools.carry());
        carry.need = need;
        carry.append(bytes);
        pools.count_carry(carry);
        self.check_room(token);
    }

    /// Gives a connection its carry back, with more in it or less.
    pub(crate) fn put_carry(&mut self, token: Token, mut carry: Box<Carry>) {
        self.pools.count_carry(&mut carry);
        match self.slab.get_mut(token) {
            Some(connection) => connection.carry = Some(carry),
            None => self.pools.return_carry(carry),
        }
    }

    /// Sets the timer of a connection to an exact moment: the wheel has it until its millisecond begins.
    pub(crate) fn set_precise_timer(&mut self, token: Token, moment: Exact) {
        let Some(generation) = self.slab.generation(token) else { return };
        let Some(connection) = self.slab.get_mut(token) else { return };
        connection.flags.set(Flags::TIMER);
        (connection.user_deadline, connection.user_fraction) = (moment.tick, moment.fraction);
        self.moments.start();
        if moment.is_near(self.now) {
            return self.moments.push(Place { token, generation }, moment, self.clock);
        }
        self.due(token, moment.tick);
    }

    /// Takes over the timer of a connection, whose millisecond has come, from the wheel.
    pub(crate) fn await_moment(&mut self, token: Token) {
        let Some(generation) = self.slab.generation(token) else { return };
        let Some(connection) = self.slab.get(token) else { return };
        self.moments.push(Place { token, generation }, connection.moment(), self.clock);
    }

    /// Wants something done at `due`: moves the connection's entry in the wheel where it would fire later. Nothing is
    /// due for a closed connection: its slot goes without another look at the wheel.
    #[inline]
    pub(crate) fn due(&mut self, token: Token, due: Tick) {
        let Some(connection) = self.slab.get_mut(token) else { return };
        if connection.state() == State::Closed {
            return;
        }
        if !connection.links.is_scheduled() || due.is_before(connection.links.deadline()) {
            self.wheel.schedule(&mut self.slab, token, due);
        }
    }
}

impl Destinations for Core {
    fn destination(&mut self, token: Token) -> Option<Destination<'_>> {
        let connection = self.slab.get_mut(token)?;
        let is_decoded = connection.state() == State::Open && connection.filter.is_none() && !connection.is_halted();
        connection.carry.as_mut().filter(|_| is_decoded)?.destination()
    }
}

/// The memory of a large message, some of which is kept.
struct Whole(Arc<Vec<u8>>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Says why a message goes nowhere. Not louder, since a peer may be who has the service say it.
#[cold]
fn unencodable(error: &impl std::error::Error) -> SendStatus {
    tracing::debug!(%error, "a message was not sent: the codec cannot encode it");
    SendStatus::Unencodable
}

/// What a codec can write to a connection.
pub(crate) trait Encode<C: Codec> {
    fn encode(self, codec: &C, out: &mut impl Sink) -> Result<(), C::Error>;
}

/// A message of the codec.
pub(crate) struct Outgoing<'a, C: Codec>(pub(crate) C::Outgoing<'a>);

impl<C: Codec> Encode<C> for Outgoing<'_, C> {
    #[inline]
    fn encode(self, codec: &C, out: &mut impl Sink) -> Result<(), C::Error> {
        codec.encode(self.0, out)
    }
}

/// Bytes from elsewhere.
pub(crate) struct Plain<'a>(pub(crate) &'a [u8]);

impl<C: Codec> Encode<C> for Plain<'_> {
    #[inline]
    fn encode(self, codec: &C, out: &mut impl Sink) -> Result<(), C::Error> {
        codec.encode_payload(self.0, out)
    }
}

/// Encodes one message into a buffer of its own.
pub(crate) fn encode<C: Codec>(codec: &C, what: impl Encode<C>) -> Result<Bytes, C::Error> {
    let mut bytes = Vec::new();
    what.encode(codec, &mut bytes)?;
    Ok(bytes.into())
}
