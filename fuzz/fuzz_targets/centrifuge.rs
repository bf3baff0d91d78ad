//! Any bytes are messages of the push protocol or an error, in both formats and both directions; messages are what they were
//! when they are written again; what JSON is, serde_json says too; a stream means the same however it is cut.

#![no_main]

use gannet_proto::centrifuge::{Commands, Format, json};
use gannet_proto::testing::{Patience, feed, is_same_error, pieces};
use libfuzzer_sys::fuzz_target;

/// Whether the limit of a stream is narrow, the cuts, the bytes.
type Input = (bool, Vec<u16>, Vec<u8>);

fuzz_target!(|input: Input| {
    let (narrow, cuts, bytes) = input;
    read_as_json(&bytes);
    for format in [Format::Json, Format::Protobuf] {
        read_as_everything(format, &bytes);
    }
    read_as_stream(if narrow { Commands::new().limit(20) } else { Commands::new() }, &cuts, &bytes);
});

fn read_as_json(bytes: &[u8]) {
    let theirs: Result<&serde_json::value::RawValue, _> = serde_json::from_slice(bytes);
    match json::check(bytes) {
        Ok(()) => assert!(theirs.is_ok(), "{theirs:?}"),
        Err(gannet_proto::centrifuge::DecodeError::TooDeep { .. }) => {}
        Err(error) => assert!(theirs.is_err(), "{error}"),
    }
}

fn read_as_everything(format: Format, bytes: &[u8]) {
    let mut out = Vec::new();
    let check_line = |out: &mut Vec<u8>| {
        assert!(format == Format::Protobuf || !out.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
        out.clear();
    };
    for command in format.commands(bytes).flatten() {
        format.write_command(&mut out, &command);
        assert_eq!(format.commands(&out).collect::<Vec<_>>(), [Ok(command)]);
        check_line(&mut out);
    }
    for reply in format.replies(bytes).flatten() {
        format.write_reply(&mut out, &reply);
        assert_eq!(format.replies(&out).collect::<Vec<_>>(), [Ok(reply)]);
        check_line(&mut out);
    }
    for push in format.pushes(bytes).flatten() {
        format.write_push(&mut out, &push);
        assert_eq!(format.pushes(&out).collect::<Vec<_>>(), [Ok(push)]);
        check_line(&mut out);
    }
    if let Ok(request) = format.connect_request(bytes) {
        format.write_connect_request(&mut out, &request);
        assert_eq!(format.connect_request(&out), Ok(request));
        check_line(&mut out);
    }
    if let Ok(request) = format.emulation_request(bytes) {
        format.write_emulation_request(&mut out, &request);
        assert_eq!(format.emulation_request(&out), Ok(request));
        check_line(&mut out);
    }
}

fn read_as_stream(commands: Commands, cuts: &[u16], bytes: &[u8]) {
    let whole = feed(&commands, Patience::Waits, [bytes], |command| format!("{command:?}"));
    for patience in [Patience::Waits, Patience::Asks] {
        for chunks in [pieces(bytes, cuts), bytes.chunks(1).collect()] {
            let cut = feed(&commands, patience, chunks, |command| format!("{command:?}"));
            assert_eq!(cut.messages, whole.messages);
            match (&cut.error, &whole.error) {
                (Some(cut), Some(whole)) => assert!(is_same_error(cut, whole), "{cut} and not {whole}"),
                (cut, whole) => assert!(cut.is_none() && whole.is_none(), "{cut:?} and not {whole:?}"),
            }
            // The limit, and the longest length in front.
            assert!(cut.largest_need <= 64 * 1024 + 10);
        }
    }
}
