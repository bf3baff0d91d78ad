//! What a client sees of servers.

use gannet_proto::FrameError;
use gannet_proto::http::{Error, Reply, Responses, ResponsesState};
use gannet_proto::testing::{Outcome, Patience, feed};
use proptest::prelude::*;

fn shown(reply: Reply<'_>) -> String {
    let mut text = reply.status.to_string();
    for (name, value) in reply.headers() {
        text += &format!(" {name}={}", value.escape_ascii());
        assert!(reply.header(name).is_some());
    }
    if !reply.keep_alive() {
        text += " (last)";
    }
    text + &format!(" [{}]", reply.body.escape_ascii())
}

fn read(codec: &Responses, stream: &[u8]) -> Outcome<String, Error> {
    feed(codec, Patience::Waits, [stream], shown)
}

fn check_cuts(codec: &Responses, stream: &[u8], cuts: &[u16]) {
    super::check_cuts_of(codec, codec.largest(), stream, cuts, shown);
}

/// A stream, and the responses that it is.
const ACCEPTED: &[(&str, &[&str])] = &[
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
        &["200 Content-Length=2 [hi]", "404 Content-Length=0 []"],
    ),
    ("HTTP/1.2 200 OK\r\nContent-Length: 1\r\n\r\nx", &["200 Content-Length=1 [x]"]),
    ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", &["200 Content-Length=0 []"]),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nT: u\r\n\r\n",
        &["200 Transfer-Encoding=chunked [abc]"],
    ),
    ("HTTP/1.1 200 OK\r\n\r\nuntil the\r\n\r\nend", &["200 (last) [until the\\r\\n\\r\\nend]"]),
    ("HTTP/1.0 200 OK\r\nX: y\r\n\r\n", &["200 X=y (last) []"]),
    (
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
        &["200 Connection=keep-alive Content-Length=1 [x]"],
    ),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\nHTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n",
        &["100 []", "204 []", "304 Content-Length=9 []"],
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        &["200 Connection=close Content-Length=0 (last) []"],
    ),
];

/// A stream, and the reason why it is none.
pub(super) const REFUSED: &[(&str, Error)] = &[
    ("GET / HTTP/1.1\r\n\r\n", Error::StatusLine),
    ("\r\nHTTP/1.1 200 OK\r\n\r\n", Error::StatusLine),
    ("HTTP/2 200 OK\r\n\r\n", Error::StatusLine),
    ("HTTP/1.2 2x0 OK\r\nContent-Length: 0\r\n\r\n", Error::StatusLine),
    ("HTTP/1.2 200 OK\r\nX : y\r\n\r\n", Error::Header),
    ("HTTP/1.1 200OK\r\n\r\n", Error::StatusLine),
    ("HTTP/1.1 200 O\x01K\r\n\r\n", Error::StatusLine),
    ("HTTP/1.1 20 OK\r\n\r\n", Error::StatusLine),
    ("HTTP/1.1 099 OK\r\n\r\n", Error::StatusLine),
    ("HTTP/1.1  200 OK\r\n\r\n", Error::StatusLine),
    ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", Error::LineEnd),
    ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", Error::Header),
    ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", Error::Header),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", Error::ContentLength),
    ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", Error::ContentLength),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", Error::TwoLengths),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\na", Error::UnknownCoding),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", Error::Chunk),
];

#[test]
fn a_response_is_whole_however_its_end_is_found_and_it_is_cut() {
    for &(stream, expected) in ACCEPTED {
        let outcome = read(&Responses::new(), stream.as_bytes());
        assert_eq!(outcome.error, None, "{stream:?}");
        assert_eq!(outcome.messages, expected, "{stream:?}");
        check_cuts(&Responses::new(), stream.as_bytes(), &[]);
    }
}

#[test]
fn a_malformed_response_is_refused_however_it_is_cut() {
    for &(stream, error) in REFUSED {
        assert_eq!(read(&Responses::new(), stream.as_bytes()).error, Some(error), "{stream:?}");
        check_cuts(&Responses::new(), stream.as_bytes(), &[]);
    }
}

#[test]
fn a_response_to_head_has_no_body() {
    let stream = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                   HTTP/1.1 200 OK\r\n\r\n";
    let outcome = read(&Responses::new().to_head(), stream);
    assert_eq!(outcome.messages, ["200 Content-Length=9 []", "200 Transfer-Encoding=chunked []", "200 []"]);
}

#[test]
fn a_response_over_a_limit_is_refused() {
    let refused = |codec: &Responses, stream: &str| {
        check_cuts(codec, stream.as_bytes(), &[]);
        read(codec, stream.as_bytes()).error
    };
    let codec = Responses::new().max_body(2).max_head(60);
    let too_large = Some(Error::BodyTooLarge { limit: 2 });
    assert_eq!(refused(&codec, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), too_large);
    assert_eq!(refused(&codec, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc"), too_large);
    assert_eq!(refused(&codec, "HTTP/1.1 200 OK\r\n\r\nabc"), too_large);
    assert_eq!(refused(&codec, "HTTP/1.1 200 OK\r\n\r\nab"), None);
    let stream = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(40));
    assert_eq!(refused(&codec, &stream), Some(Error::HeadTooLarge { limit: 60 }));
}

#[test]
fn a_response_that_is_cut_short_is_none() {
    for stream in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"] {
        let error = read(&Responses::new(), stream.as_bytes()).error;
        assert_eq!(error, Some(Error::Frame(FrameError::Truncated { have: stream.len() })));
    }
    assert!(size_of::<ResponsesState>() <= 24);
}

/// Bytes of which many mean something.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just("HTTP/1.1 200 OK\r\n".to_owned()),
        1 => Just("HTTP/1.0 304 \r\n".to_owned()),
        2 => Just("Transfer-Encoding: chunked\r\n\r\n".to_owned()),
        2 => "Content-Length: [0-9]{1,2}\r\n\r\n",
        3 => "[0-9a-f]{1,2}\r\n",
        3 => Just("\r\n".to_owned()),
        2 => Just("0\r\n\r\n".to_owned()),
        2 => "[a-zA-Z :;=/\"\r\n\0\t]{1,12}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        stream in noise(),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
        (head, body) in (0_usize..120, 0_usize..60),
    ) {
        check_cuts(&Responses::new(), &stream, &cuts);
        check_cuts(&Responses::new().to_head(), &stream, &cuts);
        check_cuts(&Responses::new().max_head(head).max_body(body), &stream, &cuts);
    }
}
