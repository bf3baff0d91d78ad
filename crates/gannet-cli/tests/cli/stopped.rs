//! Servers that stand still for a while, as in a suspend or a live migration: who spoke meanwhile is not taken for silent.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use gannet_testing::until;
use rustix::process::Signal;

use crate::server::{Server, Stream, drivers, frame};

/// Stops the servers, has the clients go on, and waits until so much time has passed.
#[allow(clippy::disallowed_methods)] // Time is what these tests are about.
fn stop_for(servers: &[Server], time: Duration, meanwhile: impl FnOnce()) {
    servers.iter().for_each(|server| server.signal(Signal::STOP));
    let until = Instant::now() + time;
    meanwhile();
    while Instant::now() < until {
        std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
    }
    servers.iter().for_each(|server| server.signal(Signal::CONT));
}

/// Connections of HTTP that a server knows of.
fn known(server: &Server) -> usize {
    let mut stream = server.connect("http");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("it is taken");
    let page = String::from_utf8(stream.rest()).expect("text");
    let counts = page.lines().filter(|line| line.starts_with("gannet_connections{"));
    let counts = counts.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok()));
    counts.map(|count| count.unwrap_or_else(|| panic!("{page}"))).sum()
}

#[test]
fn a_request_that_came_while_the_server_was_stopped_is_answered_however_long_that_was() {
    const HEAD: &str = "GET /hello/you HTTP/1.1\r\n";
    const REST: &str = "Host: h\r\n\r\n";
    // All drivers at once, since the time for a request is 10 s.
    let servers: Vec<_> =
        drivers().iter().map(|driver| Server::serve(driver, &["--listen=http=tcp://127.0.0.1:0"])).collect();
    let mut clients: Vec<Stream> = Vec::new();
    for server in &servers {
        // Nothing came of its request, half of the head came, and one request was answered before.
        let (fresh, mut half, mut used) = (server.connect("http"), server.connect("http"), server.connect("http"));
        half.write_all(HEAD.as_bytes()).expect("it is taken");
        write!(used, "{HEAD}{REST}").expect("it is taken");
        assert!(used.read(&mut [0; 1_024]).expect("an answer") > 0);
        until("all of them and the one that asks", || known(server) >= 4);
        clients.extend([fresh, half, used]);
    }
    stop_for(&servers, Duration::from_millis(10_500), || {
        for (index, client) in clients.iter_mut().enumerate() {
            let begin = if index % 3 == 1 { "" } else { HEAD };
            write!(client, "{begin}Connection: close\r\n{REST}").expect("the kernel takes it");
        }
    });
    for client in &mut clients {
        let answer = String::from_utf8(client.rest()).expect("text");
        let answer = answer.rsplit_once("HTTP/1.1 ").map_or("", |(_, answer)| answer);
        assert!(answer.starts_with("200 OK\r\n") && answer.ends_with("\r\n\r\nhello you\n"), "{answer}");
    }
}

/// The next frame.
fn next(client: &mut Stream) -> Vec<u8> {
    let mut length = [0; 4];
    client.read_exact(&mut length).expect("the connection lives");
    let mut payload = vec![0; u32::from_be_bytes(length) as usize];
    client.read_exact(&mut payload).expect("the connection lives");
    payload
}

#[test]
fn a_client_that_answers_its_pings_is_not_closed_because_the_server_was_stopped() {
    let servers: Vec<_> = drivers()
        .iter()
        .map(|driver| Server::serve(driver, &["--listen=frames=tcp://127.0.0.1:0", "--heartbeat=500ms"]))
        .collect();
    let mut clients: Vec<Stream> = servers.iter().map(|server| server.connect("frames")).collect();
    let pong = |clients: &mut [Stream], times: usize| {
        for _ in 0..times {
            for client in clients.iter_mut() {
                assert_eq!(next(client), b"");
                client.write_all(&frame(b"")).expect("it is taken");
            }
        }
    };
    pong(&mut clients, 2);
    // Much longer than the third ping in vain takes: once when every ping is answered, and once when one waits for it.
    for waits in [false, true] {
        if waits {
            clients.iter_mut().for_each(|client| assert_eq!(next(client), b""));
        }
        stop_for(&servers, Duration::from_millis(3_500), || {
            if waits {
                clients.iter_mut().for_each(|client| client.write_all(&frame(b"")).expect("the kernel takes it"));
            }
        });
        pong(&mut clients, 4);
    }
    for client in &mut clients {
        client.write_all(&frame(b"here")).expect("it is taken");
        while next(client) != b"here" {}
    }
    // Who answers none is closed all the same.
    for server in &servers {
        assert_eq!(server.connect("frames").rest(), [frame(b""), frame(b"")].concat());
    }
}
