//! What a service is given, and what it is spared.

use super::{check_cuts, read, shown, status};
use gannet_proto::http::{Error, Event, Method, Request, Requests, RequestsState, Version};
use gannet_proto::testing::{Patience, feed};
use gannet_proto::{Codec, Decoded, FrameError};

/// Gives the one request in `stream` to `check`.
fn with(stream: &[u8], check: impl FnOnce(Request<'_>)) {
    let mut received = stream.to_vec();
    match Requests::new().decode(&mut Default::default(), &mut received) {
        Ok(Decoded::Message { message: Event::Request(request), consumed }) if consumed == stream.len() => {
            check(request)
        }
        other => panic!("{other:?}"),
    }
}

fn refused(codec: &Requests, stream: &[u8]) -> Option<Error> {
    check_cuts(codec, stream, &[]);
    read(codec, stream).error
}

#[test]
fn a_request_is_given_in_its_parts() {
    let stream =
        b"PUT /a/b?c=d?e HTTP/1.1\r\nHost: example.org:80\r\nAccept: x\r\naccept: y, Z\r\nContent-Length: 2\r\n\r\nhi";
    with(stream, |request| {
        assert_eq!((request.method, request.version), (Method::Put, Version::Http11));
        assert_eq!((request.target, request.path(), request.query()), ("/a/b?c=d?e", "/a/b", Some("c=d?e")));
        assert_eq!((request.host(), request.body), ("example.org:80", &b"hi"[..]));
        assert_eq!(request.header("ACCEPT"), Some(&b"x"[..]));
        assert_eq!(request.header("Accep"), None);
        assert_eq!(request.header("Accept: x\r\naccept"), None);
        assert_eq!(request.header_all("Accept").collect::<Vec<_>>(), [&b"x"[..], b"y, Z"]);
        assert!(request.header_contains_token("accept", "z"));
        assert!(!request.header_contains_token("accept", "y, Z"));
        let names: Vec<&str> = request.headers().map(|(name, _)| name).collect();
        assert_eq!(names, ["Host", "Accept", "accept", "Content-Length"]);
        assert_eq!(request.head(), &stream[..stream.len() - 2]);
    });
}

#[test]
fn a_target_that_is_a_whole_uri_names_the_host() {
    for (target, host, path, query) in [
        ("http://b:1/c", "b:1", "/c", None),
        ("https://b", "b", "/", None),
        ("http://b?q", "b", "/", Some("q")),
        ("/http://c", "a", "/http://c", None),
    ] {
        with(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), |request| {
            assert_eq!((request.host(), request.path(), request.query()), (host, path, query), "{target}");
        });
    }
}

#[test]
fn options_of_a_whole_uri_without_a_path_is_of_the_server_as_a_whole() {
    for (target, path) in [("*", "*"), ("http://b", "*"), ("http://b/", "/"), ("http://b?q", "/")] {
        with(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), |request| {
            assert_eq!(request.path(), path, "{target}");
        });
    }
}

#[test]
fn methods_are_known_by_their_exact_name() {
    for name in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "PURGE"] {
        with(format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), |request| {
            assert_eq!(request.method.as_str(), name);
            let known = name.chars().all(char::is_uppercase) && name != "PURGE";
            assert_eq!(matches!(request.method, Method::Other(_)), !known);
        });
    }
}

#[test]
fn a_body_is_asked_for_as_a_whole() {
    let mut state = RequestsState::default();
    let mut received = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc".to_vec();
    let need = received.len() - 3 + 1_000;
    let decoded = Requests::new().decode(&mut state, &mut received);
    assert!(matches!(decoded, Ok(Decoded::Partial { need: asked }) if asked == need), "{decoded:?}");

    let mut state = RequestsState::default();
    let mut received = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n3e8\r\nabc".to_vec();
    // The byte behind a chunk may show that it is no chunk.
    let need = received.len() - 3 + 1_000 + 1;
    let decoded = Requests::new().decode(&mut state, &mut received);
    assert!(matches!(decoded, Ok(Decoded::Partial { need: asked }) if asked == need), "{decoded:?}");
}

#[test]
fn a_client_that_waits_for_permission_is_seen_before_its_body_is() {
    let codec = Requests::new();
    for (framing, body) in
        [("Content-Length: 3", "abc"), ("Transfer-Encoding: chunked", "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")]
    {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n");
        let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
        let stream = format!("\r\n{head}{body}{next}");
        let outcome = read(&codec, stream.as_bytes());
        assert!(outcome.messages[0].starts_with("head POST / Host=a Expect=100-continue"), "{outcome:?}");
        assert_eq!(outcome.messages[1..], ["body abc", "GET /next Host=a []"]);
        check_cuts(&codec, stream.as_bytes(), &[]);

        let request = Request::from_head(head.as_bytes(), b"abc").unwrap();
        assert_eq!((request.method, request.body), (Method::Post, &b"abc"[..]));
    }
}

#[test]
fn a_head_comes_before_its_body_where_that_is_asked_for_and_the_body_is_not_whole() {
    let codec = Requests::new().heads_first();
    for (framing, body, length) in [
        ("Content-Length: 5", "abcde", Some(5)),
        ("Transfer-Encoding: chunked", "2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: u\r\n\r\n", None),
    ] {
        let head = format!("POST /a HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
        let stream = format!("\r\n{head}{body}{next}");
        let shown_head = shown_of(&head);
        let whole = [shown_head.replace("[]", "[abcde]"), "GET /next Host=a []".to_owned()];
        let split = [format!("head {shown_head}"), "body abcde".to_owned(), "GET /next Host=a []".to_owned()];
        let has_come = 2 + head.len() + body.len();
        for cut in 0..=stream.len() {
            let (front, back) = stream.as_bytes().split_at(cut);
            for patience in [Patience::Waits, Patience::Asks] {
                let outcome = feed(&codec, patience, [front, back], shown);
                let expected = if (2 + head.len()..has_come).contains(&cut) { &split[..] } else { &whole[..] };
                assert_eq!((outcome.error, &outcome.messages[..]), (None, expected), "cut at {cut}");
            }
        }
        let bytes = feed(&codec, Patience::Asks, stream.as_bytes().chunks(1), shown);
        assert_eq!((bytes.error, &bytes.messages[..]), (None, &split[..]));

        let request = Request::from_head(head.as_bytes(), b"").unwrap();
        assert_eq!((request.body_length(), request.expects_continue()), (length, false));
    }
}

/// What a head without a body is shown as.
fn shown_of(head: &str) -> String {
    shown(Event::Request(Request::from_head(head.as_bytes(), b"").expect("a whole head")))
}

#[test]
fn a_body_over_its_limit_is_refused_though_its_head_was_delivered() {
    let codec = Requests::new().heads_first().max_body(4);
    let stream = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let outcome = feed(&codec, Patience::Waits, stream.chunks(1), shown);
    assert_eq!(outcome.error, Some(Error::BodyTooLarge { limit: 4 }));
    assert_eq!(outcome.messages.len(), 1);
}

#[test]
fn an_expectation_without_a_body_or_in_http_1_0_is_ignored() {
    for stream in [
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    ] {
        with(stream.as_bytes(), |_| ());
    }
}

#[test]
fn what_is_no_head_is_no_request() {
    assert_eq!(Request::from_head(b"", b"").unwrap_err(), Error::Header);
    assert_eq!(Request::from_head(b"GET / HTTP/1.1\r\n\r\n", b"").unwrap_err(), Error::Host);
    assert_eq!(Request::from_head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore", b"").unwrap_err(), Error::Header);
}

#[test]
fn a_request_line_over_its_limit_is_refused_before_its_end_was_seen() {
    let codec = Requests::new().max_request_line(20);
    let line = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(read(&codec, line("/234567").as_bytes()).messages.len(), 1);
    let error = Some(Error::RequestLineTooLong { limit: 20 });
    assert_eq!(refused(&codec, line("/2345678").as_bytes()), error);
    assert_eq!(refused(&codec, &[b'a'; 22]), error);
    assert_eq!(refused(&codec, &[b'a'; 21]), Some(Error::Frame(FrameError::Truncated { have: 21 })));
    assert_eq!(status(refused(&codec, &[b'a'; 22]).as_ref()), Some(414));
}

#[test]
fn a_head_over_its_limit_is_refused_before_its_end_was_seen() {
    let stream = b"GET / HTTP/1.1\r\nHost: a\r\nX: yyyyyyyy\r\n\r\n";
    let limit = stream.len();
    assert_eq!(read(&Requests::new().max_head(limit), stream).messages.len(), 1);
    let narrow = Requests::new().max_head(limit - 1);
    let error = Some(Error::HeadTooLarge { limit: limit - 1 });
    for seen in [limit, limit + 5] {
        assert_eq!(refused(&narrow, &[&stream[..], b"abcde"].concat()[..seen]), error);
    }
    let endless = [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(100)].concat();
    assert_eq!(status(refused(&narrow, &endless).as_ref()), Some(431));
}

#[test]
fn more_header_fields_than_the_limit_are_refused() {
    let head =
        |fields: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(fields - 1)).into_bytes();
    for (codec, limit) in
        [(Requests::new(), 64), (Requests::new().max_headers(3), 3), (Requests::new().max_headers(1_000), 128)]
    {
        assert_eq!(read(&codec, &head(limit)).messages.len(), 1);
        let error = read(&codec, &head(limit + 1)).error;
        assert_eq!(error, Some(Error::TooManyHeaders { limit }));
    }
}

#[test]
fn a_body_over_its_limit_is_refused_before_it_arrives() {
    let codec = Requests::new().max_body(3);
    let error = Some(Error::BodyTooLarge { limit: 3 });
    let post = |rest: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}").into_bytes();
    assert_eq!(read(&codec, &post("Content-Length: 3\r\n\r\nabc")).messages.len(), 1);
    assert_eq!(refused(&codec, &post("Content-Length: 4\r\n\r\n")), error);
    assert_eq!(refused(&codec, &post("Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")), error);
    let chunks = |rest: &str| post(&format!("Transfer-Encoding: chunked\r\n\r\n{rest}"));
    assert_eq!(read(&codec, &chunks("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")).messages.len(), 1);
    assert_eq!(refused(&codec, &chunks("1\r\na\r\n3\r\nbc")), error);
}

#[test]
fn what_is_between_chunks_has_limits_too() {
    let post =
        |rest: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{rest}").into_bytes();
    let codec = Requests::new();
    let line = |bytes: usize| post(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(bytes - 4)));
    assert_eq!(read(&codec, &line(256)).error, None);
    assert_eq!(refused(&codec, &line(257)), Some(Error::Chunk));

    let codec = Requests::new().max_body(300);
    let many = |chunks: usize| post(&format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(chunks)));
    assert_eq!(read(&codec, &many(100)).error, None);
    let error = read(&codec, &many(120)).error;
    assert_eq!(error, Some(Error::FramingTooLarge { limit: 300 }));

    let codec = Requests::new().max_head(100).max_headers(3);
    let trailer = |fields: usize| post(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(fields)));
    assert_eq!(read(&codec, &trailer(3)).error, None);
    assert_eq!(refused(&codec, &trailer(4)), Some(Error::TooManyHeaders { limit: 3 }));
    let long = post(&format!("0\r\na: {}\r\n\r\n", "b".repeat(100)));
    assert_eq!(refused(&codec, &long), Some(Error::HeadTooLarge { limit: 100 }));
}

#[test]
fn a_stream_that_ends_inside_a_request_is_cut_short_but_empty_lines_are_nothing() {
    for stream in ["GET / HT", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"] {
        let error = read(&Requests::new(), stream.as_bytes()).error;
        assert_eq!(error, Some(Error::Frame(FrameError::Truncated { have: stream.len() })));
    }
    assert_eq!(read(&Requests::new(), b"\r\n\r\n").error, None);
}

#[test]
fn what_was_searched_is_not_searched_again() {
    let mut state = RequestsState::default();
    let codec = Requests::new();
    let mut received = b"GET / HTTP/1.1\r\nHost: a\r\nX: yyyy".to_vec();
    assert!(matches!(codec.decode(&mut state, &mut received), Ok(Decoded::Partial { .. })));

    // A head's end where there was none before: only who looks again would see it.
    received[18..22].copy_from_slice(b"\r\n\r\n");
    received.push(b'z');
    assert!(matches!(codec.decode(&mut state, &mut received), Ok(Decoded::Partial { .. })));
}

#[test]
fn a_connection_is_remembered_in_24_bytes_and_a_message_is_small() {
    assert!(size_of::<RequestsState>() <= 24);
    assert!(size_of::<Event<'_>>() <= 128);
}

#[test]
fn a_body_in_many_small_chunks_is_joined() {
    let body: Vec<u8> = (0..5_000_u32).map(|at| (at % 251) as u8).collect();
    let mut stream = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(7) {
        stream.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        stream.extend_from_slice(chunk);
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(b"0\r\n\r\n");
    for size in [1, 3, 100, 100_000] {
        let outcome = feed(&Requests::new(), Patience::Asks, stream.chunks(size), shown);
        let expected = format!("POST / Host=a Transfer-Encoding=chunked [{}]", body.escape_ascii());
        assert_eq!(outcome.messages, [expected]);
    }
}
