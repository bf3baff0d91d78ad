//! What one turn looks at: nothing more often than once, however often it was put on the list.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use gannet_testing::until;

use super::*;
use crate::listener::listen_tcp;

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// What happens in one turn, without waiting; chunks go back at once.
fn turn(driver: &mut PollDriver, mut each: impl FnMut(&mut PollDriver, &Event<OwnedFd>)) {
    driver.wait(Some(Duration::ZERO)).expect("it polls");
    while let Some(event) = driver.next(&mut ()) {
        each(driver, &event);
        if let Event::Received { chunk, .. } | Event::Datagram { chunk, .. } = event {
            driver.recycle(chunk);
        }
    }
}

/// A connection with this token, and its other end, which does not block.
fn connected(driver: &mut PollDriver, token: Token) -> TcpStream {
    let listener = TcpListener::bind(loopback()).expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (server, _) = listener.accept().expect("somebody connects");
    for socket in [&client, &server] {
        socket.set_nonblocking(true).expect("a socket");
    }
    driver.adopt(token, server.into()).expect("there is room");
    client
}

#[test]
fn a_connection_that_always_has_more_gets_its_reads_of_a_turn_and_no_more() {
    let mut driver = PollDriver::new().expect("a driver");
    let mut client = connected(&mut driver, 0);
    driver.receive(0, true);
    let mut total = 0;
    until("16 MiB to arrive", || {
        // Something new each turn, which the kernel reports beside what is on the list still.
        while client.write(&[7; 64 << 10]).is_ok() {}
        let mut reads = 0;
        turn(&mut driver, |driver, event| {
            let Event::Received { chunk, .. } = event else { panic!("{event:?}") };
            (reads, total) = (reads + 1, total + chunk.len());
            // Stopped and wanted again in the middle of it.
            driver.receive(0, false);
            driver.receive(0, true);
        });
        assert!(reads <= READS, "{reads} reads in a turn");
        total >= 16 << 20
    });
}

#[test]
fn who_takes_the_place_of_a_flooding_connection_is_looked_at_once_a_turn_too() {
    let mut driver = PollDriver::new().expect("a driver");
    let mut client = connected(&mut driver, 0);
    driver.receive(0, true);
    until("more than a turn reads", || {
        while client.write(&[7; 64 << 10]).is_ok() {}
        turn(&mut driver, |_, _| {});
        driver.again == [0]
    });
    driver.close(0, true);
    let mut client = connected(&mut driver, 0);
    driver.receive(0, true);
    let mut full_turns = 0;
    until("ten turns with all their reads", || {
        while client.write(&[7; 64 << 10]).is_ok() {}
        let mut reads = 0;
        turn(&mut driver, |_, event| reads += u8::from(matches!(event, Event::Received { .. })));
        assert!(reads <= READS, "{reads} reads in a turn");
        full_turns += usize::from(reads == READS);
        full_turns == 10
    });
}

#[test]
fn a_full_backlog_is_taken_in_with_a_bound_on_each_turn() {
    let mut driver = PollDriver::new().expect("a driver");
    let (address, mut sockets) = listen_tcp(loopback(), 1, None).expect("a free port");
    driver.listen(0, sockets.remove(0)).expect("it listens");
    driver.accept(0, true);
    let (mut clients, mut accepted) = (Vec::new(), 0);
    until("200 accepts", || {
        if clients.len() < 200 {
            clients.extend((0..40).map(|_| TcpStream::connect(address).expect("it listens")));
        }
        let before = accepted;
        turn(&mut driver, |driver, event| {
            accepted += usize::from(matches!(event, Event::Accepted { .. }));
            driver.accept(0, false);
            driver.accept(0, true);
        });
        assert!(accepted - before <= usize::from(ACCEPTS), "{} accepts in a turn", accepted - before);
        accepted == 200
    });
}

#[test]
fn datagrams_of_a_socket_come_with_a_bound_on_each_turn() {
    let mut driver = PollDriver::new().expect("a driver");
    let socket = UdpSocket::bind(loopback()).expect("a free port");
    socket.set_nonblocking(true).expect("a socket");
    let address = socket.local_addr().expect("it is bound");
    driver.bind(0, socket).expect("it is registered");
    let client = UdpSocket::bind(loopback()).expect("a free port");
    let (mut sent, mut received) = (0, 0);
    until("200 datagrams", || {
        let more = 40.min(200 - sent);
        for _ in 0..more {
            client.send_to(b"datagram", address).expect("there is room");
        }
        sent += more;
        let before = received;
        turn(&mut driver, |_, event| received += usize::from(matches!(event, Event::Datagram { .. })));
        assert!(received - before <= usize::from(DATAGRAMS), "{} datagrams in a turn", received - before);
        received == 200
    });
}
