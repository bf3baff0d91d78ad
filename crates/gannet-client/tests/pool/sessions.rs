//! Calls and leases of sequential sessions.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gannet::proto::Lines;
use gannet::session::{self, Connection, Either, first, sleep};
use gannet::{Address, DriverChoice, Engine, Running};
use gannet_client::{CallError, CallOptions, Loss, OwnedValue, Pool, Redis, Settings};
use gannet_testing::{drivers, until};

use crate::server::{Act, Server, bulk, echo};

/// An engine with a pool and a service of sessions that have it.
fn serve<F>(
    driver: DriverChoice,
    server: &Server,
    change: impl FnOnce(&mut Settings),
    session: fn(Pool<Redis>, Connection<Lines>) -> F,
) -> (Running, Pool<Redis>, std::net::SocketAddr)
where
    F: Future<Output = session::Result> + 'static,
{
    let mut settings = Settings::default();
    (settings.waiting, settings.timeout) = (Duration::from_secs(60), Duration::from_secs(60));
    change(&mut settings);
    let mut engine = Engine::new().driver(driver).reactors(1);
    let builder = Pool::builder(Redis::new().resp3()).endpoint(server.url()).settings(settings);
    let pool = builder.attach(&mut engine).expect("a pool");
    let of_sessions = pool.clone();
    let engine = engine
        .sessions("tcp://127.0.0.1:0", Lines::default, move |connection| session(of_sessions.clone(), connection));
    let running = engine.expect("it listens").start().expect("it starts");
    let Some(Address::Tcp(at)) = running.addresses().next().cloned() else { panic!("it listens") };
    pool.warm(Duration::from_secs(60)).expect("it answers");
    (running, pool, at)
}

/// A server that knows `HELLO`, `RESET` and transactions, and otherwise does what `script` says.
fn redis(script: impl Fn(&[Vec<u8>]) -> Act + Send + Sync + 'static) -> Server {
    Server::start(move |words| match words {
        [command, ..] if command == b"HELLO" => Act::Reply(b"%1\r\n$5\r\nproto\r\n:3\r\n".to_vec()),
        [command] if command == b"RESET" => Act::Reply(b"+RESET\r\n".to_vec()),
        [command] if command == b"MULTI" => Act::Reply(b"+OK\r\n".to_vec()),
        [command] if command == b"EXEC" => Act::Reply(b"*1\r\n:1\r\n".to_vec()),
        [command, ..] if command == b"INCR" => Act::Reply(b"+QUEUED\r\n".to_vec()),
        words => script(words),
    })
}

fn other(error: CallError) -> session::Error {
    session::Error::other(error)
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(at: std::net::SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(at).expect("it accepts")))
    }

    /// Ends the connection by a reset, which ends its session at once: there is something that was not read.
    fn reset(self) {
        self.0.get_ref().peek(&mut [0]).expect("a greeting");
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.0.get_ref(), "{line}").expect("it reads");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it answers");
        line.trim_end().to_owned()
    }
}

async fn lookup(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
    while let Some(key) = connection.next().await? {
        // Two are under way together.
        let (one, two) = (redis.call(&[b"GET", &key]), redis.call(&[b"GET", b"two"]));
        let (one, two) = (one.await.map_err(other)?, two.await.map_err(other)?);
        let bytes = |value: &OwnedValue| value.as_bytes().unwrap_or(b"nothing").to_vec();
        connection.send([&bytes(&one), b" ", &bytes(&two)]).await?;
    }
    Ok(())
}

#[test]
fn a_session_calls_and_each_gets_its_own_replies() {
    for driver in drivers() {
        let server = redis(echo);
        let (running, pool, at) = serve(driver, &server, |_| (), lookup);
        std::thread::scope(|scope| {
            for client in 0..10 {
                scope.spawn(move || {
                    let mut lines = Client::new(at);
                    for call in 0..20 {
                        let key = format!("{client}-{call}");
                        assert_eq!(lines.ask(&key), format!("{key} two"));
                    }
                });
            }
        });
        assert_eq!(pool.stats().replies, 400);
        assert_eq!(server.accepted(), 1);
        drop(running);
    }
}

/// Gives calls up: `slow` is dropped in flight, and others follow on its connection.
async fn impatient(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
    let slow = redis.call(&[b"GET", b"slow"]);
    // The next line of the client comes first.
    let _ = first(slow, connection.next()).await;
    let after = redis.call(&[b"GET", b"after"]).await.map_err(other)?;
    connection.send([after.as_bytes().unwrap_or(b"nothing")]).await?;
    while connection.next().await?.is_some() {}
    Ok(())
}

#[test]
fn a_call_that_is_dropped_leaves_its_place_and_the_next_call_gets_its_own_reply() {
    for driver in drivers() {
        let server = redis(|words| match words {
            [_, key] if key == b"slow" || key == b"after" => Act::Hold(bulk(key)),
            words => echo(words),
        });
        let (running, pool, at) = serve(driver, &server, |settings| settings.max = 1, impatient);
        let mut client = Client::new(at);
        until("the slow call", || server.held() == 1);
        writeln!(client.0.get_ref(), "never mind").expect("it reads");
        until("the next call", || server.held() == 2);
        server.release();
        assert_eq!(client.line(), "after");
        let stats = pool.stats();
        assert_eq!((stats.cancelled, stats.late_replies, stats.replies), (1, 1, 1));
        assert_eq!(server.accepted(), 1);
        drop(running);
    }
}

#[test]
fn a_call_of_a_session_that_ends_while_it_waits_is_never_sent() {
    async fn waits(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
        connection.send([b"hello"]).await?;
        let Some(key) = connection.next().await? else { return Ok(()) };
        let reply = redis.call(&[b"GET", &key]).await.map_err(other)?;
        connection.send([reply.as_bytes().unwrap_or(b"nothing")]).await
    }
    for driver in drivers() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let server = redis(move |words| match words {
            [_, key] if key == b"slow" => Act::Hold(bulk(key)),
            [_, key] if key == b"never" => {
                counted.fetch_add(1, Ordering::SeqCst);
                echo(words)
            }
            words => echo(words),
        });
        let change = |settings: &mut Settings| (settings.max, settings.depth) = (1, 1);
        let (running, pool, at) = serve(driver, &server, change, waits);
        let (mut slow, never) = (Client::new(at), Client::new(at));
        writeln!(slow.0.get_ref(), "slow").expect("it reads");
        until("the slow call", || server.held() == 1);
        writeln!(never.0.get_ref(), "never").expect("it reads");
        until("the waiting call", || pool.stats().waiters == 1);
        let mut behind = Client::new(at);
        writeln!(behind.0.get_ref(), "behind").expect("it reads");
        until("the call behind it", || pool.stats().waiters == 2);
        never.reset();
        until("the end of the session", || pool.stats().cancelled == 1);
        server.release();
        let answer = |client: &mut Client| [client.line(), client.line()];
        assert_eq!(answer(&mut slow), ["hello", "slow"]);
        assert_eq!(answer(&mut behind), ["hello", "behind"]);
        assert_eq!(asked.load(Ordering::SeqCst), 0);
        drop(running);
    }
}

async fn transaction(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
    while let Some(key) = connection.next().await? {
        let lease = redis.lease("transaction").await.map_err(other)?;
        let queued = [lease.call(&[b"MULTI"]), lease.call(&[b"INCR", &key])];
        let done = lease.call(&[b"EXEC"]).await.map_err(other)?;
        for queued in queued {
            queued.await.map_err(other)?;
        }
        connection.send([format!("{done:?}").as_bytes()]).await?;
    }
    Ok(())
}

#[test]
fn a_lease_of_a_session_is_alone_and_its_connection_is_used_again() {
    for driver in drivers() {
        let server = redis(echo);
        let (running, pool, at) = serve(driver, &server, |settings| settings.max = 1, transaction);
        let expected = format!("{:?}", OwnedValue::Array(vec![OwnedValue::Integer(1)]));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = Client::new(at);
                    (0..5).for_each(|_| assert_eq!(client.ask("counter"), expected));
                });
            }
        });
        assert_eq!((pool.stats().leases, server.accepted()), (20, 1));
        drop(running);
    }
}

#[test]
fn a_lease_that_is_dropped_in_the_middle_of_a_request_is_made_as_new() {
    async fn leaves(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
        let lease = redis.lease("report").await.map_err(other)?;
        let report = lease.call(&[b"GET", b"slow"]);
        let _ = first(report, connection.next()).await;
        drop(lease);
        let after = redis.call(&[b"GET", b"after"]).await.map_err(other)?;
        connection.send([after.as_bytes().unwrap_or(b"nothing")]).await
    }
    for driver in drivers() {
        let hello = b"%1\r\n$5\r\nproto\r\n:3\r\n";
        let greeted = AtomicUsize::new(0);
        // A server answers in order: the reset after what is slow.
        let server = Server::start(move |words| match words {
            [command, ..] if command == b"HELLO" => match greeted.fetch_add(1, Ordering::SeqCst) {
                0 => Act::Reply(hello.to_vec()),
                _ => Act::Hold(hello.to_vec()),
            },
            [command] if command == b"RESET" => Act::Hold(b"+RESET\r\n".to_vec()),
            [_, key] if key == b"slow" => Act::Hold(bulk(key)),
            words => echo(words),
        });
        let (running, pool, at) = serve(driver, &server, |settings| settings.max = 1, leaves);
        let mut client = Client::new(at);
        until("the slow call", || server.held() == 1);
        writeln!(client.0.get_ref(), "never mind").expect("it reads");
        until("the reset and the handshake", || server.held() == 3);
        server.release();
        assert_eq!(client.line(), "after");
        assert_eq!((server.accepted(), pool.stats().cancelled), (1, 1));
        drop(running);
    }
}

#[test]
fn a_lease_that_is_kept_too_long_is_counted_and_one_whose_session_ends_is_given_back() {
    async fn keeps(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
        connection.send([b"hello"]).await?;
        let lease = redis.lease("forgotten").await.map_err(other)?;
        connection.send([b"leased"]).await?;
        while connection.next().await?.is_some() {}
        drop(lease);
        Ok(())
    }
    for driver in drivers() {
        let server = redis(echo);
        let change = |settings: &mut Settings| (settings.max, settings.leak_after) = (1, Duration::from_millis(5));
        let (running, pool, at) = serve(driver, &server, change, keeps);
        let mut client = Client::new(at);
        assert_eq!([client.line(), client.line()], ["hello", "leased"]);
        until("the leak", || pool.stats().leaks == 1);
        // The one that waits gets the connection of the one that ends; one that ends while it waits takes none.
        let (waits, mut last) = (Client::new(at), Client::new(at));
        until("those that wait", || pool.stats().waiters == 2);
        waits.reset();
        until("one of them", || pool.stats().waiters == 1);
        drop(client);
        assert_eq!([last.line(), last.line()], ["hello", "leased"]);
        drop(running);
    }
}

#[test]
fn a_session_that_leases_a_connection_gets_what_is_published_on_it() {
    async fn subscribes(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
        let lease = redis.lease("subscription").await.map_err(other)?;
        lease.call(&[b"SUBSCRIBE", b"news"]).await.map_err(other)?;
        connection.send([b"subscribed"]).await?;
        loop {
            // Futures that are dropped while they wait lose none of what comes.
            match first(lease.pushed(), sleep(Duration::from_millis(1))).await {
                Either::Left(Some(OwnedValue::Array(words))) => {
                    let text = words.last().and_then(OwnedValue::as_bytes).unwrap_or(b"nothing");
                    connection.send([text]).await?;
                }
                Either::Left(_) => return connection.send([b"ended"]).await,
                Either::Right(()) => {}
            }
        }
    }
    for driver in drivers() {
        let server = redis(|words| match words {
            [command, _] if command == b"SUBSCRIBE" => {
                let message = |text: &str| format!(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\n{text}\r\n");
                let confirmed = ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n".to_owned();
                Act::ReplyAndReset([confirmed, message("one"), message("two")].concat().into_bytes())
            }
            words => echo(words),
        });
        let (running, pool, at) = serve(driver, &server, |settings| settings.max = 1, subscribes);
        let mut client = Client::new(at);
        let lines: Vec<String> = (0..4).map(|_| client.line()).collect();
        assert_eq!(lines, ["subscribed", "one", "two", "ended"]);
        until("the loss", || pool.stats().losses(Loss::Peer) == 1);
        drop(running);
    }
}

#[test]
fn a_call_outside_of_a_session_of_the_pools_engine_fails_at_once() {
    use std::task::{Context, Poll, Waker};
    let server = redis(echo);
    let mut engine = Engine::new().reactors(1);
    let pool = Pool::builder(Redis::new()).endpoint(server.url()).attach(&mut engine).expect("a pool");
    let mut cx = Context::from_waker(Waker::noop());
    let call = std::pin::pin!(pool.call_with(&[b"GET", b"key"], CallOptions::default()));
    assert_eq!(call.poll(&mut cx), Poll::Ready(Err(CallError::NotHere)));
    let lease = std::pin::pin!(pool.lease("nowhere"));
    assert!(matches!(lease.poll(&mut cx), Poll::Ready(Err(CallError::NotHere))));
}

/// Numbers the steps of a future by how often it was polled.
static ROUNDS: AtomicU64 = AtomicU64::new(0);

#[test]
fn calls_dropped_after_any_number_of_polls_never_mix_up_replies() {
    /// Polls a future so often, then drops it.
    async fn polled<F: Future>(times: u64, future: F) -> Option<F::Output> {
        let (mut future, mut left) = (std::pin::pin!(future), times);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                left -= 1;
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
        })
        .await
    }
    async fn drops(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
        while let Some(key) = connection.next().await? {
            for times in 0..4 {
                let round = ROUNDS.fetch_add(1, Ordering::Relaxed).to_string().into_bytes();
                if let Some(reply) = polled(times, redis.call(&[b"GET", &round])).await {
                    assert_eq!(reply.map_err(other)?, OwnedValue::Bulk(round));
                }
            }
            let reply = redis.call(&[b"GET", &key]).await.map_err(other)?;
            assert_eq!(reply, OwnedValue::Bulk(key.to_vec()));
            connection.send([b"right"]).await?;
        }
        Ok(())
    }
    for driver in drivers() {
        let server = redis(echo);
        let (running, pool, at) = serve(driver, &server, |settings| settings.depth = 4, drops);
        std::thread::scope(|scope| {
            for client in 0..8 {
                scope.spawn(move || {
                    let mut lines = Client::new(at);
                    (0..20).for_each(|call| assert_eq!(lines.ask(&format!("{client}-{call}")), "right"));
                });
            }
        });
        assert!(pool.stats().cancelled > 0);
        drop(running);
    }
}
