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

/// Clients with one connection each, all of which end at once; the server refuses for `down`, then accepts. Returns when
/// each of them connected.
fn restart(down: Duration, seed: u64) -> Vec<Duration> {
    let counters = Arc::new(Counters::default());
    let settings = Settings { max: 1, ..Settings::default() };
    let connection = |pool: &mut Pool<(), ()>| -> Option<ConnectionId> {
        std::iter::from_fn(|| pool.next_action()).find_map(|action| match action {
            Action::Dial { connection, .. } => Some(connection),
            _ => None,
        })
    };
    let mut pools: Vec<Pool<(), ()>> = (0..CLIENTS)
        .map(|client| Pool::new(settings.clone(), FEATURES, 1, seed * 1_000_003 + client as u64, counters.clone()))
        .collect();
    let mut events = BinaryHeap::new();
    // They were up for a minute.
    let (began, cut) = (Duration::from_secs(1), Duration::from_secs(61));
    for (client, pool) in pools.iter_mut().enumerate() {
        pool.start(began);
        let first = connection(pool).expect("it dials");
        pool.ready(began, first);
        // Their ages differ by chance, so none is replaced here; pings of idle connections are answered.
        pool.closed(cut, first, Loss::Peer);
        events.push(Next { at: std::cmp::Reverse(pool.due().expect("it dials again")), client });
    }
    let mut connects = Vec::with_capacity(CLIENTS);
    while let Some(Next { at: std::cmp::Reverse(now), client }) = events.pop() {
        let pool = &mut pools[client];
        pool.tick(now);
        let Some(dialled) = connection(pool) else {
            events.push(Next { at: std::cmp::Reverse(pool.due().expect("it is not up")), client });
            continue;
        };
        if now < cut + down {
            pool.closed(now, dialled, Loss::Connect);
            let at = pool.due().expect("it dials again");
            events.push(Next { at: std::cmp::Reverse(at), client });
        } else {
            connects.push(now - cut);
        }
    }
    assert_eq!(connects.len(), CLIENTS);
    connects
}

/// The connects of the fullest of twenty equal times, against their mean.
fn peak(connects: &[Duration], from: Duration, to: Duration) -> f64 {
    let mut parts = [0_u32; 20];
    let width = (to - from).as_secs_f64() / 20.0;
    for at in connects {
        let part = (at.saturating_sub(from).as_secs_f64() / width) as usize;
        parts[part.min(19)] += 1;
    }
    f64::from(*parts.iter().max().expect("there are twenty")) / (connects.len() as f64 / 20.0)
}

#[test]
fn ten_thousand_clients_come_back_after_a_restart_without_a_peak() {
    for seed in 0..3 {
        println!("seed {seed}");
        let connects = restart(Duration::ZERO, seed);
        let last = *connects.iter().max().expect("there are some");
        assert!(last <= Duration::from_millis(101), "{last:?}");
        let peak = peak(&connects, Duration::ZERO, Duration::from_millis(100));
        assert!(peak <= 2.0, "{peak}");
        println!("at once: peak {peak:.2} of the mean");
    }
}

#[test]
fn ten_thousand_clients_come_back_after_a_long_outage_without_a_peak() {
    // Between a restart and two minutes, most come back early and a few at their next probe, much later.
    for (down, seed) in [(120, 5), (300, 6)] {
        let down = Duration::from_secs(down);
        let connects = restart(down, seed);
        let last = *connects.iter().max().expect("there are some");
        let peak = peak(&connects, down, last);
        println!("seed {seed}, down for {down:?}: all back after {:?}, peak {peak:.2} of the mean", last - down);
        assert!(peak <= 2.0, "{peak}");
    }
}
