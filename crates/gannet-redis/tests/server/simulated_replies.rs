//! Large replies on a simulated network: they leave piece by piece while the value is changed, and their clients break, read
//! slowly, stop reading or vanish. All follows from a seed.
//!
//! `GANNET_SEEDS=N` runs so many instead of the usual number, `GANNET_SEED=S` runs one of them again.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use gannet::sim::{SimulatedClient, Simulation};
use gannet::{Limits, Timeouts};
use gannet_redis::{Options, Redis, Server};

const SEEDS: u64 = 20;

/// Turns after which a schedule that has not ended is stuck.
const TURNS: usize = 200_000;

/// Strings so large are lent to replies, not copied.
const VALUE_BYTES: usize = 40 << 10;

/// How often one reply has the value.
const TIMES: usize = 6;

/// What a client does with its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    ToTheEnd,
    /// It resets the connection when it has read so much.
    Reset(usize),
    /// It closes the connection when it has read so much.
    Close(usize),
    /// It stops when it has read so much, and stays.
    Stop(usize),
}

struct Client {
    connection: Option<SimulatedClient>,
    to_send: Vec<u8>,
    came: Vec<u8>,
}

impl Client {
    fn new(connection: SimulatedClient, sent: Vec<u8>) -> Self {
        Self { connection: Some(connection), to_send: sent, came: Vec::new() }
    }

    /// Writes a little, and reads a little if it may.
    fn step(&mut self, simulation: &mut Simulation, reads: bool) {
        let Some(connection) = &mut self.connection else { return };
        let mut broken = false;
        if !self.to_send.is_empty() {
            match connection.write(&self.to_send) {
                Ok(count) => drop(self.to_send.drain(..count)),
                Err(error) => broken = error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        if reads && simulation.below(2) == 0 {
            let mut buffer = [0; 8_192];
            match connection.read(&mut buffer) {
                Ok(0) => broken = true,
                Ok(count) => self.came.extend_from_slice(&buffer[..count]),
                Err(error) => broken |= error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        if broken {
            self.connection = None;
        }
    }
}

/// A value of one letter, whose length differs from that of the one before.
fn set(number: usize) -> Vec<u8> {
    let length = VALUE_BYTES + number % 7;
    let letter = char::from(b'a' + (number % 26) as u8).to_string();
    format!("*3\r\n$3\r\nSET\r\n$1\r\ns\r\n${length}\r\n{}\r\n", letter.repeat(length)).into_bytes()
}

/// Whether a whole reply has come. What has come must be the beginning of a right one: the same value each time.
fn is_whole(came: &[u8]) -> bool {
    let head = format!("*{TIMES}\r\n");
    let beginning = head.len().min(came.len());
    assert_eq!(&came[..beginning], &head.as_bytes()[..beginning]);
    let rest = &came[beginning..];
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else { return false };
    let length: usize = std::str::from_utf8(&rest[1..end]).expect("text").parse().expect("a length");
    let one = end + 2 + length + 2;
    let right =
        format!("${length}\r\n{}\r\n", char::from(*rest.get(end + 2).unwrap_or(&b'a')).to_string().repeat(length));
    for value in rest.chunks(one) {
        assert!(right.as_bytes().starts_with(value), "another value, or a torn one");
    }
    rest.len() == TIMES * one
}

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "seed {0} failed; again: GANNET_SEED={0} cargo test -p gannet-redis --test server simulated_replies",
                self.0
            );
        }
    }
}

fn run(seed: u64, met: &mut BTreeMap<&'static str, usize>) {
    let _replay = Replay(seed);
    let mut limits = Limits::default();
    limits.outbox_high = 4 << 10;
    limits.outbox_hard = 32 << 10;
    let mut timeouts = Timeouts::default();
    timeouts.slow_write = None;
    timeouts.linger = Duration::from_millis(50);
    let server = Server::new(Options::default());
    let mut simulation = Simulation::new(seed, 1, &limits, timeouts, || Redis::new(server.clone()));
    let mut writer = Client::new(simulation.connect(0), set(0));
    let (mut written, mut readers, mut most) = (0, Vec::new(), 0);
    for turn in 0..TURNS {
        simulation.turn();
        writer.step(&mut simulation, true);
        if writer.connection.is_none() {
            writer = Client::new(simulation.connect(0), set(written));
        }
        if writer.came.ends_with(b"+OK\r\n") && writer.to_send.is_empty() {
            written += 1;
            writer.came.clear();
            writer.to_send = set(written);
        }
        if written > 0 && readers.is_empty() {
            for _ in 0..3 + simulation.below(6) {
                let some = simulation.below(TIMES * VALUE_BYTES);
                let reading = [Reading::ToTheEnd, Reading::Reset(some), Reading::Close(some), Reading::Stop(some)]
                    [simulation.below(4)];
                let ask = format!("MGET{}\r\n", " s".repeat(TIMES)).into_bytes();
                readers.push((Client::new(simulation.connect(0), ask), reading));
            }
        }
        let mut is_busy = readers.is_empty();
        for (client, reading) in &mut readers {
            let came = client.came.len();
            let goes = match *reading {
                Reading::ToTheEnd => false,
                Reading::Reset(most) | Reading::Close(most) | Reading::Stop(most) => came >= most && came > 0,
            };
            if goes && client.connection.is_some() {
                is_whole(&client.came);
            }
            match *reading {
                Reading::Reset(_) if goes => client.connection.take().into_iter().for_each(|gone| {
                    *met.entry("vanished").or_default() += 1;
                    gone.reset();
                }),
                Reading::Close(_) if goes => client.connection = None,
                _ => client.step(&mut simulation, !goes),
            }
            if client.came.len() > came.max(TIMES * VALUE_BYTES) && is_whole(&client.came) {
                *met.entry("whole").or_default() += 1;
                client.connection = None;
            }
            is_busy |= client.connection.is_some() && !goes;
        }
        most = most.max(server.memory_used());
        // Each reply reads one value, beside the one that is there and the one that comes.
        assert!(most <= (readers.len() + 2) * 2 * VALUE_BYTES, "{most} bytes for {} clients", readers.len());
        if !is_busy {
            break;
        }
        assert!(turn + 1 < TURNS, "it does not end");
    }
    if most > 2 * VALUE_BYTES {
        *met.entry("left behind").or_default() += 1;
    }
    // All go, and the key: then nothing takes memory any more.
    drop((readers, writer));
    let mut last = Client::new(simulation.connect(0), b"DEL s\r\n".to_vec());
    for turn in 0..TURNS {
        simulation.turn();
        last.step(&mut simulation, true);
        if last.connection.is_none() || (last.came.ends_with(b"\r\n") && last.to_send.is_empty()) {
            if server.memory_used() == 0 {
                break;
            }
            // A SET that was under way may have come since.
            last = Client::new(simulation.connect(0), b"DEL s\r\n".to_vec());
        }
        assert!(turn + 1 < TURNS, "{} bytes are kept", server.memory_used());
    }
    drop(last);
    simulation.remote().stop();
    for _ in 0..TURNS {
        if simulation.is_done() {
            break;
        }
        simulation.turn();
    }
    assert!(simulation.is_done(), "it does not stop");
    simulation.assert_nothing_left();
}

#[test]
fn a_large_reply_comes_as_its_value_was_and_what_a_client_leaves_behind_is_dropped() {
    let number = |name: &str| std::env::var(name).ok().map(|given| given.parse().expect("a number"));
    let mut met = BTreeMap::new();
    if let Some(seed) = number("GANNET_SEED") {
        return run(seed, &mut met);
    }
    let seeds = number("GANNET_SEEDS").unwrap_or(SEEDS);
    (0..seeds).for_each(|seed| run(seed, &mut met));
    for what in ["whole", "vanished", "left behind"] {
        assert!(met.contains_key(what), "no schedule of {seeds} met {what:?}");
    }
}
