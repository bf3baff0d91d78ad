//! Calls from the callbacks of a service, and from a pool's handler.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gannet::proto::Lines;
use gannet::proto::resp::Value;
use gannet::{Address, Context, Engine, Notice, Service};
use gannet_client::{Answered, CallError, Handler, OwnedValue, Pool, PoolContext, Redis, Settings};
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
        if let Err(error) = self.redis.call(cx, &[b"GET", line], *calls) {
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
