//! One thread with its own driver, connections, timers and buffers: the loop that everything happens in.
//!
//! A turn waits, handles what the driver found, takes letters, fires timers, and hands over what became due on the
//! way. It is written once for all drivers. A file for each task: `accepting` and `dial` begin a connection, `settle` and
//! `flush` carry it on, `close` ends it, `timing` has what happens by time alone.

mod accepting;
mod ahead;
mod changing;
mod close;
mod deferred;
mod dial;
mod drain;
mod edge;
mod filtered;
mod flush;
mod handing;
mod inspect;
mod racing;
mod room;
#[cfg(test)]
#[cfg(not(loom))]
mod schedules;
mod settle;
mod timers;
mod timing;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::close_reason::CloseReason;
use crate::connection::{Flags, State};
use crate::core::{Core, Deferred};
use crate::datagram::DatagramContext;
use crate::driver::{Driver, Event};
use crate::error::Error;
use crate::filter::{FilterFactory, Scratch};
use crate::host::{Host, Served};
use crate::ids::{ListenerId, Place, ServiceId, Token};
use crate::listener::Pace;
use crate::mailbox::Receiver;
use crate::outbox::LARGE_BYTES;
use crate::panics::panic_message;
use crate::remote::{Dial, Letter};
use crate::service::Starting;
use crate::wheel::{Tick, milliseconds, tick};

use self::accepting::Accepting;
use self::changing::Changing;
use self::drain::Drainings;
use self::edge::HEADER_MS;
use self::filtered::Failures;
use self::handing::Handing;
use self::inspect::Walks;
use self::racing::Races;
use self::timing::Deadlines;

/// Turns from this length on are logged and counted.
const STALL: Duration = Duration::from_millis(25);

/// Letters taken in one turn; more wait for the next, so that letters cannot starve connections.
const LETTERS_A_TURN: usize = 4_096;

/// How often in one turn what callbacks wanted for others may lead to more of it.
const DEFERRED_ROUNDS: u32 = 256;

/// How often pools give up what they did not need.
const TRIM_MS: u32 = 1_000;

/// Runs the connections of one thread on a driver. It is made, used and dropped on that thread.
///
/// # The order of calls
///
/// [`new`](Self::new) makes it; [`filter`](Self::filter) and [`quotas`](Self::quotas) complete it before the first turn.
/// [`run`](Self::run) then calls [`turn`](Self::turn) until the shutdown is over; tests and the simulator call `turn`
/// themselves. Within a turn:
///
/// 1. `Driver::wait`, then `Driver::next` until it has no more events. Each event goes to one method: `accepted`,
///    `connected`, `sent`, `closed` and so on; received bytes go to the connection's host, and then the chunk goes back
///    (`Driver::recycle`).
/// 2. The steps of plans (`take_steps`), letters from the mailbox (`take_letters`), then timers.
/// 3. What callbacks ordered for other connections (`deferred`), in rounds.
///
/// After something happened to a connection, `settle` follows, in the same step. It flushes the outbox, takes the
/// connection a step further in its life, and turns receiving on or off. A callback of a service never reaches the driver:
/// it leaves what it wants in `Core`.
///
/// The driver sees these calls for one connection: first `attach`, `adopt` or `connect`; then `receive` and `send` in any
/// order, without a `send` while one is in flight; perhaps `shutdown`, once; last `close`, after which the slot waits for
/// `Event::Closed`.
pub(crate) struct Reactor<D: Driver> {
    driver: D,
    core: Core,
    services: Vec<Served>,
    deadlines: Vec<Deadlines>,
    /// What makes the filters of accepted connections, by service.
    filters: Vec<Option<Arc<dyn FilterFactory>>>,
    /// For the filters of all connections.
    scratch: Scratch,
    /// Connections whose handshake waits for a turn with time for it.
    handshakes: VecDeque<Place>,
    /// What handshakes took in this turn.
    handshaken: Duration,
    /// How often what is done for others may still lead to more of it in this turn.
    deferred_rounds: u32,
    receiver: Receiver<Letter>,
    /// Listeners of this reactor that are open.
    listening: Vec<ListenerId>,
    pace: Pace,
    accepting: Accepting<D::Incoming>,
    changing: Changing,
    races: Races,
    drains: Drainings,
    handing: Handing,
    expired: Vec<Token>,
    /// Services whose timers have come.
    services_come: Vec<(ServiceId, Tick)>,
    /// Services that other threads called.
    woken: Vec<ServiceId>,
    /// Whether any service wants to see what will come.
    looks_ahead: bool,
    /// When the pools were trimmed.
    trimmed: Tick,
    /// The clock at the end of the last turn.
    clock: Duration,
    /// What had happened by then has been handled: deadlines count up to here.
    caught_up: Tick,
    /// Turns since then, in which the driver may have left something.
    behind: u32,
    /// Services that were called in this turn, a bit each (by index modulo 64), for the report of a stall.
    called: u64,
    /// What was said of filters that failed.
    failures: Failures,
    /// How long a header of the PROXY protocol may take.
    pub(crate) header_ms: u32,
    /// What was said of connections that were refused.
    refusals: Failures,
    /// What was said of PROXY headers that were none.
    headers: Failures,
    /// What operators want to know.
    walks: Walks,
}

impl<D: Driver> Reactor<D> {
    /// A reactor that listens where the driver was told to.
    pub(crate) fn new(
        mut driver: D,
        core: Core,
        services: Vec<Served>,
        receiver: Receiver<Letter>,
        listening: Vec<ListenerId>,
        pace: Pace,
    ) -> Self {
        for listener in &listening {
            driver.accept(*listener, true);
        }
        let deadlines = services.iter().map(Deadlines::of).collect();
        let filters = services.iter().map(|_| None).collect();
        let accepting = Accepting::new(services.len(), &listening);
        let clock = driver.now();
        let looks_ahead =
            services.iter().any(|served| matches!(served, Served::Connections(host) if host.looks_ahead()));
        Self {
            driver,
            core,
            services,
            deadlines,
            filters,
            scratch: Scratch::default(),
            handshakes: VecDeque::new(),
            handshaken: Duration::ZERO,
            deferred_rounds: DEFERRED_ROUNDS,
            receiver,
            listening,
            pace,
            accepting,
            changing: Changing::default(),
            races: Races::default(),
            drains: Drainings::default(),
            handing: Handing::default(),
            expired: Vec::new(),
            services_come: Vec::new(),
            woken: Vec::new(),
            looks_ahead,
            trimmed: tick(clock),
            clock,
            caught_up: tick(clock),
            behind: 0,
            called: 0,
            failures: Failures::default(),
            header_ms: HEADER_MS,
            refusals: Failures::default(),
            headers: Failures::default(),
            walks: Walks::default(),
        }
    }

    /// Puts filters between the connections of a service and their codec.
    pub(crate) fn filter(&mut self, service: ServiceId, filters: Arc<dyn FilterFactory>) {
        self.filters[usize::from(service)] = Some(filters);
    }

    /// Turns until the engine has shut down.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        while !self.is_done() {
            self.turn(None)?;
        }
        Ok(())
    }

    /// Whether draining has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.core.slab.is_empty() && self.drains.is_over()
    }

    /// Waits for something to do, for at most `longest`, and does it.
    pub(crate) fn turn(&mut self, longest: Option<Duration>) -> io::Result<()> {
        let mut timeout = self.until_due();
        if let Some(longest) = longest {
            timeout = Some(timeout.map_or(longest, |timeout| timeout.min(longest)));
        }
        if timeout != Some(Duration::ZERO) && !self.receiver.prepare_sleep() {
            timeout = Some(Duration::ZERO);
        }
        let waited = self.driver.wait(timeout);
        self.receiver.awake();
        waited?;

        let began = self.driver.now();
        (self.core.now, self.core.clock) = (tick(began), began);
        self.core.turn = self.core.turn.next();
        self.called = 0;
        (self.handshaken, self.deferred_rounds) = (Duration::ZERO, DEFERRED_ROUNDS);
        self.core.counters.wakeups.add(1);
        if self.looks_ahead {
            self.look_ahead();
        }
        while let Some(event) = self.driver.next(&mut self.core) {
            self.handle(event);
        }
        self.catch_up();
        self.take_steps();
        self.take_letters();
        if self.receiver.is_called() {
            self.call_woken();
        }
        self.fire_timers();
        self.drain();
        if self.is_inspected() {
            self.inspect();
        }
        self.go_on_with_room();
        if !self.core.deferred.is_empty() {
            self.run_deferred();
        }
        self.settle_marked();
        self.go_on_with_handshakes();
        self.drop_retired();

        if self.core.now.since(self.trimmed) >= TRIM_MS {
            self.trimmed = self.core.now;
            self.core.pools.trim();
        }

        self.core.counters.starved.set(self.driver.starved());
        self.core.counters.timers.set(self.core.wheel.len() as u64);
        self.core.counters.handshakes_waiting.set(self.handshakes.len() as u64);
        self.core.counters.named_timers.set(self.core.timers.len() as u64);
        self.clock = self.driver.now();
        let took = self.clock.saturating_sub(began);
        self.core.counters.turns.record(took);
        if took > STALL {
            self.report_stall(took);
        }
        Ok(())
    }

    /// Bytes of a large message came, and are where they belong.
    #[cold]
    fn received_into(&mut self, token: Token, count: usize) {
        if let Some(connection) = self.core.slab.get_mut(token) {
            let (service, is_traced) = (connection.service, connection.flags.has(Flags::TRACED));
            if connection.missed != 0 {
                self.deadlines[usize::from(service)].answered(connection, self.core.now, &self.core.counters);
            }
            connection.last_read = self.core.now;
            self.core.tally(service).bytes_in.add(count as u64);
            if is_traced {
                self.trace_received(token, count, &[]);
            }
            let (host, core) = self.host(service);
            host.received_into(core, token, count);
        }
        self.settle(token);
    }

    /// Whether what came is for the filter of its connection. Otherwise it is recorded where that is wanted.
    #[inline(never)]
    fn is_for_filter(&mut self, token: Token, bytes: &[u8], state: State) -> bool {
        let Some(connection) = self.core.slab.get(token) else { return false };
        if connection.filter.is_some() {
            return true;
        }
        if state == State::Open && connection.flags.has(Flags::TRACED) {
            self.trace_received(token, bytes.len(), bytes);
        }
        false
    }

    fn handle(&mut self, event: Event<D::Incoming>) {
        match event {
            Event::ReceivedInto { token, count } => self.received_into(token, count),
            Event::Received { token, mut chunk } => {
                let lends = self.driver.lends(&chunk);
                if let Some(connection) = self.core.slab.get_mut(token) {
                    let (service, state, is_plain) = (connection.service, connection.state(), connection.is_plain());
                    if connection.missed != 0 {
                        self.deadlines[usize::from(service)].answered(connection, self.core.now, &self.core.counters);
                    }
                    connection.last_read = self.core.now;
                    let ready = connection.ready(self.core.turn);
                    self.core.tally(service).bytes_in.add(chunk.len() as u64);
                    if !is_plain && self.is_for_filter(token, &chunk, state) {
                        self.filter_input(token, &mut chunk);
                    } else if state == State::Open {
                        // Nothing smaller is borrowed.
                        let borrows = chunk.len() >= LARGE_BYTES && (lends || self.driver.lends_to_others(&chunk));
                        if borrows {
                            self.core.pools.blocks.lend(&chunk, lends);
                        }
                        let (host, core) = self.host(service);
                        core.sends_on = true;
                        match ready {
                            Some(ready) => host.deliver(core, token, ready, &mut chunk),
                            None => host.input(core, token, &mut chunk),
                        }
                        core.sends_on = false;
                        if !core.reached.is_empty() {
                            self.send_reached();
                        }
                        if borrows && self.core.pools.blocks.end_lending() {
                            self.send_lent(token);
                        }
                    } else if state == State::Handshaking {
                        self.header_input(token, &mut chunk);
                    }
                }
                self.driver.recycle(chunk);
                self.settle_received(token, lends);
            }
            Event::Sent { token, result } => self.sent(token, result),
            Event::Ended { token } => {
                self.core.peer_ended(token);
                if let Some(connection) = self.core.slab.get_mut(token) {
                    connection.flags.clear(Flags::RECEIVING);
                }
                self.settle(token);
            }
            Event::Failed { token, error } => {
                self.core.ask_close_for(token, Flags::CLOSE, CloseReason::Io(error.kind()), error.into());
                self.settle(token);
            }
            Event::Accepted { listener, incoming, peer } => self.accepted(listener, incoming, peer),
            Event::Retired { listener } => self.retired(listener),
            Event::AcceptFailed { listener, error } => self.accept_failed(listener, &error),
            Event::Connected { token, result } => self.connected(token, result),
            Event::Closed { token } => self.closed(token),
            Event::Datagram { listener, chunk, from } => {
                let Self { driver, services, called, core, .. } = self;
                *called |= 1 << (listener % 64);
                let tally = core.tally(listener);
                tally.messages_in.add(1);
                tally.bytes_in.add(chunk.len() as u64);
                if let Some(Served::Datagrams(service)) = services.get_mut(usize::from(listener)) {
                    let mut reply = |payload: &[u8]| {
                        driver.send_datagram(listener, from, payload)?;
                        tally.messages_out.add(1);
                        tally.bytes_out.add(payload.len() as u64);
                        Ok(())
                    };
                    let mut cx = DatagramContext { from: from.address, reply: &mut reply };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| service.datagram(&chunk, &mut cx))) {
                        let panic = panic_message(&*panic);
                        tracing::error!(service = service.name(), peer = %from.address, panic, "a datagram service panicked; it goes on");
                    }
                }
                self.driver.recycle(chunk);
            }
        }
    }

    /// The host of a service of connections, and the core to call it with.
    #[inline]
    fn host(&mut self, service: ServiceId) -> (&mut dyn Host, &mut Core) {
        self.called |= 1 << (service % 64);
        match &mut self.services[usize::from(service)] {
            Served::Connections(host) => (host.as_mut(), &mut self.core),
            Served::Datagrams(_) | Served::Gone => unreachable!("a connection belongs to a service of connections"),
        }
    }

    fn take_letters(&mut self) {
        for _ in 0..LETTERS_A_TURN {
            let Some(letter) = self.receiver.take() else { return };
            self.core.counters.letters.add(1);
            self.open_letter(letter);
        }
    }

    fn open_letter(&mut self, letter: Letter) {
        match letter {
            Letter::Send { place, payload } => {
                let Some(connection) = self.core.at(place).filter(|connection| connection.takes_output()) else {
                    return self.core.counters.stale.add(1);
                };
                let service = connection.service;
                let (host, core) = self.host(service);
                host.send(core, place.token, payload);
                self.core.mark(place.token);
            }
            Letter::Write { place, payload } => self.defer(Deferred::Write { place, payload }),
            Letter::Pause { place, paused } => {
                if self.core.at(place).is_none() {
                    return self.core.counters.stale.add(1);
                }
                self.core.set_paused(place.token, paused);
            }
            Letter::Close { place, mode } => self.defer(Deferred::Close { place, mode }),
            Letter::ShutWrite { place } => self.defer(Deferred::ShutWrite { place }),
            Letter::Broadcast { group, payload } => self.defer(Deferred::Broadcast { group, payload, except: None }),
            Letter::Errand { place, errand } => {
                let Some(connection) = self.core.at(place) else { return self.core.counters.stale.add(1) };
                let service = connection.service;
                let (host, core) = self.host(service);
                errand.run(host, core, place.token);
                self.settle(place.token);
            }
            Letter::Run { place, run } => {
                let Some(connection) = self.core.at(place) else { return self.core.counters.stale.add(1) };
                let service = connection.service;
                let (host, core) = self.host(service);
                run(host, core, place.token);
                self.settle(place.token);
            }
            Letter::Dial(dial) => {
                let Dial { service, route, timeout_ms, session } = *dial;
                self.defer(Deferred::Dial { service, route, timeout_ms, session });
            }
            Letter::Adopt { listener, socket, peer } => self.adopt(listener, socket, peer),
        }
    }

    fn defer(&mut self, deferred: Deferred) {
        self.core.deferred.push(deferred);
        self.run_deferred();
    }

    /// Prepares the instances of all services, before the first turn.
    pub(crate) fn start(&mut self, starting: &Starting) -> Result<(), Error> {
        for (index, service) in self.services.iter_mut().enumerate() {
            start_one(service, starting)?;
            if let Some(after) = starting.timer.take() {
                self.core.timers.set_service(index as ServiceId, self.core.now.after(milliseconds(after)));
            }
        }
        Ok(())
    }

    #[cold]
    fn report_stall(&self, took: Duration) {
        self.core.counters.stalls.add(1);
        let names: Vec<&str> = self
            .services
            .iter()
            .enumerate()
            .filter(|(index, _)| self.called & (1 << (index % 64)) != 0)
            .map(|(_, service)| service.name())
            .collect();
        tracing::warn!(
            reactor = self.core.reactor,
            services = names.join(", "),
            took_ms = took.as_millis() as u64,
            "a turn stalled its reactor; long work belongs to Context::offload"
        );
    }
}

/// Prepares one instance of a service.
fn start_one(service: &mut Served, starting: &Starting) -> Result<(), Error> {
    starting.timer.set(None);
    let called = catch_unwind(AssertUnwindSafe(|| match service {
        Served::Connections(host) => host.start(starting),
        Served::Datagrams(service) => service.start(starting),
        Served::Gone => Ok(()),
    }));
    let started = called.unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_message(&*panic)).into()));
    started.map_err(|error| Error::Service { service: service.name().to_owned(), reactor: starting.reactor(), error })
}

#[cfg(any(test, feature = "sim"))]
impl<D: Driver> Reactor<D> {
    #[cfg(test)]
    pub(crate) fn driver(&mut self) -> &mut D {
        &mut self.driver
    }

    /// Whether several addresses are tried for a connection.
    #[cfg(test)]
    pub(crate) fn is_racing(&self) -> bool {
        !self.races.is_empty()
    }

    /// Whether there is an instance of a service.
    #[cfg(test)]
    pub(crate) fn is_served(&self, service: ServiceId) -> bool {
        !matches!(self.services.get(usize::from(service)), None | Some(Served::Gone))
    }

    /// Whether a listener is open.
    #[cfg(test)]
    pub(crate) fn is_listening(&self, listener: ListenerId) -> bool {
        self.listening.contains(&listener)
    }

    pub(crate) fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Sessions of all services.
    pub(crate) fn sessions(&self) -> usize {
        self.services
            .iter()
            .map(|service| match service {
                Served::Connections(host) => host.sessions(),
                Served::Datagrams(_) | Served::Gone => 0,
            })
            .sum()
    }
}
