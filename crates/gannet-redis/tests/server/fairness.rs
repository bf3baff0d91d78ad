//! What one client gets of a turn of its reactor, on a simulated network: commands that cost much are few in a turn,
//! however short they are.

use std::time::Duration;

use gannet::sim::{SimulatedClient, Simulation};
use gannet::{Limits, Timeouts};
use gannet_redis::{Options, Redis, Server};

const SEEDS: u64 = 6;

/// Turns in which a client pipelines a command without end.
const TURNS: usize = 200;

/// Commands that cost more than a message, with what has to be there, and how many of them a turn may have.
const COSTLY: [(&str, &str, u64); 9] = [
    ("SETRANGE k 1048575 x", "BITCOUNT k", 1),
    ("SETRANGE k 1048575 x", "BITPOS k 1", 1),
    ("SETRANGE k 1048575 x", "COPY k l REPLACE", 1),
    ("SETRANGE k 1048575 x", "BITOP NOT l k", 1),
    ("DEL k", "SWAPDB 0 1", 2),
    ("DEL k", "FLUSHALL", 8),
    ("DEL k", "RANDOMKEY", 17),
    ("DEL k", "COMMAND", 3),
    ("DEL k", "INFO", 24),
];

/// Commands that cost by what other clients do, with how many clients there are and what each has sent.
const COSTLY_AMONG_OTHERS: [(usize, fn() -> String, &str, u64); 4] = [
    (1, patterns, "PUBLISH news x", 17),
    (500, || "PING".to_owned(), "CLIENT KILL ADDR 192.0.2.1:1", 17),
    (500, || "PING".to_owned(), "CLIENT LIST TYPE pubsub", 17),
    (500, || "PING".to_owned(), "CLIENT LIST", 1),
];

/// A subscription to 500 patterns, none of which matches a channel that is published to.
fn patterns() -> String {
    (0..500).fold("PSUBSCRIBE".to_owned(), |command, number| format!("{command} other{number}*"))
}

/// The most commands that were taken in a turn, of all seeds.
fn most_in_a_turn(prepare: &str, command: &str) -> u64 {
    most_among_others(0, "", prepare, command)
}

/// The same beside other clients, each of which has sent a line.
fn most_among_others(others: usize, line: &str, prepare: &str, command: &str) -> u64 {
    let most = (0..SEEDS).map(|seed| {
        let server = Server::new(Options::default());
        let (mut limits, timeouts) = (Limits::default(), Timeouts::default());
        limits.groups_per_connection = 1_000;
        let mut simulation = Simulation::new(seed, 1, &limits, timeouts, || Redis::new(server.clone()));
        let others: Vec<_> = (0..others).map(|_| join(&mut simulation, line)).collect();
        let mut client = simulation.connect(0);
        let text = format!("{command}\r\n").repeat(40);
        let messages = |simulation: &Simulation| simulation.remote().stats()[0].services[0].messages_in;
        let (mut to_send, mut buffer) = (format!("{prepare}\r\n").into_bytes(), vec![0; 64 << 10]);
        let (mut most, already) = (0, messages(&simulation));
        for turn in 0..TURNS {
            while let Ok(count) = client.write(&to_send) {
                to_send.drain(..count);
                if to_send.is_empty() {
                    to_send.extend_from_slice(text.as_bytes());
                }
            }
            while client.read(&mut buffer).is_ok_and(|count| count > 0) {}
            let before = messages(&simulation);
            simulation.turn();
            // The first command made what the others look at.
            if turn > 0 && before > already {
                most = most.max(messages(&simulation) - before);
            }
        }
        drop(others);
        most
    });
    most.max().unwrap_or(0)
}

/// A client that has sent a line and got an answer.
fn join(simulation: &mut Simulation, line: &str) -> SimulatedClient {
    let (mut client, text, mut buffer) = (simulation.connect(0), format!("{line}\r\n"), vec![0; 64 << 10]);
    let mut rest = text.as_bytes();
    for _ in 0..1_000 {
        if let Ok(count) = client.write(rest) {
            rest = &rest[count..];
        }
        simulation.turn_within(Duration::from_millis(10));
        match client.read(&mut buffer) {
            Ok(0) => panic!("the connection ended, with {} bytes left to send", rest.len()),
            Ok(_) => return client,
            Err(_) => {}
        }
    }
    panic!("no answer, with {} bytes left to send", rest.len());
}

#[test]
fn commands_that_cost_much_are_few_in_a_turn() {
    for (prepare, command, allowed) in COSTLY {
        let most = most_in_a_turn(prepare, command);
        assert!((1..=allowed).contains(&most), "{most} times {command} in a turn");
    }
    assert!(most_in_a_turn("DEL k", "PING") > 24, "a turn has room for many cheap ones");
}

#[test]
fn commands_that_look_at_many_patterns_or_clients_are_few_in_a_turn() {
    for (others, line, command, allowed) in COSTLY_AMONG_OTHERS {
        let most = most_among_others(others, &line(), "DEL k", command);
        assert!((1..=allowed).contains(&most), "{most} times {command} in a turn");
    }
    assert!(most_among_others(1, "PING", "DEL k", "PUBLISH news x") > 24, "without patterns it costs little");
    assert!(most_among_others(1, "PING", "DEL k", "CLIENT KILL ADDR 192.0.2.1:1") > 24, "nor with few clients");
}
