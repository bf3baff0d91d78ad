//! What one client gets of a turn of its reactor, on a simulated network: commands that cost much are few in a turn,
//! however short they are.

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

/// Other clients, and what each of them has sent, by its number.
struct Others(usize, fn(usize) -> String);

/// Commands that cost by what other clients do, and how many of them a turn may have.
const COSTLY_AMONG_OTHERS: [(Others, &str, u64); 4] = [
    (Others(10, patterns), "PUBLISH news x", 17),
    (Others(500, ping), "CLIENT KILL ADDR 192.0.2.1:1", 17),
    (Others(500, ping), "CLIENT LIST TYPE pubsub", 17),
    (Others(500, ping), "CLIENT LIST", 1),
];

/// A subscription to 50 patterns of one client, none of which matches a channel that is published to.
fn patterns(client: usize) -> String {
    (0..50).fold("PSUBSCRIBE".to_owned(), |command, number| format!("{command} o{client}x{number}*"))
}

fn ping(_: usize) -> String {
    "PING".to_owned()
}

/// The most commands that were taken in a turn, of all seeds.
fn most_in_a_turn(prepare: &str, command: &str) -> u64 {
    most_among_others(&Others(0, ping), prepare, command)
}

/// The most commands that were taken in a turn, of all seeds, beside other clients.
fn most_among_others(others: &Others, prepare: &str, command: &str) -> u64 {
    let seeds = if others.0 == 0 { SEEDS } else { 1 };
    let most = (0..seeds).map(|seed| {
        let server = Server::new(Options::default());
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        let service = || Redis::new(server.clone());
        // A network full of faults would take long to bring a crowd together.
        let mut simulation = match others.0 {
            0 => Simulation::new(seed, 1, &limits, timeouts, service),
            _ => Simulation::calm(&limits, timeouts, service),
        };
        let others = join(&mut simulation, others);
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

/// Clients that have sent a line each and got an answer.
fn join(simulation: &mut Simulation, Others(count, line): &Others) -> Vec<SimulatedClient> {
    let lines: Vec<String> = (0..*count).map(|number| line(number) + "\r\n").collect();
    let mut joining: Vec<_> = lines.iter().map(|line| (simulation.connect(0), line.as_bytes())).collect();
    let (mut joined, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    for _ in 0..1_000 {
        simulation.turn();
        for (mut client, mut rest) in std::mem::take(&mut joining) {
            if let Ok(count) = client.write(rest) {
                rest = &rest[count..];
            }
            if client.read(&mut buffer).is_ok_and(|count| count > 0) {
                joined.push(client);
            } else {
                joining.push((client, rest));
            }
        }
        if joining.is_empty() {
            return joined;
        }
    }
    panic!("{} clients have no answer", joining.len());
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
    for (others, command, allowed) in COSTLY_AMONG_OTHERS {
        let most = most_among_others(&others, "DEL k", command);
        assert!((1..=allowed).contains(&most), "{most} times {command} in a turn");
    }
    assert!(most_among_others(&Others(1, ping), "DEL k", "PUBLISH news x") > 24, "without patterns it costs little");
    assert!(most_among_others(&Others(1, ping), "DEL k", "CLIENT KILL ADDR 192.0.2.1:1") > 24, "nor with few clients");
}
