//! The same bytes mean the same to another implementation, and its bytes to this one.

use gannet_proto::resp::{Commands, Replies, Value, Version, Writer};
use gannet_proto::{Codec, Decoded};
use proptest::prelude::*;
use redis_protocol::resp2::{self, types::OwnedFrame as Frame2};
use redis_protocol::resp3::types::VerbatimStringFormat;
use redis_protocol::resp3::{self, types::OwnedFrame as Frame3};

use super::commands;
use super::trees::{self, Tree};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("only text is made here")
}

/// A value as the other implementation knows it in RESP2.
fn frame2(value: &Value<'_>) -> Frame2 {
    match value {
        Value::Simple(line) => Frame2::SimpleString(line.to_vec()),
        Value::Error(line) => Frame2::Error(text(line)),
        Value::Integer(value) => Frame2::Integer(*value),
        Value::Bulk(bytes) => Frame2::BulkString(bytes.to_vec()),
        Value::Null => Frame2::Null,
        Value::Array(values) => Frame2::Array(values.iter().map(frame2).collect()),
        other => panic!("{other:?} in RESP2"),
    }
}

/// A value as the other implementation knows it in RESP3.
fn frame3(value: &Value<'_>) -> Frame3 {
    let attributes = None;
    match value {
        Value::Simple(line) => Frame3::SimpleString { data: line.to_vec(), attributes },
        Value::Error(line) => Frame3::SimpleError { data: text(line), attributes },
        Value::Integer(value) => Frame3::Number { data: *value, attributes },
        Value::Bulk(bytes) => Frame3::BlobString { data: bytes.to_vec(), attributes },
        Value::Null => Frame3::Null,
        Value::Array(values) => Frame3::Array { data: values.iter().map(frame3).collect(), attributes },
        Value::Set(values) => Frame3::Set { data: values.iter().map(frame3).collect(), attributes },
        Value::Push(values) => Frame3::Push { data: values.iter().map(frame3).collect(), attributes },
        Value::Map(pairs) => {
            let data = pairs.iter().map(|(key, value)| (frame3(key), frame3(value))).collect();
            Frame3::Map { data, attributes }
        }
        Value::Double(value) => Frame3::Double { data: *value, attributes },
        Value::Boolean(value) => Frame3::Boolean { data: *value, attributes },
        Value::BigNumber(digits) => Frame3::BigNumber { data: digits.to_vec(), attributes },
        Value::Verbatim { text, .. } => {
            let format = VerbatimStringFormat::Markdown;
            Frame3::VerbatimString { data: text.to_vec(), format, attributes }
        }
        other => panic!("{other:?} is not made here"),
    }
}

fn written(tree: &Tree, version: Version) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), version);
    tree.write(&mut writer);
    writer.into_inner()
}

/// Decodes the one reply that `stream` is.
fn read<T>(mut stream: Vec<u8>, keep: impl for<'a> Fn(&Value<'a>) -> T) -> T {
    let len = stream.len();
    match Replies::new().decode(&mut Default::default(), &mut stream).expect("a reply") {
        Decoded::Message { message, consumed } => {
            assert_eq!(consumed, len);
            keep(&message)
        }
        other => panic!("no whole reply of {len} bytes: {other:?}"),
    }
}

fn encoded2(frame: &Frame2) -> Vec<u8> {
    let mut bytes = vec![0; frame_len(|bytes| resp2::encode::encode(bytes, frame, false).ok())];
    let len = resp2::encode::encode(&mut bytes, frame, false).expect("it has room");
    bytes.truncate(len);
    bytes
}

fn encoded3(frame: &Frame3) -> Vec<u8> {
    let mut bytes = vec![0; frame_len(|bytes| resp3::encode::complete::encode(bytes, frame, false).ok())];
    let len = resp3::encode::complete::encode(&mut bytes, frame, false).expect("it has room");
    bytes.truncate(len);
    bytes
}

/// A size that `encode` finds large enough.
fn frame_len(encode: impl Fn(&mut [u8]) -> Option<usize>) -> usize {
    (8..24).map(|power| 1 << power).find(|&size| encode(&mut vec![0; size]).is_some()).expect("small frames")
}

proptest! {
    #[test]
    fn written_replies_are_read_by_another_implementation_in_resp2(tree in trees::resp2()) {
        let bytes = written(&tree, Version::Resp2);
        let (frame, consumed) = resp2::decode::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!(frame, frame2(&tree.value()));
    }

    #[test]
    fn written_replies_are_read_by_another_implementation_in_resp3(tree in trees::resp3_and_pushes()) {
        let bytes = written(&tree, Version::Resp3);
        let (frame, consumed) = resp3::decode::complete::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!(frame, frame3(&tree.value()));
    }

    #[test]
    fn replies_of_another_implementation_are_read_in_resp2(tree in trees::resp2()) {
        let frame = frame2(&tree.value());
        prop_assert_eq!(read(encoded2(&frame), frame2), frame);
    }

    #[test]
    fn replies_of_another_implementation_are_read_in_resp3(tree in trees::resp3_and_pushes()) {
        let frame = frame3(&tree.value());
        prop_assert_eq!(read(encoded3(&frame), frame3), frame);
    }

    #[test]
    fn commands_are_exchanged_with_another_implementation(
        sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20),
    ) {
        let frame = Frame2::Array(sent.iter().cloned().map(Frame2::BulkString).collect());
        let bytes = encoded2(&frame);
        prop_assert_eq!(&commands(&Commands::new(), &bytes).messages, std::slice::from_ref(&sent));

        let parts: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        let mut ours = Vec::new();
        prop_assert_eq!(Replies::new().encode(&parts, &mut ours), Ok(()));
        prop_assert_eq!(&ours, &bytes);
        let frame = Frame3::Array {
            data: sent.into_iter().map(|data| Frame3::BlobString { data, attributes: None }).collect(),
            attributes: None,
        };
        prop_assert_eq!(encoded3(&frame), ours);
    }
}
