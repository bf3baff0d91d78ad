//! Bodies whose end two parsers may see in two places.

use super::{check_cuts, read, status};
use crate::doubtful::REFUSED;
use gannet_proto::http::{Event, Requests, RequestsState};
use gannet_proto::{Codec, Decoded};

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

/// Whoever answers by the head must not take a head that was never delivered for one that was answered.
#[test]
fn a_state_says_whether_the_head_of_a_broken_body_was_delivered() {
    let codec = Requests::new().heads_first();
    let mut both = [0, 0];
    for &(rest, _) in REFUSED {
        let stream = post(rest);
        for cut in 0..=stream.len() {
            let mut state = RequestsState::default();
            let mut is_delivered = false;
            let mut start = 0;
            for end in [cut, stream.len()] {
                loop {
                    let mut input = stream[start..end].to_vec();
                    match codec.decode(&mut state, &mut input) {
                        Ok(Decoded::Message { message, consumed }) => {
                            is_delivered = matches!(message, Event::Head(_));
                            start += consumed;
                        }
                        Ok(Decoded::Taken { consumed }) => start += consumed,
                        Ok(_) => break,
                        Err(_) => {
                            both[usize::from(is_delivered)] += 1;
                            break;
                        }
                    }
                    assert_eq!(state.is_head_delivered(), is_delivered, "{rest:?} cut at {cut}");
                }
                assert_eq!(state.is_head_delivered(), is_delivered, "{rest:?} cut at {cut}");
            }
        }
    }
    assert!(both.iter().all(|&times| times > 100), "both happen: {both:?}");
}
