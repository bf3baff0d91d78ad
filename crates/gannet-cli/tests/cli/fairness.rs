//! One client that sends without end, and how long the others of its reactor wait meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::server::{Folder, PATIENCE, Server, Stream, drivers, gannet};
use crate::tls::{Ca, Client};

/// Questions that others ask beside each flood.
const QUESTIONS: usize = 60;

/// How long nine of ten answers may take. They take less than a millisecond on a machine with nothing else to do, and took
/// 350 ms and more where a flood starved its reactor.
const LONGEST: Duration = Duration::from_millis(100);

/// What a flood sends before it counts as one.
const FLOWING: usize = 4 << 20;

/// A client that sends the same for ever, and reads whatever comes.
struct Flood {
    stream: TcpStream,
    threads: [JoinHandle<()>; 2],
}

impl Flood {
    fn begin(stream: Stream, bytes: Vec<u8>) -> Self {
        let Stream::Tcp(stream) = stream else { panic!("a TCP listener") };
        let twin = || stream.try_clone().expect("a descriptor");
        let (mut writer, mut reader) = (twin(), twin());
        let (flows, flowing) = mpsc::channel();
        let writing = std::thread::spawn(move || {
            let mut sent = 0;
            while writer.write_all(&bytes).is_ok() {
                sent += bytes.len();
                if sent >= FLOWING {
                    // Heard once; then nobody listens.
                    let _ = flows.send(());
                }
            }
        });
        let reading = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        flowing.recv_timeout(PATIENCE).expect("the server takes it");
        Self { stream, threads: [writing, reading] }
    }

    fn end(self) {
        self.stream.shutdown(Shutdown::Both).expect("the server holds the connection");
        for thread in self.threads {
            thread.join().expect("it only reads or writes");
        }
    }
}

/// How long answers take, nine of ten.
fn answers_take(server: &Server) -> Duration {
    let mut others: Vec<Stream> = (0..3).map(|_| server.connect("lines")).collect();
    #[allow(clippy::disallowed_methods)] // A test of how long something takes.
    let mut took: Vec<Duration> = (0..QUESTIONS)
        .map(|index| {
            let asked = Instant::now();
            others[index % 3].ask(b"there?\n", b"echo: there?\n");
            asked.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[QUESTIONS * 9 / 10]
}

/// A server with all of these on one reactor.
fn serve(driver: &str, options: &[&str]) -> Server {
    let mut command = gannet(&["serve", "--driver", driver, "--reactors", "1", "--listen=lines=tcp://127.0.0.1:0"]);
    command.args(options);
    Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"))
}

fn websocket(server: &Server) -> Stream {
    let mut stream = server.connect("http");
    let upgrade = "GET /ws/echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).expect("it is taken");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head of the answer");
        head.extend_from_slice(&byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

#[test]
fn a_client_that_floods_any_service_keeps_nobody_else_waiting() {
    for driver in drivers() {
        let services =
            ["echo", "frames", "redis", "http"].map(|service| format!("--listen={service}=tcp://127.0.0.1:0"));
        let server = serve(driver, &services.each_ref().map(String::as_str));
        type Case<'a> = (&'a str, &'a dyn Fn() -> Stream, &'a [u8], usize);
        let floods: [Case<'_>; 7] = [
            ("echo", &|| server.connect("echo"), b"all the same", 10_000),
            ("lines", &|| server.connect("lines"), b"\n", 100_000),
            ("frames", &|| server.connect("frames"), &[0; 4], 30_000),
            ("PING", &|| server.connect("redis"), b"PING\r\n", 20_000),
            ("SET", &|| server.connect("redis"), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", 5_000),
            ("HTTP", &|| server.connect("http"), b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 3_000),
            // Of a message that has begun, empty parts without end.
            ("fragments", &|| websocket(&server), &[0, 0x80, 0, 0, 0, 0], 20_000),
        ];
        for (name, connect, piece, count) in floods {
            let mut stream = connect();
            if name == "fragments" {
                stream.write_all(&[2, 0x80, 0, 0, 0, 0]).expect("it is taken");
            }
            let flood = Flood::begin(stream, piece.repeat(count));
            let took = answers_take(&server);
            flood.end();
            assert!(took < LONGEST, "{driver}: beside a flood of {name} answers took {took:?}");
        }
    }
}

#[test]
fn a_client_that_floods_by_tiny_records_of_tls_keeps_nobody_else_waiting() {
    for driver in drivers() {
        let (folder, ca) = (Folder::new(&format!("fairness-{driver}")), Ca::new());
        ca.server().put(&folder.path(""));
        let file = |option: &str, name: &str| format!("--tls-{option}={}", folder.path(name).display());
        let (certificate, key) = (file("cert", "cert.pem"), file("key", "key.pem"));
        let server = serve(driver, &["--listen=discard=tls://127.0.0.1:0", &certificate, &key]);
        let (sender, records) = mpsc::channel();
        let url = server.url("discard");
        let flooding = std::thread::spawn(move || {
            let mut stream = Client::trusting(&ca).connect(&url, "localhost").expect("it is served");
            for round in 0.. {
                // A record for each write, and many of them in each call of the kernel.
                for _ in 0..500 {
                    stream.conn.writer().write_all(b".").expect("there is room");
                }
                while stream.conn.wants_write() {
                    if stream.conn.write_tls(&mut stream.sock).is_err() {
                        return;
                    }
                }
                // Heard when it is a flood, and nobody listens when it is to end.
                if round > 20 && sender.send(()).is_err() {
                    return;
                }
            }
        });
        records.recv_timeout(PATIENCE).expect("the server takes it");
        let took = answers_take(&server);
        drop(records);
        flooding.join().expect("it only writes");
        assert!(took < LONGEST, "{driver}: answers took {took:?}");
    }
}
