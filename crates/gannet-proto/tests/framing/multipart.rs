//! What a server sees of forms with files, however they are cut.

use gannet_proto::Decoded;
use gannet_proto::multipart::{Error, Event, Multipart, MultipartState};
use proptest::prelude::*;

/// Name, file name, type and data.
type SeenPart = (String, Option<String>, Option<String>, Vec<u8>);

/// What came of a body: each part with its data, and how it ended.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    parts: Vec<SeenPart>,
    ended: usize,
    error: Option<Error>,
    whole: bool,
    /// The most bytes that were left for later.
    left: usize,
}

fn read<'c>(form: &Multipart, chunks: impl IntoIterator<Item = &'c [u8]>) -> Seen {
    let (mut seen, mut state, mut carry) = (Seen::default(), MultipartState::default(), Vec::new());
    for chunk in chunks {
        carry.extend_from_slice(chunk);
        let mut at = 0;
        while at < carry.len() {
            match form.decode(&mut state, &carry[at..]) {
                Ok(Decoded::Message { message, consumed }) => {
                    assert!((1..=carry.len() - at).contains(&consumed));
                    at += consumed;
                    match message {
                        Event::Part(part) => {
                            assert_eq!(seen.parts.len(), seen.ended, "a part in a part");
                            let filename = part.filename.map(Into::into);
                            seen.parts.push((
                                part.name.into(),
                                filename,
                                part.content_type.map(Into::into),
                                Vec::new(),
                            ));
                        }
                        Event::Data(data) => {
                            assert!(!data.is_empty() && seen.parts.len() == seen.ended + 1);
                            seen.parts.last_mut().expect("one").3.extend_from_slice(data);
                        }
                        Event::PartEnd => seen.ended += 1,
                    }
                }
                Ok(Decoded::Taken { consumed }) => {
                    assert!((1..=carry.len() - at).contains(&consumed));
                    at += consumed;
                }
                Ok(Decoded::Partial { need }) => {
                    assert!(need > carry.len() - at);
                    break;
                }
                Ok(other) => panic!("a kind that is not known: {other:?}"),
                Err(error) => {
                    seen.error = Some(error);
                    return seen;
                }
            }
        }
        carry.drain(..at);
        seen.left = seen.left.max(carry.len());
    }
    seen.whole = state.is_whole() && carry.is_empty();
    seen
}

fn form(boundary: &str) -> Multipart {
    Multipart::new(&format!("multipart/form-data; boundary=\"{boundary}\"")).expect("a boundary")
}

fn part(head: &str, data: &str) -> String {
    format!("--b\r\n{head}\r\n\r\n{data}\r\n")
}

#[test]
fn names_files_and_types_are_read_as_they_were_sent() {
    let body = [
        part("Content-Disposition: form-data; name=\"a\"", "one"),
        part("content-disposition: FORM-DATA;name=b; filename=\"C:\\dir\\x.txt\"\r\nContent-Type: text/plain", ""),
        part("X: y\r\nContent-Disposition: form-data; name=\"q\\\"\\\\\"; filename=\"\"; other=1", "\r\n--\r\n--a"),
        part("Content-Disposition: form-data; name=\"gr\u{fc}n\"", "\r\n"),
        "--b--\r\n".to_owned(),
    ];
    let seen = read(&form("b"), [body.concat().as_bytes()]);
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        ("a", None, None, &b"one"[..]),
        ("b", text("C:\\dir\\x.txt"), text("text/plain"), b""),
        ("q\"\\", text(""), None, b"\r\n--\r\n--a"),
        ("gr\u{fc}n", None, None, b"\r\n"),
    ];
    let expected = expected.map(|(name, file, kind, data)| (name.to_owned(), file, kind, data.to_vec()));
    assert_eq!(seen.parts, expected);
    assert!(seen.whole && seen.error.is_none() && seen.ended == 4, "{seen:?}");
}

#[test]
fn what_two_parsers_may_read_in_two_ways_is_refused() {
    let named = "Content-Disposition: form-data; name=\"a\"";
    let good = part(named, "x");
    for (body, error) in [
        ("preamble\r\n--b--\r\n".to_owned(), Error::NoBoundary),
        (format!("\r\n{good}--b--"), Error::NoBoundary),
        (format!("--b \r\n{named}\r\n\r\nx\r\n--b--"), Error::NoBoundary),
        (format!("{good}--bx--"), Error::NoBoundary),
        (format!("--b\r\n{named}\r\n\r\nx\r\n--b\n"), Error::NoBoundary),
        (format!("{good}--b--\r\nbehind"), Error::Behind),
        (format!("{good}--b--behind"), Error::Behind),
        (part(&named.replace("; ", ";\n "), "x"), Error::Header),
        (part(&format!("{named}\nX: y"), "x"), Error::Header),
        (part("no colon", "x"), Error::Header),
        (part(&format!("{named}\r\n{named}"), "x"), Error::Disposition),
        (part("Content-Type: text/plain", "x"), Error::Disposition),
        (part("Content-Disposition: attachment; name=\"a\"", "x"), Error::Disposition),
        (part("Content-Disposition: form-data", "x"), Error::Disposition),
        (part("Content-Disposition: form-data; name=\"a", "x"), Error::Disposition),
        (part("Content-Disposition: form-data; name=\"a\"; name=\"b\"", "x"), Error::Disposition),
        (part("Content-Disposition: form-data; name=\"a\" filename=\"b\"", "x"), Error::Disposition),
        (part(&format!("{named}\r\nX: {}", "y".repeat(9_000)), "x"), Error::HeadTooLarge { limit: 8_192 }),
        (part(&[named; 17].join("\r\n"), "x"), Error::Header),
        (good.repeat(1_001), Error::TooManyParts { limit: 1_000 }),
    ] {
        for chunks in [vec![body.as_bytes()], body.as_bytes().chunks(1).collect()] {
            assert_eq!(read(&form("b"), chunks).error, Some(error), "{}", &body[..body.len().min(100)]);
        }
    }
    // What is cut off is not whole.
    let whole = format!("{good}--b--");
    for end in 0..whole.len() {
        let seen = read(&form("b"), [&whole.as_bytes()[..end]]);
        assert!(!seen.whole && seen.error.is_none(), "{end}");
    }
    assert!(read(&form("b"), [whole.as_bytes()]).whole);
}

#[test]
fn a_boundary_has_the_characters_and_the_length_that_it_may_have() {
    let long = "b".repeat(70);
    for (content_type, error) in [
        ("multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", None),
        ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\"", None),
        (&format!("multipart/form-data; boundary={long}"), None),
        (&format!("multipart/form-data; boundary={long}b"), Some(Error::Boundary)),
        ("multipart/form-data", Some(Error::Boundary)),
        ("multipart/form-data; boundary=", Some(Error::Boundary)),
        ("multipart/form-data; boundary=\"\"", Some(Error::Boundary)),
        ("multipart/form-data; boundary=\"a \"", Some(Error::Boundary)),
        ("multipart/form-data; boundary=a\r\nb", Some(Error::Boundary)),
        ("multipart/form-data; boundary=a; boundary=b", Some(Error::Boundary)),
        ("multipart/form-data; boundary=\"a", Some(Error::Boundary)),
        ("multipart/form-data; boundary=gr\u{fc}n", Some(Error::Boundary)),
        ("multipart/mixed; boundary=a", Some(Error::ContentType)),
        ("application/json", Some(Error::ContentType)),
        ("", Some(Error::ContentType)),
    ] {
        assert_eq!(Multipart::new(content_type).err(), error, "{content_type}");
    }
}

/// Data with what looks like boundaries, but is none.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        Just(b"\r\n--".to_vec()),
        Just(b"\r\n--edg".to_vec()),
        Just(b"--edge--\r\n".to_vec()),
        Just(b"\r".to_vec()),
    ];
    let data = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    data.prop_filter("has no boundary", |data| {
        let with_line = [&b"\r\n"[..], data, b"\r\n--edge"].concat();
        with_line.windows(8).filter(|window| window == b"\r\n--edge").count() == 1
    })
}

proptest! {
    #[test]
    fn a_form_is_the_same_however_it_is_cut(
        parts in prop::collection::vec(("[a-z]{1,5}", data()), 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut body = Vec::new();
        for (name, data) in &parts {
            body.extend_from_slice(format!("--edge\r\nContent-Disposition: form-data; name={name}\r\n\r\n").as_bytes());
            body.extend_from_slice(data);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--edge--\r\n");
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
        cuts.sort_unstable();
        let bounds = [&[0], &*cuts, &[body.len()]].concat();
        let chunks = bounds.windows(2).map(|pair| &body[pair[0]..pair[1]]);
        let form = form("edge");
        for seen in [read(&form, [&body[..]]), read(&form, chunks), read(&form, body.chunks(1))] {
            prop_assert!(seen.whole && seen.ended == parts.len(), "{:?}", seen);
            let came: Vec<_> = seen.parts.into_iter().map(|(name, _, _, data)| (name, data)).collect();
            prop_assert_eq!(&came, &parts);
        }
    }

    #[test]
    fn nothing_that_comes_panics_or_is_held(
        body in prop::collection::vec(prop_oneof![
            Just(b"--b".to_vec()), Just(b"\r\n".to_vec()), Just(b"--".to_vec()),
            Just(b"Content-Disposition: form-data; name=a".to_vec()), prop::collection::vec(any::<u8>(), 0..30),
        ], 0..12),
    ) {
        let body = body.concat();
        let whole = read(&form("b"), [&body[..]]);
        let cut = read(&form("b"), body.chunks(1));
        prop_assert_eq!((&whole.parts, whole.ended, whole.error, whole.whole), (&cut.parts, cut.ended, cut.error, cut.whole));
        prop_assert!(cut.left <= 8_192);
    }
}
