//! What the allocator gives back to the system: after a burst of slow readers, and while a large string grows.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;

use gannet_testing::until;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use crate::server::{Server, drivers};

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
        let connect = || {
            let reader = TcpStream::connect(address).expect("the server accepts");
            reader.set_nonblocking(true).expect("a socket");
            // What waits is to wait in the server, not in the kernel.
            set_socket_recv_buffer_size(&reader, 16 << 10).expect("a socket");
            set_socket_send_buffer_size(&reader, 64 << 10).expect("a socket");
            reader
        };
        let mut readers: Vec<_> = (0..READERS).map(|_| connect()).collect();
        let chunk = vec![b'x'; 64 << 10];
        // They send and do not read.
        until("a burst that takes memory", || {
            for reader in &mut readers {
                match reader.write(&chunk) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("a reader was not held up but cut off: {error}"),
                }
            }
            resident_kib(&server) > before + 60_000
        });
        drop(readers);
        until("the memory to return", || resident_kib(&server) <= before + 24_000);
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
