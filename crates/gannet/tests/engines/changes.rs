//! Plans on whole engines, with all ways of spreading connections, over real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gannet::proto::Lines;
use gannet::{
    Address, Balance, Context, DatagramContext, DatagramService, Drain, Engine, Error, Limits, ListenOptions, Plan,
    Running, Service, StartError, Starting, Timeouts,
};
use gannet_testing::{PATIENCE, is_end, is_refused, until};

use crate::drivers;

/// Answers each line with its name and the line.
struct Named(&'static str);

impl Service for Named {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[self.0.as_bytes(), b" ", line]);
    }
}

impl DatagramService for Named {
    fn datagram(&mut self, _: &[u8], cx: &mut DatagramContext<'_>) {
        cx.reply(self.0.as_bytes()).expect("loopback has room");
    }
}

/// Fails to start on the last reactor.
struct Reluctant;

impl Service for Reluctant {
    type Codec = Lines;
    type Session = ();

    fn name(&self) -> &str {
        "reluctant"
    }

    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        if starting.reactor() + 1 == starting.reactors() { Err("not here".into()) } else { Ok(()) }
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

/// Every way of spreading, on every driver.
fn engines() -> impl Iterator<Item = Engine> {
    let balances = [Balance::ReusePort, Balance::RoundRobin, Balance::LeastConnections];
    drivers()
        .into_iter()
        .flat_map(move |driver| balances.map(|balance| Engine::new().driver(driver).reactors(2).balance(balance)))
}

fn start(engine: Engine) -> (Running, SocketAddr) {
    let at = ListenOptions::at("tcp://127.0.0.1:0").named("first");
    let running = engine.listen(at, || Named("first")).expect("an address").start().expect("the engine starts");
    let address = tcp(running.addresses().next().expect("it listens"));
    (running, address)
}

fn tcp(address: &Address) -> SocketAddr {
    let Address::Tcp(address) = address else { panic!("{address} is not for TCP") };
    *address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn ask(stream: &mut (impl Read + Write), expected: &str) {
    stream.write_all(b"who\n").expect("it is open");
    let mut got = vec![0; expected.len() + 5];
    stream.read_exact(&mut got).expect("an answer comes");
    assert_eq!(String::from_utf8_lossy(&got), format!("{expected} who\n"));
}

/// Nobody listens there any more. The last connections of a backlog may still be taken before that.
fn until_refused(address: SocketAddr) {
    until("the listener to be closed", || TcpStream::connect(address).is_err());
}

/// Nobody has the address any more. The kernel lets go of a socket a moment after it was closed.
fn until_free(bind: impl Fn() -> std::io::Result<()>) {
    while let Err(error) = bind() {
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        std::thread::yield_now();
    }
}

#[test]
fn listeners_come_and_go_while_their_connections_stay() {
    for engine in engines() {
        let (running, first) = start(engine);
        let mut stays: Vec<_> = (0..8).map(|_| connect(first)).collect();
        stays.iter_mut().for_each(|stream| ask(stream, "first"));
        let at = ListenOptions::at("tcp://127.0.0.1:0").named("second");
        let applied = running.apply(Plan::new().listen(at, || Named("second")).expect("an address")).expect("it can");
        assert_eq!((applied.generation, applied.late.len(), applied.removed.len()), (1, 0, 0));
        let second = tcp(&applied.added[0]);
        let mut later: Vec<_> = (0..8).map(|_| connect(second)).collect();
        later.iter_mut().for_each(|stream| ask(stream, "second"));
        let applied = running.apply(Plan::new().remove("first")).expect("it is there");
        assert_eq!(applied.removed, [Address::Tcp(first)]);
        until_refused(first);
        stays.iter_mut().for_each(|stream| ask(stream, "first"));
        later.iter_mut().for_each(|stream| ask(stream, "second"));
        let listeners = running.remote().listeners();
        let all: Vec<_> = listeners.iter().map(|one| (one.service, one.name.as_str(), one.is_open)).collect();
        assert_eq!(all, [(0, "first", false), (1, "second", true)]);
        until_free(|| TcpListener::bind(first).map(drop));
        let error = running.apply(Plan::new().remove("first")).expect_err("it is gone");
        assert!(error.to_string().contains("no listener named \"first\"; there are: second"), "{error}");
        assert_eq!(running.changes().generation(), 2);
    }
}

#[test]
fn a_changed_service_takes_over_its_socket_and_no_connection_is_refused_meanwhile() {
    for engine in engines() {
        let (running, address) = start(engine);
        let mut stays = connect(address);
        ask(&mut stays, "first");
        let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let (done, asked) = (done.clone(), asked.clone());
                std::thread::spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let mut stream = connect(address);
                        stream.write_all(b"who\n").expect("it is open");
                        let mut got = [0; 10];
                        stream.read_exact(&mut got).expect("an answer comes");
                        assert!(got == *b"first who\n" || got == *b"other who\n", "{got:?}");
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for round in 0..20 {
            let name = if round % 2 == 0 { "other" } else { "first" };
            let (before, at) =
                (asked.load(Ordering::Relaxed), ListenOptions::at(format!("tcp://{address}")).named("first"));
            let plan = Plan::new().remove("first").listen(at, move || Named(name)).expect("an address");
            let applied = running.apply(plan).expect("it can");
            assert_eq!((applied.added.len(), applied.removed.len()), (1, 0), "the socket stays");
            while asked.load(Ordering::Relaxed) < before + 10 {
                assert!(clients.iter().all(|client| !client.is_finished()), "a client has failed");
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no client was refused"));
        ask(&mut stays, "first");
        ask(&mut connect(address), "first");
    }
}

#[test]
fn a_plan_that_fails_in_any_part_changes_nothing() {
    for engine in engines() {
        let (running, first) = start(engine);
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let taken = taken.local_addr().map(|address| (taken, address)).expect("it is bound");
        let listen = |plan: Plan, at: &str| plan.listen(at, || Named("new")).expect("an address");
        let mut limits = Limits::default();
        (limits.outbox_high, limits.outbox_hard) = (2, 1);
        let mut timeouts = Timeouts::default();
        timeouts.handshake = Duration::ZERO;
        let reluctant = |plan: Plan| plan.listen("tcp://127.0.0.1:0", || Reluctant).expect("an address");
        let removed = || Plan::new().remove("first");
        let cases: [(Plan, &str); 7] = [
            (listen(listen(removed(), "tcp://127.0.0.1:0"), &format!("tcp://{}", taken.1)), "the address is in use"),
            (listen(removed(), "tcp://192.0.2.1:1"), "does not have that address"),
            (
                reluctant(listen(removed(), "tcp://127.0.0.1:0")),
                "service reluctant did not start on reactor 1: not here",
            ),
            (removed().limits(limits), "outbox_high is 2"),
            (removed().timeouts(timeouts), "handshake of the engine is 0"),
            (removed().keepalive(Some(Duration::from_secs(100_000))), "1 s to 32767 s"),
            (removed().quota("nobody", 1, 1), "no listener named \"nobody\""),
        ];
        for (plan, why) in cases {
            let error = running.apply(plan).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
            ask(&mut connect(first), "first");
            let listeners = running.remote().listeners();
            assert_eq!((listeners.len(), listeners[0].is_open), (1, true));
        }
        assert_eq!(running.changes().generation(), 0);
        // What failed has left nothing behind that would be in the way.
        let applied = running.apply(listen(Plan::new(), "tcp://127.0.0.1:0")).expect("it can");
        ask(&mut connect(tcp(&applied.added[0])), "new");
    }
}

#[test]
fn fifty_listeners_come_and_go_at_once() {
    for engine in engines() {
        let (running, first) = start(engine);
        let mut plan = Plan::new();
        for number in 0..50 {
            let at = ListenOptions::at("tcp://127.0.0.1:0").named(format!("number {number}"));
            plan = plan.listen(at, || Named("new")).expect("an address");
        }
        let applied = running.apply(plan).expect("they can");
        assert_eq!(applied.added.len(), 50);
        for address in &applied.added {
            ask(&mut connect(tcp(address)), "new");
        }
        let plan = (0..50).fold(Plan::new(), |plan, number| plan.remove(format!("number {number}")));
        let removed = running.apply(plan).expect("they are there");
        assert_eq!(removed.removed, applied.added);
        applied.added.iter().for_each(|address| until_refused(tcp(address)));
        ask(&mut connect(first), "first");
    }
}

#[test]
fn unix_sockets_and_datagrams_come_and_go_too() {
    let folder = std::env::temp_dir().join(format!("gannet-changes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("socket");
    let url = format!("unix://{}", path.display());
    for engine in engines() {
        let (running, _) = start(engine);
        let plan = Plan::new().listen(&url, || Named("unix")).expect("an address");
        let plan = plan.listen_datagrams("udp://127.0.0.1:0", || Named("udp")).expect("an address");
        let applied = running.apply(plan).expect("it can");
        let connect = || UnixStream::connect(&path);
        let mut stays = connect().expect("it listens");
        ask(&mut stays, "unix");
        let Address::Udp(udp) = applied.added[1] else { panic!("a datagram socket") };
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.connect(udp).expect("loopback");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut name = [0; 10];
        let mut asked = || {
            client.send(b"?").expect("loopback takes it");
            let count = client.recv(&mut name).expect("an answer comes");
            String::from_utf8_lossy(&name[..count]).into_owned()
        };
        assert_eq!(asked(), "udp");
        // Both get other services; the second by the address that it got.
        let plan = Plan::new().remove(&url).listen(ListenOptions::at(&url).unix_mode(0o600), || Named("other"));
        let at = format!("udp://{udp}");
        let plan = plan.expect("an address").remove("udp://127.0.0.1:0").listen_datagrams(&at, || Named("udp2"));
        running.apply(plan.expect("an address")).expect("it can");
        assert_eq!(asked(), "udp2");
        ask(&mut connect().expect("it listens"), "other");
        ask(&mut stays, "unix");
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        running.apply(Plan::new().remove(&url).remove(&at)).expect("they are there");
        assert!(!path.exists(), "the file goes with its listener");
        assert_eq!(connect().expect_err("nobody listens").kind(), ErrorKind::NotFound);
        ask(&mut stays, "unix");
        until_free(|| UdpSocket::bind(udp).map(drop));
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn limits_of_a_listener_and_of_the_engine_change_at_once() {
    for engine in engines() {
        let (running, address) = start(engine);
        let mut two: Vec<_> = (0..2).map(|_| connect(address)).collect();
        two.iter_mut().for_each(|stream| ask(stream, "first"));
        running.apply(Plan::new().quota("first", 2, 0)).expect("it is there");
        assert!(is_refused(address));
        let mut limits = Limits::default();
        (limits.connections, limits.mailbox) = (2, 77);
        let applied = running.apply(Plan::new().quota("first", 0, 0).limits(limits.clone())).expect("they are fine");
        assert_eq!(applied.pending, ["mailbox"]);
        assert!(is_refused(address));
        limits.connections = 0;
        running.apply(Plan::new().limits(limits)).expect("they are fine");
        ask(&mut connect(address), "first");
        two.iter_mut().for_each(|stream| ask(stream, "first"));
    }
}

#[test]
fn several_listeners_get_other_services_at_once() {
    for engine in engines() {
        let at = |url: &str, name: &str| ListenOptions::at(url).named(name);
        let engine = engine.listen(at("tcp://127.0.0.1:0", "a"), || Named("a")).expect("an address");
        let running = engine.listen(at("tcp://127.0.0.1:0", "b"), || Named("b")).expect("an address").start();
        let running = running.expect("the engine starts");
        let [a, b] = *running.addresses().map(tcp).collect::<Vec<_>>() else { panic!("two listeners") };
        for round in 0..4 {
            // The port that was asked for means the one that there is, for a listener of that name.
            let (url_a, url_b) = if round < 2 { any_port() } else { (format!("tcp://{a}"), format!("tcp://{b}")) };
            let plan = Plan::new().remove("a").remove("b");
            let plan = plan.listen(at(&url_b, "b"), || Named("b")).expect("an address");
            let plan = plan.listen(at(&url_a, "a"), || Named("a")).expect("an address");
            let applied = running.apply(plan).expect("it can");
            assert_eq!(applied.added, [Address::Tcp(b), Address::Tcp(a)]);
            ask(&mut connect(a), "a");
            ask(&mut connect(b), "b");
        }
    }
}

fn any_port() -> (String, String) {
    ("tcp://127.0.0.1:0".to_owned(), "tcp://127.0.0.1:0".to_owned())
}

#[test]
fn the_limit_of_a_listener_counts_connections_of_the_service_that_it_had_before() {
    for engine in engines() {
        let (running, address) = start(engine);
        let mut two: Vec<_> = (0..2).map(|_| connect(address)).collect();
        two.iter_mut().for_each(|stream| ask(stream, "first"));
        let replace = |most| {
            let at = ListenOptions::at(format!("tcp://{address}")).named("first").connections(most);
            let plan = Plan::new().remove("first").listen(at, || Named("other")).expect("an address");
            running.apply(plan).expect("it can");
        };
        replace(2);
        assert!(is_refused(address), "two are in");
        replace(3);
        let mut third = connect(address);
        ask(&mut third, "other");
        two.iter_mut().for_each(|stream| ask(stream, "first"));
        assert!(is_refused(address), "three are in");
    }
}

#[test]
fn a_drain_of_a_listener_reaches_connections_of_the_service_that_it_had_before() {
    for engine in engines() {
        let (running, address) = start(engine);
        let mut old = connect(address);
        ask(&mut old, "first");
        let at = ListenOptions::at(format!("tcp://{address}")).named("first");
        running.apply(Plan::new().remove("first").listen(at, || Named("other")).expect("an address")).expect("it can");
        let mut new = connect(address);
        ask(&mut new, "other");
        let remote = running.remote();
        remote.drain(&Drain::new().listener("first")).expect("there is one");
        for stream in [&mut old, &mut new] {
            assert!(is_end(&stream.read(&mut [0])), "it is told to leave");
        }
        assert!(remote.cancel_drain(Some("first")).expect("there is one"));
        let answers = |mut stream: TcpStream| {
            stream.write_all(b"who\n").is_ok() && matches!(stream.read(&mut [0]), Ok(count) if count > 0)
        };
        until("it to serve again", || TcpStream::connect(address).is_ok_and(answers));
    }
}

/// Blocks its reactor until it is let go.
struct Blocked(mpsc::Sender<()>, Arc<AtomicBool>);

impl Service for Blocked {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {
        let _ = self.0.send(());
        while !self.1.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_reactor_that_a_callback_holds_up_is_named() {
    let (blocks, blocked) = mpsc::channel();
    let go_on = Arc::new(AtomicBool::new(false));
    let free = go_on.clone();
    let engine = Engine::new().reactors(1).listen("tcp://127.0.0.1:0", move || Blocked(blocks.clone(), free.clone()));
    let running = engine.expect("an address").start().expect("the engine starts");
    let address = tcp(running.addresses().next().expect("it listens"));
    connect(address).write_all(b"block\n").expect("it is open");
    blocked.recv_timeout(PATIENCE).expect("it blocks");
    let plan = Plan::new().listen("tcp://127.0.0.1:0", || Named("new")).expect("an address");
    let error = running.apply(plan).expect_err("nobody makes the service");
    assert!(matches!(&error, Error::Late { threads } if threads[..] == ["gannet-0"]), "{error}");
    assert!(error.to_string().starts_with("gannet-0 did not answer within five seconds"), "{error}");
    let applied = running.apply(Plan::new().limits(Limits::default())).expect("limits can wait");
    assert_eq!(applied.late, ["gannet-0"]);
    go_on.store(true, Ordering::Relaxed);
    let plan = Plan::new().listen("tcp://127.0.0.1:0", || Named("new")).expect("an address");
    let applied = running.apply(plan).expect("the reactor is back");
    ask(&mut connect(tcp(&applied.added[0])), "new");
}

#[test]
fn an_engine_that_shuts_down_takes_no_plan() {
    for engine in engines() {
        let (running, _) = start(engine);
        let changes = running.changes();
        running.remote().stop();
        let error = changes.apply(Plan::new().remove("first")).expect_err("it shuts down");
        assert!(matches!(error, Error::Stopping), "{error}");
        running.join().expect("it ends without an error");
        assert!(matches!(changes.apply(Plan::new()), Err(Error::Stopping)), "it has ended");
    }
}

#[test]
fn a_listener_with_deadlines_of_its_own_keeps_them_when_the_engine_gets_others() {
    for driver in drivers() {
        let mut own = Timeouts::default();
        own.idle = None;
        let engine = Engine::new().driver(driver).reactors(1).listen("tcp://127.0.0.1:0", || Named("engine's"));
        let at = ListenOptions::at("tcp://127.0.0.1:0").timeouts(own);
        let engine = engine.and_then(|engine| engine.listen(at, || Named("own"))).expect("addresses");
        let running = engine.start().expect("the engine starts");
        let addresses: Vec<_> = running.addresses().map(tcp).collect();
        let (mut of_engine, mut of_own) = (connect(addresses[0]), connect(addresses[1]));
        ask(&mut of_engine, "engine's");
        ask(&mut of_own, "own");
        let mut timeouts = Timeouts::default();
        timeouts.idle = Some(Duration::from_millis(50));
        running.apply(Plan::new().timeouts(timeouts)).expect("they are fine");
        assert!(is_end(&of_engine.read(&mut [0])), "it was silent for too long");
        ask(&mut of_own, "own");
    }
}
