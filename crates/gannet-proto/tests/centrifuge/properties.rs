//! What holds for all messages, and for all bytes.

use gannet_proto::centrifuge::{Command, ConnectRequest, EmulationRequest, Format, Push, Reply, json};
use proptest::prelude::*;

use super::drawn::Draw;
use super::*;

/// A value of JSON; reading one takes no recursion, and keeps the text.
type AnyJson = Box<serde_json::value::RawValue>;

/// Draws for both formats, and for Protobuf alone messages with any bytes too.
fn draws(seed: u64) -> [(Format, Draw); 3] {
    [(Format::Json, Draw::new(seed)), (Format::Protobuf, Draw::new(seed)), (Format::Protobuf, Draw::binary(seed))]
}

fn check_line(format: Format, frame: &[u8]) {
    if format == Format::Json {
        assert!(!frame.contains(&b'\n') && !frame.contains(&b'\r'), "{}", String::from_utf8_lossy(frame));
        let _: AnyJson = serde_json::from_slice(frame).expect("it is JSON");
        json::check(frame).expect("it is JSON");
    }
}

/// Text that looks like JSON, and often is.
fn jsonish() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\"a\""),
        Just("\"a\":"),
        Just("\\"),
        Just("\\u12aF"),
        Just("\\n"),
        Just("null"),
        Just("true"),
        Just("fals"),
        Just("false"),
        Just("0"),
        Just("-"),
        Just("17"),
        Just(".5"),
        Just("e"),
        Just("E-2"),
        Just("+"),
        Just(" "),
        Just("\t\r\n"),
        Just("é"),
        Just("\u{1}"),
        Just("{\"id\":1,\"connect\":{"),
        Just("\"subs\":{"),
        Just("\"data\":"),
        Just("{\"push\":{"),
        Just("\"pub\":{"),
        Just("}}"),
    ];
    prop::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

/// Commands and replies of which a few bytes are wrong.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4);
    (any::<u64>(), 0..4_u8, damage).prop_map(|(seed, kind, damage)| {
        let format = FORMATS[usize::from(kind % 2)];
        let (mut draw, mut frame) = (Draw::new(seed), Vec::new());
        match kind / 2 {
            0 => format.write_command(&mut frame, &draw.one::<Command<'static>>()),
            _ => format.write_reply(&mut frame, &draw.one::<Reply<'static>>()),
        }
        for (index, byte, how) in damage {
            match how {
                0 => frame.insert(index.index(frame.len() + 1), byte),
                1 if !frame.is_empty() => drop(frame.remove(index.index(frame.len()))),
                _ if !frame.is_empty() => {
                    let at = index.index(frame.len());
                    frame[at] ^= byte;
                }
                _ => {}
            }
        }
        frame
    })
}

/// Reads bytes as everything that they may be. What is read is written and read again, and is the same.
fn read_as_everything(bytes: &[u8]) {
    for format in FORMATS {
        let memory = CountingByThread::allocated(|| {
            for command in format.commands(bytes).flatten() {
                let mut again = Vec::new();
                format.write_command(&mut again, &command);
                assert_eq!(commands(format, &again), Ok(vec![command]));
            }
        });
        // What is written and read again is counted here too.
        assert!(memory <= 4_096 + 1_000 * bytes.len(), "{memory} bytes for {} bytes", bytes.len());
        for reply in format.replies(bytes).flatten() {
            let mut again = Vec::new();
            format.write_reply(&mut again, &reply);
            assert_eq!(replies(format, &again), Ok(vec![reply]));
        }
        for push in format.pushes(bytes).flatten() {
            let mut again = Vec::new();
            format.write_push(&mut again, &push);
            assert_eq!(format.pushes(&again).collect::<Vec<_>>(), [Ok(push)]);
        }
        if let Ok(request) = format.connect_request(bytes) {
            let mut again = Vec::new();
            format.write_connect_request(&mut again, &request);
            assert_eq!(format.connect_request(&again), Ok(request));
        }
        if let Ok(request) = format.emulation_request(bytes) {
            let mut again = Vec::new();
            format.write_emulation_request(&mut again, &request);
            assert_eq!(format.emulation_request(&again), Ok(request));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn commands_are_what_they_were_when_they_are_read_again(seed: u64) {
        for (format, mut draw) in draws(seed) {
            let (mut frame, mut sent) = (Vec::new(), Vec::new());
            for _ in 0..=draw.below(3) {
                let command: Command<'static> = draw.one();
                let before = frame.len();
                frame.extend_from_slice(if before == 0 { b"" } else { format.separator() });
                format.write_command(&mut frame, &command);
                sent.push(command);
            }
            prop_assert_eq!(commands(format, &frame), Ok(sent.clone()));
            let mut lone = Vec::new();
            format.write_command(&mut lone, &sent[0]);
            check_line(format, &lone);
            if format == Format::Json {
                frame.push(b'\n');
                prop_assert_eq!(commands(format, &frame), Ok(sent));
            }
        }
    }

    #[test]
    fn replies_are_what_they_were_when_they_are_read_again(seed: u64) {
        for (format, mut draw) in draws(seed) {
            let (mut frame, mut sent) = (Vec::new(), Vec::new());
            for _ in 0..=draw.below(3) {
                let reply: Reply<'static> = draw.one();
                format.join_reply(&mut frame, &reply);
                sent.push(reply);
            }
            prop_assert_eq!(replies(format, &frame), Ok(sent.clone()));
            let mut lone = Vec::new();
            format.write_reply(&mut lone, &sent[0]);
            check_line(format, &lone);
        }
    }

    #[test]
    fn bare_messages_are_what_they_were_when_they_are_read_again(seed: u64) {
        for (format, mut draw) in draws(seed) {
            let mut bytes = Vec::new();
            let push: Push<'static> = draw.one();
            format.write_push(&mut bytes, &push);
            check_line(format, &bytes);
            prop_assert_eq!(format.pushes(&bytes).collect::<Vec<_>>(), [Ok(push)]);

            bytes.clear();
            let request: ConnectRequest<'static> = draw.one();
            format.write_connect_request(&mut bytes, &request);
            check_line(format, &bytes);
            prop_assert_eq!(format.connect_request(&bytes), Ok(request));

            bytes.clear();
            let request: EmulationRequest<'static> = draw.one();
            format.write_emulation_request(&mut bytes, &request);
            check_line(format, &bytes);
            prop_assert_eq!(format.emulation_request(&bytes), Ok(request));
        }
    }

    #[test]
    fn any_bytes_are_messages_or_an_error(bytes: Vec<u8>) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_messages_are_messages_or_an_error(bytes in damaged()) {
        read_as_everything(&bytes);
    }

    #[test]
    fn what_looks_like_json_is_messages_or_an_error(text in jsonish()) {
        read_as_everything(text.as_bytes());
    }

    #[test]
    fn the_same_texts_are_json_as_for_serde(text in jsonish()) {
        let theirs = serde_json::from_str::<AnyJson>(&text);
        let ours = json::check(text.as_bytes());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }

    #[test]
    fn strings_mean_what_they_mean_to_serde(units in prop::collection::vec(prop_oneof![
        any::<char>().prop_map(|sign| sign.to_string()),
        any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        (0xd7ff..0xe001_u16).prop_map(|unit| format!("\\u{unit:04X}")),
        Just("\\ud83d\\ude00".to_owned()),
        "\\\\[bfnrt/\"\\\\]",
    ], 0..6)) {
        let text = format!("\"{}\"", units.concat());
        let theirs = serde_json::from_str::<String>(&text).ok();
        let message = format!("{{\"token\":{text}}}");
        let ours = json::connect_request(message.as_bytes()).ok().map(|request| request.token.into_owned());
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn data_with_line_breaks_is_embedded_on_one_line(text in jsonish(), breaks in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let mut data = text.into_bytes();
        for at in breaks {
            data.insert(at.index(data.len() + 1), if data.len() % 2 == 0 { b'\n' } else { b'\r' });
        }
        let mut out = Vec::new();
        let rpc = gannet_proto::centrifuge::RpcResult { data: &data };
        let body = gannet_proto::centrifuge::ReplyBody::Rpc(rpc);
        json::write_reply(&mut out, &Reply { id: 1, body });
        prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
        // It means the same as before.
        if json::check(&data).is_ok() {
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&value["rpc"]["data"], &serde_json::from_slice::<serde_json::Value>(&data).unwrap());
        }
    }
}
