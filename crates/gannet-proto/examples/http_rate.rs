//! Prints what decoding requests costs, and writing responses: nanoseconds for each in a pipeline.
//!
//! `cargo run --release -p gannet-proto --example http_rate`.
#![allow(clippy::disallowed_methods, reason = "measuring time is its purpose")]

use std::hint::black_box;
use std::time::Instant;

use gannet_proto::http::{Event, Request, Requests, Response};
use gannet_proto::{Codec, Decoded};

const ROUNDS: usize = 2_000;
const PIPELINE: usize = 400;

const SMALL: &str = "GET /plaintext HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
const BROWSER: &str = "GET /assets/app.js?v=3 HTTP/1.1\r\nHost: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\nReferer: https://www.example.org/\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nSec-Fetch-Dest: script\r\n\
    Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\n\r\n";
const POST: &str = "POST /items HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n\
    Content-Length: 27\r\n\r\n{\"name\":\"value\",\"count\":42}";
const CHUNKED: &str = "POST /items HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n\
    Transfer-Encoding: chunked\r\n\r\n1b\r\n{\"name\":\"value\",\"count\":42}\r\n0\r\n\r\n";

fn main() {
    for (name, request) in
        [("GET", SMALL), ("GET of a browser", BROWSER), ("POST of 27 bytes", POST), ("POST in chunks", CHUNKED)]
    {
        println!(
            "request {name}: {:.1} ns",
            decoded(request, |request| {
                black_box(request);
            })
        );
    }
    println!(
        "with its last field looked up: {:.1} ns",
        decoded(BROWSER, |request| {
            black_box(request.header("sec-fetch-site"));
        })
    );
    println!("writing a 200 with 13 bytes: {:.1} ns", written());
}

/// What decoding `request` costs in a pipeline of them.
fn decoded(request: &str, used: impl Fn(Request<'_>)) -> f64 {
    let whole = request.repeat(PIPELINE).into_bytes();
    let mut received = whole.clone();
    let codec = Requests::new();
    let mut state = Default::default();
    let copying = best(|| {
        black_box(&mut received).copy_from_slice(&whole);
    });
    let all = best(|| {
        // Chunks are joined in place, so the next round needs them anew.
        received.copy_from_slice(&whole);
        let mut start = 0;
        while let Ok(Decoded::Message { message: Event::Request(request), consumed }) =
            codec.decode(&mut state, &mut received[start..])
        {
            used(request);
            start += consumed;
        }
        assert_eq!(start, received.len());
    });
    all - copying
}

/// What writing a small response costs.
fn written() -> f64 {
    let mut received = SMALL.as_bytes().to_vec();
    let decoded = Requests::new().decode(&mut Default::default(), &mut received);
    let Ok(Decoded::Message { message: Event::Request(request), .. }) = decoded else { return f64::NAN };
    let mut out = Vec::new();
    best(|| {
        out.clear();
        for _ in 0..PIPELINE {
            let mut response = Response::new(&mut out, black_box(request.answer()), black_box(200));
            let date = response.header("Date", black_box(b"Sun, 06 Nov 1994 08:49:37 GMT"));
            let kind = response.header("Content-Type", black_box(b"text/plain"));
            let persistence = response.body(black_box(b"Hello, World!"));
            black_box((date.is_ok(), kind.is_ok(), persistence.is_keep()));
        }
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
