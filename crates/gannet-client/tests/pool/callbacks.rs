//! Calls from the callbacks of a service, and from a pool's handler.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gannet::proto::Lines;
use gannet::proto::resp::Value;
use gannet::{Address, Context, Engine, Notice, Service};
use gannet_client::{Answered, CallError, Handler, Leased, OwnedValue, Pool, PoolContext, PoolLease, Redis, Settings};
use gannet_testing::drivers;

use crate::server::{Act, Server, echo};

/// Answers each line with what Redis has under it.
struct Lookup {
    redis: Pool<Redis>,
}

impl Service for Lookup {
    type Codec = Lines;
    type Session = u64;

    fn message(&mut self, calls: &mut u64, line: &[u8], cx: &mut Context<'_, Self>) {
        *calls += 1;
        if let Err(error) = self.redis.call_from(cx, &[b"GET", line], *calls) {
            cx.send(&[error.to_string().as_bytes()]);
        }
    }
}

impl Notice<Answered<Redis>> for Lookup {
    fn notice(&mut self, _: &mut u64, answered: Answered<Redis>, cx: &mut Context<'_, Self>) {
        let answer = answered.take(cx).expect("a notice has its answer");
        match answer.result {
            Ok(OwnedValue::Bulk(value)) => cx.send(&[answer.tag.to_string().as_bytes(), b" ", &value]),
            Ok(other) => panic!("{other:?}"),
            Err(error) => cx.send(&[answer.tag.to_string().as_bytes(), b" failed: ", error.to_string().as_bytes()]),
        };
    }
}

fn read_lines(stream: TcpStream, count: usize) -> Vec<String> {
    BufReader::new(stream).lines().take(count).map(|line| line.expect("a line")).collect()
}

#[test]
fn each_session_gets_the_answers_to_its_own_calls() {
    for driver in drivers() {
        let server = Server::start(echo);
        let mut engine = Engine::new().driver(driver).reactors(2);
        let redis = Pool::builder(Redis::new()).endpoint(server.url()).attach(&mut engine).expect("a pool");
        let for_service = redis.clone();
        let engine =
            engine.listen("tcp://127.0.0.1:0", move || Lookup { redis: for_service.clone() }).expect("it listens");
        let running = engine.start().expect("it starts");
        let Some(Address::Tcp(at)) = running.addresses().next().cloned() else { panic!("it listens") };
        redis.warm(Duration::from_secs(60)).expect("it answers");
        std::thread::scope(|scope| {
            for client in 0..10 {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(at).expect("it accepts");
                    for call in 1..=20 {
                        writeln!(stream, "{client}-{call}").expect("it reads");
                    }
                    let expected: Vec<String> = (1..=20).map(|call| format!("{call} {client}-{call}")).collect();
                    let mut lines = read_lines(stream, 20);
                    // Two connections may answer in any order.
                    lines.sort_by_key(|line| line.split(' ').next().and_then(|tag| tag.parse::<u32>().ok()));
                    assert_eq!(lines, expected);
                });
            }
        });
        assert_eq!(redis.stats().replies, 200);
        drop(running);
    }
}

#[test]
fn a_session_learns_that_its_call_timed_out() {
    for driver in drivers() {
        let server = Server::start(|words| if words[0] == b"PING" { echo(words) } else { Act::Silence });
        let mut settings = Settings::default();
        settings.timeout = Duration::from_millis(50);
        let mut engine = Engine::new().driver(driver).reactors(1);
        let builder = Pool::builder(Redis::new()).endpoint(server.url()).settings(settings);
        let redis = builder.attach(&mut engine).expect("a pool");
        let engine = engine.listen("tcp://127.0.0.1:0", move || Lookup { redis: redis.clone() }).expect("it listens");
        let running = engine.start().expect("it starts");
        let Some(Address::Tcp(at)) = running.addresses().next().cloned() else { panic!("it listens") };
        let mut stream = TcpStream::connect(at).expect("it accepts");
        writeln!(stream, "key").expect("it reads");
        let lines = read_lines(stream, 1);
        // The first connection may not be ready yet.
        let timed_out = format!("1 failed: {}", CallError::TimedOut);
        let unsent = format!("1 failed: {}", CallError::NoConnection);
        assert!(lines[0] == timed_out || lines[0] == unsent, "{lines:?}");
        drop(running);
    }
}

/// Calls again when it was answered, until it has enough.
struct Counts {
    left: u64,
    done: Sender<Result<(), String>>,
}

impl Handler<Redis> for Counts {
    fn started(&mut self, cx: &mut PoolContext<'_, Redis>) {
        (0..16).for_each(|tag| cx.call(&[b"GET", b"key"], tag).expect("it may wait"));
    }

    fn answered(&mut self, tag: u64, result: Result<Value<'_>, CallError>, cx: &mut PoolContext<'_, Redis>) {
        if result != Ok(Value::Bulk(b"key")) {
            let _ = self.done.send(Err(format!("{tag}: {result:?}")));
        }
        self.left = self.left.saturating_sub(1);
        match self.left {
            0 => _ = self.done.send(Ok(())),
            _ => cx.call(&[b"GET", b"key"], tag).expect("there is room"),
        }
    }
}

#[test]
fn a_handler_calls_and_is_answered_without_a_session() {
    for driver in drivers() {
        let server = Server::start(echo);
        let (done, ends) = channel();
        let mut engine = Engine::new().driver(driver).reactors(1);
        let pool = Pool::builder(Redis::new())
            .endpoint(server.url())
            .attach_with(&mut engine, move || Counts { left: 500, done: done.clone() })
            .expect("a pool");
        let running = engine.start().expect("it starts");
        assert_eq!(ends.recv().expect("it ends"), Ok(()));
        assert!(pool.stats().replies >= 500);
        drop(running);
    }
}

#[test]
fn a_drain_fails_new_calls_and_lets_those_in_flight_finish() {
    for driver in drivers() {
        let server = Server::start(|words| match words {
            [_, key] if key == b"slow" => Act::Hold(crate::server::bulk(key)),
            words => echo(words),
        });
        let mut engine = Engine::new().driver(driver).reactors(1);
        let pool = Pool::builder(Redis::new()).endpoint(server.url()).attach(&mut engine).expect("a pool");
        let running = engine.start().expect("it starts");
        pool.warm(Duration::from_secs(60)).expect("it answers");
        let options = gannet_client::CallOptions::default().timeout(Duration::from_secs(60));
        let pending = pool.client().begin(&[b"GET", b"slow"], options).expect("a call");
        gannet_testing::until("the request", || server.held() == 1);
        running.remote().stop();
        gannet_testing::until("the drain", || {
            pool.stats().connections().any(|(state, count)| state == "retiring" && count == 1)
        });
        assert_eq!(pool.client().call(&[b"GET", b"key"]), Err(CallError::Closing));
        server.release();
        assert_eq!(pending.wait(), Ok(OwnedValue::Bulk(b"slow".to_vec())));
        running.join().expect("it ends");
    }
}

/// A server of transactions, which counts commands outside of one.
fn transactions() -> Server {
    Server::start(|words| match words {
        [command] if command == b"MULTI" => Act::Reply(b"+OK\r\n".to_vec()),
        [command] if command == b"EXEC" => Act::Reply(b"*1\r\n:1\r\n".to_vec()),
        [command] if command == b"RESET" => Act::Reply(b"+RESET\r\n".to_vec()),
        [command, ..] if command == b"INCR" => Act::Reply(b"+QUEUED\r\n".to_vec()),
        words => echo(words),
    })
}

/// Executes a transaction for each line, on a connection that the session has alone.
struct Transactions {
    redis: Pool<Redis>,
}

impl Service for Transactions {
    type Codec = Lines;
    type Session = Option<PoolLease<Redis>>;

    fn message(&mut self, _: &mut Self::Session, _: &[u8], cx: &mut Context<'_, Self>) {
        self.redis.lease_from(cx, "transaction", 7).expect("it may wait");
    }
}

impl Notice<Leased<Redis>> for Transactions {
    fn notice(&mut self, held: &mut Self::Session, leased: Leased<Redis>, cx: &mut Context<'_, Self>) {
        assert_eq!(leased.tag, 7);
        let lease = held.insert(leased.result.expect("a connection becomes free"));
        for (tag, request) in [&[&b"MULTI"[..]][..], &[b"INCR", b"n"], &[b"EXEC"]].into_iter().enumerate() {
            lease.call_from(cx, request, tag as u64).expect("it is leased");
        }
    }
}

impl Notice<Answered<Redis>> for Transactions {
    fn notice(&mut self, held: &mut Self::Session, answered: Answered<Redis>, cx: &mut Context<'_, Self>) {
        let answer = answered.take(cx).expect("a notice has its answer");
        if answer.tag == 2 {
            assert_eq!(answer.result, Ok(OwnedValue::Array(vec![OwnedValue::Integer(1)])));
            *held = None;
            cx.send(&[b"done"]);
        }
    }
}

#[test]
fn sessions_of_a_service_lease_one_connection_one_after_the_other() {
    for driver in drivers() {
        let server = transactions();
        let mut settings = Settings::default();
        (settings.max, settings.waiting, settings.timeout) = (1, Duration::from_secs(60), Duration::from_secs(60));
        let mut engine = Engine::new().driver(driver).reactors(1);
        let builder = Pool::builder(Redis::new()).endpoint(server.url()).settings(settings);
        let redis = builder.attach(&mut engine).expect("a pool");
        let of_service = redis.clone();
        let engine = engine.listen("tcp://127.0.0.1:0", move || Transactions { redis: of_service.clone() });
        let running = engine.expect("it listens").start().expect("it starts");
        let Some(Address::Tcp(at)) = running.addresses().next().cloned() else { panic!("it listens") };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    let mut stream = BufReader::new(TcpStream::connect(at).expect("it accepts"));
                    for _ in 0..5 {
                        writeln!(stream.get_ref(), "go").expect("it reads");
                        let mut line = String::new();
                        stream.read_line(&mut line).expect("it answers");
                        assert_eq!(line, "done\n");
                    }
                });
            }
        });
        // One whose session ends gives its connection back, also if it was granted on the way.
        let mut gone = TcpStream::connect(at).expect("it accepts");
        writeln!(gone, "go").expect("it reads");
        drop(gone);
        gannet_testing::until("the last lease", || redis.stats().leases == 21);
        gannet_testing::until("its end", || {
            redis.stats().connections().any(|(state, count)| state == "idle" && count == 1)
        });
        assert_eq!(server.accepted(), 1);
        drop(running);
    }
}

/// Executes transactions without a session.
struct Alone {
    held: Option<PoolLease<Redis>>,
    done: Sender<Result<OwnedValue, CallError>>,
}

impl Handler<Redis> for Alone {
    fn started(&mut self, cx: &mut PoolContext<'_, Redis>) {
        cx.lease("transaction", 1).expect("it may wait");
    }

    fn leased(&mut self, tag: u64, lease: Result<PoolLease<Redis>, CallError>, cx: &mut PoolContext<'_, Redis>) {
        assert_eq!(tag, 1);
        let lease = self.held.insert(lease.expect("a connection becomes free"));
        for (tag, request) in [&[&b"MULTI"[..]][..], &[b"INCR", b"n"], &[b"EXEC"]].into_iter().enumerate() {
            cx.call_leased(lease, request, tag as u64).expect("it is leased");
        }
    }

    fn answered(&mut self, tag: u64, result: Result<Value<'_>, CallError>, _: &mut PoolContext<'_, Redis>) {
        if tag == 2 {
            self.held = None;
            let _ = self.done.send(result.map(OwnedValue::from));
        }
    }
}

#[test]
fn a_handler_leases_a_connection_for_a_transaction() {
    for driver in drivers() {
        let server = transactions();
        let (done, ends) = channel();
        let mut engine = Engine::new().driver(driver).reactors(1);
        let pool = Pool::builder(Redis::new())
            .endpoint(server.url())
            .attach_with(&mut engine, move || Alone { held: None, done: done.clone() })
            .expect("a pool");
        let running = engine.start().expect("it starts");
        assert_eq!(ends.recv().expect("it ends"), Ok(OwnedValue::Array(vec![OwnedValue::Integer(1)])));
        gannet_testing::until("the lease to be given back", || {
            pool.stats().connections().all(|(state, count)| state != "leased" || count == 0)
        });
        drop(running);
    }
}
