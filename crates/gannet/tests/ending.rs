//! How an engine ends: by its `Running`, and by signals.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use gannet::proto::Lines;
use gannet::{
    Address, CloseReason, Context, DriverChoice, Engine, Error, Peer, Refused, Running, Service, Session, Shutdown,
};
use gannet_testing::{PATIENCE, is_refused, until};

fn drivers() -> Vec<DriverChoice> {
    match Engine::new().driver(DriverChoice::Uring).reactors(1).start() {
        Ok(_) => vec![DriverChoice::Poll, DriverChoice::Uring],
        Err(why) => {
            eprintln!("not tried on io_uring: {why}");
            vec![DriverChoice::Poll]
        }
    }
}

/// Never closes a connection by itself, and says how each ended. Its sessions have no default.
struct Stays {
    ends: Sender<(CloseReason, bool)>,
}

struct Visitor {
    peer: Peer,
    asked: bool,
}

impl Session for Visitor {}

impl Service for Stays {
    type Codec = Lines;
    type Session = Visitor;

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Visitor, Refused> {
        Ok(Visitor { peer: cx.peer(), asked: false })
    }

    fn message(&mut self, visitor: &mut Visitor, _: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[visitor.peer.to_string().as_bytes()]);
    }

    fn shutdown(&mut self, visitor: &mut Visitor, cx: &mut Context<'_, Self>) -> Shutdown {
        visitor.asked = true;
        cx.send(&[b"asked"]);
        Shutdown::GoOn
    }

    fn close(&mut self, visitor: Visitor, reason: CloseReason, _: &mut Context<'_, Self>) {
        let _ = self.ends.send((reason, visitor.asked));
    }
}

/// An engine that would take an hour to drain, and a client of it.
fn start(driver: DriverChoice) -> (Running, TcpStream, Receiver<(CloseReason, bool)>) {
    let (sender, ends) = channel();
    let running = Engine::new()
        .driver(driver)
        .reactors(2)
        .drain_timeout(Duration::from_secs(3_600))
        .listen("tcp://127.0.0.1:0", move || Stays { ends: sender.clone() })
        .expect("an address")
        .start()
        .expect("the engine starts");
    let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
    let mut client = TcpStream::connect(address).expect("the engine accepts");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.write_all(b"who am I\n").expect("it is open");
    let me = format!("{}\n", client.local_addr().expect("an address"));
    expect(&mut client, &me);
    (running, client, ends)
}

fn expect(client: &mut TcpStream, text: &str) {
    let mut got = vec![0; text.len()];
    client.read_exact(&mut got).expect("an answer comes");
    assert_eq!(String::from_utf8_lossy(&got), text);
}

/// Waits until the engine has closed the connection.
fn expect_end(client: &mut TcpStream) {
    match client.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => panic!("nothing more is said"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn an_engine_that_is_dropped_ends_at_once_and_gives_sessions_back() {
    for driver in drivers() {
        let (running, mut client, ends) = start(driver);
        #[allow(clippy::disallowed_methods)] // It stands for the patience of who drops it.
        let began = Instant::now();
        drop(running);
        assert!(began.elapsed() < PATIENCE, "{:?} with {driver:?}", began.elapsed());
        let asked = false;
        assert_eq!(
            ends.try_recv(),
            Ok((CloseReason::Shutdown, asked)),
            "its session came back before the drop returned"
        );
        expect_end(&mut client);
    }
}

#[test]
fn an_engine_that_is_dropped_while_it_drains_ends_at_once() {
    for driver in drivers() {
        let (running, mut client, ends) = start(driver);
        running.remote().stop();
        expect(&mut client, "asked\n");
        drop(running);
        assert_eq!(ends.try_recv(), Ok((CloseReason::Shutdown, true)));
        expect_end(&mut client);
    }
}

#[test]
fn a_second_signal_ends_the_wait_and_not_the_process() {
    for driver in drivers() {
        let (running, mut client, ends) = start(driver);
        running.stop_on_signals().expect("signals can be handled");
        let raise = || rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
        raise().expect("it may signal itself");
        expect(&mut client, "asked\n");
        let joined = std::thread::spawn(|| running.join());
        // Signals that come within 100 ms are one with the first, so it may take some.
        until("the second signal to count", || {
            raise().expect("it may signal itself");
            joined.is_finished()
        });
        let ended = joined.join().expect("it does not panic");
        assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?} with {driver:?}");
        assert_eq!(ends.recv_timeout(PATIENCE), Ok((CloseReason::Shutdown, true)), "the connection is not forgotten");
        expect_end(&mut client);
    }
}

struct Forgetful;

impl Service for Forgetful {
    type Codec = Lines;
    type Session = Visitor;

    fn message(&mut self, _: &mut Visitor, _: &[u8], _: &mut Context<'_, Self>) {
        unreachable!("nobody is let in");
    }
}

#[test]
fn a_service_that_cannot_make_a_session_refuses_everybody() {
    for driver in drivers() {
        let running = Engine::new().driver(driver).reactors(1).listen("tcp://127.0.0.1:0", || Forgetful);
        let running = running.expect("an address").start().expect("the engine starts");
        let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
        for _ in 0..3 {
            assert!(is_refused(address));
        }
    }
}
