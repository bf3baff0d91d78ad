//! Prints what decoding commands and replies costs, and writing replies: nanoseconds for each in a pipeline.
//!
//! `cargo run --release -p gannet-proto --example resp_rate`.
#![allow(clippy::disallowed_methods, reason = "measuring time is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use gannet_proto::resp::{Commands, Replies, Version, Writer};
use gannet_proto::{Codec, Decoded};

const ROUNDS: usize = 2_000;
const PIPELINE: usize = 400;

fn main() {
    let value = "x".repeat(64);
    let words = "$3\r\nabc\r\n".repeat(20);
    let commands = Commands::new();
    for (name, command) in [
        ("GET", "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n".to_owned()),
        ("SET", format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$64\r\n{value}\r\n")),
        ("MSET of 20 words", format!("*21\r\n$4\r\nMSET\r\n{words}")),
        ("inline PING", "PING\r\n".to_owned()),
    ] {
        println!("command {name}: {:.1} ns", decoded(&commands, &command));
    }
    let replies = Replies::new();
    for (name, reply) in [
        ("OK", "+OK\r\n".to_owned()),
        ("integer", ":1234\r\n".to_owned()),
        ("bulk of 64 bytes", format!("$64\r\n{value}\r\n")),
        ("array of 20 bulks", format!("*20\r\n{words}")),
    ] {
        println!("reply {name}: {:.1} ns", decoded(&replies, &reply));
    }
    println!("writing a bulk of 64 bytes: {:.1} ns", written(|writer| writer.bulk(black_box(value.as_bytes()))));
    println!("writing an integer: {:.1} ns", written(|writer| writer.integer(black_box(1234))));
}

/// What decoding `message` costs in a pipeline of them.
fn decoded<C: Codec>(codec: &C, message: &str) -> f64 {
    let mut received = message.repeat(PIPELINE).into_bytes();
    let mut state = C::State::default();
    best(|| {
        let mut start = 0;
        while let Ok(Decoded::Message { message, consumed }) = codec.decode(&mut state, &mut received[start..]) {
            black_box(&message);
            start += consumed;
        }
    })
}

/// What writing a reply costs.
fn written(write: impl Fn(&mut Writer<&mut Vec<u8>>)) -> f64 {
    let mut out = Vec::new();
    best(|| {
        out.clear();
        let mut writer = Writer::new(&mut out, Version::Resp2);
        (0..PIPELINE).for_each(|_| write(&mut writer));
        black_box(&out);
    })
}

/// Nanoseconds for each message of a pipeline, in the fastest of nine measurements.
fn best(mut pipeline: impl FnMut()) -> f64 {
    let measure = |_| {
        let started = Instant::now();
        (0..ROUNDS).for_each(|_| pipeline());
        started.elapsed().as_nanos() as f64 / (ROUNDS * PIPELINE) as f64
    };
    (0..9).map(measure).min_by(f64::total_cmp).unwrap_or_default()
}
