//! What clients see of the server.

use gannet_proto::http::{Answer, Error, Event, HeaderError, Persistence, Requests, Response, SIZE_LINE};
use gannet_proto::{Codec, Decoded};

/// What a response has to know of this request.
fn answer(line: &str, fields: &str) -> Answer {
    let mut received = format!("{line}\r\nHost: a\r\n{fields}\r\n").into_bytes();
    match Requests::new().decode(&mut Default::default(), &mut received) {
        Ok(Decoded::Message { message: Event::Request(request), .. }) => request.answer(),
        other => panic!("{other:?}"),
    }
}

fn get() -> Answer {
    answer("GET / HTTP/1.1", "")
}

fn head() -> Answer {
    answer("HEAD / HTTP/1.1", "")
}

fn old(fields: &str) -> Answer {
    answer("GET / HTTP/1.0", fields)
}

/// A response with this body, as text.
fn whole(answer: Answer, status: u16, body: &str) -> (String, Persistence) {
    let mut out = Vec::new();
    let persistence = Response::new(&mut out, answer, status).body(body.as_bytes());
    (String::from_utf8_lossy(&out).into_owned(), persistence)
}

/// A response with a body in two pieces, as text.
fn streamed(answer: Answer, status: u16) -> (String, Persistence) {
    let mut out = Vec::new();
    let mut chunks = Response::new(&mut out, answer, status).chunked();
    chunks.chunk(b"hello, world! hello!", &mut out);
    chunks.chunk(b"", &mut out);
    chunks.chunk(b"x", &mut out);
    let persistence = chunks.finish(&mut out);
    (String::from_utf8_lossy(&out).into_owned(), persistence)
}

/// A response with a body of known length in two pieces, as text.
fn sized(answer: Answer, status: u16) -> (String, Persistence) {
    let mut out = Vec::new();
    let mut pieces = Response::new(&mut out, answer, status).sized(5);
    pieces.chunk(b"hel", &mut out);
    pieces.chunk(b"lo", &mut out);
    assert!(!pieces.is_chunked());
    assert_eq!(pieces.around(3, &mut [0; SIZE_LINE]), [b"", b""]);
    let persistence = pieces.finish(&mut out);
    (String::from_utf8_lossy(&out).into_owned(), persistence)
}

#[test]
fn a_body_of_known_length_in_pieces_keeps_the_connection_whatever_the_version() {
    let told = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(sized(get(), 200), (format!("{told}hello"), Persistence::Keep));
    assert_eq!(sized(head(), 200), (told.to_owned(), Persistence::Keep));
    assert_eq!(sized(get(), 304).0, "HTTP/1.1 304 Not Modified\r\n\r\n");
    let (kept, persistence) = sized(old("Connection: keep-alive\r\n"), 200);
    assert_eq!(persistence, Persistence::Keep);
    assert_eq!(kept, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello");
}

#[test]
fn what_goes_around_a_chunk_is_what_is_written_around_it() {
    for length in [1, 15, 16, 300, 65_536] {
        let (mut out, piece) = (Vec::new(), vec![b'x'; length]);
        let mut chunks = Response::new(&mut out, get(), 200).chunked();
        assert!(chunks.is_chunked() && !chunks.is_none());
        out.clear();
        chunks.chunk(&piece, &mut out);
        let mut line = [0; SIZE_LINE];
        let [before, behind] = chunks.around(length, &mut line);
        assert_eq!(out, [before, &piece, behind].concat());
    }
    assert!(Response::new(Vec::new(), head(), 200).chunked().is_none());
}

#[test]
fn a_response_has_a_status_line_fields_a_length_and_a_body() {
    let mut out = Vec::new();
    let mut response = Response::new(&mut out, get(), 200);
    response.header("Content-Type", b"text/plain").unwrap();
    response.header("X-Empty", b"").unwrap();
    assert_eq!(response.body(b"Hello, World!"), Persistence::Keep);
    let expected =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Empty: \r\nContent-Length: 13\r\n\r\nHello, World!";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_code_without_a_name_is_sent_without_one_and_an_impossible_one_is_500() {
    let line = |status| whole(get(), status, "").0.lines().next().unwrap().to_owned();
    assert_eq!(line(404), "HTTP/1.1 404 Not Found");
    assert_eq!(line(299), "HTTP/1.1 299 ");
    assert_eq!(line(42), "HTTP/1.1 500 Internal Server Error");
    assert_eq!(line(1_000), "HTTP/1.1 500 Internal Server Error");
}

#[test]
fn a_response_to_head_says_the_length_and_leaves_the_body_out() {
    assert_eq!(whole(head(), 200, "hello").0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(streamed(head(), 200).0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn a_response_that_asks_for_an_upgrade_says_that_its_upgrade_is_for_the_next_hop() {
    let line = "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\n";
    assert_eq!(whole(get(), 426, "").0, format!("{line}Content-Length: 0\r\n\r\n"));
    assert_eq!(whole(Answer::CLOSE, 426, "").0, format!("{line}Connection: close\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn a_status_without_content_has_neither_length_nor_body() {
    for (status, line) in [(204, "HTTP/1.1 204 No Content\r\n\r\n"), (304, "HTTP/1.1 304 Not Modified\r\n\r\n")] {
        assert_eq!(whole(get(), status, "hello"), (line.to_owned(), Persistence::Keep));
        assert_eq!(streamed(get(), status), (line.to_owned(), Persistence::Keep));
    }
}

#[test]
fn a_body_of_unknown_length_is_sent_in_chunks() {
    let expected =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\nhello, world! hello!\r\n1\r\nx\r\n0\r\n\r\n";
    assert_eq!(streamed(get(), 200), (expected.to_owned(), Persistence::Keep));
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_but_the_end_of_the_connection() {
    let expected = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello, world! hello!x";
    assert_eq!(streamed(old("Connection: keep-alive\r\n"), 200), (expected.to_owned(), Persistence::Close));
}

#[test]
fn a_connection_stays_where_the_client_wants_it_to_and_the_service_allows_it() {
    let sent = |answer| whole(answer, 200, "").0;
    assert_eq!(sent(get()), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(sent(answer("GET / HTTP/1.1", "Connection: close\r\n")), close);
    assert_eq!(sent(old("")), close);
    let keep = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(sent(old("Connection: keep-alive\r\n")), keep);

    let mut out = Vec::new();
    let mut response = Response::new(&mut out, get(), 200);
    response.close();
    assert_eq!(response.body(b""), Persistence::Close);
    assert_eq!(out, close.as_bytes());
}

#[test]
fn nothing_can_be_injected_by_a_header_field() {
    let mut out = Vec::new();
    let mut response = Response::new(&mut out, get(), 200);
    for value in [&b"ab\r\nX: y"[..], b"ab\n", b"ab\rc", b"ab\0", b"ab\x7f", b"ab\x1b"] {
        assert_eq!(response.header("X", value), Err(HeaderError::Value { position: 2 }));
    }
    for name in ["", "X:", "X Y", "X\r\nY", "X\0", "\u{e9}"] {
        assert_eq!(response.header(name, b""), Err(HeaderError::Name), "{name:?}");
    }
    for name in ["content-length", "Transfer-Encoding", "CONNECTION"] {
        assert_eq!(response.header(name, b"5"), Err(HeaderError::Reserved));
    }
    response.header("X", b"a\tb \xff").unwrap();
    let _ = response.body(b"");
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nX: a\tb \xff\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn what_resets_a_document_has_no_content_and_says_so() {
    let expected = "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n";
    for answer in [get(), head()] {
        assert_eq!(whole(answer, 205, "body"), (expected.to_owned(), Persistence::Keep));
        let mut out = Vec::new();
        let mut sized = Response::new(&mut out, answer, 205).sized(4);
        let mut chunked_out = Vec::new();
        let mut chunked = Response::new(&mut chunked_out, answer, 205).chunked();
        assert!(sized.is_none() && chunked.is_none());
        sized.chunk(b"body", &mut out);
        chunked.chunk(b"body", &mut chunked_out);
        assert!(sized.finish(&mut out).is_keep() && chunked.finish(&mut chunked_out).is_keep());
        assert_eq!([out, chunked_out], [expected.as_bytes(); 2]);
    }
}

#[test]
fn a_protocol_is_changed_with_101() {
    let mut out = Vec::new();
    Response::new(&mut out, get(), 101).upgrade("websocket").unwrap();
    assert_eq!(out, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
}

#[test]
fn a_refused_request_is_told_why() {
    let mut out = Vec::new();
    assert_eq!(Response::refuse(&mut out, &Error::TwoLengths), Persistence::Close);
    let expected = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 42\r\n\r\n\
                    both Transfer-Encoding and Content-Length\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
