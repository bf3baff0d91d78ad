//! Bodies that are delivered as they come.

use gannet_proto::http::{Error, Event, Requests, RequestsState, WholeResponse};
use gannet_proto::testing::{Outcome, Patience, feed};
use gannet_proto::{Codec, Decoded, FrameError, Sink};

use crate::shown;

/// Takes each body in pieces whose head comes first.
#[derive(Clone, Default)]
struct InPieces(Requests);

impl Codec for InPieces {
    type Message<'a> = Event<'a>;
    type Outgoing<'a> = WholeResponse<'a>;
    type Error = Error;
    type State = RequestsState;

    fn decode<'a>(&self, state: &mut RequestsState, input: &'a mut [u8]) -> Result<Decoded<Event<'a>>, Error> {
        let decoded = self.0.decode(state, input)?;
        if let Decoded::Message { message: Event::Head(_), .. } = &decoded {
            state.stream_body();
        }
        Ok(decoded)
    }

    fn finish<'a>(&self, state: &mut RequestsState, rest: &'a mut [u8]) -> Result<Option<Event<'a>>, Error> {
        self.0.finish(state, rest)
    }

    fn encode(&self, response: WholeResponse<'_>, out: &mut impl Sink) -> Result<(), Error> {
        self.0.encode(response, out)
    }
}

/// Checks that the pieces are what comes whole.
pub(crate) fn check(codec: &Requests, patience: Patience, chunks: Vec<&[u8]>, whole: &Outcome<String, Error>) {
    if let Some(Error::BodyTooLarge { .. } | Error::FramingTooLarge { .. }) = whole.error {
        return;
    }
    let codec = InPieces(codec.clone().heads_first());
    let outcome = feed(&codec, patience, chunks.iter().copied(), shown);
    assert_eq!(joined(outcome.messages), crate::joined(whole.messages.clone()), "{chunks:?}");
    match (&outcome.error, &whole.error) {
        (None | Some(Error::Frame(FrameError::Truncated { .. })), Some(Error::Frame(FrameError::Truncated { .. }))) => {
        }
        (outcome, whole) => assert_eq!(outcome, whole, "{chunks:?}"),
    }
}

/// The messages with each head and the pieces of its body as one; a head whose body did not end is left out.
fn joined(messages: Vec<String>) -> Vec<String> {
    let mut joined = Vec::new();
    let mut parts: Option<(String, String)> = None;
    for message in messages {
        if let Some(head) = message.strip_prefix("head ") {
            parts = Some((head.to_owned(), String::new()));
        } else if let Some((_, body)) = parts.as_mut()
            && let Some(piece) = message.strip_prefix("piece ")
        {
            assert!(!piece.is_empty(), "a piece of nothing");
            body.push_str(piece);
        } else if let Some(piece) = message.strip_prefix("last ") {
            let (head, body) = parts.take().expect("a head before its body");
            joined.push(head.replace("[]", &format!("[{body}{piece}]")));
        } else {
            joined.push(message);
        }
    }
    joined
}

#[test]
fn a_body_of_any_size_comes_in_pieces_and_nothing_more_is_asked_for() {
    let codec = InPieces(Requests::new().max_body(10).heads_first());
    let data = "x".repeat(100_000);
    let bodies = [
        format!("Content-Length: {}\r\n\r\n{data}", data.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n{:x};a=b\r\n{data}\r\n0\r\nT: r\r\n\r\n", data.len()),
    ];
    for (body, begin) in bodies.iter().zip(["", "hello"]) {
        let stream = format!("POST / HTTP/1.1\r\nHost: h\r\n{body}GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        let outcome = feed(&codec, Patience::Asks, stream.as_bytes().chunks(1_000), shown);
        assert_eq!(outcome.error, None);
        assert!(outcome.largest_need <= 1_001, "{} bytes", outcome.largest_need);
        let messages = joined(outcome.messages);
        assert_eq!(messages.len(), 2);
        assert!(messages[0].ends_with(&format!("[{begin}{data}]")));
        assert!(messages[1].starts_with("GET /next"));
    }
    let huge = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx";
    let outcome = feed(&codec, Patience::Asks, [huge.as_bytes()], shown);
    assert!(matches!(outcome.error, Some(Error::BodyTooLarge { .. })), "{:?}", outcome.error);
}

#[test]
fn a_body_that_is_too_large_is_refused_behind_its_head_unless_it_is_taken_in_pieces() {
    let codec = Requests::new().max_body(10).heads_first();
    let stream = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nx";
    let outcome = feed(&codec, Patience::Asks, [&stream[..]], shown);
    assert_eq!(outcome.messages.len(), 1, "{:?}", outcome.messages);
    assert_eq!(outcome.error, Some(Error::BodyTooLarge { limit: 10 }));
}
