//! The pump: the service without connections by which a reactor is told what is in its inbox.
//!
//! It is called when the channel space has something for a client of this reactor, and once a second. It writes
//! straight into the outboxes of other services' connections.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use gannet::proto::Raw;
use gannet::{CloseMode, Context, SendStatus, Service, ServiceContext, StartError, Starting};
use gannet_channels::{ClientKey, Delivery, Event, Pushed, Sink, Time};
use gannet_http::Trace;
use gannet_http::websocket::RemoteExt as _;
use gannet_proto::centrifuge::{PushEvent, Unsubscribe, UnsubscribeCode};

use crate::clock::time_of_day;
use crate::gateway::Gateway;
use crate::hub::{self, Hub};
use crate::metrics::Times;
use crate::rules::Answer;
use crate::session::codes::Disconnect;
use crate::session::{Client, Effects, Extra, Flags, Link, Place};
use crate::wire::Wire;

/// Deliveries of one turn, each of which has a block of its reactor's pool until it leaves. With more of them the blocks would
/// fall out of the processor's cache before they are sent, and the pool would grow beyond what it keeps.
const BUDGET: usize = 128;

/// Time in which each channel's position is checked once, in seconds.
const POSITIONS_S: usize = 40;

/// How often the pump looks at the time of day, and has the channel space forget what is old.
const TICK: Duration = Duration::from_secs(1);

/// Something to be done for a client on its reactor.
#[derive(Debug)]
pub(crate) enum Post {
    /// Commands that came by a request.
    Commands {
        /// Whose they are.
        key: ClientKey,
        /// What proves it.
        secret: u128,
        frame: Vec<u8>,
        /// The trace that the request belongs to.
        trace: Option<Trace>,
    },
    /// The application has answered.
    Answer { place: Place, answer: Answer },
    /// Somebody looks at the clients.
    Look(Look),
    /// Other settings are in force.
    Reconfigured,
}

/// What somebody does who looks at the clients of a reactor.
pub(crate) struct Look(pub(crate) Box<dyn FnOnce(&mut Hub) + Send>);

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Look")
    }
}

/// What is to be done for a client when all deliveries were made.
#[derive(Debug)]
pub(crate) enum Task {
    /// It has missed something in a channel.
    Gap { channel: Box<str>, server_side: bool },
    /// It reads too slowly.
    Slow,
    /// Its format cannot carry what was published.
    Unfit,
}

/// Moves what the channel space has for the clients of a reactor into their outboxes.
pub struct Pump {
    gateway: Arc<Gateway>,
    reactor: usize,
    /// When the time of day is looked at next, by the reactor's clock.
    tick: Duration,
}

impl Pump {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Self {
        Self { gateway: gateway.clone(), reactor: 0, tick: Duration::ZERO }
    }

    /// Sets the timer to what is due next.
    fn sleep(&self, hub: &Hub, cx: &mut ServiceContext<'_, Self>) {
        let tick = self.tick.saturating_sub(cx.now());
        let due = hub.roster.next_due().map_or(tick, |due| due.since(hub.now));
        cx.set_service_timer(tick.min(due));
    }
}

impl Service for Pump {
    type Codec = Raw;
    type Session = ();

    fn name(&self) -> &str {
        "push-pump"
    }

    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        self.reactor = starting.reactor();
        // The first turn sets the clock right.
        hub::install(Hub::new(&self.gateway, self.reactor, time_of_day(), Duration::ZERO));
        self.gateway.started(self.reactor, starting.remote());
        starting.set_service_timer(Duration::ZERO);
        Ok(())
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}

    fn woken(&mut self, cx: &mut ServiceContext<'_, Self>) {
        hub::with(cx.now(), |hub| {
            run(hub, cx);
            self.sleep(hub, cx);
        });
    }

    fn service_timer(&mut self, cx: &mut ServiceContext<'_, Self>) {
        let clock = cx.now();
        hub::with(clock, |hub| {
            if clock >= self.tick {
                self.tick = clock + TICK;
                hub.set_time(time_of_day(), clock);
                // One reactor does it for all.
                if hub.reactor == 0 {
                    hub.gateway.clone().space().tick(hub.now);
                    hub.gateway.sample(hub.now);
                }
                hub.roster.check_positions(hub.roster.channel_count() / POSITIONS_S + 1);
                look(hub, cx);
            }
            run(hub, cx);
            self.sleep(hub, cx);
        });
    }
}

/// Does everything that waits.
fn run(hub: &mut Hub, cx: &mut ServiceContext<'_, Pump>) {
    for post in hub.gateway.clone().take_posts(hub.reactor) {
        match post {
            Post::Commands { key, secret, frame, trace } => {
                hub.trace = trace;
                commands(hub, key, secret, &frame, cx);
                hub.trace = None;
            }
            Post::Answer { place, answer } => answered(hub, place, answer, cx),
            Post::Look(Look(looks)) => looks(hub),
            // What follows finds them.
            Post::Reconfigured => {}
        }
    }
    for key in mem::take(&mut hub.flushes) {
        let gateway = hub.gateway.clone();
        let of = (&mut hub.tasks, &mut hub.extras);
        let mut outboxes = Outboxes::new(cx, of, &gateway, (hub.reactor, hub.now));
        hub.roster.flush(key, &mut outboxes);
    }
    let more = end_gone(hub, cx);
    deliver(hub, cx);
    if more {
        cx.wake_again();
    }
}

/// Ends subscriptions to channels of namespaces that are gone, some in each turn. Returns whether there are more.
fn end_gone(hub: &mut Hub, cx: &mut ServiceContext<'_, Pump>) -> bool {
    let (gone, more) = hub.roster.gone(BUDGET / 4);
    for (key, channel) in gone {
        let Some(place) = hub.place(key) else { continue };
        hub.out.clear();
        let mut link = Link::Up(key);
        let why = Unsubscribe::from(UnsubscribeCode::Server);
        let effects = hub.unsubscribed_by_server(place, &mut link, &channel, why);
        finish(hub, place, link, effects, cx);
    }
    more
}

/// Commands came for a client whose connection goes one way.
fn commands(hub: &mut Hub, key: ClientKey, secret: u128, frame: &[u8], cx: &mut ServiceContext<'_, Pump>) {
    let Some(client) = hub.roster.value(key) else { return };
    // Clients without a session's name have no secret, which is 0; those that only listen have no commands.
    let is_theirs = secret != 0 && hub.extras.get(&key).is_some_and(|extra| extra.secret == secret);
    if !is_theirs || !client.wire.is_emulated() {
        return;
    }
    let place = Place { handle: client.handle, wire: client.wire };
    let mut link = Link::Up(key);
    let effects = hub.receive(place, &mut link, frame);
    if effects.ask.is_some() {
        // The answer needs a link. The response keeps its own, which is not away: it still pings.
        hub.away.insert(place.handle, Link::Up(key));
    }
    finish(hub, place, link, effects, cx);
}

/// The application has answered.
fn answered(hub: &mut Hub, place: Place, answer: Answer, cx: &mut ServiceContext<'_, Pump>) {
    // The connection may be gone.
    let Some(mut link) = hub.away.remove(&place.handle) else { return };
    let effects = hub.answered(place, &mut link, answer);
    if effects.ask.is_none() && effects.close.is_none() {
        let _ = cx.resume_other(place.handle);
    }
    // The transport takes it back when it is called the next time.
    let link = finish(hub, place, link, effects, cx);
    hub.away.insert(place.handle, link);
}

/// Sends the replies of a call that its transport has not made, and does what is left.
fn finish(hub: &mut Hub, place: Place, link: Link, effects: Effects, cx: &mut ServiceContext<'_, Pump>) -> Link {
    if !hub.out.is_empty() {
        send(hub, place, cx);
    }
    if let Some(question) = effects.ask {
        hub.gateway.clone().ask(hub.reactor, place, *question);
    }
    if let (Link::Up(key), Some(at_s)) = (&link, hub.late_look(&link, effects.next)) {
        hub.looks.insert((at_s, *key));
    }
    if let Some(why) = effects.close {
        close(place, &why, cx);
    }
    link
}

/// Does what is due for clients whose transports could not be told when.
fn look(hub: &mut Hub, cx: &mut ServiceContext<'_, Pump>) {
    let now_s = hub.now_s();
    while let Some((_, key)) = hub.looks.first().copied().filter(|(at_s, _)| *at_s <= now_s) {
        hub.looks.pop_first();
        let Some(place) = hub.place(key) else { continue };
        hub.out.clear();
        let mut link = Link::Up(key);
        let effects = hub.due(place, &mut link);
        if effects.ask.is_some() {
            hub.away.insert(place.handle, Link::Up(key));
            if !place.wire.is_stream() {
                // Commands that came meanwhile would be carried out before the answer.
                let _ = cx.pause_other(place.handle);
            }
        }
        finish(hub, place, link, effects, cx);
    }
}

/// Sends what is in [`Hub::out`].
fn send(hub: &mut Hub, place: Place, cx: &mut ServiceContext<'_, Pump>) {
    let bytes = place.wire.framed(&hub.out);
    let _ = cx.send_encoded(place.handle, &bytes);
    hub.trim();
}

/// Ends a connection, whose session has ended.
fn close(place: Place, why: &Disconnect, cx: &mut ServiceContext<'_, Pump>) {
    let told = place.wire.is_websocket()
        && cx.remote().close_socket(place.handle, why.close_code(), why.reason.as_ref()).is_ok();
    if !told {
        if place.wire.is_stream() {
            // The last chunk: the response is whole.
            let _ = cx.send_encoded(place.handle, &bytes::Bytes::from_static(b"0\r\n\r\n"));
        }
        let _ = cx.close_other(place.handle, CloseMode::Flushed);
    }
}

/// Delivers what is in the inbox.
fn deliver(hub: &mut Hub, cx: &mut ServiceContext<'_, Pump>) {
    let gateway = hub.gateway.clone();
    let mut budget = BUDGET;
    loop {
        let mut tasks = mem::take(&mut hub.tasks);
        let mut outboxes = Outboxes::new(cx, (&mut tasks, &mut hub.extras), &gateway, (hub.reactor, hub.now));
        let delivered = hub.roster.deliver(&mut outboxes, hub.now, budget);
        for (key, task) in tasks.drain(..) {
            carry_out(hub, key, task, cx);
        }
        hub.tasks = tasks;
        match delivered.order {
            // What follows an order goes on at once, but not without end.
            Some(ordered) => obey(hub, &ordered, cx),
            None if delivered.more => return cx.wake_again(),
            None => return,
        }
        budget = budget.saturating_sub(BUDGET / 64).max(1);
    }
}

fn carry_out(hub: &mut Hub, key: ClientKey, task: Task, cx: &mut ServiceContext<'_, Pump>) {
    let Some(place) = hub.place(key) else { return };
    hub.out.clear();
    let mut link = Link::Up(key);
    let effects = match task {
        Task::Slow => hub.end(place, &mut link, Disconnect::SLOW),
        Task::Unfit => hub.end(place, &mut link, Disconnect::INAPPROPRIATE_PROTOCOL),
        Task::Gap { server_side: true, .. } => hub.end(place, &mut link, Disconnect::INSUFFICIENT_STATE),
        // An EventSource that connects again says where it was.
        Task::Gap { .. } if place.wire == Wire::EventSource => {
            hub.end(place, &mut link, Disconnect::INSUFFICIENT_STATE)
        }
        Task::Gap { channel, server_side: false } => {
            hub.forget_expiry(key, &channel);
            let why = Unsubscribe::from(UnsubscribeCode::InsufficientState);
            hub.put_push(place.wire, &channel, PushEvent::Unsubscribe(why));
            Effects::default()
        }
    };
    finish(hub, place, link, effects, cx);
}

fn obey(hub: &mut Hub, ordered: &gannet_channels::Ordered, cx: &mut ServiceContext<'_, Pump>) {
    for key in ordered.clients() {
        let Some(place) = hub.place(*key) else { continue };
        hub.out.clear();
        let mut link = Link::Up(*key);
        let effects = hub.obey(place, &mut link, ordered);
        finish(hub, place, link, effects, cx);
    }
}

/// The outboxes of this reactor's clients.
struct Outboxes<'a, 'c, 'p> {
    cx: &'a mut ServiceContext<'c, Pump>,
    tasks: &'p mut Vec<(ClientKey, Task)>,
    extras: &'p mut HashMap<ClientKey, Extra>,
    /// Bytes over the high mark that a client may be behind.
    limit: u32,
    now: Time,
    /// From publications to the last outbox of this reactor.
    times: &'p Times,
}

impl<'a, 'c, 'p> Outboxes<'a, 'c, 'p> {
    fn new(
        cx: &'a mut ServiceContext<'c, Pump>,
        (tasks, extras): (&'p mut Vec<(ClientKey, Task)>, &'p mut HashMap<ClientKey, Extra>),
        gateway: &'p Gateway,
        (reactor, now): (usize, Time),
    ) -> Self {
        let times = &gateway.metrics.reactor(reactor).flushes;
        Self { cx, tasks, extras, limit: gateway.slow_bytes(), now, times }
    }

    #[cold]
    fn over_bytes(&self, key: ClientKey) -> u32 {
        self.extras.get(&key).map_or(0, |extra| extra.over_bytes)
    }

    #[cold]
    fn time(&self, delivery: &Delivery) {
        match delivery.event() {
            Event::Publication(publication) => self.times.record(self.now.since(publication.time)),
            Event::Batch(deliveries) => deliveries.iter().for_each(|delivery| self.time(delivery)),
            _ => {}
        }
    }
}

impl Sink<Client> for Outboxes<'_, '_, '_> {
    #[inline]
    fn push(&mut self, key: ClientKey, client: &mut Client, format: u8, delivery: &Arc<Delivery>) -> Pushed {
        if client.flags.has(Flags::FULL) && self.over_bytes(key) > self.limit {
            return Pushed::Full;
        }
        let bytes = delivery.wire(format, |delivery| Wire::of(format).encode(delivery));
        if bytes.is_empty() {
            if client.wire != Wire::EventSource {
                self.tasks.push((key, Task::Unfit));
            }
            return Pushed::Taken;
        }
        match self.cx.send_encoded(client.handle, bytes) {
            Ok(SendStatus::Queued) => Pushed::Taken,
            Ok(SendStatus::OverHigh | SendStatus::OverHard) => {
                client.flags.set(Flags::FULL);
                let over = &mut self.extras.entry(key).or_default().over_bytes;
                *over = over.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                Pushed::Taken
            }
            _ => Pushed::Gone,
        }
    }

    fn gap(&mut self, key: ClientKey, _: &mut Client, channel: &str, server_side: bool) {
        self.tasks.push((key, Task::Gap { channel: channel.into(), server_side }));
    }

    fn slow(&mut self, key: ClientKey, _: &mut Client) {
        self.tasks.push((key, Task::Slow));
    }

    fn passed(&mut self, delivery: &Delivery) {
        self.time(delivery);
    }
}
