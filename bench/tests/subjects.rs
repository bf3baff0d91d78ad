//! What is measured as servers: they must be right before they are fast.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

mod descriptors;

use descriptors::allow_descriptors;
use gannet::{Filter, FilterFactory, FilterOutput};
use gannet_tls::{TlsClient, TlsClientConfig, TlsInfo, TlsVersion};

const ECHOES: [&str; 4] = ["floor-epoll", "gannet-poll", "floor-uring", "gannet-uring"];
/// Floors with another way of learning that a send is over, or of sharing buffers.
const VARIANTS: [&str; 3] = ["uring-reported", "uring-coop", "uring-incremental"];
/// Echoes in other models, as `models` compares them.
const MODELS: [&str; 4] = ["model-threads", "model-select", "model-poll", "model-level"];
/// The engine is not among them: it closes who is over the hard limit of its outbox.
const SENDS: [&str; 2] = ["sends-epoll", "sends-uring"];

/// Redis itself is not among them: it may not be installed.
const STORES: [&str; 2] = ["gannet-redis-poll", "gannet-redis-uring"];

/// nginx is not among them either.
const HTTP: [&str; 2] = ["gannet-http-poll", "gannet-http-uring"];
const ROUTES: [&str; 2] = ["routes-poll", "routes-uring"];
const CONVERSATIONS: [&str; 2] = ["ws-echo-poll", "ws-echo-uring"];
const TLS: [&str; 2] = ["tls-echo-poll", "tls-echo-uring"];
const HTTPS: [&str; 2] = ["https-poll", "https-uring"];
/// Centrifugo is not among them.
const GATEWAYS: [&str; 3] = ["gannet-push-poll", "gannet-push-uring", "many-push-uring"];
const HANDSHAKES: [&str; 4] = ["tls-p256-poll", "tls-p256-uring", "tls-rsa2048-poll", "tls-rsa2048-uring"];

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
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
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
    for subject in ECHOES.into_iter().chain(VARIANTS).chain(MODELS) {
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
    for subject in ECHOES.into_iter().chain(MODELS) {
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
    for subject in ECHOES.into_iter().chain(MODELS) {
        let server = Server::start(subject);
        let mut stream = server.connect();
        stream.write_all(b"last words").expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("an end");
        let mut received = String::new();
        stream.read_to_string(&mut received).expect("an answer");
        assert_eq!(received, "last words", "{subject}");
    }
}

/// What a connection gets for one byte, or nothing if it is closed.
fn echo_of_one_byte(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    stream.write_all(b"?").and_then(|()| stream.read_exact(&mut byte)).ok().map(|()| byte[0])
}

#[test]
fn select_closes_connections_beyond_its_descriptors_and_serves_the_others() {
    /// FD_SETSIZE.
    const DESCRIPTORS: usize = 1_024;
    if !allow_descriptors(DESCRIPTORS as u64 + 200) {
        return;
    }
    let server = Server::start("model-select");
    let mut streams: Vec<TcpStream> = (0..DESCRIPTORS + 20).map(|_| server.connect()).collect();
    let echoes: Vec<Option<u8>> = streams.iter_mut().map(echo_of_one_byte).collect();
    let served = echoes.iter().take_while(|echo| **echo == Some(b'?')).count();
    assert!((DESCRIPTORS - 100..DESCRIPTORS).contains(&served), "{served}");
    assert!(echoes[served..].iter().all(Option::is_none), "{:?}", &echoes[served..]);
    // Whoever was there before is still served.
    assert_eq!(echo_of_one_byte(&mut streams[0]), Some(b'?'));
    drop(streams.remove(0));
    assert_eq!(echo_of_one_byte(&mut streams[0]), Some(b'?'));
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

/// A WebSocket over a blocking stream, whose handshake is done.
struct Talk(TcpStream);

impl Talk {
    fn begin(server: &Server, path: &str) -> Self {
        let mut stream = server.connect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self(stream)
    }

    fn say(&mut self, text: &str) {
        let mut frame = vec![0x81];
        match u16::try_from(text.len()).expect("it is short") {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len => {
                frame.push(0xfe);
                frame.extend_from_slice(&len.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).expect("the server reads");
    }

    fn hear(&mut self) -> String {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        let mut len = usize::from(head[1]);
        if len == 126 {
            self.0.read_exact(&mut head).expect("its length");
            len = u16::from_be_bytes(head).into();
        }
        let mut text = vec![0; len];
        self.0.read_exact(&mut text).expect("its text");
        String::from_utf8(text).expect("a text")
    }

    /// Says a command, and hears the reply.
    fn ask(&mut self, command: &str, reply: &str) {
        self.say(command);
        let heard = self.hear();
        assert!(heard.contains(reply), "{command}: {heard}");
    }
}

#[test]
fn a_gateway_lets_clients_in_by_their_token_and_delivers_publications_with_an_offset() {
    let secret = gannet_load::scenario::push::Secret::new(b"a secret of benchmarks, which guards nothing");
    for subject in GATEWAYS {
        let server = Server::start(subject);
        let mut clients: Vec<Talk> = (0..2).map(|_| Talk::begin(&server, "/connection/websocket")).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            let token = secret.token(&number.to_string());
            client.ask(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#), r#""connect":"#);
            client.ask(r#"{"id":2,"subscribe":{"channel":"full:one"}}"#, r#""recoverable":true"#);
        }
        clients[0].say(r#"{"id":3,"publish":{"channel":"full:one","data":{"number":"00000001"}}}"#);
        let heard = clients[1].hear();
        assert!(heard.contains(r#""number":"00000001""#) && heard.contains(r#""offset":1"#), "{subject}: {heard}");
    }
}

#[test]
fn the_loop_of_a_million_sends_reaches_every_member_and_says_when_it_began() {
    let mut server = Server::start("many-sends-uring");
    let mut members: Vec<Talk> = (0..200).map(|_| Talk::begin(&server, "/")).collect();
    for _ in 0..2 {
        server.child.stdin.as_mut().expect("piped").write_all(b"\n").expect("it reads");
        assert_eq!(server.line(), "sent\n");
        for member in &mut members {
            let text = member.hear();
            assert!(
                text.trim_end().len() == 19 && text.trim_end().bytes().all(|byte| byte.is_ascii_digit()),
                "{text:?}"
            );
        }
    }
}

/// TLS over a blocking stream.
struct Tls {
    stream: TcpStream,
    filter: Box<dyn Filter>,
    received: Vec<u8>,
    plain: Vec<u8>,
}

impl Tls {
    fn open(server: &Server, client: &TlsClient) -> Self {
        let filter = client.filter().expect("a filter");
        let mut tls = Self { stream: server.connect(), filter, received: Vec::new(), plain: Vec::new() };
        let mut wire = Vec::new();
        tls.filter.start(&mut wire).expect("a hello");
        tls.stream.write_all(&wire).expect("the server reads");
        while tls.filter.info().is_none() {
            tls.read();
        }
        tls
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).expect("records");
        assert!(count > 0, "the server has ended the connection");
        self.received.extend_from_slice(&buffer[..count]);
        let mut wire = Vec::new();
        let taken = self
            .filter
            .receive(&mut self.received, &mut FilterOutput::new(&mut self.plain, &mut wire))
            .expect("records that are right");
        self.received.drain(..taken.consumed);
        self.stream.write_all(&wire).expect("the server reads");
    }

    /// What `bytes` are answered with, of so many bytes.
    fn exchange(&mut self, bytes: &[u8], answer: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        self.filter.send(bytes, &mut wire).expect("the handshake is done");
        self.stream.write_all(&wire).expect("the server reads");
        while self.plain.len() < answer {
            self.read();
        }
        std::mem::take(&mut self.plain)
    }

    fn resumed(&self) -> bool {
        self.filter.info().and_then(|info| info.downcast_ref::<TlsInfo>()).expect("the handshake is done").resumed()
    }
}

fn client(version: TlsVersion) -> TlsClient {
    let config = TlsClientConfig::new().min_version(version).max_version(version);
    config.dangerous_accept_any_certificate().build("localhost").expect("settings")
}

#[test]
fn by_tls_every_byte_comes_back_in_order() {
    for subject in TLS {
        let server = Server::start(subject);
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let sent = numbered(50_000);
            let received = Tls::open(&server, &client(version)).exchange(&sent, sent.len());
            assert!(received == sent, "{subject}, {version}: {} bytes came back", received.len());
        }
    }
}

#[test]
fn a_page_is_the_same_by_tls() {
    for subject in HTTPS {
        let server = Server::start(subject);
        let mut tls = Tls::open(&server, &client(TlsVersion::V1_3));
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let page = String::from_utf8(tls.exchange(request, 100)).expect("a page");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{subject}: {page}");
        assert!(page.ends_with("\r\nContent-Length: 13\r\n\r\nhello, world\n"), "{subject}: {page}");
    }
}

#[test]
fn a_server_counts_its_handshakes_and_those_that_were_resumed() {
    for subject in HANDSHAKES {
        let mut server = Server::start(subject);
        let mut counted = (0, 0);
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let client = client(version);
            for resumed in [false, true, true] {
                let mut tls = Tls::open(&server, &client);
                // The answer to it comes after the ticket.
                assert_eq!(tls.exchange(b"hello", 5), b"hello", "{subject}");
                assert_eq!(tls.resumed(), resumed, "{subject}, {version}");
                counted = (counted.0 + 1, counted.1 + u32::from(resumed));
                writeln!(server.child.stdin.as_mut().expect("piped")).expect("the server reads");
                let line = server.line();
                assert!(line.starts_with(&format!("{} {} ", counted.0, counted.1)), "{subject}, {version}: {line}");
            }
        }
    }
}

/// Short, and on one processor: the figures mean nothing.
#[test]
fn tls_is_measured_from_end_to_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_gannet-bench"))
        .args([
            "tls",
            "--json",
            "--case",
            "echo",
            "handshakes",
            "storm",
            "memory",
            "--server-cpu",
            "0",
            "--client-cpu",
            "0",
        ])
        .args(["--rounds", "1", "--seconds", "0.2", "--warm-up", "0.2", "--workload", "3x2", "--storm", "5"])
        .args(["--at-once", "3", "--memory-connections", "20", "--tolerate", "1000", "--no-peers"])
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let rows = |part: &str| report[part].as_array().cloned().expect("rows");
    let number = |row: &serde_json::Value, name: &str| row[name].as_f64().expect("a number");
    let echo = report["tables"][0]["rows"].as_array().expect("rows");
    // The first of the four once more shows the noise.
    assert_eq!(echo.len(), 5);
    assert!(echo.iter().all(|row| number(row, "operations_per_second") > 0.0), "{echo:?}");
    for (table, what) in [(1, "Full handshakes"), (2, "Resumed handshakes")] {
        let table = &report["tables"][table];
        assert!(table["title"].as_str().expect("a title").starts_with(what), "{table}");
        let rows = table["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows.iter().all(|row| number(row, "operations_per_second") > 0.0), "{rows:?}");
    }
    assert_eq!(rows("handshakes").len(), 8);
    for row in rows("handshakes") {
        let resumed = if row["resumes"] == true { number(&row, "handshakes") } else { 0.0 };
        assert!(number(&row, "handshakes") > 0.0 && number(&row, "resumed") == resumed, "{row}");
    }
    assert_eq!(rows("storm").len(), 8);
    for row in rows("storm") {
        assert!(number(&row, "echoes") > 0.0, "{row}");
        assert_eq!(number(&row, "handshakes_per_second") > 0.0, row["storm"] == true, "{row}");
    }
    assert_eq!(rows("memory").len(), 4);
}
