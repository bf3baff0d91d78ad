//! Calls from threads and futures.

use std::time::Duration;

use gannet_client::{CallError, CallOptions, Client, Error, Lines, OwnedValue, Pool, Redis, Settings};

use crate::server::{Act, Server, bulk, echo};

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    (settings.waiting, settings.timeout) = (Duration::from_secs(60), Duration::from_secs(60));
    change(&mut settings);
    settings
}

#[test]
fn a_program_without_an_engine_calls_and_gets_its_reply() {
    let server = Server::start(echo);
    let redis = Client::connect(Redis::new(), &server.url()).expect("it answers");
    assert_eq!(redis.call(&[b"GET", b"key"]), Ok(OwnedValue::Bulk(b"key".to_vec())));
    assert_eq!(redis.call(&[b"NONSENSE"]).expect("a reply").error(), Some(&b"ERR unknown command"[..]));
    assert_eq!(redis.call(&[]), Err(CallError::Unencodable));
    assert_eq!(redis.stats().replies, 2);
}

#[test]
fn many_threads_share_a_connection_and_each_gets_its_own_reply() {
    let server = Server::start(echo);
    let redis = Client::connect(Redis::new(), &server.url()).expect("it answers");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let redis = redis.clone();
            scope.spawn(move || {
                for call in 0..100 {
                    let key = format!("{thread}-{call}");
                    let reply = redis.call(&[b"GET", key.as_bytes()]).expect("a reply");
                    assert_eq!(reply.as_bytes(), Some(key.as_bytes()));
                }
            });
        }
    });
    assert_eq!(redis.stats().replies, 800);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_wrong_password_says_what_the_server_said() {
    let server = Server::start(|_| Act::Reply(b"-WRONGPASS invalid username-password pair\r\n".to_vec()));
    let settings = settings(|settings| settings.connect = Duration::from_secs(2));
    let builder = Pool::builder(Redis::new().password("wrong")).endpoint(server.url()).settings(settings);
    match Client::start(builder) {
        Err(Error::NotReady { why, .. }) => assert!(why.contains("WRONGPASS"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handshake_and_a_lease_leave_the_connection_as_it_was() {
    let server = Server::start(|words| match words {
        [command, ..] if command == b"AUTH" || command == b"SELECT" || command == b"MULTI" => {
            Act::Reply(b"+OK\r\n".to_vec())
        }
        [command] if command == b"RESET" => Act::Reply(b"+RESET\r\n".to_vec()),
        [command] if command == b"EXEC" => Act::Reply(b"*1\r\n:1\r\n".to_vec()),
        [command, ..] if command == b"INCR" => Act::Reply(b"+QUEUED\r\n".to_vec()),
        words => echo(words),
    });
    let settings = settings(|settings| settings.max = 1);
    let builder = Pool::builder(Redis::new().password("x").database(1)).endpoint(server.url()).settings(settings);
    let redis = Client::start(builder).expect("it answers");
    let lease = redis.lease("test").expect("a connection is free");
    let queued = redis.begin(&[b"GET", b"later"], CallOptions::default()).expect("it may wait");
    assert_eq!(lease.call(&[b"MULTI"]), Ok(OwnedValue::Simple(b"OK".to_vec())));
    assert_eq!(lease.call(&[b"INCR", b"n"]), Ok(OwnedValue::Simple(b"QUEUED".to_vec())));
    assert_eq!(lease.call(&[b"EXEC"]), Ok(OwnedValue::Array(vec![OwnedValue::Integer(1)])));
    drop(lease);
    // The one connection has answered the reset and the handshake behind it.
    assert_eq!(queued.wait(), Ok(OwnedValue::Bulk(b"later".to_vec())));
    assert_eq!((server.accepted(), redis.stats().leases), (1, 1));
}

#[test]
fn lines_are_answered_in_order() {
    // Inline commands of Redis are lines.
    let server = Server::start(|words| Act::Reply([&words[0][..], b"!\n"].concat()));
    let lines = Client::connect(Lines::new(), &server.url()).expect("it answers");
    let pending: Vec<_> = (0..10)
        .map(|number: u8| lines.begin(&[b"line", &[b'0' + number]], CallOptions::default()).expect("a call"))
        .collect();
    for (number, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.wait(), Ok(format!("line{number}!").into_bytes()));
    }
}

#[test]
fn callers_learn_that_their_engine_has_ended() {
    let server = Server::start(|words| if words[0] == b"PING" { echo(words) } else { Act::Silence });
    let mut engine = gannet::Engine::new().reactors(1);
    let pool = Pool::builder(Redis::new()).endpoint(server.url()).attach(&mut engine).expect("a pool");
    let client = pool.client();
    assert_eq!(client.call(&[b"GET", b"early"]), Err(CallError::Closing));
    let running = engine.start().expect("it starts");
    pool.warm(Duration::from_secs(30)).expect("it answers");
    let pending = client.begin(&[b"GET", b"key"], CallOptions::default().timeout(Duration::from_secs(60)));
    drop(running);
    assert!(pending.expect("it was accepted").wait().is_err());
    assert_eq!(client.call(&[b"GET", b"late"]), Err(CallError::Closing));
}

#[test]
fn a_future_gets_its_reply_on_any_executor() {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let server = Server::start(|words| match words {
        [_, key] => Act::Reply(bulk(key)),
        _ => echo(words),
    });
    let redis = Client::connect(Redis::new(), &server.url()).expect("it answers");
    let mut pending = Box::pin(redis.begin(&[b"GET", b"key"], CallOptions::default()).expect("a call"));
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let reply = loop {
        match std::future::Future::poll(pending.as_mut(), &mut cx) {
            std::task::Poll::Ready(reply) => break reply,
            std::task::Poll::Pending => std::thread::park(),
        }
    };
    assert_eq!(reply, Ok(OwnedValue::Bulk(b"key".to_vec())));
}
