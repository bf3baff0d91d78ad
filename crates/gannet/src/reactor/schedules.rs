//! Many short schedules on the simulated network, each with another seed: everything that can go wrong does, and still
//! nothing is lost without a reason, and nothing is left.
//!
//! `GANNET_SEEDS=N` runs so many instead of the usual number, `GANNET_SEED=S` runs one of them again.

mod peer;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::conformance::Net;
use crate::conformance::rig::{Rig, Setup};
use crate::driver::Driver;
use crate::driver::sim::{Answer, Faults, Random, SimClient, SimDriver, SimNet};
use crate::ids::ListenerId;
use crate::listener::ListenSocket;
use crate::proto::{Codec, LengthPrefixed, Lines, Raw};
use crate::quota::Quota;
use crate::{
    CloseReason, Context, Drain, Filter, FilterError, FilterFactory, FilterOutput, FilterProgress, ReactorStats,
    Refused, Service,
};

use self::peer::{Peer, Plan};

/// What runs by default: some seconds without optimisation.
const SEEDS: u64 = 2_000;

/// Turns after which a schedule that has not ended is stuck.
const TURNS: usize = 60_000;

/// The codecs that schedules use, by listener.
const RAW: ListenerId = 0;
const LINES: ListenerId = 1;
const FRAMES: ListenerId = 2;
const OUTBOUND: usize = 3;

fn frames() -> LengthPrefixed {
    LengthPrefixed::u32_be().limit(4_096)
}

/// How a connection ended.
#[derive(Clone, Copy)]
struct End {
    port: u16,
    reason: CloseReason,
    /// Bytes that were accepted for it.
    accepted: usize,
}

type Ends = Rc<RefCell<Vec<End>>>;

/// A connection as its service knows it: the port of its client, and how many bytes were accepted for it.
#[derive(Default)]
struct Session {
    port: u16,
    accepted: usize,
}

struct Echo<C> {
    codec: fn() -> C,
    ends: Ends,
    random: Random,
    /// Whether it does more than to answer: pauses, refuses, panics, closes.
    moody: bool,
}

impl<C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>> Service for Echo<C> {
    type Codec = C;
    type Session = Session;

    fn codec(&self) -> C {
        (self.codec)()
    }

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Session, Refused> {
        if self.moody && self.random.chance(20) {
            return Err(Refused);
        }
        Ok(Session { port: cx.peer().address().expect("it has one").port(), accepted: 0 })
    }

    fn message(&mut self, session: &mut Session, message: &[u8], cx: &mut Context<'_, Self>) {
        let before = cx.outbox_len();
        match if self.random.chance(500) { cx.send(&[message]) } else { cx.send_shared(message.to_vec().into()) } {
            crate::SendStatus::Closed | crate::SendStatus::Unencodable => panic!("an open connection takes an echo"),
            _ => session.accepted += cx.outbox_len() - before,
        }
        if !self.moody {
            return;
        }
        match self.random.below(400) {
            0..8 => {
                cx.pause();
                cx.set_timer(Duration::from_millis(self.random.below(20) as u64));
            }
            8 => cx.close(),
            9..11 => cx.close_flushed(),
            11 => panic!("{PANIC}"),
            _ => {}
        }
    }

    fn timer(&mut self, _: &mut Session, cx: &mut Context<'_, Self>) {
        cx.resume();
    }

    fn connected(&mut self, _: &mut Session, cx: &mut Context<'_, Self>) {
        cx.send(&[b""]);
    }

    fn close(&mut self, session: Session, reason: CloseReason, _: &mut Context<'_, Self>) {
        let Session { port, accepted } = session;
        self.ends.borrow_mut().push(End { port, reason, accepted });
    }
}

/// Makes filters that let bytes through as they are, and now and then fail.
struct Sieves(AtomicU64);

struct Sieve(Random);

impl FilterFactory for Sieves {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        let mut random = Random::new(self.0.fetch_add(1, Ordering::Relaxed));
        match random.chance(20) {
            true => Err(FilterError::new("there is none today")),
            false => Ok(Box::new(Sieve(random))),
        }
    }
}

impl Filter for Sieve {
    fn receive(&mut self, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError> {
        if self.0.chance(20) {
            return Err(FilterError::new("these bytes look wrong"));
        }
        out.plain.extend_from_slice(received);
        Ok(FilterProgress::new(received.len()).ready(true))
    }

    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError> {
        wire.extend_from_slice(plain);
        Ok(())
    }
}

/// What a service of these schedules says when it panics on purpose.
const PANIC: &str = "a service that panics now and then";

struct World {
    net: SimNet,
    services: ListenerId,
}

impl Net for World {
    type Driver = SimDriver;
    type Client = SimClient;

    fn driver(&mut self) -> SimDriver {
        let mut driver = self.net.driver();
        (0..self.services).for_each(|listener| driver.listen_here(listener));
        driver
    }

    fn listen(&mut self, _: &mut SimDriver, _: ListenerId) {}

    fn socket(&mut self, _: ListenerId) -> ListenSocket {
        unreachable!("no listener is added")
    }

    fn try_connect_from(&mut self, listener: ListenerId, from: std::net::IpAddr) -> Option<SimClient> {
        Some(self.net.connect(listener, SocketAddr::new(from, 1)))
    }

    fn remote(&mut self, _: Answer) -> SocketAddr {
        unreachable!("addresses are set up beforehand")
    }

    fn accept(&mut self, remote: SocketAddr) -> Option<(SimClient, SocketAddr)> {
        let client = self.net.accept(remote)?;
        let from = client.address();
        Some((client, from))
    }
}

/// Prints which seed failed, and how to see it again.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0} failed; again: GANNET_SEED={0} cargo test -p gannet --lib schedules", self.0);
        }
    }
}

/// Runs the schedule of a seed, and gives what only the very same schedule would.
fn run(seed: u64, met: &mut Met) -> String {
    let _replay = Replay(seed);
    let mut random = Random::new(seed);
    let faults = Faults::wild(&mut random);
    let ends = Ends::default();
    let moody = random.chance(500);
    let mut mood = Random::new(random.next());
    let net = SimNet::new(random.next(), faults.clone());
    let mut setup = Setup::new()
        .limits(|limits| {
            limits.outbox_high = random.pick(&[1, 100, 4_096, 256 << 10]);
            limits.outbox_hard = 64 << 20;
            limits.mailbox = 64;
            limits.accepts_per_second = random.pick(&[0, 0, 200]);
            limits.connections_per_peer = random.pick(&[0, 0, 5]);
        })
        .timeouts(|timeouts| {
            timeouts.slow_write =
                random.pick(&[None, Some(Duration::from_millis(300)), Some(Duration::from_millis(20))]);
            timeouts.linger = Duration::from_millis(random.pick(&[1, 100]));
            timeouts.read_idle = random.pick(&[None, None, Some(Duration::from_millis(200))]);
        });
    setup.drain_timeout = Duration::from_millis(random.pick(&[0, 10, 1_000]));
    setup.drain_spread = Duration::from_millis(random.pick(&[0, 0, 30, 500]));
    let changes_its_mind = random.chance(300);
    macro_rules! echo {
        ($codec:expr) => {
            Echo { codec: $codec, ends: ends.clone(), random: Random::new(mood.next()), moody }
        };
    }
    let filtered = random.chance(300);
    let mut setup = setup.listen(echo!(|| Raw));
    if filtered {
        setup = setup.filtered(Arc::new(Sieves(AtomicU64::new(seed << 8))));
    }
    let quota = Quota::new(random.chance(300), random.pick(&[0, 0, 4]), random.pick(&[0, 0, 2]));
    let mut setup = setup.listen(echo!(Lines::new)).listen(echo!(frames)).quota(quota);
    let is_small = random.chance(200);
    if is_small {
        setup.slots = random.between(1, 16) as u32;
    }
    let outbound = setup.outbound(echo!(|| Raw));
    let answers = [Answer::Accept, Answer::Refuse, Answer::Silence];
    let remotes: [SocketAddr; 3] =
        std::array::from_fn(|index| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), index as u16));
    for (remote, answer) in remotes.iter().zip(answers) {
        net.answer(*remote, answer);
    }
    let mut rig: Rig<World> = setup.on(World { net: net.clone(), services: 3 });

    let mut peers: Vec<Peer> = Vec::new();
    let clients = random.between(1, 30);
    let mut arrived = 0;
    // Either the stop comes in the middle of everything, or when everybody has what he came for. The latter finds who
    // would wait for ever, and is for amounts that end in reasonable time.
    // Where there are few slots, some may wait behind others who stay.
    let patient = !is_small && random.chance(500);
    let longest = if patient { 16 * faults.window.min(faults.chunk_bytes) } else { usize::MAX };
    let mut stop_in = random.between(20, 1_000);
    let mut turns = 0;
    while !rig.reactor.is_done() {
        turns += 1;
        if turns == TURNS {
            let waiting = peers.iter().filter(|peer| peer.client.is_some()).map(|peer| (peer.port, peer.plan));
            panic!("it does not end; clients that wait: {:?}", waiting.collect::<Vec<_>>());
        }
        if arrived < clients && random.chance(300) {
            arrived += 1;
            let port = 1_000 + arrived as u16;
            if random.chance(100) {
                let mut to = vec![random.pick(&remotes)];
                while random.chance(400) {
                    // The one that answers is not tried twice: it would see two connections of one client.
                    to.insert(random.below(to.len() + 1), random.pick(&remotes[1..]));
                }
                let connect = crate::Connect::to_any(to.into_iter().map(crate::Address::Tcp))
                    .from(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
                    .timeout(Duration::from_millis(random.pick(&[0, 10, 50, 400, 2_000])));
                rig.remote.connect(0, outbound, &connect, Session { port, accepted: 0 }).expect("there is room");
            } else {
                let kind = random.pick(&[RAW, LINES, FRAMES]);
                let from = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 1 + random.below(3) as u8).into(), port);
                let client = net.connect(kind, from);
                peers.push(Peer::new(&mut random, port, kind, client, longest));
            }
        }
        if let Some((client, from)) = rig.net.accept(remotes[0]) {
            peers.push(Peer::new(&mut random, from.port(), RAW, client, longest));
        }
        for peer in &mut peers {
            peer.step(&mut random);
        }
        rig.reactor.turn(Some(Duration::from_micros(random.below(3_000) as u64))).expect("it waits");
        stop_in = stop_in.saturating_sub(1);
        *met.0.entry("waited").or_default() += u64::from(rig.remote.stats()[0].waiting > 0);
        *met.0.entry("raced").or_default() += u64::from(rig.reactor.is_racing());
        let all_served =
            || arrived == clients && peers.iter().all(|peer| peer.client.is_none() || peer.plan == Plan::Stay);
        if if patient { all_served() } else { stop_in == 0 } {
            rig.remote.stop();
        } else if changes_its_mind && !patient && random.chance(50) {
            match random.below(4) {
                // They are refused where the end is near already.
                0 => drop(rig.remote.drain(&Drain::new().delay(Duration::from_millis(random.pick(&[0, 20]))))),
                1 => drop(rig.remote.drain(&Drain::new().listener("listener 0"))),
                2 => drop(rig.remote.cancel_drain(Some("listener 0"))),
                _ => drop(rig.remote.cancel_drain(None)),
            }
        }
    }
    check(&mut rig, &mut peers, &ends.borrow(), filtered);
    met.add(&rig.remote.stats()[0]);
    *met.0.entry("clean end").or_default() += peers.iter().filter(|peer| peer.finished).count() as u64;
    format!("{turns} turns until {:?}: {:?}", rig.reactor.driver().now(), rig.remote.stats())
}

/// How often each thing happened: schedules that do not meet it prove nothing about it.
#[derive(Default)]
struct Met(BTreeMap<&'static str, u64>);

impl Met {
    fn add(&mut self, stats: &ReactorStats) {
        let mut add = |name, count| *self.0.entry(name).or_default() += count;
        add("starved", stats.starved);
        for listener in &stats.services {
            add("connected", listener.connected);
            add("accept error", listener.accept_errors);
            add("accept pause", listener.accept_pauses);
            listener.refusals().for_each(|(name, count)| add(name, count));
            // Reasons of services' own are those of other tests of this process.
            let closings = listener.closings().filter(|(name, _)| CloseReason::NAMES.contains(name));
            closings.for_each(|(name, count)| add(name, count));
        }
    }
}

/// What has to hold when everything is over.
fn check(rig: &mut Rig<World>, peers: &mut [Peer], ends: &[End], filtered: bool) {
    // Letters that came after the end are dropped with the mailbox; what was accepted meanwhile is refused.
    rig.turn();
    rig.assert_nothing_left();
    assert_eq!(rig.reactor.driver().incoming_out(), 0, "accepted connections that were neither taken nor refused");
    assert!(rig.reactor.driver().is_empty(), "connections that the driver still knows");
    for peer in peers {
        // It reads what is left.
        while peer.client.is_some() && !peer.finished {
            let (before, mut buffer) = (peer.read, [0; 4_096]);
            match peer.client.as_mut().map(|client| client.read(&mut buffer)) {
                Some(Ok(0)) => peer.finished = true,
                Some(Ok(count)) => {
                    let expected = peer.expected.get(before..before + count);
                    assert!(expected == Some(&buffer[..count]), "client {}: wrong bytes at the end", peer.port);
                    peer.read += count;
                }
                Some(Err(_)) | None => break,
            }
        }
        let mut of_this = ends.iter().filter(|end| end.port == peer.port);
        let end = of_this.next();
        assert!(of_this.next().is_none(), "client {} was closed twice", peer.port);
        let reason = end.map(|end| end.reason);
        // Behind a filter some are never heard of, and a filter that fails has said why.
        let sieved = filtered && peer.kind == RAW && (end.is_none() || reason == Some(CloseReason::Filter));
        if peer.finished && !sieved {
            let accepted = end.unwrap_or_else(|| panic!("client {} saw an end that nobody made", peer.port)).accepted;
            assert_eq!(
                peer.read, accepted,
                "bytes before the clean end of client {}, closed for {reason:?}",
                peer.port
            );
        }
        if reason == Some(CloseReason::Peer) && peer.half_closed {
            assert!(peer.finished, "client {} ended its stream and got no end for it", peer.port);
            assert_eq!(peer.read, peer.expected.len(), "bytes that client {} got before it was left", peer.port);
        }
    }
    for service in 0..=OUTBOUND {
        let stats = rig.stats(service);
        assert!(stats.messages_out >= stats.messages_in, "every message was answered");
    }
}

fn number(name: &str) -> Option<u64> {
    let given = std::env::var(name).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{name}={given}: a number is wanted")))
}

#[test]
fn whatever_the_network_does_nothing_is_lost_without_a_reason_and_nothing_is_left() {
    // The panics of the services are a part of the schedules, and not news.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(PANIC) {
            usual(info);
        }
    }));
    let mut met = Met::default();
    if let Some(seed) = number("GANNET_SEED") {
        run(seed, &mut met);
        return;
    }
    let seeds = number("GANNET_SEEDS").unwrap_or(SEEDS);
    (0..seeds).for_each(|seed| drop(run(seed, &mut met)));
    // What only happens to services that these schedules do not have. All else has to happen, given enough of them.
    let elsewhere = [
        "connections",
        "heartbeat_missed",
        "opening_timeout",
        "frame_too_large",
        "protocol",
        "slow",
        "input_stalled",
        "codec",
        "denied",
        "rate",
        "prefix",
        "network",
        "untrusted",
        "proxy_header",
    ];
    for (what, count) in met.0 {
        assert!(count > 0 || seeds < SEEDS || elsewhere.contains(&what), "no schedule of {seeds} met {what:?}");
    }
}

#[test]
fn a_seed_gives_the_same_schedule_every_time() {
    for seed in 0..20 {
        assert_eq!(run(seed, &mut Met::default()), run(seed, &mut Met::default()));
    }
}
