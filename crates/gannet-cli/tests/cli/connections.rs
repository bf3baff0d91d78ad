//! Many connections at once.

use std::io::Write as _;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::{Server, Stream, drivers};

/// How many connections this process can hold, other tests running beside it; 5,000 where the machine lets it.
fn many() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Where it fails, the limit is what it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.map_or(5_000, |limit| (limit / 2).min(5_000))
}

#[test]
fn five_thousand_connections_opened_and_closed_at_once_leave_nothing_behind() {
    let count = many();
    for driver in drivers() {
        let mut server = Server::serve(driver, &["--listen=lines=tcp://127.0.0.1:0", "--stats=100ms"]);
        let mut streams: Vec<Stream> = (0..count).map(|_| server.connect("lines")).collect();
        for stream in &mut streams {
            stream.write_all(b"hello\n").expect("the server takes it");
        }
        for stream in &mut streams {
            stream.expect(b"echo: hello\n");
        }
        let stats = server.wait_for(|event| event["connections"] == count);
        assert_eq!(stats["accepted"], count, "{stats}");
        drop(streams);
        server.wait_for(|event| event["connections"] == 0 && event["closed"] == format!("peer:{count}"));
        // The same once more, without a word.
        drop((0..count).map(|_| server.connect("lines")).collect::<Vec<_>>());
        server.wait_for(|event| event["connections"] == 0 && event["accepted"] == 2 * count);
        server.connect("lines").ask(b"hello\n", b"echo: hello\n");
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(0), "with {driver}");
    }
}

#[test]
fn a_reset_in_the_middle_of_a_message_harms_nobody_else() {
    for driver in drivers() {
        let mut server = Server::serve(driver, &["--listen=frames=tcp://127.0.0.1:0", "--stats=100ms"]);
        let mut other = server.connect("frames");
        for _ in 0..50 {
            let mut stream = server.connect("frames");
            stream.ask(&crate::server::frame(b"whole"), &crate::server::frame(b"whole"));
            stream.write_all(&[&1_000u32.to_be_bytes()[..], b"half"].concat()).expect("the server takes it");
            let Stream::Tcp(stream) = stream else { panic!("a TCP listener") };
            rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).expect("a TCP socket");
        }
        server.wait_for(|event| event["connections"] == 1 && event["closed"] == "io_error:50");
        other.ask(&crate::server::frame(b"unharmed"), &crate::server::frame(b"unharmed"));
    }
}
