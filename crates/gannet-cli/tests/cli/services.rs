//! What each service answers, over each kind of socket it listens on.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use gannet_testing::PATIENCE;
use rustix::process::Signal;

use crate::server::{Folder, Server, Stream, drivers, frame};

/// A server with all four services over TCP and Unix sockets, and the folder of those.
fn everything(driver: &str, name: &str) -> (Server, Folder) {
    let folder = Folder::new(&format!("{name}-{driver}"));
    let mut options = Vec::new();
    for service in ["echo", "lines", "frames", "discard"] {
        options.push(format!("--listen={service}=tcp://127.0.0.1:0"));
        options.push(format!("--listen={service}={}", folder.url(service)));
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    (Server::serve(driver, &options), folder)
}

#[test]
fn a_peer_that_has_sent_everything_and_ended_its_side_gets_every_answer() {
    for driver in drivers() {
        let (server, _folder) = everything(driver, "half-closed");
        for (service, request, answer) in [
            ("echo", b"any\0bytes".to_vec(), b"any\0bytes".to_vec()),
            ("lines", b"one\r\n\ntwo\nthe last".to_vec(), b"echo: one\necho: \necho: two\necho: the last\n".to_vec()),
            (
                "frames",
                [frame(b"one"), frame(b""), frame(b"two")].concat(),
                [frame(b"one"), frame(b""), frame(b"two")].concat(),
            ),
            ("discard", b"anything".to_vec(), Vec::new()),
        ] {
            let urls = server.urls(service);
            assert_eq!(urls.len(), 2, "{:#?}", server.banner());
            for url in urls {
                let mut stream = Stream::connect(&url);
                stream.write_all(&request).expect("the server takes it");
                stream.finish();
                assert_eq!(stream.rest(), answer, "{service} at {url} with {driver}");
            }
        }
    }
}

#[test]
fn a_conversation_goes_on_for_as_long_as_the_peer_likes() {
    for driver in drivers() {
        let (server, _folder) = everything(driver, "conversation");
        for (service, request, answer) in [
            ("echo", b"hello".to_vec(), b"hello".to_vec()),
            ("lines", b"hello\n".to_vec(), b"echo: hello\n".to_vec()),
            ("frames", frame(b"hello"), frame(b"hello")),
        ] {
            for url in server.urls(service) {
                let mut stream = Stream::connect(&url);
                for _ in 0..100 {
                    stream.ask(&request, &answer);
                }
            }
        }
    }
}

#[test]
fn messages_are_whole_however_the_network_cuts_them() {
    for driver in drivers() {
        let (server, _folder) = everything(driver, "cut");
        let lines: Vec<u8> = (0..2_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        let answers: Vec<u8> = (0..2_000).flat_map(|number| format!("echo: line {number}\n").into_bytes()).collect();
        let mut stream = server.connect("lines");
        let mut twin = stream.twin();
        let reader = std::thread::spawn(move || twin.rest());
        for piece in lines.chunks(7) {
            stream.write_all(piece).expect("the server takes it");
        }
        stream.finish();
        assert!(reader.join().expect("the reader ends") == answers, "with {driver}");
    }
}

#[test]
fn datagrams_are_echoed_to_their_sender_and_discarded_ones_are_not() {
    for driver in drivers() {
        let options = ["--listen=echo=udp://127.0.0.1:0", "--listen=discard=udp://127.0.0.1:0"];
        let server = Server::serve(driver, &options);
        let address = |service: &str| server.url(service).strip_prefix("udp://").expect("a UDP URL").to_owned();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut buffer = vec![0; 65_536];
        for length in [1, 0, 1_400, 65_000] {
            let payload = vec![b'x'; length];
            socket.send_to(&payload, address("discard")).expect("sent");
            socket.send_to(&payload, address("echo")).expect("sent");
            let (count, from) = socket.recv_from(&mut buffer).expect("an answer");
            assert_eq!((from.to_string(), &buffer[..count]), (address("echo"), &payload[..]), "with {driver}");
        }
    }
}

#[test]
fn a_ping_is_answered_and_the_answer_to_a_ping_is_not() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen=frames=tcp://127.0.0.1:0", "--heartbeat=2s"]);
        let mut stream = server.connect("frames");
        stream.ask(&frame(b""), &frame(b""));
        // The server's own ping, after a silence of ours; then our answer to it, and something that it echoes.
        stream.expect(&frame(b""));
        stream.ask(&[frame(b""), frame(b"after")].concat(), &frame(b"after"));
        // Its ping is answered, so that the next one is a question of ours again.
        stream.ask(&frame(b""), &frame(b""));
    }
}

#[test]
fn a_peer_that_answers_no_ping_is_closed() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen=frames=tcp://127.0.0.1:0", "--heartbeat=100ms"]);
        let rest = server.connect("frames").rest();
        assert_eq!(rest, [frame(b""), frame(b"")].concat(), "with {driver}");
        assert!(server.stop().status.success());
    }
}

#[test]
fn a_silent_peer_is_closed_where_an_idle_timeout_was_asked_for() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen=echo=tcp://127.0.0.1:0", "--idle-timeout=3s"]);
        let mut stream = server.connect("echo");
        stream.ask(b"hello", b"hello");
        assert_eq!(stream.rest(), b"", "with {driver}");
    }
}

#[test]
fn clients_that_spoke_while_the_server_was_stopped_are_not_idle_when_it_goes_on() {
    for driver in drivers() {
        let server = Server::serve(
            driver,
            &["--listen=redis=tcp://127.0.0.1:0", "--listen=frames=tcp://127.0.0.1:0", "--idle-timeout=2s"],
        );
        let mut clients: Vec<_> = (0..50).map(|_| server.connect("redis")).collect();
        let mut framed = server.connect("frames");
        clients.iter_mut().for_each(|client| client.ask(b"PING\r\n", b"+PONG\r\n"));
        framed.ask(&frame(b"ping"), &frame(b"ping"));
        server.signal(Signal::STOP);
        #[allow(clippy::disallowed_methods)] // Clients that go on by the clock.
        let began = Instant::now();
        let mut rounds = 0;
        while began.elapsed() < Duration::from_millis(4_500) {
            clients.iter_mut().for_each(|client| client.write_all(b"PING\r\n").expect("the kernel takes it"));
            framed.write_all(&frame(b"ping")).expect("the kernel takes it");
            rounds += 1;
            std::thread::park_timeout(Duration::from_millis(100));
        }
        server.signal(Signal::CONT);
        // One that is closed as idle has answers missing. Later requests would have to come within the idle timeout.
        clients.iter_mut().for_each(|client| client.expect(&b"+PONG\r\n".repeat(rounds)));
        framed.expect(&frame(b"ping").repeat(rounds));
    }
}

#[test]
fn a_redis_subscriber_stays_where_a_client_without_traffic_is_closed() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen=redis=tcp://127.0.0.1:0", "--idle-timeout=3s"]);
        let (mut subscriber, silent) = (server.connect("redis"), server.connect("redis"));
        let subscribed = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
        subscriber.ask(b"SUBSCRIBE c\r\n", subscribed);
        assert_eq!({ silent }.rest(), b"", "with {driver}");
        // It has been without traffic for as long at the least.
        let second = server.connect("redis");
        assert_eq!({ second }.rest(), b"", "with {driver}");
        server.connect("redis").ask(b"PUBLISH c hi\r\n", b":1\r\n");
        subscriber.expect(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n");
    }
}

#[test]
fn a_message_over_the_limit_closes_its_connection_after_the_answers_before_it() {
    for driver in drivers() {
        let listeners = ["--listen=lines=tcp://127.0.0.1:0", "--listen=frames=tcp://127.0.0.1:0", "--max-frame=1KiB"];
        let server = Server::serve(driver, &listeners);
        let mut stream = server.connect("frames");
        stream.ask(&frame(&[1; 1_024]), &frame(&[1; 1_024]));
        stream.write_all(&[&frame(b"last")[..], &1_025u32.to_be_bytes()].concat()).expect("the server takes it");
        assert_eq!(stream.rest(), frame(b"last"), "with {driver}");
        let mut stream = server.connect("lines");
        stream.write_all(&[b"last\n", &[b'x'; 1_025][..]].concat()).expect("the server takes it");
        assert_eq!(stream.rest(), b"echo: last\n", "with {driver}");
    }
}

#[test]
fn the_largest_frame_that_was_allowed_is_echoed() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen=frames=tcp://127.0.0.1:0", "--max-frame=8MiB"]);
        let stream = server.connect("frames");
        let sent = frame(&(0..8 << 20).map(|index: u32| (index % 251) as u8).collect::<Vec<u8>>());
        let (mut writer, expected) = (stream.twin(), sent.clone());
        let writer = std::thread::spawn(move || writer.write_all(&sent));
        let mut got = vec![0; expected.len()];
        { stream }.read_exact(&mut got).expect("the server answers");
        assert!(got == expected, "with {driver}");
        writer.join().expect("the writer ends").expect("the server takes it");
    }
}
