//! Publish and subscribe on a simulated network: connections break, readers are slow, everything comes in pieces and
//! late. All follows from a seed, so that what fails once fails again.
//!
//! `GANNET_SEEDS=N` runs so many instead of the usual number, `GANNET_SEED=S` runs one of them again.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use gannet::sim::{SimulatedClient, Simulation};
use gannet::{CloseReason, Limits, Timeouts};
use gannet_redis::{Options, Redis, Server};

/// What runs by default.
const SEEDS: u64 = 100;

/// Turns after which a schedule that has not ended is stuck.
const TURNS: usize = 200_000;

/// Each is described by one of the patterns.
const CHANNELS: [&str; 6] = ["a1", "a2", "b1", "b2", "b3", "c1"];
const PATTERNS: [&str; 3] = ["a*", "b[12]", "c?"];

/// What a client does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// In so many of a thousand turns.
    Often(usize),
    /// Never again, once it has subscribed.
    Never,
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// When all is over.
    AtTheEnd,
    /// By a reset, when it has read so many messages.
    Reset(usize),
    /// It takes its subscriptions back, when it has read so many messages.
    Unsubscribe(usize),
}

/// A client with what it still has to send and what it has read of the next reply.
struct Client {
    connection: Option<SimulatedClient>,
    to_send: Vec<u8>,
    came: Vec<u8>,
    /// Bytes that came, in all.
    read: usize,
    reading: Reading,
}

impl Client {
    fn new(connection: SimulatedClient, resp3: bool, reading: Reading) -> Self {
        let mut client = Self { connection: Some(connection), to_send: Vec::new(), came: Vec::new(), read: 0, reading };
        if resp3 {
            client.ask("HELLO 3");
        }
        client
    }

    fn ask(&mut self, line: &str) {
        self.to_send.extend_from_slice(line.as_bytes());
        self.to_send.extend_from_slice(b"\r\n");
    }

    /// Writes and reads a little; gives the values that are complete.
    fn step(&mut self, simulation: &mut Simulation) -> Vec<Value> {
        let Some(connection) = &mut self.connection else { return Vec::new() };
        let mut broken = false;
        if !self.to_send.is_empty() {
            let piece = 1 + simulation.below(self.to_send.len());
            match connection.write(&self.to_send[..piece]) {
                Ok(count) => drop(self.to_send.drain(..count)),
                Err(error) => broken = error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        let reads = match self.reading {
            Reading::Often(often) => simulation.below(1_000) < often,
            Reading::Never => false,
        };
        if reads || broken {
            let mut buffer = [0; 4_096];
            match connection.read(&mut buffer) {
                Ok(0) => broken = true,
                Ok(count) => {
                    broken = false;
                    self.read += count;
                    self.came.extend_from_slice(&buffer[..count]);
                }
                Err(error) => broken = broken || error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        if broken {
            self.connection = None;
        }
        let (mut values, mut at) = (Vec::new(), 0);
        while let Some((value, length)) = Value::read(&self.came[at..]) {
            values.push(value);
            at += length;
        }
        self.came.drain(..at);
        values
    }
}

/// A reply, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(i64),
    Nothing,
    Several(Vec<Value>),
}

impl Value {
    /// The first value, and how many bytes it has. What is no reply fails the test.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[1..end]).expect("a line is text");
        let (mut at, number) = (end + 2, || line.parse::<i64>().expect("a number"));
        let several = |count: i64, mut at: usize| {
            let mut values = Vec::new();
            for _ in 0..count {
                let (value, length) = Self::read(&bytes[at..])?;
                values.push(value);
                at += length;
            }
            Some((Self::Several(values), at))
        };
        match bytes[0] {
            b'+' => Some((Self::Text(line.to_owned()), at)),
            b':' => Some((Self::Number(number()), at)),
            b'_' => Some((Self::Nothing, at)),
            b'$' if line == "-1" => Some((Self::Nothing, at)),
            b'$' => {
                let text = bytes.get(at..at + number() as usize + 2)?;
                at += text.len();
                Some((Self::Text(String::from_utf8_lossy(&text[..text.len() - 2]).into_owned()), at))
            }
            b'*' | b'>' => several(number(), at),
            b'%' => several(2 * number(), at),
            other => panic!("{:?} is no reply: {line}", char::from(other)),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }
}

struct Subscriber {
    client: Client,
    channels: Vec<&'static str>,
    patterns: Vec<&'static str>,
    leaving: Leaving,
    /// Confirmations that came.
    confirmed: usize,
    /// It has begun to leave, or its end came.
    left: bool,
    /// Messages by why they came (a channel or pattern), where they were published and by whom: their numbers.
    got: BTreeMap<(String, String, usize), Vec<usize>>,
    messages: usize,
}

impl Subscriber {
    fn new(simulation: &mut Simulation, reactor: usize) -> Self {
        let reading = match simulation.below(8) {
            0 => Reading::Never,
            1 => Reading::Often(30),
            _ => Reading::Often(700),
        };
        let leaving = match simulation.below(4) {
            0 => Leaving::Reset(simulation.below(60)),
            1 => Leaving::Unsubscribe(simulation.below(60)),
            _ => Leaving::AtTheEnd,
        };
        let resp3 = simulation.below(2) == 0;
        let mut client = Client::new(simulation.connect(reactor), resp3, reading);
        let mut some = |of: &[&'static str]| -> Vec<&'static str> {
            of.iter().copied().filter(|_| simulation.below(2) == 0).collect()
        };
        let (channels, patterns) = (some(&CHANNELS), some(&PATTERNS));
        channels.iter().for_each(|name| client.ask(&format!("SUBSCRIBE {name}")));
        patterns.iter().for_each(|name| client.ask(&format!("PSUBSCRIBE {name}")));
        let (confirmed, left, got, messages) = Default::default();
        Self { client, channels, patterns, leaving, confirmed, left, got, messages }
    }

    /// Whether every message from now on has to come.
    fn is_there(&self) -> bool {
        self.confirmed == self.channels.len() + self.patterns.len() && !self.left
    }

    fn step(&mut self, simulation: &mut Simulation) {
        for value in self.client.step(simulation) {
            let Value::Several(values) = value else { panic!("{value:?} comes to a subscriber") };
            match values[0].text() {
                "subscribe" | "psubscribe" => self.confirmed += 1,
                "unsubscribe" | "punsubscribe" | "server" => {}
                "message" => self.take(values[1].text(), values[1].text(), values[2].text()),
                "pmessage" => self.take(values[1].text(), values[2].text(), values[3].text()),
                other => panic!("{other} comes to a subscriber"),
            }
        }
        self.left |= self.client.connection.is_none();
        match self.leaving {
            Leaving::Reset(after) if self.messages > after => {
                self.left = true;
                if let Some(connection) = self.client.connection.take() {
                    connection.reset();
                }
            }
            Leaving::Unsubscribe(after) if self.messages > after && !self.left => {
                self.left = true;
                for name in self.channels.clone() {
                    self.client.ask(&format!("UNSUBSCRIBE {name}"));
                }
                for name in self.patterns.clone() {
                    self.client.ask(&format!("PUNSUBSCRIBE {name}"));
                }
            }
            _ => {}
        }
    }

    fn take(&mut self, why: &str, channel: &str, text: &str) {
        assert!(self.channels.contains(&why) || self.patterns.contains(&why), "{why} was not asked for");
        let (publisher, number) = text.split_once(':').expect("who and which");
        let key = (why.to_owned(), channel.to_owned(), publisher.parse().expect("a number"));
        let number = number.trim_end_matches('x').parse().expect("a number");
        let before = self.got.entry(key).or_default();
        assert!(before.last().is_none_or(|last| *last < number), "{number} after {before:?}");
        before.push(number);
        self.messages += 1;
    }
}

struct Publisher {
    client: Client,
    /// Messages that are still to be published.
    left: usize,
    replies: usize,
    /// What was published: the channel, and which subscribers have to get it if they stay.
    published: Vec<(&'static str, Vec<usize>)>,
    size: usize,
}

/// How often each thing happened: schedules that do not meet it prove nothing about it.
#[derive(Default)]
struct Met(BTreeMap<&'static str, u64>);

impl Met {
    fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }
}

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {0} failed; again: GANNET_SEED={0} cargo test -p gannet-redis --test server simulated -- --nocapture",
                self.0
            );
        }
    }
}

/// Runs the schedule of a seed, and gives what only the very same schedule would.
fn run(seed: u64, met: &mut Met) -> String {
    let _replay = Replay(seed);
    let mut limits = Limits::default();
    limits.outbox_high = 4 << 10;
    limits.outbox_hard = 32 << 10;
    limits.mailbox = 64;
    let server = Server::new(Options::default());
    let reactors = 1 + (seed % 3) as u16;
    let mut timeouts = Timeouts::default();
    timeouts.slow_write = None;
    timeouts.linger = Duration::from_millis(50);
    let mut simulation = Simulation::new(seed, reactors, &limits, timeouts, || Redis::new(server.clone()));
    let reactors = usize::from(reactors);

    let some = 2 + simulation.below(8);
    let mut subscribers: Vec<Subscriber> =
        (0..some).map(|number| Subscriber::new(&mut simulation, number % reactors)).collect();
    let mut publishers: Vec<Publisher> = (0..1 + simulation.below(3))
        .map(|number| Publisher {
            client: Client::new(simulation.connect(number % reactors), false, Reading::Often(1_000)),
            left: 20 + simulation.below(200),
            replies: 0,
            published: Vec::new(),
            size: [1, 50, 600][simulation.below(3)],
        })
        .collect();

    let mut turns = 0;
    let mut quiet = 0;
    // Until everything was published, and everybody who reads has had time to read it all.
    while quiet < 1_000 {
        turns += 1;
        assert!(turns < TURNS, "it does not end");
        simulation.turn();
        let before: usize = subscribers.iter().map(|subscriber| subscriber.client.read).sum();
        for subscriber in &mut subscribers {
            subscriber.step(&mut simulation);
        }
        for (index, publisher) in publishers.iter_mut().enumerate() {
            for value in publisher.client.step(&mut simulation) {
                let Value::Number(receivers) = value else { panic!("{value:?} comes to a publisher") };
                assert!((0..=2 * some as i64).contains(&receivers));
                publisher.replies += 1;
            }
            // A few at a time, each after those that it depends on were confirmed.
            if publisher.client.to_send.is_empty() && publisher.left > 0 && publisher.client.connection.is_some() {
                publisher.left -= 1;
                let channel = CHANNELS[simulation.below(CHANNELS.len())];
                let there = (0..subscribers.len()).filter(|at| subscribers[*at].is_there()).collect();
                let (number, padding) = (publisher.published.len(), "x".repeat(publisher.size));
                publisher.client.ask(&format!("PUBLISH {channel} {index}:{number}{padding}"));
                publisher.published.push((channel, there));
            }
        }
        let after: usize = subscribers.iter().map(|subscriber| subscriber.client.read).sum();
        let busy = publishers.iter().any(|publisher| {
            publisher.client.connection.is_some()
                && (publisher.left > 0 || publisher.replies < publisher.published.len())
        });
        quiet = if busy || before != after { 0 } else { quiet + 1 };
    }
    check(&subscribers, &publishers, met);
    let slow: u64 = closed(&simulation, CloseReason::Slow);
    met.add("closed as slow", slow);

    // All go, one way or another; then nobody is left in the registry.
    for subscriber in &mut subscribers {
        let connection = subscriber.client.connection.take();
        match (connection, simulation.below(2)) {
            (Some(connection), 0) => connection.reset(),
            (connection, _) => drop(connection),
        }
    }
    drop(publishers);
    let mut client = None;
    let mut answers: Vec<Value> = Vec::new();
    turns = 0;
    while answers != [Value::Several(Vec::new()), Value::Number(0)] {
        turns += 1;
        assert!(turns < TURNS, "somebody is left: {answers:?}");
        let asking = client.get_or_insert_with(|| Client::new(simulation.connect(0), false, Reading::Often(1_000)));
        if answers.len().is_multiple_of(2) && asking.to_send.is_empty() {
            answers.clear();
            asking.ask("PUBSUB CHANNELS\r\nPUBSUB NUMPAT");
        }
        simulation.turn();
        answers.extend(asking.step(&mut simulation));
        if asking.connection.is_none() {
            // It was not accepted, or broke.
            (client, answers) = (None, Vec::new());
        }
    }
    drop(client);
    let remote = simulation.remote();
    remote.stop();
    for _ in 0..TURNS {
        if simulation.is_done() {
            break;
        }
        simulation.turn();
    }
    assert!(simulation.is_done(), "it does not stop");
    simulation.assert_nothing_left();
    format!("{turns} {:?}", remote.stats())
}

fn closed(simulation: &Simulation, reason: CloseReason) -> u64 {
    let stats = simulation.remote().stats();
    stats.iter().flat_map(|reactor| &reactor.services).map(|listener| listener.closed(reason)).sum()
}

/// Whoever was there before a message was published, and stayed, has got it.
fn check(subscribers: &[Subscriber], publishers: &[Publisher], met: &mut Met) {
    for (at, subscriber) in subscribers.iter().enumerate() {
        met.add("messages", subscriber.messages as u64);
        met.add("left", u64::from(subscriber.left));
        if subscriber.left || subscriber.client.reading == Reading::Never {
            continue;
        }
        met.add("stayed", 1);
        for (index, publisher) in publishers.iter().enumerate() {
            // What a publisher that broke has sent last may not have come.
            for (number, (channel, there)) in publisher.published.iter().enumerate().take(publisher.replies) {
                if !there.contains(&at) {
                    continue;
                }
                let patterns = subscriber.patterns.iter().filter(|pattern| fits(pattern, channel));
                for why in subscriber.channels.iter().filter(|name| *name == channel).chain(patterns) {
                    let got = subscriber.got.get(&((*why).to_owned(), (*channel).to_owned(), index));
                    let got = got.is_some_and(|numbers| numbers.binary_search(&number).is_ok());
                    assert!(got, "{at} misses {number} of {index} on {channel} for {why}");
                    met.add("had to come", 1);
                }
            }
        }
    }
}

/// What the patterns here describe.
fn fits(pattern: &str, channel: &str) -> bool {
    pattern.as_bytes()[0] == channel.as_bytes()[0] && (pattern != "b[12]" || channel != "b3")
}

fn number(name: &str) -> Option<u64> {
    let given = std::env::var(name).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("{name}={given}: a number is wanted")))
}

#[test]
fn whatever_the_network_does_those_who_stay_get_every_message_and_those_who_go_are_forgotten() {
    let mut met = Met::default();
    if let Some(seed) = number("GANNET_SEED") {
        println!("{}", run(seed, &mut met));
        return;
    }
    let seeds = number("GANNET_SEEDS").unwrap_or(SEEDS);
    (0..seeds).for_each(|seed| drop(run(seed, &mut met)));
    for what in ["messages", "left", "stayed", "had to come", "closed as slow"] {
        assert!(met.0.get(what).is_some_and(|count| *count > 0), "no schedule of {seeds} met {what:?}");
    }
}

#[test]
fn a_seed_gives_the_same_schedule_every_time() {
    for seed in 0..5 {
        assert_eq!(run(seed, &mut Met::default()), run(seed, &mut Met::default()), "seed {seed}");
    }
}

/// All that comes on a connection that is sent this, up to its end; nothing where the network broke it.
fn all_that_comes(simulation: &mut Simulation, mut connection: SimulatedClient, sent: &[u8]) -> Option<String> {
    let (mut came, mut left) = (Vec::new(), sent);
    for _ in 0..TURNS {
        simulation.turn();
        if !left.is_empty() {
            left = &left[connection.write(left).unwrap_or(0)..];
        }
        let mut buffer = [0; 4_096];
        match connection.read(&mut buffer) {
            Ok(0) => return Some(String::from_utf8(came).expect("text")),
            Ok(count) => came.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    panic!("no end, after {:?}", String::from_utf8_lossy(&came));
}

#[test]
fn clients_of_other_machines_are_told_why_they_are_refused_as_long_as_there_is_no_password() {
    let elsewhere = "192.0.2.1".parse().expect("an address");
    let here = "127.0.0.1".parse().expect("an address");
    for seed in 0..20 {
        let start = |options: Options| {
            let server = Server::new(options);
            Simulation::new(seed, 1, &Limits::default(), Timeouts::default(), move || Redis::new(server.clone()))
        };
        let ask = |simulation: &mut Simulation, from, sent: &str| {
            let mut ask = || {
                let connection = simulation.connect_from(0, from);
                all_that_comes(simulation, connection, sent.as_bytes())
            };
            (0..100).find_map(|_| ask()).expect("one of so many connections is not broken")
        };
        let mut simulation = start(Options::default());
        let told = ask(&mut simulation, elsewhere, "");
        assert!(told.starts_with("-DENIED Redis is running in protected mode because "), "{told}");
        assert!(told.ends_with("from its own machine.\r\n"), "{told}");
        let told = ask(&mut simulation, here, "CONFIG SET protected-mode no\r\nQUIT\r\n");
        assert_eq!(told, "+OK\r\n+OK\r\n");
        assert_eq!(ask(&mut simulation, elsewhere, "PING\r\nQUIT\r\n"), "+PONG\r\n+OK\r\n");

        let mut options = Options::default();
        options.password = Some("secret".to_owned());
        let mut simulation = start(options);
        assert_eq!(ask(&mut simulation, elsewhere, "AUTH secret\r\nQUIT\r\n"), "+OK\r\n+OK\r\n");
    }
}
