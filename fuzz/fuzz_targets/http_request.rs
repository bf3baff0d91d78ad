//! Any bytes, cut anywhere, are the same requests, and the codec keeps its contract on the way.

#![no_main]

use gannet_proto::http::{Error, Event, Request, Requests};
use gannet_proto::testing::{Patience, feed, is_same_error, pieces};
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
            assert!(is_same(&cut.error, &whole.error), "{:?} and not {:?}", cut.error, whole.error);
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

/// Whether two errors say the same: how much was seen depends on the cuts.
fn is_same(one: &Option<Error>, other: &Option<Error>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => is_same_error(one, other),
        _ => one.is_none() == other.is_none(),
    }
}
