//! Bodies whose end two parsers may see in two places.

use super::{check_cuts, read, status};
use gannet_proto::http::Requests;

/// Fields and body of a `POST`, and the status that it is refused with. A request is behind it.
pub(super) const REFUSED: &[(&str, u16)] = &[
    // Content-Length and Transfer-Encoding together, in both orders.
    ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400),
    ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n", 400),
    ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n", 501),
    ("Content-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n", 501),
    // Content-Length.
    ("Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
    ("Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
    ("Content-Length: 5\r\ncontent-length: 6\r\n\r\nabcdef", 400),
    ("Content-Length: 5, 6\r\n\r\nabcdef", 400),
    ("Content-Length: 5, 5\r\n\r\nabcde", 400),
    ("Content-Length: 5,\r\n\r\nabcde", 400),
    ("Content-Length: +5\r\n\r\nabcde", 400),
    ("Content-Length: -5\r\n\r\nabcde", 400),
    ("Content-Length: -0\r\n\r\n", 400),
    ("Content-Length: 0x5\r\n\r\nabcde", 400),
    ("Content-Length: 5.0\r\n\r\nabcde", 400),
    ("Content-Length: 5 5\r\n\r\nabcde", 400),
    ("Content-Length: 1_0\r\n\r\nabcde", 400),
    ("Content-Length: \"5\"\r\n\r\nabcde", 400),
    ("Content-Length: five\r\n\r\nabcde", 400),
    ("Content-Length:\r\n\r\n", 400),
    ("Content-Length: \u{665}\r\n\r\nabcde", 400),
    ("Content-Length : 5\r\n\r\nabcde", 400),
    ("Content-Length\t: 5\r\n\r\nabcde", 400),
    (" Content-Length: 5\r\n\r\nabcde", 400),
    ("X: y\r\n Content-Length: 5\r\n\r\nabcde", 400),
    ("Content-Length: \r\n 5\r\n\r\nabcde", 400),
    ("Content-Length: 5\u{b}\r\n\r\nabcde", 400),
    ("Content-Length: 5\0\r\n\r\nabcde", 400),
    ("Content-Length: 00000000000000000005\r\n\r\nabcde", 400),
    ("Content-Length: 18446744073709551616\r\n\r\n", 400),
    ("Content-Length: 18446744073709551621\r\n\r\nabcde", 400),
    ("Content-Length: 9999999999999999999\r\n\r\n", 413),
    ("Content-Length: 1048577\r\n\r\n", 413),
    // Transfer-Encoding.
    ("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 501),
    ("Transfer-Encoding: identity\r\n\r\n", 501),
    ("Transfer-Encoding: gzip\r\n\r\n", 501),
    ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501),
    ("Transfer-Encoding: cow, chunked\r\n\r\n0\r\n\r\n", 501),
    ("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: cow\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    ("Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n", 501),
    ("Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\u{c}\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding:\0chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\u{a0}\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding\t:chunked\r\n\r\n0\r\n\r\n", 400),
    (" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    // Chunk sizes.
    ("Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\t\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3 3\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3g\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\0\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3.0\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n;a\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n00000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n0\r\n\r\n", 413),
    ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffe\r\nabc\r\n0\r\n\r\n", 413),
    ("Transfer-Encoding: chunked\r\n\r\n100001\r\n", 413),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nfffff\r\nabc", 413),
    // Line endings of chunks.
    ("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\rx0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\rabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\n", 400),
    // Chunk extensions.
    ("Transfer-Encoding: chunked\r\n\r\n3;\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a=\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;=b\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a=\"b\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a=\"b\\\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a=\"b\"c\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a b\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a\0\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a=\"\u{1}\"\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a=\"\n\"\r\nabc\r\n0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n", 400),
    // Trailers.
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\n X: y\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nX: \0\r\n\r\n", 400),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\nGET / HTTP/1.1\r\n\r\n", 400),
];

/// Fields and body of a `POST`, and the body that is seen. A request is behind it.
const ACCEPTED: &[(&str, &str)] = &[
    ("\r\n", ""),
    ("Content-Length: 0\r\n\r\n", ""),
    ("Content-Length: 0000000000000000005\r\n\r\nabcde", "abcde"),
    ("Content-Length:\t5 \r\n\r\nabcde", "abcde"),
    ("X-Content-Length: 7\r\nContent-Length: 5\r\n\r\nabcde", "abcde"),
    ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
    ("Transfer-Encoding: chunked\r\n\r\n000\r\n\r\n", ""),
    ("Transfer-Encoding:  \t chunked \t\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"),
    ("transfer-encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"),
    ("Transfer-Encoding: chunked\r\n\r\n0000000000000003\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", "abcd"),
    ("Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij"),
    ("Transfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\\r\\n\\r\\n"),
    ("Transfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0;b=c\r\n\r\n", "abc"),
    ("Transfer-Encoding: chunked\r\n\r\n3;a=\"b; \\\"c\";d ; e = f\r\nabc\r\n0\r\n\r\n", "abc"),
    ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\nContent-Length: 9\r\n\r\n", "abc"),
];

pub(super) fn post(rest: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}").into_bytes()
}

#[test]
fn a_body_whose_end_is_in_doubt_is_refused_however_it_is_cut() {
    for &(rest, expected) in REFUSED {
        let stream = [post(rest), b"GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n".to_vec()].concat();
        let outcome = read(&Requests::new(), &stream);
        assert_eq!(status(outcome.error.as_ref()), Some(expected), "{rest:?}: {outcome:?}");
        assert_eq!(outcome.messages, [""; 0], "{rest:?}");
        check_cuts(&Requests::new(), &stream, &[]);
    }
}

#[test]
fn a_body_whose_end_is_clear_is_accepted_and_so_is_the_request_behind_it() {
    for &(rest, expected) in ACCEPTED {
        let stream = [post(rest), b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n".to_vec()].concat();
        let outcome = read(&Requests::new(), &stream);
        assert_eq!(outcome.error, None, "{rest:?}");
        assert!(outcome.messages[0].ends_with(&format!(" [{expected}]")), "{rest:?}: {outcome:?}");
        assert_eq!(outcome.messages[1..], ["GET /next Host=b []"], "{rest:?}");
        check_cuts(&Requests::new(), &stream, &[]);
    }
}

#[test]
fn http_1_0_has_no_chunks() {
    let stream = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status(read(&Requests::new(), stream).error.as_ref()), Some(400));
}
