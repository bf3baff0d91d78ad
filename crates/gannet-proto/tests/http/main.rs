//! What an HTTP server sees of clients, and clients of the server.

#[path = "../feed/mod.rs"]
mod feed;

mod corpus;
mod early;
mod generated;
mod requests;
mod response;
mod responses;
mod smuggling;

use feed::{Outcome, Patience, feed, pieces};
use gannet_proto::http::{Event, Request, Requests};
use gannet_proto::{Codec, DecodeError};

const BOTH: [Patience; 2] = [Patience::Waits, Patience::Asks];

/// Everything that a message says, as text.
fn shown(event: Event<'_>) -> String {
    match event {
        Event::Request(request) => request_shown(&request),
        Event::Head(request) => format!("head {}", request_shown(&request)),
        Event::Body(body) => format!("body {}", body.escape_ascii()),
    }
}

fn request_shown(request: &Request<'_>) -> String {
    let mut text = format!("{} {}", request.method.as_str(), request.target);
    for (name, value) in request.headers() {
        text += &format!(" {name}={}", value.escape_ascii());
    }
    if !request.keep_alive() {
        text += " (last)";
    }
    text + &format!(" [{}]", request.body.escape_ascii())
}

fn read(codec: &Requests, stream: &[u8]) -> Outcome<String> {
    feed(codec, Patience::Waits, [stream], shown)
}

/// The status that a stream was refused with, if it was.
fn status(error: Option<&DecodeError>) -> Option<u16> {
    match error {
        Some(DecodeError::Http(error)) => Some(error.status()),
        _ => None,
    }
}

/// Checks that `stream` means the same however it is cut.
fn check_cuts(codec: &Requests, stream: &[u8], cuts: &[u16]) {
    check_cuts_of(codec, codec.largest(), stream, cuts, shown);
}

/// The same for either side, where `largest` is the most that it may hold.
fn check_cuts_of<C: Codec>(
    codec: &C,
    largest: usize,
    stream: &[u8],
    cuts: &[u16],
    shown: impl for<'a> Fn(C::Message<'a>) -> String,
) {
    let whole = feed(codec, Patience::Waits, [stream], &shown);
    let check = |chunks: Vec<&[u8]>| {
        for patience in BOTH {
            let cut = feed(codec, patience, chunks.iter().copied(), &shown);
            assert_eq!(cut.messages, whole.messages, "{chunks:?}");
            match (&cut.error, &whole.error) {
                // What chunks there were was joined, or not yet.
                (Some(DecodeError::Truncated { .. }), Some(DecodeError::Truncated { .. })) => (),
                (cut, whole) => assert_eq!(cut, whole, "{}", stream.escape_ascii()),
            }
            assert!(cut.largest_need <= largest);
        }
    };
    check(pieces(stream, cuts));
    check(stream.chunks(1).collect());
    for cut in 0..=stream.len().min(400) {
        let (front, back) = stream.split_at(cut);
        check(vec![front, back]);
    }
}
