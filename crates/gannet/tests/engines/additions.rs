//! Plans that add sessions and services for outbound connections, on whole engines over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use gannet::proto::{Lines, Raw};
use gannet::session::{self, Connection};
use gannet::{Address, Connect, Context, Engine, Outbound, Plan, Running, Service, ServiceContext};
use gannet_testing::PATIENCE;

use crate::drivers;

/// Answers each line with itself.
struct Echo;

impl Service for Echo {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[line]);
    }
}

/// Says on which reactor it was called.
struct Called(usize, mpsc::Sender<usize>);

impl Service for Called {
    type Codec = Raw;
    type Session = ();

    fn start(&mut self, starting: &gannet::Starting) -> Result<(), gannet::StartError> {
        self.0 = starting.reactor();
        Ok(())
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}

    fn woken(&mut self, _: &mut ServiceContext<'_, Self>) {
        self.1.send(self.0).expect("the test listens");
    }
}

fn tcp(address: &Address) -> SocketAddr {
    let Address::Tcp(address) = address else { panic!("{address} is not for TCP") };
    *address
}

/// Passes each line on to another server by a connection of its own, and the answer back.
async fn pass_on(mut connection: Connection<Lines>, to: SocketAddr) -> session::Result {
    let mut upstream = session::connect(Lines::default(), &Connect::to(Address::Tcp(to))).await?;
    while let Some(line) = connection.next().await? {
        upstream.send([&line]).await?;
        let Some(answer) = upstream.next().await? else { return Ok(()) };
        connection.send([b"passed ", &answer]).await?;
    }
    Ok(())
}

fn passing(plan: Plan, at: &str, to: SocketAddr) -> Plan {
    plan.sessions(at, Lines::default, move |connection| pass_on(connection, to)).expect("an address")
}

fn ask(address: SocketAddr, expected: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(b"hello\n").expect("it is open");
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).expect("an answer comes");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected));
}

fn services(running: &Running) -> usize {
    running.remote().stats()[0].services.len()
}

#[test]
fn a_plan_adds_sessions_and_all_of_an_engine_share_one_service_for_their_outbound_connections() {
    for driver in drivers() {
        let engine = || Engine::new().driver(driver).reactors(2).listen("tcp://127.0.0.1:0", || Echo);
        let start = |engine: Engine| engine.start().expect("the engine starts");
        let running = start(engine().expect("an address"));
        let echo = tcp(running.addresses().next().expect("it listens"));
        // A plan that fails leaves nothing behind.
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("tcp://{}", taken.local_addr().expect("an address"));
        running.apply(passing(Plan::new(), &url, echo)).expect_err("the address is taken");
        // The first brings the service for outbound connections.
        for more in [2, 1] {
            let before = services(&running);
            let applied = running.apply(passing(Plan::new(), "tcp://127.0.0.1:0", echo)).expect("it can");
            assert_eq!(services(&running), before + more);
            ask(tcp(&applied.added[0]), b"passed hello\n");
        }

        // It has such a service from its start.
        let with_sessions =
            |engine: Engine| engine.sessions("tcp://127.0.0.1:0", Lines::default, move |one| pass_on(one, echo));
        let other = start(engine().and_then(with_sessions).expect("an address"));
        let before = services(&other);
        let applied = other.apply(passing(Plan::new(), "tcp://127.0.0.1:0", echo)).expect("it can");
        assert_eq!(services(&other), before + 1);
        ask(tcp(&applied.added[0]), b"passed hello\n");
        ask(tcp(other.addresses().nth(1).expect("it listens")), b"passed hello\n");
    }
}

#[test]
fn a_service_for_outbound_connections_that_a_plan_adds_is_called_on_every_reactor() {
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(2).listen("tcp://127.0.0.1:0", || Echo);
        let running = engine.expect("an address").start().expect("the engine starts");
        let ((told, tells), (called, calls)) = (mpsc::channel(), mpsc::channel());
        let plan = Plan::new().listen("tcp://127.0.0.1:0", || Echo).expect("an address");
        let factory = move || Called(usize::MAX, called.clone());
        let plan =
            plan.outbound(factory, move |outbound: Outbound<Called>| told.send(outbound).expect("the test waits"));
        let applied = running.apply(plan.expect("room for a service")).expect("it can");
        assert_eq!(applied.added.len(), 1, "it listens nowhere");
        let outbound = tells.try_recv().expect("it was told before the plan was applied");
        for reactor in [1, 0] {
            running.remote().wake_service(reactor, outbound).expect("the engine runs");
            assert_eq!(calls.recv_timeout(PATIENCE), Ok(reactor));
        }
        ask(tcp(&applied.added[0]), b"hello\n");
    }
}
