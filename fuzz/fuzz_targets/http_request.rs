//! Any bytes, cut anywhere, are the same requests, and the codec keeps its contract on the way.

#![no_main]

#[path = "../../crates/gannet-proto/tests/feed/mod.rs"]
mod feed;

use feed::{Patience, feed, pieces};
use gannet_proto::DecodeError;
use gannet_proto::http::{Event, Request, Requests};
use libfuzzer_sys::fuzz_target;

/// Whether the limits are narrow, the cuts, the stream.
type Input = (bool, Vec<u16>, Vec<u8>);

fuzz_target!(|input: Input| {
    let (narrow, cuts, stream) = input;
    let requests = match narrow {
        true => Requests::new().max_request_line(30).max_head(80).max_headers(4).max_body(40),
        false => Requests::new(),
    };

    let whole = feed(&requests, Patience::Waits, [&stream[..]], shown);
    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(&stream, &cuts), stream.chunks(1).collect()] {
            let cut = feed(&requests, patience, chunks, shown);
            assert_eq!(cut.messages, whole.messages);
            match (&cut.error, &whole.error) {
                // Chunks may have been joined, or not yet.
                (Some(DecodeError::Truncated { .. }), Some(DecodeError::Truncated { .. })) => (),
                (cut, whole) => assert_eq!(cut, whole),
            }
            assert!(cut.largest_need <= requests.largest());
        }
    }
});

/// Everything that a message says.
fn shown(event: Event<'_>) -> (String, Vec<u8>) {
    match event {
        Event::Request(request) => {
            let again = Request::from_head(request.head(), request.body).expect("it was a head before");
            assert_eq!(again.target, request.target);
            (text(&request), request.body.to_vec())
        }
        Event::Head(request) => (format!("head {}", text(&request)), Vec::new()),
        Event::Body(body) | Event::Piece { bytes: body, .. } => (String::new(), body.to_vec()),
    }
}

fn text(request: &Request<'_>) -> String {
    let fields: Vec<(&str, &[u8])> = request.headers().collect();
    for (name, value) in &fields {
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        assert!(request.header_all(name).any(|found| found == *value));
    }
    let (path, query, host) = (request.path(), request.query(), request.host());
    format!("{:?} {path} {query:?} {host} {} {fields:?}", request.method, request.keep_alive())
}
