//! What one client gets of a turn of its reactor, on a simulated network: commands that cost much are few in a turn,
//! however short they are.

use gannet::sim::Simulation;
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

/// The most commands that were taken in a turn, of all seeds.
fn most_in_a_turn(prepare: &str, command: &str) -> u64 {
    let most = (0..SEEDS).map(|seed| {
        let server = Server::new(Options::default());
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        let mut simulation = Simulation::new(seed, 1, &limits, timeouts, || Redis::new(server.clone()));
        let mut client = simulation.connect(0);
        let text = format!("{command}\r\n").repeat(40);
        let messages = |simulation: &Simulation| simulation.remote().stats()[0].services[0].messages_in;
        let (mut to_send, mut buffer) = (format!("{prepare}\r\n").into_bytes(), vec![0; 64 << 10]);
        let mut most = 0;
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
            if turn > 0 && before > 0 {
                most = most.max(messages(&simulation) - before);
            }
        }
        most
    });
    most.max().unwrap_or(0)
}

#[test]
fn commands_that_cost_much_are_few_in_a_turn() {
    for (prepare, command, allowed) in COSTLY {
        let most = most_in_a_turn(prepare, command);
        assert!((1..=allowed).contains(&most), "{most} times {command} in a turn");
    }
    assert!(most_in_a_turn("DEL k", "PING") > 24, "a turn has room for many cheap ones");
}
