//! Servers that are late, silent, killed, and there again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gannet::{DriverChoice, Engine, Running};
use gannet_client::{CallError, CallOptions, Client, Loss, OwnedValue, Pool, Redis, Settings};
use gannet_testing::{drivers, free_ports, until};

use crate::server::{Act, Server, bulk, echo};

struct Rig {
    pool: Pool<Redis>,
    client: Client<Redis>,
    // Dropped last: it ends the engine.
    _running: Running,
}

fn rig(driver: DriverChoice, urls: &[String], change: impl FnOnce(&mut Settings)) -> Rig {
    let mut settings = Settings::default();
    settings.waiting = Duration::from_secs(60);
    change(&mut settings);
    let mut engine = Engine::new().driver(driver).reactors(1);
    let mut builder = Pool::builder(Redis::new()).settings(settings);
    for url in urls {
        builder = builder.endpoint(url);
    }
    let pool = builder.attach(&mut engine).expect("a pool");
    let running = engine.start().expect("it starts");
    pool.warm(Duration::from_secs(60)).expect("it answers");
    Rig { client: pool.client(), pool, _running: running }
}

fn value(key: &[u8]) -> Result<OwnedValue, CallError> {
    Ok(OwnedValue::Bulk(key.to_vec()))
}

/// Waits for as long as a slow machine needs.
fn patient() -> CallOptions {
    CallOptions::default().timeout(Duration::from_secs(60))
}

#[test]
fn a_late_reply_reaches_nobody_and_the_next_caller_gets_its_own() {
    // It waits for a time-out that is long enough for a busy machine: once, for all drivers.
    std::thread::scope(|scope| drivers().into_iter().for_each(|driver| _ = scope.spawn(move || late_reply(driver))));
}

fn late_reply(driver: DriverChoice) {
    let server = Server::start(|words| match words {
        // A server in order answers what comes behind the slow one after it.
        [_, key] if key == b"slow" || key == b"behind" => Act::Hold(bulk(key)),
        words => echo(words),
    });
    let rig = rig(driver, &[server.url()], |settings| settings.max = 1);
    let slow = CallOptions::default().timeout(Duration::from_secs(2));
    let slow = rig.client.begin(&[b"GET", b"slow"], slow).expect("a call");
    assert_eq!(slow.wait(), Err(CallError::TimedOut));
    let behind = rig.client.begin(&[b"GET", b"behind"], patient()).expect("a call");
    until("the second request", || server.held() == 2);
    server.release();
    assert_eq!(behind.wait(), value(b"behind"));
    assert_eq!(rig.pool.stats().late_replies, 1);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_killed_server_fails_what_is_in_flight_and_serves_again_when_it_is_back() {
    for driver in drivers() {
        let hold = |words: &[Vec<u8>]| if words[0] == b"PING" { echo(words) } else { Act::Hold(Vec::new()) };
        let server = Server::start_at(free_ports(1)[0], hold);
        let (url, address) = (server.url(), server.address());
        // The breaker has tests of its own.
        let rig = rig(driver, &[url], |settings| settings.breaker_failures = 1_000);
        let options = patient();
        let lost = rig.client.begin(&[b"SET", b"key", b"value"], options).expect("a call");
        let again = rig.client.begin(&[b"GET", b"again"], options.idempotent()).expect("a call");
        until("both requests", || server.held() == 2);
        drop(server);
        assert_eq!(lost.wait(), Err(CallError::Lost(Loss::Peer)));
        let server = Server::start_at(address, echo);
        assert_eq!(again.wait(), value(b"again"));
        until("the server to be used again", || rig.client.call(&[b"GET", b"key"]) == value(b"key"));
        drop(server);
    }
}

#[test]
fn a_reset_in_the_middle_of_a_reply_loses_that_call_only() {
    for driver in drivers() {
        let server = Server::start(|words| match words {
            [_, key] if key == b"cut" => Act::ReplyAndReset(b"$100\r\nonly the beg".to_vec()),
            words => echo(words),
        });
        let rig = rig(driver, &[server.url()], |_| ());
        let cut = rig.client.begin(&[b"GET", b"cut"], patient()).expect("a call");
        assert!(matches!(cut.wait(), Err(CallError::Lost(_))));
        let whole = rig.client.begin(&[b"GET", b"whole"], patient()).expect("a call");
        assert_eq!(whole.wait(), value(b"whole"));
        assert_eq!(server.accepted(), 2);
    }
}

#[test]
fn a_black_hole_times_out_and_its_connection_is_replaced() {
    for driver in drivers() {
        let pings = Arc::new(AtomicUsize::new(0));
        let counted = pings.clone();
        let server = Server::start(move |words| match words {
            [_, key] if key == b"hole" => Act::Silence,
            [command] if command == b"PING" => {
                counted.fetch_add(1, Ordering::SeqCst);
                echo(words)
            }
            words => echo(words),
        });
        let rig = rig(driver, &[server.url()], |settings| settings.max = 1);
        let hole = CallOptions::default().timeout(Duration::from_millis(50));
        let hole = rig.client.begin(&[b"GET", b"hole"], hole).expect("a call");
        assert_eq!(hole.wait(), Err(CallError::TimedOut));
        until("the end of the connection", || rig.pool.stats().losses(Loss::Stalled) == 1);
        let next = rig.client.begin(&[b"GET", b"next"], patient()).expect("a call");
        assert_eq!(next.wait(), value(b"next"));
        assert_eq!(server.accepted(), 2);
    }
}

#[test]
fn a_reply_too_many_closes_the_connection() {
    for driver in drivers() {
        let server = Server::start(|words| match words {
            [_, key] if key == b"twice" => Act::Reply([bulk(key), bulk(key)].concat()),
            words => echo(words),
        });
        let rig = rig(driver, &[server.url()], |_| ());
        let twice = rig.client.begin(&[b"GET", b"twice"], patient()).expect("a call");
        assert_eq!(twice.wait(), value(b"twice"));
        until("the end of the connection", || rig.pool.stats().losses(Loss::Protocol) == 1);
        let next = rig.client.begin(&[b"GET", b"next"], patient()).expect("a call");
        assert_eq!(next.wait(), value(b"next"));
    }
}

#[test]
fn a_server_that_is_down_is_found_out_and_calls_fail_at_once_until_it_is_back() {
    for driver in drivers() {
        let server = Server::start_at(free_ports(1)[0], echo);
        let address = server.address();
        let rig = rig(driver, &[server.url()], |settings| {
            settings.backoff = Duration::from_millis(5);
            settings.breaker_open = Duration::from_millis(100);
        });
        drop(server);
        until("the breaker", || rig.client.call(&[b"GET", b"key"]) == Err(CallError::Unavailable));
        assert!(rig.pool.stats().breaker_opened >= 1);
        let server = Server::start_at(address, echo);
        until("the probe", || rig.client.call(&[b"GET", b"key"]) == value(b"key"));
        until("no endpoint to be out", || rig.pool.stats().endpoints_out == 0);
        drop(server);
    }
}

#[test]
fn endpoints_share_the_calls_and_follow_a_new_list() {
    for driver in drivers() {
        let name = |name: &'static str| {
            move |words: &[Vec<u8>]| {
                if words[0] == b"PING" { echo(words) } else { Act::Reply(bulk(name.as_bytes())) }
            }
        };
        let (one, two) = (Server::start(name("one")), Server::start(name("two")));
        let three = Server::start(name("three"));
        let rig = rig(driver, &[one.url(), two.url()], |settings| settings.min_idle = 2);
        let mut seen = std::collections::BTreeSet::new();
        until("both endpoints", || {
            let pending = rig.client.begin(&[b"GET", b"name"], patient());
            let reply = pending.and_then(gannet_client::Pending::wait).expect("a reply");
            seen.insert(reply.as_bytes().map(<[u8]>::to_vec));
            seen.len() == 2
        });
        rig.pool.set_endpoints([gannet::Address::Tcp(three.address())]);
        until("the third endpoint", || {
            rig.client.begin(&[b"GET", b"name"], patient()).and_then(gannet_client::Pending::wait) == value(b"three")
        });
        for _ in 0..20 {
            let pending = rig.client.begin(&[b"GET", b"name"], patient());
            assert_eq!(pending.and_then(gannet_client::Pending::wait), value(b"three"));
        }
    }
}

#[test]
fn all_addresses_of_a_name_are_called_as_long_as_it_has_them() {
    for driver in drivers() {
        let name = |name: &'static str| {
            move |words: &[Vec<u8>]| {
                if words[0] == b"PING" { echo(words) } else { Act::Reply(bulk(name.as_bytes())) }
            }
        };
        let (one, two) = (Server::start(name("one")), Server::start(name("two")));
        let all = [one.address(), two.address()].map(gannet::Address::Tcp);
        let has_one = Arc::new(AtomicUsize::new(1));
        let asked = has_one.clone();
        let mut settings = Settings::default();
        (settings.resolve, settings.min_idle) = (Duration::from_millis(10), 2);
        let mut engine = Engine::new().driver(driver).reactors(1);
        let pool = Pool::builder(Redis::new())
            .endpoint("tcp://redis.internal:6379")
            .lookup(move |_| Ok(all[1 - asked.load(Ordering::SeqCst)..].to_vec()))
            .settings(settings)
            .attach(&mut engine)
            .expect("a pool");
        let running = engine.start().expect("it starts");
        let ask = || pool.client().begin(&[b"GET", b"name"], patient()).and_then(gannet_client::Pending::wait);
        until("the one", || ask() == value(b"one"));
        until("the other", || ask() == value(b"two"));
        has_one.store(0, Ordering::SeqCst);
        until("the list to be shorter", || (0..20).all(|_| ask() == value(b"two")));
        drop(running);
    }
}

#[test]
fn a_name_is_looked_up_again_and_the_new_address_is_used() {
    for driver in drivers() {
        let name = |name: &'static str| {
            move |words: &[Vec<u8>]| {
                if words[0] == b"PING" { echo(words) } else { Act::Reply(bulk(name.as_bytes())) }
            }
        };
        let (one, two) = (Server::start(name("one")), Server::start(name("two")));
        let (before, after) = (one.address(), two.address());
        let moved = Arc::new(AtomicUsize::new(0));
        let asked = moved.clone();
        let mut settings = Settings::default();
        settings.resolve = Duration::from_millis(10);
        let mut engine = Engine::new().driver(driver).reactors(1);
        let pool = Pool::builder(Redis::new())
            .endpoint("tcp://redis.internal:6379")
            .lookup(move |url| {
                assert_eq!(url, "tcp://redis.internal:6379");
                match asked.load(Ordering::SeqCst) {
                    0 => Ok(vec![gannet::Address::Tcp(before)]),
                    // The addresses that it has are kept.
                    1 => Err("the resolver is down".to_owned()),
                    _ => Ok(vec![gannet::Address::Tcp(after)]),
                }
            })
            .settings(settings)
            .attach(&mut engine)
            .expect("a pool");
        let running = engine.start().expect("it starts");
        let ask = || pool.client().begin(&[b"GET", b"name"], patient()).and_then(gannet_client::Pending::wait);
        assert_eq!(ask(), value(b"one"));
        moved.store(1, Ordering::SeqCst);
        assert_eq!(ask(), value(b"one"));
        moved.store(2, Ordering::SeqCst);
        until("the new address", || ask() == value(b"two"));
        drop(running);
    }
}
