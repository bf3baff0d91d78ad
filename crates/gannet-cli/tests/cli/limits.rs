//! Limits: what is refused, what waits, and that nobody else notices.

use std::io::{Read as _, Write as _};

use crate::server::{Folder, Server, Stream, drivers, gannet_by_shell, pattern};

const LINES: &str = "--listen=lines=tcp://127.0.0.1:0";

/// Opens connections until one is served, as one that has left takes a moment to be counted out.
fn eventually_served(server: &Server) -> Stream {
    for _ in 0..10_000 {
        let mut answer = [0; 8];
        let asked = server.try_connect("lines").and_then(|mut stream| {
            stream.write_all(b"x\n")?;
            stream.read_exact(&mut answer)?;
            Ok(stream)
        });
        if let Ok(stream) = asked {
            assert_eq!(&answer, b"echo: x\n");
            return stream;
        }
    }
    panic!("no connection was served again");
}

#[test]
fn a_connection_over_the_limit_is_refused_until_another_one_leaves() {
    for driver in drivers() {
        for limit in ["--max-connections=2", "--max-connections-per-peer=2"] {
            for balance in ["reuseport", "round-robin"] {
                let mut server = Server::serve(driver, &[LINES, limit, "--balance", balance, "--stats=100ms"]);
                let mut first = server.connect("lines");
                let mut second = server.connect("lines");
                first.ask(b"one\n", b"echo: one\n");
                second.ask(b"two\n", b"echo: two\n");
                assert!(server.refuses("lines"), "{limit} {balance} with {driver}");
                first.ask(b"still here\n", b"echo: still here\n");
                let why = if limit.contains("peer") { "peer:1" } else { "connections:1" };
                server.wait_for(|event| event["refused"] == why && event["connections"] == 2);
                first.finish();
                assert_eq!(first.rest(), b"");
                eventually_served(&server);
                second.ask(b"two\n", b"echo: two\n");
            }
        }
    }
}

#[test]
fn connections_over_the_accept_rate_wait_and_are_served() {
    for driver in drivers() {
        let mut server = Server::serve(driver, &[LINES, "--max-accepts=200/s", "--stats=100ms"]);
        let mut streams: Vec<Stream> = (0..100).map(|_| server.connect("lines")).collect();
        for stream in &mut streams {
            stream.ask(b"hello\n", b"echo: hello\n");
        }
        let stats = server.wait_for(|event| event["message"] == "stats" && event["accepted"] == 100);
        assert!(stats["accept_pauses"].as_u64().is_some_and(|pauses| pauses > 0), "{stats}");
    }
}

#[test]
fn out_of_descriptors_accepting_pauses_and_resumes_and_connected_clients_notice_nothing() {
    // The limit is the process's with the poll driver, and that of each ring's direct descriptors with io_uring.
    let mut cases = vec![("poll", "reuseport", "1"), ("poll", "round-robin", "2"), ("poll", "source-hash", "2")];
    if drivers().contains(&"uring") {
        let balances = ["reuseport", "round-robin", "least-connections", "source-hash"];
        cases.extend(balances.map(|balance| ("uring", balance, if balance == "reuseport" { "1" } else { "2" })));
    }
    let folder = Folder::new("descriptors");
    for (number, (driver, balance, reactors)) in cases.into_iter().enumerate() {
        // Unix sockets have an acceptor where there are several reactors.
        let unix = format!("--listen=lines={}", folder.url(&number.to_string()));
        let listen = if number % 2 == 0 { LINES } else { &unix };
        let arguments =
            ["serve", "--driver", driver, "--reactors", reactors, "--log=json", "--balance", balance, listen];
        let command = gannet_by_shell(r#"ulimit -n 64 && exec "$0" "$@""#, &arguments);
        let mut server = Server::run(command).expect("64 descriptors are enough to start");
        let mut early: Vec<Stream> = (0..20).map(|_| server.connect("lines")).collect();
        for stream in &mut early {
            stream.ask(b"early\n", b"echo: early\n");
        }
        // More than there are descriptors for: the kernel holds the rest.
        let mut late: Vec<Stream> = (0..180).map(|_| server.connect("lines")).collect();
        for stream in &mut late {
            stream.write_all(b"late\n").expect("the kernel takes it");
        }
        server.wait_for_line(|line| line.contains("accepting pauses and goes on by itself"));
        for stream in &mut early {
            stream.ask(b"still here\n", b"echo: still here\n");
        }
        drop(early);
        // They are accepted in order; each that leaves makes room for another.
        for mut stream in late {
            stream.expect(b"echo: late\n");
        }
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        assert_eq!(ended.event("stopped")["connections"], 200, "{driver} {balance}: {ended:#?}");
    }
}

#[test]
fn io_uring_holds_more_connections_than_the_process_may_open_files() {
    if !drivers().contains(&"uring") {
        return;
    }
    let arguments = ["serve", "--driver=uring", "--reactors=8", "--log=json", LINES];
    let command = gannet_by_shell(r#"ulimit -n 128 && exec "$0" "$@""#, &arguments);
    let server = Server::run(command).expect("128 descriptors are enough for 8 rings");
    let mut streams: Vec<Stream> = (0..300).map(|_| server.connect("lines")).collect();
    for stream in &mut streams {
        stream.ask(b"all of us\n", b"echo: all of us\n");
    }
}

#[test]
fn a_limit_that_the_process_cannot_reach_is_warned_of() {
    let arguments = ["serve", "--driver=poll", "--log=json", "--max-connections=1000", LINES];
    let command = gannet_by_shell(r#"ulimit -n 100 && exec "$0" "$@""#, &arguments);
    let mut server = Server::run(command).expect("it starts all the same");
    let warning = server.wait_for(|event| event["max_connections"] == 1_000);
    assert_eq!(warning["level"], "WARN");
    assert!(warning["possible"].as_u64().is_some_and(|possible| possible < 100), "{warning}");
}

#[test]
fn the_soft_limit_on_open_files_is_raised_to_the_hard_one() {
    let arguments = ["serve", "--log=json", LINES];
    let command = gannet_by_shell(r#"ulimit -S -n 100 && ulimit -H -n 200 && exec "$0" "$@""#, &arguments);
    let mut server = Server::run(command).expect("it starts");
    let raised = server.wait_for(|event| event["message"] == "open files");
    assert_eq!((raised["before"].as_u64(), raised["limit"].as_u64()), (Some(100), Some(200)), "{raised}");
}

#[test]
fn a_peer_that_stops_to_read_is_waited_for_and_loses_nothing() {
    for driver in drivers() {
        // Reading pauses over the high mark, so that an echo never comes over the hard one.
        let limits = ["--outbox-high=64KiB", "--max-frame=64KiB", "--outbox-hard=256KiB"];
        let server = Server::serve(driver, &[&[LINES, "--listen=echo=tcp://127.0.0.1:0"][..], &limits].concat());
        let mut stuck = server.connect("echo");
        let sent = stuck.stuff();
        server.connect("lines").ask(b"others go on\n", b"echo: others go on\n");
        stuck.finish();
        let echoed = stuck.rest();
        assert_eq!(echoed.len(), sent, "with {driver}");
        assert!(echoed.iter().enumerate().all(|(index, byte)| *byte == pattern(index)), "with {driver}");
    }
}

const CHECKED: &str = "--listen=http=tcp://127.0.0.1:0,operational";

/// Asks for the server's health, as an orchestrator does.
fn is_well(server: &Server) -> bool {
    let asked = server.try_connect("http").and_then(|mut stream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200 "))
}

#[test]
fn a_server_that_is_full_still_says_that_it_is_well() {
    for driver in drivers() {
        for limit in ["--max-connections=2", "--max-connections-per-peer=2"] {
            for balance in ["reuseport", "round-robin"] {
                let server = Server::serve(driver, &[LINES, CHECKED, limit, "--balance", balance]);
                let mut streams = [server.connect("lines"), server.connect("lines")];
                for stream in &mut streams {
                    stream.ask(b"in\n", b"echo: in\n");
                }
                assert!(server.refuses("lines"), "{limit} {balance} with {driver}");
                for _ in 0..3 {
                    assert!(is_well(&server), "{limit} {balance} with {driver}");
                }
                streams[0].ask(b"still in\n", b"echo: still in\n");
            }
        }
    }
}

#[test]
fn a_server_without_descriptors_still_says_that_it_is_well() {
    for driver in drivers() {
        for balance in ["reuseport", "round-robin"] {
            let arguments =
                ["serve", "--driver", driver, "--reactors=2", "--log=json", "--balance", balance, LINES, CHECKED];
            let command = gannet_by_shell(r#"ulimit -n 80 && exec "$0" "$@""#, &arguments);
            let mut server = Server::run(command).expect("80 descriptors are enough to start");
            let mut streams: Vec<Stream> = (0..240).map(|_| server.connect("lines")).collect();
            for stream in &mut streams {
                stream.write_all(b"in\n").expect("the kernel takes it");
            }
            server.wait_for_line(|line| line.contains("accepting pauses and goes on by itself"));
            for round in 0..10 {
                assert!(is_well(&server), "round {round}, {balance} with {driver}");
            }
            // Nobody was turned away meanwhile. Each that is answered makes room, for one of whichever reactor is first.
            std::thread::scope(|scope| {
                for mut stream in streams {
                    scope.spawn(move || stream.expect(b"echo: in\n"));
                }
            });
        }
    }
}

#[test]
fn a_listener_has_a_limit_of_its_own() {
    for driver in drivers() {
        let listen = ["--listen=lines=tcp://127.0.0.1:0,max-connections=1", "--listen=http=tcp://127.0.0.1:0"];
        let mut server = Server::serve(driver, &[listen[0], listen[1], "--stats=100ms"]);
        server.connect("lines").ask(b"in\n", b"echo: in\n");
        let mut held = eventually_served(&server);
        assert!(server.refuses("lines") && is_well(&server), "with {driver}");
        held.ask(b"still in\n", b"echo: still in\n");
        server.wait_for(|event| event["refused"].as_str().is_some_and(|reasons| reasons.starts_with("listener:")));
    }
}
