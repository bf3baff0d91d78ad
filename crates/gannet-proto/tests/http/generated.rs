//! Requests made at random, and bytes that are none.

use super::{check_cuts, read, shown, status};
use gannet_proto::http::Requests;
use gannet_proto::testing::{Patience, feed, pieces};
use proptest::prelude::*;

/// A request in its parts.
#[derive(Debug, Clone)]
struct Made {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    /// The sizes of the body's chunks; without any it has a length.
    chunks: Vec<usize>,
}

fn made() -> impl Strategy<Value = Made> {
    let target =
        prop_oneof!["/[a-z0-9%./;:@-]{0,20}(\\?[a-z=&/?]{0,10})?", "https?://[a-z]{1,9}(:[0-9]{1,4})?(/[a-z]{0,9})?"];
    // No name that means something here begins with `X`.
    let field = ("X[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,12}", "([!-~]([ -~]{0,12}[!-~])?)?");
    let fields = prop::collection::vec(field, 0..6);
    let body = prop::collection::vec(any::<u8>(), 0..80);
    let chunks = prop::collection::vec(1_usize..30, 0..6);
    ("[A-Z]{1,4}[a-z!-]?", target, fields, body, chunks).prop_map(|(method, target, fields, body, chunks)| Made {
        method,
        target,
        fields,
        body,
        chunks,
    })
}

impl Made {
    /// The fields and the framing's.
    fn all_fields(&self) -> Vec<(String, String)> {
        let mut fields = vec![("Host".to_owned(), "a".to_owned())];
        fields.extend(self.fields.iter().cloned());
        fields.push(match self.chunks.is_empty() {
            true => ("Content-Length".to_owned(), self.body.len().to_string()),
            false => ("transfer-encoding".to_owned(), "Chunked".to_owned()),
        });
        fields
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{} {} HTTP/1.1\r\n", self.method, self.target).as_bytes());
        for (name, value) in self.all_fields() {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if self.chunks.is_empty() {
            return out.extend_from_slice(&self.body);
        }
        let mut rest = &self.body[..];
        for &size in self.chunks.iter().cycle().take_while(|_| self.body.len() < 1_000) {
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            out.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            if chunk.is_empty() {
                break;
            }
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
            rest = after;
        }
        out.extend_from_slice(b"\r\n");
    }

    fn shown(&self) -> String {
        let mut text = format!("{} {}", self.method, self.target);
        for (name, value) in self.all_fields() {
            text += &format!(" {name}={}", value.as_bytes().escape_ascii());
        }
        text + &format!(" [{}]", self.body.escape_ascii())
    }
}

/// Bytes of which many mean something.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => Just("POST / HTTP/1.1\r\nHost: a\r\n".to_owned()),
        2 => Just("Transfer-Encoding: chunked\r\n\r\n".to_owned()),
        2 => "Content-Length: [0-9]{1,2}\r\n\r\n",
        1 => Just("Expect: 100-continue\r\n".to_owned()),
        3 => "[0-9a-f]{1,2}\r\n",
        3 => Just("\r\n".to_owned()),
        2 => Just("0\r\n\r\n".to_owned()),
        2 => "[a-zA-Z :;=/\"\r\n\0\t]{1,12}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn a_request_is_what_it_was_made_of_however_it_is_cut(
        requests in prop::collection::vec(made(), 1..4),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let mut stream = Vec::new();
        requests.iter().for_each(|request| request.write(&mut stream));
        let expected: Vec<String> = requests.iter().map(Made::shown).collect();
        for patience in super::BOTH {
            for chunks in [vec![&stream[..]], pieces(&stream, &cuts), stream.chunks(1).collect()] {
                let outcome = feed(&Requests::new(), patience, chunks, shown);
                prop_assert_eq!(&outcome.error, &None);
                prop_assert_eq!(&outcome.messages, &expected);
            }
        }
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        stream in noise(),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
        (line, head, headers, body) in (0_usize..40, 0_usize..120, 0_usize..5, 0_usize..60),
    ) {
        check_cuts(&Requests::new(), &stream, &cuts);
        let narrow = Requests::new().max_request_line(line).max_head(head).max_headers(headers).max_body(body);
        check_cuts(&narrow, &stream, &cuts);
    }

    #[test]
    fn garbage_is_refused_or_waited_for(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        let outcome = feed(&Requests::new(), Patience::Asks, [&stream[..]], shown);
        prop_assert_eq!(outcome.messages, [""; 0]);
        let seen = read(&Requests::new(), &stream).error;
        prop_assert!(status(seen.as_ref()).is_none_or(|status| (400..=505).contains(&status)));
    }
}
