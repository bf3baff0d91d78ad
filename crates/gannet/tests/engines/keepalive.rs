//! TCP keepalive, as the kernel's table of connections shows it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gannet::proto::Lines;
use gannet::{Address, Connect, Context, Engine, ListenOptions, Service};
use gannet_testing::until;

use crate::drivers;

struct Echo;

impl Service for Echo {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[line]);
    }
}

struct Caller(Sender<()>);

impl Service for Caller {
    type Codec = Lines;
    type Session = ();

    fn connected(&mut self, (): &mut (), _: &mut Context<'_, Self>) {
        self.0.send(()).expect("the test listens");
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

/// An address as the kernel's table has it.
fn written(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("{address} is IPv4") };
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

/// The seconds until the kernel asks the peer of a connection whether it is there, or nothing where it will not. Nothing at all
/// where the table does not show the connection: it is read in parts, while others come and go.
fn asks_in(local: SocketAddr, remote: SocketAddr) -> Option<Option<u64>> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1..3) == Some(&[&written(local), &written(remote)].map(String::as_str)));
    let (timer, hundredths) = row?[5].split_once(':').expect("a timer and its time");
    Some((timer == "02").then(|| u64::from_str_radix(hundredths, 16).expect("hexadecimal").div_ceil(100)))
}

/// Connects, and waits until the connection is open and quiet: then its timer is that of keepalive.
fn connect(address: &Address) -> (TcpStream, SocketAddr) {
    let Address::Tcp(address) = *address else { panic!("{address} is for TCP") };
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"hello\n").expect("it is open");
    let mut echo = [0; 6];
    stream.read_exact(&mut echo).expect("an answer comes");
    // A second round: with it, the first answer is acknowledged.
    stream.write_all(b"hello\n").expect("it is open");
    stream.read_exact(&mut echo).expect("an answer comes");
    (stream, address)
}

/// Waits until the timer of a connection is this one: what was sent last may still have to be acknowledged.
fn wait_for(local: SocketAddr, remote: SocketAddr, is_it: impl Fn(Option<u64>) -> bool) {
    let mut seen = None;
    until("the timer of a connection", || {
        seen = asks_in(local, remote).or(seen);
        seen.is_some_and(&is_it)
    });
}

/// As many seconds, or less by what a busy machine may have taken to look.
fn is_about(seconds: u64) -> impl Fn(Option<u64>) -> bool {
    move |asks| asks.is_some_and(|asks| (seconds / 3..=seconds).contains(&asks))
}

#[test]
fn a_silent_peer_of_an_accepted_connection_is_asked_whether_it_is_there() {
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(1);
        let engine = engine.listen("tcp://127.0.0.1:0", || Echo).expect("an address");
        let soon = ListenOptions::at("tcp://127.0.0.1:0").keepalive(Some(Duration::from_millis(59_001)));
        let engine = engine.listen(soon, || Echo).expect("an address");
        let never = ListenOptions::at("tcp://127.0.0.1:0").keepalive(None);
        let running = engine.listen(never, || Echo).expect("an address").start().expect("the engine starts");
        let addresses: Vec<Address> = running.addresses().cloned().collect();
        for (address, expected) in addresses.iter().zip([Some(300), Some(60), None]) {
            let (stream, server) = connect(address);
            let client = stream.local_addr().expect("it is connected");
            match expected {
                Some(seconds) => wait_for(server, client, is_about(seconds)),
                None => wait_for(server, client, |asks| asks.is_none()),
            }
        }
    }
}

#[test]
fn every_connection_of_an_engine_is_asked_as_the_engine_was_told() {
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(1).keepalive(Some(Duration::from_secs(7)));
        let (sender, up) = channel();
        let mut engine = engine.listen("tcp://127.0.0.1:0", || Echo).expect("an address");
        let caller = engine.outbound(move || Caller(sender.clone())).expect("room for a service");
        let running = engine.start().expect("the engine starts");
        let address = running.addresses().next().expect("it listens").clone();
        let (stream, server) = connect(&address);
        wait_for(server, stream.local_addr().expect("it is connected"), is_about(7));

        for (keepalive, expected) in
            [(None, Some(7)), (Some(Some(Duration::from_secs(20))), Some(20)), (Some(None), None)]
        {
            let callee = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let to = callee.local_addr().expect("it is bound");
            let mut connect = Connect::to(Address::Tcp(to));
            if let Some(after) = keepalive {
                connect = connect.keepalive(after);
            }
            running.remote().connect(0, caller, &connect, ()).expect("it runs");
            let (_stream, from) = callee.accept().expect("the engine connects");
            up.recv().expect("the engine connects");
            match expected {
                Some(seconds) => wait_for(from, to, is_about(seconds)),
                None => wait_for(from, to, |asks| asks.is_none()),
            }
        }
    }
}

#[test]
fn a_time_that_the_kernel_cannot_wait_is_refused() {
    for after in [Duration::ZERO, Duration::from_secs(40_000)] {
        let refused = Engine::new().reactors(1).keepalive(Some(after)).start().err().expect("out of range");
        assert!(refused.to_string().contains("it can be 1 s to 32767 s, or off"), "{refused}");
        let options = ListenOptions::at("tcp://127.0.0.1:0").keepalive(Some(after));
        let refused = Engine::new().listen(options, || Echo).err().expect("out of range");
        assert!(refused.to_string().contains("it can be 1 s to 32767 s, or off"), "{refused}");
    }
}
