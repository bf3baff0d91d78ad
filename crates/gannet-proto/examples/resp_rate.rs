//! Prints what decoding costs: a pipeline of GETs, SETs and MSETs, in nanoseconds a command.
//!
//! `cargo run --release -p gannet-proto --example resp_rate`.
#![allow(clippy::disallowed_methods, reason = "measuring time is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use gannet_proto::resp::Commands;
use gannet_proto::{Codec, Decoded};

const ROUNDS: usize = 2_000;
const PIPELINE: usize = 400;

fn main() {
    let value = "x".repeat(64);
    let words = "$3\r\nabc\r\n".repeat(20);
    for (name, command) in [
        ("GET", "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n".to_owned()),
        ("SET", format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$64\r\n{value}\r\n")),
        ("MSET of 20 words", format!("*21\r\n$4\r\nMSET\r\n{words}")),
        ("inline PING", "PING\r\n".to_owned()),
    ] {
        let mut received = command.repeat(PIPELINE).into_bytes();
        let best = (0..9).map(|_| measure(&mut received)).min_by(f64::total_cmp).unwrap_or_default();
        println!("{name}: {best:.1} ns");
    }
}

fn measure(received: &mut [u8]) -> f64 {
    let commands = Commands::new();
    let mut state = Default::default();
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let mut start = 0;
        while let Ok(Decoded::Message { message, consumed }) = commands.decode(&mut state, &mut received[start..]) {
            black_box(message.last());
            start += consumed;
        }
    }
    started.elapsed().as_nanos() as f64 / (ROUNDS * PIPELINE) as f64
}
