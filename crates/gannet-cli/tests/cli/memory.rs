//! What is left of the memory that a burst of slow readers took.

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
