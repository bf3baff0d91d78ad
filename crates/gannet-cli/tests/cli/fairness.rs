//! One client that sends without end, and how much work comes before the answers to others of its reactor.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use gannet_testing::PATIENCE;
use gannet_testing::certificates::Ca;

use crate::server::{Folder, Server, Stream, drivers, gannet};
use crate::tls::{Client, InFiles as _, authority};

/// Questions that others ask beside each flood.
const QUESTIONS: usize = 100;

/// Rounds of them, of which one has to be within the bound.
const ROUNDS: usize = 5;

/// For how long the reactor may work on other things before it answers, in 99 of 100 cases. It is the time that its thread
/// had on a processor, so that other programs on the machine do not count. It was 350 ms, and minutes, where a flood
/// starved its reactor. One message is never cut, and without optimization a command of 20,000 words takes tens of
/// milliseconds by itself.
const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 10 });

/// What a flood sends before it counts as one, and no more than so many times what it repeats.
const FLOWING: usize = 4 << 20;
const REPEATED: usize = 4;

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
                if sent >= FLOWING.min(REPEATED * bytes.len()) {
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

/// The time that the thread of the only reactor has had on a processor.
struct Work(PathBuf);

impl Work {
    fn of(server: &Server) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("Linux has it");
        let mut tasks = tasks.map(|task| task.expect("a thread").path());
        let named = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "gannet-0\n");
        Self(tasks.find(named).expect("a reactor").join("schedstat"))
    }

    fn until_now(&self) -> Duration {
        let text = fs::read_to_string(&self.0).expect("the kernel counts it");
        let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
        Duration::from_nanos(nanoseconds.expect("a number comes first"))
    }
}

/// Fails where the reactor works on a flood for too long before it answers others.
fn assert_answers_beside(name: &str, driver: &str, server: &Server) {
    let mut others: Vec<Stream> = (0..3).map(|_| server.connect("lines")).collect();
    let work = Work::of(server);
    let mut round = || {
        let mut took: Vec<Duration> = (0..QUESTIONS)
            .map(|index| {
                let before = work.until_now();
                others[index % 3].ask(b"there?\n", b"echo: there?\n");
                work.until_now() - before
            })
            .collect();
        took.sort_unstable();
        assert!(took[QUESTIONS - 1] > Duration::ZERO, "{driver}: the flood of {name} was none");
        took[QUESTIONS * 99 / 100 - 1]
    };
    // What the reactor does counts until this thread sees the answer, which on a busy machine is later: not in each round.
    let rounds: Vec<Duration> = (0..ROUNDS).map(|_| round()).take_while(|longest| *longest >= LONGEST).collect();
    assert!(rounds.len() < ROUNDS, "{driver}: {rounds:?} of work came before an answer beside a flood of {name}");
}

/// A command of Redis with these words.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A request with a megabyte behind it.
fn upload() -> Vec<u8> {
    let mut bytes = b"GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + 1_000_000, b'x');
    bytes
}

/// A server with all of these on one reactor.
fn serve(driver: &str, options: &[&str]) -> Server {
    let mut command = gannet(&["serve", "--driver", driver, "--reactors", "1", "--listen=lines=tcp://127.0.0.1:0"]);
    command.args(options);
    Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"))
}

/// A client of the store, in which there is a string of 256 KiB.
fn prepared(server: &Server) -> Stream {
    let mut stream = server.connect("redis");
    stream.ask(b"SETRANGE b 262143 x\r\n", b":262144\r\n");
    stream
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
        let words: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
        let words: Vec<&[u8]> = [&b"MSET"[..]].into_iter().chain(words.iter().map(String::as_bytes)).collect();
        let large = vec![b'x'; 10 << 20];
        let (mset, set, upload) = (command(&words), command(&[b"SET", b"large", &large]), upload());
        let floods: [Case<'_>; 16] = [
            ("MSET of 20,000 words", &|| server.connect("redis"), &mset, 1),
            ("SET of 10 MiB", &|| server.connect("redis"), &set, 1),
            ("uploads", &|| server.connect("http"), &upload, 1),
            ("BITCOUNT of 256 KiB", &|| prepared(&server), b"BITCOUNT b\r\n", 5_000),
            ("COPY of 256 KiB", &|| prepared(&server), b"COPY b c REPLACE\r\n", 5_000),
            ("SCAN", &|| server.connect("redis"), b"SCAN 0 COUNT 100000 MATCH q\r\n", 5_000),
            ("SWAPDB", &|| server.connect("redis"), b"SWAPDB 2 3\r\n", 5_000),
            ("INFO", &|| server.connect("redis"), b"INFO\r\n", 5_000),
            ("HEAD", &|| server.connect("http"), b"HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n", 5_000),
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
            assert_answers_beside(name, driver, &server);
            flood.end();
        }
    }
}

/// Sends pieces over TLS for as long as the receiver lives that it tells so when it is a flood.
fn flood_by_tls(ca: Ca, url: String, mut write: impl FnMut(&mut dyn std::io::Write), sender: mpsc::Sender<()>) {
    let mut stream = Client::trusting(&ca).connect(&url, "localhost").expect("it is served");
    for round in 0.. {
        write(&mut stream.conn.writer());
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
}

#[test]
fn a_client_that_floods_over_tls_keeps_nobody_else_waiting() {
    for driver in drivers() {
        for (name, service) in [("tiny records", "discard"), ("uploads", "http")] {
            let (folder, ca) = (Folder::new(&format!("fairness-{driver}-{service}")), authority());
            ca.server(&["localhost"]).put(&folder.path(""));
            let file = |option: &str, name: &str| format!("--tls-{option}={}", folder.path(name).display());
            let (certificate, key) = (file("cert", "cert.pem"), file("key", "key.pem"));
            let listener = format!("--listen={service}=tls://127.0.0.1:0");
            let server = serve(driver, &[&listener, &certificate, &key]);
            let (sender, flowing) = mpsc::channel();
            let (url, upload, mut sent) = (server.url(service), upload(), 0);
            let flooding = std::thread::spawn(move || {
                let write = |writer: &mut dyn std::io::Write| {
                    if service == "discard" {
                        // A record for each write, and many of them in each call of the kernel.
                        (0..500).for_each(|_| writer.write_all(b".").expect("there is room"));
                    } else {
                        sent += writer.write(&upload[sent..]).expect("there is room for some");
                        sent %= upload.len();
                    }
                };
                flood_by_tls(ca, url, write, sender);
            });
            flowing.recv_timeout(PATIENCE).expect("the server takes it");
            assert_answers_beside(name, driver, &server);
            drop(flowing);
            flooding.join().expect("it only writes");
        }
    }
}
