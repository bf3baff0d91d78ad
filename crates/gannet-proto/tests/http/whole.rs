//! Messages that go through the codecs in both directions.

use gannet_proto::Codec;
use gannet_proto::http::{Answer, Error, Event, HeaderError, Method, Requests, Responses, WholeRequest, WholeResponse};
use gannet_proto::testing::{Check, encoded};

type Fields = &'static [(&'static str, &'static [u8])];

const GET: WholeRequest<'_> =
    WholeRequest { method: Method::Get, target: "/a?b", host: "example.org:81", fields: &[], body: b"" };

#[test]
fn a_request_that_was_encoded_is_decoded_with_all_that_it_says() {
    let fields: Fields = &[("X-One", b"1"), ("x-two", b"zwei")];
    let bodies: [&[u8]; 2] = [b"", b"hello"];
    for method in [Method::Get, Method::Post, Method::Delete, Method::Other("PURGE")] {
        for body in bodies {
            let bytes = encoded(&Responses::new(), WholeRequest { method, fields, body, ..GET }).expect("it is valid");
            let outcome = Check::new(&Requests::new()).run(&bytes, super::shown);
            let [text] = &outcome.messages[..] else { panic!("{outcome:?}") };
            let said = text.starts_with(&format!("{} /a?b Host=example.org:81 X-One=1 x-two=zwei", method.as_str()));
            assert!(said, "{text}");
            assert!(text.ends_with(&format!("[{}]", body.escape_ascii())), "{text}");
            assert_eq!(text.contains("Content-Length"), !body.is_empty() || method == Method::Post, "{text}");
        }
    }
}

#[test]
fn a_response_that_was_encoded_answers_its_request() {
    let fields: Fields = &[("Content-Type", b"text/plain")];
    let mut request = encoded(&Responses::new(), GET).expect("it is valid");
    let decoded = Requests::new().decode(&mut Default::default(), &mut request).expect("it is valid");
    let gannet_proto::Decoded::Message { message: Event::Request(request), .. } = decoded else { unreachable!() };
    let response = WholeResponse { answer: request.answer(), status: 200, fields, body: b"hello" };
    let bytes = encoded(&Requests::new(), response).expect("it is valid");
    let outcome = Check::new(&Responses::new()).run(&bytes, |reply| {
        assert_eq!(reply.header("content-type"), Some(&b"text/plain"[..]));
        (reply.status, reply.keep_alive(), reply.body.to_vec())
    });
    assert_eq!(outcome.messages, [(200, true, b"hello".to_vec())]);

    let last = encoded(&Requests::new(), WholeResponse { answer: Answer::CLOSE, ..response }).expect("it is valid");
    assert!(last.windows(17).any(|field| field == b"Connection: close"));
}

#[test]
fn what_a_server_would_refuse_is_not_sent_and_leaves_nothing_behind() {
    let refused = |request| encoded(&Responses::new(), request).err();
    assert_eq!(refused(WholeRequest { method: Method::Other("G T"), ..GET }), Some(Error::Method));
    assert_eq!(refused(WholeRequest { method: Method::Other("CONNECT"), ..GET }), Some(Error::Connect));
    for target in ["", "a", "/a b", "/\r\nX: y", "*"] {
        assert_eq!(refused(WholeRequest { target, ..GET }), Some(Error::Target), "{target}");
    }
    for host in ["", "a b", "a\r\nX: y"] {
        assert_eq!(refused(WholeRequest { host, ..GET }), Some(Error::Host), "{host}");
    }
    let faults: [(Fields, HeaderError); 5] = [
        (&[("X-One", b"1"), ("X Two", b"2")], HeaderError::Name),
        (&[("X-One", b"1"), ("X-Two", b"2\r\n")], HeaderError::Value { position: 1 }),
        (&[("X-One", b"1"), ("Content-Length", b"7")], HeaderError::Reserved),
        (&[("X-One", b"1"), ("connection", b"close")], HeaderError::Reserved),
        (&[("X-One", b"1"), ("HOST", b"b")], HeaderError::Reserved),
    ];
    for (fields, fault) in faults {
        assert_eq!(refused(WholeRequest { fields, ..GET }), Some(Error::Field(fault)));
        let response = WholeResponse { answer: Answer::CLOSE, status: 200, fields, body: b"" };
        let is_hosts = fields[1].0 == "HOST";
        assert_eq!(encoded(&Requests::new(), response).err(), (!is_hosts).then_some(Error::Field(fault)));
    }
}
