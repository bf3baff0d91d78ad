//! Single behaviours of the pool, step by step.

use std::sync::Arc;
use std::time::Duration;

use super::{Action, ConnectionId, Features, Placed, Pool, Replied, Terms};
use crate::counters::Counters;
use crate::error::{CallError, Loss};
use crate::settings::Settings;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const TERMS: Terms = Terms { timeout: SECOND, idempotent: false };
const REDIS: Features = Features { pipelines: true, pings: true, resets: true };
const HTTP: Features = Features { pipelines: false, pings: false, resets: false };

struct Rig {
    pool: Pool<u32, u32>,
    counters: Arc<Counters>,
    now: Duration,
}

impl Rig {
    fn new(features: Features, endpoints: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { min_idle: 0, ..Settings::default() };
        change(&mut settings);
        let counters = Arc::new(Counters::default());
        let pool = Pool::new(settings, features, endpoints, 11, counters.clone());
        Self { pool, counters, now: SECOND }
    }

    fn actions(&mut self) -> Vec<Action<u32, u32>> {
        std::iter::from_fn(|| self.pool.next_action()).collect()
    }

    /// The connections that the pool wants dialled, with their endpoints.
    fn dials(&mut self) -> Vec<(ConnectionId, usize)> {
        let dial = |action| match action {
            Action::Dial { connection, endpoint } => Some((connection, endpoint)),
            _ => None,
        };
        self.actions().into_iter().filter_map(dial).collect()
    }

    fn call(&mut self, caller: u32) -> Result<Placed, CallError> {
        self.call_with(caller, TERMS)
    }

    fn call_with(&mut self, caller: u32, terms: Terms) -> Result<Placed, CallError> {
        let key = self.pool.next_key();
        self.pool.call(self.now, key, caller, terms, || caller).map_err(|(_, error)| error)
    }

    /// Opens what the pool wants opened.
    fn open(&mut self) -> Vec<ConnectionId> {
        let dials = self.dials();
        for (connection, _) in &dials {
            assert!(self.pool.connected(self.now, *connection));
            self.pool.ready(self.now, *connection);
        }
        dials.into_iter().map(|(connection, _)| connection).collect()
    }

    /// One connection that is ready, with a call in flight.
    fn busy(&mut self, caller: u32) -> ConnectionId {
        assert_eq!(self.call(caller), Ok(Placed::Waiting));
        let opened = self.open();
        assert!(matches!(self.actions()[..], [Action::Send { .. }]));
        opened[0]
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.pool.tick(self.now);
    }

    fn fails(&mut self) -> Vec<(u32, CallError)> {
        let fail = |action| match action {
            Action::Fail { caller, error } => Some((caller, error)),
            _ => None,
        };
        self.actions().into_iter().filter_map(fail).collect()
    }
}

#[test]
fn calls_share_a_connection_up_to_its_depth_and_then_wait_in_order() {
    let mut rig = Rig::new(REDIS, 1, |settings| (settings.depth, settings.max) = (2, 1));
    let connection = rig.busy(1);
    assert_eq!(rig.call(2), Ok(Placed::On(connection)));
    assert_eq!(rig.call(3), Ok(Placed::Waiting));
    assert_eq!(rig.call(4), Ok(Placed::Waiting));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(1));
    assert!(matches!(rig.actions()[..], [Action::Recycle { request: 1 }, Action::Send { .. }]));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(2));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(3));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(4));
}

#[test]
fn a_request_that_timed_out_keeps_its_place_and_its_late_reply_reaches_nobody() {
    let mut rig = Rig::new(REDIS, 1, |_| ());
    let connection = rig.busy(1);
    rig.pass(MS * 900);
    assert_eq!(rig.call(2), Ok(Placed::On(connection)));
    rig.pass(MS * 100);
    assert_eq!(rig.fails(), [(1, CallError::TimedOut)]);
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::Nobody);
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(2));
    assert_eq!((rig.counters.read().late_replies, rig.counters.read().tombstones), (1, 0));
}

#[test]
fn a_reply_overdue_by_as_long_again_closes_the_connection_and_fails_what_is_behind_it() {
    let mut rig = Rig::new(REDIS, 1, |_| ());
    let connection = rig.busy(1);
    rig.pass(SECOND);
    assert_eq!(rig.fails(), [(1, CallError::TimedOut)]);
    rig.pass(MS * 500);
    assert_eq!(rig.call(2), Ok(Placed::On(connection)));
    rig.pass(MS * 499);
    assert!(rig.actions().is_empty());
    rig.pass(MS);
    let actions = rig.actions();
    assert!(
        matches!(
            actions[..],
            [
                Action::Close { loss: Loss::Stalled, .. },
                Action::Recycle { request: 1 },
                Action::Fail { caller: 2, error: CallError::Lost(Loss::Stalled) }
            ] | [
                Action::Close { loss: Loss::Stalled, .. },
                Action::Fail { caller: 2, error: CallError::Lost(Loss::Stalled) },
            ]
        ),
        "{actions:?}"
    );
}

#[test]
fn sixteen_tombstones_close_a_connection() {
    let mut rig = Rig::new(REDIS, 1, |settings| settings.breaker_failures = 100);
    rig.busy(0);
    (1..16).for_each(|caller| assert!(matches!(rig.call(caller), Ok(Placed::On(_)))));
    rig.pass(SECOND);
    let actions = rig.actions();
    assert!(actions.iter().any(|action| matches!(action, Action::Close { loss: Loss::Stalled, .. })), "{actions:?}");
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::Fail { .. })).count(), 16);
}

#[test]
fn without_pipelining_a_time_out_closes_the_connection_at_once() {
    let mut rig = Rig::new(HTTP, 1, |_| ());
    rig.busy(1);
    rig.pass(SECOND);
    let actions = rig.actions();
    assert!(
        matches!(
            actions[..],
            [Action::Fail { caller: 1, error: CallError::TimedOut }, Action::Close { loss: Loss::Stalled, .. }]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_reply_too_many_closes_the_connection() {
    let mut rig = Rig::new(REDIS, 1, |_| ());
    let connection = rig.busy(1);
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(1));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::Unexpected);
    let actions = rig.actions();
    assert!(matches!(actions.last(), Some(Action::Close { loss: Loss::Protocol, .. })), "{actions:?}");
}

#[test]
fn a_lost_call_is_tried_again_only_if_it_may_be_executed_twice() {
    let mut rig = Rig::new(REDIS, 1, |_| ());
    let connection = rig.busy(1);
    let again = Terms { idempotent: true, ..TERMS };
    assert_eq!(rig.call_with(2, again), Ok(Placed::On(connection)));
    rig.pool.closed(rig.now, connection, Loss::Peer);
    assert_eq!(rig.fails(), [(1, CallError::Lost(Loss::Peer))]);
    assert_eq!(rig.pool.waiters.len(), 1);
    // The backoff, then a connection.
    rig.pass(MS * 101);
    let opened = rig.open();
    assert!(matches!(rig.actions()[..], [Action::Send { .. }]));
    // It is lost a second time, and not tried a third time.
    rig.pool.closed(rig.now, opened[0], Loss::Peer);
    assert_eq!(rig.fails(), [(2, CallError::Lost(Loss::Peer))]);
    assert_eq!(rig.counters.read().retries, 1);
}

#[test]
fn a_retry_goes_to_another_endpoint_where_there_is_one() {
    for _ in 0..20 {
        let mut rig = Rig::new(REDIS, 2, |settings| settings.min_idle = 2);
        rig.pool.start(rig.now);
        let opened = rig.open();
        assert_eq!(opened.len(), 2);
        let Ok(Placed::On(first)) = rig.call_with(1, Terms { idempotent: true, ..TERMS }) else {
            panic!("it has room")
        };
        rig.pool.closed(rig.now, first, Loss::Peer);
        let other = if first == opened[0] { opened[1] } else { opened[0] };
        let sent = rig.actions().into_iter().find_map(|action| match action {
            Action::Send { connection, .. } => Some(connection),
            _ => None,
        });
        assert_eq!(sent, Some(other));
    }
}

#[test]
fn a_connection_that_was_idle_for_a_second_is_checked_before_a_call() {
    let mut rig = Rig::new(REDIS, 1, |_| ());
    let connection = rig.busy(1);
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(1));
    rig.actions();
    rig.pass(MS * 999);
    assert_eq!(rig.call(2), Ok(Placed::On(connection)));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(2));
    rig.pass(SECOND);
    assert_eq!(rig.call(3), Ok(Placed::Waiting));
    assert!(matches!(rig.actions()[..], [Action::Ping { .. }]));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::Nobody);
    assert!(matches!(rig.actions()[..], [Action::Send { .. }]));
}

#[test]
fn a_black_hole_is_found_by_the_check_and_the_call_goes_out_on_another_connection() {
    let mut rig = Rig::new(REDIS, 1, |settings| settings.check = MS * 100);
    let connection = rig.busy(1);
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(1));
    rig.actions();
    rig.pass(SECOND * 2);
    assert_eq!(rig.call(2), Ok(Placed::Waiting));
    assert!(matches!(rig.actions()[..], [Action::Ping { .. }]));
    rig.pass(MS * 100);
    assert!(matches!(rig.actions()[..], [Action::Close { loss: Loss::Check, .. }]));
    rig.pass(MS * 101);
    assert_eq!(rig.open().len(), 1);
    assert!(matches!(rig.actions()[..], [Action::Send { .. }]));
}

#[test]
fn failed_dials_back_off_and_the_fifth_takes_the_endpoint_out_for_five_seconds() {
    let mut rig = Rig::new(REDIS, 1, |settings| {
        (settings.waiting, settings.timeout) = (SECOND * 20, SECOND * 20);
    });
    let long = Terms { timeout: SECOND * 20, idempotent: false };
    assert_eq!(rig.call_with(1, long), Ok(Placed::Waiting));
    let mut dials = 0;
    let began = rig.now;
    while rig.counters.read().breaker_opened == 0 {
        for (connection, _) in rig.dials() {
            dials += 1;
            rig.pool.closed(rig.now, connection, Loss::Connect);
        }
        rig.pass(MS);
        assert!(rig.now < began + SECOND * 4, "five waits of at most 100, 200, 400 and 800 ms");
    }
    assert_eq!(dials, 5);
    assert_eq!(rig.fails(), [(1, CallError::Unavailable)]);
    assert_eq!(rig.call(2), Err(CallError::Unavailable));
    // One probe; its ping decides.
    rig.pass(SECOND * 5);
    let probe = rig.open();
    assert_eq!(probe.len(), 1);
    assert!(matches!(rig.actions()[..], [Action::Ping { .. }]));
    assert_eq!(rig.call(3), Err(CallError::Unavailable));
    assert_eq!(rig.pool.replied(rig.now, probe[0], None), Replied::Nobody);
    assert_eq!(rig.call(4), Ok(Placed::On(probe[0])));
}

#[test]
fn at_most_half_of_the_endpoints_are_out() {
    let mut rig = Rig::new(HTTP, 4, |_| ());
    for endpoint in 0..3 {
        (0..5).for_each(|_| rig.pool.endpoint_failed(rig.now, endpoint, None));
    }
    assert_eq!(rig.counters.read().endpoints_out, 2);
    assert!(!rig.pool.all_tripped());
    (0..5).for_each(|_| rig.pool.endpoint_failed(rig.now, 3, None));
    assert_eq!(rig.counters.read().endpoints_out, 2);
    assert_eq!(rig.call(1), Err(CallError::Unavailable));
}

#[test]
fn a_slow_endpoint_of_three_gets_few_of_the_calls() {
    let mut rig = Rig::new(REDIS, 3, |settings| (settings.min_idle, settings.max) = (3, 3));
    rig.pool.start(rig.now);
    let opened = rig.open();
    let slow = opened[0];
    let mut waiting: Vec<(Duration, ConnectionId)> = Vec::new();
    let mut counts = [0_u32; 3];
    for caller in 0..6_000 {
        rig.now += MS / 8;
        let Ok(Placed::On(connection)) = rig.call(caller) else { panic!("there is room") };
        counts[opened.iter().position(|open| *open == connection).expect("it is open")] += 1;
        waiting.push((rig.now + if connection == slow { MS * 100 } else { MS }, connection));
        waiting.sort_by_key(|(due, _)| *due);
        while waiting.first().is_some_and(|(due, _)| *due <= rig.now) {
            let (_, connection) = waiting.remove(0);
            assert!(matches!(rig.pool.replied(rig.now, connection, None), Replied::To(_)));
        }
        rig.actions();
    }
    assert!(counts[0] < 6_000 / 20, "{counts:?}");
    assert!(counts[1].abs_diff(counts[2]) < 600, "{counts:?}");
}

#[test]
fn a_lease_is_alone_on_its_connection_and_later_calls_do_not_overtake_it() {
    let mut rig = Rig::new(REDIS, 1, |settings| settings.max = 1);
    let connection = rig.busy(1);
    assert_eq!(rig.pool.lease(rig.now, 2_000, 2, "transaction"), Ok(()));
    assert_eq!(rig.call(3), Ok(Placed::Waiting));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(1));
    assert!(matches!(rig.actions()[..], [Action::Recycle { .. }, Action::Grant { caller: 2, .. }]));
    let key = rig.pool.next_key();
    assert_eq!(rig.pool.call_leased(rig.now, connection, key, 4, SECOND), Ok(()));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(4));
    rig.pool.release(rig.now, connection);
    assert!(matches!(rig.actions()[..], [Action::Reset { .. }]));
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::Nobody);
    assert!(matches!(rig.actions()[..], [Action::Send { .. }]));
}

#[test]
fn a_lease_that_is_dropped_in_the_middle_of_a_request_is_reset_or_closed() {
    for features in [REDIS, Features { resets: false, ..REDIS }] {
        let mut rig = Rig::new(features, 1, |settings| settings.min_idle = 1);
        rig.pool.start(rig.now);
        let connection = rig.open()[0];
        rig.pool.lease(rig.now, 1_000, 1, "transaction").expect("it may wait");
        assert!(matches!(rig.actions()[0], Action::Grant { .. }));
        let key = rig.pool.next_key();
        rig.pool.call_leased(rig.now, connection, key, 2, SECOND).expect("it is leased");
        rig.pool.release(rig.now, connection);
        let actions = rig.actions();
        if features.resets {
            assert!(actions.iter().any(|action| matches!(action, Action::Reset { .. })), "{actions:?}");
            // The reply to the request, and that to the reset.
            assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::Nobody);
            assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::Nobody);
            assert_eq!(rig.call(3), Ok(Placed::On(connection)));
        } else {
            assert!(
                matches!(
                    actions.iter().find(|action| matches!(action, Action::Close { .. })),
                    Some(Action::Close { loss: Loss::Lease, .. })
                ),
                "{actions:?}"
            );
        }
    }
}

#[test]
fn a_lease_that_is_not_given_back_is_logged_once_with_who_took_it() {
    let mut rig = Rig::new(REDIS, 1, |_| ());
    rig.pool.lease(rig.now, 1_000, 1, "report").expect("it may wait");
    rig.open();
    rig.actions();
    rig.pass(SECOND * 29);
    assert!(rig.actions().iter().all(|action| !matches!(action, Action::Leaked { .. })));
    rig.pass(SECOND);
    let leaked = |actions: Vec<Action<u32, u32>>| {
        actions.into_iter().filter(|action| matches!(action, Action::Leaked { label: "report", .. })).count()
    };
    assert_eq!(leaked(rig.actions()), 1);
    rig.pass(SECOND * 60);
    assert_eq!(leaked(rig.actions()), 0);
    assert_eq!(rig.counters.read().leaks, 1);
}

#[test]
fn a_dial_that_is_given_up_counts_until_it_has_an_end() {
    let mut rig = Rig::new(REDIS, 1, |settings| settings.max = 1);
    for comes_up in [false, true] {
        assert_eq!(rig.call(1), Ok(Placed::Waiting));
        let dials = rig.dials();
        let [(given_up, endpoint)] = dials[..] else { panic!("{dials:?}") };
        // The name has another address now.
        rig.pool.remove_endpoint(rig.now, endpoint);
        let other = rig.pool.add_endpoint();
        rig.pool.start(rig.now);
        assert_eq!((rig.dials(), rig.pool.open()), (Vec::new(), 1), "a second one while the first may come up");
        if comes_up {
            assert!(!rig.pool.connected(rig.now, given_up), "nobody wants it");
        } else {
            rig.pool.closed(rig.now, given_up, Loss::Connect);
        }
        let opened = rig.open();
        assert_eq!((opened.len(), rig.pool.open()), (1, 1));
        assert!(matches!(rig.actions()[..], [Action::Send { .. }]));
        assert_eq!(rig.pool.replied(rig.now, opened[0], None), Replied::To(1));
        rig.pool.remove_endpoint(rig.now, other);
        assert!(matches!(rig.actions()[..], [Action::Close { loss: Loss::Retired, .. }]));
        rig.pool.add_endpoint();
    }
}

#[test]
fn connections_end_after_their_life_less_a_tenth_by_chance() {
    let mut rig = Rig::new(REDIS, 1, |settings| (settings.max, settings.min_idle) = (20, 20));
    rig.pool.start(rig.now);
    assert_eq!(rig.open().len(), 20);
    let mut ended = Vec::new();
    let began = rig.now;
    while ended.len() < 20 && rig.now < began + SECOND * 1_801 {
        rig.pass(SECOND);
        for action in rig.actions() {
            match action {
                Action::Close { loss: Loss::Retired, .. } => ended.push(rig.now - began),
                Action::Ping { connection } => _ = rig.pool.replied(rig.now, connection, None),
                Action::Dial { connection, .. } => {
                    assert!(rig.pool.connected(rig.now, connection));
                    rig.pool.ready(rig.now, connection);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(ended.len(), 20);
    assert!(ended.iter().all(|age| (SECOND * 1_620..=SECOND * 1_801).contains(age)), "{ended:?}");
    assert!(ended.iter().max().zip(ended.iter().min()).is_some_and(|(last, first)| *last - *first > SECOND * 60));
}

#[test]
fn idle_connections_close_down_to_those_that_are_kept() {
    let mut rig = Rig::new(HTTP, 1, |settings| settings.min_idle = 1);
    (0..4).for_each(|caller| assert_eq!(rig.call(caller), Ok(Placed::Waiting)));
    let opened = rig.open();
    assert_eq!(opened.len(), 4);
    rig.actions();
    for connection in &opened {
        assert!(matches!(rig.pool.replied(rig.now, *connection, None), Replied::To(_)));
    }
    rig.open();
    rig.pass(SECOND * 601);
    assert_eq!(rig.pool.open(), 1);
}

#[test]
fn a_drain_fails_those_that_wait_and_lets_what_is_in_flight_finish() {
    let mut rig = Rig::new(HTTP, 1, |settings| settings.max = 1);
    let connection = rig.busy(1);
    assert_eq!(rig.call(2), Ok(Placed::Waiting));
    rig.pool.drain(rig.now);
    assert_eq!(rig.fails(), [(2, CallError::Closing)]);
    assert_eq!(rig.call(3), Err(CallError::Closing));
    assert_eq!(rig.pool.open(), 1);
    assert_eq!(rig.pool.replied(rig.now, connection, None), Replied::To(1));
    assert_eq!(rig.pool.open(), 0);
}

#[test]
fn an_endpoint_that_is_taken_off_the_list_finishes_what_it_has() {
    let mut rig = Rig::new(REDIS, 2, |settings| settings.min_idle = 2);
    rig.pool.start(rig.now);
    rig.open();
    let Ok(Placed::On(busy)) = rig.call(1) else { panic!("there is room") };
    let endpoint = rig.pool.slots[busy.slot as usize].endpoint;
    rig.pool.remove_endpoint(rig.now, endpoint);
    // What is dialled now goes to the other one.
    assert!(rig.dials().iter().all(|(_, of)| *of != endpoint));
    for caller in 2..20 {
        assert!(matches!(rig.call(caller), Ok(Placed::On(connection)) if connection != busy));
    }
    assert_eq!(rig.pool.replied(rig.now, busy, None), Replied::To(1));
    assert!(
        rig.actions().iter().any(|action| matches!(action, Action::Close { connection, .. } if *connection == busy))
    );
}
