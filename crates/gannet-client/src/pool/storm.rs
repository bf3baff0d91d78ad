//! Many clients after a restart of their server: how evenly their connects come.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use super::{Action, ConnectionId, Features, Pool};
use crate::counters::Counters;
use crate::error::Loss;
use crate::settings::Settings;

const CLIENTS: usize = 10_000;
const FEATURES: Features = Features { pipelines: true, pings: true, resets: true };

/// What comes next for a client.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    /// The earliest first.
    at: std::cmp::Reverse<Duration>,
    client: usize,
}

/// Takes the connections that a pool wants opened.
fn dialled(pool: &mut Pool<(), ()>) -> Vec<ConnectionId> {
    let dial = |action| match action {
        Action::Dial { connection, .. } => Some(connection),
        _ => None,
    };
    std::iter::from_fn(|| pool.next_action()).filter_map(dial).collect()
}

/// Clients with so many connections each, all of which end at once; the server refuses for `down`, then accepts. Returns
/// when each connection was opened after that.
fn restart(down: Duration, connections: usize, seed: u64) -> Vec<Duration> {
    let counters = Arc::new(Counters::default());
    let settings = Settings { max: connections, min_idle: connections, ..Settings::default() };
    let mut pools: Vec<Pool<(), ()>> = (0..CLIENTS)
        .map(|client| Pool::new(settings.clone(), FEATURES, 1, seed * 1_000_003 + client as u64, counters.clone()))
        .collect();
    let mut events = BinaryHeap::new();
    // They were up for a minute.
    let (began, cut) = (Duration::from_secs(1), Duration::from_secs(61));
    for (client, pool) in pools.iter_mut().enumerate() {
        pool.start(began);
        let first = dialled(pool);
        assert_eq!(first.len(), connections);
        first.iter().for_each(|connection| pool.ready(began, *connection));
        // A call is in flight on one of them, so each end of that one counts for the breaker.
        let terms = super::Terms { timeout: Duration::from_secs(1), idempotent: false };
        let key = pool.next_key();
        assert!(pool.call(cut, key, (), terms, || ()).is_ok());
        first.iter().for_each(|connection| pool.closed(cut, *connection, Loss::Peer));
        events.push(Next { at: std::cmp::Reverse(pool.due().expect("it dials again")), client });
    }
    let mut connects = Vec::with_capacity(CLIENTS * connections);
    while let Some(Next { at: std::cmp::Reverse(now), client }) = events.pop() {
        let pool = &mut pools[client];
        pool.tick(now);
        loop {
            let opening = dialled(pool);
            if opening.is_empty() {
                break;
            }
            for connection in opening {
                if now < cut + down {
                    pool.closed(now, connection, Loss::Connect);
                    continue;
                }
                connects.push(now - cut);
                pool.ready(now, connection);
                // It answers the ping of a probe.
                if pool.get(connection).is_some_and(|conn| !conn.pending.is_empty()) {
                    pool.replied(now, connection, None);
                }
            }
        }
        if pool.ready_connections() < connections {
            events.push(Next { at: std::cmp::Reverse(pool.due().expect("it is not up")), client });
        }
    }
    assert_eq!(connects.len(), CLIENTS * connections);
    connects
}

/// The connects of the fullest of twenty equal parts of the time from the server's return to the last connect, against
/// their mean.
fn peak(connects: &[Duration], from: Duration) -> (Duration, f64) {
    let mut parts = [0_u32; 20];
    let last = connects.iter().max().expect("there are some").saturating_sub(from);
    for at in connects {
        let part = (at.saturating_sub(from).as_secs_f64() / last.as_secs_f64() * 20.0) as usize;
        parts[part.min(19)] += 1;
    }
    (last, f64::from(*parts.iter().max().expect("there are twenty")) / (connects.len() as f64 / 20.0))
}

fn check(down: Duration, connections: usize, seed: u64) {
    let (last, peak) = peak(&restart(down, connections, seed), down);
    // Printed where the test fails.
    println!(
        "seed {seed}, {connections} connections, down for {down:?}: all back after {last:?}, peak {peak:.2} of the mean"
    );
    assert!(peak <= 2.0, "{peak}");
}

/// `GANNET_SEED` takes the place of the seeds that a test has.
fn seed(own: u64) -> u64 {
    std::env::var("GANNET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(own)
}

#[test]
fn ten_thousand_clients_come_back_after_an_outage_of_any_length_without_a_peak() {
    for (index, down_ms) in
        [0, 30, 99, 101, 255, 500, 1_000, 1_570, 1_600, 4_000, 20_000, 300_000].into_iter().enumerate()
    {
        check(Duration::from_millis(down_ms), 1, seed(index as u64));
    }
}

#[test]
fn clients_with_several_connections_come_back_without_a_peak_too() {
    for (index, down_ms) in [0, 700, 10_000].into_iter().enumerate() {
        check(Duration::from_millis(down_ms), 8, seed(100 + index as u64));
    }
}

#[test]
#[ignore = "two minutes: cargo test -p gannet-client --release --lib thousand_outages -- --ignored"]
fn a_thousand_outages_of_lengths_by_chance_have_no_peak() {
    for index in 0..1_000 {
        let seed = seed(1_000 + index);
        // As many of each order of magnitude from 10 ms to 1,000 s.
        let exponent = gannet::Random::new(seed).below(50_000) as f64 / 10_000.0;
        check(Duration::from_secs_f64(0.01 * 10_f64.powf(exponent)), 1, seed);
    }
}
