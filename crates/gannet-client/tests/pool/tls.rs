//! Calls over TLS, on each driver: to servers that are trusted, and to those that are not, or that break off.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use gannet::proto::resp::{Commands, Reply, Value};
use gannet::proto::{Lines, Raw};
use gannet::session::{self, Connection};
use gannet::{Address, Context, DriverChoice, Engine, Running, Service};
use gannet_client::{CallError, CallOptions, Client, Error, Loss, OwnedValue, Pool, PoolBuilder, Redis, Settings};
use gannet_testing::certificates::{Ca, Issued, date_time_ymd};
use gannet_testing::{drivers, until};
use gannet_tls::{Identity, TlsClient, TlsClientConfig, TlsConfig, TlsServer};

/// Answers each command with its last word.
struct Echo;

impl Service for Echo {
    type Codec = Commands;
    type Session = ();

    fn message(&mut self, (): &mut (), words: gannet::Message<'_, Self>, cx: &mut Context<'_, Self>) {
        cx.send(Reply::from(Value::Bulk(words[words.len() - 1])));
    }
}

/// A server with this certificate.
fn serve(driver: DriverChoice, issued: &Issued) -> (Running, SocketAddr) {
    let identity = Identity::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes()).expect("an identity");
    let server = TlsServer::new(TlsConfig::new(identity).accept_expired(true)).expect("a server");
    let engine = Engine::new().driver(driver).reactors(1);
    let engine = engine.listen_filtered("tls://127.0.0.1:0", Arc::new(server), || Echo).expect("a port");
    let running = engine.start().expect("it starts");
    let Some(Address::Tls(at)) = running.addresses().next().cloned() else { panic!("it listens") };
    (running, at)
}

/// Trusts this authority, and asks for a server of this name.
fn trusting(ca: &Ca, name: &str) -> Arc<TlsClient> {
    Arc::new(TlsClientConfig::new().ca(ca.pem().as_bytes()).and_then(|config| config.build(name)).expect("a client"))
}

fn pool(at: SocketAddr, through: Arc<TlsClient>, change: impl FnOnce(&mut Settings)) -> PoolBuilder<Redis> {
    let mut settings = Settings::default();
    (settings.waiting, settings.timeout, settings.connect) =
        (Duration::from_secs(60), Duration::from_secs(60), Duration::from_secs(60));
    settings.backoff_max = Duration::from_millis(200);
    settings.breaker_open = Duration::from_millis(100);
    change(&mut settings);
    Pool::builder(Redis::new()).endpoint(format!("tls://{at}")).through(through).settings(settings)
}

/// The pool runs on the driver that is tried; a `Client` has one of its own choice.
fn attach(driver: DriverChoice, builder: PoolBuilder<Redis>) -> (Running, Pool<Redis>) {
    let mut engine = Engine::new().driver(driver).reactors(1);
    let pool = builder.attach(&mut engine).expect("a pool");
    (engine.start().expect("it starts"), pool)
}

fn value(text: &str) -> Result<OwnedValue, CallError> {
    Ok(OwnedValue::Bulk(text.as_bytes().to_vec()))
}

#[test]
fn sessions_and_threads_call_through_tls_and_each_gets_its_own_replies() {
    async fn lookup(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
        while let Some(key) = connection.next().await? {
            let reply = redis.call(&[b"GET", &key]).await.map_err(session::Error::other)?;
            connection.send([reply.as_bytes().unwrap_or(b"nothing")]).await?;
        }
        Ok(())
    }
    for driver in drivers() {
        let ca = Ca::new("authority");
        let (server, at) = serve(driver, &ca.server(&["localhost"]));
        let mut engine = Engine::new().driver(driver).reactors(2);
        let builder = pool(at, trusting(&ca, "localhost"), |_| ());
        let redis = builder.attach(&mut engine).expect("a pool");
        let of_sessions = redis.clone();
        let engine = engine
            .sessions("tcp://127.0.0.1:0", Lines::default, move |connection| lookup(of_sessions.clone(), connection));
        let running = engine.expect("a port").start().expect("it starts");
        let Some(Address::Tcp(clients)) = running.addresses().next().cloned() else { panic!("it listens") };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let redis = redis.client();
                scope.spawn(move || {
                    for number in 0..50 {
                        let text = format!("thread {thread} {number}");
                        assert_eq!(redis.call(&[b"GET", text.as_bytes()]), value(&text));
                    }
                });
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(clients).expect("it accepts");
                    // Larger than a record of TLS, too.
                    for length in [1, 100, 5_000, 40_000] {
                        let line = format!("{thread}-{}\n", "x".repeat(length));
                        stream.write_all(line.as_bytes()).expect("it reads");
                        let mut answer = vec![0; line.len()];
                        stream.read_exact(&mut answer).expect("it answers");
                        assert!(answer == line.as_bytes(), "another reply than for {length}");
                    }
                });
            }
        });
        assert_eq!(redis.stats().replies, 4 * 50 + 4 * 4);
        drop((running, server));
    }
}

/// Why no connection becomes ready, as the pool says it.
fn refused(driver: DriverChoice, issued: &Issued, through: Arc<TlsClient>) -> String {
    let (server, at) = serve(driver, issued);
    let (running, pool) = attach(driver, pool(at, through, |_| ()));
    until("a failed dial", || pool.stats().losses(Loss::Connect) >= 1);
    let Err(Error::NotReady { why, .. }) = pool.warm(Duration::from_millis(1)) else { panic!("it is not trusted") };
    // No request reaches a server that is not trusted.
    let call = pool.client().begin(&[b"GET", b"secret"], CallOptions::default().timeout(Duration::from_millis(50)));
    let outcome = call.and_then(gannet_client::Pending::wait);
    assert!(matches!(outcome, Err(error) if !error.was_sent()), "{outcome:?}");
    assert_eq!(server.remote().stats().iter().map(|reactor| reactor.services[0].messages_in).sum::<u64>(), 0);
    drop((running, server));
    why
}

#[test]
fn a_certificate_of_another_authority_or_name_or_time_is_refused_and_the_pool_says_why() {
    for driver in drivers() {
        let (ca, other) = (Ca::new("authority"), Ca::new("another authority"));
        let why = refused(driver, &ca.server(&["localhost"]), trusting(&other, "localhost"));
        assert!(why.contains("signed") || why.contains("issuer") || why.contains("authority"), "{why}");
        let why = refused(driver, &ca.server(&["db.example.org"]), trusting(&ca, "localhost"));
        assert!(why.contains("name"), "{why}");
        let expired = ca.issue(&["localhost"], 7, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        });
        let why = refused(driver, &expired, trusting(&ca, "localhost"));
        assert!(why.contains("expired"), "{why}");
    }
}

#[test]
fn a_server_without_tls_is_refused_and_the_pool_says_so() {
    struct Plain;
    impl Service for Plain {
        type Codec = Raw;
        type Session = ();

        fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
            cx.send(&[b"-ERR unknown command\r\n"]);
        }
    }
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(1).listen("tcp://127.0.0.1:0", || Plain).expect("a port");
        let server = engine.start().expect("it starts");
        let Some(Address::Tcp(at)) = server.addresses().next().cloned() else { panic!("it listens") };
        let (running, pool) = attach(driver, pool(at, trusting(&Ca::new("authority"), "localhost"), |_| ()));
        until("a failed dial", || pool.stats().losses(Loss::Connect) >= 1);
        let Err(Error::NotReady { why, .. }) = pool.warm(Duration::from_millis(1)) else { panic!("it speaks no TLS") };
        assert!(why.contains("TLS"), "{why}");
        drop((running, server));
    }
}

/// What becomes of the first connections of a [`Front`].
#[derive(Clone, Copy)]
enum Welcome {
    /// A reset when the client has begun its handshake.
    Reset,
    /// The end after a part of the server's handshake.
    EndWithin,
    /// Nothing comes back.
    Silence,
}

/// Stands before a server, and passes on what comes and goes after it has done something else to the first connections.
struct Front {
    address: SocketAddr,
    inner: Arc<Inner>,
    accepts: Option<JoinHandle<()>>,
}

struct Inner {
    server: SocketAddr,
    first: Vec<Welcome>,
    stop: AtomicBool,
    accepted: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
}

impl Front {
    fn new(server: SocketAddr, first: Vec<Welcome>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let inner = Inner { server, first, stop: false.into(), accepted: 0.into(), streams: Mutex::default() };
        let inner = Arc::new(inner);
        let of_thread = inner.clone();
        let accepts = std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { break };
                if of_thread.stop.load(Ordering::SeqCst) {
                    break;
                }
                of_thread.welcome(client);
            }
        });
        Self { address, inner, accepts: Some(accepts) }
    }

    fn accepted(&self) -> usize {
        self.inner.accepted.load(Ordering::SeqCst)
    }

    /// Ends all connections where they are.
    fn cut(&self) {
        for stream in self.inner.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Inner {
    fn welcome(&self, mut client: TcpStream) {
        let number = self.accepted.fetch_add(1, Ordering::SeqCst);
        // One that closes with something unread resets.
        match self.first.get(number) {
            Some(Welcome::Reset) => _ = client.peek(&mut [0]),
            Some(Welcome::EndWithin) => {
                let mut server = TcpStream::connect(self.server).expect("it accepts");
                let mut hello = [0; 4_096];
                let count = client.read(&mut hello).expect("a handshake");
                server.write_all(&hello[..count]).expect("it reads");
                let mut part = [0; 60];
                server.read_exact(&mut part).expect("it answers");
                client.write_all(&part).expect("it reads");
                let _ = client.shutdown(Shutdown::Both);
            }
            Some(Welcome::Silence) => self.keep(&client),
            None => self.pass_on(client),
        }
    }

    fn keep(&self, stream: &TcpStream) {
        self.streams.lock().expect("no panic").push(stream.try_clone().expect("a descriptor"));
    }

    fn pass_on(&self, client: TcpStream) {
        let server = TcpStream::connect(self.server).expect("it accepts");
        self.keep(&client);
        self.keep(&server);
        let pass = |mut from: TcpStream, mut to: TcpStream| {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        };
        pass(client.try_clone().expect("a descriptor"), server.try_clone().expect("a descriptor"));
        pass(server, client);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::SeqCst);
        // Brings it out of `accept`.
        let _ = TcpStream::connect(self.address);
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
        self.cut();
    }
}

#[test]
fn a_server_that_breaks_off_in_the_handshake_is_dialled_again_and_then_used() {
    for driver in drivers() {
        let ca = Ca::new("authority");
        let (server, at) = serve(driver, &ca.server(&["localhost"]));
        let front = Front::new(at, vec![Welcome::Reset, Welcome::EndWithin, Welcome::Reset]);
        let builder = pool(front.address, trusting(&ca, "localhost"), |settings| settings.max = 1);
        let (running, pool) = attach(driver, builder);
        pool.warm(Duration::from_secs(60)).expect("it answers in the end");
        assert_eq!(pool.client().call(&[b"GET", b"key"]), value("key"));
        let stats = pool.stats();
        assert_eq!((stats.losses(Loss::Connect), front.accepted()), (3, 4), "{stats:?}");
        drop((running, front, server));
    }
}

#[test]
fn a_server_that_is_silent_in_the_handshake_costs_the_time_for_connecting_and_no_more() {
    for driver in drivers() {
        let ca = Ca::new("authority");
        let (server, at) = serve(driver, &ca.server(&["localhost"]));
        let front = Front::new(at, vec![Welcome::Silence]);
        let builder = pool(front.address, trusting(&ca, "localhost"), |settings| {
            (settings.max, settings.connect) = (1, Duration::from_secs(1));
        });
        let (running, pool) = attach(driver, builder);
        // On a busy machine the next handshake may take too long as well.
        pool.warm(Duration::from_secs(60)).expect("it answers in the end");
        assert!(pool.stats().losses(Loss::Connect) >= 1, "{:?}", pool.stats());
        assert_eq!(pool.client().call(&[b"GET", b"key"]), value("key"));
        drop((running, front, server));
    }
}

#[test]
fn a_connection_that_ends_without_a_farewell_of_tls_is_lost_and_the_next_call_has_another() {
    for driver in drivers() {
        let ca = Ca::new("authority");
        let (server, at) = serve(driver, &ca.server(&["localhost"]));
        let front = Front::new(at, Vec::new());
        let (running, pool) = attach(driver, pool(front.address, trusting(&ca, "localhost"), |_| ()));
        pool.warm(Duration::from_secs(60)).expect("it answers");
        let client: Client<Redis> = pool.client();
        assert_eq!(client.call(&[b"GET", b"one"]), value("one"));
        let lost = |stats: &gannet_client::PoolStats| stats.losses(Loss::Peer) + stats.losses(Loss::Protocol);
        let before = lost(&pool.stats());
        front.cut();
        until("the end of the connection", || lost(&pool.stats()) > before);
        assert_eq!(client.call(&[b"GET", b"two"]), value("two"));
        drop((running, front, server));
    }
}
