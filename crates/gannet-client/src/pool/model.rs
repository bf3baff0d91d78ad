//! The pool against a model of servers that misbehave: random steps, and after each the invariants.
//!
//! `cargo test -p gannet-client --release --lib millions -- --ignored` runs millions of steps. `GANNET_SEED` runs one seed.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Action, ConnectionId, Features, Placed, Pool, Replied, State, Terms};
use crate::counters::Counters;
use crate::error::{CallError, Loss};
use crate::settings::Settings;
use gannet::Random;

const MS: Duration = Duration::from_millis(1);

/// What a server received on a connection.
struct Received {
    key: u64,
    /// The call, nothing for a ping or a reset.
    call: Option<u64>,
}

/// The server's end of a connection.
struct Served {
    id: ConnectionId,
    /// When it was dialled.
    since: Duration,
    received: VecDeque<Received>,
    ready: bool,
    /// It answers nothing.
    black_hole: bool,
    lease: bool,
}

/// How a call ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    Reply,
    Error(CallError),
    Granted,
}

struct Model {
    pool: Pool<u64, u64>,
    counters: Arc<Counters>,
    settings: Settings,
    random: Random,
    now: Duration,
    /// Whether replies have identifiers, and so come in any order.
    keyed: bool,
    served: Vec<Served>,
    /// Calls without an outcome, with their deadlines.
    outstanding: BTreeMap<u64, Duration>,
    /// The pool's numbers of all calls.
    keys: BTreeMap<u64, u64>,
    /// Calls that were sent at least once.
    sent: HashSet<u64>,
    /// The call that was served last of those that waited.
    served_last: u64,
    waiting: usize,
    calls: u64,
    seen: Seen,
}

/// What the steps came to, so that a test knows that they did what they were meant to.
#[derive(Debug, Default)]
struct Seen {
    replies: u64,
    unexpected: u64,
    late: u64,
    granted: u64,
    cancelled: u64,
    errors: BTreeMap<String, u64>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let keyed = random.below(3) == 0;
        let pipelines = keyed || random.below(3) > 0;
        let settings = Settings {
            min_idle: random.below(3),
            max: 2 + random.below(7),
            depth: 1 + random.below(8),
            waiters: 1 + random.below(30),
            waiting: MS * 100,
            timeout: MS * 50,
            connect: MS * 80,
            max_life: MS * 2_000,
            idle: MS * 400,
            keepalive: MS * 200,
            check_after: MS * 20,
            check: MS * 30,
            tombstones: 1 + random.below(6),
            leak_after: MS * 100,
            breaker_open: MS * 100,
            breaker_open_max: MS * 400,
            backoff: MS * 5,
            backoff_max: MS * 100,
            backoff_reset: MS * 200,
            ..Settings::default()
        };
        let features = Features { pipelines, pings: random.below(3) > 0, resets: random.below(2) == 0 };
        let counters = Arc::new(Counters::default());
        let endpoints = 1 + random.below(4);
        let pool = Pool::new(settings.clone(), features, endpoints, random.next(), counters.clone());
        Self {
            pool,
            counters,
            settings,
            random,
            now: MS,
            keyed,
            served: Vec::new(),
            outstanding: BTreeMap::new(),
            keys: BTreeMap::new(),
            sent: HashSet::new(),
            served_last: 0,
            waiting: 0,
            calls: 0,
            seen: Seen::default(),
        }
    }

    fn finish(&mut self, call: u64, outcome: Outcome) {
        assert!(self.outstanding.remove(&call).is_some(), "call {call} ends a second time: {outcome:?}");
        match outcome {
            Outcome::Reply => self.seen.replies += 1,
            Outcome::Granted => self.seen.granted += 1,
            Outcome::Error(error) => {
                let sent = self.sent.contains(&call);
                assert!(!sent || error.was_sent() || !matches!(error, CallError::QueueFull), "{error:?}");
                // A call that is told that it was not sent was not, unless it was one that may be sent twice.
                *self.seen.errors.entry(format!("{error:?}")).or_default() += 1;
            }
        }
    }

    fn call(&mut self) {
        self.calls += 1;
        let call = self.calls;
        let idempotent = call.is_multiple_of(3);
        let key = self.pool.next_key();
        let terms = Terms { timeout: self.settings.timeout, idempotent };
        self.keys.insert(call, key);
        self.outstanding.insert(call, self.now + terms.timeout);
        let waited = self.pool.waiters.len();
        match self.pool.call(self.now, key, call, terms, || call) {
            Ok(Placed::On(id)) => {
                assert_eq!(waited, 0, "call {call} overtakes");
                self.send(id, key, Some(call));
            }
            Ok(Placed::Waiting) => {}
            Err((_, error)) => self.finish(call, Outcome::Error(error)),
        }
    }

    fn send(&mut self, id: ConnectionId, key: u64, call: Option<u64>) {
        let served = self.served.iter_mut().find(|served| served.id == id).expect("it is open");
        assert!(served.ready, "a request before the handshake was done");
        served.received.push_back(Received { key, call });
        if let Some(call) = call {
            self.sent.insert(call);
        }
    }

    /// Does what the pool wants done.
    fn act(&mut self) {
        while let Some(action) = self.pool.next_action() {
            match action {
                Action::Dial { connection, .. } => {
                    assert!(self.served.iter().all(|served| served.id != connection));
                    let black_hole = self.random.below(20) == 0;
                    let served = Served {
                        id: connection,
                        since: self.now,
                        received: VecDeque::new(),
                        ready: false,
                        black_hole,
                        lease: false,
                    };
                    self.served.push(served);
                }
                Action::Send { connection, key } => {
                    let Some(call) = self.pool.request(connection, key).copied() else {
                        panic!("the request of a call that is sent is kept");
                    };
                    if !self.sent.contains(&call) {
                        assert!(call > self.served_last, "call {call} after {}", self.served_last);
                        self.served_last = call;
                    }
                    self.send(connection, key, Some(call));
                }
                Action::Ping { connection } | Action::Reset { connection } => {
                    let served = self.served.iter_mut().find(|served| served.id == connection).expect("it is open");
                    served.lease = false;
                    self.send(connection, 0, None);
                }
                Action::Close { connection, .. } => {
                    let before = self.served.len();
                    self.served.retain(|served| served.id != connection);
                    assert_eq!(self.served.len() + 1, before, "it closes a connection that is open");
                }
                Action::Fail { caller, error } => self.finish(caller, Outcome::Error(error)),
                Action::Grant { caller, connection } => {
                    assert!(caller > self.served_last, "lease {caller} after {}", self.served_last);
                    self.served_last = caller;
                    let served = self.served.iter_mut().find(|served| served.id == connection).expect("it is open");
                    assert!(served.received.is_empty() && !served.lease, "a lease is alone");
                    served.lease = true;
                    self.finish(caller, Outcome::Granted);
                }
                Action::Recycle { .. } | Action::Leaked { .. } | Action::Breaker { .. } => {}
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let pool = &self.pool;
        assert!(pool.open() <= self.settings.max, "{} connections of {}", pool.open(), self.settings.max);
        assert_eq!(pool.open(), self.served.len());
        assert_eq!(self.counters.read().open() as usize, pool.open(), "the gauges of states");
        assert!(pool.waiters.len() <= self.settings.waiters + self.settings.depth * self.settings.max);
        self.waiting = self.waiting.max(pool.waiters.len());
        let (mut in_flight, mut roomy, mut coming, mut late) = (vec![0; pool.endpoints.len()], 0, 0, 0);
        for (slot, conn) in pool.slots.iter().enumerate() {
            in_flight[conn.endpoint] += conn.pending.len();
            coming += usize::from(conn.is_coming());
            late += conn.late;
            let listed = pool.endpoints[conn.endpoint].ready.iter().filter(|ready| **ready as usize == slot).count();
            let has_room =
                conn.state == State::Idle || (conn.state == State::Busy && conn.pending.len() < pool.settings.depth);
            assert_eq!(listed, usize::from(has_room), "slot {slot}: {:?}, {}", conn.state, conn.pending.len());
            roomy += listed;
            assert_eq!(conn.state == State::Idle, conn.state == State::Idle && conn.pending.is_empty());
        }
        assert!(pool.endpoints.iter().zip(&in_flight).all(|(endpoint, count)| endpoint.in_flight == *count));
        assert_eq!((pool.roomy, pool.coming), (roomy, coming));
        assert_eq!(self.counters.tombstones.get(), late as u64);
        let due = pool.due();
        for (call, deadline) in &self.outstanding {
            assert!(*deadline > self.now, "call {call} is over its deadline");
            assert!(due.is_some_and(|due| due <= *deadline), "nothing wakes the pool for call {call}");
        }
    }

    /// The server answers a request, the first or any one.
    fn answer(&mut self, at: usize) {
        let served = &mut self.served[at];
        if !served.ready || served.black_hole || served.received.is_empty() {
            return;
        }
        let any = self.random.below(served.received.len());
        let index = if self.keyed { any } else { 0 };
        let id = served.id;
        let Some(received) = served.received.remove(index) else { return };
        let key = self.keyed.then_some(received.key);
        self.reply(id, key, received.call);
        // Once more: noticed where it has an identifier, or where nobody waits.
        let quiet = self.pool.get(id).is_some_and(|conn| conn.pending.is_empty());
        let own = received.call.is_none();
        if self.random.below(40) == 0 && (quiet || (self.keyed && !own)) && self.pool.get(id).is_some() {
            let again = self.pool.replied(self.now, id, key);
            assert_eq!(again, Replied::Unexpected);
            self.seen.unexpected += 1;
            self.act();
            assert!(self.pool.get(id).is_none(), "a reply too many ends the connection");
        }
    }

    fn reply(&mut self, id: ConnectionId, key: Option<u64>, call: Option<u64>) {
        match self.pool.replied(self.now, id, key) {
            Replied::To(caller) => {
                assert_eq!(Some(caller), call, "the reply of another call");
                self.finish(caller, Outcome::Reply);
            }
            Replied::Nobody => {
                assert!(call.is_none_or(|call| !self.outstanding.contains_key(&call)), "call {call:?} is lost");
                self.seen.late += u64::from(call.is_some());
            }
            Replied::Unexpected => panic!("a reply that was asked for"),
        }
        self.act();
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => self.call(),
            30..62 => {
                if !self.served.is_empty() {
                    let at = self.random.below(self.served.len());
                    self.answer(at);
                }
            }
            62..80 => self.progress(),
            80..90 => {
                self.now += self.random.up_to(MS * 12);
                self.pool.tick(self.now);
                self.act();
                self.fail_dials();
            }
            90..92 => {
                // Reset, perhaps in the middle of a reply.
                if !self.served.is_empty() {
                    let at = self.random.below(self.served.len());
                    let id = self.served.swap_remove(at).id;
                    self.pool.closed(self.now, id, Loss::Peer);
                }
            }
            92..94 => self.take_lease(),
            94..96 => self.cancel(),
            _ => self.use_lease(),
        }
        self.act();
    }

    /// A caller gives up: it gets no outcome, and nobody gets its reply.
    fn cancel(&mut self) {
        let at = self.random.below(self.outstanding.len());
        let Some(call) = self.outstanding.keys().nth(at).copied() else { return };
        let waits = self.pool.waiters.iter().any(|waiter| waiter.caller == call);
        self.outstanding.remove(&call);
        let (room, _) = self.pool.cancel(self.keys[&call]);
        assert!(waits || !room);
        assert!(self.pool.waiters.iter().all(|waiter| waiter.caller != call), "call {call} still waits");
        self.seen.cancelled += 1;
        if room {
            self.pool.start(self.now);
        }
    }

    /// Dials that have taken too long fail.
    fn fail_dials(&mut self) {
        for at in (0..self.served.len()).rev() {
            let Served { id, since, .. } = self.served[at];
            let dials = |pool: &mut Pool<u64, u64>| {
                pool.get(id).is_some_and(|conn| matches!(conn.state, State::Dialling | State::Retiring))
            };
            if !self.served[at].ready && since + self.settings.connect <= self.now && dials(&mut self.pool) {
                self.served.swap_remove(at);
                self.pool.closed(self.now, id, Loss::Connect);
            }
        }
    }

    /// A connection comes up, or does not.
    fn progress(&mut self) {
        let Some(at) = self.served.iter().position(|served| !served.ready) else { return };
        let id = self.served[at].id;
        match self.random.below(8) {
            0 => {
                self.served.swap_remove(at);
                self.pool.closed(self.now, id, Loss::Connect);
            }
            // The handshake hangs for now.
            1 if self.pool.connected(self.now, id) => {}
            2.. if self.pool.connected(self.now, id) => {
                self.served[at].ready = true;
                self.pool.ready(self.now, id);
            }
            // It was given up on its way, and is closed.
            _ => _ = self.served.swap_remove(at),
        }
    }

    fn take_lease(&mut self) {
        self.calls += 1;
        let call = self.calls;
        self.outstanding.insert(call, self.now + self.settings.waiting);
        let key = self.pool.next_key();
        self.keys.insert(call, key);
        if let Err((_, error)) = self.pool.lease(self.now, key, call, "model") {
            self.finish(call, Outcome::Error(error));
        }
    }

    fn use_lease(&mut self) {
        let leased: Vec<ConnectionId> =
            self.served.iter().filter(|served| served.lease).map(|served| served.id).collect();
        let Some(id) = leased.get(self.random.below(leased.len().max(1))).copied() else { return };
        if self.random.below(3) == 0 {
            if let Some(served) = self.served.iter_mut().find(|served| served.id == id) {
                served.lease = false;
            }
            return self.pool.release(self.now, id);
        }
        self.calls += 1;
        let (call, key) = (self.calls, self.pool.next_key());
        self.keys.insert(call, key);
        self.outstanding.insert(call, self.now + self.settings.timeout);
        match self.pool.call_leased(self.now, id, key, call, self.settings.timeout) {
            Ok(()) => self.send(id, key, Some(call)),
            Err((_, error)) => self.finish(call, Outcome::Error(error)),
        }
    }

    /// Ends everything, and finds that nobody was forgotten.
    fn end(&mut self) {
        self.pool.drain(self.now);
        self.act();
        assert!(self.pool.call(self.now, 0, 0, Terms { timeout: MS, idempotent: false }, || 0).is_err());
        for _ in 0..10_000 {
            if self.pool.open() == 0 {
                break;
            }
            self.now += MS * 5;
            self.pool.tick(self.now);
            self.act();
            self.fail_dials();
            self.act();
            for at in (0..self.served.len()).rev() {
                if self.random.below(2) == 0 && at < self.served.len() {
                    self.answer(at);
                }
            }
        }
        assert_eq!(self.pool.open(), 0, "connections are left");
        assert!(self.outstanding.is_empty(), "callers without an outcome: {:?}", self.outstanding);
        assert_eq!(self.counters.read().waiters, 0);
    }
}

fn run(seed: u64, steps: u64, seen: &mut Seen) {
    // Printed where the test fails.
    println!("seed {seed}");
    let mut model = Model::new(seed);
    model.pool.start(model.now);
    model.act();
    (0..steps).for_each(|_| model.step());
    model.end();
    seen.replies += model.seen.replies;
    seen.unexpected += model.seen.unexpected;
    seen.late += model.seen.late;
    seen.granted += model.seen.granted;
    seen.cancelled += model.seen.cancelled;
    for (error, count) in model.seen.errors {
        *seen.errors.entry(error).or_default() += count;
    }
}

fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("GANNET_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => default,
    }
}

#[test]
fn every_call_has_one_outcome_and_its_own_reply_whatever_the_servers_do() {
    let mut seen = Seen::default();
    seeds(0..60).for_each(|seed| run(seed, 2_000, &mut seen));
    if std::env::var("GANNET_SEED").is_err() {
        println!("{seen:?}");
        assert!(seen.replies > 1_000 && seen.late > 10 && seen.unexpected > 10 && seen.granted > 10, "{seen:?}");
        assert!(seen.cancelled > 1_000, "{seen:?}");
        for error in ["TimedOut", "Lost(Peer)", "Lost(Lease)", "NoConnection", "QueueFull", "Unavailable", "Closing"] {
            assert!(seen.errors.contains_key(error), "no call failed with {error}: {seen:?}");
        }
    }
}

#[test]
#[ignore = "a minute: cargo test -p gannet-client --release --lib millions -- --ignored"]
fn millions_of_steps_find_no_call_without_its_outcome() {
    let mut seen = Seen::default();
    seeds(1_000..3_000).for_each(|seed| run(seed, 5_000, &mut seen));
    println!("{seen:?}");
}
