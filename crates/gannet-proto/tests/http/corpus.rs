//! Requests that are malformed in one way each, or unusual and yet valid.

use super::{check_cuts, read, status};
use gannet_proto::http::Requests;

/// A stream, and the status that it is refused with.
pub(super) const REFUSED: &[(&[u8], u16)] = &[
    // Line endings.
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    (b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    // The request line.
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 400),
    (b"GET\r\n\r\n", 400),
    (b"GET / \r\nHost: a\r\n\r\n", 400),
    (b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G{T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET, / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 400),
    (b"{\"a\": 1}", 400),
    // Versions.
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET / HTTP/1.2\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\nHost: a\r\nX : b\r\n\r\n", 400),
    (b"GET  / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    (b"GET /#a HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/11.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.\r\nHost: a\r\n\r\n", 400),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP 1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", 400),
    // Targets.
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /#here HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\"a\" HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    // Host.
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: [a]\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    // Header fields.
    (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n X: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n c\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x01c\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\0Y: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", 417),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", 417),
];

/// A stream, and the requests that it is.
pub(super) const ACCEPTED: &[(&[u8], &[&str])] = &[
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &["GET / Host=a []"]),
    (b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", &["GET / Host=a []"]),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &["GET / Host= []"]),
    (b"GET / HTTP/1.1\r\nhOST:a:8080\r\n\r\n", &["GET / hOST=a:8080 []"]),
    (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", &["GET / Host=[::1]:80 []"]),
    (b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", &["GET / Host=a: []"]),
    (b"GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", &["GET / Host=a%2eb []"]),
    (b"GET / HTTP/1.0\r\n\r\n", &["GET / (last) []"]),
    (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &["GET / Connection=Keep-Alive []"]),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade , Close\r\n\r\n",
        &["GET / Host=a Connection=upgrade , Close (last) []"],
    ),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", &["GET / Host=a []"]),
    (
        b"POST /a?b HTTP/1.9\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        &["POST /a?b Host=a Transfer-Encoding=chunked [x]"],
    ),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", &["get / Host=a []"]),
    (b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", &["M-SEARCH / Host=a []"]),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &["OPTIONS * Host=a []"]),
    (b"GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n", &["GET http://b/c?d Host=a []"]),
    (b"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n", &["GET HTTPS://b Host=a []"]),
    (b"GET //a/../b?{|}^\\` HTTP/1.1\r\nHost: a\r\n\r\n", &["GET //a/../b?{|}^\\` Host=a []"]),
    (b"GET / HTTP/1.1\r\nHost: \t a \t\r\nX:\t\r\nX: \xff\t b\r\n\r\n", &["GET / Host=a X= X=\\xff\\t b []"]),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", &["GET / Host=a Expect=100-Continue []"]),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: b\r\n\r\n",
        &["POST / Host=a Content-Length=3 [abc]", "GET / Host=b []"],
    ),
];

#[test]
fn a_malformed_request_is_refused_with_the_right_status_however_it_is_cut() {
    for &(stream, expected) in REFUSED {
        let outcome = read(&Requests::new(), stream);
        assert_eq!(status(outcome.error.as_ref()), Some(expected), "{}: {outcome:?}", stream.escape_ascii());
        assert_eq!(outcome.messages, [""; 0], "{}", stream.escape_ascii());
        check_cuts(&Requests::new(), stream, &[]);
    }
}

#[test]
fn an_unusual_request_is_accepted_however_it_is_cut() {
    for &(stream, expected) in ACCEPTED {
        let outcome = read(&Requests::new(), stream);
        assert_eq!(outcome.error, None, "{}", stream.escape_ascii());
        assert_eq!(outcome.messages, expected, "{}", stream.escape_ascii());
        check_cuts(&Requests::new(), stream, &[]);
    }
}
