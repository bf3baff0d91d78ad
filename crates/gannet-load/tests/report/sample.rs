//! Results of runs that never were, for the tests.

use std::time::Duration;

use gannet_load::results::{Asked, Connections, Deliveries, Histograms, Hold, Requests, Results, Second, ServerUsage};
use hdrhistogram::Histogram;

pub const MS: u64 = 1_000_000;

pub fn times(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap();
    for value in values {
        histogram.record(value).unwrap();
    }
    histogram
}

/// A closed loop in which nothing happened.
pub fn nothing() -> Results {
    Results {
        asked: Asked {
            scenario: "echo".to_owned(),
            url: "tcp://127.0.0.1:7001".to_owned(),
            connections: 1_000,
            depth: 16,
            size: 64,
            duration: Duration::from_secs(10),
            reactors: 2,
            driver: "uring".to_owned(),
            ..Asked::default()
        },
        measured_from: Duration::from_secs(2),
        measured: Duration::from_secs(10),
        ramped: Duration::from_millis(200),
        connections: Connections::default(),
        requests: Requests::default(),
        times: Histograms::default(),
        deliveries: None,
        hold: None,
        seconds: Vec::new(),
        server: None,
        invalid: Vec::new(),
        interrupted: false,
    }
}

/// A closed loop with service times of 1 ms to 100 ms, each as often.
pub fn closed() -> Results {
    let mut results = nothing();
    results.connections.opened = 1_000;
    results.connections.up = 1_000;
    results.requests.sent = 100_000;
    results.requests.answered = 100_000;
    results.requests.in_time = 100_000;
    results.requests.bytes_out = 6_400_000;
    results.requests.bytes_in = 6_400_000;
    results.times.service_ns = times((1..=100).map(|ms| ms * MS));
    results.times.connect_ns = times([50_000, 60_000, 70_000]);
    results
}

/// An open loop at 10,000/s against a server that stood still from the fifth to the seventh second.
pub fn stalled() -> Results {
    let mut results = closed();
    results.asked.rate_per_second = Some(10_000.0);
    results.asked.ramp_per_second = Some(5_000.0);
    results.asked.warmup = Duration::from_secs(2);
    results.connections.up = 997;
    results.connections.failed = vec![("timed_out".to_owned(), 1), ("refused".to_owned(), 4)];
    results.connections.lost = vec![("reset".to_owned(), 2), ("reset".to_owned(), 1)];
    results.requests.unanswered = 12;
    results.requests.errors = vec![("lost_with_connection".to_owned(), 7)];
    let quick = |i: u64| 60_000 + i * 7_919 % 90_000;
    results.times.service_ns = times((0..100_000).map(|i| quick(i) + i % 1_000 / 999 * 2_000 * MS));
    results.times.response_ns = times((0..100_000).map(|i| match i {
        0..20_000 => 2_000 * MS - i * 100_000 + quick(i),
        _ => quick(i),
    }));
    results.times.late_ns = times((0..100_000).map(|i| 500 + i % 20_000));
    results.seconds = (1..=12)
        .map(|i| {
            let stands = (6..=7).contains(&i);
            let catches_up = i == 8;
            Second {
                at: Duration::from_secs(i),
                lasted: Duration::from_secs(1),
                connections: if i < 9 { 1_000 } else { 997 },
                answered: match i {
                    _ if stands => 0,
                    _ if catches_up => 30_000,
                    _ => 10_000 - i * 13,
                },
                errors: if i == 9 { 7 } else { 0 },
                classes: [0; 4],
                p50_ns: if catches_up { 700 * MS } else { 100_000 + i * 900 },
                p99_ns: if catches_up { 1_980 * MS } else { 150_000 + i * 5_000 },
                max_ns: if catches_up { 2_000 * MS } else { 900_000 + i * 40_000 },
            }
        })
        .collect();
    results.asked.hold = Duration::from_secs(3);
    results.hold = Some(Hold { lasted: Duration::from_secs(3), up: 996, lost: 1 });
    results.server = Some(ServerUsage { cpu: Duration::from_millis(4_200), resident_bytes: 117_440_512 });
    results
}

/// The same, of a scenario whose answers have statuses.
pub fn statuses() -> Results {
    let mut results = stalled();
    results.asked.scenario = "http".to_owned();
    results.connections.reopened = 1_234;
    results.times.upgrade_ns = times([80_000, 90_000]);
    results.times.handshake_ns = times([700_000, 900_000, 200_000]);
    results.connections.resumed = 1;
    results.connections.failed = vec![("tls".to_owned(), 2)];
    results.connections.first_failure = Some("the server's certificate has expired".to_owned());
    results.requests.statuses = vec![(200, 99_000), (204, 990), (404, 9), (503, 1)];
    for second in &mut results.seconds {
        second.classes = [second.answered, 0, 2, 1];
    }
    results
}

/// An open loop of publications, of which some came twice, and others never.
pub fn pushed() -> Results {
    let mut results = stalled();
    results.asked.scenario = "push".to_owned();
    results.connections.reopened = 21;
    results.times.ready_ns = times([30 * MS, 40 * MS]);
    results.times.publish_ns = times([MS, 3 * MS]);
    results.deliveries = Some(Deliveries {
        subscriptions: 2_000,
        expected: 50_000,
        received: 49_990,
        measured: 40_000,
        recovered: 70,
        others: 5,
        gaps: 6,
        duplicates: 3,
        misplaced: 1,
        missing: 4,
        recoveries: 20,
        not_recovered: 1,
        cuts: 20,
    });
    results
}
