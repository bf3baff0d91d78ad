//! A real Redis, if this machine has one: stopped, killed, and started again under load.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet_client::{Client, Event, OwnedValue, Pool, Redis, Settings, Subscriber};
use gannet_testing::until;

struct RedisServer(Child);

impl RedisServer {
    /// Nothing where it is not installed.
    fn start(port: u16) -> Option<Self> {
        let port = port.to_string();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let login = ["--requirepass", "secret", "--dir", "/tmp"];
        let mut command = Command::new("redis-server");
        match command.args(arguments).args(login).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Some(Self(child)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("not tried: redis-server is not installed");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a port").port()
}

fn connect(protocol: Redis, port: u16) -> Client<Redis> {
    let mut settings = Settings::default();
    settings.connect = Duration::from_secs(30);
    settings.backoff_max = Duration::from_millis(200);
    settings.breaker_open = Duration::from_millis(200);
    let url = format!("tcp://127.0.0.1:{port}");
    Client::start(Pool::builder(protocol).endpoint(url).settings(settings)).expect("it answers")
}

#[test]
fn a_killed_redis_is_used_again_and_no_caller_gets_another_callers_value() {
    let port = free_port();
    let Some(server) = RedisServer::start(port) else { return };
    let redis = connect(Redis::new().password("secret").database(3).name("gannet"), port);
    let (stop, good, bad) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (redis, stop, good, bad) = (redis.clone(), &stop, &good, &bad);
            scope.spawn(move || {
                for call in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let key = format!("{thread}-{call}");
                    match redis.call(&[b"ECHO", key.as_bytes()]) {
                        Ok(reply) => {
                            assert_eq!(reply, OwnedValue::Bulk(key.into_bytes()));
                            good.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => _ = bad.fetch_add(1, Ordering::Relaxed),
                    }
                }
            });
        }
        until("calls", || good.load(Ordering::Relaxed) > 100);
        drop(server);
        until("failures", || bad.load(Ordering::Relaxed) > 0);
        let server = RedisServer::start(port);
        let before = good.load(Ordering::Relaxed);
        until("calls after the restart", || good.load(Ordering::Relaxed) > before + 100);
        stop.store(true, Ordering::Relaxed);
        drop(server);
    });
}

#[test]
fn both_versions_of_the_protocol_work_with_a_real_redis_also_after_a_transaction() {
    let port = free_port();
    let Some(_server) = RedisServer::start(port) else { return };
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
    let Some(server) = RedisServer::start(port) else { return };
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
        kept = RedisServer::start(port);
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
