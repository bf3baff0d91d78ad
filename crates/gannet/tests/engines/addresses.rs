//! Addresses of every kind, as clients meet them: wildcards, link-local ones, names with several, abstract names.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};

use gannet::proto::Lines;
use gannet::{Address, Connect, Context, DatagramContext, DatagramService, Engine, Service};
use gannet_testing::{PATIENCE, free_ports};

use crate::drivers;

/// The IPv6 addresses of this machine: each with the number and the name of its interface.
fn ipv6_addresses() -> Vec<(Ipv6Addr, u32, String)> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let row = |row: &str| {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let ip = u128::from_str_radix(cells.first()?, 16).ok()?;
        Some((Ipv6Addr::from(ip), u32::from_str_radix(cells.get(1)?, 16).ok()?, (*cells.last()?).to_owned()))
    };
    table.lines().filter_map(row).collect()
}

struct Echo;

impl Service for Echo {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[line]);
    }
}

impl DatagramService for Echo {
    fn datagram(&mut self, payload: &[u8], cx: &mut DatagramContext<'_>) {
        cx.reply(payload).expect("loopback has room");
    }
}

/// Says hello once it is connected, and to whom.
struct Caller(Sender<Result<SocketAddr, String>>);

impl Service for Caller {
    type Codec = Lines;
    type Session = ();

    fn connected(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        cx.send(&[b"hello"]);
        self.0.send(Ok(cx.peer().address().expect("it is TCP"))).expect("the test listens");
    }

    fn connect_failed(&mut self, (): (), error: &std::io::Error, _: &mut Context<'_, Self>) {
        self.0.send(Err(error.to_string())).expect("the test listens");
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

fn socket_of(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) | Address::Udp(address) => *address,
        other => panic!("{other} has no IP address"),
    }
}

/// A client that is connected hears only from the address it asked.
fn ask_by_udp(from: SocketAddr, to: SocketAddr) {
    let client = UdpSocket::bind(from).expect("an address of this machine");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.connect(to).expect("loopback is reachable");
    for payload in [&b"who are you?"[..], b"", &[7; 20_000]] {
        client.send(payload).expect("loopback takes it");
        let mut answer = vec![0; 65_536];
        let count = client.recv(&mut answer).unwrap_or_else(|error| panic!("{to} does not answer {from}: {error}"));
        assert_eq!(&answer[..count], payload);
    }
}

#[test]
fn a_datagram_is_answered_from_the_address_it_was_sent_to() {
    for driver in drivers() {
        for reactors in [1, 2] {
            let engine = Engine::new().driver(driver).reactors(reactors);
            let engine = engine.listen_datagrams("udp://0.0.0.0:0", || Echo).expect("an address");
            let running = engine.start().expect("the engine starts");
            let port = socket_of(running.addresses().next().expect("it listens")).port();
            for (from, to) in [(1, 5), (5, 1), (1, 1), (9, 8)] {
                let address = |last, port| SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), port);
                ask_by_udp(address(from, 0), address(to, port));
            }
        }
    }
}

#[test]
fn a_datagram_over_ipv6_is_answered_from_the_address_it_was_sent_to() {
    let all = ipv6_addresses();
    if all.is_empty() {
        return eprintln!("not tried: this machine has no IPv6");
    }
    let address = |(ip, interface, _): &(Ipv6Addr, u32, String), port| {
        let zone = if ip.is_unicast_link_local() { *interface } else { 0 };
        SocketAddr::from(SocketAddrV6::new(*ip, port, 0, zone))
    };
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(2);
        let engine = engine.listen_datagrams("udp://[::]:0", || Echo).expect("an address");
        let running = engine.start().expect("the engine starts");
        let port = socket_of(running.addresses().next().expect("it listens")).port();
        for from in &all {
            // Only on its own interface a link-local address has a way to others.
            for to in all
                .iter()
                .filter(|to| !(from.0.is_unicast_link_local() || to.0.is_unicast_link_local()) || from.1 == to.1)
            {
                ask_by_udp(address(from, 0), address(to, port));
            }
        }
    }
}

#[test]
fn a_socket_with_one_address_answers_as_before() {
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(1);
        let engine = engine.listen_datagrams("udp://127.0.0.7:0", || Echo).expect("an address");
        let running = engine.start().expect("the engine starts");
        let to = socket_of(running.addresses().next().expect("it listens"));
        ask_by_udp("127.0.0.1:0".parse().expect("an address"), to);
    }
}

#[test]
fn a_link_local_address_is_listened_on_and_connected_to_by_the_name_of_its_interface() {
    let link_local = ipv6_addresses().into_iter().find(|(ip, ..)| ip.is_unicast_link_local());
    let Some((ip, interface, name)) = link_local else {
        return eprintln!("not tried: this machine has no link-local IPv6 address");
    };
    for driver in drivers() {
        let (sender, reports) = channel();
        let mut engine = Engine::new().driver(driver).reactors(1);
        let caller = engine.outbound(move || Caller(sender.clone())).expect("room for a service");
        let engine = engine.listen(format!("tcp://[{ip}%{name}]:0"), || Echo).expect("it has a zone");
        let running = engine.listen_datagrams(format!("udp://[{ip}%{interface}]:0"), || Echo).expect("it has a zone");
        let running = running.start().expect("the engine starts");
        let addresses: Vec<Address> = running.addresses().cloned().collect();
        for address in &addresses {
            assert_eq!(&address.to_string().parse::<Address>().expect("it is written as it is read"), address);
        }
        let to = socket_of(&addresses[0]);
        let mut stream = TcpStream::connect(to).expect("it listens there");
        stream.write_all(b"hello\n").expect("it is open");
        let mut echo = [0; 6];
        stream.read_exact(&mut echo).expect("an answer comes");
        ask_by_udp(SocketAddrV6::new(ip, 0, 0, interface).into(), socket_of(&addresses[1]));

        let connect = Connect::resolve(&format!("tcp://[{ip}%{name}]:{}", to.port())).expect("it has a zone");
        // The source is on the interface of the target.
        let connect = connect.from(SocketAddr::new(ip.into(), 0));
        running.remote().connect(0, caller, &connect, ()).expect("it runs");
        assert_eq!(reports.recv_timeout(PATIENCE), Ok(Ok(to)));
    }
}

/// A port on which nobody listens at this address.
fn refusing(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, free_ports(1)[0].port())
}

#[test]
fn of_several_addresses_the_one_that_answers_is_connected_to() {
    for driver in drivers() {
        let (sender, reports) = channel();
        let mut engine = Engine::new().driver(driver).reactors(2);
        let caller = engine.outbound(move || Caller(sender.clone())).expect("room for a service");
        let running = engine.start().expect("the engine starts");
        let callee = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let to = callee.local_addr().expect("it is bound");
        let refused = [refusing(Ipv4Addr::new(127, 0, 0, 2).into()), refusing(Ipv4Addr::new(127, 0, 0, 3).into())];
        // Nothing is routed there (RFC 5737); or something drops it without a word.
        let nowhere: SocketAddr = "192.0.2.1:9".parse().expect("an address");
        for before in [&refused[..], &[nowhere], &[nowhere, refused[0]]] {
            let all = before.iter().chain([&to]).map(|address| Address::Tcp(*address));
            running.remote().connect(1, caller, &Connect::to_any(all), ()).expect("it runs");
            assert_eq!(reports.recv_timeout(PATIENCE), Ok(Ok(to)), "{before:?} on {driver:?}");
            let (mut stream, _) = callee.accept().expect("the engine connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut hello = [0; 6];
            stream.read_exact(&mut hello).expect("it speaks");
            assert_eq!(&hello, b"hello\n");
        }
        let all = refused.iter().map(|address| Address::Tcp(*address));
        running.remote().connect(0, caller, &Connect::to_any(all), ()).expect("it runs");
        assert!(matches!(reports.recv_timeout(PATIENCE), Ok(Err(error)) if error.contains("refused")));
        assert!(running.remote().connect(0, caller, &Connect::to_any([]), ()).is_err(), "that goes nowhere");
    }
}

#[test]
fn a_name_is_listened_on_at_all_of_its_addresses_that_this_machine_has() {
    let all = Address::all("tcp://localhost:0").expect("localhost is known everywhere");
    let here: Vec<IpAddr> = all.iter().map(|address| socket_of(address).ip()).collect();
    let here: Vec<IpAddr> = here.into_iter().filter(|ip| TcpListener::bind((*ip, 0)).is_ok()).collect();
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(2).listen("tcp://localhost:0", || Echo).expect("a name");
        let running = engine.start().expect("the engine starts");
        let listening: Vec<SocketAddr> = running.addresses().map(socket_of).collect();
        assert_eq!(listening.iter().map(SocketAddr::ip).collect::<Vec<_>>(), here);
        for address in listening {
            let mut stream = TcpStream::connect(address).expect("it listens there");
            stream.write_all(b"hello\n").expect("it is open");
            let mut echo = [0; 6];
            stream.read_exact(&mut echo).expect("an answer comes");
        }
    }
}

#[test]
fn an_abstract_name_is_a_unix_socket_without_a_file() {
    for driver in drivers() {
        for reactors in [1, 2] {
            let name = format!("gannet-{}-{driver:?}-{reactors}", std::process::id());
            let engine = Engine::new().driver(driver).reactors(reactors);
            let engine = engine.listen(format!("unix://@{name}"), || Echo).expect("a name");
            let running = engine.start().expect("the engine starts");
            let shown = running.addresses().next().expect("it listens").to_string();
            assert_eq!(shown, format!("unix://@{name}"));
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
            let mut stream = UnixStream::connect_addr(&address).expect("it listens there");
            stream.write_all(b"hello\n").expect("it is open");
            let mut echo = [0; 6];
            stream.read_exact(&mut echo).expect("an answer comes");
            let taken = Engine::new().driver(driver).reactors(1).listen(&shown, || Echo).expect("a name").start();
            assert!(taken.err().is_some_and(|error| error.to_string().contains("in use")));
        }
    }
}
