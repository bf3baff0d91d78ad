//! What clients and deliveries cost: memory, allocations and, on request, time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gannet_channels::*;
use gannet_testing::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const NOW: Time = Time(1_000_000);

/// Counts what it is given, and does nothing with it.
#[derive(Default)]
struct Count(u64);

impl Sink<[u64; 2]> for Count {
    fn push(&mut self, _: ClientKey, value: &mut [u64; 2], format: u8, delivery: &Arc<Delivery>) -> Pushed {
        let wire = delivery.wire(format, |delivery| Bytes::copy_from_slice(delivery.channel().as_bytes()));
        value[1] += wire.len() as u64;
        self.0 += 1;
        Pushed::Taken
    }

    fn gap(&mut self, _: ClientKey, _: &mut [u64; 2], _: &str, _: bool) {}

    fn slow(&mut self, _: ClientKey, _: &mut [u64; 2]) {}
}

fn options(history: bool) -> Options {
    Options {
        presence: true,
        history_size: if history { 100 } else { 0 },
        history_ttl: Duration::from_secs(if history { 300 } else { 0 }),
        force_recovery: history,
        ..Options::default()
    }
}

fn space(options: Options) -> Arc<Space> {
    let settings = Settings { namespaces: vec![Namespace::new("", options)], ..Settings::default() };
    Space::new(settings, 1, 1).expect("settings that work")
}

/// Connects clients, each of a user of its own, and subscribes each to that many of as many channels.
fn fill(roster: &mut Roster<[u64; 2]>, clients: usize, channels: usize) {
    for client in 0..clients {
        let user = format!("user-{client:06}").into();
        let (key, _) = roster.connect(Connect { user, conn_info: None, format: 0, value: [0; 2] }).expect("room");
        for channel in 0..channels {
            roster.subscribe(key, &format!("channel-{channel}"), &Subscribe::default(), NOW).expect("room");
        }
    }
}

/// Bytes for each client, without the 16 of its value.
fn bytes_per_client(channels: usize) -> i64 {
    const CLIENTS: usize = 10_000;
    let space = space(options(true));
    let before = ALLOCATOR.bytes();
    let mut roster = Roster::new(&space, 0);
    fill(&mut roster, CLIENTS, channels);
    let bytes = (ALLOCATOR.bytes() - before) / CLIENTS as i64 - 16;
    println!("{bytes} bytes for a client with {channels} channels with presence");
    drop(roster);
    let left = ALLOCATOR.bytes() - before;
    assert!(left < 100_000, "{left} bytes are left when all clients are gone");
    bytes
}

/// Allocations for deliveries to so many subscribers, when everything has its size.
fn allocations_per_publication(subscribers: usize) -> u64 {
    let space = space(options(true));
    let mut roster = Roster::new(&space, 0);
    fill(&mut roster, subscribers, 1);
    let mut count = Count::default();
    let mut round = || {
        for _ in 0..200 {
            space.publish("channel-0", Publish::new(Bytes::from_static(b"x")), NOW).expect("room");
        }
        while roster.deliver(&mut count, NOW, 1 << 20).more {}
    };
    round();
    round();
    let before = ALLOCATOR.allocations();
    round();
    (ALLOCATOR.allocations() - before) / 200
}

/// Allocations for a hundred looks at how many clients are present, of so many.
fn allocations_of_presence_stats(clients: usize) -> u64 {
    let space = space(options(false));
    let mut roster = Roster::new(&space, 0);
    fill(&mut roster, clients, 1);
    let before = ALLOCATOR.allocations();
    for _ in 0..100 {
        let stats = space.presence_stats("channel-0").expect("presence");
        assert_eq!((stats.clients as usize, stats.users as usize), (clients, clients));
    }
    ALLOCATOR.allocations() - before
}

// One test: the counts are the process's.
#[test]
fn clients_take_little_memory_and_deliveries_and_presence_stats_allocate_nothing() {
    assert_eq!(allocations_of_presence_stats(100_000), 0);
    let (one, ten) = (bytes_per_client(1), bytes_per_client(10));
    assert!(one <= 240, "{one} bytes");
    assert!(ten <= 780, "{ten} bytes");
    let (few, many) = (allocations_per_publication(1), allocations_per_publication(5_000));
    println!("{few} allocations for a publication with one subscriber, {many} with 5,000");
    assert_eq!(few, many);
    assert!(many <= 3, "the publication, the delivery, and its encoded form");
}

/// Times rounds in nanoseconds: the best of some for each of two kinds, which take turns.
#[allow(clippy::disallowed_methods)]
fn best_of_rounds(rounds: [&mut dyn FnMut() -> u64; 2]) -> [f64; 2] {
    let mut best = [f64::INFINITY; 2];
    for _ in 0..30 {
        for at in 0..2 {
            let begin = std::time::Instant::now();
            let count = rounds[at]();
            best[at] = best[at].min(begin.elapsed().as_nanos() as f64 / count as f64);
        }
    }
    best
}

/// Publishes and delivers in parts of a hundred. Returns how many publications a round has.
fn publishing(history: bool, subscribers: usize, parts: u64) -> impl FnMut() -> u64 {
    let space = space(options(history));
    let mut roster = Roster::new(&space, 0);
    fill(&mut roster, subscribers, 1);
    let mut count = Count::default();
    let data = vec![b'x'; 100];
    move || {
        for _ in 0..parts {
            for _ in 0..100 {
                // Each has memory of its own, as one that came from a socket.
                space.publish("channel-0", Publish::new(Bytes::copy_from_slice(&data)), NOW).expect("room");
            }
            while roster.deliver(&mut count, NOW, 1 << 20).more {}
        }
        parts * 100
    }
}

#[test]
#[ignore = "a quiet machine: cargo test --release -p gannet-channels --test costs -- --ignored"]
fn how_long_publications_and_deliveries_take() {
    let (mut without, mut with) = (publishing(false, 1, 200), publishing(true, 1, 200));
    let [without, with] = best_of_rounds([&mut without, &mut with]);
    println!("publication to one subscriber: {without:.0} ns, with history {with:.0} ns ({:.2})", with / without);
    let space = space(options(true));
    let mut roster = Roster::new(&space, 0);
    let mut next = 0;
    let mut connecting = || {
        for _ in 0..10_000 {
            next += 1;
            let user = format!("u{next}").into();
            let (key, _) = roster.connect(Connect { user, conn_info: None, format: 0, value: [0; 2] }).expect("room");
            roster.subscribe(key, "channel-0", &Subscribe::default(), NOW).expect("room");
        }
        10_000
    };
    let mut many = publishing(true, 10_000, 1);
    let [many, connect] = best_of_rounds([&mut many, &mut connecting]);
    println!("delivery to one of 10,000 subscribers: {:.1} ns", many / 10_000.0);
    println!("connect and subscribe: {connect:.0} ns");
}
