//! Real servers, if this machine has them: stopped, killed, halted, and started again under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet::proto::http::{Method, WholeRequest};
use gannet_client::{Client, Event, Http, OwnedValue, Pool, Protocol, Redis, Settings, Subscriber};
use gannet_testing::until;

use crate::process::{Process, free_port};

/// The time for a reply where a server is to be found out that gives none.
const SHORT: Duration = Duration::from_millis(300);

/// Connects for calls that are answered, on a machine that may be busy.
fn connect(protocol: Redis, port: u16) -> Client<Redis> {
    connect_with(protocol, port, Duration::from_secs(60))
}

fn connect_with<P: Protocol>(protocol: P, port: u16, timeout: Duration) -> Client<P> {
    let mut settings = Settings::default();
    settings.timeout = timeout;
    settings.connect = Duration::from_secs(30);
    settings.backoff_max = Duration::from_millis(200);
    settings.breaker_open = Duration::from_millis(200);
    let url = format!("tcp://127.0.0.1:{port}");
    Client::start(Pool::builder(protocol).endpoint(url).settings(settings)).expect("it answers")
}

/// Calls from four threads without end while a server is stopped, killed and halted, and started again each time.
///
/// `call` gets a text of its own and says which one came back, or nothing where the call failed.
fn calls_go_on(
    start: impl Fn() -> Option<Process>,
    graceful: &str,
    call: impl Fn(&str) -> Option<String> + Sync,
    first: Process,
) {
    let (stop, good, bad) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let more = |of: &AtomicU64, what: &str, count: u64| {
        let before = of.load(Ordering::Relaxed);
        until(what, || of.load(Ordering::Relaxed) >= before + count);
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (call, stop, good, bad) = (&call, &stop, &good, &bad);
            scope.spawn(move || {
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = format!("{thread}-{number}");
                    match call(&key) {
                        Some(reply) => {
                            assert_eq!(reply, key);
                            good.fetch_add(1, Ordering::Relaxed);
                        }
                        None => _ = bad.fetch_add(1, Ordering::Relaxed),
                    }
                }
            });
        }
        // Ends the threads when something here fails, too.
        let _stop = Stop(&stop);
        more(&good, "calls", 100);
        let mut server = first;
        server.signal(graceful);
        until("the end of the server", || server.has_ended());
        more(&bad, "failures without a server", 1);
        drop(server);
        let mut server = start().expect("it was there before");
        more(&good, "calls after a stop", 100);
        server.signal_all("KILL");
        until("the end of the server", || server.has_ended());
        more(&bad, "failures without a server", 1);
        drop(server);
        let server = start().expect("it was there before");
        more(&good, "calls after a kill", 100);
        // It is there and answers nothing.
        server.signal_all("STOP");
        more(&bad, "time-outs", 8);
        server.signal_all("CONT");
        more(&good, "calls after a halt", 100);
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_redis_that_is_stopped_killed_or_halted_is_used_again_and_no_caller_gets_another_callers_value() {
    let port = free_port();
    let Some(server) = Process::redis(port) else { return };
    let protocol = Redis::new().password("secret").database(3).name("gannet");
    let redis = connect_with(protocol, port, SHORT);
    let call = |key: &str| {
        let reply = redis.call(&[b"ECHO", key.as_bytes()]).ok()?;
        Some(String::from_utf8_lossy(reply.as_bytes().unwrap_or_default()).into_owned())
    };
    calls_go_on(|| Process::redis(port), "TERM", call, server);
    // Nobody was forgotten: every call has an outcome, and nothing waits.
    let stats = redis.stats();
    let failed = stats.timed_out + stats.lost + stats.no_connection + stats.queue_full + stats.unavailable;
    assert_eq!((stats.replies + failed, stats.waiters), (stats.calls, 0), "{stats:?}");
}

#[test]
fn an_nginx_that_is_stopped_killed_or_halted_is_used_again_and_no_caller_gets_another_callers_response() {
    let port = free_port();
    let Some(server) = Process::nginx(port) else { return };
    let http = connect_with(Http::new(), port, SHORT);
    let call = |key: &str| {
        let target = format!("/?n={key}");
        let request = WholeRequest { method: Method::Get, target: &target, host: "localhost", fields: &[], body: b"" };
        let reply = http.call(request).ok()?;
        assert_eq!(reply.status, 200);
        Some(String::from_utf8_lossy(&reply.body).into_owned())
    };
    calls_go_on(|| Process::nginx(port), "QUIT", call, server);
    let stats = http.stats();
    let failed = stats.timed_out + stats.lost + stats.no_connection + stats.queue_full + stats.unavailable;
    assert_eq!((stats.replies + failed, stats.waiters), (stats.calls, 0), "{stats:?}");
}

#[test]
fn both_versions_of_the_protocol_work_with_a_real_redis_also_after_a_transaction() {
    let port = free_port();
    let Some(_server) = Process::redis(port) else { return };
    for protocol in [Redis::new(), Redis::new().resp3()] {
        let redis = connect(protocol.password("secret").database(1), port);
        redis.call(&[b"SET", b"n", b"1"]).expect("a reply");
        let lease = redis.lease("transaction").expect("a connection");
        lease.call(&[b"MULTI"]).expect("a reply");
        lease.call(&[b"INCR", b"n"]).expect("a reply");
        assert_eq!(lease.call(&[b"EXEC"]), Ok(OwnedValue::Array(vec![OwnedValue::Integer(2)])));
        lease.call(&[b"SELECT", b"5"]).expect("a reply");
        drop(lease);
        // The lease's database is not that of the calls behind it.
        assert_eq!(redis.call(&[b"GET", b"n"]), Ok(OwnedValue::Bulk(b"2".to_vec())));
    }
}

#[test]
fn subscriptions_hold_after_a_real_redis_was_killed_and_started_again() {
    let port = free_port();
    let Some(server) = Process::redis(port) else { return };
    for protocol in [Redis::new(), Redis::new().resp3()] {
        // Waits until the server answers.
        drop(connect(protocol.clone().password("secret"), port));
    }
    let mut kept = Some(server);
    for protocol in [Redis::new(), Redis::new().resp3()] {
        let protocol = protocol.password("secret");
        let (events, seen) = (Arc::new(Mutex::new(Vec::new())), AtomicU64::new(0));
        let (of_subscriber, seen) = (events.clone(), Arc::new(seen));
        let counted = seen.clone();
        let mut settings = Settings::default();
        settings.backoff_max = Duration::from_millis(200);
        settings.breaker_open = Duration::from_millis(200);
        let mut engine = gannet::Engine::new().reactors(2);
        let url = format!("tcp://127.0.0.1:{port}");
        let subscriber = Subscriber::attach(&mut engine, protocol.clone(), &url, settings, move |event| match event {
            Event::Message { channel, pattern, payload } => {
                let event = (channel.to_vec(), pattern.map(<[u8]>::to_vec), payload.to_vec());
                of_subscriber.lock().expect("no panic").push(event);
            }
            _ => _ = counted.fetch_add(1, Ordering::SeqCst),
        })
        .expect("a subscriber");
        let running = engine.start().expect("it starts");
        until("the first connection", || seen.load(Ordering::SeqCst) == 1);
        subscriber.subscribe(b"news").wait().expect("a confirmation");
        subscriber.psubscribe(b"weather.*").wait().expect("a confirmation");
        let publish = |channel: &[u8], text: &[u8]| {
            let redis = connect(protocol.clone(), port);
            assert_eq!(redis.call(&[b"PUBLISH", channel, text]), Ok(OwnedValue::Integer(1)));
        };
        publish(b"news", b"one");
        until("a message", || events.lock().expect("no panic").len() == 1);
        drop(kept.take());
        kept = Process::redis(port);
        until("the second connection", || seen.load(Ordering::SeqCst) >= 2);
        publish(b"news", b"two");
        publish(b"weather.today", b"rain");
        until("all messages", || events.lock().expect("no panic").len() == 3);
        let expected = [
            (b"news".to_vec(), None, b"one".to_vec()),
            (b"news".to_vec(), None, b"two".to_vec()),
            (b"weather.today".to_vec(), Some(b"weather.*".to_vec()), b"rain".to_vec()),
        ];
        assert_eq!(*events.lock().expect("no panic"), expected);
        drop(running);
    }
}
