//! What an HTTP server sees of clients, and clients of the server.

mod corpus;
mod doubtful;
mod early;
mod generated;
mod in_pieces;
mod requests;
mod response;
mod responses;
mod smuggling;
mod whole;

use gannet_proto::http::{Error, Event, Request, Requests};
use gannet_proto::testing::{Check, Outcome, Patience, feed, pieces};
use gannet_proto::{Codec, FrameError};

const BOTH: [Patience; 2] = [Patience::Waits, Patience::Asks];

/// Everything that a message says, as text.
fn shown(event: Event<'_>) -> String {
    match event {
        Event::Request(request) => request_shown(&request),
        Event::Head(request) => format!("head {}", request_shown(&request)),
        Event::Body(body) => format!("body {}", body.escape_ascii()),
        Event::Piece { bytes, last: false } => format!("piece {}", bytes.escape_ascii()),
        Event::Piece { bytes, last: true } => format!("last {}", bytes.escape_ascii()),
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

fn read(codec: &Requests, stream: &[u8]) -> Outcome<String, Error> {
    feed(codec, Patience::Waits, [stream], shown)
}

/// The status that a stream was refused with, if it was.
fn status(error: Option<&Error>) -> Option<u16> {
    match error {
        None | Some(Error::Frame(_)) => None,
        Some(error) => Some(error.status()),
    }
}

/// Checks that `stream` means the same however it is cut, and whether heads come first or not.
fn check_cuts(codec: &Requests, stream: &[u8], cuts: &[u16]) {
    check_cuts_of(codec, codec.largest(), stream, cuts, shown);
    let whole = feed(codec, Patience::Waits, [stream], shown);
    for patience in BOTH {
        for chunks in [pieces(stream, cuts), stream.chunks(1).collect(), stream.chunks(7).collect()] {
            let heads_first = feed(&codec.clone().heads_first(), patience, chunks, shown);
            assert_eq!(joined(heads_first.messages), joined(whole.messages.clone()), "{}", stream.escape_ascii());
            match (&heads_first.error, &whole.error) {
                // Where the stream ends behind a head, nothing is left to be cut short.
                (None | Some(Error::Frame(FrameError::Truncated { .. })), Some(error)) if may_be_cut(error) => (),
                (heads_first, whole) => assert_eq!(heads_first, whole, "{}", stream.escape_ascii()),
            }
        }
        for chunks in [pieces(stream, cuts), stream.chunks(1).collect(), stream.chunks(7).collect()] {
            in_pieces::check(codec, patience, chunks, &whole);
        }
    }
}

/// Whether nothing of this may be seen where the stream ends behind a head.
fn may_be_cut(error: &Error) -> bool {
    matches!(error, Error::Frame(FrameError::Truncated { .. }) | Error::BodyTooLarge { .. })
}

/// The messages with each head and its body as one; a head whose body did not come is left out.
fn joined(messages: Vec<String>) -> Vec<String> {
    let mut joined = Vec::new();
    let mut head = None;
    for message in messages {
        match (message.strip_prefix("head "), message.strip_prefix("body "), head.take()) {
            (Some(next), ..) => head = Some(next.to_owned()),
            (_, Some(body), Some(head)) => joined.push(head.replace("[]", &format!("[{body}]"))),
            _ => joined.push(message),
        }
    }
    joined
}

/// Checks that `stream` means the same however it is cut, for either side, where `largest` is the most that it may hold.
fn check_cuts_of<C: Codec>(
    codec: &C,
    largest: usize,
    stream: &[u8],
    cuts: &[u16],
    shown: impl for<'a> Fn(C::Message<'a>) -> String,
) {
    let seed = cuts.iter().fold(0, |seed, &cut| seed << 8 ^ u64::from(cut));
    let outcome = Check::new(codec).splits(400).seed(seed).run(stream, shown);
    assert!(outcome.largest_need <= largest, "{} bytes needed", outcome.largest_need);
}
