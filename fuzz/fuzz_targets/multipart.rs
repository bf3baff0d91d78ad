//! Any bytes, cut anywhere, are the same form; a head of any type gives no other boundary than it may.

#![no_main]

use gannet_proto::Decoded;
use gannet_proto::multipart::{Event, Multipart, MultipartState};
use libfuzzer_sys::fuzz_target;

/// The type of the request, where it has another one than most; how the body is cut; the body.
type Input = (Option<String>, u8, Vec<u8>);

fuzz_target!(|input: Input| {
    let (content_type, cut, body) = input;
    let content_type = content_type.as_deref().unwrap_or("multipart/form-data; boundary=b");
    let Ok(form) = Multipart::new(content_type) else { return };
    let form = form.max_head(200).max_parts(5);
    let whole = read(&form, [&body[..]]);
    let cut = read(&form, body.chunks(usize::from(cut.max(1))));
    assert_eq!(whole, cut);
});

/// Each part's name with its data, and how the body ended.
fn read<'c>(form: &Multipart, chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<(String, Vec<u8>)>, String) {
    let (mut parts, mut state, mut carry) = (Vec::new(), MultipartState::default(), Vec::new());
    for chunk in chunks {
        carry.extend_from_slice(chunk);
        let mut at = 0;
        while at < carry.len() {
            match form.decode(&mut state, &carry[at..]) {
                Ok(Decoded::Message { message, consumed }) => {
                    assert!((1..=carry.len() - at).contains(&consumed));
                    at += consumed;
                    match message {
                        Event::Part(part) => parts.push((part.name.into_owned(), Vec::new())),
                        Event::Data(data) => parts.last_mut().expect("a part").1.extend_from_slice(data),
                        Event::PartEnd => {}
                    }
                }
                Ok(Decoded::Taken { consumed }) => at += consumed,
                Ok(Decoded::Partial { need }) => {
                    assert!(need > carry.len() - at);
                    break;
                }
                Ok(other) => panic!("a kind that is not known: {other:?}"),
                Err(error) => return (parts, error.to_string()),
            }
        }
        carry.drain(..at);
        // A boundary, or the head of a part.
        assert!(carry.len() < 200);
    }
    (parts, format!("{}", state.is_whole()))
}
