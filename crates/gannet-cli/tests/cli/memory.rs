//! What the allocator gives back to the system: after a burst of slow readers, and while a large string grows.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use crate::server::{PATIENCE, Server, drivers};

/// Slow readers. What waits for each is up to the high mark of its outbox, 256 KiB, and some more that is not decoded.
const READERS: usize = 300;

/// KiB that a process has in memory.
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

/// With the system's allocator nearly all of it stayed.
#[test]
fn memory_returns_to_the_system_after_a_burst_of_slow_readers() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen", "echo=tcp://127.0.0.1:0"]);
        let before = resident_kib(&server);
        let url = server.url("echo");
        let address = url.strip_prefix("tcp://").expect("it listens on TCP");
        let connect = || TcpStream::connect(address).expect("the server accepts");
        let mut readers: Vec<_> = (0..READERS).map(|_| connect()).collect();
        readers.iter_mut().for_each(|reader| reader.set_nonblocking(true).expect("a socket"));
        let chunk = vec![b'x'; 64 << 10];
        // They send and do not read, until the server takes no more of any.
        let mut full = 0;
        while full < 50 {
            let mut moved = false;
            for reader in &mut readers {
                match reader.write(&chunk) {
                    Ok(_) => moved = true,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("a reader was not held up but cut off: {error}"),
                }
            }
            full = if moved { 0 } else { full + 1 };
            std::thread::yield_now();
        }
        let peak = resident_kib(&server);
        assert!(peak > before + 50_000, "a burst takes memory: {peak} KiB after {before}");
        drop(readers);
        #[allow(clippy::disallowed_methods)] // The patience of a test.
        let began = Instant::now();
        while resident_kib(&server) > before + 24_000 {
            let now = resident_kib(&server);
            assert!(began.elapsed() < PATIENCE, "{now} KiB stayed of {peak}, with {before} before ({driver})");
            std::thread::yield_now();
        }
    }
}

/// The allocator moves a large string as it grows, and must not keep what it leaves.
#[test]
fn a_string_that_grows_takes_twice_its_size_at_the_most() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 4_096;
    let server = Server::serve(drivers()[0], &["--listen", "redis=tcp://127.0.0.1:0"]);
    let mut client = server.connect("redis");
    let begin = format!("*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n${PIECE}\r\n");
    let command = [begin.as_bytes(), &[b'x'; PIECE], b"\r\n"].concat();
    let before = resident_kib(&server);
    let mut peak = 0;
    for number in 1..=PIECES {
        client.ask(&command, format!(":{}\r\n", number * PIECE).as_bytes());
        peak = resident_kib(&server).max(peak);
    }
    let string = (PIECE * PIECES) as u64 >> 10;
    assert!(peak >= string, "it is there: {peak} KiB");
    assert!(peak - before < 2 * string, "{peak} KiB for a string of {string} KiB, with {before} before");
}
