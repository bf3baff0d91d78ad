//! What cannot become valid is refused when it comes, and not at the end of its head or body.

use super::{corpus, doubtful, responses, shown, smuggling};
use gannet_proto::http::{Error, Requests, Responses};
use gannet_proto::testing::{Patience, feed};
use gannet_proto::{Codec, FrameError};
use proptest::prelude::*;

/// How the beginning of a message may go on, so that some beginnings that are not refused become whole.
const ENDINGS: [&str; 16] = [
    "",
    "\r\n",
    "\r\n\r\n",
    "Host: a\r\n\r\n",
    "Host: a\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\n\r\n",
    "\r\n0\r\n\r\n",
    "a\r\n0\r\n\r\n",
    "abc\r\n0\r\n\r\n",
    "Content-Length: 0\r\n\r\n",
    "hello\r\n0\r\n\r\n",
    "\r\nabcdefghijklmnopqrst",
    "SMUGGLED\r\n0\r\n\r\n",
];

/// Whether a stream that begins like this can be a whole message.
fn can_become_whole<C: Codec>(codec: &C, begin: &[u8]) -> bool {
    let is_whole = |ending: &&str| {
        let stream = [begin, ending.as_bytes()].concat();
        !feed(codec, Patience::Asks, [&stream[..]], |_| ()).messages.is_empty()
    };
    // The rest of a chunk, whatever single digit says how long it is.
    let chunks = (0..16).map(|left| format!("{}\r\n0\r\n\r\n", "a".repeat(left)));
    ENDINGS.iter().any(is_whole) || chunks.into_iter().any(|ending| is_whole(&ending.as_str()))
}

/// Where the first line ends behind which nothing makes a whole message of the stream.
fn end_of_fault<C: Codec>(codec: &C, stream: &[u8]) -> usize {
    let ends = (1..=stream.len()).filter(|&end| end == stream.len() || stream[end - 1] == b'\n');
    ends.into_iter().find(|&end| !can_become_whole(codec, &stream[..end])).expect("the stream is refused")
}

/// How many bytes had come when the stream was refused, byte by byte.
fn refused_at<C: Codec>(codec: &C, stream: &[u8]) -> usize {
    let mut state = C::State::default();
    let mut input = stream.to_vec();
    let (mut start, mut end) = (0, 1);
    loop {
        match codec.decode(&mut state, &mut input[start..end]) {
            Err(_) => return end,
            Ok(gannet_proto::Decoded::Message { consumed, .. } | gannet_proto::Decoded::Taken { consumed }) => {
                start += consumed;
            }
            Ok(_) => end += 1,
        }
        if start == end {
            end += 1;
        }
        assert!(end <= stream.len(), "it was not refused: {}", stream.escape_ascii());
    }
}

/// Holds a codec to it. `other` is one that delivers whole messages only.
#[track_caller]
fn assert_early<C: Codec>(codec: &C, other: &C, stream: &[u8]) {
    let (refused, fault) = (refused_at(codec, stream), end_of_fault(other, stream));
    let (before, after) = stream.split_at(refused);
    assert!(refused <= fault, "refused at {} | {}", before.escape_ascii(), after.escape_ascii());
}

#[test]
fn a_malformed_request_is_refused_by_the_end_of_the_line_that_makes_it_so() {
    for (stream, _) in corpus::REFUSED {
        assert_early(&Requests::new(), &Requests::new(), stream);
    }
    for (rest, status) in doubtful::REFUSED {
        // A size is judged when all of the head, or of the chunk's line, is there.
        if *status != 413 {
            assert_early(&Requests::new(), &Requests::new(), &smuggling::post(rest));
            assert_early(&Requests::new().heads_first(), &Requests::new(), &smuggling::post(rest));
        }
    }
}

#[test]
fn a_malformed_response_is_refused_by_the_end_of_the_line_that_makes_it_so() {
    for (stream, _) in responses::REFUSED {
        assert_early(&Responses::new(), &Responses::new(), stream.as_bytes());
    }
}

/// Beginnings of which each last byte cannot be there, before the line has an end.
#[test]
fn a_byte_that_cannot_be_where_it_is_is_refused_at_once() {
    let fields = "GET / HTTP/1.1\r\nHost: a\r\n";
    let chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (begin, last) in [
        ("GE", "{"),
        ("GET", "\r"),
        ("GET ", " "),
        ("GET /a", "#"),
        ("GET /a", "\t"),
        ("GET / H", "t"),
        ("GET / HTTP/1", "\r"),
        ("GET / HTTP/1.1", "1"),
        ("GET / HTTP/1.1\r", "x"),
        (fields, " "),
        (fields, ":"),
        ("GET / HTTP/1.1\r\nHost", " "),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y", "\u{1}"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y", "\n"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r", "\r"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r", "\n"),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r", "\n"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", "x"),
        (chunks, "g"),
        (chunks, "\r"),
        (&format!("{chunks}0000000000000000"), "0"),
        (&format!("{chunks}1"), "\n"),
        (&format!("{chunks}1\r"), "\r"),
        (&format!("{chunks}1;a"), "\u{1}"),
        (&format!("{chunks}3\r\nabc"), "d"),
        (&format!("{chunks}3\r\nabc\r"), "d"),
        (&format!("{chunks}0\r\n"), " "),
        (&format!("{chunks}0\r\nX: y"), "\u{1}"),
        (&format!("{chunks}0\r\nX y"), ":"),
    ] {
        let stream = format!("{begin}{last}");
        for codec in [Requests::new(), Requests::new().heads_first()] {
            if begin.contains("X y") {
                // It was refused at the blank already.
                assert_eq!(refused_at(&codec, stream.as_bytes()), stream.len() - 2, "{stream:?}");
            } else {
                assert_eq!(refused_at(&codec, stream.as_bytes()), stream.len(), "{stream:?}");
            }
        }
    }
    for (begin, last) in [
        ("", "G"),
        ("HTTP/", "2"),
        ("HTTP/1.1", "x"),
        ("HTTP/1.1 ", "0"),
        ("HTTP/1.1 2", "x"),
        ("HTTP/1.1 200", "O"),
        ("HTTP/1.1 200 O", "\n"),
        ("HTTP/1.1 200 OK\r\nX: y\r\n", " "),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r", "\n"),
    ] {
        let stream = format!("{begin}{last}");
        assert_eq!(refused_at(&Responses::new(), stream.as_bytes()), stream.len(), "{stream:?}");
    }
}

proptest! {
    /// One byte of a valid stream becomes another: where that is refused, it is so by the end of a line.
    #[test]
    fn a_request_with_one_wrong_byte_is_refused_early_or_not_at_all(at in 0_usize..200, byte in any::<u8>()) {
        let mut stream = b"POST /path?query HTTP/1.1\r\nHost: example.org\r\nX-Some: thing\r\n\
            Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n".to_vec();
        let at = at % stream.len();
        stream[at] = byte;
        let whole = feed(&Requests::new(), Patience::Waits, [&stream[..]], shown);
        // Without its body, what comes behind the head may be no request.
        let is_first = whole.messages.is_empty();
        let is_fault = is_first && !matches!(whole.error, None | Some(Error::Frame(FrameError::Truncated { .. })));
        if is_fault && !format!("{:?}", whole.error).contains("TooLarge") {
            assert_early(&Requests::new(), &Requests::new(), &stream);
        }
    }
}
