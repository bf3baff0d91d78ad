//! Drains of whole engines over real sockets: what new clients see while the others leave, and afterwards.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use gannet::proto::Lines;
use gannet::{Address, Balance, Context, Drain, DriverChoice, Engine, ListenOptions, RefusalReason, Running, Service};
// An order reaches reactors in their next turn.
use gannet_testing::{PATIENCE, free_ports, until};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

fn drivers() -> Vec<DriverChoice> {
    match Engine::new().driver(DriverChoice::Uring).reactors(1).start() {
        Ok(_) => vec![DriverChoice::Poll, DriverChoice::Uring],
        Err(why) => {
            eprintln!("not tried on io_uring: {why}");
            vec![DriverChoice::Poll]
        }
    }
}

struct Echo;

impl Service for Echo {
    type Codec = Lines;
    type Session = ();

    fn refusal(&self, why: RefusalReason) -> &'static [u8] {
        if why == RefusalReason::Shutdown { b"elsewhere\n" } else { b"" }
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[line]);
    }
}

fn address(running: &Running) -> SocketAddr {
    let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
    address
}

fn is_served(stream: &mut (impl Read + Write)) -> bool {
    let mut answer = [0; 3];
    stream.write_all(b"hi\n").and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer == *b"hi\n"
}

fn client(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[test]
fn a_drain_that_is_cancelled_has_refused_new_clients_and_served_the_old_ones() {
    for (driver, balance) in drivers().into_iter().zip([Balance::default(), Balance::RoundRobin].into_iter().cycle()) {
        for balance in [balance, Balance::LeastConnections] {
            let running = Engine::new()
                .driver(driver)
                .reactors(2)
                .balance(balance)
                .drain_spread(LONG)
                // A port that the kernel chose is anybody's while its listeners refuse.
                .listen(format!("tcp://{}", free_ports(1)[0]), || Echo)
                .expect("an address")
                .start()
                .expect("the engine starts");
            let address = address(&running);
            let mut old = client(address).expect("it accepts");
            assert!(is_served(&mut old));
            running.remote().drain(&Drain::new()).expect("nothing drains yet");
            until(
                "the refusal",
                || matches!(client(address), Err(error) if error.kind() == ErrorKind::ConnectionRefused),
            );
            assert!(is_served(&mut old), "its time has not come");
            assert!(running.remote().cancel_drain(None).expect("the engine"));
            until("service", || client(address).is_ok_and(|mut new| is_served(&mut new)));
            assert!(is_served(&mut old));
            // More than one listener of the address accepts again.
            let mut all: Vec<_> = (0..32).map(|_| client(address).expect("it accepts")).collect();
            assert!(all.iter_mut().all(is_served));
            running.remote().drain(&Drain::new().spread(Duration::ZERO)).expect("it is over");
            running.join().expect("the engine ends by itself when all have left");
        }
    }
}

#[test]
fn clients_of_a_unix_socket_are_refused_with_a_text_while_it_drains_and_served_afterwards() {
    let folder = std::env::temp_dir().join(format!("gannet-drain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the socket");
    for driver in drivers() {
        for reactors in [1, 2] {
            let path = folder.join("socket");
            let url = format!("unix://{}", path.display());
            let engine = Engine::new().driver(driver).reactors(reactors).listen(&url, || Echo).expect("an address");
            let running = engine.start().expect("the engine starts");
            let connect = |path: &Path| UnixStream::connect(path).expect("it listens");
            assert!(is_served(&mut connect(&path)));
            running.remote().drain(&Drain::new().listener(&url)).expect("there is such a listener");
            until("the refusal", || !is_served(&mut connect(&path)));
            assert!(running.remote().cancel_drain(Some(&url)).expect("there is such a listener"));
            until("service", || is_served(&mut connect(&path)));
        }
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn an_operational_listener_serves_until_the_last_client_has_left() {
    let folder = std::env::temp_dir().join(format!("gannet-drain-operational-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the socket");
    for driver in drivers() {
        // With two reactors a thread of its own accepts on a Unix socket.
        for (reactors, is_final) in [(1, false), (2, false), (1, true), (2, true)] {
            let path = folder.join("socket");
            let operational = ListenOptions::at(format!("unix://{}", path.display())).operational();
            let engine = Engine::new().driver(driver).reactors(reactors).drain_spread(LONG);
            let engine = engine.listen("tcp://127.0.0.1:0", || Echo).expect("an address");
            let running = engine.listen(operational, || Echo).expect("an address").start().expect("the engine starts");
            let operator = || UnixStream::connect(&path).is_ok_and(|mut stream| is_served(&mut stream));
            let address = address(&running);
            let mut last = client(address).expect("it accepts");
            assert!(is_served(&mut last));
            if is_final {
                running.remote().stop();
            } else {
                running.remote().drain(&Drain::new()).expect("nothing drains yet");
            }
            until(
                "the refusal",
                || matches!(client(address), Err(error) if error.kind() == ErrorKind::ConnectionRefused),
            );
            assert!((0..8).all(|_| operator()), "each reactor has its turn");
            assert!(is_served(&mut last), "its time has not come");
            drop(last);
            until("the end", || !operator());
            running.join().expect("the engine ends by itself");
        }
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

#[test]
fn reactors_end_together_however_their_clients_are_spread() {
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(3).balance(Balance::RoundRobin);
        let running = engine.listen("tcp://127.0.0.1:0", || Echo).expect("an address").start().expect("it starts");
        let mut only = client(address(&running)).expect("it accepts");
        assert!(is_served(&mut only));
        running.remote().stop();
        assert_eq!(only.read(&mut [0]).expect("an end"), 0);
        drop(only);
        running.join().expect("it ends");
    }
}

#[test]
fn an_order_for_a_listener_that_is_none_names_those_that_are() {
    let engine = Engine::new().reactors(1).driver(DriverChoice::Poll);
    let running = engine.listen("tcp://127.0.0.1:0", || Echo).expect("an address").start().expect("it starts");
    let error = running.remote().drain(&Drain::new().listener("public")).expect_err("there is none");
    let said = error.to_string();
    assert!(said.contains("\"public\"") && said.contains("tcp://127.0.0.1:"), "{said}");
    running.remote().stop();
    assert!(running.remote().drain(&Drain::new()).is_err(), "it ends already");
}
