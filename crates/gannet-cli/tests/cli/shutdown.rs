//! How a server ends: nothing that it took is lost, and it never hangs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use rustix::process::Signal;

use crate::server::{Server, Stream, drivers, frame};

const ECHO: &str = "--listen=echo=tcp://127.0.0.1:0";
const FRAMES: &str = "--listen=frames=tcp://127.0.0.1:0";

#[test]
fn a_server_without_connections_ends_at_once() {
    for driver in drivers() {
        for signal in [Signal::TERM, Signal::INT] {
            for balance in ["reuseport", "round-robin"] {
                let server = Server::serve(driver, &[ECHO, "--listen=echo=udp://127.0.0.1:0", "--balance", balance]);
                server.signal(signal);
                let ended = server.ended();
                assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
                let stopped = ended.event("stopped");
                assert!(stopped["drained_ms"].as_u64().is_some_and(|took| took < 5_000), "{stopped}");
            }
        }
    }
}

#[test]
fn connected_peers_are_told_by_the_end_of_the_stream() {
    for driver in drivers() {
        let server = Server::serve(driver, &[ECHO]);
        let mut streams: Vec<Stream> = (0..50).map(|_| server.connect("echo")).collect();
        for stream in &mut streams {
            stream.ask(b"hello", b"hello");
        }
        server.signal(Signal::TERM);
        for mut stream in streams {
            assert_eq!(stream.rest(), b"", "with {driver}");
        }
        let ended = server.ended();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        assert_eq!(ended.event("stopped")["connections"], 50);
    }
}

/// Sends numbered frames as fast as they are taken, and counts the answers until the server ends the stream. Each must
/// be the next one, and the last one whole.
fn pipeline(stream: Stream, warmed_up: mpsc::Sender<()>) -> u64 {
    let over = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (mut stream, over) = (stream.twin(), over.clone());
        move || {
            let mut numbers = 0u64..;
            while !over.load(Ordering::Relaxed) {
                let batch: Vec<u8> =
                    numbers.by_ref().take(64).flat_map(|number| frame(&number.to_be_bytes())).collect();
                if stream.write_all(&batch).is_err() {
                    return;
                }
            }
        }
    });
    // The server waits for some seconds until a peer has read all: no bytes are looked at twice meanwhile.
    let mut reader = BufReader::with_capacity(1 << 16, stream.twin());
    let mut answers = 0u64;
    while !reader.fill_buf().expect("the stream ends in order, not by a reset").is_empty() {
        let mut answer = [0; 12];
        reader.read_exact(&mut answer).expect("answers are whole");
        let (header, number) = answer.split_at(4);
        assert_eq!((header, number), (&8u32.to_be_bytes()[..], &answers.to_be_bytes()[..]), "each in its place");
        answers += 1;
        if answers == 1_000 {
            warmed_up.send(()).expect("the test waits for it");
        }
    }
    over.store(true, Ordering::Relaxed);
    writer.join().expect("the writer ends");
    answers
}

#[test]
fn under_load_every_message_that_was_taken_is_answered_before_the_end() {
    for driver in drivers() {
        let server = Server::serve(driver, &[FRAMES]);
        let (warmed_up, warm) = mpsc::channel();
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let (stream, warmed_up) = (server.connect("frames"), warmed_up.clone());
                std::thread::spawn(move || pipeline(stream, warmed_up))
            })
            .collect();
        for _ in &clients {
            warm.recv().expect("every client gets answers");
        }
        server.signal(Signal::TERM);
        let answers: u64 = clients.into_iter().map(|client| client.join().expect("a client ends well")).sum();
        let ended = server.ended();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        let stopped = ended.event("stopped");
        assert_eq!(stopped["messages_in"], answers, "everything that was taken was answered, with {driver}");
        assert_eq!(stopped["messages_out"], answers, "every answer arrived, with {driver}");
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once_with_status_1() {
    for driver in drivers() {
        let mut server = Server::serve(driver, &[ECHO]);
        let mut stream = server.connect("echo");
        stream.stuff();
        server.signal(Signal::TERM);
        server.wait_for(|event| event["message"].as_str().is_some_and(|message| message.contains("shutting down")));
        assert_eq!(server.signal_until_ended(Signal::TERM).status.code(), Some(1), "with {driver}");
    }
}

/// As `timeout` does, which signals its child and then the group that this is in.
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let server = Server::serve("poll", &[ECHO, "--drain-timeout=300ms"]);
    let mut stream = server.connect("echo");
    stream.stuff();
    server.signal_together(&[Signal::TERM, Signal::INT]);
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert!(ended.event("stopped")["drained_ms"].as_u64().is_some_and(|took| took >= 250), "{ended:#?}");
}

#[test]
fn what_cannot_be_sent_is_given_up_when_the_drain_timeout_is_over() {
    for driver in drivers() {
        let server = Server::serve(driver, &[ECHO, "--drain-timeout=300ms"]);
        let mut stream = server.connect("echo");
        stream.stuff();
        server.signal(Signal::TERM);
        let ended = server.ended();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        let took = ended.event("stopped")["drained_ms"].as_u64().expect("a number");
        assert!((250..10_000).contains(&took), "{took} ms with {driver}");
    }
}

#[test]
fn without_a_drain_timeout_nothing_is_waited_for() {
    for driver in drivers() {
        let server = Server::serve(driver, &[ECHO, "--drain-timeout=off"]);
        let mut stream = server.connect("echo");
        stream.stuff();
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        let took = ended.event("stopped")["drained_ms"].as_u64().expect("a number");
        assert!(took < 5_000, "{took} ms with {driver}");
    }
}
