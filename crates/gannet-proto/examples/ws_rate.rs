//! Prints what decoding and writing WebSocket messages costs: nanoseconds for each, and packing and unpacking them.
//!
//! `cargo run --release -p gannet-proto --features deflate --example ws_rate`.
#![allow(clippy::disallowed_methods, reason = "measuring time is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use gannet_proto::ws::{Opcode, WebSocket, write_frame};
use gannet_proto::{Codec, Decoded};

/// What a client's frame is masked with.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The least time for each of `rounds` times `work`, of several tries, in nanoseconds.
fn nanoseconds(rounds: u32, mut work: impl FnMut()) -> f64 {
    let tries = (0..7).map(|_| {
        let start = Instant::now();
        (0..rounds).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / f64::from(rounds)
    });
    tries.fold(f64::INFINITY, f64::min)
}

fn main() {
    let codec = WebSocket::server();
    for (opcode, length) in [
        (Opcode::Text, 64),
        (Opcode::Binary, 64),
        (Opcode::Text, 16 << 10),
        (Opcode::Binary, 16 << 10),
        (Opcode::Binary, 1 << 20),
    ] {
        let count = if length == 64 { 512 } else { 1 };
        // What one round unmasks in place the next one masks again: with this key it is text either way.
        let mut input = Vec::new();
        for _ in 0..count {
            write_frame(&mut input, opcode, &[&vec![b'x'; length]], Some([1; 4])).expect("letters");
        }
        let rounds = ((1 << 26) / input.len()) as u32;
        let time = nanoseconds(rounds, || {
            let (mut state, mut start) = (Default::default(), 0);
            while start < input.len() {
                match codec.decode(&mut state, &mut input[start..]) {
                    Ok(Decoded::Message { message, consumed }) => {
                        black_box(message);
                        start += consumed;
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        println!(
            "decode {opcode} of {length} bytes: {:.1} ns, {:.1} GB/s",
            time / count as f64,
            (count * length) as f64 / time
        );
    }

    let (payload, mut out) = (vec![b'x'; 64], Vec::with_capacity(1 << 16));
    for mask in [None, Some(KEY)] {
        let time = nanoseconds(100_000, || {
            out.clear();
            (0..100).for_each(|_| write_frame(&mut out, Opcode::Text, &[black_box(&payload)], mask).expect("letters"));
        });
        println!("write text of 64 bytes, masked: {}: {:.1} ns", mask.is_some(), time / 100.0);
    }

    #[cfg(feature = "deflate")]
    compressed();
}

#[cfg(feature = "deflate")]
fn compressed() {
    use gannet_proto::ws::deflate::Params;

    let text = r#"{"type":"tick","symbol":"ABCDEF","price":123.45,"size":100,"time":1700000000}"#;
    for params in [Params::new(), Params::without_takeover()] {
        let (mut deflater, mut out) = (params.server_deflater(1), Vec::new());
        let time = nanoseconds(1, || {
            out.clear();
            (0..10_000).for_each(|_| deflater.text(&mut out, black_box(text), None).expect("it packs"));
        });
        println!("pack {} bytes to {}: {:.0} ns; {params:?}", text.len(), out.len() / 10_000, time / 10_000.0);

        let codec = WebSocket::client();
        // Another stream: where there is a context, the first message refers to nothing.
        let (mut deflater, mut out) = (params.server_deflater(1), Vec::new());
        (0..10_000).for_each(|_| deflater.text(&mut out, text, None).expect("it packs"));
        let time = nanoseconds(1, || {
            let (mut state, mut start) = (codec.compressed_state(params), 0);
            while start < out.len() {
                match codec.decode(&mut state, &mut out[start..]) {
                    Ok(Decoded::Message { message, consumed }) => {
                        black_box(message);
                        start += consumed;
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        println!("unpack it: {:.0} ns", time / 10_000.0);
    }
}
