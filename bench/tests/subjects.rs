//! What is measured as servers: they must be right before they are fast.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

const ECHOES: [&str; 4] = ["floor-epoll", "gannet-poll", "floor-uring", "gannet-uring"];
/// Floors with another way of learning that a send is over, or of sharing buffers.
const VARIANTS: [&str; 3] = ["uring-reported", "uring-coop", "uring-incremental"];
/// The engine is not among them: it closes who is over the hard limit of its outbox.
const SENDS: [&str; 2] = ["sends-epoll", "sends-uring"];

/// Redis itself is not among them: it may not be installed.
const STORES: [&str; 2] = ["gannet-redis-poll", "gannet-redis-uring"];

/// nginx is not among them either.
const HTTP: [&str; 2] = ["gannet-http-poll", "gannet-http-uring"];
const ROUTES: [&str; 2] = ["routes-poll", "routes-uring"];
const CONVERSATIONS: [&str; 2] = ["ws-echo-poll", "ws-echo-uring"];

struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn start(subject: &str) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(30_500);
        loop {
            let port = NEXT.fetch_add(1, Ordering::Relaxed);
            let mut child = Command::new(env!("CARGO_BIN_EXE_gannet-bench"))
                .args(["server", subject, "--port", &port.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the binary starts");
            let output = BufReader::new(child.stdout.take().expect("piped"));
            let mut server = Self { child, output, port };
            if server.line() == format!("ready {port}\n") {
                return server;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes that show it when a part is lost, doubled or moved.
fn numbered(len: usize) -> Vec<u8> {
    (0u32..).flat_map(u32::to_le_bytes).take(len).collect()
}

#[test]
fn a_client_that_does_not_read_for_a_while_gets_every_byte_in_order() {
    for subject in ECHOES.into_iter().chain(VARIANTS) {
        let server = Server::start(subject);
        let sent = numbered(12 << 20);
        let mut reader = server.connect();
        let mut writer = reader.try_clone().expect("a second handle");
        // Write until both directions are full, and only then begin to read.
        writer.set_write_timeout(Some(Duration::from_millis(300))).expect("a time-out");
        let mut done = 0;
        while done < sent.len() {
            match writer.write(&sent[done..]) {
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{subject}: {error}"),
            }
        }
        writer.set_write_timeout(None).expect("no time-out");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&sent[done..]).expect("the server reads on");
                writer.shutdown(Shutdown::Write).expect("an end");
            });
            let mut received = Vec::new();
            reader.read_to_end(&mut received).expect("the server writes on");
            assert!(received == sent, "{subject}: {} bytes came back", received.len());
        });
    }
}

#[test]
fn connections_that_come_and_go_are_not_mixed_up() {
    for subject in ECHOES {
        let server = Server::start(subject);
        for round in 0..50u8 {
            let mut streams: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
            for (index, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&[round, index as u8]).expect("the server reads");
                // Half of them leave without waiting for the answer.
                if index % 2 == 0 {
                    stream.shutdown(Shutdown::Both).expect("an end");
                }
            }
            for (index, stream) in streams.iter_mut().enumerate().skip(1).step_by(2) {
                let mut reply = [0; 2];
                stream.read_exact(&mut reply).expect("an answer");
                assert_eq!(reply, [round, index as u8], "{subject}");
            }
        }
    }
}

#[test]
fn a_half_closed_connection_is_answered_and_then_closed() {
    for subject in ECHOES {
        let server = Server::start(subject);
        let mut stream = server.connect();
        stream.write_all(b"last words").expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("an end");
        let mut received = String::new();
        stream.read_to_string(&mut received).expect("an answer");
        assert_eq!(received, "last words", "{subject}");
    }
}

#[test]
fn the_floor_says_how_many_bytes_it_has_received() {
    let mut server = Server::start("floor-epoll");
    let mut streams = [server.connect(), server.connect()];
    for total in [0, 2_000, 4_000] {
        writeln!(server.child.stdin.as_mut().expect("piped")).expect("the server reads");
        assert_eq!(server.line(), format!("{total}\n"));
        for stream in &mut streams {
            let mut bytes = [0; 1_000];
            stream.write_all(&bytes).expect("the server reads");
            stream.read_exact(&mut bytes).expect("an answer");
        }
    }
}

#[test]
fn a_member_that_does_not_read_for_a_while_gets_every_broadcast() {
    const PAYLOAD: usize = 64;
    const BROADCASTS_SENT: usize = 100_000;
    for subject in SENDS {
        let server = Server::start(subject);
        let mut members = [server.connect(), server.connect(), server.connect()];
        let mut payload = [0; PAYLOAD];
        for member in &mut members {
            member.read_exact(&mut payload).expect("a greeting");
        }
        members[0].write_all(&vec![b'!'; BROADCASTS_SENT]).expect("the server reads");
        for member in &mut members {
            let mut received = vec![0; PAYLOAD * BROADCASTS_SENT];
            member.read_exact(&mut received).expect("all broadcasts");
            assert!(received.chunks(PAYLOAD).all(|chunk| chunk == payload), "{subject}");
        }
    }
}

#[test]
fn a_store_keeps_what_it_was_given_and_delivers_what_is_published() {
    for subject in STORES {
        let server = Server::start(subject);
        let mut stream = server.connect();
        stream.write_all(b"SET key value\r\nGET key\r\nSUBSCRIBE channel\r\n").expect("the server reads");
        let mut publisher = server.connect();
        let expected = b"+OK\r\n$5\r\nvalue\r\n*3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n";
        let mut received = vec![0; expected.len()];
        stream.read_exact(&mut received).expect("answers");
        assert_eq!(received, expected, "{subject}");
        publisher.write_all(b"PUBLISH channel news\r\n").expect("the server reads");
        let expected = b"*3\r\n$7\r\nmessage\r\n$7\r\nchannel\r\n$4\r\nnews\r\n";
        let mut received = vec![0; expected.len()];
        stream.read_exact(&mut received).expect("a message");
        assert_eq!(received, expected, "{subject}");
        let mut receivers = [0; 4];
        publisher.read_exact(&mut receivers).expect("an answer");
        assert_eq!(&receivers, b":1\r\n", "{subject}");
    }
}

/// What comes until the connection ends.
fn response(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut received = String::new();
    stream.read_to_string(&mut received).expect("a response");
    received
}

#[test]
fn a_page_has_13_bytes_and_what_its_route_says() {
    for subject in HTTP {
        let server = Server::start(subject);
        let received = response(&mut server.connect(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{subject}: {received}");
        assert!(received.ends_with("\r\nContent-Length: 13\r\n\r\nhello, world\n"), "{subject}: {received}");
    }
    for subject in ROUTES {
        let server = Server::start(subject);
        let request = "GET /v1/resource-099/12345/likes/6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let received = response(&mut server.connect(), request);
        assert!(received.starts_with("HTTP/1.1 200 OK\r\n"), "{subject}: {received}");
        assert!(received.ends_with("\r\n\r\nhello, 12345\n"), "{subject}: {received}");
    }
}

#[test]
fn a_conversation_begins_with_the_handshake_and_echoes_a_masked_text() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    for subject in CONVERSATIONS {
        let server = Server::start(subject);
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut head = BufReader::new(stream.try_clone().expect("a second handle")).lines().map_while(Result::ok);
        assert_eq!(head.next().as_deref(), Some("HTTP/1.1 101 Switching Protocols"), "{subject}");
        assert!(
            head.by_ref().take_while(|line| !line.is_empty()).any(|line| line.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        );
        // "Hello" of RFC 6455 §5.7.
        stream
            .write_all(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58])
            .expect("the server reads");
        let mut frame = [0; 7];
        stream.read_exact(&mut frame).expect("an echo");
        assert_eq!(&frame, b"\x81\x05Hello", "{subject}");
    }
}
